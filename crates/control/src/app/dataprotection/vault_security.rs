//! Soft delete, immutability and cross-region restore of a vault: which changes are allowed, and the scores that follow.
//!
//! Pure. The invariant: what was made irreversible (`AlwaysOn`, `Locked`, cross-region restore) is never undone by any request.

use crate::clock::SECOND_US;

/// State of soft delete. `On` unless the vault says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SoftDelete {
    /// A deleted instance is gone with its data.
    Off,
    /// A deleted instance can be undeleted for the retention period.
    #[default]
    On,
    /// As `On`, for ever.
    AlwaysOn,
}

/// Immutability of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Immutability {
    /// Not asked for at all; shown as nothing.
    #[default]
    Absent,
    /// Asked for as off.
    Disabled,
    /// On, may be turned off.
    Unlocked,
    /// On, for ever.
    Locked,
}

/// Days that a deleted instance can be undeleted, when the vault doesn't say.
pub const SOFT_DELETE_DAYS_DEFAULT: f64 = 14.0;
/// The shortest and longest retention of soft delete, in days.
pub const SOFT_DELETE_DAYS: std::ops::RangeInclusive<f64> = 14.0..=180.0;

/// The retention of soft delete, from days, in microseconds.
#[must_use]
pub fn retention_us(days: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number of days in microseconds, saturating"
    )]
    let seconds = (days * 86_400.0) as i64;
    seconds.saturating_mul(SECOND_US)
}

impl SoftDelete {
    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::On, Self::AlwaysOn]
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text))
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::On => "On",
            Self::AlwaysOn => "AlwaysOn",
        }
    }

    /// How much it protects: a smaller number is less.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::On => 1,
            Self::AlwaysOn => 2,
        }
    }

    /// True if a vault in this state may go to `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self != Self::AlwaysOn || next == Self::AlwaysOn
    }
}

impl Immutability {
    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [(Self::Disabled, "Disabled"), (Self::Unlocked, "Unlocked"), (Self::Locked, "Locked")]
            .into_iter()
            .find(|(_, word)| word.eq_ignore_ascii_case(text))
            .map(|(state, _)| state)
    }

    /// The word on the wire; none when it was never asked for.
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Absent => None,
            Self::Disabled => Some("Disabled"),
            Self::Unlocked => Some("Unlocked"),
            Self::Locked => Some("Locked"),
        }
    }

    /// How much it protects: a smaller number is less.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Absent | Self::Disabled => 0,
            Self::Unlocked => 1,
            Self::Locked => 2,
        }
    }

    /// True if a vault in this state may go to `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self != Self::Locked || next == Self::Locked
    }
}

/// `secureScore` and `bcdrSecurityLevel`, which the service computes and never takes from a request.
///
/// The highest ones are presumed: no recording has them, and a resource guard is what Azure adds to the others.
#[must_use]
pub fn scores(
    soft_delete: SoftDelete,
    immutability: Immutability,
    is_guarded: bool,
) -> (&'static str, &'static str) {
    match (soft_delete, immutability) {
        (SoftDelete::AlwaysOn, Immutability::Locked) if is_guarded => ("Maximum", "Excellent"),
        (SoftDelete::AlwaysOn, _) | (SoftDelete::On, Immutability::Locked) => ("Adequate", "Good"),
        (SoftDelete::On, Immutability::Unlocked) => ("Minimum", "Fair"),
        (SoftDelete::On, Immutability::Absent | Immutability::Disabled) | (SoftDelete::Off, _) => {
            ("None", "Poor")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Immutability as I;
    use SoftDelete as S;

    #[test]
    fn scores_are_the_recorded_ones() {
        assert_eq!(scores(S::Off, I::Unlocked, false), ("None", "Poor"));
        assert_eq!(scores(S::On, I::Absent, false), ("None", "Poor"));
        assert_eq!(scores(S::On, I::Unlocked, false), ("Minimum", "Fair"));
        assert_eq!(scores(S::On, I::Locked, false), ("Adequate", "Good"));
        for immutability in [I::Disabled, I::Unlocked, I::Locked] {
            assert_eq!(scores(S::AlwaysOn, immutability, false), ("Adequate", "Good"));
        }
    }

    #[test]
    fn a_guard_adds_to_what_is_irreversible_already() {
        assert_eq!(scores(S::AlwaysOn, I::Locked, true), ("Maximum", "Excellent"));
        for (soft_delete, immutability) in
            [(S::Off, I::Locked), (S::On, I::Locked), (S::AlwaysOn, I::Unlocked)]
        {
            assert_eq!(
                scores(soft_delete, immutability, true),
                scores(soft_delete, immutability, false)
            );
        }
    }

    #[test]
    fn what_is_irreversible_stays() {
        for next in [S::Off, S::On] {
            assert!(!S::AlwaysOn.may_become(next));
            assert!(next.may_become(S::AlwaysOn));
        }
        for next in [I::Absent, I::Disabled, I::Unlocked] {
            assert!(!I::Locked.may_become(next));
            assert!(next.may_become(I::Locked));
        }
        assert!(I::Unlocked.may_become(I::Disabled));
    }
}

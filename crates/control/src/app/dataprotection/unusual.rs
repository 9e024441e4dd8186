//! Whether a backup differs sharply from those before it: the sign of mass deletion, or of somebody who encrypts the data.
//!
//! Pure. A backup is compared with the median of up to [`HISTORY_MAX`] before it. Three things are looked at: how many rows are
//! left, which share of the data had to be stored anew, and how well that could be compressed. A sign is a warning, never a
//! refusal: the recovery point is as good as any, and the ones before it are what the person who is warned may need.

/// Recovery points that a backup is compared with, at most.
pub const HISTORY_MAX: u32 = 10;
/// Recovery points without which nothing is said.
const HISTORY_MIN: usize = 4;
/// Databases smaller than this change sharply every day.
const BYTES_MIN: u64 = 1 << 20;
/// Rows that are left, as a share of what is usual.
const ROWS_LEFT: f64 = 0.5;
/// The share of data that is new, and how many times the usual one it has to be.
const CHANGED_SHARE: f64 = 0.5;
const CHANGED_TIMES: f64 = 4.0;
/// Data that hardly gets smaller, where it usually does, and the share of new data from which on this says something.
const RATIO_ODD: f64 = 0.9;
const RATIO_USUAL: f64 = 0.75;
const RATIO_SHARE: f64 = 0.05;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes as the server wrote them.
    pub plain_bytes: u64,
    /// Those of them that were not stored before.
    pub new_bytes: u64,
    /// What these took compressed.
    pub stored_bytes: u64,
}

impl Figures {
    fn changed_share(self) -> f64 {
        share(self.new_bytes, self.plain_bytes)
    }

    fn ratio(self) -> Option<f64> {
        (self.new_bytes >= BYTES_MIN / 16).then(|| share(self.stored_bytes, self.new_bytes))
    }
}

/// What is unusual about a backup, one sentence for each.
#[must_use]
pub fn signs(now: Figures, before: &[Figures]) -> Vec<String> {
    let mut found = Vec::new();
    if before.len() < HISTORY_MIN {
        return found;
    }
    let usual_bytes = median(before.iter().map(|one| to_f64(one.plain_bytes))).unwrap_or(0.0);
    if usual_bytes < to_f64(BYTES_MIN) {
        return found;
    }
    let usual_rows = median(before.iter().map(|one| to_f64(one.rows))).unwrap_or(0.0);
    if usual_rows > 0.0 && to_f64(now.rows) < usual_rows * ROWS_LEFT {
        found.push(format!(
            "The database has {} rows; the backups before had about {usual_rows:.0}.",
            now.rows
        ));
    }
    let changed = now.changed_share();
    let usual = median(before.iter().map(|one| one.changed_share())).unwrap_or(1.0);
    if changed > CHANGED_SHARE && changed > usual * CHANGED_TIMES {
        found.push(format!(
            "{:.0} % of the data is new; in the backups before it was about {:.1} %.",
            changed * 100.0,
            usual * 100.0
        ));
    }
    let usual_ratio = median(before.iter().filter_map(|one| one.ratio()));
    if let (Some(ratio), Some(usual)) = (now.ratio(), usual_ratio)
        && changed > RATIO_SHARE
        && ratio > RATIO_ODD
        && usual < RATIO_USUAL
    {
        found.push(format!(
            "What is new could hardly be compressed (to {:.0} %, usually {:.0} %), as encrypted data cannot.",
            ratio * 100.0,
            usual * 100.0
        ));
    }
    found
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { to_f64(part) / to_f64(whole) }
}

#[expect(clippy::cast_precision_loss, reason = "shares for people")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn usual() -> Vec<Figures> {
        // The first backup stores everything; later ones a few per cent.
        let first = Figures {
            rows: 1000,
            plain_bytes: 100 * MIB,
            new_bytes: 100 * MIB,
            stored_bytes: 30 * MIB,
        };
        let mut all = vec![first];
        all.extend((0..5).map(|n| Figures {
            rows: 1000 + n,
            new_bytes: 2 * MIB,
            stored_bytes: MIB / 2,
            ..first
        }));
        all
    }

    #[test]
    fn an_ordinary_day_says_nothing() {
        let now = Figures {
            rows: 1010,
            plain_bytes: 101 * MIB,
            new_bytes: 9 * MIB,
            stored_bytes: 3 * MIB,
        };
        assert!(signs(now, &usual()).is_empty());
        // A small database, and one that is backed up for the third time.
        let emptied = Figures { rows: 0, plain_bytes: 0, new_bytes: 0, stored_bytes: 0 };
        assert!(signs(emptied, &usual()[..3]).is_empty());
        let small: Vec<_> =
            usual().iter().map(|one| Figures { plain_bytes: 1000, ..*one }).collect();
        assert!(signs(emptied, &small).is_empty());
    }

    #[test]
    fn deletion_rewriting_and_encryption_are_signs() {
        let deleted =
            Figures { rows: 400, plain_bytes: 40 * MIB, new_bytes: MIB, stored_bytes: MIB / 3 };
        assert_eq!(signs(deleted, &usual()).len(), 1);
        let encrypted = Figures {
            rows: 1000,
            plain_bytes: 100 * MIB,
            new_bytes: 90 * MIB,
            stored_bytes: 89 * MIB,
        };
        let said = signs(encrypted, &usual());
        assert_eq!(said.len(), 2, "{said:?}");
        // Rewritten as a whole, but with the same kind of data.
        let rewritten = Figures { stored_bytes: 27 * MIB, ..encrypted };
        assert_eq!(signs(rewritten, &usual()).len(), 1);
    }

    #[test]
    fn what_always_changes_is_usual() {
        let whole = Figures {
            rows: 10,
            plain_bytes: 10 * MIB,
            new_bytes: 10 * MIB,
            stored_bytes: 9_900_000,
        };
        assert!(signs(whole, &[whole; 6]).is_empty());
    }
}

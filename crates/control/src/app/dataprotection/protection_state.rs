//! The state machine of a backup instance: which action is allowed in which state, and what it leads to.
//!
//! Pure. The states are the strings of the wire (`currentProtectionState`); `BackupsSuspended` is what the service really sends,
//! although its specification calls it `BackupSchedulesSuspended`. Two invariants matter to callers: an action that has nothing to
//! do is [`Decision::Nothing`] (answered 200 at once), and no action is allowed while another one is still changing the state.

use std::fmt;

/// `currentProtectionState` of a backup instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtectionState {
    /// The PUT was accepted; the source is being checked.
    ConfiguringProtection,
    /// Protected: backups run and old recovery points expire.
    ProtectionConfigured,
    /// The policy is being changed.
    UpdatingProtection,
    /// Configuring failed; the instance exists and can be configured again or deleted.
    ProtectionError,
    /// No backups; every recovery point is kept for ever.
    ProtectionStopped,
    /// No backups; recovery points expire, the latest one excepted.
    BackupsSuspended,
    /// Being deleted.
    SoftDeleting,
    /// Deleted, and still there to be undeleted.
    SoftDeleted,
}

impl ProtectionState {
    /// All states, for tests and parsing.
    pub const ALL: [Self; 8] = [
        Self::ConfiguringProtection,
        Self::ProtectionConfigured,
        Self::UpdatingProtection,
        Self::ProtectionError,
        Self::ProtectionStopped,
        Self::BackupsSuspended,
        Self::SoftDeleting,
        Self::SoftDeleted,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfiguringProtection => "ConfiguringProtection",
            Self::ProtectionConfigured => "ProtectionConfigured",
            Self::UpdatingProtection => "UpdatingProtection",
            Self::ProtectionError => "ProtectionError",
            Self::ProtectionStopped => "ProtectionStopped",
            Self::BackupsSuspended => "BackupsSuspended",
            Self::SoftDeleting => "SoftDeleting",
            Self::SoftDeleted => "SoftDeleted",
        }
    }

    /// The word in `protectionStatus`, which has another one for what went wrong.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::ProtectionError => "ConfiguringProtectionFailed",
            _ => self.as_str(),
        }
    }

    /// Reads the word on the wire; the specification's name of the suspended state is understood too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("BackupSchedulesSuspended") {
            return Some(Self::BackupsSuspended);
        }
        Self::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for ProtectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a caller wants of an existing backup instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceAction {
    /// PUT with other contents: change of policy, credentials or name.
    Update,
    /// `backup`.
    Backup,
    /// `validateRestore` and `restore`.
    Restore,
    /// `stopProtection`.
    StopProtection,
    /// `suspendBackups`.
    SuspendBackups,
    /// `resumeProtection`.
    ResumeProtection,
    /// `resumeBackups`.
    ResumeBackups,
    /// `sync`.
    Sync,
    /// DELETE.
    Delete,
}

impl InstanceAction {
    /// Every action, for tests.
    pub const ALL: [Self; 9] = [
        Self::Update,
        Self::Backup,
        Self::Restore,
        Self::StopProtection,
        Self::SuspendBackups,
        Self::ResumeProtection,
        Self::ResumeBackups,
        Self::Sync,
        Self::Delete,
    ];

    fn describe(self) -> &'static str {
        match self {
            Self::Update => "change the backup instance",
            Self::Backup => "take a backup",
            Self::Restore => "restore",
            Self::StopProtection => "stop the protection",
            Self::SuspendBackups => "suspend the backups",
            Self::ResumeProtection => "resume the protection",
            Self::ResumeBackups => "resume the backups",
            Self::Sync => "synchronise the backup instance",
            Self::Delete => "delete the backup instance",
        }
    }
}

/// What is to be done about an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Begin the operation.
    Begin,
    /// The instance is already where the action would bring it.
    Nothing,
    /// Not in this state; the text says why and what to do instead.
    Refused(String),
}

/// Decides an action in a state.
#[must_use]
pub fn decide(state: ProtectionState, action: InstanceAction) -> Decision {
    use InstanceAction as A;
    use ProtectionState as S;
    match (action, state) {
        // Deleting again while the first deletion runs joins it; a restore reads recovery points only and may run in any settled state.
        (A::Delete, S::SoftDeleting | S::SoftDeleted) => Decision::Nothing,
        (_, S::SoftDeleting | S::SoftDeleted) => Decision::Refused(format!(
            "Cannot {} while it is in state {state}. Undelete it first.",
            action.describe()
        )),
        (A::Delete, _) => Decision::Begin,

        (A::Restore, S::ConfiguringProtection | S::ProtectionError) => Decision::Refused(format!(
            "Cannot {} in state {state}: nothing was backed up yet.",
            action.describe()
        )),
        (A::Restore, _) => Decision::Begin,

        (_, S::ConfiguringProtection | S::UpdatingProtection) => Decision::Refused(format!(
            "Cannot {} while it is in state {state}. Wait until the operation that is running has ended.",
            action.describe()
        )),

        (
            A::Update,
            S::ProtectionConfigured
            | S::ProtectionError
            | S::ProtectionStopped
            | S::BackupsSuspended,
        ) => Decision::Begin,

        (A::Backup, S::ProtectionConfigured) => Decision::Begin,
        (A::Backup, S::ProtectionStopped | S::BackupsSuspended) => Decision::Refused(format!(
            "Cannot {} in state {state}. Resume the protection first.",
            action.describe()
        )),
        (A::Backup, S::ProtectionError) => Decision::Refused(format!(
            "Cannot {} in state {state}. Correct what protectionErrorDetails says and configure the protection again.",
            action.describe()
        )),

        (A::StopProtection, S::ProtectionStopped) | (A::SuspendBackups, S::BackupsSuspended) => {
            Decision::Nothing
        }
        (A::StopProtection, S::ProtectionConfigured | S::BackupsSuspended | S::ProtectionError)
        | (A::SuspendBackups, S::ProtectionConfigured) => Decision::Begin,
        (A::SuspendBackups, S::ProtectionStopped | S::ProtectionError) => {
            Decision::Refused(format!(
                "Cannot {} in state {state}. Backups can be suspended while the protection is configured.",
                action.describe()
            ))
        }

        (A::ResumeProtection | A::ResumeBackups, S::ProtectionConfigured) => Decision::Nothing,
        (A::ResumeProtection, S::ProtectionStopped | S::BackupsSuspended)
        | (A::ResumeBackups, S::BackupsSuspended) => Decision::Begin,
        (A::ResumeBackups, S::ProtectionStopped) => Decision::Refused(format!(
            "Cannot {} in state {state}. Use resumeProtection.",
            action.describe()
        )),
        (A::ResumeProtection | A::ResumeBackups, S::ProtectionError) => Decision::Refused(format!(
            "Cannot {} in state {state}. Configure the protection again with a PUT of the backup instance.",
            action.describe()
        )),

        // Only a failed configuration has something that could be tried again.
        (A::Sync, S::ProtectionError) => Decision::Begin,
        (A::Sync, _) => Decision::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceAction as A;
    use ProtectionState as S;

    #[test]
    fn the_recorded_walk() {
        assert_eq!(decide(S::ProtectionConfigured, A::StopProtection), Decision::Begin);
        assert_eq!(decide(S::ProtectionStopped, A::StopProtection), Decision::Nothing);
        assert_eq!(decide(S::ProtectionStopped, A::ResumeProtection), Decision::Begin);
        assert_eq!(decide(S::ProtectionConfigured, A::ResumeProtection), Decision::Nothing);
        assert_eq!(decide(S::ProtectionConfigured, A::SuspendBackups), Decision::Begin);
        assert_eq!(decide(S::BackupsSuspended, A::ResumeProtection), Decision::Begin);
        assert_eq!(decide(S::BackupsSuspended, A::ResumeBackups), Decision::Begin);
    }

    #[test]
    fn data_can_be_read_whenever_there_can_be_some() {
        for state in [
            S::ProtectionConfigured,
            S::ProtectionStopped,
            S::BackupsSuspended,
            S::UpdatingProtection,
        ] {
            assert_eq!(decide(state, A::Restore), Decision::Begin, "{state}");
        }
    }

    #[test]
    fn nothing_happens_to_a_deleted_instance_and_deletion_is_never_refused() {
        for action in A::ALL {
            for state in [S::SoftDeleted, S::SoftDeleting] {
                assert_ne!(decide(state, action), Decision::Begin, "{action:?} in {state}");
            }
        }
        for state in S::ALL {
            assert!(!matches!(decide(state, A::Delete), Decision::Refused(_)), "{state}");
        }
    }

    #[test]
    fn states_are_read_back() {
        for state in S::ALL {
            assert_eq!(S::parse(state.as_str()), Some(state));
        }
        assert_eq!(S::parse("BackupSchedulesSuspended"), Some(S::BackupsSuspended));
        assert_eq!(S::parse("Sideways"), None);
    }
}

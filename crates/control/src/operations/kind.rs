//! What an operation does, and what follows from that for its scheduling and its public status.

use std::fmt;

/// Every kind of durable work that a request may begin. The names are written into the metadata database: a variant is
/// never renamed, and a removed one keeps its name reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperationKind {
    /// The vault's keyring is made in its storage location.
    CreateVault,
    /// The vault's settings were changed.
    UpdateVault,
    /// The vault's keys and its prefix go, then its record.
    DeleteVault,
    /// The checks before protection, without any effect.
    ValidateForBackup,
    /// A new instance becomes protected.
    ConfigureProtection,
    /// An instance gets another policy or other credentials.
    UpdateProtection,
    /// A recovery point is taken.
    Backup,
    /// The checks before a restore, without any effect.
    ValidateRestore,
    /// A recovery point becomes a database or files.
    Restore,
    /// Backups stop, every recovery point is kept for ever.
    StopProtection,
    /// Backups stop, recovery points expire as the policy says.
    SuspendBackups,
    /// Backups go on after either of these.
    ResumeProtection,
    /// Backups go on after a suspension.
    ResumeBackups,
    /// The instance goes: softly, or with its data.
    DeleteInstance,
    /// A softly deleted instance comes back.
    Undelete,
    /// The jobs of the vault as they are now can be downloaded.
    ExportJobs,
}

/// Operations wait only for others of their lane, so that a stop of protection never queues behind long backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Moves a database's worth of bytes.
    Data,
    /// A handful of small reads and writes.
    Control,
}

impl OperationKind {
    /// All kinds, in the order of the enum.
    pub const ALL: [OperationKind; 16] = [
        OperationKind::CreateVault,
        OperationKind::UpdateVault,
        OperationKind::DeleteVault,
        OperationKind::ValidateForBackup,
        OperationKind::ConfigureProtection,
        OperationKind::UpdateProtection,
        OperationKind::Backup,
        OperationKind::ValidateRestore,
        OperationKind::Restore,
        OperationKind::StopProtection,
        OperationKind::SuspendBackups,
        OperationKind::ResumeProtection,
        OperationKind::ResumeBackups,
        OperationKind::DeleteInstance,
        OperationKind::Undelete,
        OperationKind::ExportJobs,
    ];

    /// The name in the metadata database, in logs and in crash points.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationKind::CreateVault => "create_vault",
            OperationKind::UpdateVault => "update_vault",
            OperationKind::DeleteVault => "delete_vault",
            OperationKind::ValidateForBackup => "validate_for_backup",
            OperationKind::ConfigureProtection => "configure_protection",
            OperationKind::UpdateProtection => "update_protection",
            OperationKind::Backup => "backup",
            OperationKind::ValidateRestore => "validate_restore",
            OperationKind::Restore => "restore",
            OperationKind::StopProtection => "stop_protection",
            OperationKind::SuspendBackups => "suspend_backups",
            OperationKind::ResumeProtection => "resume_protection",
            OperationKind::ResumeBackups => "resume_backups",
            OperationKind::DeleteInstance => "delete_instance",
            OperationKind::Undelete => "undelete",
            OperationKind::ExportJobs => "export_jobs",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<OperationKind> {
        OperationKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Which queue it waits in.
    pub fn lane(self) -> Lane {
        match self {
            OperationKind::Backup | OperationKind::Restore => Lane::Data,
            _ => Lane::Control,
        }
    }

    /// The public operation of a job covers only its submission, as Azure's does: it has succeeded as soon as it is
    /// durable, names the job, and the job tells how the work ends.
    pub fn ends_at_submission(self) -> bool {
        self.lane() == Lane::Data
    }
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Lane; 2] = [Lane::Data, Lane::Control];

    /// The name in the metadata database.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Data => "data",
            Lane::Control => "control",
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

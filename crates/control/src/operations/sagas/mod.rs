//! The sagas: what each kind of operation does, one file a noun and verb, and the steps that several share.

mod backup;
mod change_protection;
mod configure_protection;
mod data_run;
mod datasource_access;
mod delete_instance;
mod delete_vault;
mod export_jobs;
mod files_target;
mod instance_repository;
mod job_monitor;
mod policy_retention;
mod put_vault;
mod restore;
mod restore_target;
mod undelete_instance;
mod update_protection;
mod validate_for_backup;
mod validate_restore;

use std::collections::HashMap;
use std::sync::Arc;

use super::OperationKind;
use super::executor::Registry;
use super::saga::Saga;
use crate::app::App;

pub(crate) use data_run::clear_work_directories;
pub(crate) use instance_repository::{
    SecondRegion, destroy_repository, destroy_vault, open_repository, region_of, second_region,
    vault_lock,
};

/// The saga of every kind.
pub(crate) fn registry(app: &Arc<App>) -> Registry {
    OperationKind::ALL.into_iter().map(|kind| (kind, saga(app, kind))).collect::<HashMap<_, _>>()
}

fn saga(app: &Arc<App>, kind: OperationKind) -> Arc<dyn Saga> {
    let app = Arc::clone(app);
    match kind {
        OperationKind::CreateVault | OperationKind::UpdateVault => {
            Arc::new(put_vault::PutVault { app })
        }
        OperationKind::DeleteVault => Arc::new(delete_vault::DeleteVault { app }),
        OperationKind::ValidateForBackup => {
            Arc::new(validate_for_backup::ValidateForBackup { app })
        }
        OperationKind::ConfigureProtection => {
            Arc::new(configure_protection::ConfigureProtection { app })
        }
        OperationKind::UpdateProtection => Arc::new(update_protection::UpdateProtection { app }),
        OperationKind::Backup => Arc::new(backup::Backup { app }),
        OperationKind::ValidateRestore => Arc::new(validate_restore::ValidateRestore { app }),
        OperationKind::Restore => Arc::new(restore::Restore { app }),
        OperationKind::StopProtection
        | OperationKind::SuspendBackups
        | OperationKind::ResumeProtection
        | OperationKind::ResumeBackups => Arc::new(change_protection::ChangeProtection),
        OperationKind::DeleteInstance => Arc::new(delete_instance::DeleteInstance { app }),
        OperationKind::Undelete => Arc::new(undelete_instance::UndeleteInstance { app }),
        OperationKind::ExportJobs => Arc::new(export_jobs::ExportJobs),
    }
}

/// Where a saga can be interrupted by a test.
pub(crate) struct SagaPoints {
    pub(crate) steps: &'static [&'static str],
    pub(crate) inner_points: &'static [&'static str],
}

/// The points of a kind's saga; the same constants that the sagas run by.
pub(crate) fn saga_points(kind: OperationKind) -> SagaPoints {
    let (steps, inner_points): (&'static [&'static str], &'static [&'static str]) = match kind {
        OperationKind::CreateVault | OperationKind::UpdateVault => (put_vault::STEPS, &[]),
        OperationKind::DeleteVault => (delete_vault::STEPS, &[]),
        OperationKind::ValidateForBackup => (validate_for_backup::STEPS, &[]),
        OperationKind::ConfigureProtection => (configure_protection::STEPS, &[]),
        OperationKind::UpdateProtection => (update_protection::STEPS, &[]),
        OperationKind::Backup => (backup::STEPS, backup::INNER_POINTS),
        OperationKind::ValidateRestore => (validate_restore::STEPS, &[]),
        OperationKind::Restore => (restore::STEPS, restore::INNER_POINTS),
        OperationKind::StopProtection
        | OperationKind::SuspendBackups
        | OperationKind::ResumeProtection
        | OperationKind::ResumeBackups => (change_protection::STEPS, &[]),
        OperationKind::DeleteInstance => (delete_instance::STEPS, &[]),
        OperationKind::Undelete => (undelete_instance::STEPS, &[]),
        OperationKind::ExportJobs => (export_jobs::STEPS, &[]),
    };
    SagaPoints { steps, inner_points }
}

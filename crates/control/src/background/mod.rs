//! Duties that no request begins: the backups that policies want, the purge of what was softly deleted, the removal of records that nobody asks for any more,
//! the audit log's own upkeep, and the upkeep of repositories: garbage is collected, what is stored is read, and what has a second region is copied there.
//!
//! A duty takes no input: what is due stands in the database. It may be stopped at any moment and run again.

pub(crate) mod audit_log;
pub(crate) mod collect_garbage;
mod copy_late;
mod driver;
pub(crate) mod expire_points;
mod expire_records;
mod lock_points;
mod measure;
mod purge_instances;
mod purge_secrets;
mod purge_vaults;
mod replicate;
mod schedule;
mod send_alerts;
mod tell_late;
mod upkeep;
mod verify_packs;

pub use driver::{DutiesHandle, run_round, start};

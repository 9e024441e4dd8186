//! The data plane over REST, against a real PostgreSQL server.

mod alerts;
mod audited_acts;
mod azure_key_vault;
mod cancelled;
mod deletion;
pub(crate) mod estate;
mod guarded_restore;
mod lifecycle;
mod locked_vault;
mod parts;
mod remote_storage;
mod replicas;
mod resumption;
mod schedule;
mod second_region;
mod secrets;
mod servers;
mod storage_lock;
mod traces;
mod upkeep;
mod validate;

//! Duties that no request begins: the purge of what was softly deleted, and the removal of records that nobody asks
//! for any more.
//!
//! A duty takes no input: what is due stands in the database. It may be stopped at any moment and run again.

mod driver;
mod expire_records;
mod purge_instances;

pub use driver::{DutiesHandle, run_round, start};

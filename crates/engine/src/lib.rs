//! A PostgreSQL database, consistently and in parallel, into a manifest and back.
//!
//! What holds, always:
//!
//! * One exported snapshot serves all workers of a backup; the source is never written to.
//! * Memory is bounded by workers × a constant, plus about a kilobyte per table; it does not grow with the rows. Two exceptions:
//!   a row of a table that is no heap is held whole, one at a time; and a row with many numbers like `1e100000` in arrays,
//!   composites or `jsonb`, whose zeros are stored nowhere, is held whole by its worker, up to the server's own limit of a
//!   gigabyte. Its size is known only when it was written out, and to write out every `jsonb` twice would cost everybody.
//! * What was backed up is named in the manifest with row counts and content hashes, and what could not be proved is
//!   named as such.
//! * A secret is in no argument list, no error and no log line.
//!
//! This crate knows PostgreSQL and the store. It may not know Azure, HTTP or the metadata database.

pub mod backup;
mod catalog;
pub mod check;
pub mod connect;
mod copy;
mod copy_text;
mod delta;
pub mod error;
pub mod files;
pub mod garbage;
mod large_object;
mod large_row;
mod lock;
pub mod manifest;
pub mod monitor;
mod needs;
pub mod part;
pub mod proof;
pub mod restore;
mod root;
pub mod row_hash;
mod running;
pub mod selection;
pub mod session;
mod span;
pub mod tools;
pub mod verify;

pub use backup::{BackupOptions, BackupOutcome, BackupRequest, backup, backup_server};
pub use check::{SUPPORTED_MAJORS, SourceReport, check_server, check_source};
pub use connect::{ConnectOptions, SecretFormatError, SslMode};
pub use copy::copy_recovery_point;
pub use error::{Error, Problem};
pub use files::{FilesOutcome, FilesRequest, restore_files, restore_server_files};
pub use garbage::plan_collection;
pub use large_row::LARGE_ROW_BYTES;
pub use lock::lock_recovery_point;
pub use monitor::{Monitor, Pace, PaceMeter, Phase, Progress, SilentMonitor};
pub use proof::{Difference, Proof};
pub use restore::{
    COPY_ROW_BYTES_MAX, Preflight, RestoreOptions, RestoreOutcome, RestoreRequest, RoleMap,
    RoleMode, TEMPORARY_PREFIX, drop_temporary_database, restore_database, restore_preflight,
};
pub use root::{
    describe_database, describe_recovery_point, describe_root, list_databases,
    recovery_point_warnings,
};
pub use selection::{SelectedItem, Selection, check_selection};
pub use tools::Tools;
pub use verify::{
    PackReading, ScratchRequest, verify_by_restore, verify_recovery_point,
    verify_recovery_point_knowing,
};

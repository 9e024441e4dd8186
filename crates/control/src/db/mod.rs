//! The metadata store: SQLite beside the data directory.
//!
//! # Invariants
//!
//! * A committed transaction survives a power cut: WAL with `synchronous=FULL`.
//! * There is one writer at a time: [`Db::begin`] takes the writer's connection and the write lock at once, so a
//!   transaction can never fail half way for another's sake. No transaction is held across network work.
//! * SQL is of the part that PostgreSQL reads too: `$1` placeholders, `TEXT` and `BIGINT`, JSON as text.
//! * Nothing here knows what a resource means, who calls, or what time it is.

pub mod alert;
pub mod audit;
pub mod copy;
pub mod datasource_claim;
pub mod deleted_secret;
pub mod job;
mod list_place;
pub mod operation;
pub mod principal;
pub mod purge;
pub mod recovery_point;
pub mod repository_size;
pub mod resource;
mod resource_move;
pub mod role_assignment;
pub mod role_definition;
pub mod schedule;
pub mod secret;
pub mod setting;
mod transaction;
pub mod upkeep;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub use list_place::ListPlace;
pub use resource::{
    NewResource, Page, Paged, Resource, resource_delete, resource_delete_nested, resource_exists,
    resource_find_by_name, resource_get, resource_insert, resource_list, resource_list_all,
    resource_list_children, resource_update,
};
pub use resource_move::resource_move;
pub use transaction::{Tx, Witness, Witnessed};

use crate::error::Error;

/// Connections that read at the same time.
const READERS_MAX: u32 = 8;
/// How long a request waits for a connection before it is told to come again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long SQLite itself waits for a lock of another process (a break-glass verb, a backup of the file).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whatever a statement can run on: `db.read()` or `&mut *tx`.
pub trait Executor<'e>: sqlx::Executor<'e, Database = sqlx::Sqlite> {}

impl<'e, E: sqlx::Executor<'e, Database = sqlx::Sqlite>> Executor<'e> for E {}

/// The bounds between which the keys lie of all that is nested in a resource or scope: '0' is the character after '/', so these are
/// exactly those that begin with its key and a slash.
fn keys_below(key: &str) -> (String, String) {
    (format!("{key}/"), format!("{key}0"))
}

/// The open metadata database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Db {
    /// Opens the database file, makes it when absent, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be opened, is not a database, or was written by a newer Coffer.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        make_private_file(path).map_err(|e| open_error(path, e))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await
            .map_err(|e| open_error(path, e))?;
        sqlx::migrate!("src/db/migrations").run(&writer).await.map_err(|e| open_error(path, e))?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.read_only(true))
            .await
            .map_err(|e| open_error(path, e))?;
        Ok(Self { writer, reader })
    }

    /// Begins the one write transaction. It waits for the one before to end.
    ///
    /// # Errors
    /// Transient when the wait was too long.
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx::new(self.writer.begin_with("BEGIN IMMEDIATE").await?, None))
    }

    /// The same for a change that the audit log tells of: what the witness says is committed with it.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn begin_witnessed(&self, witnessed: Witnessed) -> Result<Tx, Error> {
        Ok(Tx::new(self.writer.begin_with("BEGIN IMMEDIATE").await?, Some(witnessed)))
    }

    /// One state of the database for several reads, whatever is written meanwhile. To be dropped soon: what is written is
    /// kept aside for it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn snapshot(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, Error> {
        Ok(self.reader.begin().await?)
    }

    /// Where single reads run. What must not change between two reads belongs into a transaction.
    pub fn read(&self) -> &SqlitePool {
        &self.reader
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.reader).await?;
        Ok(())
    }

    /// Waits for running statements and closes the files.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Makes the file before SQLite would, which makes it for everybody to read; its side files get the same mode.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_file| ())
}

fn open_error(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::start_failed(
        format!("The metadata database {} cannot be opened.", path.display()),
        source,
    )
}

#[cfg(test)]
mod tests;

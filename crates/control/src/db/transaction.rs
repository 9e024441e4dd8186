//! A write transaction, and the witness that writes down what it was for before it is committed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;

use super::audit::{self, ChainKey, NewRow};
use crate::error::Error;

/// Knows what a transaction is for.
pub trait Witness: Send + Sync {
    /// What is to be written into the audit log beside the change; none when it stands there already.
    ///
    /// # Errors
    /// It has no written form: a fault of ours.
    fn row(&self) -> Result<Option<NewRow>, Error>;
    /// The row is durable.
    fn written(&self);
}

/// The witness of a transaction and the key of its chain.
#[expect(missing_debug_implementations, reason = "a witness has nothing to show")]
pub struct Witnessed {
    /// Who knows.
    pub witness: Arc<dyn Witness>,
    /// What the row's hash is made with.
    pub key: Arc<ChainKey>,
}

/// A write transaction. Pass `&mut *tx` where an executor is asked for; nothing is kept unless `commit` returned.
pub struct Tx {
    inner: sqlx::Transaction<'static, sqlx::Sqlite>,
    witnessed: Option<Witnessed>,
}

impl Tx {
    pub(super) fn new(
        inner: sqlx::Transaction<'static, sqlx::Sqlite>,
        witnessed: Option<Witnessed>,
    ) -> Self {
        Self { inner, witnessed }
    }

    /// Makes everything durable, with the witness's row where there is one: all of it or nothing.
    ///
    /// # Errors
    /// The database fails; nothing is kept then.
    pub async fn commit(mut self) -> Result<(), Error> {
        let Some(Witnessed { witness, key }) = self.witnessed.take() else {
            return Ok(self.inner.commit().await?);
        };
        match witness.row()? {
            Some(row) => {
                audit::append(&mut self.inner, &key, &row).await?;
                self.inner.commit().await?;
                witness.written();
            }
            None => self.inner.commit().await?,
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("witnessed", &self.witnessed.is_some()).finish_non_exhaustive()
    }
}

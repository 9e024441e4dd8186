//! The reader's side of a [`super::tap::Tap`]: who asks for the text of a COPY, and gets it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::{Client, CopyOutStream};

use crate::error::{Error, Result};

/// Slabs that wait for their reader.
pub(super) const SLABS_WAITING: usize = 2;

/// Text as it comes, cut anywhere.
pub type Slab = Vec<u8>;

/// How a session asks for the text of its next COPY.
#[derive(Debug, Default)]
pub(super) struct Switch {
    /// A COPY was asked for whose end was not seen.
    is_open: AtomicBool,
    sender: Mutex<Option<mpsc::Sender<Slab>>>,
}

impl Switch {
    /// Of the next COPY; none while the last was not read to its end: what comes may still be of that.
    pub(super) fn turn_on(&self) -> Option<mpsc::Receiver<Slab>> {
        if self.is_open.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(SLABS_WAITING);
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Some(receiver)
    }

    /// Who is to have the text of the COPY that has begun, asked once.
    pub(super) fn take(&self) -> Option<mpsc::Sender<Slab>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The end was seen, or it was never begun.
    pub(super) fn turn_off(&self) {
        drop(self.take());
        self.is_open.store(false, Ordering::Release);
    }
}

/// The text of one COPY, to be read to its end before the session is asked for another.
pub struct CopyText {
    slabs: mpsc::Receiver<Slab>,
    /// What the driver sees of it: its end.
    end: Pin<Box<CopyOutStream>>,
    switch: Arc<Switch>,
    what: String,
}

impl std::fmt::Debug for CopyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyText").field("what", &self.what).finish_non_exhaustive()
    }
}

impl CopyText {
    pub(super) async fn begin(
        client: &Client,
        switch: &Arc<Switch>,
        what: &str,
        statement: &str,
    ) -> Result<Self> {
        let Some(slabs) = switch.turn_on() else {
            return Err(Error::Protocol {
                context: what.to_owned(),
                message: "the session has a COPY that was not read to its end".to_owned(),
            });
        };
        match client.copy_out(statement).await {
            Ok(end) => {
                let (switch, what) = (Arc::clone(switch), what.to_owned());
                Ok(Self { slabs, end: Box::pin(end), switch, what })
            }
            Err(error) => {
                switch.turn_off();
                Err(Error::sql(what, &error))
            }
        }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// [`Error::Sql`]: what the server or the connection says in the place of the end.
    pub async fn next(&mut self) -> Result<Option<Slab>> {
        if let Some(slab) = self.slabs.recv().await {
            return Ok(Some(slab));
        }
        let end = match self.end.try_next().await {
            // Rows that the tap did not see would be missing without a word.
            Ok(Some(_)) => Err(Error::Protocol {
                context: self.what.clone(),
                message: "rows came past their reader".to_owned(),
            }),
            Ok(None) => Ok(None),
            Err(error) => Err(Error::sql(&self.what, &error)),
        };
        self.switch.turn_off();
        end
    }
}

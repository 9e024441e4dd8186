//! The large objects of the proof, read back by several sessions.
//!
//! All numbers that there can be are read, not only those of the list: an object too many is a difference as well.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::super::compare;
use super::super::context::Context;
use super::super::stored_objects::StoredRanges;
use super::super::workers::finish_all;
use super::{FORBIDDEN, forbidden_reason};
use crate::catalog::large_object::LargeObjectFacts;
use crate::error::Result;
use crate::large_object::{ObjectReader, ObjectSink, prefer_the_index};
use crate::manifest::{Content, NotProved};
use crate::monitor::{Counters, Phase};
use crate::proof::Proof;
use crate::row_hash::LargeObjectHasher;
use crate::span::{Traced as _, span};

/// First and last number.
type Numbers = (u32, u32);

impl Context {
    /// Compares all large objects.
    pub(super) async fn compare_large_objects(self: &Arc<Self>, proof: &mut Proof) -> Result<()> {
        match self.read_large_objects().await {
            Ok(found) => {
                compare::large_objects(proof, &self.manifest.large_objects.content, &found);
            }
            Err(error) if error.sqlstate() == Some(FORBIDDEN) => {
                let object = "large objects".to_owned();
                proof.not_proved.push(NotProved { object, reason: forbidden_reason() });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn read_large_objects(self: &Arc<Self>) -> Result<Content> {
        let (sender, receiver) = mpsc::channel(1);
        let receiver = Arc::new(Mutex::new(receiver));
        let ranges = self.manifest.large_objects.ranges.as_ref().map_or(1, |ranges| ranges.items);
        let workers = self.workers.min(usize::try_from(ranges).unwrap_or(usize::MAX)).max(1);
        let mut running = JoinSet::new();
        for number in 0..workers {
            let (context, receiver) = (Arc::clone(self), Arc::clone(&receiver));
            let work = async move { context.read_numbers(&receiver).await };
            running.spawn(work.traced(span!("worker", number)));
        }
        drop(receiver);
        let (handed_out, contents) =
            futures::join!(self.hand_out_numbers(sender), finish_all(running));
        // A worker's failure is the reason of the other's.
        let contents = contents?;
        handed_out?;
        let mut sum = Content::default();
        contents.into_iter().for_each(|content| sum.add(content));
        Ok(sum)
    }

    /// All numbers, cut where the backup cut them.
    async fn hand_out_numbers(&self, sender: mpsc::Sender<Numbers>) -> Result<()> {
        let mut ranges = StoredRanges::new(&self.repository, &self.manifest.large_objects);
        let mut next = Some(0);
        while let (Some(first), Some(range)) = (next, ranges.next().await?) {
            if sender.send((first, range.last)).await.is_err() {
                return Ok(());
            }
            next = range.last.checked_add(1);
        }
        if let Some(first) = next {
            // When nobody takes it, a worker says why.
            let _taken = sender.send((first, u32::MAX)).await;
        }
        Ok(())
    }

    async fn read_numbers(&self, numbers: &Mutex<mpsc::Receiver<Numbers>>) -> Result<Content> {
        let session = self.open_reading().await?;
        prefer_the_index(&session).await?;
        let reader = ObjectReader::new(&session).await?;
        let key = self.repository.row_hash_key();
        let counters = &self.counters;
        let mut sum = ObjectSum { key, hasher: None, content: Content::default(), counters };
        loop {
            let range = numbers.lock().await.recv().await;
            let Some((first, last)) = range else { return Ok(sum.content) };
            self.report(Phase::Proof, Some("large objects".to_owned()));
            reader.read(first, last, &mut sum).await?;
        }
    }
}

/// Hashes what is read, and nothing else.
struct ObjectSum<'a> {
    key: &'a [u8; 32],
    /// Of the object that has begun.
    hasher: Option<LargeObjectHasher>,
    content: Content,
    counters: &'a Counters,
}

impl ObjectSink for ObjectSum<'_> {
    async fn take(&mut self, oid: u32, bytes: &[u8]) -> Result<()> {
        let hasher = self.hasher.get_or_insert_with(|| LargeObjectHasher::new(self.key, oid));
        hasher.update(bytes);
        self.counters.add_compared(bytes.len() as u64);
        Ok(())
    }

    async fn end(&mut self, facts: LargeObjectFacts) -> Result<()> {
        let begun = self.hasher.take();
        let hasher = begun.unwrap_or_else(|| LargeObjectHasher::new(self.key, facts.oid));
        self.content.add(hasher.finish());
        Ok(())
    }
}

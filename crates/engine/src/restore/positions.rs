//! Sequences at the positions of the recovery point. They were read after the rows: no number is given out twice.

use super::context::Context;
use crate::error::{Error, Result};
use crate::manifest::Sequence;
use crate::part::PartReader;

/// Sequences set by one statement.
pub(super) const SEQUENCES_AT_ONCE: usize = 200;

impl Context {
    /// Sets every sequence.
    pub(super) async fn set_positions(&self) -> Result<()> {
        let session = self.open().await?;
        let mut reader = PartReader::new(&self.repository, &self.manifest.sequences);
        loop {
            let batch = self.next_sequences(&mut reader).await?;
            if batch.is_empty() {
                return Ok(());
            }
            let schemas: Vec<_> = batch.iter().map(|sequence| sequence.schema.as_str()).collect();
            let names: Vec<_> = batch.iter().map(|sequence| sequence.name.as_str()).collect();
            let values: Vec<_> = batch.iter().map(|sequence| sequence.last_value).collect();
            let called: Vec<_> = batch.iter().map(|sequence| sequence.is_called).collect();
            let statement = "SELECT pg_catalog.setval(pg_catalog.format('%I.%I', s, n)::pg_catalog.regclass, v, c) \
                 FROM unnest($1::text[], $2::text[], $3::int8[], $4::bool[]) AS q(s, n, v, c)";
            let done = session.query(statement, &[&schemas, &names, &values, &called]).await;
            done.map_err(|e| Error::sql("set the positions of sequences", &e))?;
        }
    }

    /// The next sequences of the list that are restored, at most [`SEQUENCES_AT_ONCE`]; none at the end.
    pub(super) async fn next_sequences(&self, reader: &mut PartReader) -> Result<Vec<Sequence>> {
        let mut batch = Vec::new();
        while batch.len() < SEQUENCES_AT_ONCE {
            match reader.next::<Sequence>().await? {
                Some(sequence) if self.selected.has_named(&sequence.schema, &sequence.name) => {
                    batch.push(sequence);
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(batch)
    }
}

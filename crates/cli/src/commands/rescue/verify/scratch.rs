//! Restoring into a database that is compared and dropped.

use anyhow::{Context as _, anyhow};
use coffer_engine::{ConnectOptions, Error, ScratchRequest, Tools, verify_by_restore};

use super::{Entry, Opened, Verdict, Watched, cancelled, in_words, is_damage};
use crate::{
    commands::rescue::restore::{Tuning, with_password},
    exit::Failure,
};

/// The server on which databases are made and dropped.
pub(super) struct Scratch {
    server: ConnectOptions,
}

impl Scratch {
    /// Not left to the parser of the command line, which repeats what it refuses: here that may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(Failure::Usage(anyhow!("--scratch: not a postgres:// URI")));
        }
        let server = ConnectOptions::parse_secret(text).context("--scratch");
        Ok(Self { server: with_password(server.map_err(Failure::Usage)?) })
    }

    pub(super) async fn verify(
        &self,
        opened: &Opened,
        id: &str,
        tuning: &Tuning,
        watched: &Watched,
    ) -> Result<Entry, Failure> {
        let work = tempfile::Builder::new()
            .prefix("coffer-rescue-")
            .tempdir()
            .map_err(anyhow::Error::from)?;
        let request = ScratchRequest {
            server: self.server.clone(),
            tools: Tools::discover(&tuning.tool_dir),
            recovery_point_id: id.to_owned(),
            workers: usize::from(tuning.workers),
            work_dir: work.path().to_owned(),
        };
        let run = verify_by_restore(
            request,
            &opened.repository,
            watched.monitor(),
            watched.cancel.clone(),
        );
        match Box::pin(run).await {
            Ok(outcome) => {
                let not_proved = outcome.proof.not_proved.into_iter();
                let warnings = outcome.warnings.into_iter();
                let mut remarks: Vec<_> = not_proved
                    .map(|not| format!("not compared: {}: {}", not.object, not.reason))
                    .collect();
                remarks.extend(warnings.map(|it| format!("warning: {}: {}", it.code, it.message)));
                Ok(Entry {
                    rows_proved: Some(outcome.proof.rows),
                    remarks,
                    ..Entry::new(id, Verdict::Sound, Vec::new())
                })
            }
            Err(Error::Cancelled) => Err(cancelled()),
            Err(Error::ProofFailed { differences }) => {
                let damage = differences.into_iter().map(|it| {
                    format!(
                        "{}: {} in the recovery point, {} restored",
                        it.object, it.expected, it.found
                    )
                });
                Ok(Entry::new(id, Verdict::Damaged, damage.collect()))
            }
            Err(error) if is_damage(&error) => {
                Ok(Entry::new(id, Verdict::Damaged, vec![in_words(error)]))
            }
            Err(Error::Preflight(problems)) => {
                let problems =
                    problems.into_iter().map(|it| format!("{}: {}", it.object, it.message));
                Ok(Entry::new(id, Verdict::Unchecked, problems.collect()))
            }
            // The server's, or not known whose: no other recovery point is kept from its turn.
            Err(error) => Ok(Entry::new(id, Verdict::Unchecked, vec![in_words(error)])),
        }
    }
}

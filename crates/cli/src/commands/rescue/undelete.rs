//! `coffer rescue undelete`: bringing back what the storage holds and a deletion has hidden.
//!
//! For the day after somebody with the storage's credentials has deleted, or written over, everything that he could. Needs no
//! key: it looks at names and locks alone.

use anyhow::anyhow;
use clap::Args;
use coffer_control::Clock;
use coffer_store::{HiddenBy, HiddenObject};
use serde::Serialize;

use super::open_storage;
use crate::{args::Output, exit::Failure, printer};

/// Bring back locked objects that were deleted or written over.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["dry_run", "yes"]))]
pub(crate) struct Undelete {
    /// Storage location, such as s3://bucket/prefix; credentials come from AWS_… variables, and need to be the owner's: those of
    /// the service have no right to delete versions
    #[arg(long, value_name = "URL")]
    storage: String,
    /// Change nothing; list what is hidden
    #[arg(long)]
    dry_run: bool,
    /// Bring it back
    #[arg(long)]
    yes: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// One object, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    hidden_by: &'static str,
    locked_until: String,
}

impl From<HiddenObject> for Entry {
    fn from(object: HiddenObject) -> Self {
        let hidden_by = match object.by {
            HiddenBy::Deletion => "deletion",
            HiddenBy::AnotherVersion => "another version",
        };
        let locked_until = printer::time(
            i64::try_from(object.locked_until_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
        );
        Self { name: object.path, hidden_by, locked_until }
    }
}

impl Undelete {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let storage = open_storage(&self.storage)?;
        let lock = storage.lock().map_err(Failure::request)?.ok_or_else(|| {
            Failure::Request(anyhow!(
                "{} is a directory, where nothing is locked and nothing that was deleted can be brought back",
                self.storage
            ))
        })?;
        let mut found = Vec::new();
        let mut count = 0_u64;
        let mut tell = |object: HiddenObject| {
            count += 1;
            match self.output {
                Output::Json => found.push(Entry::from(object)),
                // At once: a bucket may have millions.
                Output::Text => {
                    let Entry { name, hidden_by, locked_until } = object.into();
                    printer::result(&format!(
                        "{name}  hidden by {hidden_by}, locked until {locked_until}"
                    ));
                }
            }
        };
        let done = lock.undelete(Clock::system().now_ms(), self.dry_run, &mut tell).await;
        match self.output {
            Output::Json => printer::json(&found)?,
            Output::Text => {
                let verb = if self.dry_run { "would be brought back" } else { "were brought back" };
                printer::result(&format!("{count} objects {verb}"));
            }
        }
        done.map_err(Failure::request)
    }
}

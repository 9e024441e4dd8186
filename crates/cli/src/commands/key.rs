//! `coffer key`: the vaults' keys of an installation.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::principal::open;
use crate::{
    args::{Installation, Output},
    exit::Failure,
    printer,
};

/// Give all vaults new keys.
#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give every vault a new key, wrapped by the master key, and wrap the data keys of its repositories by it. Nothing that
    /// is stored is read or written anew. A service may be running.
    Rotate {
        #[command(flatten)]
        installation: Installation,
    },
}

/// What was done with one vault, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    vault: String,
    repositories: u64,
    failed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Key {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Verb::Rotate { installation } = self.verb;
        let admin = open(&installation).await?;
        let rotations = admin.keys_rotate().await;
        admin.close().await;
        let rotated: Vec<_> = rotations
            .map_err(Failure::request)?
            .into_iter()
            .map(|rotation| {
                let vault = rotation.vault.to_string();
                match rotation.outcome {
                    Ok(done) => Rotated {
                        vault,
                        repositories: done.repositories,
                        failed: done.failed,
                        error: None,
                    },
                    Err(error) => {
                        Rotated { vault, repositories: 0, failed: Vec::new(), error: Some(error) }
                    }
                }
            })
            .collect();
        if installation.output == Output::Json {
            printer::json(&rotated)?;
        } else {
            rotated.iter().for_each(print);
        }
        let failed = rotated.iter().filter(|it| it.error.is_some() || !it.failed.is_empty());
        match failed.count() {
            0 => Ok(()),
            failed => Err(Failure::Request(anyhow!(
                "{failed} of {} vaults are not done; the same command again goes on",
                rotated.len()
            ))),
        }
    }
}

fn print(rotated: &Rotated) {
    let Rotated { vault, repositories, .. } = rotated;
    match &rotated.error {
        Some(error) => printer::result(&format!("{vault}: {error}")),
        None => printer::result(&format!("{vault}: a new key wraps {repositories} repositories")),
    }
    for failed in &rotated.failed {
        printer::result(&format!("  {failed}"));
    }
}

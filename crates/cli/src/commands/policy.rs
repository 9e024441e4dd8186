//! `coffer policy`: what policies are going to do, read from the metadata itself.

use clap::{Args, Subcommand};
use coffer_control::admin::ExplainedInstance;
use coffer_control::policy::retention::Decision;
use coffer_control::policy::schedule::{read_time, shown};
use serde::Serialize;

use crate::{
    args::{Installation, Output},
    commands::principal::open,
    exit::Failure,
    printer,
};

/// See what policies do.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print when the next backups are due, and which recovery points would go, when and why. Nothing is changed.
    Explain {
        #[command(flatten)]
        installation: Installation,
        /// The backup instance's id; all of them when absent
        #[arg(long, value_name = "ID")]
        instance: Option<String>,
        /// As of this time, such as 2027-01-01T00:00:00Z; now when absent
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
}

/// An instance, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    backup_instance: String,
    protection_state: &'static str,
    policy: String,
    next_backups: Vec<String>,
    recovery_points: Vec<ShownPoint>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPoint {
    recovery_point_id: String,
    taken: String,
    tag: String,
    policy: String,
    policy_version: i64,
    expires: Option<String>,
    /// `keep` or `delete`.
    decision: &'static str,
    reason: String,
}

impl Policy {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Verb::Explain { installation, instance, at } = self.verb;
        let at_us = match &at {
            None => None,
            Some(text) => {
                Some(read_time(text).map_err(|why| Failure::usage(anyhow::anyhow!(why)))?)
            }
        };
        let admin = open(&installation).await?;
        let explained = admin.policy_explain(instance.as_deref(), at_us).await;
        admin.close().await;
        let shown: Vec<Shown> =
            explained.map_err(Failure::request)?.into_iter().map(Shown::from).collect();
        if installation.output == Output::Json {
            return printer::json(&shown);
        }
        for instance in &shown {
            print(instance);
        }
        if shown.is_empty() {
            printer::note("There are no backup instances.");
        }
        Ok(())
    }
}

impl From<ExplainedInstance> for Shown {
    fn from(explained: ExplainedInstance) -> Self {
        let points = explained.recovery_points.into_iter().map(|(point, decision)| ShownPoint {
            recovery_point_id: point.id,
            taken: shown(point.taken_us),
            tag: point.body.retention_tag,
            policy: point.body.policy_name,
            policy_version: point.body.policy_version,
            expires: point.body.expiry_us.map(shown),
            decision: if matches!(decision, Decision::Delete { .. }) { "delete" } else { "keep" },
            reason: decision.to_string(),
        });
        Self {
            backup_instance: explained.instance.to_string(),
            protection_state: explained.state,
            policy: explained.policy.to_string(),
            next_backups: explained.next_backups_us.into_iter().map(shown).collect(),
            recovery_points: points.collect(),
        }
    }
}

fn print(instance: &Shown) {
    let next = match instance.next_backups.as_slice() {
        [] => "none".to_owned(),
        times => times.join(", "),
    };
    printer::result(&format!(
        "{}\n  {}; next backups: {next}",
        instance.backup_instance, instance.protection_state
    ));
    let rows: Vec<Vec<String>> = instance
        .recovery_points
        .iter()
        .map(|point| {
            let cells =
                [&point.recovery_point_id, &point.taken, &point.tag, point.decision, &point.reason];
            cells.map(ToString::to_string).to_vec()
        })
        .collect();
    if !rows.is_empty() {
        printer::table(&["RECOVERY POINT", "TAKEN", "TAG", "DECISION", "WHY"], &rows);
    }
}

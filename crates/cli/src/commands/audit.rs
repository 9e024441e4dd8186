//! `coffer audit`: the log of who did what, read from the metadata itself and checked.

use std::collections::VecDeque;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use coffer_control::admin::{Admin, AuditedRow};
use coffer_control::audit::verify::{Head, Report};
use coffer_control::policy::schedule::shown;
use serde::Serialize;
use serde_json::Value;

use super::principal::open;
use crate::{
    args::{Installation, Output},
    exit::Failure,
    printer,
};

/// Read and check the audit log.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the newest rows, oldest first.
    List {
        #[command(flatten)]
        installation: Installation,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Only those of this caller: object id or client id
        #[arg(long, value_name = "ID")]
        principal: Option<String>,
        /// Only those about this resource and what is in it
        #[arg(long, value_name = "ID")]
        resource: Option<String>,
        /// Only those that ended so: Succeeded, Refused or Failed
        #[arg(long, value_name = "OUTCOME")]
        outcome: Option<String>,
    },
    /// Check that no row was changed, moved or taken away. The first one that does not hold is named, and the exit code is 1.
    Verify {
        #[command(flatten)]
        installation: Installation,
        /// An end of the log that was noted earlier, in the server's log or by this command: without one, rows that are
        /// missing at the end are found only if the log's own note of its end was left alone
        #[arg(long, value_name = "SEQUENCE:HASH", value_parser = read_head)]
        head: Option<Head>,
    },
    /// Print every row as a line of JSON, oldest first, for an archive of your own.
    Export {
        #[command(flatten)]
        installation: Installation,
        /// Begin behind this row
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        after: i64,
    },
}

/// A row, as programs read it.
#[derive(Serialize)]
struct Shown {
    sequence: i64,
    time: String,
    /// Exactly as it was hashed.
    #[serde(rename = "timeUs")]
    time_us: i64,
    entry: Value,
    hash: String,
}

impl From<AuditedRow> for Shown {
    fn from(AuditedRow { row, .. }: AuditedRow) -> Self {
        let entry = serde_json::from_str(&row.body).unwrap_or(Value::String(row.body));
        let (sequence, time_us) = (row.sequence, row.time_us);
        Self { sequence, time: shown(time_us), time_us, entry, hash: row.hash }
    }
}

/// What a check has found, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked<'a> {
    verified: bool,
    rows: u64,
    cut_up_to: i64,
    head: String,
    first_broken: Option<i64>,
    reason: Option<&'a str>,
    given_head_is_cut_off: bool,
}

/// Which rows are listed.
struct Wanted {
    principal: Option<String>,
    resource: Option<String>,
    outcome: Option<String>,
}

impl Audit {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List { installation, limit, principal, resource, outcome } => {
                let wanted = Wanted { principal, resource, outcome };
                let admin = open(&installation).await?;
                let found = newest(&admin, &wanted, limit as usize).await;
                admin.close().await;
                print_list(found?, installation.output)
            }
            Verb::Verify { installation, head } => {
                let admin = open(&installation).await?;
                let report = admin.audit_verify(head.as_ref()).await;
                admin.close().await;
                print_report(&report.map_err(Failure::request)?, installation.output)
            }
            Verb::Export { installation, after } => {
                let admin = open(&installation).await?;
                let exported = export(&admin, after).await;
                admin.close().await;
                exported
            }
        }
    }
}

async fn newest(admin: &Admin, wanted: &Wanted, limit: usize) -> Result<Vec<AuditedRow>, Failure> {
    let mut kept = VecDeque::new();
    let mut after = 0;
    if wanted.is_everything() {
        let end = admin.audit_end().await.map_err(Failure::request)?;
        after = end.saturating_sub(i64::try_from(limit).unwrap_or(i64::MAX)).max(0);
    }
    loop {
        let page = admin.audit_page(after).await.map_err(Failure::request)?;
        let Some(last) = page.last() else { return Ok(kept.into()) };
        after = last.row.sequence;
        for row in page.into_iter().filter(|row| wanted.matches(row)) {
            if kept.len() == limit {
                kept.pop_front();
            }
            kept.push_back(row);
        }
    }
}

impl Wanted {
    fn is_everything(&self) -> bool {
        self.principal.is_none() && self.resource.is_none() && self.outcome.is_none()
    }

    fn matches(&self, row: &AuditedRow) -> bool {
        let Some(entry) = &row.entry else { return self.is_everything() };
        let is_of = |id: &String| {
            [&entry.principal_id, &entry.application_id]
                .into_iter()
                .flatten()
                .any(|known| known.eq_ignore_ascii_case(id))
        };
        let is_in = |id: &String| {
            let (known, wanted) = (entry.resource.to_lowercase(), id.to_lowercase());
            known
                .strip_prefix(wanted.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let ended = |outcome: &String| format!("{:?}", entry.outcome).eq_ignore_ascii_case(outcome);
        self.principal.as_ref().is_none_or(is_of)
            && self.resource.as_ref().is_none_or(is_in)
            && self.outcome.as_ref().is_none_or(ended)
    }
}

fn print_list(found: Vec<AuditedRow>, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return printer::json(&found.into_iter().map(Shown::from).collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .map(|AuditedRow { row, entry }| {
            let (sequence, time) = (row.sequence.to_string(), shown(row.time_us));
            let Some(entry) = entry else {
                return vec![sequence, time, "unreadable".to_owned()];
            };
            let action = match (&entry.repeated, entry.count) {
                (Some(repeated), _) => format!("{} ({} more)", entry.action, repeated.count),
                (None, 0) => entry.action.clone(),
                (None, count) => format!("{} ({count})", entry.action),
            };
            let who = entry.principal_id.or(entry.application_id).unwrap_or_else(|| {
                let nobody = if entry.action.starts_with("Coffer/") { "the service" } else { "-" };
                entry
                    .operator_uid
                    .map_or_else(|| nobody.to_owned(), |uid| format!("operator {uid}"))
            });
            let outcome = match entry.code {
                Some(code) => format!("{:?} {code}", entry.outcome),
                None => format!("{:?}", entry.outcome),
            };
            vec![sequence, time, outcome, who, action, entry.resource]
        })
        .collect();
    printer::table(&["ROW", "TIME", "OUTCOME", "WHO", "ACTION", "RESOURCE"], &rows);
    Ok(())
}

async fn export(admin: &Admin, mut after: i64) -> Result<(), Failure> {
    loop {
        let page = admin.audit_page(after).await.map_err(Failure::request)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.row.sequence;
        for row in page {
            let line = serde_json::to_string(&Shown::from(row)).map_err(anyhow::Error::from)?;
            printer::result(&line);
        }
    }
}

fn print_report(report: &Report, output: Output) -> Result<(), Failure> {
    let head = format!("{}:{}", report.head.sequence, report.head.hash);
    if output == Output::Json {
        printer::json(&Checked {
            verified: report.broken.is_none(),
            rows: report.rows,
            cut_up_to: report.cut_sequence,
            head,
            first_broken: report.broken.as_ref().map(|found| found.sequence),
            reason: report.broken.as_ref().map(|found| found.what),
            given_head_is_cut_off: report.expected_is_cut,
        })?;
    } else {
        printer::result(&format!("{} rows hold, up to {head}", report.rows));
        if report.cut_sequence > 0 {
            let cut = report.cut_sequence;
            printer::result(&format!("rows up to {cut} were cut off as older than the retention"));
        }
        if report.expected_is_cut {
            printer::note(
                "The head that was given is of a row that was cut off; it could not be compared.",
            );
        }
    }
    match &report.broken {
        None => Ok(()),
        Some(found) => Err(Failure::Request(anyhow!(
            "the audit log does not hold at row {}: {}",
            found.sequence,
            found.what
        ))),
    }
}

fn read_head(text: &str) -> Result<Head, String> {
    let parsed = text.split_once(':').and_then(|(sequence, hash)| {
        let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Head { sequence, hash: hash.to_ascii_lowercase() })
    });
    parsed.ok_or_else(|| {
        "a head is a row's number, a colon and its hash, as `coffer audit verify` prints it"
            .to_owned()
    })
}

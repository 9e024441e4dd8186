//! Counts acts by kind, and why they were given up.

use std::collections::BTreeMap;
use std::fmt;

/// What is no conflict with others, but an act that is written wrongly: syntax, a column, a function, a type, a right.
const MISTAKES: [&str; 5] = ["42601", "42703", "42883", "42804", "42501"];

#[derive(Default)]
pub(super) struct Tally {
    /// Done and given up.
    kinds: BTreeMap<&'static str, (u64, u64)>,
    given_up: BTreeMap<(&'static str, String), (u64, String)>,
}

impl Tally {
    pub(super) fn count(&mut self, kind: &'static str, acted: Result<(), tokio_postgres::Error>) {
        let counts = self.kinds.entry(kind).or_default();
        match acted {
            Ok(()) => counts.0 += 1,
            Err(error) => {
                counts.1 += 1;
                let error = error.as_db_error().expect("an error of the server");
                let reason = (kind, error.code().code().to_owned());
                self.given_up.entry(reason).or_insert_with(|| (0, error.message().to_owned())).0 +=
                    1;
            }
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (kind, (done, given_up)) in other.kinds {
            let counts = self.kinds.entry(kind).or_default();
            counts.0 += done;
            counts.1 += given_up;
        }
        for (reason, (count, message)) in other.given_up {
            self.given_up.entry(reason).or_insert((0, message)).0 += count;
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.kinds.values().map(|counts| counts.0).sum()
    }

    /// Reasons that no other writer is to blame for.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mistakes =
            self.given_up.iter().filter(|((_, code), _)| MISTAKES.contains(&code.as_str()));
        mistakes.map(|((kind, code), (_, message))| format!("{kind}: {code} {message}")).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (done, given_up)) in &self.kinds {
            writeln!(f, "{kind}: {done} done, {given_up} given up")?;
        }
        for ((kind, code), (count, message)) in &self.given_up {
            writeln!(f, "  {kind} {code} {count} times, such as: {message}")?;
        }
        Ok(())
    }
}

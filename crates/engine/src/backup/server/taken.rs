//! What of a server was read so far, and what of it was not and why.

use std::collections::{BTreeMap, HashSet};

use crate::catalog::server::{Databases, Listed};
use crate::error::{Error, Result};
use crate::manifest::{
    DATABASES_MAX, DatabaseEntry, DatabaseManifest, LeftOut, Part, ServerIdentity, Totals, Warning,
};
use crate::root::{WARNINGS_MAX, of_database};

/// The reason of a database that went while its turn had not ended.
const GONE: &str = "it was dropped during the backup";
/// The reason of one that came after the last look at the list.
const TOO_LATE: &str = "it was made when the others had been read; the next backup has it";

/// What became of one whose name another has now.
const REPLACED: &str =
    "it was dropped during the backup; the one that has its name now is in the recovery point";

/// The databases of a server, as far as they had their turn.
#[derive(Default)]
pub(super) struct Taken {
    entries: Vec<DatabaseEntry>,
    /// Oids of all that had their turn, or have it.
    seen: HashSet<u32>,
    /// Those that were read and whose names others have now, with those names: where they are still there, they have another
    /// turn.
    again: BTreeMap<u32, String>,
    left_out: Vec<LeftOut>,
    identity: Option<ServerIdentity>,
    /// Of the server.
    warnings: Vec<Warning>,
    /// Of databases, with their names.
    of_databases: Vec<Warning>,
    more_of_databases: u64,
}

impl Taken {
    /// Whether it is this database's turn: false when it had it.
    ///
    /// # Errors
    /// When a recovery point would hold too many.
    pub(super) fn begin(&mut self, oid: u32) -> Result<bool> {
        let new = self.seen.insert(oid);
        self.again.remove(&oid);
        if self.seen.len() > DATABASES_MAX {
            let message = format!("the server has more than {DATABASES_MAX} databases");
            return Err(Error::Unsupported { code: "TooManyDatabases", message });
        }
        Ok(new)
    }

    /// Says what else a person should know of the server.
    pub(super) fn warn(&mut self, code: &str, message: String) {
        self.warnings.push(Warning { code: code.to_owned(), message });
    }

    /// A database was dropped while its turn had not ended.
    pub(super) fn gone(&mut self, database: String) {
        self.warn("DatabaseGone", format!("database {database}: {GONE}"));
        self.left_out.push(LeftOut { database, reason: GONE.to_owned() });
    }

    /// What the last look at the list has found new, or unfit to be read. One that was read by then stays.
    ///
    /// # Errors
    /// When a database is there that would have to be read again: its name changed too late.
    pub(super) fn leave_out(&mut self, listed: Databases) -> Result<()> {
        for Listed { oid, name } in listed.to_read {
            if self.again.contains_key(&oid) {
                return Err(renamed(&name));
            }
            if !self.seen.contains(&oid) {
                self.warn("DatabaseTooLate", format!("database {name}: {TOO_LATE}"));
                self.left_out.push(LeftOut { database: name, reason: TOO_LATE.to_owned() });
            }
        }
        for (Listed { oid, name }, reason) in listed.left_out {
            if !self.seen.contains(&oid) {
                self.left_out.push(LeftOut { database: name, reason: reason.to_owned() });
            }
        }
        for name in std::mem::take(&mut self.again).into_values() {
            self.warn("DatabaseReplaced", format!("database {name}: {REPLACED}"));
        }
        Ok(())
    }

    /// Looks whether the server is that of the databases before: an address may come to stand for another at any time.
    ///
    /// # Errors
    /// When it is another.
    pub(super) fn require_same_server(&mut self, manifest: &DatabaseManifest) -> Result<()> {
        let source = &manifest.source;
        let identity = self.identity.get_or_insert_with(|| ServerIdentity {
            system_identifier: source.system_identifier.clone(),
            server_version_num: source.server_version_num,
            server_version: source.server_version.clone(),
            in_recovery: source.in_recovery,
        });
        if identity.system_identifier == source.system_identifier {
            return Ok(());
        }
        Err(Error::ConnectionLost {
            message: "another server has answered than for the databases before".to_owned(),
        })
    }

    /// A database is whole, and its root is stored. One that was read under the same name before has lost that name since: it
    /// is no part of the recovery point any more, and has another turn if it is still there.
    pub(super) fn keep(&mut self, manifest: DatabaseManifest, root: Part) {
        let same = |entry: &DatabaseEntry| entry.name == manifest.source.database;
        if let Some(at) = self.entries.iter().position(same) {
            let DatabaseEntry { oid, name, .. } = self.entries.swap_remove(at);
            self.seen.remove(&oid);
            self.again.insert(oid, name);
        }
        for told in &manifest.warnings {
            if self.of_databases.len() < WARNINGS_MAX {
                self.of_databases.push(of_database(&manifest.source.database, told));
            } else {
                self.more_of_databases += 1;
            }
        }
        self.entries.push(DatabaseEntry {
            oid: manifest.source.database_oid,
            name: manifest.source.database,
            manifest: root,
            taken_at_unix_us: manifest.snapshot.taken_at_unix_us,
            totals: manifest.totals,
        });
    }

    /// All of it, when every database had its turn.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn finish(self) -> Result<Whole> {
        let Self { mut entries, left_out, warnings, mut of_databases, .. } = self;
        let Some(identity) = self.identity else {
            return Err(Error::Unsupported {
                code: "NoDatabases",
                message: "the server has no database that could be backed up".to_owned(),
            });
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if self.more_of_databases > 0 {
            let message = format!("{} more warnings are not shown", self.more_of_databases);
            of_databases.push(Warning { code: "MoreWarnings".to_owned(), message });
        }
        let mut totals = Totals::default();
        entries.iter().for_each(|entry| totals.add(entry.totals));
        let times = entries.iter().map(|entry| entry.taken_at_unix_us);
        let earliest_us = times.clone().min().unwrap_or_default();
        let latest_us = times.max().unwrap_or_default();
        Ok(Whole {
            entries,
            left_out,
            identity,
            warnings,
            of_databases,
            totals,
            earliest_us,
            latest_us,
        })
    }
}

/// A database whose name does not stay.
pub(super) fn renamed(name: &str) -> Error {
    let message = format!("database {name:?} was renamed again and again during the backup");
    Error::Unsupported { code: "DatabaseRenamed", message }
}

/// Everything that the databases of a server say of its recovery point.
pub(super) struct Whole {
    /// By name.
    pub(super) entries: Vec<DatabaseEntry>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) identity: ServerIdentity,
    /// Of the server.
    pub(super) warnings: Vec<Warning>,
    /// Of databases, as many as are told.
    pub(super) of_databases: Vec<Warning>,
    /// Sums over the databases.
    pub(super) totals: Totals,
    /// Times of the first and of the last snapshot, microseconds since 1970.
    pub(super) earliest_us: i64,
    pub(super) latest_us: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(oid: u32, name: &str) -> Listed {
        Listed { oid, name: name.to_owned() }
    }

    #[test]
    fn what_was_read_is_never_said_to_be_left_out() {
        let mut taken = Taken::default();
        assert!(taken.begin(1).unwrap() && taken.begin(2).unwrap() && !taken.begin(1).unwrap());
        let last = Databases {
            to_read: vec![listed(1, "read"), listed(3, "late")],
            left_out: vec![(listed(2, "closed since"), "closed"), (listed(4, "template"), "one")],
            ..Databases::default()
        };
        taken.leave_out(last).unwrap();
        let left: Vec<_> = taken.left_out.iter().map(|left| left.database.as_str()).collect();
        assert_eq!(left, ["late", "template"]);
        let told: Vec<_> = taken.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert_eq!(told, ["DatabaseTooLate"]);
    }

    #[test]
    fn a_recovery_point_holds_so_many_databases_and_at_least_one() {
        let mut taken = Taken::default();
        for oid in 0..u32::try_from(DATABASES_MAX).unwrap() {
            taken.begin(oid).unwrap();
        }
        assert!(!taken.begin(0).unwrap());
        let error = taken.begin(u32::MAX).unwrap_err();
        assert!(matches!(error, Error::Unsupported { code: "TooManyDatabases", .. }), "{error}");
        let none = Taken::default().finish();
        assert!(matches!(none, Err(Error::Unsupported { code: "NoDatabases", .. })));
    }
}

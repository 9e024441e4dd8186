//! A part of a recovery point: chosen schemas and tables, and what they can't be without.
//!
//! The archive's table of contents says what depends on what, so the choice is made there. Three rules:
//!
//! * **A table comes whole**: all its rows, and what stands on it (defaults, constraints, indexes, triggers, rules, policies,
//!   statistics, owned sequences, comments, privileges). A partitioned table brings all its partitions.
//! * **What a chosen table needs comes with it**: types, functions, extensions, tables that it inherits from. A table that
//!   comes for this reason comes whole as well, and is named.
//! * **Everything else stays away from tables that were not chosen**: a view, function, foreign key or trigger that needs one
//!   is left out, and is named. A part never grows beyond what was asked for because of a view.
//!
//! A partition that is chosen without its partitioned table comes as a table of its own, with its own indexes.
//!
//! What belongs to the database as a whole (publications, subscriptions, event triggers, casts, large objects unless asked
//! for) is not a part of a part.

mod entry;
mod graph;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use coffer_store::Repository;

use self::graph::Graph;
use crate::error::{Error, Problem};
use crate::files::toc::{Entry, Toc};
use crate::manifest::{Extension, NotProved, Root, Table, Warning};
use crate::restore::schema::read_toc;
use crate::root::{describe_database, describe_root};

/// Most items of one choice.
pub const ITEMS_MAX: usize = 10_000;

/// Names shown in one warning.
const NAMES_SHOWN: usize = 20;

/// Kinds of entries that are no object of their own and stay in every part: how the text is to be read.
const ALWAYS: [&str; 5] =
    ["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"];

/// What of a recovery point is restored. By default all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Which database of a server's recovery point; none for a database's, which has only one.
    pub database: Option<String>,
    /// Chosen parts; none means everything.
    pub items: Vec<SelectedItem>,
    /// Large objects come back. They belong to no schema: of a part they come only when asked for.
    pub large_objects: bool,
    /// User mappings of foreign servers come back, with the passwords that are in them.
    pub user_mappings: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self { database: None, items: Vec::new(), large_objects: true, user_mappings: true }
    }
}

/// One chosen part. Names are those of the catalog, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectedItem {
    /// Everything in a schema.
    Schema(String),
    /// An ordinary, partitioned or foreign table, or a partition.
    Table {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// All tables of a schema whose names begin so.
    TablesWithPrefix {
        /// The schema.
        schema: String,
        /// Beginning of the names.
        prefix: String,
    },
}

impl std::fmt::Display for SelectedItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Schema(schema) => write!(f, "schema {schema}"),
            Self::Table { schema, name } => write!(f, "table {schema}.{name}"),
            Self::TablesWithPrefix { schema, prefix } => write!(f, "tables {schema}.{prefix}*"),
        }
    }
}

impl Selection {
    /// Everything of the database is chosen.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes out of the archive what was not chosen.
    ///
    /// # Errors
    /// What stands in the way of this choice: items that the recovery point does not hold, names that can't be compared.
    pub(crate) fn apply(
        &self,
        toc: &mut Toc,
        extensions: &[Extension],
    ) -> Result<Selected, Vec<Problem>> {
        let mut warnings = Vec::new();
        let chosen = if self.is_everything() {
            None
        } else {
            Some(self.part(toc, extensions, &mut warnings)?)
        };
        if !self.user_mappings {
            take_out_user_mappings(toc, &mut warnings);
        }
        Ok(Selected { chosen, large_objects: self.large_objects, warnings })
    }

    fn part(
        &self,
        toc: &mut Toc,
        extensions: &[Extension],
        warnings: &mut Vec<Warning>,
    ) -> Result<Chosen, Vec<Problem>> {
        self.check_names(toc)?;
        let graph = Graph::new(&toc.entries, extensions);
        let part = graph.part(&self.items);
        if !part.not_found.is_empty() {
            return Err(part
                .not_found
                .iter()
                .map(|item| Problem {
                    code: "NotInRecoveryPoint".to_owned(),
                    object: item.to_string(),
                    message: format!("the recovery point has no {item}"),
                })
                .collect());
        }
        let named = |code: &str, entries: &[usize], why: &str, warnings: &mut Vec<Warning>| {
            if !entries.is_empty() {
                let names = graph.names(entries, NAMES_SHOWN);
                warnings
                    .push(Warning { code: code.to_owned(), message: format!("{why}: {names}") });
            }
        };
        let why = "restored as well, since what was chosen needs them";
        named("SelectionExtended", &part.added_tables, why, warnings);
        let why = "left out, since they need tables that were not chosen";
        named("LeftOutOfSelection", &part.left_out, why, warnings);
        let why = "a partition without its partitioned table comes as a table of its own";
        named("PartitionAlone", &part.lone_partitions, why, warnings);
        let keep = part.keep;
        let gone = graph.names_of_relations(&keep);
        let mut places = keep.iter();
        toc.entries.retain(|entry| {
            *places.next().unwrap_or(&false) || ALWAYS.iter().any(|kind| entry.is(kind))
        });
        Ok(Chosen { gone, ..Chosen::of(&toc.entries) })
    }

    /// Names are compared byte by byte with those of the archive, which are in the database's encoding.
    fn check_names(&self, toc: &Toc) -> Result<(), Vec<Problem>> {
        let problem = |object: String, message: String| {
            Err(vec![Problem { code: "SelectionNames".to_owned(), object, message }])
        };
        if self.items.len() > ITEMS_MAX {
            let message = format!("at most {ITEMS_MAX} schemas and tables can be chosen");
            return problem("selection".to_owned(), message);
        }
        let encoding = toc.encoding().unwrap_or_default();
        if matches!(encoding.as_str(), "UTF8" | "SQL_ASCII") {
            return Ok(());
        }
        let is_odd = |item: &&SelectedItem| !item.to_string().is_ascii();
        let odd_object = |entry: &&Entry| {
            (entry.is("SEQUENCE") || entry.is("MATERIALIZED VIEW"))
                && [&entry.namespace, &entry.tag].into_iter().flatten().any(|name| !name.is_ascii())
        };
        let odd = self.items.iter().find(is_odd).map(ToString::to_string).or_else(|| {
            let entry = toc.entries.iter().find(odd_object)?;
            Some(entry::name_of(entry))
        });
        match odd {
            None => Ok(()),
            Some(object) => {
                let message = format!(
                    "parts of a database with encoding {encoding} can be chosen only where names are ASCII; restore all of it"
                );
                problem(object, message)
            }
        }
    }
}

/// Looks whether a recovery point holds what is chosen. All of a server's holds itself.
///
/// # Errors
/// [`Error::Preflight`] with what stands in the way; when the recovery point can't be read.
pub async fn check_selection(
    selection: &Selection,
    recovery_point_id: &str,
    repository: &Repository,
) -> Result<(), Error> {
    let database = selection.database.as_deref();
    if database.is_none()
        && selection.is_everything()
        && matches!(describe_root(repository, recovery_point_id).await?, Root::Server(_))
    {
        return Ok(());
    }
    let manifest = describe_database(repository, recovery_point_id, database).await?;
    let mut toc = read_toc(repository, &manifest).await?;
    selection.apply(&mut toc, &manifest.extensions).map(drop).map_err(Error::Preflight)
}

/// A choice, looked up in one recovery point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selected {
    /// None for everything.
    chosen: Option<Chosen>,
    large_objects: bool,
    /// What a person should know of it.
    pub(crate) warnings: Vec<Warning>,
}

/// What the entries that are left stand for.
#[derive(Debug, Clone, Default)]
struct Chosen {
    tables: HashSet<u32>,
    extensions: HashSet<Vec<u8>>,
    /// Schema and name of sequences and materialized views.
    named: HashSet<(Vec<u8>, Vec<u8>)>,
    /// Names, as a list of what is not proved has them, of tables and views that were taken out.
    gone: HashSet<String>,
}

impl Chosen {
    fn of(entries: &[Entry]) -> Self {
        let mut chosen = Self::default();
        for entry in entries {
            let tag = entry.tag.clone().unwrap_or_default();
            if entry.is("TABLE") {
                chosen.tables.extend(entry.oid());
            } else if entry.is("EXTENSION") {
                chosen.extensions.insert(tag);
            } else if entry.is("SEQUENCE") || entry.is("MATERIALIZED VIEW") {
                chosen.named.insert((entry.namespace.clone().unwrap_or_default(), tag));
            }
        }
        chosen
    }
}

impl Selected {
    /// Only a part was chosen.
    pub(crate) fn is_part(&self) -> bool {
        self.chosen.is_some()
    }

    /// The table's rows are restored. An extension's configuration comes where the extension does.
    pub(crate) fn has_table(&self, table: &Table) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| match &table.extension {
            Some(extension) => chosen.extensions.contains(extension.as_bytes()),
            None => chosen.tables.contains(&table.oid),
        })
    }

    /// The sequence or materialized view is restored.
    pub(crate) fn has_named(&self, schema: &str, name: &str) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| {
            chosen.named.contains(&(schema.as_bytes().to_vec(), name.as_bytes().to_vec()))
        })
    }

    /// Those of the things that can't be proved that are restored.
    pub(crate) fn not_proved(&self, all: &[NotProved]) -> Vec<NotProved> {
        let stays = |not: &&NotProved| {
            self.chosen.as_ref().is_none_or(|chosen| !chosen.gone.contains(&not.object))
        };
        all.iter().filter(stays).cloned().collect()
    }

    /// Large objects are restored.
    pub(crate) fn has_large_objects(&self) -> bool {
        self.large_objects
    }

    /// The extension is restored.
    pub(crate) fn has_extension(&self, name: &str) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.extensions.contains(name.as_bytes()))
    }
}

/// Takes the user mappings out of an archive and names them, without their options.
fn take_out_user_mappings(toc: &mut Toc, warnings: &mut Vec<Warning>) {
    let is_mapping = |entry: &Entry| entry.is("USER MAPPING");
    let places: Vec<_> =
        (0..toc.entries.len()).filter(|place| is_mapping(&toc.entries[*place])).collect();
    if places.is_empty() {
        return;
    }
    let names = entry::names(&toc.entries, &places, NAMES_SHOWN);
    toc.entries.retain(|entry| !is_mapping(entry));
    warnings.push(Warning {
        code: "UserMappingsLeftOut".to_owned(),
        message: format!(
            "left out as the setting says; make them again with CREATE USER MAPPING where foreign tables are used: {names}"
        ),
    });
}

/// The same for an archive as `pg_dump` wrote it.
///
/// # Errors
/// [`Error::Manifest`] when it is no archive that this version understands.
pub(crate) fn without_user_mappings(
    archive: Vec<u8>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<u8>, Error> {
    let mut toc =
        Toc::read(&archive).map_err(|error| Error::Manifest { message: error.to_string() })?;
    take_out_user_mappings(&mut toc, warnings);
    Ok(toc.write())
}

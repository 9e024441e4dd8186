//! The last step: the database gets its name, owner, privileges and settings in one transaction, from another database.
//!
//! Settings come here and not earlier: a `default_transaction_read_only` of the source would stop the restore itself. What the
//! role may not set is a warning, each in its own savepoint; the name is not optional. This commit waits for the disk, and with
//! it for everything that was written before.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::RoleMode;
use super::acl::{AclObject, statements};
use super::context::Context;
use super::identity::oid_of;
use super::pg_restore_log::without_constants;
use super::settings::assignment;
use super::temporary::{end_sessions, in_use, open_maintenance};
use crate::error::{Error, Result};
use crate::monitor::Phase;
use crate::session::{self, quote_identifier, quote_literal};

/// How often the rename is tried while other sessions are in the database, and the time between.
const RENAME_ATTEMPTS: u32 = 40;
const RENAME_PAUSE: Duration = Duration::from_millis(250);

/// A database of the name appeared meanwhile (`duplicate_database`).
const NAME_TAKEN: &str = "42P04";

impl Context {
    /// Gives the restored database its name and properties.
    ///
    /// # Errors
    /// [`Error::TargetExists`] when the name was taken meanwhile, [`Error::Sql`] when sessions that can't be ended keep the
    /// database in use, [`Error::Cancelled`] before it begins and while it waits for these, [`Error::Protocol`] when another database
    /// has the temporary name, failures of the connection.
    pub(super) async fn give_name(&self, cancel: &CancellationToken) -> Result<()> {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        self.report(Phase::Rename, None);
        let client = open_maintenance(&self.request.target).await?;
        let temporary = quote_identifier(&self.request.temporary_database);
        let name = quote_identifier(&self.request.database);
        let rename = format!("ALTER DATABASE {temporary} RENAME TO {name}");
        let mut attempt = 1;
        loop {
            execute(&client, "BEGIN; SET LOCAL synchronous_commit = on").await?;
            match execute(&client, &rename).await {
                Ok(()) => break,
                Err(error) if error.sqlstate() == Some(NAME_TAKEN) => {
                    return Err(Error::TargetExists { database: self.request.database.clone() });
                }
                Err(error) if in_use(&error) && attempt < RENAME_ATTEMPTS => {
                    execute(&client, "ROLLBACK").await?;
                    end_sessions(&client, &self.request.temporary_database).await?;
                    tokio::select! {
                        () = tokio::time::sleep(RENAME_PAUSE) => {}
                        () = cancel.cancelled() => return Err(Error::Cancelled),
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
        // The name says only which restore it is of: a run that was taken for dead may have been followed by another, whose database is
        // not the one that was proved here.
        if oid_of(&client, &self.request.database).await?.as_ref() != self.made.get() {
            execute(&client, "ROLLBACK").await?;
            return Err(Error::Protocol {
                context: "give the database its name".to_owned(),
                message: "another run of this restore has made the database anew".to_owned(),
            });
        }
        for statement in self.properties(&name)? {
            self.try_statement(&client, &statement).await?;
        }
        execute(&client, "COMMIT").await
    }

    /// Statements for everything but the name.
    fn properties(&self, name: &str) -> Result<Vec<String>> {
        let properties = &self.manifest.database;
        let map = &self.request.role_map;
        let mut wanted = Vec::new();
        if let Some(comment) = &properties.comment {
            wanted.push(format!("COMMENT ON DATABASE {name} IS {}", quote_literal(comment)));
        }
        if properties.connection_limit != -1 {
            wanted.push(format!(
                "ALTER DATABASE {name} CONNECTION LIMIT {}",
                properties.connection_limit
            ));
        }
        for setting in &properties.settings {
            let assignment = assignment(&setting.name, &setting.value);
            match &setting.role {
                None => wanted.push(format!("ALTER DATABASE {name} SET {assignment}")),
                Some(role) if self.request.options.roles == RoleMode::CreateMissing => {
                    wanted.push(format!(
                        "ALTER ROLE {} IN DATABASE {name} SET {assignment}",
                        quote_identifier(map.name(role))
                    ));
                }
                Some(_) => {}
            }
        }
        if self.request.options.roles == RoleMode::CreateMissing {
            let owner = map.name(&properties.owner);
            let acl = map.acl(properties.acl.as_deref());
            let acl = statements(AclObject::Database, name, owner, acl.as_deref());
            let acl = acl.map_err(|item| Error::Manifest {
                message: format!("privileges {item:?} are not understood"),
            })?;
            // Late, since who is no superuser may have less to say afterwards; before the privileges, which are the owner's.
            wanted.push(format!("ALTER DATABASE {name} OWNER TO {}", quote_identifier(owner)));
            wanted.extend(acl.into_iter().map(|statement| statement.sql));
        }
        Ok(wanted)
    }

    /// Runs a statement whose failure is a warning.
    async fn try_statement(&self, client: &Client, statement: &str) -> Result<()> {
        execute(client, "SAVEPOINT property").await?;
        match execute(client, statement).await {
            Ok(()) => execute(client, "RELEASE SAVEPOINT property").await,
            Err(error) if error.sqlstate().is_some() => {
                execute(client, "ROLLBACK TO SAVEPOINT property; RELEASE SAVEPOINT property")
                    .await?;
                // Settings of applications may be secrets.
                let statement = without_constants(statement);
                self.warn(
                    "PropertyNotRestored",
                    format!("a property of the database is not as it was: {error}: {statement}"),
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

async fn execute(client: &Client, statement: &str) -> Result<()> {
    session::execute(client, "give the database its name", statement).await
}

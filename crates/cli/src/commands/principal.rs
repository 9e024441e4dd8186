//! `coffer principal`: service principals, changed in the metadata itself.

use clap::{Args, Subcommand};
use coffer_control::db::principal::{Principal, PrincipalKind};
use coffer_control::{
    Config,
    admin::{Admin, RoleGrant},
    identity::principal::NewApplication,
};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::{
    args::{Installation, Output},
    exit::Failure,
    printer,
};

/// Manage service principals.
#[derive(Debug, Args)]
pub(crate) struct PrincipalCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a principal with a secret, which is printed once and can't be shown again; or, with --issuer and --subject, one that
    /// comes with tokens of another issuer.
    Create {
        #[command(flatten)]
        installation: Installation,
        /// Its name, for people
        #[arg(long)]
        name: String,
        /// A role's name or id (may be repeated; all are given at the same scope)
        #[arg(long, value_name = "ROLE", requires = "scope")]
        role: Vec<String>,
        /// Where the roles are given, such as /subscriptions/…
        #[arg(long, value_name = "ID", requires = "role")]
        scope: Option<String>,
        /// An issuer of the configuration (identity.issuers), by whose tokens the principal proves who it is
        #[arg(long, value_name = "URL", requires = "subject")]
        issuer: Option<String>,
        /// What the claim of these tokens says that the issuer is configured with (sub, oid)
        #[arg(long, value_name = "VALUE", requires = "issuer")]
        subject: Option<String>,
    },
    /// Give a principal a new secret; the old one is void at once.
    Rotate {
        #[command(flatten)]
        installation: Installation,
        /// Object id or client id
        id: String,
    },
    /// Delete a principal with its roles; its tokens are void at once.
    Delete {
        #[command(flatten)]
        installation: Installation,
        /// Object id or client id
        id: String,
    },
    /// List all principals with their roles.
    List {
        #[command(flatten)]
        installation: Installation,
    },
}

/// A principal with its secret, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WithSecret<'a> {
    principal_id: &'a str,
    client_id: &'a str,
    display_name: &'a str,
    client_secret: &'a str,
}

/// A principal of the list, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    principal_id: String,
    client_id: String,
    display_name: String,
    /// The identity of a vault: it has no secret.
    managed: bool,
    /// By whose tokens it proves who it is, when it is not by its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    roles: Vec<ListedRole>,
}

impl Listed {
    fn of(principal: Principal, roles: Vec<ListedRole>) -> Self {
        let managed = principal.kind == PrincipalKind::Managed;
        let (issuer, subject) = principal.federated.unzip();
        Self {
            principal_id: principal.id,
            client_id: principal.application_id,
            display_name: principal.display_name,
            managed,
            issuer,
            subject,
            roles,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedRole {
    role_definition_id: String,
    scope: String,
}

impl PrincipalCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Create { installation, name, role, scope, issuer, subject } => {
                let scope = scope.unwrap_or_default();
                let grants: Vec<_> =
                    role.into_iter().map(|role| RoleGrant { role, scope: scope.clone() }).collect();
                let admin = open(&installation).await?;
                if let (Some(issuer), Some(subject)) = (issuer, subject) {
                    let made =
                        admin.principal_create_federated(&name, &issuer, &subject, &grants).await;
                    admin.close().await;
                    return print_federated(installation.output, made.map_err(Failure::request)?);
                }
                let made = admin.principal_create(&name, &grants).await;
                admin.close().await;
                print_secret(installation.output, &made.map_err(Failure::request)?)
            }
            Verb::Rotate { installation, id } => {
                let admin = open(&installation).await?;
                let made = admin.principal_rotate(&id).await;
                admin.close().await;
                print_secret(installation.output, &made.map_err(Failure::request)?)
            }
            Verb::Delete { installation, id } => {
                let admin = open(&installation).await?;
                let deleted = admin.principal_delete(&id).await;
                admin.close().await;
                deleted.map_err(Failure::request)
            }
            Verb::List { installation } => list(&installation).await,
        }
    }
}

/// Opens the metadata of an installation that was started before.
pub(super) async fn open(installation: &Installation) -> Result<Admin, Failure> {
    let config = Config::load(&installation.data_dir, installation.config.as_deref())
        .map_err(Failure::usage)?;
    Admin::open(&config).await.map_err(Failure::request)
}

fn print_secret(output: Output, made: &NewApplication) -> Result<(), Failure> {
    let shown = WithSecret {
        principal_id: &made.principal.id,
        client_id: &made.principal.application_id,
        display_name: &made.principal.display_name,
        client_secret: made.secret.expose_secret(),
    };
    if output == Output::Json {
        return printer::json(&shown);
    }
    // The names that Azure's clients read from the environment.
    printer::result(&format!("AZURE_CLIENT_ID={}", shown.client_id));
    printer::result(&format!("AZURE_CLIENT_SECRET={}", shown.client_secret));
    printer::result(&format!("COFFER_PRINCIPAL_ID={}", shown.principal_id));
    Ok(())
}

fn print_federated(output: Output, made: Principal) -> Result<(), Failure> {
    if output == Output::Json {
        return printer::json(&Listed::of(made, Vec::new()));
    }
    printer::result(&format!("COFFER_PRINCIPAL_ID={}", made.id));
    Ok(())
}

async fn list(installation: &Installation) -> Result<(), Failure> {
    let admin = open(installation).await?;
    let principals = admin.principal_list().await;
    admin.close().await;
    let listed: Vec<_> = principals
        .map_err(Failure::request)?
        .into_iter()
        .map(|info| {
            let roles = info.roles.into_iter().map(|role| ListedRole {
                role_definition_id: role.role_definition_id,
                scope: role.scope.to_string(),
            });
            let roles = roles.collect();
            Listed::of(info.principal, roles)
        })
        .collect();
    if installation.output == Output::Json {
        return printer::json(&listed);
    }
    let rows: Vec<Vec<String>> = listed
        .into_iter()
        .map(|principal| {
            let roles = principal.roles.len().to_string();
            vec![principal.principal_id, principal.client_id, roles, principal.display_name]
        })
        .collect();
    printer::table(&["PRINCIPAL", "CLIENT", "ROLES", "NAME"], &rows);
    Ok(())
}

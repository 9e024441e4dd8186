//! The first start: what has to exist before anybody can ask for anything, and opening it at every later start.
//!
//! The metadata part is one transaction: a start that is interrupted leaves either all of it or nothing. The bootstrap
//! principal's secret is kept, sealed by the master key, because `client.env` is written at every start; whoever can open
//! it has the master key and could make another principal anyway.

use coffer_azure::ResourceId;
use coffer_store::MasterKey;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::certificate::Authority;
use super::principal::{self, GeneratedSecret, random_id};
use super::sealing;
use super::signing_key::SigningKey;
use crate::app::location::DEFAULT_LOCATION;
use crate::config::Config;
use crate::db::audit::ChainKey;
use crate::db::principal as principal_rows;
use crate::db::role_assignment::{self, RoleAssignment};
use crate::db::{Db, NewResource, Tx, resource_exists, resource_insert, setting};
use crate::error::Error;

const TENANT: &str = "tenant";
const SUBSCRIPTION: &str = "default-subscription";
const PRINCIPAL: &str = "bootstrap-principal";
const SECRET: &str = "bootstrap-secret";
const SECRET_PURPOSE: &str = "settings/bootstrap-secret";
/// Endpoints of this and earlier starts, the newest last: a JSON array.
const ENDPOINTS: &str = "endpoints";
/// How many of them are remembered.
const ENDPOINTS_MAX: usize = 64;
/// Which master key this metadata belongs to.
const MASTER_KEY_ID: &str = "master-key-id";

/// Name of the bootstrap principal and of the default subscription.
const BOOTSTRAP_NAME: &str = "coffer-bootstrap";
const SUBSCRIPTION_NAME: &str = "Coffer";
/// Name of the group and of the key vault that exist from the first start.
const DEFAULT_NAME: &str = "coffer";

/// What the bootstrap principal may do on the default subscription: Owner, and the key vaults' data.
pub(crate) const BOOTSTRAP_ROLES: [&str; 2] =
    ["8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "00482a5a-887f-4fb3-b363-3b7fe8e74483"];

/// What a start knows after bootstrap.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) tenant_id: String,
    pub(crate) default_subscription_id: String,
    pub(crate) signing_key: SigningKey,
    pub(crate) authority: Authority,
    pub(crate) audit_key: ChainKey,
    pub(crate) bootstrap: BootstrapPrincipal,
}

/// What `client.env` says about who to log in as.
#[derive(Debug)]
pub(crate) struct BootstrapPrincipal {
    pub(crate) principal_id: String,
    pub(crate) application_id: String,
    pub(crate) secret: SecretString,
}

/// The id of the key vault that the endpoint's own host serves.
pub fn default_key_vault_id(subscription_id: &str) -> ResourceId {
    ResourceId::group(subscription_id, DEFAULT_NAME).provider_child(
        "Microsoft.KeyVault",
        "vaults",
        DEFAULT_NAME,
    )
}

/// Reads the master key, or makes it when neither it nor any metadata exists yet.
pub(crate) fn master_key(config: &Config, is_new: bool) -> Result<MasterKey, Error> {
    let path = &config.master_key_file;
    let exists = path.try_exists().map_err(|source| key_error(path, source))?;
    if exists {
        return MasterKey::read_file(path).map_err(|source| key_error(path, source));
    }
    if !is_new {
        return Err(Error::start_failed(
            format!(
                "The master key file {} does not exist, but the metadata database {} does. Put the key back: without it \
             nothing that was backed up can be read.",
                path.display(),
                config.database_file.display()
            ),
            "the master key file is missing",
        ));
    }
    let key = MasterKey::generate().map_err(Error::internal)?;
    key.write_file(path).map_err(|source| key_error(path, source))?;
    Ok(key)
}

fn key_error(
    path: &std::path::Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::start_failed(format!("The master key file {} cannot be used.", path.display()), source)
}

/// Opens the installation, or makes it.
pub(crate) async fn open(
    db: &Db,
    master_key: &MasterKey,
    now_us: i64,
) -> Result<Installation, Error> {
    // Hashed before the transaction begins: it takes long. Not used when there is a principal already.
    let is_new = setting::get(db.read(), PRINCIPAL).await?.is_none();
    let fresh = if is_new { Some(principal::generate_secret().await?) } else { None };

    let mut tx = db.begin().await?;
    master_key_check(&mut tx, master_key).await?;
    let tenant_id = id_setting(&mut tx, TENANT).await?;
    let default_subscription_id = id_setting(&mut tx, SUBSCRIPTION).await?;
    let signing_key = SigningKey::load_or_create(&mut tx, master_key).await?;
    let authority = Authority::load_or_create(&mut tx, master_key, now_us).await?;
    let audit_key = crate::audit::key::load_or_create(&mut tx, master_key).await?;
    subscription_require(&mut tx, &default_subscription_id, SUBSCRIPTION_NAME, now_us).await?;
    key_vault_require(&mut tx, &default_subscription_id, &tenant_id, now_us).await?;
    let bootstrap = match fresh {
        Some(secret) => {
            make_principal(&mut tx, master_key, &default_subscription_id, secret, now_us).await?
        }
        None => read_principal(&mut tx, master_key).await?,
    };
    tx.commit().await?;
    Ok(Installation {
        tenant_id,
        default_subscription_id,
        signing_key,
        authority,
        audit_key,
        bootstrap,
    })
}

/// Remembers under which endpoint the service is reached now, and returns those of earlier starts, lower-cased: backup
/// instances name secrets by URLs that begin with the endpoint of their day, and have to go on working after a move.
pub(crate) async fn endpoint_remember(db: &Db, endpoint: &str) -> Result<Vec<String>, Error> {
    let mut tx = db.begin().await?;
    let stored = setting::get(&mut *tx, ENDPOINTS).await?.unwrap_or_else(|| "[]".to_owned());
    let mut endpoints: Vec<String> = serde_json::from_str(&stored).map_err(Error::internal)?;
    let current = endpoint.to_lowercase();
    endpoints.retain(|known| *known != current);
    let former = endpoints.clone();
    endpoints.push(current);
    let surplus = endpoints.len().saturating_sub(ENDPOINTS_MAX);
    endpoints.drain(..surplus);
    let text = serde_json::to_string(&endpoints).map_err(Error::internal)?;
    setting::set(&mut tx, ENDPOINTS, &text).await?;
    tx.commit().await?;
    Ok(former)
}

async fn master_key_check(tx: &mut Tx, master_key: &MasterKey) -> Result<(), Error> {
    match setting::get(&mut **tx, MASTER_KEY_ID).await? {
        None => setting::set(tx, MASTER_KEY_ID, &master_key.id()).await,
        Some(id) if id == master_key.id() => Ok(()),
        Some(id) => Err(Error::start_failed(
            format!(
                "The master key {} is not the one ({id}) that this metadata database was made with.",
                master_key.id()
            ),
            "the master key is another one",
        )),
    }
}

async fn id_setting(tx: &mut Tx, name: &str) -> Result<String, Error> {
    if let Some(id) = setting::get(&mut **tx, name).await? {
        return Ok(id);
    }
    let id = random_id();
    setting::set(tx, name, &id).await?;
    Ok(id)
}

/// Makes a subscription unless it exists; true when it was made.
pub(crate) async fn subscription_require(
    tx: &mut Tx,
    id: &str,
    name: &str,
    now_us: i64,
) -> Result<bool, Error> {
    let resource = ResourceId::subscription(id);
    if resource_exists(&mut **tx, &resource).await? {
        return Ok(false);
    }
    resource_insert(tx, NewResource { id: resource, body: json!({"displayName": name}), now_us })
        .await?;
    Ok(true)
}

/// Makes the default key vault and its group unless they exist. It can't be deleted while the group stands, and a
/// group with a vault can't be deleted either; still, whoever manages it is put right by the next start.
async fn key_vault_require(
    tx: &mut Tx,
    subscription: &str,
    tenant: &str,
    now_us: i64,
) -> Result<(), Error> {
    let group = ResourceId::group(subscription, DEFAULT_NAME);
    if !resource_exists(&mut **tx, &group).await? {
        let body = json!({"location": DEFAULT_LOCATION});
        resource_insert(tx, NewResource { id: group, body, now_us }).await?;
    }
    let vault = default_key_vault_id(subscription);
    if !resource_exists(&mut **tx, &vault).await? {
        let body = crate::app::key_vault::new_body(DEFAULT_LOCATION, tenant);
        resource_insert(tx, NewResource { id: vault, body, now_us }).await?;
    }
    Ok(())
}

async fn make_principal(
    tx: &mut Tx,
    master_key: &MasterKey,
    subscription: &str,
    secret: GeneratedSecret,
    now_us: i64,
) -> Result<BootstrapPrincipal, Error> {
    let made = principal::create_application(tx, BOOTSTRAP_NAME, &secret, now_us).await?;
    let sealed =
        sealing::seal(master_key, SECRET_PURPOSE, secret.secret.expose_secret().as_bytes())?;
    setting::set(tx, PRINCIPAL, &made.id).await?;
    setting::set(tx, SECRET, &sealed).await?;
    let scope = ResourceId::subscription(subscription);
    for role in BOOTSTRAP_ROLES {
        assign(tx, &scope, role, &made.id, now_us).await?;
    }
    Ok(BootstrapPrincipal {
        principal_id: made.id,
        application_id: made.application_id,
        secret: secret.secret,
    })
}

async fn read_principal(tx: &mut Tx, master_key: &MasterKey) -> Result<BootstrapPrincipal, Error> {
    let id = setting::get(&mut **tx, PRINCIPAL).await?.unwrap_or_default();
    let Some(stored) = principal_rows::get(&mut **tx, &id).await? else {
        return Err(Error::start_failed(
            "The bootstrap principal was deleted. `coffer principal rotate` makes it anew."
                .to_owned(),
            "the bootstrap principal is gone",
        ));
    };
    let sealed = setting::get(&mut **tx, SECRET).await?.unwrap_or_default();
    let secret = sealing::open(master_key, SECRET_PURPOSE, &sealed)?;
    let secret = std::str::from_utf8(&secret).map_err(Error::internal)?.to_owned();
    Ok(BootstrapPrincipal {
        principal_id: stored.id,
        application_id: stored.application_id,
        secret: secret.into(),
    })
}

/// Keeps a new secret of the bootstrap principal for `client.env`; nothing for any other principal.
pub(crate) async fn secret_rotated(
    tx: &mut Tx,
    master_key: &MasterKey,
    principal_id: &str,
    secret: &SecretString,
) -> Result<(), Error> {
    if setting::get(&mut **tx, PRINCIPAL).await?.as_deref() != Some(principal_id) {
        return Ok(());
    }
    let sealed = sealing::seal(master_key, SECRET_PURPOSE, secret.expose_secret().as_bytes())?;
    setting::set(tx, SECRET, &sealed).await
}

/// Whether a principal is the bootstrap principal.
pub(crate) async fn is_bootstrap(tx: &mut Tx, principal_id: &str) -> Result<bool, Error> {
    Ok(bootstrap_principal_id(tx).await?.as_deref() == Some(principal_id))
}

/// The bootstrap principal's object id; none before the first start.
pub(crate) async fn bootstrap_principal_id(tx: &mut Tx) -> Result<Option<String>, Error> {
    setting::get(&mut **tx, PRINCIPAL).await
}

/// Assigns a built-in role.
pub(crate) async fn assign(
    tx: &mut Tx,
    scope: &ResourceId,
    role: &str,
    principal_id: &str,
    now_us: i64,
) -> Result<(), Error> {
    let id = scope.provider_child("Microsoft.Authorization", "roleAssignments", &random_id());
    let definition = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
        scope.as_str().trim_end_matches('/')
    );
    role_assignment::insert(
        tx,
        &RoleAssignment {
            id,
            scope: scope.clone(),
            scope_key: scope.key().to_owned(),
            principal_id: principal_id.to_owned(),
            principal_type: "ServicePrincipal".to_owned(),
            role_id: role.to_owned(),
            role_definition_id: definition,
            created_by: principal_id.to_owned(),
            created_us: now_us,
            updated_us: now_us,
        },
    )
    .await
}

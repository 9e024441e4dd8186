//! What an instance protects: which datasources are accepted, and that each is protected once.

pub use coffer_azure::datasource::{DATABASE_TYPE, SERVER_TYPE};
use coffer_azure::datasource::{is_database_type, is_server_type};
use coffer_azure::{
    AuthCredentials, BackupPolicy, Datasource, DatasourceSet, ResourceId, SecretStoreType,
};

use super::protection_state::ProtectionState;
use super::{errors, instance_row};
use crate::db::datasource_claim::{self, DatasourceClaim};
use crate::db::{self, Resource, Tx};
use crate::error::Error;
use crate::policy::rules;

/// Types of ids that a database may have: databases of both kinds of servers.
const DATABASE_ID_TYPES: [&str; 2] =
    [DATABASE_TYPE, "Microsoft.DBforPostgreSQL/flexibleServers/databases"];
/// Longest name of a database, in bytes (PostgreSQL's own limit).
const DATABASE_NAME_BYTES_MAX: usize = 63;

/// A database, which can be protected or restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseId {
    /// ARM id of the database.
    pub id: ResourceId,
    /// ARM id of its server.
    pub server: ResourceId,
}

/// Why a datasource was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimFor {
    /// A new instance is made.
    Protect,
    /// A stopped instance is resumed.
    Resume,
}

/// Whether the id is that of a server that is protected as a whole.
#[must_use]
pub fn is_server(id: &ResourceId) -> bool {
    id.is_type(SERVER_TYPE)
}

/// The server that a datasource lies on, or is.
#[must_use]
pub fn server_of(id: &ResourceId) -> Option<ResourceId> {
    if is_server(id) { Some(id.clone()) } else { id.parent() }
}

/// Reads what is to be protected, a database or a whole server; gives its id. The error is a sentence for the caller.
pub fn check_protected(
    info: &Datasource,
    set: Option<&DatasourceSet>,
) -> Result<ResourceId, String> {
    let said = [&info.datasource_type, &info.resource_type];
    let says_server = said.into_iter().flatten().any(|text| is_server_type(text));
    let id = ResourceId::parse(&info.resource_id);
    if says_server || id.as_ref().is_ok_and(is_server) {
        check_server(info, set)
    } else {
        check_database(info, set).map(|database| database.id)
    }
}

fn check_server(info: &Datasource, set: Option<&DatasourceSet>) -> Result<ResourceId, String> {
    for (member, value) in
        [("datasourceType", &info.datasource_type), ("resourceType", &info.resource_type)]
    {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty())
            && !is_server_type(value)
        {
            return Err(format!(
                "The {member} '{value}' of the datasource is not that of its resourceID, which is {SERVER_TYPE}."
            ));
        }
    }
    let id = ResourceId::parse(&info.resource_id)
        .ok()
        .filter(|id| is_server(id) && id.resource_group().is_some())
        .ok_or_else(|| {
            format!(
                "The resourceID '{}' of the datasource is not that of a flexible server; it has the form /subscriptions/{{id}}/\
                 resourceGroups/{{group}}/providers/{SERVER_TYPE}/{{server}}.",
                info.resource_id
            )
        })?;
    match set.map(|set| ResourceId::parse(&set.resource_id)) {
        None => Ok(id),
        Some(Ok(named)) if named == id => Ok(id),
        Some(_) => {
            Err(format!("The datasource set is not the server '{id}', which is in no other."))
        }
    }
}

/// Refuses a policy that is for datasources of another type.
///
/// # Errors
/// `BMSUserErrorInvalidInput`.
pub fn require_policy_for(policy: &BackupPolicy, datasource: &ResourceId) -> Result<(), Error> {
    if rules::is_for_servers(policy) == is_server(datasource) {
        return Ok(());
    }
    let kind = if is_server(datasource) { SERVER_TYPE } else { DATABASE_TYPE };
    Err(errors::invalid_input(format!(
        "The backup policy is for {}, and the datasource is of the type {kind}.",
        policy.datasource_types.join(", ")
    )))
}

/// Reads a database. The error is a sentence for the caller.
pub fn check_database(
    info: &Datasource,
    set: Option<&DatasourceSet>,
) -> Result<DatabaseId, String> {
    for (member, value) in
        [("datasourceType", &info.datasource_type), ("resourceType", &info.resource_type)]
    {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty())
            && !is_database_type(value)
            && !DATABASE_ID_TYPES.iter().any(|known| known.eq_ignore_ascii_case(value))
        {
            return Err(format!(
                "The {member} '{value}' of the datasource is not supported by this version; {DATABASE_TYPE} is."
            ));
        }
    }
    let id = ResourceId::parse(&info.resource_id).map_err(|reason| {
        format!(
            "The resourceID '{}' of the datasource is not an ARM id: {reason}.",
            info.resource_id
        )
    })?;
    let server = match id.parent() {
        Some(server)
            if DATABASE_ID_TYPES.iter().any(|known| id.is_type(known))
                && id.resource_group().is_some() =>
        {
            server
        }
        _ => {
            return Err(format!(
                "The resourceID '{id}' of the datasource is not that of a database; it has the form /subscriptions/{{id}}/resourceGroups/\
                 {{group}}/providers/Microsoft.DBforPostgreSQL/servers/{{server}}/databases/{{database}}."
            ));
        }
    };
    if id.name().len() > DATABASE_NAME_BYTES_MAX {
        return Err(format!(
            "The database name '{}' is longer than {DATABASE_NAME_BYTES_MAX} bytes.",
            id.name()
        ));
    }
    if let Some(set) = set {
        let named = ResourceId::parse(&set.resource_id).map_err(|reason| {
            format!(
                "The resourceID '{}' of the datasource set is not an ARM id: {reason}.",
                set.resource_id
            )
        })?;
        if named != server && named != id {
            return Err(format!(
                "The datasource set '{named}' is not the server of the database '{id}'."
            ));
        }
    }
    Ok(DatabaseId { id, server })
}

/// Checks credentials and takes out what is never kept. The error is a sentence for the caller.
pub fn check_credentials(credentials: &mut AuthCredentials) -> Result<(), String> {
    let AuthCredentials::SecretStoreBasedAuthCredentials(credentials) = credentials;
    let Some(store) = &mut credentials.secret_store_resource else {
        return Err("datasourceAuthCredentials needs a secretStoreResource.".into());
    };
    // A value would be a password in the service's own store; the service reads it from the key vault each time.
    store.value = None;
    if store.secret_store_type != SecretStoreType::AzureKeyVault {
        return Err(format!(
            "The secretStoreType '{}' is not supported; AzureKeyVault is.",
            store.secret_store_type
        ));
    }
    match store.uri.as_deref().map(url::Url::parse) {
        Some(Ok(uri))
            if uri.scheme() == "https"
                && uri.password().is_none()
                && uri.path().starts_with("/secrets/") =>
        {
            Ok(())
        }
        _ => Err("The uri of secretStoreResource is the https identifier of a secret, such as \
                  https://vault.vault.azure.net/secrets/name."
            .into()),
    }
}

/// Checks that the datasource is free for `instance`, and makes `instance` its holder.
///
/// # Errors
/// `UserErrorDppDatasourceAlreadyProtected` or, on resuming, `UserErrorDppDatasourceAlreadyHasBackupInstance`.
pub async fn claim(
    tx: &mut Tx,
    instance: &ResourceId,
    datasource: &ResourceId,
    reason: ClaimFor,
) -> Result<(), Error> {
    let vault = instance.parent().ok_or_else(|| Error::internal("an instance without a vault"))?;
    require_free(tx, Some(instance), &vault, datasource, reason).await?;
    datasource_claim::hold(tx, instance, datasource, &vault).await
}

/// The same check without the claim. `instance` is the one that may hold the datasource, if any.
///
/// # Errors
/// As [`claim`].
pub async fn require_free(
    tx: &mut Tx,
    instance: Option<&ResourceId>,
    vault: &ResourceId,
    datasource: &ResourceId,
    reason: ClaimFor,
) -> Result<(), Error> {
    for claim in datasource_claim::list(&mut **tx, datasource).await? {
        if instance.is_some_and(|own| own.key() == claim.instance) {
            continue;
        }
        if let Some(refusal) = refusal(tx, &claim, vault, reason).await? {
            return Err(refusal);
        }
    }
    Ok(())
}

/// Why another instance's claim stands in the way; none when it does not. A claim that has outlived its instance is removed.
async fn refusal(
    tx: &mut Tx,
    claim: &DatasourceClaim,
    vault: &ResourceId,
    reason: ClaimFor,
) -> Result<Option<Error>, Error> {
    let id = ResourceId::parse(&claim.instance).map_err(Error::internal)?;
    let same_vault = claim.vault == vault.key();
    if let Some(other) = db::resource_get(&mut **tx, &id).await? {
        return Ok(live_refusal(&other, claim, same_vault, reason));
    }
    let deleted = instance_row::deleted_id(&id)?;
    let Some(deleted) = db::resource_get(&mut **tx, &deleted).await? else {
        datasource_claim::remove(tx, &claim.instance).await?;
        return Ok(None);
    };
    let stands_here = same_vault && reason == ClaimFor::Protect;
    Ok(stands_here.then(|| errors::datasource_soft_deleted_here(vault, deleted.id.name())))
}

fn live_refusal(
    other: &Resource,
    claim: &DatasourceClaim,
    same_vault: bool,
    reason: ClaimFor,
) -> Option<Error> {
    let vault = other.id.parent()?;
    let state = instance_row::state_of(other);
    if state == ProtectionState::SoftDeleting {
        let what = format!("the backup instance '{}', which is being deleted,", other.id.name());
        return (same_vault && reason == ClaimFor::Protect)
            .then(|| errors::operation_in_progress(&what));
    }
    match reason {
        ClaimFor::Protect => Some(errors::datasource_already_protected(&vault, other.id.name())),
        ClaimFor::Resume if claim.holds => Some(errors::datasource_has_instance(
            &instance_row::friendly_name_of(other),
            other.id.name(),
            &vault,
            state.as_str(),
        )),
        ClaimFor::Resume => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DATABASE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/servers/srv/databases/db";

    fn database(id: &str) -> Datasource {
        coffer_azure::decode_value(
            json!({ "resourceId": id, "datasourceType": DATABASE_TYPE, "resourceUri": "" }),
        )
        .unwrap()
    }

    fn set(id: &str) -> DatasourceSet {
        coffer_azure::decode_value(json!({ "resourceId": id })).unwrap()
    }

    #[test]
    fn a_database_and_its_server() {
        let checked = check_database(&database(DATABASE), None).unwrap();
        assert_eq!(checked.server.name(), "srv");
        check_database(
            &database(DATABASE),
            Some(&set(
                "/SUBSCRIPTIONS/s/resourcegroups/G/providers/microsoft.dbforpostgresql/servers/SRV",
            )),
        )
        .unwrap();
        let mut preview = database(DATABASE);
        preview.datasource_type = Some("OssDB".into());
        check_database(&preview, None).unwrap();
    }

    #[test]
    fn what_is_no_database_is_refused() {
        for id in [
            "",
            "db",
            "/subscriptions/s",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/servers/srv",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d",
            &format!("{DATABASE}{}", "x".repeat(64)),
        ] {
            assert!(check_database(&database(id), None).is_err(), "{id}");
        }
        let other =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/servers/other";
        assert!(
            check_database(&database(DATABASE), Some(&set(other)))
                .unwrap_err()
                .contains("is not the server")
        );
        let mut disk = database(DATABASE);
        disk.datasource_type = Some("Microsoft.Compute/disks".into());
        assert!(check_database(&disk, None).unwrap_err().contains("Microsoft.Compute/disks"));
    }

    #[test]
    fn a_server_as_a_whole() {
        const SERVER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/srv";
        let mut server = database(SERVER);
        server.datasource_type = Some("microsoft.dbforpostgresql/FLEXIBLEservers".into());
        let checked = check_protected(&server, None).unwrap();
        assert_eq!(server_of(&checked), Some(checked.clone()));
        check_protected(&server, Some(&set(SERVER))).unwrap();
        assert!(check_protected(&server, Some(&set(DATABASE))).unwrap_err().contains("set"));
        // What it says and what it names have to agree.
        server.resource_id = DATABASE.into();
        assert!(check_protected(&server, None).unwrap_err().contains("flexible server"));
        let mut other = database(SERVER);
        assert!(check_protected(&other, None).unwrap_err().contains("datasourceType"));
        other.datasource_type = None;
        check_protected(&other, None).unwrap();
        let whole = check_protected(&database(DATABASE), None).unwrap();
        assert!(!is_server(&whole) && server_of(&whole).unwrap().name() == "srv");
        // A restore makes a database, never a server.
        assert!(check_database(&other, None).is_err());
    }

    #[test]
    fn a_value_in_the_credentials_is_not_kept() {
        let mut credentials: AuthCredentials = coffer_azure::decode_value(json!({
            "secretStoreResource": { "secretStoreType": "AzureKeyVault", "uri": "https://kv.vault.azure.net/secrets/s", "value": "hunter2" }
        }))
        .unwrap();
        check_credentials(&mut credentials).unwrap();
        assert!(!serde_json::to_string(&credentials).unwrap().contains("hunter2"));
        for uri in ["", "http://kv/secrets/s", "https://kv/keys/k", "secret"] {
            let mut credentials: AuthCredentials = coffer_azure::decode_value(json!({
                "secretStoreResource": { "secretStoreType": "AzureKeyVault", "uri": uri }
            }))
            .unwrap();
            assert!(check_credentials(&mut credentials).is_err(), "{uri}");
        }
    }
}

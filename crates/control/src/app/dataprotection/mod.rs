//! The rules of `Microsoft.DataProtection`: validate, authorize, change the store, begin operations. One file a noun.
//!
//! # Invariants
//!
//! * Every function that takes a [`Call`] authorizes it with Azure's name of the action before it reads anything.
//! * What a request changes and the operation that it begins are one transaction: either both are durable or neither.
//! * Nothing here waits for a network; that is what operations are for.
//! * A critical operation of a vault that a resource guard watches over needs the guard's consent ([`guarded`]).
//! * A datasource is protected by at most one instance of the installation ([`datasource`]).

pub mod backup;
pub mod backup_instance;
pub mod backup_policy;
pub mod backup_vault;
pub mod conditions;
pub mod critical_operation;
pub mod cross_region;
pub mod datasource;
pub mod deleted_backup_instance;
pub mod deleted_vault;
pub mod errors;
mod filter_text;
mod guarded;
mod instance_request;
pub mod instance_row;
pub mod instances_of_resource;
pub mod job;
pub mod job_export;
pub mod job_filter;
pub mod job_resource;
mod names;
pub mod new_job;
pub mod not_for_postgres;
pub mod operation;
mod policy_change;
pub mod protection;
pub mod protection_state;
pub mod provider;
pub mod recovery_point;
pub mod recovery_point_filter;
pub mod recovery_point_resource;
pub mod resource_guard;
pub mod resource_guard_proxy;
pub mod restore;
pub(crate) mod restore_choice;
pub mod state;
pub(crate) mod storage_lock;
pub mod unusual;
pub mod validate_for_backup;
pub mod vault_deletion;
mod vault_identity;
mod vault_properties;
pub mod vault_security;

use coffer_azure::{ApiVersion, ResourceId};
use serde::Serialize;
use serde_json::Value;

use self::conditions::Conditions;
use crate::app::{App, Caller};
use crate::db::{self, Executor, Tx};
use crate::error::Error;
use crate::operations::{self, NewJob, NewOperation, Operation, OperationKind};

pub use crate::db::{ListPlace, Paged, Resource};

/// The provider's name in ids.
pub const NAMESPACE: &str = "Microsoft.DataProtection";
/// Kind of a vault's row.
pub const VAULT_KIND: &str = "microsoft.dataprotection/backupvaults";
/// Kind of a policy's row.
pub const POLICY_KIND: &str = "microsoft.dataprotection/backupvaults/backuppolicies";
/// Kind of an instance's row.
pub const INSTANCE_KIND: &str = "microsoft.dataprotection/backupvaults/backupinstances";
/// Kind of a soft deleted instance's row.
pub const DELETED_INSTANCE_KIND: &str =
    "microsoft.dataprotection/backupvaults/deletedbackupinstances";
/// Kind of a resource guard's row.
pub const GUARD_KIND: &str = "microsoft.dataprotection/resourceguards";
/// Kind of the row by which a vault submits to a resource guard.
pub const PROXY_KIND: &str = "microsoft.dataprotection/backupvaults/backupresourceguardproxies";
/// The last segment of a policy's type, as Azure writes it.
pub const POLICIES: &str = "backupPolicies";
/// The last segment of an instance's type, as Azure writes it.
pub const INSTANCES: &str = "backupInstances";
/// The last segment of a soft deleted instance's type, as Azure writes it.
pub const DELETED_INSTANCES: &str = "deletedBackupInstances";
/// The last segment of a proxy's type, as Azure writes it.
pub const PROXIES: &str = "backupResourceGuardProxies";

/// Who asks, in which version of the API, under which activity id.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The authenticated caller.
    pub caller: &'a Caller,
    /// Those whose tokens came beside the caller's: they give the consent of a resource guard, and nothing else.
    pub auxiliaries: &'a [Caller],
    /// Echoed in the URLs of operations.
    pub api_version: &'a ApiVersion,
    /// What has to be true of the resource that is written.
    pub conditions: Conditions<'a>,
    /// Becomes a job's `activityID` and `deletionInfo.deleteActivityID`.
    pub activity_id: &'a str,
}

impl Call<'_> {
    /// Refuses unless the caller may do `action` (without the provider's name) at `scope`.
    async fn authorize(&self, app: &App, action: &str, scope: &ResourceId) -> Result<(), Error> {
        app.authorize(self.caller, &format!("{NAMESPACE}/{action}"), scope).await
    }

    /// Begins an operation in the transaction of the change that it belongs to.
    async fn begin(
        &self,
        tx: &mut Tx,
        vault: &Resource,
        wanted: Wanted<'_>,
        now_us: i64,
    ) -> Result<Operation, Error> {
        let new = NewOperation {
            kind: wanted.kind,
            vault: vault.id.clone(),
            instance: wanted.instance.cloned(),
            location: wanted.location.unwrap_or_else(|| location_of(vault)),
            input: wanted.input,
            api_version: self.api_version.clone(),
            activity_id: self.activity_id.to_owned(),
            job: wanted.job,
        };
        let operation = operations::begin(tx, new, now_us).await?;
        self.caller.trail.operation(&operation.id);
        Ok(operation)
    }
}

/// What [`Call::begin`] begins, beside what the call and the vault say.
struct Wanted<'a> {
    kind: OperationKind,
    instance: Option<&'a ResourceId>,
    input: Value,
    job: Option<NewJob>,
    /// Where its status is told, if that is not the vault's location.
    location: Option<String>,
}

impl<'a> Wanted<'a> {
    fn of_vault(kind: OperationKind) -> Self {
        Self { kind, instance: None, input: Value::Null, job: None, location: None }
    }

    fn of_instance(kind: OperationKind, instance: &'a ResourceId) -> Self {
        Self { kind, instance: Some(instance), input: Value::Null, job: None, location: None }
    }

    fn with_input(mut self, input: &impl Serialize) -> Result<Self, Error> {
        self.input = serde_json::to_value(input).map_err(Error::internal)?;
        Ok(self)
    }

    fn in_location(mut self, location: Option<String>) -> Self {
        self.location = location;
        self
    }

    fn with_job(mut self, job: NewJob) -> Self {
        self.job = Some(job);
        self
    }
}

/// The vault, or the provider's 404.
async fn vault_require<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
) -> Result<Resource, Error> {
    db::resource_get(executor, vault).await?.ok_or_else(|| {
        Error::resource_not_found(
            "Microsoft.DataProtection/BackupVaults",
            vault.name(),
            vault.resource_group().unwrap_or_default(),
        )
    })
}

/// The vault, or an error when it is absent or about to go.
async fn vault_require_usable(tx: &mut Tx, vault: &ResourceId) -> Result<Resource, Error> {
    let resource = vault_require(&mut **tx, vault).await?;
    let state: state::VaultState = state::read_state(&resource.body)?;
    if state.deleting { Err(errors::vault_is_deleting(&resource.id)) } else { Ok(resource) }
}

/// The vault's location, as it was written.
pub(crate) fn location_of(vault: &Resource) -> String {
    vault.body.get("location").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Which page of a list by time is asked for.
#[derive(Clone, Debug, Default)]
pub struct TimePage {
    /// The page begins behind this; at the beginning without.
    pub after: Option<ListPlace>,
    /// At most so many items; 0 for as many as a page may have.
    pub rows_max: u32,
}

impl TimePage {
    /// At most so many items, of so many that a page may have.
    fn items_max(&self, page_rows_max: u32) -> usize {
        let asked = if self.rows_max == 0 { page_rows_max } else { self.rows_max };
        usize::try_from(asked.min(page_rows_max)).unwrap_or(usize::MAX)
    }
}

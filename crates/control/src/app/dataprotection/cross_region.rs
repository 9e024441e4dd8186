//! What was copied to a vault's second region: its recovery points, restores of them, and their jobs.
//!
//! Requests come to the second region, with ids of the first in their bodies. So the caller is authorized twice: at the resource
//! group of the address, before the body is read, and at what the body names, for what would be asked there.

use coffer_azure::{
    AzureBackupRestoreRequest, CrossRegionRestoreDetails, CrossRegionRestoreJobRequest,
    CrossRegionRestoreJobsRequest, FetchSecondaryRPsRequestParameters, ResourceId,
};

use super::job_filter::JobFilter;
use super::recovery_point::{self, ShownRecoveryPoint};
use super::recovery_point_filter::RecoveryPointFilter;
use super::restore::{self, Source};
use super::vault_properties::restores_across;
use super::{Call, NAMESPACE, TimePage, backup_vault, errors, job, location_of, vault_require};
use crate::app::App;
use crate::config::location_key;
use crate::db::job::Job;
use crate::db::{self, Executor, Paged, Resource};
use crate::error::Error;
use crate::operations::sagas::region_of;
use crate::operations::{Operation, OperationKind};

/// The address of a request: a resource group, and the second region.
#[derive(Debug, Clone)]
pub struct SecondRegionScope {
    /// The resource group.
    pub group: ResourceId,
    /// The region, in any spelling.
    pub location: String,
}

impl SecondRegionScope {
    async fn authorize(&self, app: &App, call: Call<'_>, action: &str) -> Result<(), Error> {
        let action = format!("subscriptions/resourceGroups/providers/locations/{action}/action");
        call.authorize(app, &action, &self.group).await
    }

    /// The second region of a vault that restores from there.
    ///
    /// # Errors
    /// It does not; the address is another region's or another group's; the vault is in another region than the request says.
    pub(super) fn require(&self, vault: &Resource, source_region: &str) -> Result<String, Error> {
        let same =
            |a: Option<&str>, b: Option<&str>| a.map(str::to_lowercase) == b.map(str::to_lowercase);
        let (own, group) = (&vault.id, &self.group);
        if !same(own.subscription_id(), group.subscription_id())
            || !same(own.resource_group(), group.resource_group())
        {
            return Err(errors::invalid_input(format!(
                "The Backup vault '{}' is not in the resource group of the request.",
                own.name()
            )));
        }
        let features = backup_vault::wire(vault)?.properties.feature_settings;
        let region = region_of(vault).filter(|_| restores_across(features.as_ref()));
        let region = region.ok_or_else(|| errors::not_enabled_across(own))?;
        if location_key(&self.location) != region {
            return Err(errors::other_region("second region", &self.location, &region));
        }
        let first = location_of(vault);
        if location_key(source_region) != location_key(&first) {
            return Err(errors::other_region("sourceRegion", source_region, &first));
        }
        Ok(region)
    }
}

/// The recovery points of an instance that are in the second region and that the filter admits, newest first.
///
/// # Errors
/// Not allowed; absent; the vault does not restore from there; the database fails.
pub async fn recovery_points(
    app: &App,
    call: Call<'_>,
    scope: &SecondRegionScope,
    body: impl FnOnce() -> Result<FetchSecondaryRPsRequestParameters, Error> + Send,
    filter: impl FnOnce() -> Result<RecoveryPointFilter, Error> + Send,
    page: &TimePage,
) -> Result<(FetchSecondaryRPsRequestParameters, Paged<ShownRecoveryPoint>), Error> {
    scope.authorize(app, call, "fetchSecondaryRecoveryPoints").await?;
    let asked = body()?;
    let id = asked.source_backup_instance_id.as_deref().unwrap_or_default();
    let instance = instance_of(id)?;
    call.authorize(app, "backupVaults/backupInstances/recoveryPoints/read", &instance).await?;
    let filter = filter()?;
    let vault = vault_of(app.db.read(), &instance).await?;
    // It is optional here, and nowhere else.
    let first = location_of(&vault);
    scope.require(&vault, asked.source_region.as_deref().unwrap_or(&first))?;
    let points = recovery_point::page_of(app, &instance, &filter, page, true).await?;
    Ok((asked, points))
}

/// Begins the checks of a restore from the second region, without any effect.
///
/// # Errors
/// As [`restore()`].
pub async fn validate_restore(
    app: &App,
    call: Call<'_>,
    scope: &SecondRegionScope,
    body: impl FnOnce() -> Result<(AzureBackupRestoreRequest, CrossRegionRestoreDetails), Error> + Send,
) -> Result<Operation, Error> {
    scope.authorize(app, call, "validateCrossRegionRestore").await?;
    begin(app, call, scope, body()?, OperationKind::ValidateRestore).await
}

/// Begins a restore from the second region. It reads nothing of the first one.
///
/// # Errors
/// As [`restore::restore`]; the vault does not restore from there; the recovery point is not there.
pub async fn restore(
    app: &App,
    call: Call<'_>,
    scope: &SecondRegionScope,
    body: impl FnOnce() -> Result<(AzureBackupRestoreRequest, CrossRegionRestoreDetails), Error> + Send,
) -> Result<Operation, Error> {
    scope.authorize(app, call, "crossRegionRestore").await?;
    begin(app, call, scope, body()?, OperationKind::Restore).await
}

async fn begin(
    app: &App,
    call: Call<'_>,
    scope: &SecondRegionScope,
    (request, details): (AzureBackupRestoreRequest, CrossRegionRestoreDetails),
    kind: OperationKind,
) -> Result<Operation, Error> {
    let instance = instance_of(&details.source_backup_instance_id)?;
    let action = match kind {
        OperationKind::Restore => "backupVaults/backupInstances/restore/action",
        _ => "backupVaults/backupInstances/validateRestore/action",
    };
    call.authorize(app, action, &instance).await?;
    let source = Source::SecondRegion { scope, source_region: &details.source_region };
    restore::begin(app, call, &instance, request, kind, source).await
}

/// The restores from the second region of a vault that the filter admits, newest first.
///
/// # Errors
/// Not allowed; absent; the vault does not restore from there; the database fails.
pub async fn jobs(
    app: &App,
    call: Call<'_>,
    scope: &SecondRegionScope,
    body: impl FnOnce() -> Result<CrossRegionRestoreJobsRequest, Error> + Send,
    filter: impl FnOnce() -> Result<JobFilter, Error> + Send,
    page: &TimePage,
) -> Result<(CrossRegionRestoreJobsRequest, Paged<Job>), Error> {
    scope.authorize(app, call, "fetchCrossRegionRestoreJobs").await?;
    let asked = body()?;
    let vault = vault_id(&asked.source_backup_vault_id)?;
    call.authorize(app, "backupVaults/backupJobs/read", &vault).await?;
    let mut filter = filter()?;
    let vault = vault_require(app.db.read(), &vault).await?;
    scope.require(&vault, &asked.source_region)?;
    if filter.cross_region == Some(false) {
        return Ok((asked, Paged { items: Vec::new(), next: None }));
    }
    filter.cross_region = Some(true);
    let jobs = job::page_of(app, &vault.id, &filter, page).await?;
    Ok((asked, jobs))
}

/// Reads one of them.
///
/// # Errors
/// Not allowed; absent; the vault does not restore from there; the database fails.
pub async fn job(
    app: &App,
    call: Call<'_>,
    scope: &SecondRegionScope,
    body: impl FnOnce() -> Result<CrossRegionRestoreJobRequest, Error> + Send,
) -> Result<(CrossRegionRestoreJobRequest, Job), Error> {
    scope.authorize(app, call, "fetchCrossRegionRestoreJob").await?;
    let asked = body()?;
    let vault = vault_id(&asked.source_backup_vault_id)?;
    // A GUID, or the whole id, as operations of the first region name it.
    let id = asked.job_id.rsplit('/').next().unwrap_or_default().to_owned();
    call.authorize(app, "backupVaults/backupJobs/read", &vault.child("backupJobs", &id)).await?;
    let vault = vault_require(app.db.read(), &vault).await?;
    scope.require(&vault, &asked.source_region)?;
    let job = db::job::get_in_vault(app.db.read(), &vault.id, &id).await?;
    let job = job.filter(|job| job.body.cross_region).ok_or_else(errors::resource_not_found)?;
    Ok((asked, job))
}

fn instance_of(id: &str) -> Result<ResourceId, Error> {
    typed(id, "sourceBackupInstanceId", "backupVaults/backupInstances")
}

fn vault_id(id: &str) -> Result<ResourceId, Error> {
    typed(id, "sourceBackupVaultId", "backupVaults")
}

fn typed(id: &str, member: &str, kind: &str) -> Result<ResourceId, Error> {
    let parsed = ResourceId::parse(id).ok();
    parsed.filter(|parsed| parsed.is_type(&format!("{NAMESPACE}/{kind}"))).ok_or_else(|| {
        // An echo of a body: short.
        let shown: String = id.chars().take(300).collect();
        errors::invalid_input(format!("The {member} '{shown}' is not the ARM id of one."))
    })
}

async fn vault_of<'e>(
    executor: impl Executor<'e>,
    instance: &ResourceId,
) -> Result<Resource, Error> {
    let vault = instance.parent().ok_or_else(errors::resource_not_found)?;
    vault_require(executor, &vault).await
}

//! Reading an instance's recovery points.

use coffer_azure::ResourceId;
use uuid::Uuid;

use super::recovery_point_filter::RecoveryPointFilter;
use super::state::{InstanceState, VaultState, read_state};
use super::{Call, TimePage, errors, instance_row, vault_require};
use crate::app::App;
use crate::db::recovery_point::{RECOVERY_POINTS_PAGE_ROWS_MAX, RecoveryPoint, RecoveryPointRange};
use crate::db::{self, ListPlace, Paged};
use crate::error::Error;

/// The state of every recovery point: one that is not whole does not exist.
const STATE: &str = "Completed";

/// A recovery point, with what else its wire form needs.
#[derive(Debug)]
pub struct ShownRecoveryPoint {
    /// The recovery point.
    pub point: RecoveryPoint,
    /// The instance, as it was first written.
    pub instance: ResourceId,
    /// Identifies the data store.
    pub vault_guid: Uuid,
    /// Whether it is the newest of its instance.
    pub newest: bool,
}

/// Reads a recovery point.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(
    app: &App,
    call: Call<'_>,
    instance: &ResourceId,
    id: &str,
) -> Result<ShownRecoveryPoint, Error> {
    call.authorize(
        app,
        "backupVaults/backupInstances/recoveryPoints/read",
        &instance.child("recoveryPoints", id),
    )
    .await?;
    let of = owner(app, instance).await?;
    let point = db::recovery_point::get(app.db.read(), of.repository, id)
        .await?
        .ok_or_else(errors::resource_not_found)?;
    let newest = db::recovery_point::newest(app.db.read(), of.repository).await?;
    Ok(of.show(point, newest.as_ref()))
}

/// The recovery points of an instance that the filter admits, newest first.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    instance: &ResourceId,
    filter: impl FnOnce() -> Result<RecoveryPointFilter, Error> + Send,
    page: &TimePage,
) -> Result<Paged<ShownRecoveryPoint>, Error> {
    call.authorize(app, "backupVaults/backupInstances/recoveryPoints/read", instance).await?;
    let filter = filter()?;
    page_of(app, instance, &filter, page, false).await
}

/// A page of them, or only of those that have been copied to the second region.
pub(super) async fn page_of(
    app: &App,
    instance: &ResourceId,
    filter: &RecoveryPointFilter,
    page: &TimePage,
    copied: bool,
) -> Result<Paged<ShownRecoveryPoint>, Error> {
    let of = owner(app, instance).await?;
    if filter.state.as_deref().is_some_and(|state| !state.eq_ignore_ascii_case(STATE)) {
        return Ok(Paged { items: Vec::new(), next: None });
    }
    let range = RecoveryPointRange {
        from_us: filter.start_us,
        to_us: filter.end_us,
        after: page.after.as_ref(),
        copied,
    };
    let mut points = db::recovery_point::list(app.db.read(), of.repository, range).await?;
    let is_last = points.len() < RECOVERY_POINTS_PAGE_ROWS_MAX as usize;
    let items_max = page.items_max(RECOVERY_POINTS_PAGE_ROWS_MAX);
    let is_whole = is_last && points.len() <= items_max;
    points.truncate(items_max);
    let last = points.last().map(|point| ListPlace::behind(point.taken_us, &point.id));
    let newest = db::recovery_point::newest(app.db.read(), of.repository).await?;
    Ok(Paged {
        next: last.filter(|_| !is_whole).map(|last| last.token()),
        items: points.into_iter().map(|point| of.show(point, newest.as_ref())).collect(),
    })
}

struct Owner {
    instance: ResourceId,
    repository: Uuid,
    vault_guid: Uuid,
}

impl Owner {
    fn show(&self, point: RecoveryPoint, newest: Option<&RecoveryPoint>) -> ShownRecoveryPoint {
        ShownRecoveryPoint {
            newest: newest.is_some_and(|newest| newest.id == point.id),
            point,
            instance: self.instance.clone(),
            vault_guid: self.vault_guid,
        }
    }
}

async fn owner(app: &App, instance: &ResourceId) -> Result<Owner, Error> {
    let resource = instance_row::require(app.db.read(), instance).await?;
    let vault = instance.parent().ok_or_else(errors::resource_not_found)?;
    let vault: VaultState = read_state(&vault_require(app.db.read(), &vault).await?.body)?;
    let state: InstanceState = read_state(&resource.body)?;
    Ok(Owner {
        instance: resource.id,
        repository: state.repository_guid,
        vault_guid: vault.vault_guid,
    })
}

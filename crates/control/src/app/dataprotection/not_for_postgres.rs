//! What the API has for other kinds of datasources: answered truly for databases of PostgreSQL, which have none of it.

use coffer_azure::{
    AzureBackupFindRestorableTimeRangesRequest, AzureBackupRehydrationRequest, ResourceId,
};

use super::filter_text::{Bound, parse_bound};
use super::state::{InstanceState, read_state};
use super::{Call, errors, instance_row};
use crate::app::App;
use crate::db;
use crate::error::Error;

/// Checks a question for ranges of time to any point of which the instance can be restored; there are none, since it is restored to
/// the times of its recovery points.
///
/// # Errors
/// Not allowed; the instance is absent; a time that is none, or a range that ends before it begins; the database fails.
pub async fn restorable_time_ranges_find(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<AzureBackupFindRestorableTimeRangesRequest, Error> + Send,
) -> Result<(), Error> {
    call.authorize(app, "backupVaults/backupInstances/findRestorableTimeRanges/action", id).await?;
    let body = body()?;
    let time = |text: &Option<String>, bound| {
        text.as_deref().map(|text| parse_bound(text, bound)).transpose().map_err(invalid_range)
    };
    let (from_us, to_us) =
        (time(&body.start_time, Bound::Start)?, time(&body.end_time, Bound::End)?);
    if let (Some(from_us), Some(to_us)) = (from_us, to_us)
        && from_us > to_us
    {
        return Err(invalid_range("it ends before it begins".to_owned()));
    }
    instance_row::require(app.db.read(), id).await?;
    Ok(())
}

/// Refuses to bring a recovery point back from the archive: none is there.
///
/// # Errors
/// Always: not allowed; the instance or the recovery point is absent; or that it can be restored as it is.
pub async fn rehydrate(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<AzureBackupRehydrationRequest, Error> + Send,
) -> Result<(), Error> {
    call.authorize(app, "backupVaults/backupInstances/rehydrate/action", id).await?;
    let wanted = body()?.recovery_point_id;
    let instance = instance_row::require(app.db.read(), id).await?;
    let state: InstanceState = read_state(&instance.body)?;
    let point = db::recovery_point::get(app.db.read(), state.repository_guid, &wanted)
        .await?
        .ok_or_else(|| errors::recovery_point_not_found(&wanted))?;
    Err(errors::invalid_input(format!(
        "The recovery point {} is in VaultStore and is restored from there as it is; this version has no archive tier.",
        point.id
    )))
}

fn invalid_range(reason: String) -> Error {
    Error::invalid("UserErrorInvalidRestorableTimeRange", "The range of time is not valid.")
        .with_inner(crate::error::InnerError::new(
            "InvalidTimeRange",
            format!("The range of time is not valid: {reason}."),
        ))
        .user_facing()
}

//! `{instance}/recoveryPoints`.

use coffer_azure::AzureBackupRecoveryPointResource;
use http::StatusCode;

use super::{Request, encode};
use crate::app::dataprotection::recovery_point::{self, ShownRecoveryPoint};
use crate::app::dataprotection::recovery_point_filter::parse_recovery_point_filter;
use crate::app::dataprotection::recovery_point_resource::{
    RecoveryPointForm, recovery_point_resource,
};
use crate::error::Error;
use crate::http::ArmResponse;

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let shown =
        recovery_point::get(request.app, request.call(), &request.instance()?, request.name(5))
            .await?;
    ArmResponse::encode(StatusCode::OK, &resource(&shown, RecoveryPointForm::Get))
}

pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let filter = || encode::filter(request, parse_recovery_point_filter);
    let page = encode::time_page(request)?;
    let points =
        recovery_point::list(request.app, request.call(), &request.instance()?, filter, &page)
            .await?;
    encode::list_of(request, points, |shown| Ok(resource(shown, RecoveryPointForm::List)))
}

fn resource(
    shown: &ShownRecoveryPoint,
    form: RecoveryPointForm,
) -> AzureBackupRecoveryPointResource {
    recovery_point_resource(&shown.point, &shown.instance, shown.vault_guid, shown.newest, form)
}

//! A recovery point as `AzureBackupRecoveryPointResource`, in the shape that was recorded from the real service.
//!
//! `metaData` is filled by a GET and null in lists. The newest recovery point never expires while it is that, so its
//! `expiryTime` is null; an older one's is when its retention ends.

use coffer_azure::duration::format_time;
use coffer_azure::{
    AzureBackupDiscreteRecoveryPoint, AzureBackupRecoveryPoint, AzureBackupRecoveryPointResource,
    RecoveryPointDataStoreDetails, RecoveryPointState, ResourceId,
};
use serde_json::json;
use uuid::Uuid;

use crate::db::recovery_point::RecoveryPoint;

/// The type of a recovery point's id.
const RECOVERY_POINT_TYPE: &str =
    "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints";

/// Which request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryPointForm {
    /// GET of one.
    Get,
    /// GET of an instance's.
    List,
}

/// Encodes a recovery point. `newest` says whether it is its instance's newest.
#[must_use]
pub fn recovery_point_resource(
    point: &RecoveryPoint,
    instance: &ResourceId,
    vault_guid: Uuid,
    newest: bool,
    form: RecoveryPointForm,
) -> AzureBackupRecoveryPointResource {
    let body = &point.body;
    let expiry_time = if newest { None } else { body.expiry_us.map(format_time) };
    AzureBackupRecoveryPointResource {
        properties: AzureBackupRecoveryPoint::AzureBackupDiscreteRecoveryPoint(Box::new(
            AzureBackupDiscreteRecoveryPoint {
                recovery_point_id: Some(point.id.clone()),
                recovery_point_time: format_time(point.taken_us),
                recovery_point_type: Some("Full".to_owned()),
                friendly_name: Some(point.id.clone()),
                recovery_point_data_stores_details: Some(vec![RecoveryPointDataStoreDetails {
                    // One vault, one store: its id is the vault's own.
                    id: Some(vault_guid.to_string()),
                    kind: Some("VaultStore".to_owned()),
                    creation_time: Some(format_time(point.taken_us)),
                    expiry_time: expiry_time.clone(),
                    meta_data: (form == RecoveryPointForm::Get).then(|| meta_data(point)),
                    visible: Some(true),
                    state: Some("COMMITTED".to_owned()),
                    rehydration_expiry_time: None,
                    rehydration_status: None,
                }]),
                retention_tag_name: Some(body.retention_tag.clone()),
                retention_tag_version: Some(body.retention_tag_version.clone()),
                policy_name: Some(body.policy_name.clone()),
                policy_version: None,
                expiry_time,
                recovery_point_state: Some(RecoveryPointState::Completed),
            },
        )),
        id: Some(format!("{instance}/recoveryPoints/{}", point.id)),
        name: Some(point.id.clone()),
        kind: Some(RECOVERY_POINT_TYPE.to_owned()),
    }
}

/// JSON in a text, as the real service's is for other datasources.
fn meta_data(point: &RecoveryPoint) -> String {
    let body = &point.body;
    if let Some(total) = body.databases_total {
        return json!({
            "serverName": body.database,
            "serverVersion": body.server_version,
            "databases": body.databases,
            "databaseCount": total,
            "serverSizeInBytes": body.source_bytes,
            "tables": body.tables,
            "rows": body.rows,
            "plainBytes": body.plain_bytes,
            "storedBytes": body.stored_bytes,
        })
        .to_string();
    }
    json!({
        "databaseName": body.database,
        "serverVersion": body.server_version,
        "databaseSizeInBytes": body.source_bytes,
        "tables": body.tables,
        "rows": body.rows,
        "plainBytes": body.plain_bytes,
        "storedBytes": body.stored_bytes,
    })
    .to_string()
}

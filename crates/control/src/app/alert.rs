//! Alerts: what a person should hear of without asking.
//!
//! An alert is written in the transaction of what it tells, so that none is lost and none is told of what did not happen. Of
//! failed jobs and of missed and late backups a vault sends alerts unless its `azureMonitorAlertSettings` switch them off; what may be the
//! work of an attacker is sent always, since an attacker would begin with the switch. Every one is in the log and in the metrics.
//! The body is Azure Monitor's common alert schema, which receivers of Azure's alerts understand. It names resources, codes and
//! times: never a secret, and never what a user's data says.

use coffer_azure::ResourceId;
use coffer_azure::user_facing_error::UserFacingError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::App;
use crate::db::{self, Resource, Tx};
use crate::error::Error;
use crate::policy::schedule::shown;

/// Most alerts that wait for the webhook; later ones are in the log and in the metrics only.
pub const WAITING_MAX: u64 = 10_000;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertKind {
    /// A backup has failed.
    BackupFailed,
    /// A restore has failed.
    RestoreFailed,
    /// Scheduled backups did not begin at their time.
    BackupMissed,
    /// A backup waits in the queue for too long.
    BackupLate,
    /// A backup differs sharply from those before it.
    BackupUnusual,
    /// Stored data is not what it was.
    StoredDataDamaged,
    /// Backup data was deleted, or is going to be.
    BackupDataDeleted,
    /// A protection of the vault was weakened.
    SecurityWeakened,
    /// The storage does not hold what the vault's immutability wants held.
    StorageNotLocked,
    /// Recovery points wait for too long to be copied to the second region.
    CopyLate,
}

impl AlertKind {
    /// The rule's name, as receivers see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackupFailed => "BackupFailure",
            Self::RestoreFailed => "RestoreFailure",
            Self::BackupMissed => "BackupMissed",
            Self::BackupLate => "BackupLate",
            Self::BackupUnusual => "BackupUnusual",
            Self::StoredDataDamaged => "StoredDataDamaged",
            Self::BackupDataDeleted => "DeleteBackupData",
            Self::SecurityWeakened => "SecurityWeakened",
            Self::StorageNotLocked => "StorageNotLocked",
            Self::CopyLate => "CopyLate",
        }
    }

    /// Whether the vault's setting can switch it off.
    fn can_be_switched_off(self) -> bool {
        match self {
            Self::BackupFailed
            | Self::RestoreFailed
            | Self::BackupMissed
            | Self::BackupLate
            | Self::CopyLate => true,
            Self::BackupUnusual
            | Self::StoredDataDamaged
            | Self::BackupDataDeleted
            | Self::SecurityWeakened
            | Self::StorageNotLocked => false,
        }
    }

    /// From 0 (critical) to 4, as Azure's built-in alerts have it.
    fn severity(self) -> &'static str {
        match self {
            Self::StoredDataDamaged | Self::BackupDataDeleted | Self::SecurityWeakened => "Sev0",
            Self::BackupFailed
            | Self::RestoreFailed
            | Self::BackupMissed
            | Self::StorageNotLocked => "Sev1",
            Self::BackupUnusual | Self::BackupLate | Self::CopyLate => "Sev2",
        }
    }
}

/// Something that a person should hear of.
#[derive(Debug, Clone)]
pub struct Alert<'a> {
    /// What it is about.
    pub kind: AlertKind,
    /// The vault's row.
    pub vault: &'a Resource,
    /// The instance concerned.
    pub instance: Option<&'a ResourceId>,
    /// The job concerned.
    pub job: Option<Uuid>,
    /// The error's code, and the finer one, where an error is told.
    pub codes: Option<(String, Option<String>)>,
    /// A sentence.
    pub text: String,
}

impl<'a> Alert<'a> {
    /// About an instance, without a job.
    #[must_use]
    pub fn of_instance(
        kind: AlertKind,
        vault: &'a Resource,
        instance: &'a ResourceId,
        text: String,
    ) -> Self {
        Self { kind, vault, instance: Some(instance), job: None, codes: None, text }
    }

    /// Adds what an error says by its codes. Its message may hold names from a database's inside, and stays in the job.
    #[must_use]
    pub fn with_error(mut self, error: &UserFacingError) -> Self {
        let inner = error.inner_error.as_ref().and_then(|inner| inner.code.clone());
        self.codes = Some((error.code.clone().unwrap_or_default(), inner));
        self
    }
}

/// Puts an alert into the log and the metrics, and on its way to the webhook if there is one and the vault wants alerts.
///
/// # Errors
/// The database fails.
pub async fn raise(app: &App, tx: &mut Tx, alert: &Alert<'_>) -> Result<(), Error> {
    let kind = alert.kind.as_str();
    metrics::counter!("coffer_alerts_total", "kind" => kind).increment(1);
    tracing::warn!(
        alert = kind, vault = %alert.vault.id, instance = alert.instance.map(ResourceId::as_str), text = alert.text,
        "alert"
    );
    let is_off = alert.kind.can_be_switched_off() && !wants_alerts(alert.vault);
    if app.config.alerts.webhook_url.is_none() || is_off {
        return Ok(());
    }
    if db::alert::count(&mut **tx).await? >= WAITING_MAX {
        metrics::counter!("coffer_alerts_dropped_total").increment(1);
        tracing::error!(code = "AlertDropped", "too many alerts wait for the webhook");
        return Ok(());
    }
    let now_us = app.clock.now_us();
    let id = Uuid::new_v4();
    let body = body(alert, id, app.endpoint(), now_us).to_string();
    db::alert::insert(tx, &id.to_string(), &body, now_us).await?;
    app.duties.wake_alerts();
    Ok(())
}

/// Tells that a protection of the vault was weakened, if the change from one body of its row to the other does that.
///
/// # Errors
/// The database fails.
pub(crate) async fn raise_if_weakened(
    app: &App,
    tx: &mut Tx,
    before: &Resource,
    after: &Resource,
) -> Result<(), Error> {
    let weaker = weakened(&before.body["properties"], &after.body["properties"]);
    if weaker.is_empty() {
        return Ok(());
    }
    let text = format!("Changed on the vault: {}.", weaker.join(", "));
    let alert = Alert {
        kind: AlertKind::SecurityWeakened,
        vault: after,
        instance: None,
        job: None,
        codes: None,
        text,
    };
    raise(app, tx, &alert).await
}

/// What of two states of a vault's properties is weaker in the second.
fn weakened(before: &Value, after: &Value) -> Vec<&'static str> {
    let word = |properties: &Value, path: &str| {
        properties.pointer(path).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
    };
    let mut found = Vec::new();
    let soft_delete = "/securitySettings/softDeleteSettings/state";
    if word(before, soft_delete) != "off" && word(after, soft_delete) == "off" {
        found.push("soft delete was turned off");
    }
    let days = |properties: &Value| {
        let days = "/securitySettings/softDeleteSettings/retentionDurationInDays";
        properties.pointer(days).and_then(Value::as_f64)
    };
    if let (Some(before), Some(after)) = (days(before), days(after))
        && after < before
    {
        found.push("what is soft deleted is kept for fewer days");
    }
    let immutability = "/securitySettings/immutabilitySettings/state";
    let is_on = |word: String| word == "unlocked" || word == "locked";
    if is_on(word(before, immutability)) && !is_on(word(after, immutability)) {
        found.push("immutability was turned off");
    }
    let is_guarded = |properties: &Value| {
        properties["isVaultProtectedByResourceGuard"].as_bool().unwrap_or(false)
    };
    if is_guarded(before) && !is_guarded(after) {
        found.push("no resource guard watches over it any more");
    }
    let alerts = "/monitoringSettings/azureMonitorAlertSettings/alertsForAllJobFailures";
    if word(before, alerts) != "disabled" && word(after, alerts) == "disabled" {
        found.push("alerts of failed jobs were turned off");
    }
    found
}

/// `azureMonitorAlertSettings.alertsForAllJobFailures`; alerts are on unless it is `Disabled`, as in Azure.
fn wants_alerts(vault: &Resource) -> bool {
    let settings = &vault.body["properties"]["monitoringSettings"]["azureMonitorAlertSettings"];
    !settings["alertsForAllJobFailures"]
        .as_str()
        .is_some_and(|state| state.eq_ignore_ascii_case("Disabled"))
}

fn body(alert: &Alert<'_>, id: Uuid, endpoint: &str, now_us: i64) -> Value {
    let target = alert.instance.unwrap_or(&alert.vault.id);
    let (code, inner) = alert.codes.clone().unwrap_or_default();
    let code = Some(code).filter(|code| !code.is_empty());
    json!({
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": {
                "alertId": format!("{endpoint}/alerts/{id}"),
                "alertRule": alert.kind.as_str(),
                "severity": alert.kind.severity(),
                "signalType": "Activity Log",
                "monitorCondition": "Fired",
                "monitoringService": "Azure Backup",
                "alertTargetIDs": [target.as_str()],
                "originAlertId": id,
                "firedDateTime": shown(now_us),
                "description": alert.text,
                "essentialsVersion": "1.0",
                "alertContextVersion": "1.0",
            },
            "alertContext": {
                "vaultId": alert.vault.id.as_str(),
                "backupInstanceId": alert.instance.map(ResourceId::as_str),
                "jobId": alert.job,
                "errorCode": code,
                "innerErrorCode": inner,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(settings: Value) -> Resource {
        let id = ResourceId::parse(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v",
        );
        Resource {
            id: id.unwrap(),
            kind: String::new(),
            parent: None,
            subscription: "s".to_owned(),
            resource_group: Some("g".to_owned()),
            body: json!({"properties": {"monitoringSettings": settings}}),
            version: 1,
            created_us: 0,
            updated_us: 0,
        }
    }

    #[test]
    fn the_vaults_setting_is_honoured_and_absent_means_on() {
        assert!(wants_alerts(&vault(Value::Null)));
        let setting =
            |word: &str| json!({"azureMonitorAlertSettings": {"alertsForAllJobFailures": word}});
        assert!(wants_alerts(&vault(setting("Enabled"))));
        assert!(!wants_alerts(&vault(setting("Disabled"))));
    }

    #[test]
    fn only_what_is_weaker_is_told() {
        let strong = json!({
            "isVaultProtectedByResourceGuard": true,
            "securitySettings": {
                "softDeleteSettings": {"state": "On", "retentionDurationInDays": 30.0},
                "immutabilitySettings": {"state": "Unlocked"}
            },
            "monitoringSettings": {"azureMonitorAlertSettings": {"alertsForAllJobFailures": "Enabled"}}
        });
        let weak = json!({
            "securitySettings": {
                "softDeleteSettings": {"state": "Off", "retentionDurationInDays": 14.0},
                "immutabilitySettings": {"state": "Disabled"}
            },
            "monitoringSettings": {"azureMonitorAlertSettings": {"alertsForAllJobFailures": "Disabled"}}
        });
        assert_eq!(weakened(&strong, &weak).len(), 5);
        assert!(weakened(&weak, &strong).is_empty());
        assert!(weakened(&strong, &strong).is_empty());
    }

    #[test]
    fn an_alert_tells_codes_and_not_messages() {
        let vault = vault(Value::Null);
        let error = UserFacingError::new("UserErrorX", "password is hunter2");
        let alert =
            Alert::of_instance(AlertKind::BackupFailed, &vault, &vault.id, "It failed.".into())
                .with_error(&error);
        let body = body(&alert, Uuid::nil(), "https://here", 0);
        assert_eq!(body["data"]["alertContext"]["errorCode"], "UserErrorX");
        assert_eq!(body["data"]["essentials"]["firedDateTime"], "1970-01-01T00:00:00Z");
        assert!(!body.to_string().contains("hunter2"));
    }
}

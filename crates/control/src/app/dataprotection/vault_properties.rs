//! From what a request says of a vault, and what the vault is, to what it becomes.
//!
//! Pure. Invariants: what the service computes is never taken from a request; what was made irreversible stays; protection that a
//! request does not mention (soft delete, immutability, cross-region restore) is kept as it is, never lowered by silence.

use coffer_azure::{
    BackupVault, DataStoreType, FeatureSettings, ImmutabilitySettings, ImmutabilityState,
    MonitoringSettings, SecuritySettings, SoftDeleteSettings, SoftDeleteState, StorageSetting,
    StorageType,
};

use super::critical_operation::CriticalOperation;
use super::errors;
use super::vault_security::{
    Immutability, SOFT_DELETE_DAYS, SOFT_DELETE_DAYS_DEFAULT, SoftDelete, scores,
};
use crate::error::Error;

/// The settings of a request: those that a PATCH can give.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestedSettings {
    /// Soft delete, immutability, encryption.
    pub(super) security: Option<SecuritySettings>,
    /// Cross-region and cross-subscription restore.
    pub(super) features: Option<FeatureSettings>,
    /// Alerts.
    pub(super) monitoring: Option<MonitoringSettings>,
}

/// The properties that a vault gets. `provisioning_state` is left to the caller. `second_region` is where its recovery points
/// are copied to if it is geo-redundant; none if they are copied nowhere.
///
/// # Errors
/// A setting does not exist, is not supported, or may not be changed any more.
pub(super) fn effective(
    storage: Option<Vec<StorageSetting>>,
    requested: RequestedSettings,
    current: Option<&BackupVault>,
    second_region: Option<&str>,
) -> Result<BackupVault, Error> {
    let storage = match storage.or_else(|| current.and_then(|vault| vault.storage_settings.clone()))
    {
        Some(storage) => check_storage(storage)?,
        None => {
            return Err(errors::invalid_input(
                "storageSettings is required, for example [{\"datastoreType\": \"VaultStore\", \"type\": \"LocallyRedundant\"}].",
            ));
        }
    };
    let now = current.map(Security::of).transpose()?;
    let next = now.unwrap_or(Security::DEFAULT).with(requested.security.unwrap_or_default())?;
    if now.is_some_and(|now| !now.soft_delete.may_become(next.soft_delete)) {
        return Err(errors::soft_delete_always_on());
    }
    if now.is_some_and(|now| !now.immutability.may_become(next.immutability)) {
        return Err(errors::immutability_locked());
    }
    if now.is_some_and(|now| {
        now.immutability == Immutability::Locked
            && now.soft_delete != SoftDelete::Off
            && next.soft_delete == SoftDelete::Off
    }) {
        // It would purge what is soft deleted, at once and for good.
        return Err(errors::soft_delete_of_locked_vault());
    }
    let is_guarded =
        current.and_then(|vault| vault.is_vault_protected_by_resource_guard).unwrap_or(false);
    let (secure_score, bcdr_security_level) =
        scores(next.soft_delete, next.immutability, is_guarded);
    let features = merge_features(
        requested.features,
        current.and_then(|vault| vault.feature_settings.as_ref()),
    )?;
    let second_region = second_region.filter(|_| is_geo_redundant(&storage));
    let was_enabled = current.is_some_and(|vault| restores_across(vault.feature_settings.as_ref()));
    if restores_across(features.as_ref()) {
        let was_copied = current.is_some_and(|vault| {
            vault.replicated_regions.as_ref().is_some_and(|regions| !regions.is_empty())
        });
        // One that was enabled before there was a second region stays as it is.
        if second_region.is_none() && (was_copied || !was_enabled) {
            return Err(errors::no_second_region(is_geo_redundant(&storage)));
        }
    }
    Ok(BackupVault {
        provisioning_state: None,
        storage_settings: Some(storage),
        is_vault_protected_by_resource_guard: Some(is_guarded),
        monitoring_settings: check_monitoring(requested.monitoring)?,
        security_settings: Some(next.settings()),
        feature_settings: features,
        secure_score: Some(secure_score.to_owned()),
        bcdr_security_level: Some(bcdr_security_level.to_owned()),
        resource_guard_operation_requests: None,
        replicated_regions: Some(second_region.map(str::to_owned).into_iter().collect()),
    })
}

fn is_geo_redundant(storage: &[StorageSetting]) -> bool {
    let mut vault_stores =
        storage.iter().filter(|it| it.datastore_type == Some(DataStoreType::VaultStore));
    vault_stores.any(|it| it.kind == Some(StorageType::GeoRedundant))
}

/// Whether restores from the second region are enabled.
pub(super) fn restores_across(features: Option<&FeatureSettings>) -> bool {
    let settings = features.and_then(|features| features.cross_region_restore_settings.as_ref());
    settings.is_some_and(|settings| is(&settings.state, "Enabled"))
}

/// Writes whether a resource guard watches over the vault, and the scores that follow.
///
/// # Errors
/// An internal error: rows are checked before they are written.
pub(super) fn set_guarded(vault: &mut BackupVault, is_guarded: bool) -> Result<(), Error> {
    let security = Security::of(vault)?;
    let (secure_score, level) = scores(security.soft_delete, security.immutability, is_guarded);
    vault.is_vault_protected_by_resource_guard = Some(is_guarded);
    vault.secure_score = Some(secure_score.to_owned());
    vault.bcdr_security_level = Some(level.to_owned());
    Ok(())
}

/// Which critical operations lead from one state of a vault to the other.
///
/// # Errors
/// An internal error: rows are checked before they are written.
pub(super) fn weakened(
    before: &BackupVault,
    after: &BackupVault,
) -> Result<Vec<CriticalOperation>, Error> {
    let (before, after) = (Security::of(before)?, Security::of(after)?);
    let mut operations = Vec::new();
    if after.immutability.rank() < before.immutability.rank() {
        operations.push(CriticalOperation::ReduceImmutability);
    }
    if after.soft_delete.rank() < before.soft_delete.rank()
        || after.retention_days < before.retention_days
    {
        operations.push(CriticalOperation::ReduceSoftDelete);
    }
    Ok(operations)
}

/// Whether a request is about encryption by keys of the customer's own.
pub(super) fn asks_for_encryption(requested: &RequestedSettings) -> bool {
    let encryption = requested.security.as_ref().and_then(|it| it.encryption_settings.as_ref());
    encryption.and_then(|it| it.state.as_deref()).is_some_and(is_encrypting)
}

fn is_encrypting(state: &str) -> bool {
    !state.is_empty() && !state.eq_ignore_ascii_case("Disabled")
}

/// State and retention of a vault's soft delete.
///
/// # Errors
/// An internal error: rows are checked before they are written.
pub(super) fn soft_delete_of(vault: &BackupVault) -> Result<(SoftDelete, f64), Error> {
    let security = Security::of(vault)?;
    Ok((security.soft_delete, security.retention_days))
}

/// A vault's immutability.
///
/// # Errors
/// An internal error: rows are checked before they are written.
pub(super) fn immutability_of(vault: &BackupVault) -> Result<Immutability, Error> {
    Ok(Security::of(vault)?.immutability)
}

#[derive(Debug, Clone, Copy)]
struct Security {
    soft_delete: SoftDelete,
    retention_days: f64,
    immutability: Immutability,
}

impl Security {
    const DEFAULT: Self = Self {
        soft_delete: SoftDelete::On,
        retention_days: SOFT_DELETE_DAYS_DEFAULT,
        immutability: Immutability::Absent,
    };

    fn of(vault: &BackupVault) -> Result<Self, Error> {
        Self::DEFAULT.with(vault.security_settings.clone().unwrap_or_default())
    }

    fn with(mut self, settings: SecuritySettings) -> Result<Self, Error> {
        if let Some(soft_delete) = settings.soft_delete_settings {
            if let Some(state) = soft_delete.state {
                self.soft_delete = SoftDelete::parse(state.as_str()).ok_or_else(|| {
                    errors::invalid_input(format!(
                        "The soft delete state '{state}' does not exist; Off, On and AlwaysOn do."
                    ))
                })?;
            }
            if let Some(days) = soft_delete.retention_duration_in_days {
                if !SOFT_DELETE_DAYS.contains(&days) {
                    return Err(errors::invalid_input(format!(
                        "retentionDurationInDays of soft delete is {days}; it is at least {} and at most {}.",
                        SOFT_DELETE_DAYS.start(),
                        SOFT_DELETE_DAYS.end()
                    )));
                }
                self.retention_days = days;
            }
        }
        if let Some(state) = settings.immutability_settings.and_then(|settings| settings.state) {
            self.immutability = Immutability::parse(state.as_str()).ok_or_else(|| {
                errors::invalid_input(format!("The immutability state '{state}' does not exist; Disabled, Unlocked and Locked do."))
            })?;
        }
        if let Some(encryption) = settings.encryption_settings
            && encryption.state.as_deref().is_some_and(is_encrypting)
        {
            return Err(errors::invalid_input(
                "encryptionSettings with a customer-managed key are not supported by this version; data is always encrypted with the \
                 vault's own key.",
            ));
        }
        Ok(self)
    }

    fn settings(self) -> SecuritySettings {
        SecuritySettings {
            soft_delete_settings: Some(SoftDeleteSettings {
                state: Some(SoftDeleteState::from(self.soft_delete.as_str())),
                retention_duration_in_days: Some(self.retention_days),
            }),
            immutability_settings: self
                .immutability
                .as_str()
                .map(|state| ImmutabilitySettings { state: Some(ImmutabilityState::from(state)) }),
            encryption_settings: None,
        }
    }
}

fn check_storage(storage: Vec<StorageSetting>) -> Result<Vec<StorageSetting>, Error> {
    let mut vault_stores = 0;
    for setting in &storage {
        match (&setting.datastore_type, &setting.kind) {
            (Some(store), Some(kind)) if store.is_known() && kind.is_known() => {
                vault_stores += usize::from(*store == DataStoreType::VaultStore);
            }
            _ => {
                return Err(errors::invalid_input(
                    "Each entry of storageSettings needs a datastoreType (VaultStore) and a type (LocallyRedundant, ZoneRedundant or \
                     GeoRedundant).",
                ));
            }
        }
    }
    if vault_stores == 1 {
        Ok(storage)
    } else {
        Err(errors::invalid_input(
            "storageSettings needs exactly one entry with the datastoreType VaultStore.",
        ))
    }
}

fn check_monitoring(
    monitoring: Option<MonitoringSettings>,
) -> Result<Option<MonitoringSettings>, Error> {
    let alerts = monitoring
        .as_ref()
        .and_then(|settings| settings.azure_monitor_alert_settings.as_ref())
        .and_then(|settings| settings.alerts_for_all_job_failures.as_deref());
    check_word("alertsForAllJobFailures", alerts, &["Enabled", "Disabled"])?;
    Ok(monitoring)
}

fn merge_features(
    requested: Option<FeatureSettings>,
    current: Option<&FeatureSettings>,
) -> Result<Option<FeatureSettings>, Error> {
    let Some(requested) = requested else { return Ok(current.cloned()) };
    let mut next = current.cloned().unwrap_or_default();
    let region_now =
        next.cross_region_restore_settings.as_ref().and_then(|settings| settings.state.clone());
    let subscription_now = next
        .cross_subscription_restore_settings
        .as_ref()
        .and_then(|settings| settings.state.clone());
    if let Some(settings) = requested.cross_region_restore_settings {
        check_word(
            "crossRegionRestoreSettings",
            settings.state.as_deref(),
            &["Disabled", "Enabled"],
        )?;
        if is(&region_now, "Enabled") && is(&settings.state, "Disabled") {
            return Err(errors::cross_region_restore_enabled());
        }
        next.cross_region_restore_settings = Some(settings);
    }
    if let Some(settings) = requested.cross_subscription_restore_settings {
        check_word(
            "crossSubscriptionRestoreSettings",
            settings.state.as_deref(),
            &["Disabled", "PermanentlyDisabled", "Enabled"],
        )?;
        if is(&subscription_now, "PermanentlyDisabled")
            && !is(&settings.state, "PermanentlyDisabled")
        {
            return Err(errors::invalid_input(
                "The cross-subscription restore of this vault was disabled permanently.",
            ));
        }
        next.cross_subscription_restore_settings = Some(settings);
    }
    Ok(Some(next))
}

fn is(state: &Option<String>, word: &str) -> bool {
    state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case(word))
}

fn check_word(member: &str, given: Option<&str>, known: &[&str]) -> Result<(), Error> {
    match given {
        Some(word) if !known.iter().any(|known| known.eq_ignore_ascii_case(word)) => {
            Err(errors::invalid_input(format!(
                "{member} is '{word}'; possible are {}.",
                known.join(", ")
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

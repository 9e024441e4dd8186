//! What a trace calls a route: its path with every name replaced, so that a span's name tells what was asked for, is one of
//! few, and holds nothing that a caller has made up.

use super::{ArmRoute, Route};

/// Words of paths that stand for themselves, in Azure's casing. Any other is a name, or made up.
const WORDS: &[&str] = &[
    "Microsoft.Authorization",
    "Microsoft.DBforPostgreSQL",
    "Microsoft.DataProtection",
    "Microsoft.KeyVault",
    "Microsoft.Storage",
    "backup",
    "backupInstances",
    "backupJobs",
    "backupPolicies",
    "backupResourceGuardProxies",
    "backupVaults",
    "cancel",
    "checkFeatureSupport",
    "checkNameAvailability",
    "crossRegionRestore",
    "databases",
    "deletedBackupInstances",
    "deletedSecrets",
    "flexibleServers",
    "deletedVaults",
    "exportBackupJobs",
    "fetchCrossRegionRestoreJob",
    "fetchCrossRegionRestoreJobs",
    "fetchSecondaryRecoveryPoints",
    "findRestorableTimeRanges",
    "locations",
    "operationResults",
    "operationStatus",
    "operations",
    "providers",
    "recover",
    "recoveryPoints",
    "rehydrate",
    "resourceGroups",
    "resourceGuards",
    "restore",
    "resumeBackups",
    "resumeProtection",
    "roleAssignments",
    "roleDefinitions",
    "secrets",
    "servers",
    "stopProtection",
    "storageAccounts",
    "subscriptions",
    "suspendBackups",
    "sync",
    "undelete",
    "unlockDelete",
    "validateCrossRegionRestore",
    "validateForBackup",
    "validateForModifyBackup",
    "validateRestore",
    "vaults",
    "versions",
];

/// The route with `{…}` for whatever is a name.
pub(in crate::http) fn template(route: &Route, segments: &[String]) -> String {
    match route {
        Route::Health => "/healthz".to_owned(),
        Route::Metrics => "/metrics".to_owned(),
        Route::MetadataEndpoints => "/metadata/endpoints".to_owned(),
        Route::Token(_) => "/{tenant}/oauth2/token".to_owned(),
        Route::OpenIdConfiguration(_) => "/{tenant}/.well-known/openid-configuration".to_owned(),
        Route::SigningKeys => "/{tenant}/discovery/keys".to_owned(),
        Route::Export { .. } => "/exports/{name}/{file}".to_owned(),
        Route::InstanceDiscovery => "/{tenant}/discovery/instance".to_owned(),
        // A type, a name, then the version or a word.
        Route::Secrets { .. } => match segments {
            [first, name, last] if word(last).is_none() => {
                alternating(&[first.clone(), name.clone()]) + "/{version}"
            }
            _ => alternating(segments),
        },
        Route::Arm(route) => arm(route),
    }
}

fn arm(route: &ArmRoute) -> String {
    let text = match route {
        ArmRoute::Tenants => "/tenants",
        ArmRoute::Subscriptions => "/subscriptions",
        ArmRoute::Subscription(_) => "/subscriptions/{subscription}",
        ArmRoute::Locations(_) => "/subscriptions/{subscription}/locations",
        ArmRoute::ResourceGroups(_) => "/subscriptions/{subscription}/resourceGroups",
        ArmRoute::ResourceGroup(..) => "/subscriptions/{subscription}/resourceGroups/{group}",
        ArmRoute::Resources(_, None) => "/subscriptions/{subscription}/resources",
        ArmRoute::Resources(_, Some(_)) => {
            "/subscriptions/{subscription}/resourceGroups/{group}/resources"
        }
        ArmRoute::Providers { namespace: None, .. } => "/subscriptions/{subscription}/providers",
        ArmRoute::Providers { register: false, .. } => {
            "/subscriptions/{subscription}/providers/{namespace}"
        }
        ArmRoute::Providers { register: true, .. } => {
            "/subscriptions/{subscription}/providers/{namespace}/register"
        }
        ArmRoute::Unknown => "/{unknown}",
        ArmRoute::Provider(scope) => {
            let above = match (&scope.extended, &scope.subscription, &scope.resource_group) {
                (Some(_), ..) => "/{scope}",
                (None, Some(_), Some(_)) => "/subscriptions/{subscription}/resourceGroups/{group}",
                (None, Some(_), None) => "/subscriptions/{subscription}",
                (None, None, _) => "",
            };
            let namespace = word(&scope.namespace).unwrap_or("{namespace}");
            return format!("{above}/providers/{namespace}{}", of_provider(&scope.rest));
        }
    };
    text.to_owned()
}

/// What follows the namespace. Exports of jobs stand where the names of jobs stand.
fn of_provider(rest: &[String]) -> String {
    match rest {
        [vaults, _, jobs, operations, _]
            if [(vaults, "backupVaults"), (jobs, "backupJobs"), (operations, "operations")]
                .iter()
                .all(|(segment, expected)| segment.eq_ignore_ascii_case(expected)) =>
        {
            "/backupVaults/{name}/backupJobs/operations/{name}".to_owned()
        }
        _ => alternating(rest),
    }
}

/// Types and names by turns, beginning with a type.
fn alternating(segments: &[String]) -> String {
    let mut out = String::new();
    for (index, segment) in segments.iter().enumerate() {
        out.push('/');
        out.push_str(match index % 2 {
            0 => word(segment).unwrap_or("{type}"),
            _ => "{name}",
        });
    }
    out
}

fn word(segment: &str) -> Option<&'static str> {
    WORDS.iter().find(|word| word.eq_ignore_ascii_case(segment)).copied()
}

//! Every route that is served, and what it takes to be let in.
//!
//! It decides nothing: `dispatch` does. It is there so that nothing that is served goes untested: a debug build refuses to answer by a
//! route that is not in here, and the matrix of authorization (`tests/it/matrix.rs`) asks for every one that is.
//!
//! If you are here because of that refusal, you have added a route. Add its line, and a request for it to the matrix.

use http::Method;

/// What it takes to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: clients ask before they have a token.
    Anybody,
    /// An address that was signed for one thing.
    Link,
    /// A token of anybody; the answer has what its caller may see.
    Token,
    /// Any role at the scope, above it or below it; the answer has what its caller may see.
    Reach,
    /// The actions that the rule names.
    Actions,
}

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRow {
    /// The verb.
    pub method: &'static str,
    above: Above,
    rest: &'static str,
    /// What it takes.
    pub access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Above {
    Root,
    Subscription,
    Group,
    Resource,
}

impl RouteRow {
    /// As [`template`](super::template()) has it.
    pub fn template(&self) -> String {
        let above = match self.above {
            Above::Root => "",
            Above::Subscription => "/subscriptions/{subscription}",
            Above::Group => "/subscriptions/{subscription}/resourceGroups/{group}",
            Above::Resource => "/{scope}",
        };
        format!("{above}{}", self.rest)
    }
}

/// Whether a route is in the table.
pub(in crate::http) fn lists(method: &Method, template: &str) -> bool {
    // Where a reading is served without a token, so is its head.
    let is_like = |row: &RouteRow| {
        let is_open = matches!(row.access, Access::Anybody | Access::Link);
        row.method == method.as_str() || (is_open && *method == Method::HEAD)
    };
    ROUTES.iter().any(|row| is_like(row) && row.template() == template)
}

const fn root(method: &'static str, rest: &'static str, access: Access) -> RouteRow {
    RouteRow { method, above: Above::Root, rest, access }
}

const fn subscription(method: &'static str, rest: &'static str, access: Access) -> RouteRow {
    RouteRow { method, above: Above::Subscription, rest, access }
}

const fn group(method: &'static str, rest: &'static str) -> RouteRow {
    RouteRow { method, above: Above::Group, rest, access: Access::Actions }
}

const fn resource(method: &'static str, rest: &'static str) -> RouteRow {
    RouteRow { method, above: Above::Resource, rest, access: Access::Actions }
}

/// All of them.
#[rustfmt::skip]
pub const ROUTES: &[RouteRow] = &[
    // Before there is a token.
    root("GET", "/healthz", Access::Anybody),
    root("GET", "/metrics", Access::Anybody),
    root("GET", "/metadata/endpoints", Access::Anybody),
    root("POST", "/{tenant}/oauth2/token", Access::Anybody),
    root("GET", "/{tenant}/.well-known/openid-configuration", Access::Anybody),
    root("GET", "/{tenant}/discovery/keys", Access::Anybody),
    root("GET", "/{tenant}/discovery/instance", Access::Anybody),

    // What is downloaded by links.
    root("GET", "/exports/{name}/{file}", Access::Link),

    // A key vault's data.
    root("GET", "/secrets", Access::Actions),
    root("PUT", "/secrets/{name}", Access::Actions),
    root("GET", "/secrets/{name}", Access::Actions),
    root("PATCH", "/secrets/{name}", Access::Actions),
    root("DELETE", "/secrets/{name}", Access::Actions),
    root("GET", "/secrets/{name}/versions", Access::Actions),
    root("GET", "/secrets/{name}/{version}", Access::Actions),
    root("PATCH", "/secrets/{name}/{version}", Access::Actions),
    root("GET", "/deletedSecrets", Access::Actions),
    root("GET", "/deletedSecrets/{name}", Access::Actions),
    root("DELETE", "/deletedSecrets/{name}", Access::Actions),
    root("POST", "/deletedSecrets/{name}/recover", Access::Actions),
    root("POST", "/secrets/{name}/backup", Access::Actions),
    // `/secrets/restore`, which only looks like a secret's name.
    root("POST", "/secrets/{name}", Access::Actions),

    // Tenants, subscriptions, groups.
    root("GET", "/tenants", Access::Token),
    root("GET", "/subscriptions", Access::Token),
    subscription("GET", "", Access::Reach),
    subscription("GET", "/locations", Access::Reach),
    subscription("GET", "/providers", Access::Reach),
    subscription("GET", "/providers/{namespace}", Access::Reach),
    subscription("POST", "/providers/{namespace}/register", Access::Actions),
    subscription("GET", "/resources", Access::Reach),
    subscription("GET", "/resourceGroups", Access::Reach),
    group("GET", ""),
    group("HEAD", ""),
    group("PUT", ""),
    group("PATCH", ""),
    group("DELETE", ""),
    RouteRow { access: Access::Reach, ..group("GET", "/resources") },

    // Roles, at every scope.
    root("GET", "/providers/Microsoft.Authorization/roleDefinitions", Access::Token),
    root("GET", "/providers/Microsoft.Authorization/roleDefinitions/{name}", Access::Token),
    root("PUT", "/providers/Microsoft.Authorization/roleDefinitions/{name}", Access::Actions),
    root("DELETE", "/providers/Microsoft.Authorization/roleDefinitions/{name}", Access::Actions),
    root("GET", "/providers/Microsoft.Authorization/roleAssignments", Access::Actions),
    root("GET", "/providers/Microsoft.Authorization/roleAssignments/{name}", Access::Actions),
    root("PUT", "/providers/Microsoft.Authorization/roleAssignments/{name}", Access::Actions),
    root("DELETE", "/providers/Microsoft.Authorization/roleAssignments/{name}", Access::Actions),
    subscription("GET", "/providers/Microsoft.Authorization/roleDefinitions", Access::Actions),
    subscription("GET", "/providers/Microsoft.Authorization/roleDefinitions/{name}", Access::Actions),
    subscription("PUT", "/providers/Microsoft.Authorization/roleDefinitions/{name}", Access::Actions),
    subscription("DELETE", "/providers/Microsoft.Authorization/roleDefinitions/{name}", Access::Actions),
    subscription("GET", "/providers/Microsoft.Authorization/roleAssignments", Access::Actions),
    subscription("GET", "/providers/Microsoft.Authorization/roleAssignments/{name}", Access::Actions),
    subscription("PUT", "/providers/Microsoft.Authorization/roleAssignments/{name}", Access::Actions),
    subscription("DELETE", "/providers/Microsoft.Authorization/roleAssignments/{name}", Access::Actions),
    group("GET", "/providers/Microsoft.Authorization/roleDefinitions"),
    group("GET", "/providers/Microsoft.Authorization/roleDefinitions/{name}"),
    group("PUT", "/providers/Microsoft.Authorization/roleDefinitions/{name}"),
    group("DELETE", "/providers/Microsoft.Authorization/roleDefinitions/{name}"),
    group("GET", "/providers/Microsoft.Authorization/roleAssignments"),
    group("GET", "/providers/Microsoft.Authorization/roleAssignments/{name}"),
    group("PUT", "/providers/Microsoft.Authorization/roleAssignments/{name}"),
    group("DELETE", "/providers/Microsoft.Authorization/roleAssignments/{name}"),
    resource("GET", "/providers/Microsoft.Authorization/roleDefinitions"),
    resource("GET", "/providers/Microsoft.Authorization/roleDefinitions/{name}"),
    resource("PUT", "/providers/Microsoft.Authorization/roleDefinitions/{name}"),
    resource("DELETE", "/providers/Microsoft.Authorization/roleDefinitions/{name}"),
    resource("GET", "/providers/Microsoft.Authorization/roleAssignments"),
    resource("GET", "/providers/Microsoft.Authorization/roleAssignments/{name}"),
    resource("PUT", "/providers/Microsoft.Authorization/roleAssignments/{name}"),
    resource("DELETE", "/providers/Microsoft.Authorization/roleAssignments/{name}"),

    // Key vaults, restore targets, servers.
    subscription("GET", "/providers/Microsoft.KeyVault/vaults", Access::Actions),
    group("GET", "/providers/Microsoft.KeyVault/vaults"),
    group("PUT", "/providers/Microsoft.KeyVault/vaults/{name}"),
    group("GET", "/providers/Microsoft.KeyVault/vaults/{name}"),
    group("DELETE", "/providers/Microsoft.KeyVault/vaults/{name}"),
    subscription("GET", "/providers/Microsoft.Storage/storageAccounts", Access::Actions),
    group("GET", "/providers/Microsoft.Storage/storageAccounts"),
    group("PUT", "/providers/Microsoft.Storage/storageAccounts/{name}"),
    group("GET", "/providers/Microsoft.Storage/storageAccounts/{name}"),
    group("DELETE", "/providers/Microsoft.Storage/storageAccounts/{name}"),
    subscription("GET", "/providers/Microsoft.DBforPostgreSQL/servers", Access::Actions),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/servers"),
    group("PUT", "/providers/Microsoft.DBforPostgreSQL/servers/{name}"),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/servers/{name}"),
    group("DELETE", "/providers/Microsoft.DBforPostgreSQL/servers/{name}"),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/servers/{name}/databases"),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/servers/{name}/databases/{name}"),
    subscription("GET", "/providers/Microsoft.DBforPostgreSQL/flexibleServers", Access::Actions),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/flexibleServers"),
    group("PUT", "/providers/Microsoft.DBforPostgreSQL/flexibleServers/{name}"),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/flexibleServers/{name}"),
    group("DELETE", "/providers/Microsoft.DBforPostgreSQL/flexibleServers/{name}"),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/flexibleServers/{name}/databases"),
    group("GET", "/providers/Microsoft.DBforPostgreSQL/flexibleServers/{name}/databases/{name}"),

    // Microsoft.DataProtection.
    root("GET", "/providers/Microsoft.DataProtection/operations", Access::Token),
    subscription("GET", "/providers/Microsoft.DataProtection/backupVaults", Access::Actions),
    subscription("GET", "/providers/Microsoft.DataProtection/resourceGuards", Access::Actions),
    subscription("POST", "/providers/Microsoft.DataProtection/locations/{name}/checkFeatureSupport", Access::Actions),
    subscription("GET", "/providers/Microsoft.DataProtection/locations/{name}/operationStatus/{name}", Access::Actions),
    subscription("GET", "/providers/Microsoft.DataProtection/locations/{name}/operationResults/{name}", Access::Actions),
    subscription("GET", "/providers/Microsoft.DataProtection/locations/{name}/deletedVaults", Access::Actions),
    subscription("GET", "/providers/Microsoft.DataProtection/locations/{name}/deletedVaults/{name}", Access::Actions),
    resource("GET", "/providers/Microsoft.DataProtection/backupInstances"),
    group("POST", "/providers/Microsoft.DataProtection/locations/{name}/checkNameAvailability"),
    group("POST", "/providers/Microsoft.DataProtection/locations/{name}/fetchSecondaryRecoveryPoints"),
    group("POST", "/providers/Microsoft.DataProtection/locations/{name}/validateCrossRegionRestore"),
    group("POST", "/providers/Microsoft.DataProtection/locations/{name}/crossRegionRestore"),
    group("POST", "/providers/Microsoft.DataProtection/locations/{name}/fetchCrossRegionRestoreJobs"),
    group("POST", "/providers/Microsoft.DataProtection/locations/{name}/fetchCrossRegionRestoreJob"),
    // What follows a page of either, which is asked for without a body.
    group("GET", "/providers/Microsoft.DataProtection/locations/{name}/fetchSecondaryRecoveryPoints"),
    group("GET", "/providers/Microsoft.DataProtection/locations/{name}/fetchCrossRegionRestoreJobs"),
    group("GET", "/providers/Microsoft.DataProtection/locations/{name}/operationStatus/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/operationStatus/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults"),
    group("PUT", "/providers/Microsoft.DataProtection/backupVaults/{name}"),
    group("PATCH", "/providers/Microsoft.DataProtection/backupVaults/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}"),
    group("DELETE", "/providers/Microsoft.DataProtection/backupVaults/{name}"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/validateForBackup"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/operationStatus/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/operationResults/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupJobs"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupJobs/{name}"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupJobs/{name}/cancel"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/exportBackupJobs"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupJobs/operations/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupPolicies"),
    group("PUT", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupPolicies/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupPolicies/{name}"),
    group("DELETE", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupPolicies/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances"),
    group("PUT", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}"),
    group("DELETE", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/backup"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/validateRestore"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/restore"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/stopProtection"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/suspendBackups"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/resumeProtection"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/resumeBackups"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/sync"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/rehydrate"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/findRestorableTimeRanges"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/validateForModifyBackup"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/operationResults/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/recoveryPoints"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupInstances/{name}/recoveryPoints/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/deletedBackupInstances"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/deletedBackupInstances/{name}"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/deletedBackupInstances/{name}/undelete"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupResourceGuardProxies"),
    group("PUT", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupResourceGuardProxies/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupResourceGuardProxies/{name}"),
    group("DELETE", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupResourceGuardProxies/{name}"),
    group("POST", "/providers/Microsoft.DataProtection/backupVaults/{name}/backupResourceGuardProxies/{name}/unlockDelete"),
    group("GET", "/providers/Microsoft.DataProtection/resourceGuards"),
    group("PUT", "/providers/Microsoft.DataProtection/resourceGuards/{name}"),
    group("PATCH", "/providers/Microsoft.DataProtection/resourceGuards/{name}"),
    group("GET", "/providers/Microsoft.DataProtection/resourceGuards/{name}"),
    group("DELETE", "/providers/Microsoft.DataProtection/resourceGuards/{name}"),
    // One route for each type of request.
    group("GET", "/providers/Microsoft.DataProtection/resourceGuards/{name}/{type}"),
    group("GET", "/providers/Microsoft.DataProtection/resourceGuards/{name}/{type}/{name}"),
];

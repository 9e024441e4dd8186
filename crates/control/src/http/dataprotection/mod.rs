//! `Microsoft.DataProtection` on the wire: which path and verb is which function of [`crate::app::dataprotection`].
//!
//! Nothing is decided here. Paths are matched without regard to case; names keep the caller's. A path that the published API has and
//! this version does not is told apart from one that nobody has: the first is "not supported", the second is ARM's own error.

mod backup_instance;
mod backup_policy;
mod backup_vault;
mod cross_region;
mod deleted_backup_instance;
mod deleted_vault;
mod encode;
mod job;
mod operation;
mod provider;
mod recovery_point;
mod resource_guard;
mod resource_guard_proxy;

pub(super) use job::download as download_export;

use std::sync::Arc;

use coffer_azure::ResourceId;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::App;
use crate::app::dataprotection::conditions::Conditions;
use crate::app::dataprotection::critical_operation::request_type;
use crate::app::dataprotection::{
    Call, DELETED_INSTANCES, INSTANCES, NAMESPACE, POLICIES, PROXIES,
};
use crate::error::{Error, ErrorKind};
use crate::http::{ArmRequest, ArmResponse, ProviderScope, authenticate};
use crate::identity::Caller;

/// Answers a request below `…/providers/Microsoft.DataProtection`.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn dispatch(
    app: &Arc<App>,
    req: &ArmRequest,
    scope: &ProviderScope,
) -> Result<ArmResponse, Error> {
    let auxiliaries = authenticate::auxiliaries(app, &req.headers)
        .await
        .map_err(|error| authenticate::challenge_arm(app, error))?;
    let request = Request { app, req, scope, auxiliaries: &auxiliaries };
    let types = scope.rest_lower();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    if let Some(resource) = &scope.extended {
        return request.on_resource(resource, &types).await;
    }
    match (scope.subscription.is_some(), scope.resource_group.is_some()) {
        (false, _) => request.at_root(&types).await,
        (true, false) => request.in_subscription(&types).await,
        (true, true) => request.in_group(&types).await,
    }
}

/// Reads a body that was parsed already, under the rules of [`ArmRequest::decode`].
fn decode_value<T: DeserializeOwned>(body: Value) -> Result<T, Error> {
    coffer_azure::decode_value(body).map_err(|error| {
        let place =
            if error.path.is_empty() { String::new() } else { format!("'{}': ", error.path) };
        Error::invalid_content(format!(
            "The request content was invalid and could not be deserialized: {place}{}.",
            error.message
        ))
        .with_target(error.path)
    })
}

/// A request with everything that the handlers below need.
#[derive(Clone, Copy)]
struct Request<'a> {
    app: &'a Arc<App>,
    req: &'a ArmRequest,
    scope: &'a ProviderScope,
    auxiliaries: &'a [Caller],
}

impl<'a> Request<'a> {
    fn call(self) -> Call<'a> {
        Call {
            caller: &self.req.caller,
            auxiliaries: self.auxiliaries,
            api_version: &self.req.api_version,
            conditions: Conditions {
                if_match: self.condition("if-match"),
                if_none_match: self.condition("if-none-match"),
            },
            activity_id: &self.req.activity_id,
        }
    }

    /// A header that is no text is a condition that nothing fulfils.
    fn condition(self, header: &str) -> Option<&'a str> {
        self.req.headers.get(header).map(|value| value.to_str().unwrap_or_default())
    }

    /// The caller's spelling of a path segment behind the namespace.
    fn name(self, index: usize) -> &'a str {
        self.scope.rest.get(index).map(String::as_str).unwrap_or_default()
    }

    fn vault(self) -> Result<ResourceId, Error> {
        self.scope.resource_id(NAMESPACE, &["backupVaults", self.name(1)])
    }

    fn policy(self) -> Result<ResourceId, Error> {
        self.child(POLICIES)
    }

    fn instance(self) -> Result<ResourceId, Error> {
        self.child(INSTANCES)
    }

    fn deleted_instance(self) -> Result<ResourceId, Error> {
        self.child(DELETED_INSTANCES)
    }

    fn proxy(self) -> Result<ResourceId, Error> {
        self.child(PROXIES)
    }

    fn guard(self) -> Result<ResourceId, Error> {
        self.scope.resource_id(NAMESPACE, &["resourceGuards", self.name(1)])
    }

    fn child(self, of_type: &str) -> Result<ResourceId, Error> {
        self.scope.resource_id(NAMESPACE, &["backupVaults", self.name(1), of_type, self.name(3)])
    }

    async fn at_root(self, types: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, types) {
            (&Method::GET, ["operations"]) => provider::operations(self).await,
            (_, ["operations"]) => Err(self.method_not_allowed("GET")),
            _ => Err(self.unknown()),
        }
    }

    /// `types` is what follows the namespace behind another provider's resource.
    async fn on_resource(
        self,
        resource: &ResourceId,
        types: &[&str],
    ) -> Result<ArmResponse, Error> {
        match (&self.req.method, types) {
            (&Method::GET, ["backupinstances"]) => {
                backup_instance::list_of_resource(self, resource).await
            }
            (_, ["backupinstances"]) => Err(self.method_not_allowed("GET")),
            _ => Err(self.unknown()),
        }
    }

    async fn in_subscription(self, types: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, types) {
            (&Method::GET, ["backupvaults"]) => backup_vault::list(self).await,
            (&Method::GET, ["resourceguards"]) => resource_guard::list(self).await,
            (&Method::POST, ["locations", _, "checkfeaturesupport"]) => {
                provider::check_feature_support(self).await
            }
            (&Method::GET, ["locations", location, "deletedvaults"]) => {
                deleted_vault::list(self, location).await
            }
            (&Method::GET, ["locations", location, "deletedvaults", name]) => {
                deleted_vault::get(self, location, name).await
            }
            (_, ["locations", _, "deletedvaults"] | ["locations", _, "deletedvaults", _]) => {
                Err(self.method_not_allowed("GET"))
            }
            (&Method::GET, ["locations", _, "operationstatus", _]) => {
                operation::status(self, 3).await
            }
            (&Method::GET, ["locations", _, "operationresults", _]) => {
                operation::results(self, 3).await
            }
            (
                _,
                ["backupvaults" | "resourceguards"]
                | ["locations", _, "operationstatus" | "operationresults", _],
            ) => Err(self.method_not_allowed("GET")),
            (_, ["locations", _, "checkfeaturesupport"]) => Err(self.method_not_allowed("POST")),
            _ => Err(self.unknown()),
        }
    }

    async fn in_group(self, types: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, types) {
            (_, ["backupvaults", _, rest @ ..]) => self.in_vault(rest).await,
            (_, ["resourceguards", _, rest @ ..]) => self.in_guard(rest).await,
            (&Method::GET, ["resourceguards"]) => resource_guard::list(self).await,
            (&Method::GET, ["backupvaults"]) => backup_vault::list(self).await,
            (&Method::POST, ["locations", _, "checknameavailability"]) => {
                provider::check_name_availability(self).await
            }
            (&Method::GET, ["locations", _, "operationstatus", _]) => {
                operation::status(self, 3).await
            }
            (&Method::GET, ["operationstatus", _]) => operation::status(self, 1).await,
            (_, ["locations", _, rest]) if cross_region::is_served(rest) => {
                self.in_second_region(rest).await
            }
            (
                _,
                ["backupvaults" | "resourceguards"]
                | ["locations", _, "operationstatus", _]
                | ["operationstatus", _],
            ) => Err(self.method_not_allowed("GET")),
            (_, ["locations", _, "checknameavailability"]) => Err(self.method_not_allowed("POST")),
            _ => Err(self.unknown()),
        }
    }

    /// `rest` is what follows `locations/{name}`.
    async fn in_second_region(self, rest: &str) -> Result<ArmResponse, Error> {
        match (&self.req.method, rest) {
            (&Method::POST | &Method::GET, "fetchsecondaryrecoverypoints") => {
                cross_region::recovery_points(self).await
            }
            (&Method::POST | &Method::GET, "fetchcrossregionrestorejobs") => {
                cross_region::jobs(self).await
            }
            (&Method::POST, "fetchcrossregionrestorejob") => cross_region::job(self).await,
            (&Method::POST, "validatecrossregionrestore") => {
                cross_region::validate_restore(self).await
            }
            (&Method::POST, "crossregionrestore") => cross_region::restore(self).await,
            _ => Err(self.method_not_allowed("POST")),
        }
    }

    /// `rest` is what follows `backupVaults/{name}`.
    async fn in_vault(self, rest: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, rest) {
            (&Method::PUT, []) => backup_vault::put(self).await,
            (&Method::PATCH, []) => backup_vault::patch(self).await,
            (&Method::GET, []) => backup_vault::get(self).await,
            (&Method::DELETE, []) => backup_vault::delete(self).await,
            (_, []) => Err(self.method_not_allowed("GET, PUT, PATCH, DELETE")),

            (&Method::POST, ["validateforbackup"]) => {
                backup_instance::validate_for_backup(self).await
            }
            (_, ["validateforbackup"]) => Err(self.method_not_allowed("POST")),

            (&Method::GET, ["backuppolicies"]) => backup_policy::list(self).await,
            (&Method::PUT, ["backuppolicies", _]) => backup_policy::put(self).await,
            (&Method::GET, ["backuppolicies", _]) => backup_policy::get(self).await,
            (&Method::DELETE, ["backuppolicies", _]) => backup_policy::delete(self).await,
            (_, ["backuppolicies"]) => Err(self.method_not_allowed("GET")),
            (_, ["backuppolicies", _]) => Err(self.method_not_allowed("GET, PUT, DELETE")),

            (&Method::GET, ["backupinstances"]) => backup_instance::list(self).await,
            (_, ["backupinstances"]) => Err(self.method_not_allowed("GET")),
            (_, ["backupinstances", _, rest @ ..]) => self.in_instance(rest).await,

            (&Method::GET, ["deletedbackupinstances"]) => deleted_backup_instance::list(self).await,
            (&Method::GET, ["deletedbackupinstances", _]) => {
                deleted_backup_instance::get(self).await
            }
            (&Method::POST, ["deletedbackupinstances", _, "undelete"]) => {
                deleted_backup_instance::undelete(self).await
            }
            (_, ["deletedbackupinstances"] | ["deletedbackupinstances", _]) => {
                Err(self.method_not_allowed("GET"))
            }
            (_, ["deletedbackupinstances", _, "undelete"]) => Err(self.method_not_allowed("POST")),

            (_, ["backupresourceguardproxies", rest @ ..]) => self.in_proxies(rest).await,

            (&Method::GET, ["backupjobs"]) => job::list(self).await,
            (&Method::GET, ["backupjobs", _]) => job::get(self).await,
            (&Method::GET, ["backupjobs", "operations", _]) => job::export_result(self).await,
            (&Method::POST, ["backupjobs", _, "cancel"]) => job::cancel(self).await,
            (_, ["backupjobs", _, "cancel"]) => Err(self.method_not_allowed("POST")),
            (_, ["backupjobs"] | ["backupjobs", _] | ["backupjobs", "operations", _]) => {
                Err(self.method_not_allowed("GET"))
            }
            (&Method::POST, ["exportbackupjobs"]) => job::export(self).await,
            (_, ["exportbackupjobs"]) => Err(self.method_not_allowed("POST")),

            (&Method::GET, ["operationstatus", _]) => operation::status(self, 3).await,
            (&Method::GET, ["operationresults", _]) => operation::results(self, 3).await,
            (_, ["operationstatus" | "operationresults", _]) => Err(self.method_not_allowed("GET")),
            _ => Err(self.unknown()),
        }
    }

    /// `rest` is what follows `backupResourceGuardProxies`.
    async fn in_proxies(self, rest: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, rest) {
            (&Method::GET, []) => resource_guard_proxy::list(self).await,
            (_, []) => Err(self.method_not_allowed("GET")),
            (&Method::PUT, [_]) => resource_guard_proxy::put(self).await,
            (&Method::GET, [_]) => resource_guard_proxy::get(self).await,
            (&Method::DELETE, [_]) => resource_guard_proxy::delete(self).await,
            (_, [_]) => Err(self.method_not_allowed("GET, PUT, DELETE")),
            (&Method::POST, [_, "unlockdelete"]) => resource_guard_proxy::unlock_delete(self).await,
            (_, [_, "unlockdelete"]) => Err(self.method_not_allowed("POST")),
            _ => Err(self.unknown()),
        }
    }

    /// `rest` is what follows `resourceGuards/{name}`.
    async fn in_guard(self, rest: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, rest) {
            (&Method::PUT, []) => resource_guard::put(self).await,
            (&Method::PATCH, []) => resource_guard::patch(self).await,
            (&Method::GET, []) => resource_guard::get(self).await,
            (&Method::DELETE, []) => resource_guard::delete(self).await,
            (_, []) => Err(self.method_not_allowed("GET, PUT, PATCH, DELETE")),
            (_, [kind, ..]) if request_type(kind).is_none() => Err(self.unknown()),
            (&Method::GET, [_]) => resource_guard::requests(self).await,
            (&Method::GET, [_, _]) => resource_guard::request(self).await,
            (_, [_] | [_, _]) => Err(self.method_not_allowed("GET")),
            _ => Err(self.unknown()),
        }
    }

    /// `rest` is what follows `backupInstances/{name}`.
    async fn in_instance(self, rest: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, rest) {
            (&Method::PUT, []) => backup_instance::put(self).await,
            (&Method::GET, []) => backup_instance::get(self).await,
            (&Method::DELETE, []) => backup_instance::delete(self).await,
            (_, []) => Err(self.method_not_allowed("GET, PUT, DELETE")),

            (&Method::POST, ["backup"]) => backup_instance::backup(self).await,
            (&Method::POST, ["validaterestore"]) => backup_instance::validate_restore(self).await,
            (&Method::POST, ["restore"]) => backup_instance::restore(self).await,
            (&Method::POST, ["stopprotection"]) => backup_instance::stop_protection(self).await,
            (&Method::POST, ["suspendbackups"]) => backup_instance::suspend_backups(self).await,
            (&Method::POST, ["resumeprotection"]) => backup_instance::resume_protection(self).await,
            (&Method::POST, ["resumebackups"]) => backup_instance::resume_backups(self).await,
            (&Method::POST, ["sync"]) => backup_instance::sync(self).await,
            (&Method::POST, ["rehydrate"]) => backup_instance::rehydrate(self).await,
            (&Method::POST, ["findrestorabletimeranges"]) => {
                backup_instance::find_restorable_time_ranges(self).await
            }
            (&Method::POST, ["validateformodifybackup"]) => {
                backup_instance::validate_for_modify_backup(self).await
            }
            (
                _,
                [
                    "backup"
                    | "validaterestore"
                    | "restore"
                    | "stopprotection"
                    | "suspendbackups"
                    | "resumeprotection"
                    | "resumebackups"
                    | "sync"
                    | "rehydrate"
                    | "findrestorabletimeranges"
                    | "validateformodifybackup",
                ],
            ) => Err(self.method_not_allowed("POST")),

            (&Method::GET, ["recoverypoints"]) => recovery_point::list(self).await,
            (&Method::GET, ["recoverypoints", _]) => recovery_point::get(self).await,
            (&Method::GET, ["operationresults", _]) => operation::results(self, 5).await,
            (_, ["recoverypoints"] | ["recoverypoints", _] | ["operationresults", _]) => {
                Err(self.method_not_allowed("GET"))
            }
            _ => Err(self.unknown()),
        }
    }

    fn method_not_allowed(self, allowed: &str) -> Error {
        Error::new(
            ErrorKind::MethodNotAllowed,
            "MethodNotAllowed",
            format!(
                "The method {} is not allowed for this resource; allowed: {allowed}.",
                self.req.method
            ),
        )
    }

    fn unknown(self) -> Error {
        Error::not_found(
            "InvalidResourceType",
            format!(
                "The resource type '{}' could not be found in the namespace 'Microsoft.DataProtection'.",
                self.scope.rest.iter().step_by(2).cloned().collect::<Vec<_>>().join("/")
            ),
        )
    }
}

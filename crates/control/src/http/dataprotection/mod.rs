//! `Microsoft.DataProtection` on the wire: which path and verb is which function of [`crate::app::dataprotection`].
//!
//! Nothing is decided here. Paths are matched without regard to case; names keep the caller's. A path that the published API has and
//! this version does not is told apart from one that nobody has: the first is "not supported", the second is ARM's own error.

mod backup_instance;
mod backup_policy;
mod backup_vault;
mod deleted_backup_instance;
mod encode;
mod job;
mod operation;
mod provider;
mod recovery_point;
mod unsupported;

use std::sync::Arc;

use coffer_azure::ResourceId;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::App;
use crate::app::dataprotection::{Call, DELETED_INSTANCES, INSTANCES, NAMESPACE, POLICIES};
use crate::error::{Error, ErrorKind};
use crate::http::{ArmRequest, ArmResponse, ProviderScope};

/// Answers a request below `…/providers/Microsoft.DataProtection`.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn dispatch(
    app: &Arc<App>,
    req: &ArmRequest,
    scope: &ProviderScope,
) -> Result<ArmResponse, Error> {
    if scope.extended.is_some() {
        return Err(unsupported::extension(scope));
    }
    let request = Request { app, req, scope };
    let types = scope.rest_lower();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
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
}

impl<'a> Request<'a> {
    fn call(self) -> Call<'a> {
        Call {
            caller: &self.req.caller,
            api_version: &self.req.api_version,
            activity_id: &self.req.activity_id,
        }
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

    async fn in_subscription(self, types: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, types) {
            (&Method::GET, ["backupvaults"]) => backup_vault::list(self).await,
            (&Method::POST, ["locations", _, "checkfeaturesupport"]) => {
                provider::check_feature_support(self).await
            }
            (&Method::GET, ["locations", _, "operationstatus", _]) => {
                operation::status(self, 3).await
            }
            (&Method::GET, ["locations", _, "operationresults", _]) => {
                operation::results(self, 3).await
            }
            (_, ["backupvaults"] | ["locations", _, "operationstatus" | "operationresults", _]) => {
                Err(self.method_not_allowed("GET"))
            }
            (_, ["locations", _, "checkfeaturesupport"]) => Err(self.method_not_allowed("POST")),
            _ => Err(self.unknown()),
        }
    }

    async fn in_group(self, types: &[&str]) -> Result<ArmResponse, Error> {
        match (&self.req.method, types) {
            (_, ["backupvaults", _, rest @ ..]) => self.in_vault(rest).await,
            (&Method::GET, ["backupvaults"]) => backup_vault::list(self).await,
            (&Method::POST, ["locations", _, "checknameavailability"]) => {
                provider::check_name_availability(self).await
            }
            (&Method::GET, ["locations", _, "operationstatus", _]) => {
                operation::status(self, 3).await
            }
            (&Method::GET, ["operationstatus", _]) => operation::status(self, 1).await,
            (
                _,
                ["backupvaults"] | ["locations", _, "operationstatus", _] | ["operationstatus", _],
            ) => Err(self.method_not_allowed("GET")),
            (_, ["locations", _, "checknameavailability"]) => Err(self.method_not_allowed("POST")),
            _ => Err(self.unknown()),
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

            (&Method::GET, ["backupresourceguardproxies"]) => {
                provider::resource_guard_proxies(self).await
            }

            (&Method::GET, ["backupjobs"]) => job::list(self).await,
            (&Method::GET, ["backupjobs", _]) => job::get(self).await,
            (_, ["backupjobs"] | ["backupjobs", _]) => Err(self.method_not_allowed("GET")),

            (&Method::GET, ["operationstatus", _]) => operation::status(self, 3).await,
            (&Method::GET, ["operationresults", _]) => operation::results(self, 3).await,
            (_, ["operationstatus" | "operationresults", _]) => Err(self.method_not_allowed("GET")),
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
            (
                _,
                [
                    "backup" | "validaterestore" | "restore" | "stopprotection" | "suspendbackups"
                    | "resumeprotection" | "resumebackups" | "sync",
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
        unsupported::path(self.scope)
    }
}

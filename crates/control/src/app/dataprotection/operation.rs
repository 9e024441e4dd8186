//! Reading operations: who may see which one, under which of its addresses.
//!
//! An operation is found by its id alone; the rest of the address only has to be true of it. It may be read by whoever
//! may read it in its vault, or in the scope of the address.

use coffer_azure::ResourceId;

use super::{Call, NAMESPACE, errors};
use crate::app::App;
use crate::config::location_key;
use crate::db;
use crate::error::Error;
use crate::operations::Operation;

/// The places below which an operation's status or result is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationScope {
    /// `/subscriptions/{s}/providers/Microsoft.DataProtection/locations/{l}`
    Location {
        /// The subscription's id.
        subscription: String,
        /// Any spelling of the vault's location.
        location: String,
    },
    /// `/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.DataProtection/locations/{l}`
    GroupLocation {
        /// The subscription's id.
        subscription: String,
        /// The resource group's name.
        group: String,
        /// Any spelling of the vault's location.
        location: String,
    },
    /// `/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.DataProtection`
    Group {
        /// The subscription's id.
        subscription: String,
        /// The resource group's name.
        group: String,
    },
    /// The vault.
    Vault(ResourceId),
    /// The instance.
    Instance(ResourceId),
}

/// What of an operation is read; it decides the action that the caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationPart {
    /// `operationStatus`.
    Status,
    /// `operationResults`.
    Results,
}

impl OperationPart {
    /// The segment of its address.
    #[must_use]
    pub fn segment(self) -> &'static str {
        match self {
            OperationPart::Status => "operationStatus",
            OperationPart::Results => "operationResults",
        }
    }
}

impl OperationScope {
    /// Whether the address is one of the operation's.
    fn holds(&self, operation: &Operation) -> bool {
        let vault = &operation.vault;
        let in_subscription =
            |id: &str| vault.subscription_id().is_some_and(|own| own.eq_ignore_ascii_case(id));
        let in_group = |name: &str| {
            vault.resource_group().is_some_and(|own| own.to_lowercase() == name.to_lowercase())
        };
        let in_location = |name: &str| location_key(name) == location_key(&operation.location);
        match self {
            OperationScope::Location { subscription, location } => {
                in_subscription(subscription) && in_location(location)
            }
            OperationScope::GroupLocation { subscription, group, location } => {
                in_subscription(subscription) && in_group(group) && in_location(location)
            }
            OperationScope::Group { subscription, group } => {
                in_subscription(subscription) && in_group(group)
            }
            OperationScope::Vault(id) => id == vault,
            OperationScope::Instance(id) => operation.instance.as_ref() == Some(id),
        }
    }

    /// The action that reads it here, and where.
    fn authorization(&self, part: OperationPart) -> (String, ResourceId) {
        let segment = part.segment();
        match self {
            OperationScope::Location { subscription, .. } => (
                format!("{NAMESPACE}/locations/{segment}/read"),
                ResourceId::subscription(subscription),
            ),
            OperationScope::GroupLocation { subscription, group, .. } => (
                format!("{NAMESPACE}/locations/{segment}/read"),
                ResourceId::group(subscription, group),
            ),
            OperationScope::Group { subscription, group } => {
                (format!("{NAMESPACE}/{segment}/read"), ResourceId::group(subscription, group))
            }
            OperationScope::Vault(id) => {
                (format!("{NAMESPACE}/backupVaults/{segment}/read"), id.clone())
            }
            OperationScope::Instance(id) => {
                (format!("{NAMESPACE}/backupVaults/backupInstances/{segment}/read"), id.clone())
            }
        }
    }
}

/// The operation of that id, if it has this address and the caller may see it.
///
/// # Errors
/// `AuthorizationFailed`, or the provider's 404.
pub async fn operation_get(
    app: &App,
    call: Call<'_>,
    scope: &OperationScope,
    part: OperationPart,
    id: &str,
) -> Result<Operation, Error> {
    let operation =
        db::operation::get(app.db.read(), id).await?.filter(|operation| scope.holds(operation));
    let in_vault = format!("{NAMESPACE}/backupVaults/{}/read", part.segment());
    let allowed_in_vault = match &operation {
        Some(operation) => {
            app.allows(&call.caller.principal_id, &in_vault, false, &operation.vault).await?
        }
        None => false,
    };
    if !allowed_in_vault {
        let (action, place) = scope.authorization(part);
        app.authorize(call.caller, &action, &place).await?;
    }
    operation.ok_or_else(errors::resource_not_found)
}

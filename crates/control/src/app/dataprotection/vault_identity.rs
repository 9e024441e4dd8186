//! The identity of a vault: a principal of its own, which is granted what the vault's work needs.

use coffer_azure::{BackupVaultResource, DppIdentityDetails, IdentityType, ResourceId};

use super::errors;
use super::state::VaultState;
use crate::app::App;
use crate::db::Tx;
use crate::error::Error;

/// The identity that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WantedIdentity {
    AsItIs,
    None,
    SystemAssigned,
}

/// What a request says about the identity.
///
/// # Errors
/// A kind of identity that there is not.
pub(super) fn wanted_identity(
    identity: Option<&DppIdentityDetails>,
) -> Result<WantedIdentity, Error> {
    match identity.and_then(|identity| identity.kind.as_ref()) {
        None => Ok(WantedIdentity::AsItIs),
        Some(IdentityType::None) => Ok(WantedIdentity::None),
        Some(IdentityType::SystemAssigned) => Ok(WantedIdentity::SystemAssigned),
        Some(kind @ (IdentityType::UserAssigned | IdentityType::SystemAssignedUserAssigned)) => {
            Err(errors::invalid_input(format!(
                "The identity type '{kind}' is not supported by this version; SystemAssigned and None are."
            )))
        }
        Some(IdentityType::Unknown(kind)) => Err(errors::invalid_input(format!(
            "The identity type '{kind}' does not exist; SystemAssigned and None are supported."
        ))),
    }
}

/// Makes or deletes the vault's principal as asked, in the transaction of the change.
///
/// # Errors
/// The database fails.
pub(super) async fn apply_identity(
    app: &App,
    tx: &mut Tx,
    id: &ResourceId,
    wanted: WantedIdentity,
    vault: &mut BackupVaultResource,
    state: &mut VaultState,
) -> Result<(), Error> {
    match (wanted, &state.principal_id) {
        (WantedIdentity::SystemAssigned, None) => {
            state.principal_id = Some(app.principal_create_managed(tx, id.name()).await?);
        }
        (WantedIdentity::None, Some(principal_id)) => {
            app.principal_delete(tx, principal_id).await?;
            state.principal_id = None;
        }
        (WantedIdentity::AsItIs, _)
        | (WantedIdentity::SystemAssigned, Some(_))
        | (WantedIdentity::None, None) => {}
    }
    vault.identity = state.principal_id.as_ref().map(|principal_id| DppIdentityDetails {
        kind: Some(IdentityType::SystemAssigned),
        principal_id: Some(principal_id.clone()),
        tenant_id: Some(app.identity.tenant_id.clone()),
        user_assigned_identities: None,
    });
    Ok(())
}

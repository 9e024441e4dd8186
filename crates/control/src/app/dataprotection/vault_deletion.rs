//! The end of a vault: only an empty one goes, and what is in the way is named.

use coffer_azure::ResourceId;

use super::state::{Deletion, InstanceState, VaultState, read_state, write_state};
use super::{
    Call, DELETED_INSTANCE_KIND, INSTANCE_KIND, POLICY_KIND, PROXY_KIND, Wanted, errors,
    vault_require_usable,
};
use crate::app::App;
use crate::db::{self, Page, Tx};
use crate::error::Error;
use crate::operations::{Operation, OperationKind};

/// How many names an error lists per kind of thing in the way.
const BLOCKERS_LISTED_MAX: usize = 10;

/// Refuses who may not read the deleted vaults of a subscription.
///
/// # Errors
/// Not allowed; the database fails.
pub async fn require_reader_of_deleted(
    app: &App,
    call: Call<'_>,
    subscription: &ResourceId,
) -> Result<(), Error> {
    call.authorize(app, "locations/deletedVaults/read", subscription).await
}

/// Begins the deletion of an empty vault. None when there is no vault.
///
/// # Errors
/// Not allowed; something is still in it; being deleted already; the database fails.
pub async fn delete(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
) -> Result<Option<Operation>, Error> {
    call.authorize(app, "backupVaults/delete", id).await?;
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    if !db::resource_exists(&mut *tx, id).await? {
        return Ok(None);
    }
    let mut vault = vault_require_usable(&mut tx, id).await?;
    call.require_match(Some(&vault))?;
    let blockers = blockers(&mut tx, id).await?;
    if !blockers.is_empty() {
        return Err(errors::vault_not_empty(&blockers));
    }
    let mut state: VaultState = read_state(&vault.body)?;
    state.deleting = true;
    write_state(&mut vault.body, &state);
    db::resource_update(&mut tx, &mut vault, now_us).await?;
    let operation =
        call.begin(&mut tx, &vault, Wanted::of_vault(OperationKind::DeleteVault), now_us).await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(Some(operation))
}

/// What keeps a vault from being deleted, in words; empty when nothing does.
async fn blockers(tx: &mut Tx, vault: &ResourceId) -> Result<String, Error> {
    let mut parts = Vec::new();
    for (kind, word) in [
        (INSTANCE_KIND, "backup instances"),
        (
            DELETED_INSTANCE_KIND,
            "soft deleted backup instances (undelete and delete them, or wait until they are purged)",
        ),
        (POLICY_KIND, "backup policies"),
        (PROXY_KIND, "resource guard proxies"),
    ] {
        let page =
            Page { after: None, rows_max: u32::try_from(BLOCKERS_LISTED_MAX).unwrap_or(u32::MAX) };
        let found = db::resource_list_children(&mut **tx, vault, kind, &page).await?;
        let names: Vec<&str> = found.items.iter().map(|resource| resource.id.name()).collect();
        if !names.is_empty() {
            let more = if found.next.is_some() { ", …" } else { "" };
            parts.push(format!("{word}: {}{more}", names.join(", ")));
        }
    }
    Ok(parts.join("; "))
}

/// Turning soft delete off lets go of what is soft deleted.
///
/// # Errors
/// The database fails.
pub(super) async fn purge_now(tx: &mut Tx, vault: &ResourceId, now_us: i64) -> Result<(), Error> {
    let mut page = Page::default();
    loop {
        let deleted =
            db::resource_list_children(&mut **tx, vault, DELETED_INSTANCE_KIND, &page).await?;
        for mut instance in deleted.items {
            let mut state: InstanceState = read_state(&instance.body)?;
            let Some(deletion) = state.deletion.take() else { continue };
            state.deletion = Some(Deletion { purge_us: now_us, ..deletion });
            write_state(&mut instance.body, &state);
            db::resource_update(tx, &mut instance, now_us).await?;
            db::purge::set(tx, &instance.id, now_us).await?;
        }
        match deleted.next {
            Some(after) => page.after = Some(after),
            None => return Ok(()),
        }
    }
}

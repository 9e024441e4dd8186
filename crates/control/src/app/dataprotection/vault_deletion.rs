//! The end of a vault: one that protects something stays, and what is in the way is named.

use coffer_azure::ResourceId;

use super::state::{Deletion, InstanceState, VaultState, read_state, write_state};
use super::{
    Call, DELETED_INSTANCE_KIND, INSTANCE_KIND, POLICY_KIND, PROXY_KIND, Wanted, backup_vault,
    deleted_vault, errors, vault_require_usable,
};
use crate::app::App;
use crate::db::{self, Page, Tx};
use crate::error::Error;
use crate::operations::{Operation, OperationKind};

/// What a vault may not have when it is deleted, in whatever way, with the words for it.
pub(crate) const STAYS_IN_ANY_CASE: &[(&str, &str)] =
    &[(INSTANCE_KIND, "backup instances"), (PROXY_KIND, "resource guard proxies")];
/// What it may not have when it goes for good.
pub(crate) const STAYS_IN_A_VAULT: &[(&str, &str)] = &[
    (INSTANCE_KIND, "backup instances"),
    (
        DELETED_INSTANCE_KIND,
        "soft deleted backup instances (since version 2025-09-01 of the API the vault can be deleted with them; else undelete and \
         delete them, or wait until they are purged)",
    ),
    (POLICY_KIND, "backup policies"),
    (PROXY_KIND, "resource guard proxies"),
];
/// How many names an error lists per kind of thing in the way.
const BLOCKERS_LISTED_MAX: usize = 10;

/// Begins the deletion of a vault in which nothing is protected: softly ([`deleted_vault`]) with what of it is soft deleted, or for
/// good when it is empty. None when there is no vault.
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
    let properties = backup_vault::wire(&vault)?.properties;
    let softly = deleted_vault::soft_deletion(&vault, &properties, call, now_us)?;
    let kinds = if softly.is_some() { STAYS_IN_ANY_CASE } else { STAYS_IN_A_VAULT };
    let blockers = blockers(&mut tx, id, kinds).await?;
    if !blockers.is_empty() {
        return Err(errors::vault_not_empty(&blockers));
    }
    if db::operation::any_unfinished_in_vault(&mut tx, id, OperationKind::Undelete).await? {
        return Err(errors::operation_in_progress("a soft deleted backup instance of the vault"));
    }
    let mut state: VaultState = read_state(&vault.body)?;
    state.deleting = true;
    state.deletion = softly;
    write_state(&mut vault.body, &state);
    db::resource_update(&mut tx, &mut vault, now_us).await?;
    let operation =
        call.begin(&mut tx, &vault, Wanted::of_vault(OperationKind::DeleteVault), now_us).await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(Some(operation))
}

/// What keeps a vault from being deleted, in words; empty when nothing does.
async fn blockers(
    tx: &mut Tx,
    vault: &ResourceId,
    kinds: &[(&str, &str)],
) -> Result<String, Error> {
    let mut parts = Vec::new();
    for &(kind, word) in kinds {
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

//! Whether a critical operation of a vault may go on: multi-user authorization, enforced.
//!
//! A vault submits to a resource guard by its proxy ([`super::resource_guard_proxy`]). From then on a critical operation needs, beside
//! the caller's right on the vault, the guard's consent: the request names `{guard}/{type of request}/default`, and one of those whose
//! tokens came with it is allowed the action `resourceGuards/{type of request}/action` there. Whoever may only read the guard, as
//! those who make proxies must, consents to nothing.
//!
//! # Invariants
//!
//! * Asked in the transaction of the change, so that a proxy that was made before it counts.
//! * The guard's present exclusion list counts. A guard that cannot be found excludes nothing.
//! * A deletion carries no body: it is unlocked beforehand, for a while and for one deletion.

use coffer_azure::ResourceId;
use serde_json::Value;

use super::critical_operation::CriticalOperation;
use super::state::{ProxyState, read_state, write_state};
use super::{Call, NAMESPACE, PROXY_KIND, errors};
use crate::app::App;
use crate::clock::SECOND_US;
use crate::db::{self, Page, Resource, Tx};
use crate::error::Error;

/// For how long a deletion stays unlocked.
const UNLOCK_US: i64 = 30 * 60 * SECOND_US;
/// Most deletions that are unlocked in a vault at the same time.
const UNLOCKS_MAX: usize = 1000;

/// Refuses a critical operation of a guarded vault that its guard does not consent to. `requests` is what the request has named.
pub(super) async fn require_consent(
    app: &App,
    call: Call<'_>,
    tx: &mut Tx,
    vault: &ResourceId,
    operation: CriticalOperation,
    requests: Option<&[String]>,
) -> Result<(), Error> {
    let Some(proxy) = proxy_of(tx, vault).await? else { return Ok(()) };
    let guard = guard_of(&proxy)?;
    if excludes(tx, &guard, operation).await? {
        return Ok(());
    }
    let request = operation.request_of(&guard);
    let is_named = requests
        .unwrap_or_default()
        .iter()
        .any(|named| ResourceId::parse(named).is_ok_and(|named| named == request));
    if !is_named {
        return Err(errors::consent_not_asked_for(operation, &guard, &request));
    }
    let action = format!("{NAMESPACE}/resourceGuards/{}/action", operation.request_type());
    for caller in std::iter::once(call.caller).chain(call.auxiliaries) {
        if app.allows(&caller.principal_id, &action, false, &request).await? {
            call.caller.trail.consent(request.as_str(), caller);
            return Ok(());
        }
    }
    call.caller.trail.refused(&action, request.as_str());
    Err(errors::consent_refused(operation, &guard, &request, &action))
}

/// Refuses a deletion in a guarded vault that was not unlocked, and locks it again behind the one that goes on.
pub(super) async fn require_unlocked(
    tx: &mut Tx,
    vault: &ResourceId,
    operation: CriticalOperation,
    what: &ResourceId,
    now_us: i64,
) -> Result<(), Error> {
    let Some(mut proxy) = proxy_of(tx, vault).await? else { return Ok(()) };
    let guard = guard_of(&proxy)?;
    if excludes(tx, &guard, operation).await? {
        return Ok(());
    }
    let mut state: ProxyState = read_state(&proxy.body)?;
    match state.unlocked.remove(what.key()) {
        Some(until_us) if now_us < until_us => {
            write_state(&mut proxy.body, &state);
            db::resource_update(tx, &mut proxy, now_us).await
        }
        _ => Err(errors::deletion_locked(operation, &guard, &proxy.id, what)),
    }
}

/// Makes one deletion possible for [`UNLOCK_US`], and says until when.
pub(super) async fn unlock(
    tx: &mut Tx,
    proxy: &mut Resource,
    what: &ResourceId,
    now_us: i64,
) -> Result<i64, Error> {
    let mut state: ProxyState = read_state(&proxy.body)?;
    state.unlocked.retain(|_, until_us| now_us < *until_us);
    if state.unlocked.len() >= UNLOCKS_MAX {
        return Err(errors::too_many_unlocked(UNLOCKS_MAX));
    }
    let until_us = now_us.saturating_add(UNLOCK_US);
    state.unlocked.insert(what.key().to_owned(), until_us);
    write_state(&mut proxy.body, &state);
    db::resource_update(tx, proxy, now_us).await?;
    Ok(until_us)
}

/// The vault's proxy; none when no guard watches over it. There is never more than one.
pub(super) async fn proxy_of(tx: &mut Tx, vault: &ResourceId) -> Result<Option<Resource>, Error> {
    let page = Page { after: None, rows_max: 1 };
    let found = db::resource_list_children(&mut **tx, vault, PROXY_KIND, &page).await?;
    Ok(found.items.into_iter().next())
}

/// The ARM id of the guard that a proxy names.
pub(super) fn guard_of(proxy: &Resource) -> Result<ResourceId, Error> {
    let id = proxy.body["properties"]["resourceGuardResourceId"].as_str().unwrap_or_default();
    ResourceId::parse(id).map_err(Error::internal)
}

/// The exclusion list of a guard's row.
pub(super) fn exclusions_of(guard: &Resource) -> Vec<String> {
    let list = &guard.body["properties"]["vaultCriticalOperationExclusionList"];
    let names = list.as_array().map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

async fn excludes(
    tx: &mut Tx,
    guard: &ResourceId,
    operation: CriticalOperation,
) -> Result<bool, Error> {
    let guard = db::resource_get(&mut **tx, guard).await?;
    Ok(guard.is_some_and(|guard| {
        exclusions_of(&guard).iter().any(|excluded| excluded == operation.name())
    }))
}

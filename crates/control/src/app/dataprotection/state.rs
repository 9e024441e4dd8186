//! What Coffer knows about a vault or an instance beside what the wire shows.
//!
//! A resource's body is a JSON object with the members that the client sees (`location`, `tags`, `identity`,
//! `properties`) and one member of ours, [`STATE_KEY`]. It is written here and nowhere else, and every encoder of a
//! response leaves it out. Deleted instances keep the body of the instance, under
//! `{vault}/deletedBackupInstances/{name}`, and deleted vaults that of the vault ([`super::deleted_vault`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::error::Error;

/// The member of a resource's body that holds its internal state. Azure has no member of this name.
pub const STATE_KEY: &str = "$state";

/// Internal state of a backup vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultState {
    /// Names the vault's prefix in its storage location. A vault made again under an old name gets a new one.
    pub vault_guid: Uuid,
    /// The vault's own principal, when it has a system-assigned identity.
    #[serde(default)]
    pub principal_id: Option<String>,
    /// Its deletion was accepted: nothing new may be made in it.
    #[serde(default)]
    pub deleting: bool,
    /// Set while the vault is, or is about to be, softly deleted.
    #[serde(default)]
    pub deletion: Option<VaultDeletion>,
    /// The location that its recovery points are copied to while it is geo-redundant. Never changed once it was chosen, since
    /// something may be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_region: Option<String>,
}

/// A vault's [`Deletion`], and which vault it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultDeletion {
    /// When, and until when it can come back.
    pub deletion: Deletion,
    /// ARM id of the vault, as it was written.
    pub vault: String,
}

/// Internal state of a backup instance, alive or softly deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceState {
    /// Names the instance's repository below the vault's prefix, and its recovery points' rows.
    pub repository_guid: Uuid,
    /// Set while the instance is softly deleted.
    #[serde(default)]
    pub deletion: Option<Deletion>,
    /// ARM id of the policy that `UpdateProtection` is bringing: it is in use already. It counts only while the instance
    /// is in the state `UpdatingProtection`.
    #[serde(default)]
    pub pending_policy_id: Option<String>,
}

/// When an instance or a vault was deleted and when its data goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// Microseconds since 1970.
    pub deleted_us: i64,
    /// Microseconds since 1970: the retention in force at deletion governs.
    pub purge_us: i64,
    /// The activity id of the DELETE.
    pub activity_id: String,
    /// The purge has begun: keys may be gone, and nothing brings it back.
    #[serde(default)]
    pub purging: bool,
}

/// Internal state of the proxy by which a vault submits to a resource guard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyState {
    /// Which deletions are possible until when: the key of what may be deleted, microseconds since 1970.
    #[serde(default)]
    pub unlocked: BTreeMap<String, i64>,
}

/// Reads the internal state of a resource's body.
///
/// # Errors
/// An internal error when the body has none or another one: no request can cause that.
pub fn read_state<T: DeserializeOwned>(body: &Value) -> Result<T, Error> {
    let state = body.get(STATE_KEY).cloned().unwrap_or(Value::Null);
    serde_json::from_value(state).map_err(|source| {
        Error::internal(format!("a resource's internal state is unreadable: {source}"))
    })
}

/// Writes the internal state into a resource's body.
pub fn write_state<T: Serialize>(body: &mut Value, state: &T) {
    if let (Value::Object(members), Ok(state)) = (body, serde_json::to_value(state)) {
        members.insert(STATE_KEY.to_owned(), state);
    }
}

/// The body as a client may see it.
#[must_use]
pub fn without_state(body: &Value) -> Value {
    let mut body = body.clone();
    if let Value::Object(members) = &mut body {
        members.shift_remove(STATE_KEY);
    }
    body
}

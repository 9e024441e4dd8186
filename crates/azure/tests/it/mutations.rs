//! Every example request, damaged in every place: decoding says where, and never panics.

use coffer_azure::{self as azure, DecodeError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::examples::body;
use crate::material::{read_json, shared_dir};

type Decode = fn(Value) -> Result<(), DecodeError>;

fn decode<T: DeserializeOwned>(value: Value) -> Result<(), DecodeError> {
    azure::decode_value::<T>(value).map(drop)
}

const REQUESTS: &[(&str, Decode)] = &[
    ("BackupInstanceOperations/PutBackupInstance.json", decode::<azure::BackupInstanceResource>),
    ("BackupInstanceOperations/TriggerBackup.json", decode::<azure::TriggerBackupRequest>),
    ("BackupInstanceOperations/ValidateForBackup.json", decode::<azure::ValidateForBackupRequest>),
    (
        "BackupInstanceOperations/ValidateRestore.json",
        decode::<azure::ValidateRestoreRequestObject>,
    ),
    (
        "BackupInstanceOperations/TriggerRestoreAsFiles.json",
        decode::<azure::AzureBackupRestoreRequest>,
    ),
    ("PolicyCRUD/CreateOrUpdateBackupPolicy.json", decode::<azure::BaseBackupPolicyResource>),
    ("ResourceGuardCRUD/PutResourceGuard.json", decode::<azure::ResourceGuardResource>),
    (
        "ResourceGuardProxyCRUD/UnlockDeleteResourceGuardProxy.json",
        decode::<azure::UnlockDeleteRequest>,
    ),
    ("VaultCRUD/PatchBackupVaultWithCMK.json", decode::<azure::PatchResourceRequestInput>),
    ("VaultCRUD/PutBackupVaultWithCMK.json", decode::<azure::BackupVaultResource>),
];

#[test]
fn damage_in_any_place_is_an_error_that_names_the_place() {
    let Some(shared) = shared_dir() else { return };
    let mut errors = 0;
    for (name, decode) in REQUESTS {
        let example = read_json(&shared.join("azure/swagger/2024-04-01/examples").join(name));
        let request = body(&example).unwrap();
        let mut places = Vec::new();
        collect(request, String::new(), &mut places);
        for place in &places {
            for damage in [
                Value::Null,
                json!(true),
                json!(-1.5),
                json!("x"),
                json!([]),
                json!([{}]),
                json!({}),
            ] {
                let mut damaged = request.clone();
                *damaged.pointer_mut(place).unwrap() = damage;
                if let Err(error) = decode(damaged) {
                    errors += 1;
                    check_place(name, place, &error);
                }
            }
        }
    }
    assert!(errors > 500, "only {errors} errors");
}

/// The error is about the damaged place, something in it, or the object that misses it.
fn check_place(name: &str, place: &str, error: &DecodeError) {
    let pointer =
        format!("/{}", error.path.replace("].", "/").replace(['.', '['], "/").replace(']', ""));
    let pointer = pointer.trim_end_matches('/');
    let near = |long: &str, short: &str| {
        long.to_lowercase()
            .strip_prefix(&short.to_lowercase())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    assert!(
        near(pointer, place) || near(place, pointer),
        "{name}: damage at {place}, error at {pointer}: {error}"
    );
    assert!(!error.message.is_empty());
}

fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, format!("{place}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{place}/{index}"), places);
            }
        }
        _ => {}
    }
    places.push(place);
}

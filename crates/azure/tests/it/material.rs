//! Finding and comparing the material.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The directory with `azure/`, or `None` (after saying so) where it isn't there.
pub(crate) fn shared_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("COFFER_SHARED_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    if dir.join("azure").is_dir() {
        return Some(dir);
    }
    println!("skipped: no Azure specification and recordings at {}", dir.display());
    None
}

pub(crate) fn read_json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Decodes as `T`, encodes again, and compares.
pub(crate) fn round_trip<T: DeserializeOwned + Serialize>(what: &str, original: &Value) {
    let differences = differences::<T>(original);
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

/// What [`differences`] is for one type.
pub(crate) type Differences = fn(&Value) -> Vec<String>;

/// What is not the same after decoding as `T` and encoding again, or why it doesn't decode: `place: what`.
pub(crate) fn differences<T: DeserializeOwned + Serialize>(original: &Value) -> Vec<String> {
    let decoded: T = match coffer_azure::decode_value(original.clone()) {
        Ok(decoded) => decoded,
        Err(error) => return vec![format!("{}: {}", error.path, error.message)],
    };
    let mut found = Vec::new();
    compare("", original, &serde_json::to_value(&decoded).unwrap(), &mut found);
    found
}

/// What may differ, and nothing else:
/// * a number that is an integer in the one and a float in the other;
/// * a listed text (`systemAssigned`) comes back in the specification's casing;
/// * an instance's secret store gets `"value": null`, as the service writes it.
fn compare(path: &str, original: &Value, encoded: &Value, out: &mut Vec<String>) {
    match (original, encoded) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                match right.get(name) {
                    Some(other) => compare(&format!("{path}.{name}"), value, other, out),
                    None => out.push(format!("{path}.{name}: lost {value}")),
                }
            }
            for (name, value) in right.iter().filter(|(name, _)| !left.contains_key(*name)) {
                if !(name == "value" && path.ends_with(".secretStoreResource") && value.is_null()) {
                    out.push(format!("{path}.{name}: added {value}"));
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), left, right, out);
            }
        }
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        (Value::String(left), Value::String(right))
            if path == ".identity.type" && left.eq_ignore_ascii_case(right) => {}
        _ if original == encoded => {}
        _ => out.push(format!("{path}: {original} became {encoded}")),
    }
}

/// Whether two documents have their members in the same order, all the way down.
pub(crate) fn same_text(left: &Value, right: &Value) -> bool {
    serde_json::to_string(left).unwrap() == serde_json::to_string(right).unwrap()
}

//! The table of property names against the specification.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::material::{read_json, shared_dir};

/// Names of objects that are other than property names of a resource.
const NOT_NAMES: &[&str] = &["$ref"];

#[test]
fn every_property_of_the_specification_is_read_in_any_casing() {
    let Some(shared) = shared_dir() else { return };
    let document = read_json(&shared.join("azure/swagger/2024-04-01/dataprotection.bundled.json"));
    let mut names = BTreeSet::new();
    collect(&document["definitions"], &mut names);
    assert!(names.len() > 200);
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !NOT_NAMES.contains(&name.as_str()))
        .filter(|name| {
            coffer_azure::canonical_name(&name.to_uppercase())
                .is_none_or(|known| !known.eq_ignore_ascii_case(name))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                names.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| collect(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

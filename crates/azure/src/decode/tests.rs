use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{MESSAGE_BYTES_MAX, decode, decode_value};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outer {
    policy_info: Inner,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner {
    policy_id: String,
    #[serde(default)]
    replicated_regions: Vec<String>,
}

#[test]
fn names_are_read_in_any_casing_and_nulls_are_absent() {
    let outer: Outer = decode_value(json!({
        "PolicyInfo": {"POLICYID": "p", "replicatedRegions": null, "unknown": {"deep": null}},
        "tags": {"PolicyId": "kept as it is"},
    }))
    .unwrap();
    assert_eq!(outer.policy_info.policy_id, "p");
    assert!(outer.policy_info.replicated_regions.is_empty());
    assert!(outer.tags.unwrap().contains_key("PolicyId"));
}

#[test]
fn an_error_names_its_place() {
    let error = decode_value::<Outer>(json!({
        "policyInfo": {"policyId": "p", "replicatedRegions": ["a", 5]}
    }))
    .unwrap_err();
    assert_eq!(error.path, "policyInfo.replicatedRegions[1]");
    assert_eq!(
        error.to_string(),
        "policyInfo.replicatedRegions[1]: invalid type: integer `5`, expected a string"
    );
    let error = decode_value::<Outer>(json!({"policyInfo": {}})).unwrap_err();
    assert_eq!(error.path, "policyInfo");
    assert_eq!(error.message, "missing field `policyId`");
    let error = decode::<Outer>(b"[{}]").unwrap_err();
    assert_eq!((error.path.as_str(), error.message.as_str()), ("", "a JSON object is expected"));
}

#[test]
fn foreign_bytes_are_errors() {
    for body in [&b""[..], b"{", b"\xff\xfe", b"{}{}", b"null", b"\"x\"", b"[]", b"1e999"] {
        assert!(decode::<Outer>(body).is_err());
    }
    let deep = "[".repeat(100_000);
    assert!(decode::<Value>(deep.as_bytes()).is_err());
    let error = decode_value::<Outer>(json!({"policyInfo": "é".repeat(10_000)})).unwrap_err();
    assert!(error.message.len() <= MESSAGE_BYTES_MAX);
}

#[test]
fn the_last_of_two_spellings_counts() {
    let inner: Inner = decode(br#"{"policyId": "a", "PolicyID": "b"}"#).unwrap();
    assert_eq!(inner.policy_id, "b");
}

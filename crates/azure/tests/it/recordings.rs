//! Recorded answers of the real service.

use coffer_azure as azure;
use serde_json::Value;

use crate::material::{read_json, round_trip, same_text, shared_dir};

/// One recorded exchange.
struct Exchange {
    what: String,
    /// The path below `providers/Microsoft.DataProtection/`, without names.
    route: String,
    method: String,
    status: u64,
    request: Value,
    response: Value,
}

/// Every recorded exchange with the data-protection provider.
fn exchanges() -> Vec<Exchange> {
    let Some(shared) = shared_dir() else { return Vec::new() };
    let mut files: Vec<_> = std::fs::read_dir(shared.join("azure/recordings"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        for (index, exchange) in read_json(&file).as_array().unwrap().iter().enumerate() {
            let uri = exchange["uri"].as_str().unwrap();
            let path = uri.split('?').next().unwrap();
            let Some((_, below)) = path.split_once("/providers/Microsoft.DataProtection/") else {
                continue;
            };
            let kinds: Vec<&str> = below.split('/').step_by(2).collect();
            all.push(Exchange {
                what: format!(
                    "{} #{index} {}",
                    file.file_name().unwrap().to_str().unwrap(),
                    exchange["cmd"]
                ),
                route: kinds.join("/"),
                method: exchange["method"].as_str().unwrap().to_owned(),
                status: exchange["status"]["code"].as_u64().unwrap(),
                request: exchange["req"].clone(),
                response: exchange["resp"].clone(),
            });
        }
    }
    all
}

/// Whether this list or item was written before recovery points had `recoveryPointState`.
fn is_old_recovery_point(response: &Value) -> bool {
    response.to_string().contains("isPartialRP")
}

fn response_of(exchange: &Exchange) -> Option<fn(&str, &Value)> {
    if !exchange.response.is_object() {
        return None;
    }
    if exchange.status >= 400 {
        return Some(round_trip::<azure::CloudError>);
    }
    let is_list = exchange.response.get("value").is_some();
    match (exchange.route.as_str(), is_list) {
        ("backupVaults", false) => Some(round_trip::<azure::BackupVaultResource>),
        ("backupVaults", true) => Some(round_trip::<azure::Page<azure::BackupVaultResource>>),
        ("backupVaults/backupPolicies", false) => {
            Some(round_trip::<azure::BaseBackupPolicyResource>)
        }
        ("backupVaults/backupInstances", false) => {
            Some(round_trip::<azure::BackupInstanceResource>)
        }
        ("backupVaults/backupInstances", true) => {
            Some(round_trip::<azure::Page<azure::BackupInstanceResource>>)
        }
        ("backupVaults/backupJobs", false) => Some(round_trip::<azure::AzureBackupJobResource>),
        ("backupVaults/backupInstances/recoveryPoints", _)
            if is_old_recovery_point(&exchange.response) =>
        {
            None
        }
        ("backupVaults/backupInstances/recoveryPoints", false) => {
            Some(round_trip::<azure::AzureBackupRecoveryPointResource>)
        }
        ("backupVaults/backupInstances/recoveryPoints", true)
        | ("locations/fetchSecondaryRecoveryPoints", true) => {
            Some(round_trip::<azure::Page<azure::AzureBackupRecoveryPointResource>>)
        }
        ("backupVaults/operationStatus" | "locations/operationStatus", false) => {
            Some(round_trip::<azure::OperationResource>)
        }
        ("resourceGuards", false) => Some(round_trip::<azure::ResourceGuardResource>),
        ("resourceGuards", true) => Some(round_trip::<azure::Page<azure::ResourceGuardResource>>),
        ("locations/operationResults", false) => {
            Some(round_trip::<azure::OperationJobExtendedInfo>)
        }
        _ => None,
    }
}

#[test]
fn recorded_answers_decode_and_encode_to_the_same() {
    let exchanges = exchanges();
    let mut compared = 0;
    for exchange in &exchanges {
        if let Some(round_trip) = response_of(exchange) {
            round_trip(&exchange.what, &exchange.response);
            compared += 1;
        }
    }
    assert!(exchanges.is_empty() || compared > 100, "only {compared} compared");
}

/// Lists of jobs end with `"nextLink": null`, which we leave out as all other lists do.
#[test]
fn recorded_lists_of_jobs_decode_and_encode_to_the_same() {
    for exchange in exchanges() {
        if exchange.route == "backupVaults/backupJobs" && exchange.response.get("value").is_some() {
            for job in exchange.response["value"].as_array().unwrap() {
                round_trip::<azure::AzureBackupJobResource>(&exchange.what, job);
            }
        }
    }
}

#[test]
fn recorded_requests_decode() {
    for exchange in exchanges() {
        if !exchange.request.is_object() || exchange.status >= 400 {
            continue;
        }
        let request = exchange.request.clone();
        let result = match (exchange.method.as_str(), exchange.route.as_str()) {
            ("PUT", "backupVaults") => decodes::<azure::BackupVaultResource>(request),
            ("PUT", "resourceGuards") => decodes::<azure::ResourceGuardResource>(request),
            ("PUT", "backupVaults/backupPolicies") => {
                decodes::<azure::BaseBackupPolicyResource>(request)
            }
            ("PUT", "backupVaults/backupInstances") => {
                decodes::<azure::BackupInstanceResource>(request)
            }
            ("POST", "backupVaults/validateForBackup") => {
                decodes::<azure::ValidateForBackupRequest>(request)
            }
            _ => continue,
        };
        result.unwrap_or_else(|error| panic!("{}: {error}", exchange.what));
    }
}

fn decodes<T: serde::de::DeserializeOwned>(request: Value) -> Result<(), azure::DecodeError> {
    azure::decode_value::<T>(request).map(drop)
}

/// Not only the members but their order is the service's.
#[test]
fn members_are_written_in_the_services_order() {
    for exchange in exchanges() {
        let encoded = match (exchange.route.as_str(), exchange.status) {
            ("backupVaults", 200 | 201) if exchange.response.get("value").is_none() => {
                encoded::<azure::BackupVaultResource>(&exchange.response)
            }
            ("resourceGuards", 200) if exchange.response.get("properties").is_some() => {
                encoded::<azure::ResourceGuardResource>(&exchange.response)
            }
            ("backupVaults/backupPolicies", 200) if exchange.response.is_object() => {
                encoded::<azure::BaseBackupPolicyResource>(&exchange.response)
            }
            ("backupVaults/backupInstances", 200 | 201)
                if exchange.response.get("properties").is_some() =>
            {
                encoded::<azure::BackupInstanceResource>(&exchange.response)
            }
            ("backupVaults/backupJobs", 200) if exchange.response.get("properties").is_some() => {
                encoded::<azure::AzureBackupJobResource>(&exchange.response)
            }
            ("backupVaults/operationStatus", 200) => {
                encoded::<azure::OperationResource>(&exchange.response)
            }
            _ => continue,
        };
        assert!(
            same_text(&exchange.response, &encoded),
            "{}:\n{}\n{encoded}",
            exchange.what,
            exchange.response
        );
    }
}

fn encoded<T: serde::de::DeserializeOwned + serde::Serialize>(response: &Value) -> Value {
    serde_json::to_value(azure::decode_value::<T>(response.clone()).unwrap()).unwrap()
}

//! `operations`, `checkNameAvailability` and `checkFeatureSupport`.

use coffer_azure::{CheckNameAvailabilityRequest, CheckNameAvailabilityResult};
use http::StatusCode;
use serde_json::{Value, json};

use super::Request;
use crate::app::dataprotection::NAMESPACE;
use crate::app::dataprotection::provider::{self, NameAvailability};
use crate::error::Error;
use crate::http::ArmResponse;

/// `GET /providers/Microsoft.DataProtection/operations`: for everyone with a token, as in Azure.
pub(super) async fn operations(_request: Request<'_>) -> Result<ArmResponse, Error> {
    let operations: Vec<Value> = provider::OPERATIONS
        .iter()
        .map(|operation| {
            json!({
                "name": format!("{NAMESPACE}/{}", operation.action),
                "display": {
                    "provider": NAMESPACE,
                    "resource": operation.resource,
                    "operation": operation.operation,
                    "description": operation.operation,
                },
                "origin": "user",
                "isDataAction": false,
            })
        })
        .collect();
    Ok(ArmResponse::ok(json!({ "value": operations })))
}

/// `POST …/locations/{location}/checkNameAvailability`.
pub(super) async fn check_name_availability(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || {
        let body: CheckNameAvailabilityRequest = request.req.decode()?;
        Ok(body.name.unwrap_or_default())
    };
    let group = request.scope.id()?;
    let availability =
        provider::check_name_availability(request.app, request.call(), &group, decode).await?;
    let (message, reason) = match availability {
        NameAvailability::Available => (None, None),
        NameAvailability::Taken(message) => (Some(message), Some("AlreadyExists")),
        NameAvailability::Invalid(message) => (Some(message), Some("Invalid")),
    };
    let result = CheckNameAvailabilityResult {
        name_available: Some(reason.is_none()),
        message,
        reason: reason.map(str::to_owned),
    };
    ArmResponse::encode(StatusCode::OK, &result)
}

/// `POST …/locations/{location}/checkFeatureSupport`.
pub(super) async fn check_feature_support(request: Request<'_>) -> Result<ArmResponse, Error> {
    let supported =
        provider::check_feature_support(request.app, request.call(), &request.scope.id()?).await?;
    let body: Value = request.req.decode_optional()?.unwrap_or_default();
    let wanted = body.get("featureName").and_then(Value::as_str).filter(|name| !name.is_empty());
    let feature = |name: &str, status: &str| json!({ "featureName": name, "supportStatus": status, "exposureControlledFeatures": [] });
    let features: Vec<Value> = match wanted {
        None => supported.iter().map(|name| feature(name, "GenerallyAvailable")).collect(),
        Some(name) if supported.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
            vec![feature(name, "GenerallyAvailable")]
        }
        Some(name) => vec![feature(name, "NotSupported")],
    };
    Ok(ArmResponse::ok(json!({
        "featureType": "DataSourceType",
        "features": features,
        "objectType": "FeatureValidationResponse",
    })))
}

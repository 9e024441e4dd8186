//! `{vault}/backupPolicies`.

use coffer_azure::BaseBackupPolicyResource;
use serde_json::{Value, json};

use super::{Request, decode_value, encode};
use crate::app::dataprotection::backup_policy;
use crate::error::Error;
use crate::http::ArmResponse;

/// The member that names requests to a resource guard.
const REQUESTS: &str = "resourceGuardOperationRequests";

pub(super) async fn put(request: Request<'_>) -> Result<ArmResponse, Error> {
    let policy =
        backup_policy::put(request.app, request.call(), &request.policy()?, || decode(request))
            .await?;
    Ok(encode::tagged(ArmResponse::ok(encode::resource(&policy)), &policy))
}

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let policy = backup_policy::get(request.app, request.call(), &request.policy()?).await?;
    Ok(encode::tagged(ArmResponse::ok(encode::resource(&policy)), &policy))
}

pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let page = request.req.page();
    let policies =
        backup_policy::list(request.app, request.call(), &request.vault()?, &page).await?;
    Ok(encode::list(request, policies, encode::resource))
}

/// 200 without a body, 204 when there was none.
pub(super) async fn delete(request: Request<'_>) -> Result<ArmResponse, Error> {
    let existed = backup_policy::delete(request.app, request.call(), &request.policy()?).await?;
    Ok(ArmResponse::empty(if existed {
        http::StatusCode::OK
    } else {
        http::StatusCode::NO_CONTENT
    }))
}

/// The documentation's example has the properties without the envelope around them; both are read. Requests to a resource guard may
/// stand in the properties, where those of other bodies stand.
fn decode(request: Request<'_>) -> Result<BaseBackupPolicyResource, Error> {
    let body: Value = request.req.decode()?;
    let bare = body.get("properties").is_none() && body.get("policyRules").is_some();
    let mut body = if bare { json!({ "properties": body }) } else { body };
    let inside = body.get("properties").and_then(|it| it.get(REQUESTS)).cloned();
    if let (Some(inside), Some(members)) = (inside, body.as_object_mut()) {
        members.insert(REQUESTS.to_owned(), inside);
    }
    decode_value(body)
}

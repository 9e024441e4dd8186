//! `operationStatus` and `operationResults` at every place where they are served.

use coffer_azure::ResourceId;
use serde_json::Value;

use super::{Request, encode};
use crate::app::dataprotection::operation::OperationScope;
use crate::app::dataprotection::{NAMESPACE, backup_instance, backup_vault};
use crate::error::Error;
use crate::http::ArmResponse;
use crate::http::long_running::{OperationResults, operation_results, operation_status};

/// `id_at` is the place of the operation's id behind the namespace.
pub(super) async fn status(request: Request<'_>, id_at: usize) -> Result<ArmResponse, Error> {
    operation_status(request.app, request.req, &scope(request)?, request.name(id_at)).await
}

/// As [`status`]. The result below a vault or an instance is that resource.
pub(super) async fn results(request: Request<'_>, id_at: usize) -> Result<ArmResponse, Error> {
    match operation_results(request.app, request.req, &scope(request)?, request.name(id_at)).await?
    {
        OperationResults::Answer(answer) => Ok(answer),
        OperationResults::Resource { id, answer } => {
            Ok(ArmResponse { body: Some(read(request, &id).await?), ..answer })
        }
    }
}

async fn read(request: Request<'_>, id: &ResourceId) -> Result<Value, Error> {
    if id.is_type(&format!("{NAMESPACE}/backupVaults")) {
        Ok(encode::resource(&backup_vault::get(request.app, request.call(), id).await?))
    } else {
        encode::instance(&backup_instance::get(request.app, request.call(), id).await?)
    }
}

fn scope(request: Request<'_>) -> Result<OperationScope, Error> {
    let subscription = request.scope.subscription.clone().unwrap_or_default();
    let first = request.name(0).to_ascii_lowercase();
    Ok(match (first.as_str(), request.scope.resource_group.clone()) {
        ("locations", None) => {
            OperationScope::Location { subscription, location: request.name(1).to_owned() }
        }
        ("locations", Some(group)) => OperationScope::GroupLocation {
            subscription,
            group,
            location: request.name(1).to_owned(),
        },
        ("backupvaults", _) if request.name(2).eq_ignore_ascii_case("backupInstances") => {
            OperationScope::Instance(request.instance()?)
        }
        ("backupvaults", _) => OperationScope::Vault(request.vault()?),
        (_, group) => OperationScope::Group { subscription, group: group.unwrap_or_default() },
    })
}

//! How a long-running operation looks on the wire: the headers that announce it, `operationStatus` in its four scopes,
//! `operationResults` in its three.
//!
//! All URLs are absolute and carry the caller's api-version. `Retry-After` stands on every answer that says "not yet",
//! since clients that find none sleep for half a minute; an operation that has ended is served without any.

use coffer_azure::duration::{MIN_TIME, format_time_seconds, format_time_trimmed};
use coffer_azure::{ApiVersion, OperationJobExtendedInfo, OperationResource, ResourceId};
use http::StatusCode;
use serde_json::Value;

use super::{ArmRequest, ArmResponse};
use crate::app::App;
use crate::app::dataprotection::conditions::Conditions;
use crate::app::dataprotection::operation::{OperationPart, OperationScope, operation_get};
use crate::app::dataprotection::{Call, NAMESPACE};
use crate::error::Error;
use crate::operations::{Operation, OperationKind, OperationStatus};

/// The smallest number that clients in every language read: fractions and 0 are not understood everywhere.
const RETRY_AFTER_SECONDS: &str = "1";

const ASYNC_OPERATION: &str = "azure-asyncoperation";
const LOCATION: &str = "location";
const RETRY_AFTER: &str = "retry-after";

/// Which addresses the answer to a request names, as they were recorded from the real service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// Status below the vault, no result: PUT of a vault, PUT of a new instance.
    Creation,
    /// Status and result below the vault: PATCH of a vault.
    VaultUpdate,
    /// Status below the vault, result below the location: POST actions, DELETE of an instance.
    Action,
    /// Status below the vault, result below the instance: PUT of an existing instance.
    InstanceUpdate,
    /// Only the result, below the vault's jobs: POST of an export of jobs.
    Export,
    /// Status below the group's location, result below the subscription's: DELETE of a vault.
    VaultDeletion,
    /// Both below the second region: restores from there.
    SecondRegion,
}

/// Adds the headers that tell the client where to follow the operation.
#[must_use]
pub fn announce(
    app: &App,
    response: ArmResponse,
    operation: &Operation,
    api_version: &ApiVersion,
    how: Announce,
) -> ArmResponse {
    let place = Place::new(app, operation, api_version);
    let response = match how {
        Announce::Creation => response.with_header(ASYNC_OPERATION, &place.vault_status()),
        Announce::VaultUpdate => response
            .with_header(ASYNC_OPERATION, &place.vault_status())
            .with_header(LOCATION, &place.vault_results()),
        Announce::Action => response
            .with_header(ASYNC_OPERATION, &place.vault_status())
            .with_header(LOCATION, &place.location(OperationPart::Results)),
        Announce::InstanceUpdate => response
            .with_header(ASYNC_OPERATION, &place.vault_status())
            .with_header(LOCATION, &place.instance_results()),
        Announce::Export => response.with_header(LOCATION, &place.export()),
        Announce::SecondRegion => response
            .with_header(ASYNC_OPERATION, &place.location(OperationPart::Status))
            .with_header(LOCATION, &place.location(OperationPart::Results)),
        Announce::VaultDeletion => response
            .with_header(ASYNC_OPERATION, &place.group_location_status())
            .with_header(LOCATION, &place.location(OperationPart::Results)),
    };
    response.with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
}

/// Answers a GET of `operationStatus`: always 200, whatever the operation's outcome.
///
/// # Errors
/// The caller may not see it, or there is no such operation here.
pub async fn operation_status(
    app: &App,
    request: &ArmRequest,
    scope: &OperationScope,
    id: &str,
) -> Result<ArmResponse, Error> {
    let operation = operation_get(app, call(request), scope, OperationPart::Status, id).await?;
    let path = format!("/{}", request.segments.join("/"));
    let response = ArmResponse::encode(StatusCode::OK, &status_body(&operation, path))?;
    Ok(match operation.status {
        OperationStatus::InProgress => response.with_header(RETRY_AFTER, RETRY_AFTER_SECONDS),
        OperationStatus::Succeeded | OperationStatus::Failed => response,
    })
}

/// The answer to a GET of `operationResults`.
#[derive(Debug)]
pub enum OperationResults {
    /// Complete.
    Answer(ArmResponse),
    /// The result is this resource as it is now: its body goes into the answer.
    Resource {
        /// The vault or the instance.
        id: ResourceId,
        /// 200 with the headers that belong to it.
        answer: ArmResponse,
    },
}

/// Answers a GET of `operationResults`: 202 while it runs, its result when it has succeeded, its error when it has
/// failed.
///
/// # Errors
/// The caller may not see it, there is no such operation here, or it has failed.
pub async fn operation_results(
    app: &App,
    request: &ArmRequest,
    scope: &OperationScope,
    id: &str,
) -> Result<OperationResults, Error> {
    let operation = operation_get(app, call(request), scope, OperationPart::Results, id).await?;
    let place = Place::new(app, &operation, &request.api_version);
    let own_url = match scope {
        OperationScope::Vault(_) => place.vault_results(),
        OperationScope::Instance(_) => place.instance_results(),
        OperationScope::Location { .. }
        | OperationScope::GroupLocation { .. }
        | OperationScope::Group { .. } => place.location(OperationPart::Results),
    };
    let status_url = place.location(OperationPart::Status);
    match operation.status {
        OperationStatus::InProgress => Ok(OperationResults::Answer(
            ArmResponse::accepted()
                .with_header(ASYNC_OPERATION, &status_url)
                .with_header(LOCATION, &own_url)
                .with_header(RETRY_AFTER, RETRY_AFTER_SECONDS),
        )),
        OperationStatus::Failed => Err(failure(&operation)),
        OperationStatus::Succeeded => {
            let answer =
                ArmResponse::empty(StatusCode::OK).with_header(ASYNC_OPERATION, &status_url);
            Ok(match (scope, result_resource(&operation)) {
                (OperationScope::Vault(_) | OperationScope::Instance(_), Some(id)) => {
                    OperationResults::Resource { id, answer }
                }
                _ => {
                    let body =
                        serde_json::to_value(job_info(&operation)).map_err(Error::internal)?;
                    OperationResults::Answer(ArmResponse { body: Some(body), ..answer })
                }
            })
        }
    }
}

fn call(request: &ArmRequest) -> Call<'_> {
    Call {
        caller: &request.caller,
        auxiliaries: &[],
        api_version: &request.api_version,
        conditions: Conditions::default(),
        activity_id: &request.activity_id,
    }
}

/// `path` is the address that was asked, without its query.
fn status_body(operation: &Operation, path: String) -> OperationResource {
    OperationResource {
        id: path,
        name: operation.id.clone(),
        status: match operation.status {
            OperationStatus::InProgress => coffer_azure::OperationStatus::Inprogress,
            OperationStatus::Succeeded => coffer_azure::OperationStatus::Succeeded,
            OperationStatus::Failed => coffer_azure::OperationStatus::Failed,
        },
        start_time: format_time_trimmed(operation.started_us),
        end_time: operation.ended_us.map_or_else(|| MIN_TIME.to_owned(), format_time_seconds),
        properties: operation.job_id.is_some().then(|| job_info(operation)),
        error: operation.error.clone().map(|error| {
            coffer_azure::Error::user_facing(if error.properties.is_none() {
                error.activity(operation.activity_id.clone())
            } else {
                error
            })
        }),
    }
}

/// With the job's id where there is a job.
fn job_info(operation: &Operation) -> OperationJobExtendedInfo {
    OperationJobExtendedInfo {
        job_id: operation.job_id.map(|job| match operation.is_cross_region() {
            // As recorded: it is asked for beside the vault's id, not by one of its own.
            true => job.to_string(),
            false => format!("{}/backupJobs/{job}", operation.vault),
        }),
        ..OperationJobExtendedInfo::default()
    }
}

/// The resource that a succeeded operation has made or changed, if it is still there.
fn result_resource(operation: &Operation) -> Option<ResourceId> {
    match operation.kind {
        OperationKind::CreateVault | OperationKind::UpdateVault => Some(operation.vault.clone()),
        OperationKind::ConfigureProtection
        | OperationKind::UpdateProtection
        | OperationKind::StopProtection
        | OperationKind::SuspendBackups
        | OperationKind::ResumeProtection
        | OperationKind::ResumeBackups
        | OperationKind::Undelete => operation.instance.clone(),
        OperationKind::DeleteVault
        | OperationKind::ValidateForBackup
        | OperationKind::Backup
        | OperationKind::ValidateRestore
        | OperationKind::Restore
        | OperationKind::DeleteInstance
        | OperationKind::ExportJobs => None,
    }
}

fn failure(operation: &Operation) -> Error {
    let error = operation.error.clone().unwrap_or_default();
    let mut answer =
        Error::invalid(error.code.unwrap_or_default(), error.message.unwrap_or_default())
            .user_facing();
    for action in error.recommended_action.unwrap_or_default() {
        answer = answer.with_recommended_action(action);
    }
    match error.inner_error {
        Some(inner) => answer.with_inner(inner_error(inner)),
        None => answer,
    }
}

fn inner_error(inner: coffer_azure::InnerError) -> crate::error::InnerError {
    let detail = inner
        .additional_info
        .as_ref()
        .and_then(|info| info.get(coffer_azure::InnerError::DETAILED_MESSAGE))
        .and_then(Value::as_str)
        .map(str::to_owned);
    crate::error::InnerError {
        code: inner.code.unwrap_or_default(),
        detail,
        embedded: inner.embedded_inner_error.map(|embedded| Box::new(inner_error(*embedded))),
    }
}

/// Composes the URLs of one operation.
struct Place<'a> {
    endpoint: &'a str,
    operation: &'a Operation,
    api_version: &'a ApiVersion,
}

impl<'a> Place<'a> {
    fn new(app: &'a App, operation: &'a Operation, api_version: &'a ApiVersion) -> Self {
        Self { endpoint: app.endpoint(), operation, api_version }
    }

    fn url(&self, base: &str, part: OperationPart) -> String {
        format!(
            "{}{base}/{}/{}?api-version={}",
            self.endpoint,
            part.segment(),
            self.operation.id,
            self.api_version.as_str()
        )
    }

    fn vault_status(&self) -> String {
        self.url(self.operation.vault.as_str(), OperationPart::Status)
    }

    fn vault_results(&self) -> String {
        self.url(self.operation.vault.as_str(), OperationPart::Results)
    }

    fn export(&self) -> String {
        format!(
            "{}{}/backupJobs/operations/{}?api-version={}",
            self.endpoint,
            self.operation.vault,
            self.operation.id,
            self.api_version.as_str()
        )
    }

    fn instance_results(&self) -> String {
        let instance = self.operation.instance.as_ref().unwrap_or(&self.operation.vault);
        self.url(instance.as_str(), OperationPart::Results)
    }

    fn location(&self, part: OperationPart) -> String {
        let subscription = self.operation.vault.subscription_id().unwrap_or_default();
        self.url(
            &format!(
                "/subscriptions/{subscription}/providers/{NAMESPACE}/locations/{}",
                self.location_segment()
            ),
            part,
        )
    }

    fn group_location_status(&self) -> String {
        let subscription = self.operation.vault.subscription_id().unwrap_or_default();
        let group = self.operation.vault.resource_group().unwrap_or_default();
        self.url(
            &format!(
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/{NAMESPACE}/locations/{}",
                self.location_segment()
            ),
            OperationPart::Status,
        )
    }

    /// The location without blanks, and whatever else a URL cannot carry encoded.
    fn location_segment(&self) -> String {
        let key = crate::config::location_key(&self.operation.location);
        percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC).to_string()
    }
}

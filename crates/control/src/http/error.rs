//! The only file that knows status codes: an [`Error`] as Azure writes it.

use coffer_azure::cloud_error::InnerCode;
use coffer_azure::{CloudError, UserFacingError};
use http::StatusCode;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, InnerError};

/// The status that a kind of error is answered with.
pub(super) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body: `{"error": {…}}`. Nothing of the source gets into it.
pub(super) fn body(error: &Error, activity_id: &str) -> Value {
    let cloud_error = if error.user_facing {
        CloudError::user_facing(user_facing_error(error, activity_id))
    } else {
        let mut cloud_error = CloudError::new(error.code.clone(), error.message.clone());
        if let Some(target) = &error.target {
            cloud_error.error.target = Some(Some(target.clone()));
        }
        cloud_error.error.inner_error =
            error.inner.as_ref().map(|inner| InnerCode { code: inner.code.clone() });
        cloud_error
    };
    // Strings and maps with string keys only: there is no value that has no JSON form.
    serde_json::to_value(cloud_error).unwrap_or_default()
}

fn user_facing_error(error: &Error, activity_id: &str) -> UserFacingError {
    let mut out =
        UserFacingError::new(error.code.clone(), error.message.clone()).activity(activity_id);
    for action in &error.recommended_actions {
        out = out.recommend(action.clone());
    }
    if let Some(target) = &error.target {
        out.target = Some(target.clone());
    }
    out.inner_error = error.inner.as_ref().map(inner_error);
    out.is_retryable = Some(error.is_transient());
    out
}

fn inner_error(inner: &InnerError) -> coffer_azure::InnerError {
    let additional_info = inner.detail.as_ref().map(|detail| {
        let key = coffer_azure::InnerError::DETAILED_MESSAGE.to_owned();
        Map::from_iter([(key, Value::String(detail.clone()))])
    });
    coffer_azure::InnerError {
        code: Some(inner.code.clone()),
        additional_info,
        embedded_inner_error: inner.embedded.as_deref().map(inner_error).map(Box::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_never_gets_into_the_body() {
        let error =
            Error::internal("password=hunter2").with_inner(InnerError::new("X", "which and where"));
        let text = body(&error, "a").to_string();
        assert!(text.contains("InternalServerError"));
        assert!(!text.contains("hunter2"));
        assert!(error.chain().contains("hunter2"));
    }

    #[test]
    fn a_user_facing_error_has_everything() {
        let error = Error::invalid("UserErrorX", "What.")
            .with_recommended_action("Do this.")
            .with_inner(InnerError::new("Y", "Exactly."))
            .user_facing();
        let body = body(&error, "activity");
        let info = &body["error"]["additionalInfo"][0]["info"];
        assert_eq!(info["recommendedAction"][0], "Do this.");
        assert_eq!(info["properties"]["ActivityId"], "activity");
        assert_eq!(info["innerError"]["additionalInfo"]["DetailedNonLocalisedMessage"], "Exactly.");
        assert_eq!(body["error"]["code"], "UserErrorX");
    }
}

//! What a remote storage's answer means.
//!
//! The client tells answers apart by their HTTP status, which is too coarse: 404 is said of an object, of a bucket, and by
//! whatever listens at a wrong endpoint, and only the first of these may ever be taken for an absent object. So the error
//! codes in the answers are read here.

use std::{error::Error as StdError, fmt};

use object_store::{
    Error,
    client::{HttpError, HttpErrorKind},
};

use crate::{error::StorageFailure, limits::REMOTE_WORDS_CHARS_MAX};

/// Where the identity of a machine is asked for, when no credentials are set.
const METADATA_HOST: &str = "169.254.169.254";

/// An answer of a remote storage that is no success, in few words and without a secret: the source of the
/// [`object_store::Error`] that carries it.
#[derive(Debug)]
pub(crate) struct RemoteFailure {
    /// What it means.
    pub(crate) failure: StorageFailure,
    /// The storage has no room, or a quota is used up.
    pub(crate) full: bool,
    words: String,
}

impl fmt::Display for RemoteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for RemoteFailure {}

impl RemoteFailure {
    pub(crate) fn new(failure: StorageFailure, words: &str) -> Self {
        Self { failure, full: false, words: shortened(words) }
    }

    /// As an error of the client's, of no variant that callers take for an answer about an object.
    pub(crate) fn into_error(self) -> Error {
        Error::Generic { store: "remote storage", source: Box::new(self) }
    }

    /// In the chain of an error's sources.
    pub(crate) fn find(error: &Error) -> Option<&Self> {
        let mut cause = StdError::source(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// What an error of the client says, put into one that means it. A missing object stays [`Error::NotFound`] only where the
/// storage said that it is the object which is missing.
pub(super) fn understood(error: Error) -> Error {
    let text = error.to_string();
    let code = element(&text, "Code");
    match &error {
        Error::NotFound { .. } if matches!(code, Some("NoSuchKey" | "BlobNotFound")) => {
            return error;
        }
        Error::AlreadyExists { .. } if !is_other_conflict(code) => return error,
        Error::Precondition { .. } | Error::NotModified { .. } | Error::InvalidPath { .. } => {
            return error;
        }
        _ => {}
    }
    let failure = meaning(&error, &text, code);
    let words = match (code, element(&text, "Message")) {
        (Some(code), Some(message)) => {
            format!("{code}: {}", message.lines().next().unwrap_or_default())
        }
        (Some(code), None) => code.to_owned(),
        _ if failure == StorageFailure::Unauthenticated && text.contains(METADATA_HOST) => {
            "no credentials are set, and this machine has no identity that the storage knows"
                .to_owned()
        }
        _ => cause(&error),
    };
    let full = is_full(&text, code);
    RemoteFailure { failure, full, words: shortened(&words) }.into_error()
}

/// Whether it is worth sending the same once more: the answer got lost, or the storage asked for it.
pub(super) fn asks_to_repeat(error: &Error) -> bool {
    RemoteFailure::find(error).is_some_and(|remote| {
        remote.failure == StorageFailure::Unreachable
            || remote.words.starts_with("ConditionalRequestConflict")
            || remote.words.starts_with("OperationAborted")
    })
}

/// A refusal with status 409 that is not about an object that exists.
fn is_other_conflict(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ConditionalRequestConflict"
                | "OperationAborted"
                | "ContainerBeingDeleted"
                | "ContainerDisabled"
                | "AccountBeingCreated"
        )
    )
}

fn meaning(error: &Error, text: &str, code: Option<&str>) -> StorageFailure {
    match code {
        Some(
            "NoSuchBucket"
            | "ContainerNotFound"
            | "ContainerBeingDeleted"
            | "ContainerDisabled"
            | "ResourceNotFound"
            | "InvalidBucketName",
        ) => StorageFailure::NoContainer,
        Some(
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "RequestTimeTooSkewed"
            | "AuthenticationFailed"
            | "InvalidAuthenticationInfo"
            | "NoAuthenticationInformation"
            | "InvalidIdentityToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId",
        ) => StorageFailure::Unauthenticated,
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect") => {
            StorageFailure::WrongPlace
        }
        _ if asks_for_identity(text) => StorageFailure::Unauthenticated,
        // The same code is said of a signature and of rights.
        Some("AuthorizationFailure") if text.contains("failed to authenticate") => {
            StorageFailure::Unauthenticated
        }
        _ => match error {
            // Not about an object, as far as the storage says.
            Error::NotFound { .. } => StorageFailure::WrongPlace,
            Error::PermissionDenied { .. } => StorageFailure::Forbidden,
            Error::Unauthenticated { .. } => StorageFailure::Unauthenticated,
            _ if text.contains("redirect without LOCATION")
                || text.contains("status code: 404") =>
            {
                StorageFailure::WrongPlace
            }
            _ if text.contains("status code: 403") || code == Some("AccessDenied") => {
                StorageFailure::Forbidden
            }
            _ if text.contains("status code: 401") => StorageFailure::Unauthenticated,
            _ if is_unreachable(error) => StorageFailure::Unreachable,
            _ => StorageFailure::Other,
        },
    }
}

/// Whether the failure is that of asking for a token, not of the storage: nobody is there to ask where a machine has no
/// identity, and whoever refuses a token refuses the credentials.
fn asks_for_identity(text: &str) -> bool {
    text.contains(METADATA_HOST)
        || text.contains("token request") && text.contains("status code: 4")
}

/// No answer at all: nobody listens, the line broke, or it took too long.
fn is_unreachable(error: &Error) -> bool {
    let mut cause = StdError::source(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return matches!(
                http.kind(),
                HttpErrorKind::Connect
                    | HttpErrorKind::Request
                    | HttpErrorKind::Timeout
                    | HttpErrorKind::Interrupted
            );
        }
        cause = error.source();
    }
    false
}

fn is_full(text: &str, code: Option<&str>) -> bool {
    const CODES: &[&str] = &[
        "QuotaExceeded",
        "BucketQuotaExceeded",
        "InsufficientStorage",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
    ];
    code.is_some_and(|code| CODES.contains(&code)) || text.contains("status code: 507")
}

/// What an element of the answer's XML holds.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("<{name}>"))? + name.len() + 2;
    let rest = text.get(start..)?;
    rest.get(..rest.find(&format!("</{name}>"))?)
}

/// The innermost words, which are those of the network or of TLS; the outer ones repeat the request.
fn cause(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = StdError::source(error);
    while let Some(error) = cause {
        words = error.to_string();
        cause = error.source();
    }
    words
}

fn shortened(words: &str) -> String {
    let line: Vec<&str> = words.split_whitespace().collect();
    line.join(" ").chars().take(REMOTE_WORDS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Error {
        let source = format!("Server returned non-2xx status code: {status} Some: {body}").into();
        let path = "packs/1".to_owned();
        match status {
            404 => Error::NotFound { path, source },
            409 => Error::AlreadyExists { path, source },
            403 => Error::PermissionDenied { path, source },
            401 => Error::Unauthenticated { path, source },
            _ => Error::Generic { store: "a store", source },
        }
    }

    fn xml(code: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>So it is.\nRequestId:1</Message></Error>"
        )
    }

    #[test]
    fn only_a_missing_object_is_absent() {
        for code in ["NoSuchKey", "BlobNotFound"] {
            assert!(
                matches!(understood(answer(404, &xml(code))), Error::NotFound { .. }),
                "{code}"
            );
        }
        for body in [
            xml("NoSuchBucket"),
            xml("ContainerNotFound"),
            String::new(),
            "<html>nginx</html>".to_owned(),
        ] {
            let error = understood(answer(404, &body));
            assert!(!matches!(error, Error::NotFound { .. }), "{body}: {error}");
            let failure = RemoteFailure::find(&error).unwrap().failure;
            let no_container = body.contains("Code");
            assert_eq!(failure == StorageFailure::NoContainer, no_container, "{body}");
            assert_eq!(failure == StorageFailure::WrongPlace, !no_container, "{body}");
        }
    }

    #[test]
    fn a_conflict_is_an_object_that_exists_unless_the_storage_says_otherwise() {
        for body in [xml("BlobAlreadyExists"), String::new()] {
            assert!(
                matches!(understood(answer(409, &body)), Error::AlreadyExists { .. }),
                "{body}"
            );
        }
        let busy = understood(answer(409, &xml("ConditionalRequestConflict")));
        assert!(!matches!(busy, Error::AlreadyExists { .. }) && asks_to_repeat(&busy), "{busy}");
        let gone = understood(answer(409, &xml("ContainerBeingDeleted")));
        assert_eq!(RemoteFailure::find(&gone).unwrap().failure, StorageFailure::NoContainer);
    }

    #[test]
    fn credentials_rights_and_room_are_told_apart() {
        let cases = [
            (403, "InvalidAccessKeyId", StorageFailure::Unauthenticated),
            (403, "SignatureDoesNotMatch", StorageFailure::Unauthenticated),
            (403, "AuthenticationFailed", StorageFailure::Unauthenticated),
            (403, "AccessDenied", StorageFailure::Forbidden),
            (403, "AuthorizationPermissionMismatch", StorageFailure::Forbidden),
            (301, "PermanentRedirect", StorageFailure::WrongPlace),
            (500, "InternalError", StorageFailure::Other),
        ];
        for (status, code, failure) in cases {
            let error = understood(answer(status, &xml(code)));
            let found = RemoteFailure::find(&error).unwrap();
            assert_eq!(found.failure, failure, "{code}");
            assert_eq!(found.to_string(), format!("{code}: So it is."));
        }
        let full = understood(answer(403, &xml("QuotaExceeded")));
        assert!(matches!(
            crate::Error::storage("write packs/1", full),
            crate::Error::StorageFull { .. }
        ));
    }

    #[test]
    fn a_machine_without_identity_and_a_refused_application_have_no_good_credentials() {
        for said in [
            "Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error: connect",
            "Error performing token request: Server returned non-2xx status code: 400 Bad Request: {\"error\":\"unauthorized_client\"}",
        ] {
            let error = understood(Error::Generic { store: "a store", source: said.into() });
            let found = RemoteFailure::find(&error).unwrap();
            assert_eq!(found.failure, StorageFailure::Unauthenticated, "{said}");
        }
    }

    #[test]
    fn long_answers_are_cut() {
        let error = understood(answer(500, &"ä ".repeat(10_000)));
        assert!(
            RemoteFailure::find(&error).unwrap().to_string().chars().count()
                <= REMOTE_WORDS_CHARS_MAX
        );
    }
}

//! The one error of the control plane.
//!
//! It carries what a caller is told (code, message, advice) apart from what only the log may know (the source), and
//! knows no status code: `http::error` alone turns a [`ErrorKind`] into one. `Display` prints the public part only, so
//! that nothing internal can slip into an answer.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// What happened, as far as callers act differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong; sending it again changes nothing.
    Invalid,
    /// No token, or one that isn't ours, is too old, or is meant for somebody else.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// The thing named does not exist (and the caller would have been allowed to see it).
    NotFound,
    /// The thing is in a state that does not allow this, or somebody else changed it meanwhile.
    Conflict,
    /// A condition in the request's headers does not hold.
    PreconditionFailed,
    /// The body is larger than the configured limit.
    TooLarge,
    /// The path exists, the verb does not.
    MethodNotAllowed,
    /// Too much at once; later works.
    Throttled,
    /// Something that is needed does not answer now; later works.
    Unavailable,
    /// A fault of ours. Callers are told nothing but the correlation id.
    Internal,
}

/// A finer reason below an error's code: Azure's `innerError`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InnerError {
    /// Machine-readable, finer than the outer code.
    pub code: String,
    /// Which, where, and what to do; written as `DetailedNonLocalisedMessage`.
    pub detail: Option<String>,
    /// A finer one still.
    pub embedded: Option<Box<InnerError>>,
}

impl InnerError {
    /// An inner error with a code and a sentence.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: Some(detail.into()), embedded: None }
    }
}

/// The fields of an [`Error`], reached through it.
pub struct ErrorData {
    /// Decides the status.
    pub kind: ErrorKind,
    /// Azure's code for it.
    pub code: Cow<'static, str>,
    /// For the caller: a full sentence, no secret.
    pub message: String,
    /// The property or resource concerned.
    pub target: Option<String>,
    /// For the caller: what to do now.
    pub recommended_actions: Vec<String>,
    /// The finer reason.
    pub inner: Option<InnerError>,
    /// Whether the answer carries Azure Backup's `UserFacingError` beside code and message.
    pub user_facing: bool,
    /// When trying again may help, in seconds.
    pub retry_after_seconds: Option<u32>,
    /// How to authenticate, for those who did not.
    pub challenge: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why a request, a step or a start failed.
pub struct Error(Box<ErrorData>);

impl Error {
    /// An error with Azure's code and a sentence for the caller.
    pub fn new(
        kind: ErrorKind,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(ErrorData {
            kind,
            code: code.into(),
            message: message.into(),
            target: None,
            recommended_actions: Vec::new(),
            inner: None,
            user_facing: false,
            retry_after_seconds: None,
            challenge: None,
            source: None,
        }))
    }

    /// The request is wrong.
    pub fn invalid(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// The body is no JSON, or not of the shape that the operation takes.
    pub fn invalid_content(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "InvalidRequestContent", message)
    }

    /// The thing does not exist.
    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message)
    }

    /// A resource that does not exist, in ARM's words. `resource_type` and `name` are printed as given.
    pub fn resource_not_found(resource_type: &str, name: &str, resource_group: &str) -> Self {
        Self::not_found(
            "ResourceNotFound",
            format!(
                "The Resource '{resource_type}/{name}' under resource group '{resource_group}' was not found. For more \
                 details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// The thing is in a state that does not allow this.
    pub fn conflict(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, message)
    }

    /// A fault of ours; `source` goes to the log and nowhere else.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            ErrorKind::Internal,
            "InternalServerError",
            "The server met an error of its own. Its log has the details under the correlation id of this answer.",
        )
        .with_source(source)
    }

    /// The service, or a verb on its data directory, cannot begin. `message` is for the operator.
    pub fn start_failed(
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(ErrorKind::Internal, "StartFailed", message).with_source(source)
    }

    /// Something that is needed does not answer; trying again may help.
    pub fn unavailable(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut error = Self::new(ErrorKind::Unavailable, "ServiceUnavailable", message);
        error.retry_after_seconds = Some(retry_after_seconds);
        error
    }

    /// Names the property or resource concerned.
    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Adds one piece of advice.
    #[must_use]
    pub fn with_recommended_action(mut self, action: impl Into<String>) -> Self {
        self.recommended_actions.push(action.into());
        self
    }

    /// Adds the finer reason.
    #[must_use]
    pub fn with_inner(mut self, inner: InnerError) -> Self {
        self.inner = Some(inner);
        self
    }

    /// Makes the answer carry Azure Backup's `UserFacingError`.
    #[must_use]
    pub fn user_facing(mut self) -> Self {
        self.user_facing = true;
        self
    }

    /// Adds what only the log may know.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the same call may succeed later with nothing changed by the caller.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            ErrorKind::Throttled | ErrorKind::Unavailable => true,
            ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::PreconditionFailed
            | ErrorKind::TooLarge
            | ErrorKind::MethodNotAllowed
            | ErrorKind::Internal => false,
        }
    }

    /// The whole chain for the log, outermost first: `{code}: {message}: {source}: …`.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}

impl Deref for Error {
    type Target = ErrorData;

    fn deref(&self) -> &ErrorData {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut ErrorData {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("code", &self.code)
            .field("message", &self.message)
            .field("target", &self.target)
            .field("inner", &self.inner)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ErrorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorData")
            .field("kind", &self.kind)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // The pool's wait is bounded; a full one is load, not a fault.
            sqlx::Error::PoolTimedOut => {
                Self::unavailable("The metadata database is busy.", METADATA_RETRY_AFTER_SECONDS)
                    .with_source(error)
            }
            error => Self::internal(error),
        }
    }
}

const METADATA_RETRY_AFTER_SECONDS: u32 = 2;

//! Writes under a condition: `If-Match` and `If-None-Match`, so that nobody writes over what he has not seen.

use super::{Call, Resource};
use crate::error::{Error, ErrorKind};

/// What a request says that the resource has to be for it to be carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// One of these, or anything that there is for `*`.
    pub if_match: Option<&'a str>,
    /// None of these, or nothing at all for `*`.
    pub if_none_match: Option<&'a str>,
}

/// The tag of a resource's present state, in its quotes. One that was deleted and made again has another.
#[must_use]
pub fn etag_of(resource: &Resource) -> String {
    format!("\"{:x}-{}\"", resource.created_us, resource.version)
}

impl Call<'_> {
    /// Refuses unless the resource is as the request says. To be asked in the transaction of the write, after the caller was
    /// authorized.
    pub(super) fn require_match(&self, existing: Option<&Resource>) -> Result<(), Error> {
        let etag = existing.map(etag_of);
        let names = |list: &str| {
            list.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| etag.as_deref().is_some_and(|etag| tag == "*" || tag == etag))
        };
        let Conditions { if_match, if_none_match } = self.conditions;
        if if_match.is_none_or(names) && !if_none_match.is_some_and(names) {
            return Ok(());
        }
        let state = match &etag {
            Some(etag) => format!("its ETag is {etag} now"),
            None => "it does not exist".to_owned(),
        };
        Err(Error::new(
            ErrorKind::PreconditionFailed,
            "PreconditionFailed",
            format!(
                "The resource is not as If-Match or If-None-Match of the request say: {state}."
            ),
        ))
    }
}

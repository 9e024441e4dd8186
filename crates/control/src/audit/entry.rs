//! What a row of the audit log says.

use serde::{Deserialize, Serialize};

use crate::db::audit::NewRow;
use crate::error::Error;

/// Longest text of a row, in characters: what a stranger has sent is cut off there.
pub(super) const TEXT_CHARS_MAX: usize = 1024;
/// Most things that one row names.
pub(super) const ITEMS_MAX: usize = 100;
/// Most consents of one row.
pub(super) const CONSENTS_MAX: usize = 16;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done, or an operation that does it was begun.
    Succeeded,
    /// The caller may not, or is not who he says.
    Refused,
    /// The caller may, but it was not done: the request was wrong, or something failed.
    Failed,
}

/// A resource guard's consent, and whose token gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// `{guard}/{type of request}/default`.
    pub request: String,
    /// Object id.
    pub principal_id: String,
    /// Client id.
    pub application_id: String,
}

/// The same was done again, within a time that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeated {
    /// How often, not counting what has rows of its own.
    pub count: u64,
    /// When it was done first, and has its own row.
    pub from: String,
    /// When it was done last.
    pub until: String,
}

/// What a row says, beside its sequence and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Azure's name of the action, or `Coffer/…` for what Azure has no name for.
    pub action: String,
    /// On what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The HTTP status. None where the row was committed with the change itself, before there was any (200, 201 or 202),
    /// and where it was no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Object id; none for who could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Client id. Of a refused log-in: as claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    /// Whose token it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Who issued the token, where it was not this installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The system's user who ran a verb on the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_uid: Option<u32>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Of the request, as in its answer and in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The operation that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// The consents of resource guards that were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<Consent>,
    /// How many refusals of the same caller before this one are not in the log.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unwritten: u64,
    /// How often it was done again, where the row tells only that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<Repeated>,
    /// To how many things it was done, where it was an act of the service.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: u64,
    /// Which they were, the first hundred: recovery points, secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
    /// What a cut took away: the number of rows, the last one's sequence and hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<(u32, i64, String)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Entry {
    pub(super) fn new(action: impl Into<String>, resource: &str, outcome: Outcome) -> Self {
        Self {
            action: action.into(),
            resource: shortened(resource),
            outcome,
            status: None,
            code: None,
            principal_id: None,
            application_id: None,
            tenant_id: None,
            issuer: None,
            operator_uid: None,
            address: None,
            correlation_id: None,
            operation_id: None,
            consents: Vec::new(),
            unwritten: 0,
            repeated: None,
            count: 0,
            items: Vec::new(),
            cut: None,
        }
    }

    pub(super) fn cut(count: u32, sequence: i64, hash: &str) -> Self {
        let cut = Some((count, sequence, hash.to_owned()));
        Self { cut, ..Self::new("Coffer/audit/cut/action", "", Outcome::Succeeded) }
    }

    /// As it is stored.
    pub(super) fn row(&self, time_us: i64) -> Result<NewRow, Error> {
        Ok(NewRow { time_us, body: serde_json::to_string(self).map_err(Error::internal)? })
    }
}

/// At most [`TEXT_CHARS_MAX`] characters, none of which moves a terminal's cursor.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

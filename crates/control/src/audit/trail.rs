//! What is noted while a request goes its way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::{CONSENTS_MAX, shortened};
use super::{Consent, Ending, Entry, Outcome};
use crate::clock::Clock;
use crate::db::Witness;
use crate::db::audit::NewRow;
use crate::error::{Error, ErrorKind};
use crate::identity::Caller;

/// The notes about one request, or about one verb on the data directory. Clones share them. The default notes nothing.
#[derive(Clone, Default)]
pub struct Trail(Option<Arc<Notes>>);

struct Notes {
    clock: Clock,
    facts: Mutex<Facts>,
}

#[derive(Clone)]
struct Facts {
    /// Who and from where; action and outcome are filled in at the end.
    entry: Entry,
    /// What was asked for, as far as it was allowed: the first that is no reading, else the first at all.
    allowed: Option<Check>,
    refused: Option<Check>,
    /// A token or a secret came with the request.
    has_credentials: bool,
    written: bool,
}

#[derive(Clone)]
struct Check {
    action: String,
    resource: String,
}

impl Check {
    fn is_read(&self) -> bool {
        self.action
            .get(self.action.len().saturating_sub(5)..)
            .is_some_and(|end| end.eq_ignore_ascii_case("/read"))
    }
}

impl Trail {
    /// The trail of a request.
    pub fn of_request(clock: &Clock, correlation_id: &str, address: &str) -> Self {
        let mut entry = Entry::new("", "", Outcome::Succeeded);
        entry.correlation_id = Some(correlation_id.to_owned());
        entry.address = Some(address.to_owned());
        Self::new(clock, entry)
    }

    /// The trail of a verb on the data directory.
    pub fn of_operator(clock: &Clock, uid: Option<u32>) -> Self {
        let mut entry = Entry::new("", "", Outcome::Succeeded);
        entry.operator_uid = uid;
        Self::new(clock, entry)
    }

    fn new(clock: &Clock, entry: Entry) -> Self {
        let facts =
            Facts { entry, allowed: None, refused: None, has_credentials: false, written: false };
        Self(Some(Arc::new(Notes { clock: clock.clone(), facts: Mutex::new(facts) })))
    }

    /// Who calls.
    pub fn caller(&self, caller: &Caller) {
        self.note(|facts| {
            facts.entry.principal_id = Some(caller.principal_id.clone());
            facts.entry.application_id = Some(shortened(&caller.application_id));
            facts.entry.tenant_id = Some(shortened(&caller.tenant_id));
            facts.entry.issuer = caller.issuer.clone();
        });
    }

    /// A token or a secret came with the request, whatever it is worth: a refusal is a refusal of something then, and not
    /// how clients find out where to log in.
    pub fn has_credentials(&self) {
        self.note(|facts| facts.has_credentials = true);
    }

    /// Somebody claims to be this application and is not believed.
    pub fn log_in_refused(&self, application_id: &str) {
        self.note(|facts| {
            facts.has_credentials = true;
            facts.entry.application_id = Some(application_id.chars().take(64).collect());
            facts.refused = Some(Check {
                action: "Coffer/tokens/issue/action".to_owned(),
                resource: String::new(),
            });
        });
    }

    /// The caller may.
    pub fn allowed(&self, action: &str, resource: &str) {
        self.note(|facts| {
            let check = Check { action: action.to_owned(), resource: resource.to_owned() };
            match &facts.allowed {
                Some(first) if !first.is_read() || check.is_read() => {}
                _ => facts.allowed = Some(check),
            }
        });
    }

    /// The caller may not.
    pub fn refused(&self, action: &str, resource: &str) {
        self.note(|facts| {
            facts.refused =
                Some(Check { action: action.to_owned(), resource: resource.to_owned() });
        });
    }

    /// A resource guard consents, by this caller's token.
    pub fn consent(&self, request: &str, by: &Caller) {
        self.note(|facts| {
            if facts.entry.consents.len() < CONSENTS_MAX {
                facts.entry.consents.push(Consent {
                    request: shortened(request),
                    principal_id: by.principal_id.clone(),
                    application_id: shortened(&by.application_id),
                });
            }
        });
    }

    /// An operation was begun.
    pub fn operation(&self, id: &str) {
        self.note(|facts| facts.entry.operation_id = Some(id.to_owned()));
    }

    pub(super) fn entry(&self, outcome: Outcome) -> Option<Entry> {
        let facts = self.0.as_ref()?.facts();
        Some(facts.entry_about(facts.allowed.as_ref(), outcome))
    }

    pub(super) fn now_us(&self) -> i64 {
        self.0.as_ref().map_or(0, |notes| notes.clock.now_us())
    }

    pub(super) fn witness(&self) -> Option<Arc<dyn Witness>> {
        self.0.clone().map(|notes| notes as Arc<dyn Witness>)
    }

    /// What is to be written now that the answer is known; none when nothing is.
    pub(super) fn ending(&self, ending: &Ending<'_>) -> Option<Entry> {
        let facts = self.0.as_ref()?.facts().clone();
        let Some((kind, code)) = ending.error else {
            if facts.refused.is_some() && ending.status >= 400 {
                // A log-in that was refused in the words of the token endpoint.
                return Some(facts.entry_of(
                    facts.refused.as_ref(),
                    Outcome::Refused,
                    ending,
                    None,
                ));
            }
            let is_write = facts.allowed.as_ref().is_some_and(|check| !check.is_read());
            return (is_write && !facts.written)
                .then(|| facts.entry_of(facts.allowed.as_ref(), Outcome::Succeeded, ending, None));
        };
        let code = Some(code.to_owned());
        match kind {
            ErrorKind::Unauthenticated => facts
                .has_credentials
                .then(|| facts.entry_of(facts.refused.as_ref(), Outcome::Refused, ending, code)),
            ErrorKind::Forbidden => {
                let check = facts.refused.as_ref().or(facts.allowed.as_ref());
                Some(facts.entry_of(check, Outcome::Refused, ending, code))
            }
            _ => {
                let is_write = facts.allowed.as_ref().is_some_and(|check| !check.is_read());
                (is_write || facts.written)
                    .then(|| facts.entry_of(facts.allowed.as_ref(), Outcome::Failed, ending, code))
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Facts)) {
        if let Some(notes) = &self.0 {
            change(&mut notes.facts());
        }
    }
}

impl Notes {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Notes are whole after every change, also when a handler panicked between two.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn entry_of(
        &self,
        check: Option<&Check>,
        outcome: Outcome,
        ending: &Ending<'_>,
        code: Option<String>,
    ) -> Entry {
        Entry { status: Some(ending.status), code, ..self.entry_about(check, outcome) }
    }

    fn entry_about(&self, check: Option<&Check>, outcome: Outcome) -> Entry {
        let (action, resource) = check.map_or(("", ""), |check| (&check.action, &check.resource));
        Entry {
            action: shortened(action),
            resource: shortened(resource),
            outcome,
            ..self.entry.clone()
        }
    }
}

impl Witness for Notes {
    fn row(&self) -> Result<Option<NewRow>, Error> {
        let facts = self.facts();
        if facts.written {
            return Ok(None);
        }
        let entry = facts.entry_about(facts.allowed.as_ref(), Outcome::Succeeded);
        entry.row(self.clock.now_us()).map(Some)
    }

    fn written(&self) {
        self.facts().written = true;
    }
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trail")
    }
}

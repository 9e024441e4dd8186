//! The trace that work belongs to, across processes: a caller's, as W3C Trace Context puts it into headers, and that of the
//! request which began an operation, as the operation's row keeps it.
//!
//! Without a subscriber that takes traces (the binary adds one when it is told where to send them) everything here does
//! nothing. A trace is never worth an error: what cannot be understood begins a trace of its own.

use std::collections::HashMap;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
/// Longest `tracestate` that is taken over: what the standard asks everybody to hand on.
const STATE_BYTES_MAX: usize = 512;
/// Longest `traceparent` that is looked at: twice that of the version that is written today.
const PARENT_BYTES_MAX: usize = 110;

/// A span that may be another process's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    parent: String,
    state: Option<String>,
}

impl TraceContext {
    /// Where the work at hand stands; none when nobody takes traces.
    #[must_use]
    pub fn current() -> Option<Self> {
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
        let parent = headers.remove(PARENT)?;
        let state = headers.remove(STATE).filter(|state| fits(STATE, state) && !state.is_empty());
        Some(Self { parent, state })
    }

    /// As a row keeps it: the parent, and after a blank the state if there is one.
    #[must_use]
    pub fn to_text(&self) -> String {
        match &self.state {
            Some(state) => format!("{} {state}", self.parent),
            None => self.parent.clone(),
        }
    }

    /// What a row has kept. What is no context is found out when it is used.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.split_once(' ') {
            Some((parent, state)) => {
                Self { parent: parent.to_owned(), state: Some(state.to_owned()) }
            }
            None => Self { parent: text.to_owned(), state: None },
        }
    }

    /// Makes this the parent of a span that has just been made.
    pub(crate) fn adopt(&self, span: &Span) {
        set_parent(span, self);
    }
}

impl Extractor for TraceContext {
    fn get(&self, key: &str) -> Option<&str> {
        let value = match key {
            PARENT => Some(self.parent.as_str()),
            STATE => self.state.as_deref(),
            _ => None,
        };
        value.filter(|value| fits(key, value))
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}

/// The headers of a request, of which a client may send any number and size.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok().filter(|value| fits(key, value))
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}

fn fits(key: &str, value: &str) -> bool {
    value.len() <= if key == PARENT { PARENT_BYTES_MAX } else { STATE_BYTES_MAX }
}

/// Makes the caller's span, if its headers name one, the parent of a span that has just been made.
pub(crate) fn adopt_caller(span: &Span, headers: &HeaderMap) {
    set_parent(span, &Headers(headers));
}

fn set_parent(span: &Span, carrier: &dyn Extractor) {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    if context.span().span_context().is_valid() {
        // Refused only where nobody takes traces.
        drop(span.set_parent(context));
    }
}

/// Names a span in the trace alone: a field would be repeated by every line of the log within it.
pub(crate) fn name(span: &Span, name: impl Into<String>) {
    let context = span.context();
    let span = context.span();
    if span.is_recording() {
        span.update_name(name.into());
    }
}

/// Says something about a span in the trace alone, as [`name`] does.
pub(crate) fn say(span: &Span, key: &'static str, value: impl Into<opentelemetry::Value>) {
    let context = span.context();
    let span = context.span();
    if span.is_recording() {
        span.set_attribute(KeyValue::new(key, value));
    }
}

/// Marks a span as failed. The code is of a closed set; messages stay in the log.
pub(crate) fn failed(span: &Span, code: &str) {
    let context = span.context();
    let span = context.span();
    if span.is_recording() {
        span.set_status(Status::error(code.to_owned()));
    }
}

#[cfg(test)]
mod tests;

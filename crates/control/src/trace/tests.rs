use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, trace::SpanContext};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::*;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn understood(carrier: &dyn Extractor) -> SpanContext {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    context.span().span_context().clone()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_context_comes_back_from_its_row() {
    for text in [CALLER.to_owned(), format!("{CALLER} vendor=1,other=2")] {
        let context = TraceContext::from_text(&text);
        assert_eq!(context.to_text(), text);
        let understood = understood(&context);
        assert_eq!(understood.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(understood.trace_state().header(), text[CALLER.len()..].trim_start());
    }
}

#[test]
fn what_is_no_context_is_none() {
    for text in ["", " ", "00-zz", "00-00000000000000000000000000000000-0000000000000000-01"] {
        assert!(!understood(&TraceContext::from_text(text)).is_valid(), "{text:?}");
    }
}

#[test]
fn a_caller_cannot_make_it_large() {
    let long = format!("vendor={}", "x".repeat(STATE_BYTES_MAX));
    let found = understood(&Headers(&headers(&[(PARENT, CALLER), (STATE, &long)])));
    assert!(found.is_valid());
    assert_eq!(found.trace_state().header(), "");
    let long = format!("01{}-{}", &CALLER[2..], "x".repeat(PARENT_BYTES_MAX));
    assert!(!understood(&Headers(&headers(&[(PARENT, &long)]))).is_valid());
}

#[test]
fn nobody_takes_traces_unless_told_to() {
    let _span = tracing::info_span!("request").entered();
    assert_eq!(TraceContext::current(), None);
}

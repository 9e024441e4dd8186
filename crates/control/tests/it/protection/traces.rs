//! The trace of a backup and of a restore, from the caller's request down to the engine's workers.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use coffer_testkit::PostgresServer;
use opentelemetry::Key;
use opentelemetry::trace::{SpanId, Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use reqwest::Method;
use serde_json::{Value, json};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use super::estate::{Estate, fill};
use crate::harness::{API_VERSION, DEADLINE, Harness};

const WEEK: Duration = Duration::from_secs(7 * 86_400);
const CALLER: &str = "b7ad6b7169203331";

/// What has been traced so far.
struct Traced(InMemorySpanExporter);

impl Traced {
    /// Traces everything in this process, since spans end on threads of the metadata store as well.
    fn begin() -> Self {
        static EXPORTER: OnceLock<InMemorySpanExporter> = OnceLock::new();
        let exporter = EXPORTER.get_or_init(|| {
            let exporter = InMemorySpanExporter::default();
            let provider =
                SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
            let ours =
                filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("coffer"));
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
            let subscriber = tracing_subscriber::registry().with(layer.with_filter(ours));
            tracing::subscriber::set_global_default(subscriber).unwrap();
            exporter
        });
        Self(exporter.clone())
    }

    /// A span that `wanted` wants, when there is one.
    async fn span(&self, name: &str, wanted: impl Fn(&SpanData) -> bool) -> SpanData {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let spans = self.spans();
            if let Some(found) = spans.into_iter().find(|span| span.name == name && wanted(span)) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "there is no span {name}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn spans(&self) -> Vec<SpanData> {
        self.0.get_finished_spans().unwrap()
    }

    /// The first operation of that kind that `wanted` wants, when it has ended.
    async fn operation(&self, kind: &str, wanted: impl Fn(&SpanData) -> bool) -> SpanData {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let spans = self.spans();
            let found = spans.iter().find(|span| {
                span.name == "operation" && attribute(span, "kind") == kind && wanted(span)
            });
            if let Some(found) = found {
                return found.clone();
            }
            let operations: Vec<_> = spans
                .iter()
                .filter(|span| span.name == "operation")
                .map(|span| (attribute(span, "kind"), span.parent_span_id, &span.span_context))
                .collect();
            assert!(tokio::time::Instant::now() < deadline, "no operation {kind}: {operations:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The only span of that name below another.
    fn below(&self, parent: &SpanData, name: &str) -> SpanData {
        let mut found = self.children(parent);
        found.retain(|span| span.name == name);
        assert_eq!(found.len(), 1, "{name} below {}: {:?}", parent.name, self.names(parent));
        found.remove(0)
    }

    fn children(&self, parent: &SpanData) -> Vec<SpanData> {
        let id = parent.span_context.span_id();
        self.spans().into_iter().filter(|span| span.parent_span_id == id).collect()
    }

    fn names(&self, parent: &SpanData) -> BTreeSet<String> {
        self.children(parent).into_iter().map(|span| span.name.into_owned()).collect()
    }
}

fn attribute(span: &SpanData, key: &'static str) -> String {
    let key = Key::from_static_str(key);
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    found.map(|found| found.value.to_string()).unwrap_or_default()
}

fn names<const N: usize>(of: [&str; N]) -> BTreeSet<String> {
    of.into_iter().map(str::to_owned).collect()
}

/// A POST in a trace of the caller's own, whose job ends well.
async fn post(estate: &Estate, path: &str, body: Value, trace: &str) -> Value {
    let job = try_to(estate, path, body, trace).await;
    assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
    job
}

/// A POST in a trace of the caller's own, and its job when it has ended.
async fn try_to(estate: &Estate, path: &str, body: Value, trace: &str) -> Value {
    let harness = &estate.harness;
    let url = format!("{}{path}?api-version={API_VERSION}", harness.endpoint);
    let request = harness.client().request(Method::POST, url).bearer_auth(&harness.owner.token);
    let request = request.header("traceparent", format!("00-{trace}-{CALLER}-01")).json(&body);
    estate.job(&harness.send(request).await.expect(202)).await
}

fn is_failed(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

fn in_trace(trace: &'static str) -> impl Fn(&SpanData) -> bool {
    move |span: &SpanData| span.span_context.trace_id().to_string() == trace
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_reaches_from_the_caller_to_the_workers_of_the_engine() {
    let traced = Traced::begin();
    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let mut estate = Estate::on(Harness::start().await, postgres, "On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;

    let trace = "0af7651916cd43dd8448eb211c80319c";
    let ask = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
    post(&estate, &format!("{instance}/backup"), ask, trace).await;
    let operation = traced.operation("backup", in_trace(trace)).await;
    let request = traced
        .spans()
        .into_iter()
        .find(|span| span.span_context.span_id() == operation.parent_span_id);
    let request = request.unwrap();
    assert!(request.name.starts_with("POST /") && request.name.ends_with("/{name}/backup"));
    assert_eq!(request.parent_span_id, SpanId::from_hex(CALLER).unwrap());
    let step = traced
        .children(&operation)
        .into_iter()
        .find(|step| traced.names(step).contains("backup"))
        .unwrap();
    let backup = traced.below(&step, "backup");
    assert_eq!(
        traced.names(&backup),
        names(["check", "lock", "schema", "tables", "large_objects", "lists", "flush", "seal"])
    );
    let tables = traced.below(&backup, "tables");
    assert_eq!(traced.names(&tables), names(["worker"]));
    let workers = traced.children(&tables).len();
    assert_eq!(workers, estate.harness.service().app().config.limits.data_workers);

    let points = estate.recovery_points(&instance).await;
    let point = points[0]["properties"]["recoveryPointId"].as_str().unwrap();
    let trace = "1bf7651916cd43dd8448eb211c80319c";
    let ask = estate.restore_to_database(point, "shop_again");
    post(&estate, &format!("{instance}/restore"), ask, trace).await;
    let operation = traced.operation("restore", in_trace(trace)).await;
    let step = traced
        .children(&operation)
        .into_iter()
        .find(|step| traced.names(step).contains("restore"))
        .unwrap();
    let restore = traced.below(&step, "restore");
    assert_eq!(attribute(&restore, "recovery_point"), point);
    assert_eq!(
        traced.names(&restore),
        names([
            "check",
            "create_database",
            "pre_data",
            "tables",
            "large_objects",
            "post_data",
            "refresh",
            "analyze",
            "proof",
            "name"
        ])
    );
    for phase in ["tables", "large_objects", "analyze", "proof"] {
        assert_eq!(traced.names(&traced.below(&restore, phase)), names(["worker"]), "{phase}");
    }

    // What no request has begun is in no request's trace.
    estate.later(WEEK).await;
    let scheduled = |span: &SpanData| span.parent_span_id == SpanId::INVALID;
    let scheduled = traced.operation("backup", scheduled).await;
    assert!(!traced.children(&scheduled).is_empty());

    let traces = [&request, &restore, &scheduled].map(|span| span.span_context.trace_id());
    for span in traced.spans().iter().filter(|s| traces.contains(&s.span_context.trace_id())) {
        assert!(!is_failed(span), "{span:#?}");
        let text = format!("{span:?}");
        for hidden in [estate.postgres.password(), "customer 1", "a large object"] {
            assert!(!text.contains(hidden), "{hidden} is in a span: {text}");
        }
    }
}

async fn shop() -> (Estate, String) {
    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let harness = Harness::start_with(|config| config.verification_period_days = 1).await;
    let estate = Estate::on(harness, postgres, "On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    (estate, instance)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_marked_from_the_operation_down_to_the_worker() {
    let traced = Traced::begin();
    let (estate, instance) = shop().await;
    let point = estate.recovery_point(&instance).await;
    let packs = estate.packs().into_iter();
    let largest = packs.max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    // Among the rows of the larger table.
    let place = bytes.len() / 4;
    bytes[place] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    let trace = "2cf7651916cd43dd8448eb211c80319c";
    let ask = estate.restore_to_database(&point, "shop_again");
    let job = try_to(&estate, &format!("{instance}/restore"), ask, trace).await;
    assert_eq!(job["properties"]["status"], "Failed", "{job:#}");
    let restore = traced.operation("restore", in_trace(trace)).await;
    let restore = traced.span("restore", |span| {
        span.span_context.trace_id() == restore.span_context.trace_id() && is_failed(span)
    });
    let restore = restore.await;
    let failed: Vec<_> = traced.children(&restore).into_iter().filter(is_failed).collect();
    assert_eq!(failed.len(), 1, "{:?}", traced.names(&restore));
    let whole = traced.children(&restore).into_iter().filter(|phase| !is_failed(phase));
    assert!(whole.into_iter().any(|phase| phase.name == "create_database"));
    assert_eq!(failed[0].name, "tables");
    assert!(traced.children(&failed[0]).iter().any(is_failed));

    // And a backup: its check, the backup itself, its step, and the operation.
    estate.postgres.psql("postgres", "ALTER DATABASE shop RENAME TO gone").unwrap();
    let ask = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
    let trace = "3df7651916cd43dd8448eb211c80319c";
    let job = try_to(&estate, &format!("{instance}/backup"), ask, trace).await;
    assert_eq!(job["properties"]["status"], "Failed", "{job:#}");
    let operation = traced.operation("backup", in_trace(trace)).await;
    let mut failed: Vec<String> = traced
        .spans()
        .into_iter()
        .filter(|span| in_trace(trace)(span) && is_failed(span))
        .map(|span| span.name.into_owned())
        .collect();
    failed.sort();
    assert!(is_failed(&operation), "{failed:?}");
    assert_eq!(failed, ["backup", "check", "operation", "take"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_verification_have_their_spans() {
    let traced = Traced::begin();
    let (mut estate, instance) = shop().await;
    let point = estate.recovery_point(&instance).await;
    let (account, _, url) = estate.files_account().await;
    let role = super::estate::STORAGE_BLOB_DATA_CONTRIBUTOR;
    estate.harness.assign(&estate.vault_principal, role, &account).await;
    let trace = "4ef7651916cd43dd8448eb211c80319c";
    let ask = Estate::restore_to_files(&point, url);
    let job = try_to(&estate, &format!("{instance}/restore"), ask, trace).await;
    assert_eq!(job["properties"]["errorDetails"], Value::Null, "{job:#}");
    let operation = traced.operation("restore", in_trace(trace)).await;
    let files = traced.span("files", in_trace(trace)).await;
    assert_eq!(attribute(&files, "recovery_point"), point);
    assert_eq!(traced.names(&files), names(["tables", "large_objects"]));
    let step = traced.children(&operation).into_iter();
    let step = step.map(|step| step.span_context.span_id()).find(|id| *id == files.parent_span_id);
    assert!(step.is_some(), "the files are below a step of the operation");

    // Everything is read within the day, and then each recovery point is looked at.
    estate.later(2 * WEEK / 7).await;
    let turn = traced.span("verify_packs", |span| span.parent_span_id == SpanId::INVALID).await;
    assert!(!is_failed(&turn));
    let verify = traced.span("verify", |span| attribute(span, "recovery_point") == point).await;
    assert_eq!(verify.parent_span_id, SpanId::INVALID);
    assert!(!is_failed(&verify));
}

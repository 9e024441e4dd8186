//! Traces as a collector receives them, and what a service does without one.

use std::{collections::BTreeMap, net::TcpListener};

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::{Value, json};

use crate::{
    collector::{Collector, attribute},
    command::{Serving, coffer, outcome},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A client of a running service, with a token.
struct Client {
    http: reqwest::Client,
    env: BTreeMap<String, String>,
    token: String,
}

impl Client {
    async fn of(serving: &Serving) -> anyhow::Result<Self> {
        let (http, env) = (serving.client()?, serving.env()?);
        let tenant = env.get("AZURE_TENANT_ID").context("no tenant")?;
        let endpoint = env.get("COFFER_ENDPOINT").context("no endpoint")?;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", env.get("AZURE_CLIENT_ID").context("no client")?),
            ("client_secret", env.get("AZURE_CLIENT_SECRET").context("no secret")?),
            ("scope", &format!("{endpoint}/.default")),
        ];
        let url = format!("{endpoint}/{tenant}/oauth2/v2.0/token");
        let answer: Value = http.post(url).form(&form).send().await?.json().await?;
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        Ok(Self { http, env, token })
    }

    /// A PUT below the default subscription, in the trace of the test.
    async fn put(&self, path: &str, body: Value) -> anyhow::Result<reqwest::Response> {
        let endpoint = self.env.get("COFFER_ENDPOINT").context("no endpoint")?;
        let subscription = self.env.get("AZURE_SUBSCRIPTION_ID").context("no subscription")?;
        let url = format!("{endpoint}/subscriptions/{subscription}/{path}?api-version=2024-04-01");
        let request = self.http.put(url).bearer_auth(&self.token).json(&body);
        let request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
        Ok(request.header("tracestate", "vendor=1").send().await?)
    }

    /// Begins to make a vault, and what it needs.
    async fn put_vault(&self) -> anyhow::Result<()> {
        let group = self.put("resourceGroups/private-group", json!({"location": "westeurope"}));
        let status = group.await?.status();
        ensure!(status == 201, "the group was answered {status}");
        let vault = json!({"location": "westeurope", "properties": {
            "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}]}});
        let path = "resourceGroups/private-group/providers/Microsoft.DataProtection/backupVaults/private-vault";
        let status = self.put(path, vault).await?.status();
        ensure!(status == 201, "the vault was answered {status}");
        Ok(())
    }
}

/// Of the trace of the test.
fn is_ours(span: &Span) -> bool {
    hex(&span.trace_id) == TRACE
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_trace_goes_from_the_caller_over_request_and_operation_to_the_steps() -> anyhow::Result<()>
{
    let collector = Collector::start()?;
    let mut serving = Serving::start_with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=key%20of%20the%20collector"),
        // A log that says nothing does not shorten the traces.
        ("COFFER_LOG", "error"),
    ])?;
    let client = Client::of(&serving).await?;
    client.put_vault().await?;
    let operation = collector.wait_for(|span| span.name == "operation")?;
    assert_eq!(serving.signal("TERM")?.code(), Some(0));

    let spans = collector.spans()?;
    let template = "PUT /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.DataProtection/backupVaults/{name}";
    let request = spans.iter().find(|span| span.name == template).context("no request")?;
    assert!(is_ours(request), "{request:?}");
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(request.trace_state, "vendor=1");
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert_eq!(attribute(&request.attributes, "http.request.method"), "PUT");
    assert_eq!(format!("PUT {}", attribute(&request.attributes, "http.route")), template);
    assert_eq!(attribute(&request.attributes, "http.response.status_code"), "201");

    assert!(is_ours(&operation), "{operation:?}");
    assert_eq!(operation.parent_span_id, request.span_id);
    assert_eq!(operation.trace_state, "vendor=1");
    assert_eq!(attribute(&operation.attributes, "kind"), "create_vault");
    let steps: Vec<_> =
        spans.iter().filter(|span| span.parent_span_id == operation.span_id).collect();
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["make_keyring", "conclude"]);
    for span in steps.iter().copied().chain([request, &operation]) {
        assert!(is_ours(span), "{span:?}");
        let failed = span.status.as_ref().is_some_and(|s| s.code == StatusCode::Error as i32);
        assert!(!failed && span.events.is_empty(), "{span:?}");
    }

    for (resource, _) in collector.resources()? {
        assert_eq!(attribute(&resource, "service.name"), "coffer");
        assert_eq!(attribute(&resource, "service.version"), env!("CARGO_PKG_VERSION"));
    }
    for head in collector.heads() {
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(head.contains("x-api-key: key of the collector"), "{head}");
    }
    let sent = collector.text();
    let secret = client.env.get("AZURE_CLIENT_SECRET").context("no secret")?;
    for hidden in [secret.as_str(), &client.token, "private-vault", "private-group"] {
        assert!(!sent.contains(hidden), "{hidden} was sent");
    }
    assert_eq!(serving.log()?, "");
    Ok(())
}

#[tokio::test]
async fn an_operation_stays_in_its_trace_when_another_process_runs_it() -> anyhow::Result<()> {
    let collector = Collector::start()?;
    let endpoint = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/in", collector.endpoint));
    let endpoint = (endpoint.0, endpoint.1.as_str());
    let first =
        Serving::start_with(&[endpoint, ("COFFER_CRASH_AT", "create_vault:conclude:before")])?;
    // The process may die before the answer is sent.
    drop(Client::of(&first).await?.put_vault().await);
    let mut second = Serving::start_after(first, &[endpoint, ("OTEL_SERVICE_NAME", "second")])?;
    let operation = collector.wait_for(|span| span.name == "operation")?;
    assert_eq!(second.signal("TERM")?.code(), Some(0));
    assert!(is_ours(&operation), "{operation:?}");
    assert!(!operation.parent_span_id.is_empty() && hex(&operation.parent_span_id) != CALLER);
    for (resource, spans) in collector.resources()? {
        if spans.iter().any(|span| span.span_id == operation.span_id) {
            assert_eq!(attribute(&resource, "service.name"), "second");
        }
    }
    assert!(collector.heads().iter().all(|head| head.starts_with("post /in ")));
    Ok(())
}

#[tokio::test]
async fn a_collector_that_never_answers_is_not_waited_for() -> anyhow::Result<()> {
    // Connections are made by the system and nobody reads from them.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let silent = format!("http://{}", silent.local_addr()?);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", silent.as_str());
    let mut serving = Serving::start_with(&[endpoint])?;
    Client::of(&serving).await?.put_vault().await?;
    assert_eq!(serving.signal("TERM")?.code(), Some(0));
    let log = serving.log()?;
    assert!(log.contains("the last traces could not be sent in time"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_named_once() -> anyhow::Result<()> {
    let free = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let endpoint = format!("http://{free}/v1/key-in-the-path");
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let mut serving = Serving::start_with(&variables)?;
    Client::of(&serving).await?.put_vault().await?;
    assert_eq!(serving.signal("TERM")?.code(), Some(0));
    let log = serving.log()?;
    assert_eq!(log.matches("traces cannot be sent;").count(), 1, "{log}");
    assert!(!log.contains("key-in-the-path"), "{log}");
    Ok(())
}

#[test]
fn what_cannot_be_followed_is_refused_at_the_start() -> anyhow::Result<()> {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    let directory = tempfile::tempdir()?;
    for (name, value) in
        [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "made-up")]
    {
        let started = coffer()
            .envs([endpoint, (name, value)])
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data"))
            .output()?;
        let (code, _, err) = outcome(started)?;
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(name), "{err}");
    }
    assert!(!directory.path().join("data").exists());
    Ok(())
}

//! Traces by OpenTelemetry, for whoever asks for them with the standard's own environment variables.
//!
//! Spans are handed to a thread of their own, which sends them in batches; where its queue is full they are dropped. A
//! collector that does not answer is named in the log once and never waited for, but a bounded time at the very end.
//!
//! Spans carry what our own crates say about their work: names, numbers and codes. Events of the log stay in the log.

mod client;
mod settings;

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::Level;
use tracing_subscriber::{Layer, Registry, filter::filter_fn};

use self::{client::Client, settings::Settings};

/// How long the end of the service waits for the last spans to be sent.
const FLUSH_WAIT: Duration = Duration::from_secs(5);
/// How the service is named unless the environment says otherwise.
const SERVICE: &str = "coffer";
/// What the SDK begins the name of a service with that nobody has named.
const UNNAMED: &str = "unknown_service";

/// The sending of traces, if there is any.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// As the environment says. To be called within the runtime that will do the sending.
    ///
    /// # Errors
    /// A variable asks for what is not there. Its value is not repeated: it may be a secret.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let Some(settings) = Settings::read(|name| std::env::var(name).ok())? else {
            return Ok(Self { provider: None });
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(settings.timeout)?)
            .build()
            .context("traces cannot be sent as the OTEL_ variables say")?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(settings.sampler)
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { provider: Some(provider) })
    }

    /// What takes the spans; none where nothing is sent.
    pub(crate) fn layer(&self) -> Option<impl Layer<Registry> + Send + Sync + use<>> {
        let tracer = self.provider.as_ref()?.tracer(SERVICE);
        let ours = filter_fn(|metadata| {
            metadata.is_span()
                && *metadata.level() <= Level::INFO
                && metadata.target().starts_with("coffer")
        });
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        Some(layer.with_filter(ours))
    }

    /// Sends what is left, within a bounded time.
    pub(crate) async fn end(self) {
        let Some(provider) = self.provider else { return };
        let (tell, told) = tokio::sync::oneshot::channel();
        // A thread that nobody has to wait for: the runtime would wait for one of its own.
        std::thread::spawn(move || {
            // Nobody listens when a second signal has come.
            drop(tell.send(provider.shutdown_with_timeout(FLUSH_WAIT)));
        });
        if !matches!(tokio::time::timeout(FLUSH_WAIT, told).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the last traces could not be sent in time");
        }
    }
}

/// Who sends: what the environment says about it, and our version.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().with_attribute(version.clone()).build();
    let name = named.get(&Key::from_static_str("service.name"));
    if name.is_some_and(|name| !name.as_str().starts_with(UNNAMED)) {
        return named;
    }
    Resource::builder().with_attribute(version).with_service_name(SERVICE).build()
}

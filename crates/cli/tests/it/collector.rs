//! A collector of traces: an HTTP server of a few lines that keeps what it is sent.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use coffer_testkit::wait_until;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;

/// How long a span may take to arrive.
const LIMIT: Duration = Duration::from_secs(60);

/// A request as it came.
struct Received {
    head: String,
    body: Vec<u8>,
}

/// Listens until the test ends.
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that breaks off has brought nothing; the test then misses a span.
                if let Ok(request) = receive(stream) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                }
            }
        });
        Ok(Self { endpoint, received })
    }

    /// Everything that came, as text, to look for what should not be in it.
    pub(crate) fn text(&self) -> String {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
    }

    /// The first lines of all requests, with their headers.
    pub(crate) fn heads(&self) -> Vec<String> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().map(|request| request.head.to_lowercase()).collect()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> anyhow::Result<Vec<Span>> {
        let spans = self.resources()?.into_iter().flat_map(|(_, spans)| spans);
        Ok(spans.collect())
    }

    /// What every batch says about its sender, with its spans.
    pub(crate) fn resources(&self) -> anyhow::Result<Vec<(Vec<KeyValue>, Vec<Span>)>> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for request in received.iter() {
            let batch = ExportTraceServiceRequest::decode(request.body.as_slice())?;
            for of_resource in batch.resource_spans {
                let resource = of_resource.resource.context("spans of nobody")?.attributes;
                let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                found.push((resource, spans.collect()));
            }
        }
        Ok(found)
    }

    /// Waits for a span.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Span) -> bool) -> anyhow::Result<Span> {
        wait_until("a span", LIMIT, || Ok(self.spans()?.into_iter().find(|span| wanted(span))))
    }
}

/// An attribute's text or number; empty when there is none.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn receive(mut stream: TcpStream) -> anyhow::Result<Received> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "it ended in its headers");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes())?;
    Ok(Received { head, body })
}

//! The service's log: JSON lines for machines, text for a person at a terminal, always on standard error. Beside it go the
//! traces, if they are asked for.
//!
//! What is logged never holds a secret: types that hold one print nothing of it, and bodies of requests are not logged.

use std::io::IsTerminal as _;

use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::traces::Traces;

/// The setting that chooses what is logged, in the syntax of `tracing` (`info`, `coffer_engine=debug,info`).
const VARIABLE: &str = "COFFER_LOG";

/// Begins to log and to trace. Only `serve` does: other commands speak through the printer.
pub(crate) fn start() -> anyhow::Result<Traces> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var(VARIABLE)
        .from_env()
        .map_err(|error| anyhow::anyhow!("{VARIABLE} is not understood: {error}"))?;
    let traces = Traces::from_environment()?;
    // Each with a filter of its own: a log that says little does not shorten the traces.
    let registry = tracing_subscriber::registry().with(traces.layer());
    if std::io::stderr().is_terminal() {
        let log = fmt::layer().with_writer(std::io::stderr).with_target(false);
        registry.with(log.with_filter(filter)).try_init()?;
    } else {
        let log = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        registry.with(log.with_filter(filter)).try_init()?;
    }
    Ok(traces)
}

//! The service's log: JSON lines for machines, text for a person at a terminal, always on standard error.
//!
//! What is logged never holds a secret: types that hold one print nothing of it, and bodies of requests are not logged.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// The setting that chooses what is logged, in the syntax of `tracing` (`info`, `coffer_engine=debug,info`).
const VARIABLE: &str = "COFFER_LOG";

/// Begins to log. Only `serve` does: other commands speak through the printer.
pub(crate) fn start() -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var(VARIABLE)
        .from_env()
        .map_err(|error| anyhow::anyhow!("{VARIABLE} is not understood: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    if std::io::stderr().is_terminal() {
        registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false)).try_init()?;
    } else {
        registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init()?;
    }
    Ok(())
}

//! `coffer serve`: the service, until it is told to stop.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use coffer_control::{Config, Service};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{exit::Failure, hardening, logs, printer};

/// Run the service.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Directory that holds everything: metadata, keys, certificate, backups; made when absent
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Configuration file (docs/configuration.md)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let traces = logs::start().map_err(Failure::usage)?;
        let mut config =
            Config::load(&self.data_dir, self.config.as_deref()).map_err(Failure::usage)?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        // Before the first key is read.
        if !config.core_dumps {
            hardening::without_core_dumps();
        }
        // Before the start: a signal during it must not be lost.
        let mut signals = Signals::listen()?;
        let service = tokio::select! {
            service = Box::pin(Service::start(config)) => service.map_err(Failure::request)?,
            name = signals.next() => {
                tracing::info!(signal = name, "stopped before the service was ready");
                return Ok(());
            }
        };
        tracing::info!(address = %service.local_addr(), "ready");
        let name = signals.next().await;
        tracing::info!(
            signal = name,
            "stopping: requests at hand are finished, operations go on at the next start"
        );
        let end = async {
            service.shutdown().await;
            traces.end().await;
        };
        tokio::select! {
            () = Box::pin(end) => Ok(()),
            name = signals.next() => {
                printer::note(&format!("{name} again: stopping at once; nothing that was answered is lost"));
                Ok(())
            }
        }
    }
}

/// The two ways in which an operator stops a service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(anyhow::Error::from);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

//! A TCP proxy that can be cut, stalled or closed to new connections: the network's bad days.
//!
//! It runs on threads of its own, so it works whatever runtime the test uses, and goes on while the test blocks.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Bytes moved at a time; also how exactly [`ChaosProxy::cut_after`] cuts at best.
const BUFFER_BYTES: usize = 16 * 1024;

/// How often a stalled or idle thread looks whether it should go on.
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    closing: AtomicBool,
    refusing: AtomicBool,
    stalled: AtomicBool,
    /// Bytes from the target to clients so far, all connections together.
    received: AtomicU64,
    /// Every connection is cut once `received` reaches this.
    cut_at: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicU64,
}

impl Shared {
    fn cut(&self) {
        for stream in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}

/// A proxy on a free port of 127.0.0.1. Dropping it closes it and cuts all its connections.
#[derive(Debug)]
pub struct ChaosProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

impl ChaosProxy {
    /// Begins to forward connections to a port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(target_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: SocketAddr::from(([127, 0, 0, 1], target_port)),
            closing: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            received: AtomicU64::new(0),
            cut_at: AtomicU64::new(u64::MAX),
            connections: Mutex::new(Vec::new()),
            accepted: AtomicU64::new(0),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::Builder::new()
            .name("chaos-proxy".to_owned())
            .spawn(move || accept(&listener, &for_acceptor))?;
        Ok(Self { shared, address, acceptor: Some(acceptor) })
    }

    /// Port to connect to in place of the target's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts every connection there is; new ones are served.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Cuts every connection once so many more bytes have come from the target; then new ones are served again.
    pub fn cut_after(&self, bytes: u64) {
        let at = self.shared.received.load(Ordering::SeqCst).saturating_add(bytes);
        self.shared.cut_at.store(at, Ordering::SeqCst);
    }

    /// Whether new connections are closed as soon as they come.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Whether bytes stop flowing while connections stay open: the failure that only a timeout notices.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::SeqCst);
    }

    /// Bytes that came from the target so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
        self.shared.cut();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.closing() {
        match listener.accept() {
            Ok((client, _)) => {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                if !shared.refusing.load(Ordering::SeqCst) {
                    // A connection that cannot be forwarded is closed by being dropped, as a dead server would.
                    drop(forward(client, shared));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(POLL),
            Err(_) => return,
        }
    }
}

fn forward(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let server = TcpStream::connect(shared.target)?;
    for stream in [&client, &server] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
    }
    shared
        .connections
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend([client.try_clone()?, server.try_clone()?]);
    let (up, down) = (Arc::clone(shared), Arc::clone(shared));
    let (client_reader, server_writer) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || pump(client_reader, server_writer, &up, false));
    std::thread::spawn(move || pump(server, client, &down, true));
    Ok(())
}

/// Moves bytes until an end closes or the proxy cuts it.
fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, counted: bool) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while shared.stalled.load(Ordering::SeqCst) && !shared.closing() {
            std::thread::sleep(POLL);
        }
        if counted {
            let total = shared.received.fetch_add(count as u64, Ordering::SeqCst) + count as u64;
            if total >= shared.cut_at.load(Ordering::SeqCst) {
                shared.cut_at.store(u64::MAX, Ordering::SeqCst);
                shared.cut();
                break;
            }
        }
        if to.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every byte with the same byte.
    fn echo() -> anyhow::Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let (mut reader, mut writer) = (&stream, &stream);
                    drop(std::io::copy(&mut reader, &mut writer));
                });
            }
        });
        Ok(port)
    }

    #[test]
    fn it_forwards_and_cuts() -> anyhow::Result<()> {
        let proxy = ChaosProxy::start(echo()?)?;
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port()))?;
        let mut answer = [0; 4];
        stream.write_all(b"ping")?;
        stream.read_exact(&mut answer)?;
        assert_eq!((&answer, proxy.received(), proxy.accepted()), (b"ping", 4, 1));

        proxy.cut();
        assert!(matches!(stream.read(&mut answer), Ok(0) | Err(_)));

        let mut again = TcpStream::connect(("127.0.0.1", proxy.port()))?;
        proxy.cut_after(4);
        again.write_all(b"gone")?;
        assert!(matches!(again.read(&mut answer), Ok(0) | Err(_)));
        Ok(())
    }
}

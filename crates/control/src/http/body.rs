//! The body of a request, which is read to its end whatever becomes of the request.
//!
//! A request is often answered before its body was looked at: no token, no such route, not allowed. If the server then
//! closed the connection with bytes still on their way, the client would lose the answer, or its next request on that
//! connection, to a reset. So what is left is read and thrown away, within limits; beyond them the client is told that the
//! connection ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// Most bytes that are read only to be thrown away. A client that sends a body far over the limit reads its answer only
/// when it has sent all of it; so this is much more than any limit on bodies.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// Longest time that is waited for them.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a body could not be read.
pub(super) enum ReadError {
    /// It is larger than the limit.
    TooLarge,
    /// It did not arrive in time.
    Late,
    /// The connection broke, or the framing is wrong.
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

enum State {
    Unread(Body),
    Read,
    /// Begun and given up: nobody knows what is still to come.
    GivenUp,
}

/// A body that the handler may read and the server drains afterwards. Clones are the same body.
#[derive(Clone)]
pub(super) struct RequestBody(Arc<Mutex<State>>);

impl RequestBody {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State::Unread(body))))
    }

    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    /// Reads all of it; nothing when it was read before.
    pub(super) async fn read(
        &self,
        bytes_max: usize,
        time_max: Duration,
    ) -> Result<Bytes, ReadError> {
        let body = match self.replace(State::GivenUp) {
            State::Unread(body) => body,
            before => {
                self.replace(before);
                return Ok(Bytes::new());
            }
        };
        let mut body = body;
        match tokio::time::timeout(time_max, collect(&mut body, bytes_max)).await {
            Ok(Ok(Some(bytes))) => {
                self.replace(State::Read);
                Ok(bytes)
            }
            Ok(Ok(None)) => {
                self.replace(State::Unread(body));
                Err(ReadError::TooLarge)
            }
            Ok(Err(error)) => Err(ReadError::Broken(error.into())),
            Err(_elapsed) => Err(ReadError::Late),
        }
    }

    /// Throws away what is left. False when bytes may still come: the connection cannot be used any more.
    pub(super) async fn drain(&self) -> bool {
        let mut body = match self.replace(State::Read) {
            State::Read => return true,
            State::GivenUp => return false,
            State::Unread(body) => body,
        };
        let announced = http_body::Body::size_hint(&body).lower();
        if announced > DRAIN_BYTES_MAX as u64 {
            return false;
        }
        let all = async {
            let mut bytes = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > DRAIN_BYTES_MAX {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(DRAIN_TIMEOUT, all).await.unwrap_or(false)
    }
}

/// All bytes of a body; none when it is larger than `bytes_max`, whether it says so beforehand or not.
async fn collect(body: &mut Body, bytes_max: usize) -> Result<Option<Bytes>, axum::Error> {
    if http_body::Body::size_hint(body).lower() > bytes_max as u64 {
        return Ok(None);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are of no use to us.
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_read_is_drained_within_limits() {
        assert!(RequestBody::new(Body::empty()).drain().await);
        assert!(RequestBody::new(Body::from("left")).drain().await);
        assert!(!RequestBody::new(Body::from(vec![0; DRAIN_BYTES_MAX + 1])).drain().await);
    }

    #[tokio::test]
    async fn what_is_left_of_a_body_too_large_is_drained() {
        let pieces = futures::stream::iter(["too", " ", "long"].map(Ok::<_, std::io::Error>));
        for body in [Body::from("too long"), Body::from_stream(pieces)] {
            let body = RequestBody::new(body);
            let read = body.read(3, Duration::from_secs(5)).await;
            assert!(matches!(read, Err(ReadError::TooLarge)));
            assert!(body.drain().await);
        }
    }

    #[tokio::test]
    async fn a_body_that_was_given_up_ends_the_connection() {
        let body = RequestBody::new(Body::from_stream(futures::stream::pending::<
            Result<Bytes, std::io::Error>,
        >()));
        let read = body.read(3, Duration::from_millis(1)).await;
        assert!(matches!(read, Err(ReadError::Late)));
        assert!(!body.drain().await);
    }

    #[tokio::test]
    async fn a_body_is_read_once() {
        let body = RequestBody::new(Body::from("all"));
        assert_eq!(body.read(3, Duration::from_secs(5)).await.ok().unwrap(), "all");
        assert_eq!(body.clone().read(3, Duration::from_secs(5)).await.ok().unwrap(), "");
        assert!(body.drain().await);
    }
}

//! Spans of phases and workers, which say of themselves when they have failed.

use std::future::Future;

use tracing::{Instrument as _, Span};

/// A span at level INFO, with the field by which traces know what has failed.
macro_rules! span {
    ($name:literal $(, $($fields:tt)+)?) => {
        tracing::info_span!($name, otel.status_code = tracing::field::Empty $(, $($fields)+)?)
    };
}

pub(crate) use span;

/// Work that ends well or with an error.
pub(crate) trait Traced<T, E>: Future<Output = Result<T, E>> + Sized {
    /// Runs it within a span of [`span`], which is marked as failed if the work fails. What is dropped before its end is not.
    fn traced(self, span: Span) -> impl Future<Output = Result<T, E>> {
        // Boxed at once: the work would be a part of this future twice.
        let work = Box::pin(self.instrument(span.clone()));
        async move {
            let done = work.await;
            if done.is_err() {
                span.record("otel.status_code", "ERROR");
            }
            done
        }
    }
}

impl<F, T, E> Traced<T, E> for F where F: Future<Output = Result<T, E>> {}

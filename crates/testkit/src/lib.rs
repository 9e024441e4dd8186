//! What tests share: throwaway PostgreSQL servers, object stores that fail or take notes, a network that can be cut.
//!
//! For tests only, and it knows none of our other crates: a test kit that used the code under test would prove
//! nothing. What it starts ends with the value that stands for it, or with the test process, whichever is first.
//! Everything listens on 127.0.0.1 on a free port, so tests run side by side.

mod chaos_proxy;
mod faulty_store;
mod object_storage;
mod postgres;
mod recording_store;
mod wait;

pub use chaos_proxy::ChaosProxy;
pub use faulty_store::{FailingStore, Fault, StoreOperation};
pub use object_storage::{ObjectStorage, ObjectStorageKind};
pub use postgres::{PostgresOptions, PostgresServer, Shutdown, has_major, sample_path};
pub use recording_store::{RecordedCall, RecordingStore};
pub use wait::wait_until;

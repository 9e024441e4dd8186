//! The service: resources, authorization, durable operations, jobs, and the HTTP interface.
//!
//! Layers, outermost first, each knowing only those below it:
//!
//! | module | duty | may not |
//! |---|---|---|
//! | `http` | decode, call `app`, encode | decide, name SQL |
//! | `app` | validate, authorize, begin operations | know HTTP |
//! | `operations`, `background` | run what was begun; start what is due | be called by `http` |
//! | `policy` | what a policy means: pure functions | know any of the others |
//! | `authz`, `identity` | who is calling, and what they may do | know resources' meaning |
//! | `audit` | what was done, by whom, in a chain that can be verified | know resources' meaning |
//! | `db` | the metadata store | know any of the above |
//!
//! # Invariants
//!
//! * A successful answer to a write is given after the write is durable.
//! * Authorization comes before any look-up whose answer would tell that something exists.
//! * No truth lives in memory only: what a restart must know is in `db`.
//! * Only `config` reads the environment, only `clock` reads the time, only `http` knows status codes.

pub mod admin;
pub mod app;
pub mod audit;
pub mod authz;
pub mod background;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod http;
pub mod identity;
pub mod key_rotation;
pub mod lease;
pub mod operations;
mod pin;
pub mod policy;
pub mod service;
mod telemetry;
mod trace;

pub use app::App;
pub use clock::Clock;
pub use config::{Config, StorageConfig};
pub use error::{Error, ErrorKind, InnerError};
pub use service::Service;

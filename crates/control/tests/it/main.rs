//! Integration tests: a real service in this process, driven over HTTPS.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod audit;
mod authorization;
mod bootstrap;
mod dataprotection;
mod federation;
mod harness;
mod matrix;
mod metadata;
mod neighbours;
mod protection;
mod requests;
mod resource_group;
mod restart;
mod rust_client;
mod tokens;

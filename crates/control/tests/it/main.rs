//! Integration tests: a real service in this process, driven over HTTPS.

mod authorization;
mod bootstrap;
mod harness;
mod metadata;
mod requests;
mod resource_group;
mod restart;
mod tokens;

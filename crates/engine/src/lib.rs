//! A PostgreSQL database, consistently and in parallel, into a manifest and back.
//!
//! This crate knows PostgreSQL and the store. It may not know Azure, HTTP or the metadata database.

pub mod manifest;

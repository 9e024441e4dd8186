//! The store as its callers see it, on a real directory and in memory, with faults and races injected.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod backup;
mod collection;
mod collection_races;
mod crash;
mod damage;
mod destroy;
mod full_disk;
mod healing;
mod keys;
mod lease_recovery;
mod leases;
mod lock;
mod lock_azure;
mod old_repositories;
mod pins;
mod remote;
mod replication;
mod rotation;
mod support;
mod two_processes;
mod verification;

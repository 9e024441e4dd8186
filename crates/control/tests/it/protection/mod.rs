//! The data plane over REST, against a real PostgreSQL server.

mod alerts;
mod deletion;
mod estate;
mod lifecycle;
mod locked_vault;
mod parts;
mod resumption;
mod schedule;
mod traces;
mod upkeep;
mod validate;

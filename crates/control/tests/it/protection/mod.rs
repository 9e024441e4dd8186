//! The data plane over REST, against a real PostgreSQL server.

mod deletion;
mod estate;
mod lifecycle;
mod resumption;
mod validate;

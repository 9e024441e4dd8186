//! The binary as its users meet it: whole commands, exit codes, files and signals.

mod audit;
mod collector;
mod command;
mod maintenance;
mod operator;
mod remote_storage;
mod rescue;
mod serve;
mod traces;
mod usage;

//! The engine against real PostgreSQL servers.

mod backup_contents;
mod backup_failures;
mod backup_left_out;
mod backup_locks;
mod backup_privileges;
mod backup_races;
mod backup_repeated;
mod backup_reports;
mod backup_standby;
mod backup_writers;
mod check;
mod garbage;
mod large_rows;
mod large_rows_random;
mod restore_across;
mod restore_database;
mod restore_files;
mod restore_parts;
mod restore_refusals;
mod restore_support;
mod round_trips;
mod support;
mod tablespaces;
mod torture;
mod verify;
mod versions;

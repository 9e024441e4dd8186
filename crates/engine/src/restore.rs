//! Restoring a recovery point as a database.

//! Restoring a recovery point as files.

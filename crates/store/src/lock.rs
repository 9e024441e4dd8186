//! Locks of the storage itself: what is locked there, nobody deletes or overwrites before its time, whatever credentials
//! he has (`docs/storage.md`).
//!
//! S3 calls it Object Lock, Azure an immutability policy on a version. Both hold a *version* of an object: a deletion only
//! hides it, and what is put in its place is another version beside it. This crate writes every object once, so that the
//! oldest version of a name is the one that counts.
//!
//! A recovery point is locked after it was sealed, from the packs to the manifest: where a manifest is locked, everything
//! that it needs is. Packs are shared with older recovery points, so that their locks are prolonged; no lock is ever made
//! shorter or weaker here, and none is taken away.
//!
//! What may not be done here: lock what has to be deleted in time (leases, pins, lists of collections).

mod azure;
mod recovery_point;
mod request;
mod s3;
mod undelete;

use std::fmt;

use async_trait::async_trait;
use object_store::path::Path;

pub(crate) use self::{azure::AzureLock, s3::S3Lock};
pub use self::{
    recovery_point::{LockReport, Locking},
    undelete::{HiddenBy, HiddenObject},
};
use crate::error::Result;

/// How firmly an object is held. The order is that of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Whoever has the storage's special right may take it away: S3's `GOVERNANCE`, Azure's `unlocked`.
    Unlocked,
    /// Nobody takes it away or makes it shorter, the account's owner included: S3's `COMPLIANCE`, Azure's `locked`.
    Locked,
}

/// The lock of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionLock {
    /// How firmly.
    pub mode: LockMode,
    /// Until when, in milliseconds since 1970. Storages know seconds; a part of one is rounded up.
    pub until_ms: u64,
}

impl RetentionLock {
    /// Whether an object with this lock is held at least as firmly and as long as by the other.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.mode >= other.mode && self.until_s() >= other.until_s()
    }

    /// The weakest lock that covers both.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self { mode: self.mode.max(other.mode), until_ms: self.until_ms.max(other.until_ms) }
    }

    /// Seconds since 1970, rounded up.
    fn until_s(&self) -> u64 {
        self.until_ms.div_ceil(1000)
    }

    fn until(&self) -> Result<jiff::Timestamp> {
        i64::try_from(self.until_s())
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .ok_or_else(|| crate::Error::invalid("a lock beyond the year 9999"))
    }
}

/// A storage that can lock objects. Both calls are for objects that are there, and may be repeated.
#[async_trait]
pub trait ObjectLock: fmt::Debug + fmt::Display + Send + Sync {
    /// Fails unless the storage is set up so that locks hold.
    ///
    /// # Errors
    /// [`crate::Error::LockUnavailable`] with what has to be set up; [`crate::Error::Storage`].
    async fn check(&self) -> Result<()>;

    /// The lock of the object, if it has one.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] if there is no such object; [`crate::Error::LockUnavailable`]; [`crate::Error::Storage`].
    async fn get(&self, path: &Path) -> Result<Option<RetentionLock>>;

    /// Locks the object, or changes its lock to a longer or stronger one.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn set(&self, path: &Path, lock: &RetentionLock) -> Result<()>;

    /// Brings back every object of the location that is locked and hidden by a deletion or by something written over it, or
    /// with `look_only` only tells of them, one after the other. `now_ms` is milliseconds since 1970. May be repeated.
    ///
    /// # Errors
    /// [`crate::Error::LockUnavailable`], also where this is left to the storage's own tools; [`crate::Error::Storage`].
    async fn undelete(
        &self,
        now_ms: u64,
        look_only: bool,
        tell: &mut (dyn FnMut(HiddenObject) + Send),
    ) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_only_ever_prolonged_and_strengthened() {
        let lock = |mode, until_ms| RetentionLock { mode, until_ms };
        let (weak, firm) = (LockMode::Unlocked, LockMode::Locked);
        let cases = [
            // there, wanted, covered, merged
            (lock(weak, 5000), lock(weak, 5000), true, lock(weak, 5000)),
            (lock(weak, 5000), lock(weak, 5001), false, lock(weak, 5001)),
            (lock(weak, 5000), lock(firm, 4000), false, lock(firm, 5000)),
            (lock(firm, 5000), lock(weak, 4000), true, lock(firm, 5000)),
            (lock(firm, 5000), lock(weak, 9000), false, lock(firm, 9000)),
            // A storage that knows seconds only gives back what it rounded to.
            (lock(firm, 6000), lock(firm, 5001), true, lock(firm, 6000)),
        ];
        for (there, wanted, covered, merged) in cases {
            assert_eq!(there.covers(&wanted), covered, "{there:?} {wanted:?}");
            assert_eq!(there.merged(&wanted), merged, "{there:?} {wanted:?}");
            assert!(there.merged(&wanted).covers(&there) && there.merged(&wanted).covers(&wanted));
        }
    }

    #[test]
    fn a_time_is_rounded_up_and_has_to_be_one() {
        let lock = |until_ms| RetentionLock { mode: LockMode::Locked, until_ms };
        assert_eq!(lock(1001).until().unwrap().as_second(), 2);
        assert_eq!(lock(2000).until().unwrap().as_second(), 2);
        assert!(lock(u64::MAX).until().is_err());
    }
}

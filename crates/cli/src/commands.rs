//! One module per verb.

pub(crate) mod audit;
#[cfg(debug_assertions)]
pub(crate) mod crash_points;
pub(crate) mod key;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod rescue;
pub(crate) mod serve;
pub(crate) mod subscription;

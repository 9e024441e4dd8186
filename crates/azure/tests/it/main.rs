//! The types against Azure's published examples and against recorded answers of the real service.
//!
//! Both are read in place, from the directory that `COFFER_SHARED_DIR` names (else `../shared`
//! beside the repository); where it is absent the tests say so and pass.

// `cfg(test)` tells clippy that helpers, too, are tests.
#[cfg(test)]
mod examples;
#[cfg(test)]
mod material;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod recordings;
#[cfg(test)]
mod vocabulary;

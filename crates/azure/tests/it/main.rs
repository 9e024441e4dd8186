//! The types against Azure's published examples and against recorded answers of the real service.
//!
//! Both are read in place, from the directory that `COFFER_SHARED_DIR` names (else `../shared`
//! beside the repository); where it is absent the tests say so and pass.

mod examples;
mod material;
mod recordings;
mod vocabulary;

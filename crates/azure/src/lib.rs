//! The wire types of ARM and of `Microsoft.DataProtection`, and nothing else.
//!
//! A type is named as in the `definitions` of Azure's published specification, and its file is that
//! name in snake case, so that a search for the one finds the other. Members are written in the
//! order, with the nulls and in the casing of the real service's answers, which differ from the
//! specification in places; what is read is read leniently ([`decode`]).
//!
//! This crate holds data without behaviour: no I/O, no clock, no validation beyond the types, and no
//! other crate of Coffer.

pub mod api_version;
pub mod cloud_error;
pub mod decode;
pub mod duration;
pub mod resource_id;
pub mod user_facing_error;

pub use api_version::{ApiVersion, ApiVersionError};
pub use cloud_error::{CloudError, Error, ErrorAdditionalInfo};
pub use decode::{DecodeError, decode, decode_value};
pub use resource_id::{ResourceId, ResourceIdError};
pub use user_facing_error::{InnerError, UserFacingError};

//! The HTTP interface: decode, call `app`, encode. No SQL and no decisions here.
//!
//! A request goes through `server` (limits, ids, panics), `route` (which of our faces is asked: ARM, a key vault's data
//! plane, tokens, metadata, health), `face` (authentication, api-version), and one `dispatch` of a resource provider. Each provider gets an
//! [`ArmRequest`] and the [`ProviderScope`] that its path stands in, and returns an [`ArmResponse`] or an
//! [`Error`](crate::Error).

mod authenticate;
mod body;
pub mod dataprotection;
mod error;
mod face;
mod filter;
pub mod key_vault;
pub mod long_running;
mod metadata;
mod neighbour;
mod oauth;
pub mod postgres_server;
pub mod request;
mod resource_group;
pub mod response;
pub mod role_assignment;
pub mod role_definition;
mod route;
pub mod scope;
pub mod secret;
pub(crate) mod server;
pub mod storage_account;
mod subscription;

pub use face::{method_not_allowed, unknown_type};
pub use request::{ArmRequest, Query};
pub use response::ArmResponse;
pub use route::table::{Access, ROUTES, RouteRow};
pub use scope::ProviderScope;

//! What the service does, one file a noun: validate, authorize, change the store, begin operations.
//!
//! [`App`] is what everything shares. It is made once by `service` and handed around as `Arc<App>`.
//!
//! # Invariants
//!
//! * Functions here get a [`Caller`] and authorize it themselves before they look anything up.
//! * What a request changes is begun with its caller ([`App::begin`]), so that the audit log has it.
//! * Nothing here knows HTTP; nothing here holds a transaction while it waits for a network.

pub mod alert;
pub mod dataprotection;
pub mod key_vault;
pub mod location;
pub mod postgres_server;
mod principal;
mod registration;
pub mod resource_group;
pub mod role_assignment;
pub mod role_definition;
pub mod secret;
pub mod storage_account;
pub mod subscription;
pub(crate) mod user_facing_error;
pub mod vault_storage;

use coffer_store::MasterKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::background::DutiesHandle;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::identity::Identity;
use crate::operations::ExecutorHandle;
use crate::telemetry::Gauges;

pub use crate::identity::Caller;

/// What every request, operation and background duty shares.
pub struct App {
    /// As read at the start; never changes.
    pub config: Config,
    /// The metadata store.
    pub db: Db,
    /// The only source of the time.
    pub clock: Clock,
    /// Wraps everything secret that is kept.
    pub master_key: MasterKey,
    /// Who we are: tenant, endpoint, signing keys.
    pub identity: Identity,
    /// Writes down who did what.
    pub audit: Audit,
    /// Names this process among those that share the metadata store.
    pub node_name: String,
    /// Wakes the executor of operations.
    pub executor: ExecutorHandle,
    /// Wakes the duties that no request runs.
    pub duties: DutiesHandle,
    /// Every task outside a request is spawned here, so that the end of the service can wait for it.
    pub tasks: TaskTracker,
    /// Cancelled when the service is asked to stop: finish the step at hand, begin nothing new.
    pub stopping: CancellationToken,
    /// What the metadata tells, for `/metrics`.
    pub gauges: Gauges,
    pub(crate) storages: vault_storage::OpenStorages,
    /// Key vaults of Azure itself, where any are configured.
    pub(crate) azure_key_vaults: Option<secret::azure::AzureKeyVaults>,
}

impl App {
    /// `https://host:port` as clients reach us, without a trailing slash: the base of every absolute URL in an answer.
    pub fn endpoint(&self) -> &str {
        &self.identity.endpoint
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("endpoint", &self.identity.endpoint).finish_non_exhaustive()
    }
}

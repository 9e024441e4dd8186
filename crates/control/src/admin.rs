//! Break-glass: principals, subscriptions and vault keys, changed on the data directory itself.
//!
//! Whoever can read the data directory and its master key is the operator; nobody is asked for a token here. It works
//! beside a running service: both see the same metadata at once. What is changed is in the audit log, in the same transaction.

mod audit_log;
mod explain;

use coffer_azure::ResourceId;
use coffer_store::MasterKey;
use uuid::Uuid;

use crate::app::dataprotection::VAULT_KIND;
use crate::app::dataprotection::state::{VaultState, read_state};
use crate::app::role_definition::find_by_name_or_id;
use crate::audit::{Audit, Outcome, Trail};
use crate::authz::Role;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::principal::{self, Principal};
use crate::db::resource::{SUBSCRIPTION_KIND, subscription_not_found};
use crate::db::role_assignment::{self, RoleAssignment};
use crate::db::{Db, Page, Resource, Tx, resource_exists, resource_list_all};
use crate::error::Error;
use crate::identity::bootstrap::{self, BOOTSTRAP_ROLES};
use crate::identity::principal::{
    NewApplication, create_application, create_federated, generate_secret, random_id,
};
use crate::key_rotation::{RotatedVault, rotate_vault};

pub use self::audit_log::AuditedRow;
pub use self::explain::ExplainedInstance;

/// Longest name of a principal or subscription.
const NAME_CHARS_MAX: usize = 120;
/// Longest name that another issuer has for somebody.
const SUBJECT_CHARS_MAX: usize = 255;

/// An opened installation.
#[derive(Debug)]
pub struct Admin {
    config: Config,
    db: Db,
    master_key: MasterKey,
    clock: Clock,
    audit: Audit,
}

/// A role to be given with a new principal.
#[derive(Clone, Debug)]
pub struct RoleGrant {
    /// A role's name or id.
    pub role: String,
    /// Where: `/`, a subscription, a group, a resource.
    pub scope: String,
}

/// A principal and what it was given.
#[derive(Clone, Debug)]
pub struct PrincipalInfo {
    /// As stored.
    pub principal: Principal,
    /// At any scope.
    pub roles: Vec<RoleAssignment>,
}

/// What became of one vault's keys.
#[derive(Clone, Debug)]
pub struct VaultRotation {
    /// The vault.
    pub vault: ResourceId,
    /// What was done, or why nothing was.
    pub outcome: Result<RotatedVault, String>,
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionInfo {
    /// A GUID.
    pub id: String,
    /// For people.
    pub display_name: String,
}

impl Admin {
    /// Opens an installation that a service has been started on before.
    ///
    /// # Errors
    /// There is none; its metadata or its master key cannot be read.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        if !config.database_file.exists() {
            return Err(Error::start_failed(
                format!(
                    "There is no metadata database {}: `coffer serve` has to be started once first.",
                    config.database_file.display()
                ),
                "no metadata database",
            ));
        }
        let master_key = bootstrap::master_key(config, false)?;
        let db = Db::open(&config.database_file).await?;
        let mut tx = db.begin().await?;
        let audit = Audit::new(crate::audit::key::load_or_create(&mut tx, &master_key).await?);
        tx.commit().await?;
        Ok(Self { config: config.clone(), db, master_key, clock: Clock::system(), audit })
    }

    /// Makes a principal with a secret, and gives it roles.
    ///
    /// # Errors
    /// The name is not possible, a role or a scope does not exist.
    pub async fn principal_create(
        &self,
        display_name: &str,
        grants: &[RoleGrant],
    ) -> Result<NewApplication, Error> {
        check_name(display_name)?;
        let secret = generate_secret().await?;
        let now_us = self.clock.now_us();
        let trail = self.trail();
        let mut tx = self.audit.begin(&self.db, &trail).await?;
        let principal = create_application(&mut tx, display_name, &secret, now_us).await?;
        trail.allowed("Coffer/principals/create/action", &principal.id);
        give(&mut tx, &principal, grants, now_us).await?;
        tx.commit().await?;
        Ok(NewApplication { principal, secret: secret.secret })
    }

    /// Makes a principal for one of whom another issuer tells, and gives it roles.
    ///
    /// # Errors
    /// The issuer is not configured; there is one for this subject; the name is not possible; a role or a scope does not exist.
    pub async fn principal_create_federated(
        &self,
        display_name: &str,
        issuer: &str,
        subject: &str,
        grants: &[RoleGrant],
    ) -> Result<Principal, Error> {
        check_name(display_name)?;
        if !self.config.issuers.iter().any(|known| known.issuer == issuer) {
            return Err(Error::invalid(
                "IssuerNotConfigured",
                format!(
                    "The issuer {issuer} is not among identity.issuers of the configuration (--config)."
                ),
            ));
        }
        if subject.trim().is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX {
            return Err(Error::invalid(
                "InvalidSubject",
                format!("A subject has 1 to {SUBJECT_CHARS_MAX} characters."),
            ));
        }
        let now_us = self.clock.now_us();
        let trail = self.trail();
        let mut tx = self.audit.begin(&self.db, &trail).await?;
        let principal = create_federated(&mut tx, display_name, issuer, subject, now_us).await?;
        trail.allowed("Coffer/principals/create/action", &principal.id);
        give(&mut tx, &principal, grants, now_us).await?;
        tx.commit().await?;
        Ok(principal)
    }

    /// Gives a principal (by object id or client id) a new secret; the old one is void at once. The bootstrap
    /// principal's is in `client.env` after the service's next start.
    ///
    /// # Errors
    /// There is no such application.
    pub async fn principal_rotate(&self, id: &str) -> Result<NewApplication, Error> {
        let secret = generate_secret().await?;
        let trail = self.trail();
        let mut tx = self.audit.begin(&self.db, &trail).await?;
        let principal = find(&mut tx, id).await?;
        trail.allowed("Coffer/principals/rotate/action", &principal.id);
        if principal.kind != principal::PrincipalKind::Application {
            return Err(Error::invalid(
                "PrincipalHasNoSecret",
                format!(
                    "'{}' is the identity of a vault, or comes with tokens of another issuer, and has no secret here.",
                    principal.display_name
                ),
            ));
        }
        principal::secret_replace(
            &mut tx,
            &principal.id,
            &random_id(),
            &secret.hash,
            self.clock.now_us(),
        )
        .await?;
        bootstrap::secret_rotated(&mut tx, &self.master_key, &principal.id, &secret.secret).await?;
        tx.commit().await?;
        Ok(NewApplication { principal, secret: secret.secret })
    }

    /// Deletes a principal (by object id or client id) with its roles; its tokens are void at once.
    ///
    /// # Errors
    /// There is none, it is the bootstrap principal, or the identity of a vault.
    pub async fn principal_delete(&self, id: &str) -> Result<(), Error> {
        let trail = self.trail();
        let mut tx = self.audit.begin(&self.db, &trail).await?;
        let principal = find(&mut tx, id).await?;
        trail.allowed("Coffer/principals/delete", &principal.id);
        if principal.kind == principal::PrincipalKind::Managed {
            return Err(Error::conflict(
                "PrincipalIsManaged",
                format!(
                    "'{}' is the identity of a vault and goes with it.",
                    principal.display_name
                ),
            ));
        }
        if bootstrap::is_bootstrap(&mut tx, &principal.id).await? {
            return Err(Error::conflict(
                "PrincipalIsBootstrap",
                "The bootstrap principal cannot be deleted. Give it a new secret instead, or take its roles away.",
            ));
        }
        principal::delete(&mut tx, &principal.id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// All principals with their roles, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn principal_list(&self) -> Result<Vec<PrincipalInfo>, Error> {
        let mut out = Vec::new();
        for principal in principal::list(self.db.read()).await? {
            let roles = role_assignment::list_for_principal(self.db.read(), &principal.id).await?;
            out.push(PrincipalInfo { principal, roles });
        }
        Ok(out)
    }

    /// Makes a subscription, with the given id or a new one. The bootstrap principal becomes its Owner, as it is the
    /// default subscription's.
    ///
    /// # Errors
    /// The id is no GUID or taken, or the name is not possible.
    pub async fn subscription_create(
        &self,
        display_name: &str,
        id: Option<&str>,
    ) -> Result<SubscriptionInfo, Error> {
        check_name(display_name)?;
        let id = match id {
            Some(id) => Uuid::try_parse(id)
                .map_err(|source| {
                    Error::invalid("InvalidSubscriptionId", "A subscription's id is a GUID.")
                        .with_source(source)
                })?
                .to_string(),
            None => random_id(),
        };
        let now_us = self.clock.now_us();
        let trail = self.trail();
        trail.allowed("Coffer/subscriptions/create/action", ResourceId::subscription(&id).as_str());
        let mut tx = self.audit.begin(&self.db, &trail).await?;
        if !bootstrap::subscription_require(&mut tx, &id, display_name, now_us).await? {
            return Err(Error::conflict(
                "SubscriptionExists",
                format!("The subscription {id} exists already."),
            ));
        }
        if let Some(principal_id) = bootstrap::bootstrap_principal_id(&mut tx).await? {
            let scope = ResourceId::subscription(&id);
            for role in BOOTSTRAP_ROLES {
                bootstrap::assign(&mut tx, &scope, role, &principal_id, now_us).await?;
            }
        }
        tx.commit().await?;
        Ok(SubscriptionInfo { id, display_name: display_name.to_owned() })
    }

    /// All subscriptions.
    ///
    /// # Errors
    /// The database fails.
    pub async fn subscription_list(&self) -> Result<Vec<SubscriptionInfo>, Error> {
        let mut out = Vec::new();
        let mut page = Page::default();
        loop {
            let part = resource_list_all(self.db.read(), SUBSCRIPTION_KIND, &page).await?;
            out.extend(part.items.iter().map(|subscription| SubscriptionInfo {
                id: subscription.id.name().to_owned(),
                display_name:
                    subscription.body["displayName"].as_str().unwrap_or_default().to_owned(),
            }));
            match part.next {
                Some(next) => page.after = Some(next),
                None => return Ok(out),
            }
        }
    }

    /// Gives every vault a new key, by which its repositories' data keys are wrapped from then on. What is stored stays as it
    /// is. A vault that fails keeps no other from its turn, and can be done again.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keys_rotate(&self) -> Result<Vec<VaultRotation>, Error> {
        let mut out = Vec::new();
        let mut page = Page::default();
        loop {
            let part = resource_list_all(self.db.read(), VAULT_KIND, &page).await?;
            for vault in &part.items {
                let outcome = self.rotate(vault).await.map_err(|error| error.chain());
                let trail = self.trail();
                trail.allowed("Coffer/vaultKeys/rotate/action", vault.id.as_str());
                let is_done = outcome.as_ref().is_ok_and(|rotated| rotated.failed.is_empty());
                let ended = if is_done { Outcome::Succeeded } else { Outcome::Failed };
                self.audit.write(&self.db, &trail, ended).await?;
                out.push(VaultRotation { vault: vault.id.clone(), outcome });
            }
            match part.next {
                Some(next) => page.after = Some(next),
                None => return Ok(out),
            }
        }
    }

    async fn rotate(&self, vault: &Resource) -> Result<RotatedVault, Error> {
        let state: VaultState = read_state(&vault.body)?;
        let location = vault.body["location"].as_str().unwrap_or_default();
        let location = self.config.storage_location(location).map_err(Error::internal)?;
        let storage = location.open().map_err(Error::internal)?;
        let mut rotated = rotate_vault(storage.store(), state.vault_guid, &self.master_key)
            .await
            .map_err(Error::internal)?;
        if let Some(region) = &state.second_region {
            let there = self.rotate_second(region, state.vault_guid).await;
            let failed = there.map_or_else(|error| vec![error.chain()], |there| there.failed);
            rotated.failed.extend(failed.into_iter().map(|error| format!("{region}: {error}")));
        }
        Ok(rotated)
    }

    /// The second region has vault keys of its own.
    async fn rotate_second(&self, region: &str, vault: Uuid) -> Result<RotatedVault, Error> {
        self.config.storage_of_pair(region).map_err(Error::internal)?;
        let location = self.config.storage_location(region).map_err(Error::internal)?;
        let storage = location.open().map_err(Error::internal)?;
        rotate_vault(storage.store(), vault, &self.master_key).await.map_err(Error::internal)
    }

    /// What the audit log will say of a verb.
    fn trail(&self) -> Trail {
        Trail::of_operator(&self.clock, audit_log::user_id())
    }

    /// Closes the metadata.
    pub async fn close(self) {
        self.db.close().await;
    }
}

async fn give(
    tx: &mut Tx,
    principal: &Principal,
    grants: &[RoleGrant],
    now_us: i64,
) -> Result<(), Error> {
    for grant in grants {
        let role = find_by_name_or_id(tx, &grant.role).await?.ok_or_else(|| {
            Error::invalid(
                "RoleDefinitionDoesNotExist",
                format!("There is no role '{}'.", grant.role),
            )
        })?;
        let scope = scope_require(tx, &grant.scope).await?;
        check_assignable(&role, &scope)?;
        bootstrap::assign(tx, &scope, role.id(), &principal.id, now_us).await?;
    }
    Ok(())
}

async fn find(tx: &mut Tx, id: &str) -> Result<Principal, Error> {
    if let Some(found) = principal::get(&mut **tx, id).await? {
        return Ok(found);
    }
    principal::get_by_application(&mut **tx, id).await?.ok_or_else(|| {
        Error::not_found("PrincipalNotFound", format!("There is no principal '{id}'."))
    })
}

/// A scope whose subscription exists; what is below it may come later.
async fn scope_require(tx: &mut Tx, scope: &str) -> Result<ResourceId, Error> {
    let scope = ResourceId::parse(scope).map_err(|source| {
        Error::invalid("InvalidScope", format!("'{scope}' is not a scope.")).with_source(source)
    })?;
    if let Some(subscription) = scope.subscription_id()
        && !resource_exists(&mut **tx, &ResourceId::subscription(subscription)).await?
    {
        return Err(subscription_not_found(subscription));
    }
    Ok(scope)
}

/// A role of one's own is given only within the scopes that it was made for.
fn check_assignable(role: &Role, scope: &ResourceId) -> Result<(), Error> {
    match role {
        Role::Custom(custom) if !custom.assignable_scopes.iter().any(|at| scope.is_within(at)) => {
            Err(Error::invalid(
                "RoleAssignmentScopeNotAssignableToRoleDefinition",
                format!("The role '{}' cannot be given at '{scope}'.", custom.name),
            ))
        }
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = !name.trim().is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        "InvalidName",
        format!("A name has 1 to {NAME_CHARS_MAX} printable characters."),
    ))
}

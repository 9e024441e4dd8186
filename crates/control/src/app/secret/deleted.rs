//! Deleted secrets: listed, recovered, purged, and in the end gone by themselves.
//!
//! A deleted secret keeps its versions, sealed, until it is purged; no request and no run reads its value so long. Under purge
//! protection nobody may end that time early. Role assignments at the secret go with the purge, so that a recovered secret is
//! what it was. Secrets cannot be backed up: a copy that opens in another key vault would be beyond the roles of this one.

use coffer_azure::ResourceId;
use coffer_azure::key_vault::{DeletedSecretBundle, SecretBundle};

use super::{READ_METADATA, name_is_deleted, not_found, page_rows};
use crate::app::key_vault::KeyVaultRecovery;
use crate::app::{App, Caller};
use crate::clock::SECOND_US;
use crate::db::deleted_secret::{self, DeletedSecret};
use crate::db::secret as rows;
use crate::db::{Paged, role_assignment};
use crate::error::{Error, ErrorKind};

const DELETE: &str = "Microsoft.KeyVault/vaults/secrets/delete";
const RECOVER: &str = "Microsoft.KeyVault/vaults/secrets/recover/action";
const PURGE: &str = "Microsoft.KeyVault/vaults/secrets/purge/action";
const BACKUP: &str = "Microsoft.KeyVault/vaults/secrets/backup/action";
const RESTORE: &str = "Microsoft.KeyVault/vaults/secrets/restore/action";

const DAY_US: i64 = 86_400 * SECOND_US;

impl App {
    /// Deletes a secret with all its versions. It can be recovered for as many days as its key vault says.
    ///
    /// # Errors
    /// The caller may not, or `SecretNotFound`.
    pub async fn secret_delete(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
    ) -> Result<DeletedSecretBundle, Error> {
        self.secret_authorize(caller, DELETE, vault, Some(name)).await?;
        let now_us = self.clock.now_us();
        let mut tx = self.begin(caller).await?;
        let found = rows::get(&mut *tx, vault, name, None).await?;
        let secret = found.ok_or_else(|| not_found(name, None))?;
        let recovery = self.secret_recovery(&mut *tx, vault).await?;
        let purge_us = now_us.saturating_add(recovery.days.saturating_mul(DAY_US));
        deleted_secret::insert(&mut tx, vault, name, now_us, purge_us).await?;
        tx.commit().await?;
        let deleted = DeletedSecret { secret, deleted_us: now_us, purge_us };
        self.deleted_shown(vault, recovery, &deleted, true)
    }

    /// A deleted secret, without its value.
    ///
    /// # Errors
    /// The caller may not, or no deleted secret has the name.
    pub async fn secret_get_deleted(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
    ) -> Result<DeletedSecretBundle, Error> {
        self.secret_authorize(caller, READ_METADATA, vault, Some(name)).await?;
        let found = deleted_secret::get(self.db.read(), vault, name).await?;
        let found = found.ok_or_else(|| deleted_not_found(name))?;
        let recovery = self.secret_recovery(self.db.read(), vault).await?;
        self.deleted_shown(vault, recovery, &found, true)
    }

    /// The deleted secrets of a key vault, by name. `after` is where the last page ended.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn secret_list_deleted(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        after: &str,
        rows_max: u32,
    ) -> Result<Paged<DeletedSecretBundle>, Error> {
        self.secret_authorize(caller, READ_METADATA, vault, None).await?;
        let found = deleted_secret::list(self.db.read(), vault, after, page_rows(rows_max)).await?;
        let recovery = self.secret_recovery(self.db.read(), vault).await?;
        let items =
            found.items.iter().map(|deleted| self.deleted_shown(vault, recovery, deleted, false));
        Ok(Paged { items: items.collect::<Result<_, _>>()?, next: found.next })
    }

    /// Makes a deleted secret what it was, with all its versions.
    ///
    /// # Errors
    /// The caller may not, or no deleted secret has the name.
    pub async fn secret_recover(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
    ) -> Result<SecretBundle, Error> {
        self.secret_authorize(caller, RECOVER, vault, Some(name)).await?;
        let mut tx = self.begin(caller).await?;
        let found = deleted_secret::get(&mut *tx, vault, name).await?;
        let found = found.ok_or_else(|| deleted_not_found(name))?;
        deleted_secret::recover(&mut tx, vault, name).await?;
        let recovery = self.secret_recovery(&mut *tx, vault).await?;
        tx.commit().await?;
        self.shown(vault, recovery, &found.secret, None, true)
    }

    /// Removes a deleted secret for good.
    ///
    /// # Errors
    /// The caller may not; no deleted secret has the name; the key vault has purge protection.
    pub async fn secret_purge(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
    ) -> Result<(), Error> {
        self.secret_authorize(caller, PURGE, vault, Some(name)).await?;
        let mut tx = self.begin(caller).await?;
        if deleted_secret::get(&mut *tx, vault, name).await?.is_none() {
            return Err(deleted_not_found(name));
        }
        let recovery = self.secret_recovery(&mut *tx, vault).await?;
        if recovery.protected {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "Forbidden",
                format!(
                    "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault service \
                     will automatically purge it after the retention period has passed.\r\nVault: {}",
                    vault.name()
                ),
            ));
        }
        rows::purge(&mut tx, vault.key(), name).await?;
        role_assignment::delete_within(&mut tx, &vault.child("secrets", name)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Refuses to hand out a secret as a backup, or to take one.
    ///
    /// # Errors
    /// Always: the caller may not, the secret does not exist, or `NotSupported`.
    pub async fn secret_backup_refused(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: Option<&str>,
    ) -> Result<(), Error> {
        let action = if name.is_some() { BACKUP } else { RESTORE };
        self.secret_authorize(caller, action, vault, name).await?;
        if let Some(name) = name {
            if deleted_secret::get(self.db.read(), vault, name).await?.is_some() {
                return Err(name_is_deleted(name));
            }
            self.secret_row(vault, name, None).await?;
        }
        Err(Error::invalid(
            "NotSupported",
            "Backup and restore of single secrets are not supported by this key vault. A deleted secret can be recovered; the \
             metadata database and the master key together are the copy of all secrets.",
        ))
    }

    fn deleted_shown(
        &self,
        vault: &ResourceId,
        recovery: KeyVaultRecovery,
        deleted: &DeletedSecret,
        with_version: bool,
    ) -> Result<DeletedSecretBundle, Error> {
        Ok(DeletedSecretBundle {
            recovery_id: format!(
                "{}/deletedsecrets/{}",
                self.key_vault_base(vault),
                deleted.secret.name
            ),
            deleted_date: deleted.deleted_us / SECOND_US,
            scheduled_purge_date: deleted.purge_us / SECOND_US,
            secret: self.shown(vault, recovery, &deleted.secret, None, with_version)?,
        })
    }
}

/// A key vault's answer for a deleted secret that does not exist.
fn deleted_not_found(name: &str) -> Error {
    Error::not_found("SecretNotFound", format!("Deleted Secret not found: {name}"))
}

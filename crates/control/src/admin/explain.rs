//! What policies are going to do: the next backups, and what becomes of each recovery point, with the reason.
//!
//! It asks the same pure functions as the service, about the same rows, and changes nothing.

use coffer_azure::ResourceId;

use super::Admin;
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::app::dataprotection::restore::points_in_use;
use crate::app::dataprotection::state::{InstanceState, read_state};
use crate::app::dataprotection::{INSTANCE_KIND, backup_policy, instance_row};
use crate::background::expire_points::{all_points, decide_all, keep_of};
use crate::db::recovery_point::RecoveryPoint;
use crate::db::{Page, Resource, resource_get, resource_list_all};
use crate::error::Error;
use crate::policy::retention::Decision;
use crate::policy::schedule::Schedule;

/// Backups that are foretold of each instance.
const NEXT_BACKUPS: usize = 3;

/// What the policy means for one instance.
#[derive(Clone, Debug)]
pub struct ExplainedInstance {
    /// The instance.
    pub instance: ResourceId,
    /// `currentProtectionState`.
    pub state: &'static str,
    /// Its policy.
    pub policy: ResourceId,
    /// When the next backups are due, in microseconds since 1970; none while no backups are wanted.
    pub next_backups_us: Vec<i64>,
    /// Each recovery point and what becomes of it, newest first.
    pub recovery_points: Vec<(RecoveryPoint, Decision)>,
}

impl Admin {
    /// Explains what would be done at a moment (now where none is given), for one instance or for all.
    ///
    /// # Errors
    /// There is no such instance, or the database fails.
    pub async fn policy_explain(
        &self,
        instance: Option<&str>,
        at_us: Option<i64>,
    ) -> Result<Vec<ExplainedInstance>, Error> {
        let at_us = at_us.unwrap_or_else(|| self.clock.now_us());
        if let Some(id) = instance {
            let not_found = || {
                Error::not_found(
                    "InstanceNotFound",
                    format!(
                        "There is no backup instance '{id}'; give its whole id, as `coffer policy explain` without --instance prints it."
                    ),
                )
            };
            let id = ResourceId::parse(id).map_err(|_| not_found())?;
            let resource = resource_get(self.db.read(), &id).await?.ok_or_else(not_found)?;
            if resource.kind != INSTANCE_KIND {
                return Err(not_found());
            }
            return Ok(vec![self.explain(&resource, at_us).await?]);
        }
        let mut out = Vec::new();
        let mut page = Page::default();
        loop {
            let part = resource_list_all(self.db.read(), INSTANCE_KIND, &page).await?;
            for resource in &part.items {
                out.push(self.explain(resource, at_us).await?);
            }
            match part.next {
                Some(next) => page.after = Some(next),
                None => return Ok(out),
            }
        }
    }

    async fn explain(&self, resource: &Resource, at_us: i64) -> Result<ExplainedInstance, Error> {
        let policy = instance_row::policy_of(resource)?;
        let state = instance_row::state_of(resource);
        let next_backups_us = match state {
            ProtectionState::ProtectionConfigured | ProtectionState::UpdatingProtection => {
                self.next_backups(&policy, at_us).await?
            }
            _ => Vec::new(),
        };
        let repository = read_state::<InstanceState>(&resource.body)?.repository_guid;
        let points = all_points(self.db.read(), repository).await?;
        let in_use = points_in_use(self.db.read(), &resource.id).await?;
        Ok(ExplainedInstance {
            instance: resource.id.clone(),
            state: state.as_str(),
            policy,
            next_backups_us,
            recovery_points: decide_all(points, keep_of(resource), &in_use, at_us),
        })
    }

    async fn next_backups(&self, policy: &ResourceId, at_us: i64) -> Result<Vec<i64>, Error> {
        let Some(policy) = resource_get(self.db.read(), policy).await? else {
            return Ok(Vec::new());
        };
        let schedule = Schedule::of(&backup_policy::read(&policy)?).map_err(Error::internal)?;
        Ok(schedule.upcoming(at_us).take(NEXT_BACKUPS).collect())
    }
}

//! Subscriptions. They are made on the data directory (`coffer subscription create`), not through the API.

use coffer_azure::ResourceId;

use super::{App, Caller};
use crate::authz::authorization_failed;
use crate::db::resource::{SUBSCRIPTION_KIND, subscription_not_found};
use crate::db::{Page, Resource, resource_get, resource_list_all};
use crate::error::Error;

const READ: &str = "Microsoft.Resources/subscriptions/read";

impl App {
    /// The subscriptions in which the caller has any role.
    ///
    /// # Errors
    /// The database fails.
    pub async fn subscription_list(&self, caller: &Caller) -> Result<Vec<Resource>, Error> {
        let grants = self.grants(&caller.principal_id).await?;
        let mut out = Vec::new();
        let mut page = Page::default();
        loop {
            let part = resource_list_all(self.db.read(), SUBSCRIPTION_KIND, &page).await?;
            out.extend(
                part.items.into_iter().filter(|subscription| grants.reach(&subscription.id)),
            );
            match part.next {
                Some(next) => page.after = Some(next),
                None => return Ok(out),
            }
        }
    }

    /// One subscription in which the caller has any role.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) whether it exists or not; `SubscriptionNotFound`.
    pub async fn subscription_get(&self, caller: &Caller, id: &str) -> Result<Resource, Error> {
        let resource_id = ResourceId::subscription(id);
        if !self.grants(&caller.principal_id).await?.reach(&resource_id) {
            return Err(authorization_failed(caller, READ, &resource_id));
        }
        resource_get(self.db.read(), &resource_id).await?.ok_or_else(|| subscription_not_found(id))
    }

    /// One subscription, for a caller who may register a provider in it. Nothing is registered: every provider always is.
    ///
    /// # Errors
    /// The caller may not do `{namespace}/register/action`, or `SubscriptionNotFound`.
    pub async fn provider_register(
        &self,
        caller: &Caller,
        id: &str,
        namespace: &str,
    ) -> Result<Resource, Error> {
        let resource_id = ResourceId::subscription(id);
        self.authorize(caller, &format!("{namespace}/register/action"), &resource_id).await?;
        resource_get(self.db.read(), &resource_id).await?.ok_or_else(|| subscription_not_found(id))
    }
}

//! The backup instances of a resource: of a database, or of the databases of a server, in whatever vaults.

use coffer_azure::ResourceId;

use super::{Call, NAMESPACE, Paged, Resource, instance_row};
use crate::app::App;
use crate::db::resource::PAGE_ROWS_MAX;
use crate::db::{self, Page, datasource_claim};
use crate::error::Error;

/// What the caller needs at the resource, and again at each instance that he is shown.
const ACTION: &str = "backupVaults/backupInstances/read";

/// The instances whose datasource is the resource or lies in it, those left out that the caller may not read where they are.
///
/// # Errors
/// Not allowed; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    resource: &ResourceId,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    call.authorize(app, ACTION, resource).await?;
    let rows_max = match page.rows_max {
        0 => PAGE_ROWS_MAX,
        asked => asked.min(PAGE_ROWS_MAX),
    };
    let after = page.after.as_deref().unwrap_or_default();
    let keys = datasource_claim::instances_within(app.db.read(), resource, after, rows_max).await?;
    let is_last = keys.len() < rows_max as usize;
    let next = keys.last().filter(|_| !is_last).cloned();
    let mut items = Vec::new();
    for key in keys {
        let id = ResourceId::parse(&key).map_err(Error::internal)?;
        let action = format!("{NAMESPACE}/{ACTION}");
        if !app.allows(&call.caller.principal_id, &action, false, &id).await? {
            continue;
        }
        let found = db::resource_get(app.db.read(), &id).await?;
        items.extend(found.filter(instance_row::is_visible));
    }
    Ok(Paged { items, next })
}

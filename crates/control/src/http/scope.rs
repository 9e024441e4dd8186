//! Where in ARM's tree a provider's path stands.

use coffer_azure::ResourceId;

use crate::error::Error;

/// The part of a path before the provider's own, taken apart, and the rest.
///
/// `/subscriptions/S/resourceGroups/G/providers/Microsoft.DataProtection/backupVaults/V/backupJobs` gives subscription
/// `S`, group `G`, and the rest `["backupVaults", "V", "backupJobs"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderScope {
    /// As the caller wrote it.
    pub subscription: Option<String>,
    /// As the caller wrote it.
    pub resource_group: Option<String>,
    /// The resource of another provider whose extension is asked for
    /// (`{resource}/providers/Microsoft.Authorization/roleAssignments/…`).
    pub extended: Option<ResourceId>,
    /// As the caller wrote it: compare without regard to case.
    pub namespace: String,
    /// What follows the namespace: types and names in turn, the caller's case.
    pub rest: Vec<String>,
}

impl ProviderScope {
    /// The id of the place before `/providers/{namespace}`: root, subscription, group, or extended resource.
    ///
    /// # Errors
    /// Some segment cannot be part of an id.
    pub fn id(&self) -> Result<ResourceId, Error> {
        if let Some(extended) = &self.extended {
            return Ok(extended.clone());
        }
        let base = match (&self.subscription, &self.resource_group) {
            (Some(subscription), Some(group)) => ResourceId::group(subscription, group),
            (Some(subscription), None) => ResourceId::subscription(subscription),
            (None, _) => ResourceId::root(),
        };
        parse_id(base.as_str())
    }

    /// The id of a resource in this scope: `namespace` and `path` (types in Azure's case, names as the caller wrote
    /// them) appended.
    ///
    /// # Errors
    /// Some segment cannot be part of an id.
    pub fn resource_id(&self, namespace: &str, path: &[&str]) -> Result<ResourceId, Error> {
        let base = self.id()?.to_string();
        parse_id(&format!(
            "{}/providers/{namespace}/{}",
            base.trim_end_matches('/'),
            path.join("/")
        ))
    }

    /// The rest in lower case, for matching types. Names have to be taken from [`rest`](Self::rest).
    pub fn rest_lower(&self) -> Vec<String> {
        self.rest.iter().map(|segment| segment.to_lowercase()).collect()
    }
}

/// Parses an id out of a request's path.
///
/// # Errors
/// `InvalidResourceId`.
pub fn parse_id(text: &str) -> Result<ResourceId, Error> {
    ResourceId::parse(text).map_err(|source| {
        Error::invalid("InvalidResourceId", format!("'{text}' is not a resource id."))
            .with_source(source)
    })
}

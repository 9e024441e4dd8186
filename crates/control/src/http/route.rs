//! Which face of the service a request is for, from its host and path alone.
//!
//! Paths are compared without regard to case; doubled and trailing slashes do not count; segments are percent-decoded.

pub(super) mod table;
mod template;

use percent_encoding::percent_decode_str;

pub(super) use self::template::template;
use super::ProviderScope;
use crate::error::Error;

/// Most segments that a path may have: the deepest route has 14.
const SEGMENTS_MAX: usize = 64;

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/healthz`.
    Health,
    /// `/metrics`.
    Metrics,
    /// `/metadata/endpoints`.
    MetadataEndpoints,
    /// `/{tenant}/oauth2[/v2.0]/token`, with the tenant.
    Token(String),
    /// `/{tenant}[/v2.0]/.well-known/openid-configuration`, with the tenant.
    OpenIdConfiguration(String),
    /// `/{tenant}/discovery/…/keys`.
    SigningKeys,
    /// `/{tenant}/discovery/instance`.
    InstanceDiscovery,
    /// A key vault's data plane: by host name, or the default vault on the endpoint's own host.
    Secrets { vault: Option<String> },
    /// `/exports/{operationId}/{file}`.
    Export { id: String, file: String },
    /// Resource Manager.
    Arm(ArmRoute),
}

/// What a request to Resource Manager is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ArmRoute {
    /// `/tenants`.
    Tenants,
    /// `/subscriptions`.
    Subscriptions,
    /// `/subscriptions/{s}`.
    Subscription(String),
    /// `/subscriptions/{s}/locations`.
    Locations(String),
    /// `/subscriptions/{s}/resourceGroups`.
    ResourceGroups(String),
    /// `/subscriptions/{s}/resourceGroups/{g}`.
    ResourceGroup(String, String),
    /// `/subscriptions/{s}[/resourceGroups/{g}]/resources`, with the subscription and the group.
    Resources(String, Option<String>),
    /// `/subscriptions/{s}/providers[/{namespace}[/register]]`.
    Providers { subscription: String, namespace: Option<String>, register: bool },
    /// Anything below `/providers/{namespace}/` at any scope.
    Provider(ProviderScope),
    /// Nothing that exists.
    Unknown,
}

/// The path's segments: percent-decoded, empty ones dropped.
///
/// # Errors
/// A segment is no UTF-8, or holds what would make one segment look like two.
pub(super) fn segments(path: &str) -> Result<Vec<String>, Error> {
    let mut out = Vec::new();
    for raw in path.split('/').filter(|raw| !raw.is_empty()) {
        let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| bad_path())?;
        if decoded.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '?' | '#'))
            || matches!(&*decoded, "." | "..")
        {
            return Err(bad_path());
        }
        out.push(decoded.into_owned());
        if out.len() > SEGMENTS_MAX {
            return Err(bad_path());
        }
    }
    Ok(out)
}

fn bad_path() -> Error {
    Error::invalid(
        "InvalidRequestUri",
        "The request's path has a segment that no resource's name can be.",
    )
}

/// Decides. `vault_host` is the name before the key vaults' suffix when the request's host ends in that.
pub(super) fn route(segments: &[String], vault_host: Option<String>) -> Route {
    let lower: Vec<String> = segments.iter().map(|segment| segment.to_lowercase()).collect();
    let words: Vec<&str> = lower.iter().map(String::as_str).collect();
    if vault_host.is_some() {
        return Route::Secrets { vault: vault_host };
    }
    match words.as_slice() {
        ["healthz"] => Route::Health,
        ["metrics"] => Route::Metrics,
        ["metadata", "endpoints"] => Route::MetadataEndpoints,
        ["exports", _, _] => Route::Export { id: segments[1].clone(), file: segments[2].clone() },
        ["secrets" | "deletedsecrets", ..] => Route::Secrets { vault: None },
        // What follows the authority announced as `…/adfs` is asked with and without a tenant.
        ["adfs", rest @ ..] => oauth(rest, "adfs").unwrap_or(Route::Arm(ArmRoute::Unknown)),
        ["subscriptions" | "providers" | "tenants", ..] => Route::Arm(arm(segments, &words)),
        [_, rest @ ..] => oauth_of(rest, &segments[0]).unwrap_or(Route::Arm(ArmRoute::Unknown)),
        [] => Route::Arm(ArmRoute::Unknown),
    }
}

fn oauth(words: &[&str], tenant: &str) -> Option<Route> {
    oauth_of(words, tenant).or_else(|| match words {
        [tenant, rest @ ..] => oauth_of(rest, tenant),
        [] => None,
    })
}

fn oauth_of(words: &[&str], tenant: &str) -> Option<Route> {
    match words {
        ["oauth2", "token"] | ["oauth2", "v2.0", "token"] => Some(Route::Token(tenant.to_owned())),
        [".well-known", "openid-configuration"]
        | ["v2.0", ".well-known", "openid-configuration"] => {
            Some(Route::OpenIdConfiguration(tenant.to_owned()))
        }
        ["discovery", "keys"] | ["discovery", "v2.0", "keys"] => Some(Route::SigningKeys),
        ["discovery", "instance"] => Some(Route::InstanceDiscovery),
        _ => None,
    }
}

fn arm(segments: &[String], words: &[&str]) -> ArmRoute {
    let name = |index: usize| segments[index].clone();
    match words {
        ["tenants"] => ArmRoute::Tenants,
        ["subscriptions"] => ArmRoute::Subscriptions,
        ["subscriptions", _] => ArmRoute::Subscription(name(1)),
        ["subscriptions", _, "locations"] => ArmRoute::Locations(name(1)),
        ["subscriptions", _, "resourcegroups"] => ArmRoute::ResourceGroups(name(1)),
        ["subscriptions", _, "resourcegroups", _] => ArmRoute::ResourceGroup(name(1), name(3)),
        ["subscriptions", _, "resources"] => ArmRoute::Resources(name(1), None),
        ["subscriptions", _, "resourcegroups", _, "resources"] => {
            ArmRoute::Resources(name(1), Some(name(3)))
        }
        ["subscriptions", _, "providers"] => {
            ArmRoute::Providers { subscription: name(1), namespace: None, register: false }
        }
        ["subscriptions", _, "providers", _] => {
            ArmRoute::Providers { subscription: name(1), namespace: Some(name(3)), register: false }
        }
        ["subscriptions", _, "providers", _, "register"] => {
            ArmRoute::Providers { subscription: name(1), namespace: Some(name(3)), register: true }
        }
        _ => provider(segments, words).map_or(ArmRoute::Unknown, ArmRoute::Provider),
    }
}

/// Finds the last `providers` that stands where a type stands, and takes apart what is before it.
fn provider(segments: &[String], words: &[&str]) -> Option<ProviderScope> {
    let first = match words {
        ["providers", _, _, ..] => 0,
        ["subscriptions", _, "providers", _, _, ..] => 2,
        ["subscriptions", _, "resourcegroups", _, "providers", _, _, ..] => 4,
        _ => return None,
    };
    // From the first provider on, types and names alternate, so only every second segment can be the keyword: a resource
    // may well be named "providers".
    let mut last = first;
    let mut index = first + 2;
    while index + 2 < words.len() {
        if words[index] == "providers" {
            last = index;
        }
        index += 2;
    }
    let extended = if last == first {
        None
    } else {
        Some(coffer_azure::ResourceId::parse(&format!("/{}", segments[..last].join("/"))).ok()?)
    };
    Some(ProviderScope {
        subscription: (first >= 2).then(|| segments[1].clone()),
        resource_group: (first == 4).then(|| segments[3].clone()),
        extended,
        namespace: segments[last + 1].clone(),
        rest: segments[last + 2..].to_vec(),
    })
}

#[cfg(test)]
mod tests;

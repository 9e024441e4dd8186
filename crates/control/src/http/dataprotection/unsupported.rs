//! Paths that are not served: those of the published API that this version does not have, and those that nobody has.
//!
//! Nothing is pretended: an operation that would not be carried out is refused, by a sentence that names it.

use crate::app::dataprotection::errors;
use crate::error::Error;
use crate::http::ProviderScope;

/// Path patterns behind the namespace, in lower case (`*` is any one segment), and what they are for.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("locations/*/crossregionrestore", "Cross-region restore"),
    ("locations/*/validatecrossregionrestore", "Cross-region restore"),
    ("locations/*/fetchcrossregionrestorejob", "Cross-region restore"),
    ("locations/*/fetchcrossregionrestorejobs", "Cross-region restore"),
    ("locations/*/fetchsecondaryrecoverypoints", "Cross-region restore"),
];

/// The error for a path that no handler takes.
pub(super) fn path(scope: &ProviderScope) -> Error {
    let rest = scope.rest_lower();
    if let Some((_, what)) = UNSUPPORTED.iter().find(|(pattern, _)| matches(pattern, &rest)) {
        return errors::not_supported(what);
    }
    Error::not_found(
        "InvalidResourceType",
        format!(
            "The resource type '{}' could not be found in the namespace 'Microsoft.DataProtection'.",
            scope.rest.iter().step_by(2).cloned().collect::<Vec<_>>().join("/")
        ),
    )
}

fn matches(pattern: &str, rest: &[String]) -> bool {
    let mut expected = pattern.split('/');
    rest.iter()
        .all(|segment| expected.next().is_some_and(|wanted| wanted == "*" || wanted == segment))
        && expected.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_published_api_has_is_told_apart() {
        let scope = |rest: &[&str]| ProviderScope {
            subscription: None,
            resource_group: None,
            extended: None,
            namespace: "Microsoft.DataProtection".into(),
            rest: rest.iter().map(|segment| (*segment).to_owned()).collect(),
        };
        assert_eq!(
            path(&scope(&["Locations", "x", "crossRegionRestore"])).code,
            "OperationNotSupported"
        );
        assert_eq!(
            path(&scope(&["locations", "x", "crossRegionRestore", "y"])).code,
            "InvalidResourceType"
        );
        assert_eq!(path(&scope(&["widgets"])).code, "InvalidResourceType");
    }
}

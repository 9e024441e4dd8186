use super::*;

fn of(path: &str) -> Route {
    route(&segments(path).unwrap(), None)
}

fn scope(path: &str) -> ProviderScope {
    match of(path) {
        Route::Arm(ArmRoute::Provider(scope)) => scope,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn case_and_slashes_do_not_count() {
    let expected = Route::Arm(ArmRoute::ResourceGroup("S".into(), "G".into()));
    assert_eq!(of("/subscriptions/S/resourceGroups/G"), expected);
    assert_eq!(of("//SUBSCRIPTIONS/S/resourcegroups//G/"), expected);
}

#[test]
fn providers_at_every_scope() {
    let root = scope("/providers/Microsoft.DataProtection/operations");
    assert_eq!((root.subscription, root.rest), (None, vec!["operations".to_owned()]));
    let subscription = scope("/subscriptions/S/providers/microsoft.dataprotection/backupVaults");
    assert_eq!(subscription.subscription.as_deref(), Some("S"));
    assert_eq!(subscription.namespace, "microsoft.dataprotection");
    let group = scope("/subscriptions/S/resourceGroups/G/providers/N/backupVaults/V/backupJobs");
    assert_eq!(group.resource_group.as_deref(), Some("G"));
    assert_eq!(group.rest, ["backupVaults", "V", "backupJobs"]);
    assert_eq!(group.extended, None);
}

#[test]
fn extensions_of_resources() {
    let path =
        "/subscriptions/S/resourceGroups/G/providers/A/servers/x/providers/B/roleAssignments/y";
    let found = scope(path);
    assert_eq!(
        found.extended.unwrap().as_str(),
        "/subscriptions/S/resourceGroups/G/providers/A/servers/x"
    );
    assert_eq!(found.namespace, "B");
    assert_eq!(found.rest, ["roleAssignments", "y"]);
}

#[test]
fn a_resource_may_be_named_providers() {
    let found = scope(
        "/subscriptions/S/resourceGroups/G/providers/A/servers/providers/databases/providers",
    );
    assert_eq!(found.extended, None);
    assert_eq!(found.rest, ["servers", "providers", "databases", "providers"]);
}

#[test]
fn a_segment_never_becomes_two() {
    for path in [
        "/subscriptions/a%2Fb",
        "/subscriptions/%2e%2E",
        "/a%00",
        "/subscriptions/a%5Cb",
        "/%ff",
        "/a%3Fb",
    ] {
        assert!(segments(path).is_err(), "{path}");
    }
    assert!(segments(&"/a".repeat(SEGMENTS_MAX + 1)).is_err());
    assert_eq!(segments("/a%20b").unwrap(), ["a b"]);
}

#[test]
fn the_faces() {
    assert_eq!(of("/T/oauth2/v2.0/token"), Route::Token("T".into()));
    assert_eq!(of("/adfs/oauth2/token"), Route::Token("adfs".into()));
    assert_eq!(of("/adfs/t/oauth2/v2.0/token"), Route::Token("t".into()));
    assert_eq!(
        of("/T/v2.0/.well-known/openid-configuration"),
        Route::OpenIdConfiguration("T".into())
    );
    assert_eq!(
        of("/adfs/.well-known/openid-configuration"),
        Route::OpenIdConfiguration("adfs".into())
    );
    assert_eq!(of("/T/discovery/v2.0/keys"), Route::SigningKeys);
    assert_eq!(of("/secrets/x/"), Route::Secrets { vault: None });
    assert_eq!(of("/"), Route::Arm(ArmRoute::Unknown));
    assert_eq!(of("/nothing/here"), Route::Arm(ArmRoute::Unknown));
    assert_eq!(of("/subscriptions/S/unknown"), Route::Arm(ArmRoute::Unknown));
    let vault = route(&segments("/healthz").unwrap(), Some("v".into()));
    assert_eq!(vault, Route::Secrets { vault: Some("v".into()) });
}

#[test]
fn a_trace_calls_a_route_by_its_types_and_never_by_names() {
    let vault = "/subscriptions/S/RESOURCEGROUPS/g/providers/microsoft.dataprotection/backupvaults/secret-vault";
    let vault_template = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.DataProtection/backupVaults/{name}";
    let cases = [
        (vault.to_owned(), vault_template.to_owned()),
        (
            format!("{vault}/backupInstances/backup/backup"),
            format!("{vault_template}/backupInstances/{{name}}/backup"),
        ),
        (format!("{vault}/madeUp/x"), format!("{vault_template}/{{type}}/{{name}}")),
        (
            format!("{vault}/providers/Microsoft.Authorization/roleAssignments/x"),
            "/{scope}/providers/Microsoft.Authorization/roleAssignments/{name}".to_owned(),
        ),
        ("/secrets/shop".to_owned(), "/secrets/{name}".to_owned()),
        ("/secrets/shop/0af7651916cd43dd".to_owned(), "/secrets/{name}/{version}".to_owned()),
        ("/secrets/shop/versions".to_owned(), "/secrets/{name}/versions".to_owned()),
        ("/my-tenant/oauth2/v2.0/token".to_owned(), "/{tenant}/oauth2/token".to_owned()),
        ("/made/up".to_owned(), "/{unknown}".to_owned()),
    ];
    for (path, expected) in cases {
        let segments = segments(&path).unwrap();
        assert_eq!(template(&route(&segments, None), &segments), expected, "{path}");
    }
}

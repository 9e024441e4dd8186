//! What a restart keeps: everything.

use reqwest::Method;

use crate::harness::Harness;

#[tokio::test]
async fn a_restart_keeps_everything() {
    let h = Harness::start().await;
    let (owner, tenant, subscription) = (h.owner.clone(), h.tenant.clone(), h.subscription.clone());
    let ca = std::fs::read(&h.env["COFFER_CA_FILE"]).unwrap();
    let path = h.group("kept").await;
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, "acdd72a7-3385-48ef-bd42-f606fba81ae7", &path).await;

    let h = h.restart().await;
    assert_eq!((&h.tenant, &h.subscription), (&tenant, &subscription));
    assert_eq!((&h.owner.client_id, &h.owner.secret), (&owner.client_id, &owner.secret));
    assert_eq!(std::fs::read(&h.env["COFFER_CA_FILE"]).unwrap(), ca);
    h.call(Method::GET, &path, None).await.expect(200);
    let token = h.token(&reader, &format!("{}/.default", h.endpoint)).await;
    let reader = crate::harness::User { token, ..reader };
    h.call_as(&reader, Method::GET, &path, None).await.expect(200);
    h.call_as(&reader, Method::DELETE, &path, None).await.expect(403);
    h.stop().await;
}

#[tokio::test]
async fn a_new_secret_of_the_bootstrap_principal_is_in_client_env_after_a_restart() {
    let h = Harness::start().await;
    let old = h.owner.secret.clone();
    let admin =
        coffer_control::admin::Admin::open(&crate::harness::config(h.data_dir())).await.unwrap();
    admin.principal_rotate(&h.owner.principal_id).await.unwrap();
    admin.close().await;
    let h = h.restart().await;
    assert_ne!(h.owner.secret, old);
    h.call(Method::GET, "/subscriptions", None).await.expect(200);
    h.stop().await;
}

#[tokio::test]
async fn a_moved_service_knows_the_addresses_of_before() {
    let h = Harness::start().await;
    let (before, token) = (h.endpoint.clone(), h.owner.token.clone());
    let h = h.restart().await;
    let identity = &h.service().app().identity;
    // Port 0 may by chance take the same port again.
    assert!(h.endpoint == before || identity.endpoint_aliases.contains(&before));
    let owner = crate::harness::User { token, ..h.owner.clone() };
    h.call_as(&owner, Method::GET, "/subscriptions", None).await.expect(200);
    h.stop().await;
}

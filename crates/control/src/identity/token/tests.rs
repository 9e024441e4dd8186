use coffer_store::MasterKey;

use super::*;
use crate::db::Db;
use crate::identity::federation::Federation;
use crate::identity::signing_key::SigningKey;

const NOW: i64 = 1_800_000_000;

async fn identity() -> Identity {
    crate::identity::install_providers();
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(&directory.path().join("metadata.db")).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let signing_key =
        SigningKey::load_or_create(&mut tx, &MasterKey::generate().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    Identity {
        tenant_id: "tenant".to_owned(),
        default_subscription_id: "subscription".to_owned(),
        endpoint: "https://backup.example:8443".to_owned(),
        endpoint_aliases: vec!["https://localhost:8443".to_owned()],
        vault_authority: "vault.localhost:8443".to_owned(),
        signing_key,
        federation: Federation::default(),
    }
}

fn code(outcome: Result<Caller, Error>) -> String {
    outcome.unwrap_err().code.to_string()
}

#[tokio::test]
async fn audiences() {
    let identity = identity().await;
    for ours in [
        "https://backup.example:8443",
        "https://backup.example:8443/",
        "https://BACKUP.example:8443//",
        "https://localhost:8443",
        "https://management.azure.com/",
        "https://management.core.windows.net",
    ] {
        assert_eq!(identity.audience(ours), Some(Audience::Management), "{ours}");
    }
    for vault in [
        "https://vault.localhost:8443",
        "https://MyVault.vault.localhost:8443/",
        "https://vault.azure.net",
    ] {
        assert_eq!(identity.audience(vault), Some(Audience::KeyVault), "{vault}");
    }
    for foreign in [
        "",
        "https://",
        "http://backup.example:8443",
        "https://backup.example",
        "https://evilvault.localhost:8443",
        "https://vault.localhost:8443.evil.example",
        "https://graph.microsoft.com",
    ] {
        assert_eq!(identity.audience(foreign), None, "{foreign}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_time_its_audience_and_its_tenant() {
    let mut identity = identity().await;
    let audience = identity.endpoint.clone();
    let token = identity.token_issue("oid", "appid", &audience, NOW, 60).unwrap();
    let check = |now| identity.token_check(&token, &[Audience::Management], now);
    let caller = check(NOW).unwrap();
    assert_eq!((caller.principal_id.as_str(), caller.application_id.as_str()), ("oid", "appid"));
    assert!(check(NOW + 59).is_ok());
    assert!(check(NOW - CLOCK_SKEW_SECONDS).is_ok());
    assert_eq!(code(check(NOW + 60)), "ExpiredAuthenticationToken");
    assert_eq!(code(check(NOW - CLOCK_SKEW_SECONDS - 1)), "ExpiredAuthenticationToken");
    assert_eq!(
        code(identity.token_check(&token, &[Audience::KeyVault], NOW)),
        "InvalidAuthenticationTokenAudience"
    );
    identity.tenant_id = "other".to_owned();
    assert_eq!(
        code(identity.token_check(&token, &[Audience::Management], NOW)),
        "InvalidAuthenticationTokenTenant"
    );
}

//! The first start and what it leaves.

use coffer_control::{ErrorKind, Service};
use reqwest::Method;

use crate::harness::{Harness, config};

#[tokio::test]
async fn a_first_start_makes_everything_that_is_needed() {
    let h = Harness::start().await;
    for key in [
        "COFFER_ENDPOINT",
        "COFFER_CA_FILE",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "AZURE_AUTHORITY_HOST",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_SUBSCRIPTION_ID",
        "COFFER_PRINCIPAL_ID",
        "COFFER_STORAGE_URL",
        "COFFER_KEY_FILE",
    ] {
        assert!(h.env.contains_key(key), "{key}");
    }
    let secret = &h.env["AZURE_CLIENT_SECRET"];
    assert!(
        secret.len() >= 32
            && secret.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    );
    assert!(h.env["COFFER_STORAGE_URL"].starts_with("file:///"));
    assert!(std::path::Path::new(&h.env["COFFER_KEY_FILE"]).is_file());
    #[cfg(unix)]
    for file in ["client.env", "master.key"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(h.data_dir().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let found =
        h.call(Method::GET, "/subscriptions?api-version=2022-12-01", None).await.expect(200);
    assert_eq!(found.body["value"][0]["subscriptionId"], h.subscription.as_str());
    h.call(Method::GET, &h.group_path("coffer"), None).await.expect(200);
    let vault = format!("{}/providers/Microsoft.KeyVault/vaults/coffer", h.group_path("coffer"));
    h.call(Method::GET, &vault, None).await.expect(200);
    h.stop().await;
}

#[tokio::test]
async fn secrets_are_nowhere_in_clear() {
    let h = Harness::start().await;
    let secret = h.owner.secret.clone();
    let data_dir = h.stop().await;
    for entry in std::fs::read_dir(data_dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != "client.env" {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(secret.len()).any(|w| w == secret.as_bytes()),
                "{}",
                path.display()
            );
            assert!(!bytes.windows(11).any(|w| w == b"PRIVATE KEY"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_data_directory_has_one_service() {
    let h = Harness::start().await;
    let error = Service::start(config(h.data_dir())).await.unwrap_err();
    assert!(error.message.contains("Another coffer serve"), "{error}");
    assert_eq!(error.kind, ErrorKind::Internal);
    // The one that runs is not disturbed.
    h.call(Method::GET, "/subscriptions", None).await.expect(200);
    let data_dir = h.stop().await;
    Harness::start_in(data_dir, |_| {}).await.stop().await;
}

#[tokio::test]
async fn a_lost_or_foreign_master_key_is_refused_in_words() {
    let h = Harness::start().await;
    let data_dir = h.stop().await;
    let key = data_dir.path().join("master.key");
    std::fs::rename(&key, data_dir.path().join("elsewhere")).unwrap();
    let error = Service::start(config(data_dir.path())).await.unwrap_err();
    assert!(error.message.contains("Put the key back"), "{error}");
    assert!(!key.exists(), "a new key would hide the loss");
    coffer_store::MasterKey::generate().unwrap().write_file(&key).unwrap();
    let error = Service::start(config(data_dir.path())).await.unwrap_err();
    assert!(error.message.contains("is not the one"), "{error}");
    std::fs::remove_file(&key).unwrap();
    std::fs::rename(data_dir.path().join("elsewhere"), &key).unwrap();
    Harness::start_in(data_dir, |_| {}).await.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_refused_in_words() {
    let h = Harness::start().await;
    let other = tempfile::tempdir().unwrap();
    let mut config = config(other.path());
    config.listen = h.service().local_addr();
    let error = Service::start(config).await.unwrap_err();
    assert!(error.message.contains("cannot be used"), "{error}");
    h.stop().await;
}

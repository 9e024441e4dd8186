//! `validateForBackup`: each check fails with its own code and says precisely what is wrong.

use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{Estate, KEY_VAULT_SECRETS_USER, READER};

async fn validate(estate: &Estate, properties: Value) -> Value {
    let path = format!("{}/validateForBackup", estate.vault);
    let answer = estate
        .harness
        .call(Method::POST, &path, Some(json!({"backupInstance": properties})))
        .await
        .expect(202);
    estate.follow(&answer).await
}

#[track_caller]
fn expect_failure(status: &Value, code: &str, says: &str) {
    assert_eq!(status["status"], "Failed", "{status:#}");
    let error = &status["error"];
    assert_eq!(error["code"], code, "{status:#}");
    let info = &error["additionalInfo"][0]["info"];
    assert!(!info["recommendedAction"][0].as_str().unwrap().is_empty());
    let detail = info["innerError"]["additionalInfo"]["DetailedNonLocalisedMessage"]
        .as_str()
        .unwrap_or_default();
    assert!(detail.contains(says), "{detail:?} does not say {says:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_has_its_own_answer() {
    let estate = Estate::new("On").await;
    let harness = &estate.harness;
    let shop = estate.instance_properties("shop");

    let status = validate(&estate, shop.clone()).await;
    expect_failure(
        &status,
        "UserErrorMSIMissingPermissions",
        "Microsoft.DBforPostgreSQL/servers/read",
    );
    harness.assign(&estate.vault_principal, READER, &estate.server).await;

    let status = validate(&estate, shop.clone()).await;
    expect_failure(&status, "UserErrorMissingPermissionsOnSecretStore", &estate.vault_principal);
    let key_vault = format!(
        "{}/resourceGroups/coffer/providers/Microsoft.KeyVault/vaults/coffer",
        harness.subscription_path()
    );
    harness.assign(&estate.vault_principal, KEY_VAULT_SECRETS_USER, &key_vault).await;

    let with_secret = |uri: &str| {
        let mut properties = shop.clone();
        properties["datasourceAuthCredentials"] = estate.credentials(uri);
        properties
    };
    let status =
        validate(&estate, with_secret("https://nobody.vault.azure.net/secrets/shop")).await;
    expect_failure(&status, "UserErrorInvalidSecretStore", "nobody.vault.azure.net");
    let status =
        validate(&estate, with_secret(&format!("{}/secrets/absent", harness.endpoint))).await;
    expect_failure(&status, "UserErrorInvalidSecret", "absent");
    let malformed = estate.secret("malformed", "not a hunter2 connection string").await;
    let status = validate(&estate, with_secret(&malformed)).await;
    expect_failure(&status, "UserErrorSecretValueInUnsupportedFormat", "malformed");
    assert!(!status.to_string().contains("hunter2"), "a secret is never quoted");
    let mut without = shop.clone();
    without.as_object_mut().unwrap().remove("datasourceAuthCredentials");
    let status = validate(&estate, without).await;
    expect_failure(&status, "UserErrorInvalidSecret", "registration");

    let wrong = estate.secret("wrong", "postgres://postgres:wrong@ignored/ignored").await;
    let status = validate(&estate, with_secret(&wrong)).await;
    expect_failure(&status, "UserErrorDBUserAuthFailed", "postgres");
    let mut absent = shop.clone();
    absent["dataSourceInfo"] = estate.datasource("absent");
    let status = validate(&estate, absent).await;
    expect_failure(&status, "UserErrorDBNotFound", "absent");

    estate
        .postgres
        .psql("shop", "CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT SELECT ON customer TO reader")
        .unwrap();
    let reader = estate.secret("reader", "host=ignored user=reader password=r").await;
    let status = validate(&estate, with_secret(&reader)).await;
    expect_failure(&status, "UserErrorMissingDBPermissions", "purchase");
    assert!(
        status["error"]["additionalInfo"][0]["info"]["recommendedAction"]
            .to_string()
            .contains("GRANT")
    );

    let status = validate(&estate, shop).await;
    assert_eq!(status["status"], "Succeeded", "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    estate.postgres.stop(coffer_testkit::Shutdown::Fast).unwrap();
    let status = validate(&estate, estate.instance_properties("shop")).await;
    expect_failure(&status, "UserErrorMissingNetworkSecurityPermissions", "127.0.0.1");
}

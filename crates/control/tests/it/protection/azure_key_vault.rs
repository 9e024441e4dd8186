//! Key vaults of Azure itself, emulated: a second Coffer speaks their wire, and a script answers what a good one never would.

mod script;

use std::time::{Duration, Instant};

use coffer_control::app::secret::SecretReadError;
use coffer_control::config::AzureKeyVaultSettings;
use coffer_testkit::PostgresServer;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use self::script::Script;
use super::estate::{Estate, KEY_VAULT_SECRETS_USER, fill};
use crate::harness::{Harness, User};

const VERSION: &str = "api-version=7.4";

/// Registers a key vault in a group of its own and returns its ARM path.
async fn register(h: &Harness, group: &str, name: &str) -> String {
    let group = h.group(group).await;
    let path = format!("{group}/providers/Microsoft.KeyVault/vaults/{name}");
    h.call(Method::PUT, &path, Some(json!({"location": "westeurope"}))).await.expect(201);
    path
}

/// A service that reads the key vaults of `settings`, whose hosts have the scope of its own default subscription.
async fn start(hosts: &[&str], settings: AzureKeyVaultSettings) -> Harness {
    let first = Harness::start().await;
    let scope = first.subscription_path();
    let data_dir = first.stop().await;
    Harness::start_in(data_dir, |config| {
        config.schedule.catch_up = false;
        config.key_vault_azure = AzureKeyVaultSettings {
            hosts: hosts.iter().map(|host| ((*host).to_owned(), scope.clone())).collect(),
            ..settings
        };
    })
    .await
}

/// The other service: a key vault `remote` with a secret, and who may read it.
struct Remote {
    harness: Harness,
    vault: String,
    reader: User,
}

impl Remote {
    async fn start() -> Self {
        let harness =
            Harness::start_with(|config| config.vault_host_suffix = "vault.azure.net".to_owned())
                .await;
        let vault = register(&harness, "remote", "remote").await;
        let reader = harness.user("coffer").await;
        Self { harness, vault, reader }
    }

    fn settings(&self) -> AzureKeyVaultSettings {
        AzureKeyVaultSettings {
            tenant_id: Some(self.harness.tenant.clone()),
            client_id: Some(self.reader.client_id.clone()),
            client_secret: Some(self.reader.secret.clone().into()),
            authority: Some(self.harness.endpoint.clone()),
            ca_file: Some(self.harness.env["COFFER_CA_FILE"].clone().into()),
            addresses: [("remote.vault.azure.net".to_owned(), self.harness.service().local_addr())]
                .into(),
            timeout_seconds: Some(10),
            ..AzureKeyVaultSettings::default()
        }
    }

    /// A request to the key vault's data plane, as its owner.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let h = &self.harness;
        let host = format!("remote.{}", h.service().app().identity.vault_authority);
        let scope = format!("https://{}/.default", h.service().app().identity.vault_authority);
        let token = h.token(&h.owner, &scope).await;
        let mut request = h
            .client()
            .request(method, format!("{}{path}?{VERSION}", h.endpoint))
            .header("host", host)
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        h.send(request).await.expect(200).body
    }

    fn uri(&self, name: &str) -> String {
        let authority = &self.harness.service().app().identity.vault_authority;
        format!("https://remote.{authority}/secrets/{name}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_protected_with_a_secret_of_azure() {
    let remote = Remote::start().await;
    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let harness = start(&["remote.vault.azure.net"], remote.settings()).await;
    let estate = Estate::on(harness, postgres, "On").await;
    estate.grant().await;
    let h = &estate.harness;
    let uri = remote.uri("shop");
    let mut properties = estate.instance_properties("shop");
    properties["datasourceAuthCredentials"] = estate.credentials(&uri);
    let validate = async || {
        let path = format!("{}/validateForBackup", estate.vault);
        let body = json!({ "backupInstance": properties });
        let answer = h.call(Method::POST, &path, Some(body)).await.expect(202);
        let status = estate.follow(&answer).await;
        let info = &status["error"]["additionalInfo"][0]["info"];
        (
            status["status"].as_str().unwrap().to_owned(),
            format!(
                "{} {}",
                info["code"].as_str().unwrap_or_default(),
                info["innerError"]["code"].as_str().unwrap_or_default()
            ),
        )
    };
    let failed = |said: &str| ("Failed".to_owned(), said.to_owned());

    // The registration is what roles are given at; without it nothing is asked of Azure.
    assert_eq!(validate().await, failed("UserErrorInvalidSecretStore KeyVaultNotFound"));
    let vault = register(h, "keys", "remote").await;
    assert_eq!(
        validate().await,
        failed("UserErrorMissingPermissionsOnSecretStore SecretForbidden")
    );
    h.assign(&estate.vault_principal, KEY_VAULT_SECRETS_USER, &vault).await;

    // From here on it is Azure that refuses.
    assert_eq!(
        validate().await,
        failed("UserErrorMissingPermissionsOnSecretStore SecretForbidden")
    );
    remote.harness.assign(&remote.reader.principal_id, KEY_VAULT_SECRETS_USER, &remote.vault).await;
    assert_eq!(validate().await, failed("UserErrorInvalidSecret SecretNotFound"));
    let value = format!("host=ignored user=postgres password={}", estate.postgres.password());
    remote.call(Method::PUT, "/secrets/shop", Some(json!({ "value": value }))).await;
    assert_eq!(validate().await, ("Succeeded".to_owned(), " ".to_owned()));

    let path = estate.instance("pg-shop");
    let put = h.call(Method::PUT, &path, Some(json!({"properties": properties}))).await.expect(201);
    assert_eq!(estate.follow(&put).await["status"], "Succeeded");
    assert_eq!(estate.backup(&path).await["properties"]["status"], "Completed");

    let off = json!({"attributes": {"enabled": false}});
    remote.call(Method::PATCH, "/secrets/shop", Some(off)).await;
    let job = estate.backup(&path).await;
    let error = &job["properties"]["errorDetails"][0];
    assert_eq!(error["code"], "UserErrorInvalidSecret", "{job:#}");
    assert_eq!(error["innerError"]["code"], "SecretDisabled");
    let on = json!({"attributes": {"enabled": true, "exp": 1}});
    remote.call(Method::PATCH, "/secrets/shop", Some(on)).await;
    let job = estate.backup(&path).await;
    assert_eq!(job["properties"]["errorDetails"][0]["innerError"]["code"], "SecretExpired");
    // A new version is used by the next run, without anything else.
    remote.call(Method::PUT, "/secrets/shop", Some(json!({ "value": value }))).await;
    assert_eq!(estate.backup(&path).await["properties"]["status"], "Completed");
}

/// A service that reads the scripted key vaults, and a principal that may.
async fn scripted(script: &Script, tenant: &str) -> (Harness, User) {
    let identity = AzureKeyVaultSettings {
        tenant_id: Some(tenant.to_owned()),
        client_secret: Some("hunter2-of-the-client".to_owned().into()),
        ..AzureKeyVaultSettings::default()
    };
    scripted_as(script, identity).await
}

async fn scripted_as(script: &Script, identity: AzureKeyVaultSettings) -> (Harness, User) {
    let settings = AzureKeyVaultSettings {
        client_id: Some("coffer".to_owned()),
        authority: Some(format!("https://localhost:{}", script.address().port())),
        ca_file: Some(script.ca_file()),
        addresses: [
            ("scripted.vault.azure.net".to_owned(), script.address()),
            ("dead.vault.azure.net".to_owned(), "127.0.0.1:1".parse().unwrap()),
        ]
        .into(),
        timeout_seconds: Some(6),
        ..identity
    };
    let h = start(&["scripted.vault.azure.net", "dead.vault.azure.net"], settings).await;
    let run = h.user("run").await;
    for name in ["scripted", "dead"] {
        let vault = register(&h, name, name).await;
        h.assign(&run.principal_id, KEY_VAULT_SECRETS_USER, &vault).await;
    }
    (h, run)
}

async fn read(h: &Harness, run: &User, vault: &str, name: &str) -> Result<String, SecretReadError> {
    let uri = format!("https://{vault}.vault.azure.net/secrets/{name}");
    let read = h.service().app().secret_read(&run.principal_id, &uri).await;
    read.map(|value| value.expose_secret().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_of_azure_has_its_own_error() {
    let script = Script::start().await;
    let (h, run) = scripted(&script, "tenant").await;
    let read = async |name: &str| read(&h, &run, "scripted", name).await;

    assert_eq!(read("good").await.unwrap(), "the value");
    assert_eq!(read("good/0123456789abcdef").await.unwrap(), "the value of 0123456789abcdef");
    assert!(matches!(read("missing").await, Err(SecretReadError::NotFound)));
    assert!(matches!(read("disabled").await, Err(SecretReadError::Disabled)));
    assert!(matches!(read("expired").await, Err(SecretReadError::Expired)));
    assert!(matches!(read("early").await, Err(SecretReadError::NotYetValid)));
    let refused = read("forbidden").await;
    assert!(
        matches!(&refused, Err(SecretReadError::Refused(Some(code))) if code == "ForbiddenByRbac")
    );
    for name in ["garbage", "empty", "huge", "redirect"] {
        let error = read(name).await.unwrap_err();
        assert!(matches!(error, SecretReadError::NotUnderstood(_)), "{name}: {error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    // A key vault that wants a token for somebody else gets none.
    let error = read("elsewhere").await.unwrap_err();
    assert!(matches!(error, SecretReadError::NotUnderstood(_)), "{error:?}");
    assert_eq!(script.tokens(), 1, "the token is kept until it expires");
    h.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_and_retries_are_bounded() {
    let script = Script::start().await;
    let (h, run) = scripted(&script, "tenant").await;
    let begun = Instant::now();
    assert_eq!(read(&h, &run, "scripted", "throttled").await.unwrap(), "the value");
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After is obeyed");
    assert_eq!(script.asked("throttled"), 2);
    // In vain: asked a few times, told to come back in an hour, not answered at all, nobody there.
    for (vault, name) in
        [("scripted", "busy"), ("scripted", "later"), ("scripted", "silent"), ("dead", "good")]
    {
        let begun = Instant::now();
        let error = read(&h, &run, vault, name).await.unwrap_err();
        assert!(matches!(error, SecretReadError::Unreachable(_)), "{name}: {error:?}");
        assert!(error.is_transient());
        assert!(begun.elapsed() < Duration::from_secs(15), "{name}: {:?}", begun.elapsed());
    }
    assert_eq!(script.asked("busy"), 4, "once, and three times again");
    assert_eq!(script.asked("later"), 1);
    h.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_cannot_log_in_is_told_apart() {
    let script = Script::start().await;
    let (h, run) = scripted(&script, "wrong").await;
    let error = read(&h, &run, "scripted", "good").await.unwrap_err();
    assert!(matches!(error, SecretReadError::NotLoggedIn), "{error:?}");
    h.stop().await;
    let (h, run) = scripted(&script, "down").await;
    let error = read(&h, &run, "scripted", "good").await.unwrap_err();
    assert!(
        matches!(&error, SecretReadError::Unreachable(what) if what.contains("log-in")),
        "{error:?}"
    );
    h.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_issuer_logs_in() {
    let script = Script::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "hunter2-of-the-cluster").unwrap();
    let identity = AzureKeyVaultSettings {
        tenant_id: Some("federated".to_owned()),
        federated_token_file: Some(file),
        ..AzureKeyVaultSettings::default()
    };
    let (h, run) = scripted_as(&script, identity).await;
    assert_eq!(read(&h, &run, "scripted", "good").await.unwrap(), "the value");
    h.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_by_the_configured_identity_what_he_may_not() {
    let script = Script::start().await;
    let (h, _run) = scripted(&script, "tenant").await;
    let stranger = h.user("stranger").await;
    let error = read(&h, &stranger, "scripted", "good").await.unwrap_err();
    assert!(matches!(error, SecretReadError::Forbidden), "{error:?}");
    // Who registers the key vault in a place of his own does not get at it.
    let registered = h.group_path("scripted");
    let registered = format!("{registered}/providers/Microsoft.KeyVault/vaults/scripted");
    h.call(Method::DELETE, &registered, None).await.expect(200);
    let other = h.other_subscription().await;
    let group = format!("/subscriptions/{other}/resourceGroups/mine");
    let body = json!({"location": "westeurope"});
    h.call(Method::PUT, &group, Some(body.clone())).await.expect(201);
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/scripted");
    h.call(Method::PUT, &vault, Some(body)).await.expect(201);
    h.assign(&stranger.principal_id, KEY_VAULT_SECRETS_USER, &vault).await;
    let error = read(&h, &stranger, "scripted", "good").await.unwrap_err();
    assert!(matches!(error, SecretReadError::VaultNotFound), "{error:?}");
    assert_eq!(script.asked("good"), 0, "nothing was asked of Azure");
    // A host that is not named is the registered key vault, as without this setting.
    let vault = register(&h, "embedded", "embedded").await;
    h.assign(&stranger.principal_id, KEY_VAULT_SECRETS_USER, &vault).await;
    let error = read(&h, &stranger, "embedded", "good").await.unwrap_err();
    assert!(matches!(error, SecretReadError::NotFound), "{error:?}");
    h.stop().await;
}

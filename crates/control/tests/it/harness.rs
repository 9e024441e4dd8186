//! A service of its own for each test: free port, own data directory, a client that trusts it and is logged in.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use coffer_control::{Config, Service};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rust_client;

/// The api-version that tests send unless they say otherwise.
pub(crate) const API_VERSION: &str = "2024-04-01";
/// How long a test waits for something that has to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null when there was no body.
    pub(crate) body: Value,
}

impl Answer {
    /// `error.code` of the body; empty when there is none.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// A header's value; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer itself, if its status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self
    }

    /// The answer itself, if it is this error.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{:#}", self.body);
        assert!(!self.body["error"]["message"].as_str().unwrap_or_default().is_empty());
        self
    }
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) principal_id: String,
    pub(crate) client_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
}

/// A running service and its bootstrap principal's client.
pub(crate) struct Harness {
    service: Option<Service>,
    client: Client,
    /// The bootstrap principal.
    pub(crate) owner: User,
    /// The default subscription.
    pub(crate) subscription: String,
    pub(crate) tenant: String,
    pub(crate) endpoint: String,
    pub(crate) env: HashMap<String, String>,
    data_dir: TempDir,
}

/// The configuration of a test's service.
pub(crate) fn config(data_dir: &Path) -> Config {
    let mut config = Config::for_data_dir(data_dir).unwrap();
    config.listen = "127.0.0.1:0".parse().unwrap();
    config
}

impl Harness {
    /// Starts a service with the embedded defaults.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_config| {}).await
    }

    /// Starts a service with some settings changed.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// Starts another service on the metadata, the key and the storage of one that runs.
    pub(crate) async fn start_beside(first: &Config) -> Self {
        let shared = first.clone();
        Self::start_with(|config| {
            config.database_file = shared.database_file;
            config.master_key_file = shared.master_key_file;
            config.storage_default = shared.storage_default;
            config.storage = shared.storage;
        })
        .await
    }

    /// Starts a service on a data directory that may have served before.
    pub(crate) async fn start_in(data_dir: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(data_dir.path());
        change(&mut config);
        let service = Service::start(config).await.unwrap();
        let text = std::fs::read_to_string(service.client_env_path()).unwrap();
        let env: HashMap<String, String> = text
            .lines()
            .map(|line| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap())
            .collect();
        let ca = std::fs::read(&env["COFFER_CA_FILE"]).unwrap();
        let ca = reqwest::Certificate::from_pem(&ca).unwrap();
        let local = service.local_addr();
        // HTTP/2 has no header `host` that a test could set to the name of a key vault.
        let client = Client::builder()
            .http1_only()
            .tls_certs_only([ca])
            .no_proxy()
            .resolve("vault.localhost", local)
            .resolve("myvault.vault.localhost", local)
            .timeout(DEADLINE)
            .build()
            .unwrap();
        let mut harness = Self {
            endpoint: env["COFFER_ENDPOINT"].clone(),
            subscription: env["AZURE_SUBSCRIPTION_ID"].clone(),
            tenant: env["AZURE_TENANT_ID"].clone(),
            owner: User {
                principal_id: env["COFFER_PRINCIPAL_ID"].clone(),
                client_id: env["AZURE_CLIENT_ID"].clone(),
                secret: env["AZURE_CLIENT_SECRET"].clone(),
                token: String::new(),
            },
            env,
            client,
            service: Some(service),
            data_dir,
        };
        let scope = format!("{}/.default", harness.endpoint);
        harness.owner.token = harness.token(&harness.owner, &scope).await;
        harness
    }

    /// The running service.
    pub(crate) fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    /// A client that trusts the service.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Stops the service and hands the data directory back.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.service.take().unwrap().shutdown().await;
        self.data_dir
    }

    /// Stops the service and starts it again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let data_dir = self.stop().await;
        Self::start_in(data_dir, |_config| {}).await
    }

    /// `/subscriptions/{default}`.
    pub(crate) fn subscription_path(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    /// `/subscriptions/{default}/resourceGroups/{name}`.
    pub(crate) fn group_path(&self, name: &str) -> String {
        format!("{}/resourceGroups/{name}", self.subscription_path())
    }

    /// A request as the bootstrap principal. `path` may carry a query; the api-version is added when it has none.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_as(&self.owner, method, path, body).await
    }

    /// The same as somebody else.
    pub(crate) async fn call_as(
        &self,
        user: &User,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let url = self.url(path);
        let mut request = self.client.request(method, url).bearer_auth(&user.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// Sends a request made by hand. What is answered has to be legible to Azure's own client for Rust.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
        };
        rust_client::check(&method, &path, status, &body);
        Answer { status, headers, body }
    }

    /// The absolute URL of a path, with an api-version.
    pub(crate) fn url(&self, path: &str) -> String {
        if path.starts_with("https://") {
            return path.to_owned();
        }
        let lower = path.to_lowercase();
        let separator = if path.contains('?') { '&' } else { '?' };
        if lower.contains("api-version=") || lower.contains("api%2dversion=") {
            format!("{}{path}", self.endpoint)
        } else {
            format!("{}{path}{separator}api-version={API_VERSION}", self.endpoint)
        }
    }

    /// Logs in by the token endpoint.
    pub(crate) async fn token(&self, user: &User, scope: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &user.client_id),
            ("client_secret", &user.secret),
            ("scope", scope),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", self.endpoint, self.tenant);
        let answer = self.send(self.client.post(url).form(&form)).await.expect(200);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A new principal without any role, logged in.
    pub(crate) async fn user(&self, name: &str) -> User {
        let admin = coffer_control::admin::Admin::open(&config(self.data_dir())).await.unwrap();
        let made = admin.principal_create(name, &[]).await.unwrap();
        admin.close().await;
        let mut user = User {
            principal_id: made.principal.id,
            client_id: made.principal.application_id,
            secret: secrecy::ExposeSecret::expose_secret(&made.secret).to_owned(),
            token: String::new(),
        };
        user.token = self.token(&user, &format!("{}/.default", self.endpoint)).await;
        user
    }

    /// Gives a principal a built-in role (by id) at a scope.
    pub(crate) async fn assign(&self, principal_id: &str, role: &str, scope: &str) {
        let path = format!(
            "{scope}/providers/Microsoft.Authorization/roleAssignments/{}",
            uuid::Uuid::new_v4()
        );
        let definition = format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            self.subscription_path()
        );
        let body = json!({"properties": {
            "roleDefinitionId": definition, "principalId": principal_id, "principalType": "ServicePrincipal",
        }});
        self.call(Method::PUT, &format!("{path}?api-version=2022-04-01"), Some(body))
            .await
            .expect(201);
    }

    /// Makes a resource group.
    pub(crate) async fn group(&self, name: &str) -> String {
        let path = self.group_path(name);
        self.call(Method::PUT, &path, Some(json!({"location": "westeurope"}))).await.expect(201);
        path
    }

    /// Makes a second subscription, owned by the bootstrap principal, and returns its id.
    pub(crate) async fn other_subscription(&self) -> String {
        let admin = coffer_control::admin::Admin::open(&config(self.data_dir())).await.unwrap();
        let made = admin.subscription_create("Other", None).await.unwrap();
        admin.close().await;
        made.id
    }
}

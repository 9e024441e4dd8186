//! A key vault, and the service that its tokens are of, whose answers depend on the secret's or tenant's name alone.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum_server::tls_rustls::RustlsConfig;
use serde_json::json;
use tempfile::TempDir;

type Asked = Arc<Mutex<HashMap<String, usize>>>;

/// Ends when dropped.
pub(super) struct Script {
    address: SocketAddr,
    directory: TempDir,
    asked: Asked,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Script {
    pub(super) async fn start() -> Self {
        coffer_control::identity::install_providers();
        let names = ["localhost", "scripted.vault.azure.net"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_der();
        let tls = RustlsConfig::from_der(vec![made.cert.der().to_vec()], key).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Asked::default();
        let router = Router::new()
            .route("/{tenant}/oauth2/v2.0/token", post(token))
            .route("/secrets/{name}/", get(current))
            .route("/secrets/{name}/{version}", get(secret))
            .with_state(Arc::clone(&asked));
        let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
        let server = tokio::spawn(server.serve(router.into_make_service()));
        Self { address, directory, asked, server }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        FilePath::join(self.directory.path(), "ca.pem")
    }

    /// How often a secret was asked for with a token.
    pub(super) fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    /// How many tokens were given out.
    pub(super) fn tokens(&self) -> usize {
        self.asked("token of tenant")
    }
}

async fn token(State(asked): State<Asked>, Path(tenant): Path<String>, body: String) -> Response {
    let proof = if tenant == "federated" {
        "client_assertion=hunter2-of-the-cluster"
    } else {
        "client_secret=hunter2-of-the-client"
    };
    assert!(body.contains(proof) && body.contains("client_id=coffer"), "logs in as configured");
    *asked.lock().unwrap().entry(format!("token of {tenant}")).or_default() += 1;
    match tenant.as_str() {
        "tenant" | "federated" => {
            assert!(body.contains("scope=https%3A%2F%2Fvault.azure.net%2F.default"), "{body}");
            let token = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "hunter2-token"});
            axum::Json(token).into_response()
        }
        "down" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => {
            let said = json!({"error": "invalid_client", "error_codes": [7_000_215],
                "error_description": "AADSTS7000215: Invalid client secret provided: hunter2"});
            (StatusCode::UNAUTHORIZED, axum::Json(said)).into_response()
        }
    }
}

async fn current(state: State<Asked>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    secret(state, Path((name, String::new())), headers).await
}

async fn secret(
    State(asked): State<Asked>,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(token) = headers.get(header::AUTHORIZATION) else {
        let resource = if name == "elsewhere" {
            "https://elsewhere.example"
        } else {
            "https://vault.azure.net"
        };
        let challenge = format!(
            "Bearer authorization=\"https://login.example/tenant\", resource=\"{resource}\""
        );
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    };
    assert_eq!(token, "Bearer hunter2-token");
    let times = {
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(name.clone()).or_default();
        *times += 1;
        *times
    };
    let value =
        if version.is_empty() { "the value".to_owned() } else { format!("the value of {version}") };
    let bundle = |attributes: serde_json::Value| {
        axum::Json(json!({"value": value, "id": "https://scripted.vault.azure.net/secrets/s/v", "attributes": attributes}))
            .into_response()
    };
    let error = |status: StatusCode, code: &str, inner: &str| {
        let body =
            json!({"error": {"code": code, "message": "hunter2", "innererror": {"code": inner}}});
        (status, axum::Json(body)).into_response()
    };
    let later = |seconds: &'static str| {
        (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)]).into_response()
    };
    match name.as_str() {
        "throttled" if times == 1 => later("1"),
        "good" | "throttled" => bundle(json!({"enabled": true})),
        "expired" => bundle(json!({"enabled": true, "exp": 1})),
        "early" => bundle(json!({"enabled": true, "nbf": 9_999_999_999_i64})),
        "disabled" => error(StatusCode::FORBIDDEN, "Forbidden", "SecretDisabled"),
        "forbidden" => error(StatusCode::FORBIDDEN, "Forbidden", "ForbiddenByRbac"),
        "garbage" => "<html>hunter2</html>".into_response(),
        "empty" => axum::Json(json!({"id": "hunter2"})).into_response(),
        "huge" => axum::Json(json!({"value": "hunter2".repeat(100_000)})).into_response(),
        "redirect" => {
            (StatusCode::FOUND, [(header::LOCATION, "https://localhost/hunter2")]).into_response()
        }
        "busy" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "later" => later("3600"),
        "silent" => std::future::pending().await,
        _ => error(StatusCode::NOT_FOUND, "SecretNotFound", "none"),
    }
}

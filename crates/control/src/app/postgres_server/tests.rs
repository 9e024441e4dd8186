use coffer_azure::postgres_server::ServerRequest;

use super::{check_name, kept_of};
use crate::config::ServerConfig;

fn configured() -> ServerConfig {
    ServerConfig {
        host: "db.example.org".to_owned(),
        port: 6432,
        ssl_mode: Some("require".to_owned()),
        secret_uri: Some("https://kv.vault.azure.net/secrets/s".to_owned()),
    }
}

#[test]
fn a_request_comes_before_the_configuration() {
    let request = ServerRequest {
        fully_qualified_domain_name: Some(" 127.0.0.1 ".to_owned()),
        ssl_mode: Some("Verify_Full".to_owned()),
        ..ServerRequest::default()
    };
    let kept = kept_of("pg", request, Some(&configured())).unwrap();
    assert_eq!((kept.host.as_str(), kept.port), ("127.0.0.1", 6432));
    assert_eq!(kept.ssl_mode.as_deref(), Some("verify-full"));
    assert_eq!(kept.secret_uri, configured().secret_uri);
}

#[test]
fn without_either_there_is_no_host_but_a_port() {
    let error = kept_of("pg", ServerRequest::default(), None).unwrap_err();
    assert!(error.message.contains("servers.pg"), "{error}");
    let request = ServerRequest {
        fully_qualified_domain_name: Some("::1".to_owned()),
        ..ServerRequest::default()
    };
    let kept = kept_of("pg", request, None).unwrap();
    assert_eq!((kept.port, kept.ssl_mode), (5432, None));
}

#[test]
fn names() {
    assert!(check_name("a").is_ok() && check_name("oss-clitest-server").is_ok());
    for name in ["", "-a", "a-", "a.b", "a_b", &"x".repeat(64)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}

//! What stands in a backup's way is told apart and named.

use coffer_engine::{Error, SslMode, Tools, check_source};
use coffer_testkit::{PostgresOptions, PostgresServer};

use crate::support::Fixture;

#[tokio::test]
async fn each_obstacle_is_its_own_error() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE a (i int)");
    let good = f.source();
    let report = check_source(&good, &f.tools).await.unwrap();
    assert_eq!(
        (report.server_major, report.tables, report.in_recovery),
        (f.server.major(), 1, false)
    );

    let wrong_password = f.source_as("postgres", "hunter2");
    let error = check_source(&wrong_password, &f.tools).await.unwrap_err();
    assert!(
        matches!(&error, Error::AuthenticationFailed { user, .. } if user == "postgres"),
        "{error:?}"
    );
    assert!(!format!("{error:?} {error}").contains("hunter2"));

    let mut no_password = good.clone();
    no_password.password = None;
    let error = check_source(&no_password, &f.tools).await.unwrap_err();
    assert!(matches!(error, Error::AuthenticationFailed { .. }), "{error:?}");

    let error = check_source(&good.with_database("nowhere"), &f.tools).await.unwrap_err();
    assert!(
        matches!(&error, Error::DatabaseNotFound { database } if database == "nowhere"),
        "{error:?}"
    );

    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = check_source(&good.with_address("127.0.0.1", port), &f.tools).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient(), "{error:?}");

    let mut with_tls = good.clone();
    with_tls.ssl_mode = SslMode::Require;
    let error = check_source(&with_tls, &f.tools).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");

    let error = check_source(&good, &Tools::default()).await.unwrap_err();
    assert!(matches!(error, Error::ToolMissing { tool: "pg_dump", .. }), "{error:?}");
}

#[tokio::test]
async fn tls_modes_mean_what_they_say() {
    let f = Fixture::start_with(&PostgresOptions { tls: true, ..PostgresOptions::default() }).await;
    let ca = f.server.ca_file();
    let with = |host: &str, ssl_mode, ssl_root_cert: Option<&std::path::Path>| {
        let mut source = f.source().with_address(host, f.server.port());
        (source.ssl_mode, source.ssl_root_cert) = (ssl_mode, ssl_root_cert.map(Into::into));
        source
    };
    for mode in [SslMode::Prefer, SslMode::Require] {
        check_source(&with("127.0.0.1", mode, None), &f.tools).await.unwrap();
    }
    for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        check_source(&with("127.0.0.1", mode, Some(&ca)), &f.tools).await.unwrap();
    }
    // Without the CA the operating system's roots are asked, and they know nothing of it.
    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        let error = check_source(&with("127.0.0.1", mode, None), &f.tools).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    }
    let other = foreign_ca(f.directory.path());
    let error = check_source(&with("127.0.0.1", SslMode::Require, Some(&other)), &f.tools)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Tls { .. }),
        "a root certificate makes require check the chain: {error:?}"
    );
    std::fs::remove_file(other).unwrap();
    // A whole backup through TLS, the tool included.
    f.sql("CREATE TABLE a AS SELECT 1 AS i");
    let request = coffer_engine::BackupRequest {
        source: with("localhost", SslMode::VerifyFull, Some(&ca)),
        ..f.request()
    };
    assert_eq!(f.run(request).await.unwrap().totals.content.rows, 1);
}

/// A certificate that signed nothing here.
fn foreign_ca(directory: &std::path::Path) -> std::path::PathBuf {
    let options = PostgresOptions { tls: true, ..PostgresOptions::default() };
    let other = PostgresServer::start_with(&options).expect("a server");
    let file = directory.join("other-ca.pem");
    std::fs::copy(other.ca_file(), &file).expect("a copy");
    file
}

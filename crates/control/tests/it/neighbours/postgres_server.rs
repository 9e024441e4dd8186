use coffer_azure::ResourceId;
use coffer_control::config::ServerConfig;
use coffer_engine::SslMode;
use coffer_testkit::PostgresServer;
use reqwest::Method;
use serde_json::json;

use super::READER;
use crate::harness::Harness;

fn server(group: &str, name: &str) -> String {
    format!("{group}/providers/Microsoft.DBforPostgreSQL/servers/{name}")
}

fn flexible(group: &str, name: &str) -> String {
    format!("{group}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{name}")
}

#[tokio::test]
async fn a_server_is_registered_resolved_and_forgotten() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let path = server(&group, "pg1");
    let body = json!({"location": "westeurope", "tags": {"a": "b"}, "properties": {
        "fullyQualifiedDomainName": "127.0.0.1", "port": 5433, "sslMode": "Disable",
        "secretUri": "https://kv.vault.azure.net/secrets/s",
    }});
    let made = h.call(Method::PUT, &path, Some(body.clone())).await.expect(201).body;
    assert_eq!(made["properties"]["fullyQualifiedDomainName"], "127.0.0.1");
    assert_eq!(made["properties"]["sslMode"], "disable");
    assert_eq!(made["properties"]["userVisibleState"], "Ready");
    assert_eq!(made["type"], "Microsoft.DBforPostgreSQL/servers");
    h.call(Method::PUT, &path, Some(body)).await.expect(200);
    assert_eq!(h.call(Method::GET, &path, None).await.expect(200).body, made);
    let list = format!("{}/providers/Microsoft.DBforPostgreSQL/servers", h.subscription_path());
    let list = h.call(Method::GET, &list, None).await.expect(200).body;
    assert_eq!(list["value"], json!([made]));

    let app = h.service().app();
    let id = ResourceId::parse(&path.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"));
    let id = id.unwrap();
    let found = app.server_resolve(&id.child("databases", "db")).await.unwrap().unwrap();
    assert_eq!((found.host.as_str(), found.port), ("127.0.0.1", 5433));
    assert_eq!(found.ssl_mode, Some(SslMode::Disable));
    assert_eq!(found.id.as_str(), path);
    assert_eq!(app.server_resolve(&id).await.unwrap().unwrap(), found);

    h.call(Method::DELETE, &path, None).await.expect(200);
    h.call(Method::DELETE, &path, None).await.expect(204);
    assert_eq!(app.server_resolve(&id).await.unwrap(), None);
    h.call(Method::GET, &path, None).await.expect_error(404, "ResourceNotFound");
    h.stop().await;
}

/// As the SDKs of Azure send it: no host, but an administrator's password.
#[tokio::test]
async fn an_sdk_registers_with_the_configurations_help_and_its_password_is_not_kept() {
    let h = Harness::start_with(|config| {
        let server = ServerConfig {
            host: "db.example.org".to_owned(),
            port: 6432,
            ssl_mode: Some("verify-full".to_owned()),
            secret_uri: None,
        };
        config.servers.insert("pg1".to_owned(), server);
    })
    .await;
    let group = h.group("g").await;
    let password = "correct-horse-battery";
    let single = json!({"sku": {"name": "B_Gen5_1"}, "location": "westeurope", "properties": {
        "version": "11", "administratorLogin": "admin1", "administratorLoginPassword": password,
        "createMode": "Default", "storageProfile": {"storageMB": 5120},
    }});
    let made = h.call(Method::PUT, &server(&group, "PG1"), Some(single)).await.expect(201).body;
    assert_eq!(made["properties"]["fullyQualifiedDomainName"], "db.example.org");
    assert_eq!(made["properties"]["port"], 6432);
    assert_eq!(made["properties"]["administratorLogin"], "admin1");
    let body = json!({"location": "westeurope", "sku": {"name": "Standard_D4s_v3", "tier": "GeneralPurpose"},
        "properties": {"administratorLogin": "admin1", "administratorLoginPassword": password, "version": "15",
        "storage": {"storageSizeGB": 128}, "network": {}}});
    let path = flexible(&group, "pg1");
    let accepted = h.call(Method::PUT, &path, Some(body.clone())).await.expect(202);
    assert!(accepted.header("location").starts_with(&format!("{}{path}?", h.endpoint)));
    let location = accepted.header("location").to_owned();
    let got = h.call(Method::GET, &location, None).await.expect(200).body;
    assert_eq!(got["properties"]["state"], "Ready");
    assert_eq!(got["properties"]["provisioningState"], "Succeeded");
    h.call(Method::PUT, &flexible(&group, "other"), Some(body))
        .await
        .expect_error(400, "InvalidParameterValue");
    let data_dir = h.stop().await;
    for entry in std::fs::read_dir(data_dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(password.len()).any(|part| part == password.as_bytes()),
                "{path:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_refused() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let put = async |name: &str, properties: serde_json::Value| {
        let body = json!({"location": "westeurope", "properties": properties});
        h.call(Method::PUT, &server(&group, name), Some(body)).await
    };
    put("pg", json!({})).await.expect_error(400, "InvalidParameterValue");
    for host in ["/var/run/postgresql", "a b", "a,b", "host?x", "user@host"] {
        let answer = put("pg", json!({"fullyQualifiedDomainName": host})).await;
        answer.expect_error(400, "InvalidParameterValue");
    }
    let with = |name: &str, value: serde_json::Value| {
        let mut properties = json!({"fullyQualifiedDomainName": "db"});
        properties[name] = value;
        properties
    };
    put("pg", with("port", json!(0))).await.expect_error(400, "InvalidParameterValue");
    put("pg", with("port", json!(65536))).await.expect_error(400, "InvalidRequestContent");
    put("pg", with("port", json!("x"))).await.expect_error(400, "InvalidRequestContent");
    put("pg", with("sslMode", json!("maybe"))).await.expect_error(400, "InvalidParameterValue");
    put("pg", with("secretUri", json!("s"))).await.expect_error(400, "InvalidParameterValue");
    put("-pg", with("port", json!(1))).await.expect_error(400, "InvalidServerName");
    h.call(Method::GET, &format!("{group}/providers/Microsoft.DBforPostgreSQL/clusters"), None)
        .await
        .expect_error(404, "InvalidResourceType");
    h.stop().await;
}

#[tokio::test]
async fn databases_are_those_of_the_server_itself() {
    let postgres = PostgresServer::start().unwrap();
    postgres.create_database("Shop").unwrap();
    let h = Harness::start().await;
    let group = h.group("g").await;
    let path = server(&group, "pg");
    let databases = format!("{path}/databases");
    h.call(Method::GET, &databases, None).await.expect_error(404, "ResourceNotFound");
    let mut body = json!({"location": "westeurope", "properties": {
        "fullyQualifiedDomainName": "127.0.0.1", "port": postgres.port(), "sslMode": "disable",
    }});
    h.call(Method::PUT, &path, Some(body.clone())).await.expect(201);
    h.call(Method::GET, &databases, None).await.expect_error(409, "ServerDatabasesNotAvailable");
    let secret = json!({"value": postgres.uri("postgres")});
    h.call(Method::PUT, "/secrets/pg?api-version=7.4", Some(secret)).await.expect(200);
    body["properties"]["secretUri"] = json!(format!("{}/secrets/pg", h.endpoint));
    h.call(Method::PUT, &path, Some(body)).await.expect(200);
    let found = h.call(Method::GET, &databases, None).await.expect(200).body;
    let names: Vec<_> =
        found["value"].as_array().unwrap().iter().map(|database| &database["name"]).collect();
    assert!(names.contains(&&json!("Shop")) && names.contains(&&json!("postgres")), "{names:?}");
    assert!(!names.contains(&&json!("template0")));
    let one = h.call(Method::GET, &format!("{databases}/Shop"), None).await.expect(200).body;
    assert_eq!(one["properties"]["charset"], "UTF8");
    assert_eq!(one["id"], format!("{databases}/Shop"));
    h.call(Method::GET, &format!("{databases}/shop"), None)
        .await
        .expect_error(404, "ResourceNotFound");
    // Who may see the server but not read the secret is told so.
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, READER, &group).await;
    h.call_as(&reader, Method::GET, &databases, None)
        .await
        .expect_error(409, "ServerDatabasesNotAvailable");
    h.stop().await;
}

//! A flexible server, protected as a whole: validated, configured, backed up; restored as files, and one of its databases as a
//! database.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{
    Estate, KEY_VAULT_SECRETS_USER, READER, STORAGE_BLOB_DATA_CONTRIBUTOR, digest, fill,
};

const SERVER_TYPE: &str = "Microsoft.DBforPostgreSQL/flexibleServers";
const LTR_BACKUP_ROLE: &str = "c088a766-074b-43ba-90d4-1fb21feae531";

/// The estate with its server registered as a flexible one, too, and a policy for such.
struct Whole {
    estate: Estate,
    server: String,
}

impl Whole {
    async fn new() -> Whole {
        let estate = Estate::new("On").await;
        let server = estate.server.replace("/servers/pg", "/flexibleServers/flex");
        let registration = json!({"location": "westeurope", "properties": {
            "fullyQualifiedDomainName": "127.0.0.1", "port": estate.postgres.port(), "sslMode": "disable",
            "secretUri": estate.secret_uri,
        }});
        let put = format!("{server}?api-version=2024-08-01");
        estate.harness.call(Method::PUT, &put, Some(registration)).await.expect(202);
        estate.policy_for("flex", SERVER_TYPE).await;
        Whole { estate, server }
    }

    /// What Azure's documentation asks for, and the key vault.
    async fn grant(&self) {
        let Estate { harness, vault_principal, .. } = &self.estate;
        harness.assign(vault_principal, READER, &self.server).await;
        self.grant_rest().await;
    }

    /// What is missing beside Reader.
    async fn grant_rest(&self) {
        let Estate { harness, vault_principal, .. } = &self.estate;
        harness.assign(vault_principal, LTR_BACKUP_ROLE, &self.server).await;
        let key_vault = format!(
            "{}/resourceGroups/coffer/providers/Microsoft.KeyVault/vaults/coffer",
            harness.subscription_path()
        );
        harness.assign(vault_principal, KEY_VAULT_SECRETS_USER, &key_vault).await;
    }

    /// As the published clients send it: no set, no credentials.
    fn properties(&self) -> Value {
        json!({"objectType": "BackupInstance", "friendlyName": "flex",
            "dataSourceInfo": {"datasourceType": SERVER_TYPE, "objectType": "Datasource", "resourceID": self.server,
                "resourceLocation": "westeurope", "resourceName": "flex", "resourceType": SERVER_TYPE,
                "resourceUri": self.server},
            "dataSourceSetInfo": null, "datasourceAuthCredentials": null,
            "policyInfo": {"policyId": format!("{}/backupPolicies/flex", self.estate.vault)}})
    }

    async fn validate(&self) -> Value {
        let body = json!({"backupInstance": self.properties()});
        let url = format!("{}/validateForBackup", self.estate.vault);
        let answer = self.estate.harness.call(Method::POST, &url, Some(body)).await.expect(202);
        self.estate.follow(&answer).await
    }

    async fn protect(&self) -> String {
        let path = self.estate.instance("flex");
        let body = json!({"properties": self.properties()});
        let put = self.estate.harness.call(Method::PUT, &path, Some(body)).await.expect(201);
        assert_eq!(self.estate.follow(&put).await["status"], "Succeeded");
        assert_eq!(self.estate.state(&path).await, "ProtectionConfigured");
        path
    }

    async fn restore(&self, instance: &str, request: &Value) -> Value {
        let url = format!("{instance}/validateRestore");
        let body = json!({"restoreRequestObject": request});
        let answer = self.estate.harness.call(Method::POST, &url, Some(body)).await.expect(202);
        let status = self.estate.follow(&answer).await;
        assert_eq!(status["status"], "Succeeded", "{status:#}");
        let url = format!("{instance}/restore");
        let answer = self.estate.harness.call(Method::POST, &url, Some(request.clone())).await;
        self.estate.job(&answer.expect(202)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_configure_back_up_and_restore() {
    let whole = Whole::new().await;
    let estate = &whole.estate;
    fill(&estate.postgres, "second");
    estate.postgres.psql("postgres", "CREATE ROLE of_the_server").unwrap();
    whole.grant().await;
    assert_eq!(whole.validate().await["status"], "Succeeded");
    let instance = whole.protect().await;
    let body = json!({"backupInstance": whole.properties()});
    let url = format!("{}/validateForBackup", estate.vault);
    let taken = estate.harness.call(Method::POST, &url, Some(body)).await;
    taken.expect_error(400, "UserErrorDppDatasourceAlreadyProtected");
    // One of its databases may be protected by itself all the same.
    estate.harness.assign(&estate.vault_principal, READER, &estate.server).await;
    estate.protect("pg-shop", "shop").await;

    let job = estate.backup(&instance).await;
    let properties = &job["properties"];
    assert_eq!(properties["status"], "Completed", "{job:#}");
    assert_eq!(properties["dataSourceName"], "flex");
    assert_eq!(properties["dataSourceSetName"], Value::Null);
    assert_eq!(properties["dataSourceType"], SERVER_TYPE);
    assert_eq!(properties["dataSourceId"], whole.server);
    assert_eq!(properties["destinationDataStoreName"], "VaultStore");
    let points = estate.recovery_points(&instance).await;
    assert_eq!(points.len(), 1);
    let got = estate.harness.call(Method::GET, points[0]["id"].as_str().unwrap(), None).await;
    let store = &got.expect(200).body["properties"]["recoveryPointDataStoresDetails"][0];
    let said: Value = serde_json::from_str(store["metaData"].as_str().unwrap()).unwrap();
    assert_eq!(said["databases"], json!(["postgres", "second", "shop"]));
    assert_eq!((&said["serverName"], &said["databaseCount"]), (&json!("flex"), &json!(3)));
    let id = points[0]["name"].as_str().unwrap();
    files(&whole, &instance, id).await;
    one_database(&whole, &instance, id).await;

    // The next one is small: equal chunks are found again, database by database.
    estate.backup(&instance).await;
    let points = estate.recovery_points(&instance).await;
    assert_eq!(points.len(), 2);
    let got = estate.harness.call(Method::GET, points[0]["id"].as_str().unwrap(), None).await;
    let store = &got.expect(200).body["properties"]["recoveryPointDataStoresDetails"][0];
    let next: Value = serde_json::from_str(store["metaData"].as_str().unwrap()).unwrap();
    assert!(next["storedBytes"].as_u64().unwrap() < said["storedBytes"].as_u64().unwrap() / 4);
}

async fn files(whole: &Whole, instance: &str, point: &str) {
    let estate = &whole.estate;
    let (account, root, url) = estate.files_account().await;
    estate.harness.assign(&estate.vault_principal, STORAGE_BLOB_DATA_CONTRIBUTOR, &account).await;
    let job = whole.restore(instance, &Estate::restore_to_files(point, url)).await;
    assert_eq!(job["properties"]["errorDetails"], Value::Null, "{job:#}");
    let details = &job["properties"]["extendedInfo"]["additionalDetails"];
    assert!(details["Proof"].as_str().unwrap().starts_with("equal"), "{job:#}");
    assert_eq!(details["Restored Files"], "6");
    let directory = root.join("container").join("shop_files");
    let mut names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["postgres.sql", "roles.sql", "schema.sql", "second.sql", "shop.sql", "tablespace.sql"]
    );
    let roles = std::fs::read_to_string(directory.join("roles.sql")).unwrap();
    assert!(roles.contains("CREATE ROLE \"of_the_server\""), "{roles}");
    restore_by_tool(estate, &directory.join("second.sql"), "second", "from_files");

    // One database alone is a directory, as that of a database's instance.
    let mut request = Estate::restore_to_files(point, url);
    request["restoreTargetInfo"]["targetDetails"]["filePrefix"] = json!("one");
    request["cofferRestoreOptions"] = json!({"sourceDatabase": "shop"});
    let job = whole.restore(instance, &request).await;
    let details = &job["properties"]["extendedInfo"]["additionalDetails"];
    assert_eq!(details["Restored Database"], "shop", "{job:#}");
    restore_by_tool(estate, &root.join("container").join("one"), "shop", "from_directory");
}

fn restore_by_tool(estate: &Estate, archive: &Path, source: &str, database: &str) {
    estate.postgres.create_database(database).unwrap();
    let output = Command::new(estate.postgres.bin().join("pg_restore"))
        .args(["-j2", "--exit-on-error", "-d", &estate.postgres.uri(database)])
        .arg(archive)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(digest(&estate.postgres, database), digest(&estate.postgres, source));
    estate.postgres.psql("postgres", &format!("DROP DATABASE {database}")).unwrap();
}

async fn one_database(whole: &Whole, instance: &str, point: &str) {
    let estate = &whole.estate;
    let mut request = estate.restore_to_database(point, "second_again");
    let target = format!("{}/databases/second_again", whole.server);
    request["restoreTargetInfo"]["datasourceInfo"]["resourceID"] = json!(target);
    request["restoreTargetInfo"]["datasourceInfo"]["datasourceType"] =
        json!("Microsoft.DBforPostgreSQL/flexibleServers/databases");
    let url = format!("{instance}/restore");
    let unnamed = estate.harness.call(Method::POST, &url, Some(request.clone())).await;
    let unnamed = unnamed.expect_error(400, "BMSUserErrorInvalidInput").body;
    assert!(unnamed.to_string().contains("sourceDatabase"), "{unnamed:#}");

    request["cofferRestoreOptions"] = json!({"sourceDatabase": "second"});
    let job = whole.restore(instance, &request).await;
    let info = &job["properties"]["extendedInfo"];
    assert_eq!(info["recoveryDestination"], target, "{job:#}");
    assert!(info["additionalDetails"]["Proof"].as_str().unwrap().starts_with("equal"), "{job:#}");
    assert_eq!(info["additionalDetails"]["Restored Database"], "second");
    assert_eq!(digest(&estate.postgres, "second_again"), digest(&estate.postgres, "second"));
    estate.postgres.psql("postgres", "DROP DATABASE second_again").unwrap();

    request["cofferRestoreOptions"] = json!({"sourceDatabase": "third"});
    let answer = estate.harness.call(Method::POST, &url, Some(request)).await.expect(202);
    let job = estate.job(&answer).await;
    let error = &job["properties"]["errorDetails"][0];
    assert_eq!(error["code"], "UserErrorRestorePrerequisitesNotMet", "{job:#}");
    assert!(error.to_string().contains("no database"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_of_a_server_has_its_error() {
    let whole = Whole::new().await;
    let estate = &whole.estate;
    let Estate { harness, vault_principal, .. } = estate;
    let said = |status: Value, code: &str, word: &str| {
        assert_eq!(status["error"]["code"], code, "{status:#}");
        assert!(status.to_string().contains(word), "{status:#}");
    };
    let forbidden = "UserErrorMSIMissingPermissions";
    said(whole.validate().await, forbidden, "flexibleServers/read");
    harness.assign(vault_principal, READER, &whole.server).await;
    said(whole.validate().await, forbidden, "Long Term Retention Backup Role");
    whole.grant_rest().await;
    assert_eq!(whole.validate().await["status"], "Succeeded");

    // A role that may not read all of one database: it is named, with what to run there.
    estate
        .postgres
        .psql("postgres", "CREATE ROLE reader LOGIN PASSWORD 'pw'; CREATE DATABASE locked")
        .unwrap();
    estate.postgres.psql("locked", "CREATE TABLE t (i int)").unwrap();
    for table in ["customer", "purchase"] {
        estate.postgres.psql("shop", &format!("GRANT SELECT ON {table} TO reader")).unwrap();
    }
    let grants = "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO reader; SELECT lo_unlink(oid) FROM pg_largeobject_metadata";
    estate.postgres.psql("shop", grants).unwrap();
    estate.secret("shop", "postgres://reader:pw@ignored/").await;
    let status = whole.validate().await;
    said(status.clone(), "UserErrorMissingDBPermissions", "public.t in database locked");
    assert!(!status.to_string().contains("purchase"), "{status:#}");
    // The backup fails as a whole, and says the same.
    let instance = whole.protect().await;
    let job = estate.backup(&instance).await;
    assert_eq!(job["properties"]["status"], "Failed");
    let error = &job["properties"]["errorDetails"][0];
    assert_eq!(error["code"], "UserErrorMissingDBPermissions", "{job:#}");
    assert!(error.to_string().contains("'locked'"), "{error:#}");
    assert!(estate.recovery_points(&instance).await.is_empty());

    // Policies are for one kind of datasource.
    let mut properties = whole.properties();
    properties["policyInfo"]["policyId"] = json!(format!("{}/backupPolicies/weekly", estate.vault));
    let body = Some(json!({"properties": properties}));
    let refused = harness.call(Method::PUT, &estate.instance("other"), body).await;
    refused.expect_error(400, "BMSUserErrorInvalidInput");
    // And stay so while they are used.
    let path = format!("{}/backupPolicies/flex", estate.vault);
    let mut policy = harness.call(Method::GET, &path, None).await.expect(200).body;
    policy["properties"]["datasourceTypes"] =
        json!(["Microsoft.DBforPostgreSQL/servers/databases"]);
    let changed = Some(json!({"properties": policy["properties"]}));
    let refused = harness.call(Method::PUT, &path, changed).await;
    refused.expect_error(400, "BMSUserErrorInvalidInput");
}

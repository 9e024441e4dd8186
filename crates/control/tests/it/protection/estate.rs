//! What a test needs before it can protect a database: a PostgreSQL server, its registration in one subscription, a
//! vault in another, a secret, the grants, a policy.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coffer_testkit::{PostgresServer, wait_until};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, DEADLINE, Harness};

pub(crate) const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
pub(crate) const KEY_VAULT_SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
pub(crate) const STORAGE_BLOB_DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const DATABASE_TYPE: &str = "Microsoft.DBforPostgreSQL/servers/databases";

/// A service, a database server, and everything in between.
pub(crate) struct Estate {
    pub(crate) harness: Harness,
    pub(crate) postgres: PostgresServer,
    /// ARM path of the vault, in the default subscription.
    pub(crate) vault: String,
    /// ARM path of the server, in another subscription.
    pub(crate) server: String,
    /// URI of the secret with the superuser's connection string.
    pub(crate) secret_uri: String,
    /// The vault's own principal.
    pub(crate) vault_principal: String,
}

/// A database with a few tables, rows, a view, a sequence and a large object.
pub(crate) fn fill(postgres: &PostgresServer, database: &str) {
    postgres.create_database(database).unwrap();
    postgres
        .psql(
            database,
            "CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL);
             CREATE TABLE purchase (id bigserial PRIMARY KEY, customer int REFERENCES customer, total numeric(12, 2),
                 at timestamptz DEFAULT now());
             INSERT INTO customer SELECT i, 'customer ' || i FROM generate_series(1, 500) i;
             INSERT INTO purchase (customer, total) SELECT 1 + i % 500, i / 7.0 FROM generate_series(1, 20000) i;
             CREATE VIEW turnover AS SELECT customer, sum(total) FROM purchase GROUP BY customer;
             CREATE INDEX purchase_customer ON purchase (customer);
             SELECT lo_from_bytea(0, 'a large object');",
        )
        .unwrap();
}

/// What two databases have to agree on.
pub(crate) fn digest(postgres: &PostgresServer, database: &str) -> String {
    postgres
        .psql(
            database,
            "SELECT (SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM customer c),
                    (SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM purchase p),
                    (SELECT count(*) FROM turnover), (SELECT last_value FROM purchase_id_seq),
                    (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public')",
        )
        .unwrap()
}

/// A session that keeps every reader from the table `customer` until [`unlock_customer`].
pub(crate) fn lock_customer(postgres: &PostgresServer) -> Child {
    let lock = Command::new(postgres.bin().join("psql"))
        .args([&postgres.uri("shop"), "-c", "BEGIN; LOCK TABLE customer; SELECT pg_sleep(600)"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the lock", DEADLINE, || {
        let held = postgres.psql(
            "shop",
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = relation
             WHERE relname = 'customer' AND mode = 'AccessExclusiveLock' AND granted",
        )?;
        Ok((held.trim() == "1").then_some(()))
    })
    .unwrap();
    lock
}

/// Ends that session. Its statement does not notice that its client has gone, so the server has to end it.
pub(crate) fn unlock_customer(postgres: &PostgresServer, mut lock: Child) {
    let statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
    postgres.psql("shop", statement).unwrap();
    lock.wait().unwrap();
}

impl Estate {
    /// Everything set up, with soft delete as given (`On` or `Off`).
    pub(crate) async fn new(soft_delete: &str) -> Estate {
        let postgres = PostgresServer::start().unwrap();
        fill(&postgres, "shop");
        // Time goes by in many tests, and only those of the schedule want what it makes up for.
        let harness = Harness::start_with(|config| config.schedule.catch_up = false).await;
        Self::on(harness, postgres, soft_delete).await
    }

    /// Everything set up around a service that was started by the test.
    pub(crate) async fn on(
        harness: Harness,
        postgres: PostgresServer,
        soft_delete: &str,
    ) -> Estate {
        let data_subscription = harness.other_subscription().await;
        let data_group = format!("/subscriptions/{data_subscription}/resourceGroups/data");
        harness
            .call(Method::PUT, &data_group, Some(json!({"location": "westeurope"})))
            .await
            .expect(201);
        let vault_group = harness.group("backup").await;

        let secret = format!("{}/secrets/shop?api-version=7.4", harness.endpoint);
        let value = format!(
            "Server=elsewhere;Database=other;Port=1;User Id=postgres;Password={};Ssl Mode=Disable;",
            postgres.password()
        );
        let made =
            harness.call(Method::PUT, &secret, Some(json!({"value": value}))).await.expect(200);
        let secret_uri = made.body["id"].as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();

        let server = format!("{data_group}/providers/Microsoft.DBforPostgreSQL/servers/pg");
        let registration = json!({"location": "westeurope", "properties": {
            "fullyQualifiedDomainName": "127.0.0.1", "port": postgres.port(), "sslMode": "disable",
        }});
        let made = harness
            .call(Method::PUT, &format!("{server}?api-version=2017-12-01"), Some(registration))
            .await;
        assert!(made.status.is_success(), "{:#}", made.body);

        let vault = format!("{vault_group}/providers/Microsoft.DataProtection/backupVaults/vault");
        let made = harness
            .call(
                Method::PUT,
                &vault,
                Some(json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {
                    "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}],
                    "securitySettings": {"softDeleteSettings": {"state": soft_delete, "retentionDurationInDays": 14.0}},
                }})),
            )
            .await
            .expect(201);
        let vault_principal = made.body["identity"]["principalId"].as_str().unwrap().to_owned();
        let estate = Estate { harness, postgres, vault, server, secret_uri, vault_principal };
        assert_eq!(estate.follow(&made).await["status"], "Succeeded");
        estate.policy("weekly").await;
        estate
    }

    /// Gives the vault's identity what backups need.
    pub(crate) async fn grant(&self) {
        self.harness.assign(&self.vault_principal, READER, &self.server).await;
        let key_vault = format!(
            "{}/resourceGroups/coffer/providers/Microsoft.KeyVault/vaults/coffer",
            self.harness.subscription_path()
        );
        self.harness.assign(&self.vault_principal, KEY_VAULT_SECRETS_USER, &key_vault).await;
    }

    /// Makes a policy for databases, with a default retention and one more.
    pub(crate) async fn policy(&self, name: &str) {
        self.policy_for(name, DATABASE_TYPE).await;
    }

    /// The same for datasources of a type.
    pub(crate) async fn policy_for(&self, name: &str, datasource_type: &str) {
        let tag = |name: &str, default: bool, priority: u32| {
            json!({"isDefault": default, "taggingPriority": priority, "tagInfo": {"tagName": name},
            "criteria": if default { Value::Null } else {
                json!([{"objectType": "ScheduleBasedBackupCriteria", "absoluteCriteria": ["FirstOfMonth"]}])
            }})
        };
        let retention = |name: &str, default: bool, duration: &str| {
            json!({"objectType": "AzureRetentionRule", "name": name, "isDefault": default, "lifecycles": [{
                "deleteAfter": {"objectType": "AbsoluteDeleteOption", "duration": duration},
                "sourceDataStore": {"objectType": "DataStoreInfoBase", "dataStoreType": "VaultStore"},
                "targetDataStoreCopySettings": []}]})
        };
        let body = json!({"properties": {"objectType": "BackupPolicy", "datasourceTypes": [datasource_type], "policyRules": [
            {"objectType": "AzureBackupRule", "name": "BackupWeekly",
             "backupParameters": {"objectType": "AzureBackupParams", "backupType": "Full"},
             "dataStore": {"objectType": "DataStoreInfoBase", "dataStoreType": "VaultStore"},
             "trigger": {"objectType": "ScheduleBasedTriggerContext",
                "schedule": {"repeatingTimeIntervals": ["R/2021-08-15T06:30:00+00:00/P1W"], "timeZone": "UTC"},
                "taggingCriteria": [tag("Monthly", false, 15), tag("Default", true, 99)]}},
            retention("Default", true, "P3M"), retention("Monthly", false, "P1Y"),
        ]}});
        let path = format!("{}/backupPolicies/{name}", self.vault);
        self.harness.call(Method::PUT, &path, Some(body)).await.expect(200);
    }

    /// Time goes by, and what is due is done. Tokens of before are over.
    pub(crate) async fn later(&mut self, by: Duration) {
        let app = self.harness.service().app();
        app.clock.advance(by);
        coffer_control::background::run_round(app).await;
        let owner = &self.harness.owner;
        let scope = format!("{}/.default", self.harness.endpoint);
        self.harness.owner.token = self.harness.token(owner, &scope).await;
    }

    /// Sets a secret of the default key vault and returns its URI.
    pub(crate) async fn secret(&self, name: &str, value: &str) -> String {
        let uri = format!("{}/secrets/{name}", self.harness.endpoint);
        let put = format!("{uri}?api-version=7.4");
        self.harness.call(Method::PUT, &put, Some(json!({"value": value}))).await.expect(200);
        uri
    }

    /// A datasource of this server.
    pub(crate) fn datasource(&self, database: &str) -> Value {
        json!({"datasourceType": DATABASE_TYPE, "objectType": "Datasource",
            "resourceID": format!("{}/databases/{database}", self.server), "resourceLocation": "westeurope",
            "resourceName": database, "resourceType": DATABASE_TYPE, "resourceUri": ""})
    }

    pub(crate) fn credentials(&self, uri: &str) -> Value {
        json!({"objectType": "SecretStoreBasedAuthCredentials",
            "secretStoreResource": {"secretStoreType": "AzureKeyVault", "uri": uri}})
    }

    /// The properties of an instance that protects a database.
    pub(crate) fn instance_properties(&self, database: &str) -> Value {
        json!({"objectType": "BackupInstance", "friendlyName": format!("pg/{database}"),
            "dataSourceInfo": self.datasource(database),
            "dataSourceSetInfo": {"datasourceType": DATABASE_TYPE, "objectType": "DatasourceSet",
                "resourceID": self.server, "resourceLocation": "westeurope", "resourceName": "pg",
                "resourceType": "Microsoft.DBforPostgreSQL/servers", "resourceUri": ""},
            "datasourceAuthCredentials": self.credentials(&self.secret_uri),
            "policyInfo": {"policyId": format!("{}/backupPolicies/weekly", self.vault)}})
    }

    /// ARM path of an instance.
    pub(crate) fn instance(&self, name: &str) -> String {
        format!("{}/backupInstances/{name}", self.vault)
    }

    /// Registers a storage account that is a directory. Returns its ARM path, the directory, and the URL of a container in it.
    pub(crate) async fn files_account(&self) -> (String, PathBuf, &'static str) {
        let account = format!(
            "{}/providers/Microsoft.Storage/storageAccounts/files",
            self.harness.group_path("backup")
        );
        let root = self.harness.data_dir().join("files").join("account");
        let body = json!({"location": "westeurope", "properties": {"backingStore": format!("file://{}", root.display())}});
        let put = format!("{account}?api-version=2023-01-01");
        let made = self.harness.call(Method::PUT, &put, Some(body)).await;
        assert!(made.status.is_success(), "{:#}", made.body);
        (account, root, "https://files.blob.core.windows.net/container")
    }

    /// A restore of a recovery point as files into a container.
    pub(crate) fn restore_to_files(recovery_point: &str, url: &str) -> Value {
        json!({"objectType": "AzureBackupRecoveryPointBasedRestoreRequest", "recoveryPointId": recovery_point,
            "sourceDataStoreType": "VaultStore", "restoreTargetInfo": {"objectType": "RestoreFilesTargetInfo",
                "recoveryOption": "FailIfExists", "restoreLocation": "westeurope", "targetDetails": {
                    "filePrefix": "shop_files", "restoreTargetLocationType": "AzureBlobs", "url": url}}})
    }

    /// A restore of a recovery point into a new database.
    pub(crate) fn restore_to_database(&self, recovery_point: &str, database: &str) -> Value {
        json!({"objectType": "AzureBackupRecoveryPointBasedRestoreRequest", "recoveryPointId": recovery_point,
            "sourceDataStoreType": "VaultStore", "restoreTargetInfo": {
                "objectType": "RestoreTargetInfo", "recoveryOption": "FailIfExists", "restoreLocation": "westeurope",
                "datasourceInfo": self.datasource(database),
                "datasourceAuthCredentials": self.credentials(&self.secret_uri)}})
    }

    /// Protects a database and returns the instance's path.
    pub(crate) async fn protect(&self, name: &str, database: &str) -> String {
        let path = self.instance(name);
        let body = json!({"properties": self.instance_properties(database)});
        let put = self.harness.call(Method::PUT, &path, Some(body)).await.expect(201);
        assert_eq!(put.body["properties"]["currentProtectionState"], "ConfiguringProtection");
        let status = self.follow(&put).await;
        assert_eq!(status["status"], "Succeeded", "{status:#}");
        let got = self.harness.call(Method::GET, &path, None).await.expect(200);
        assert_eq!(
            got.body["properties"]["currentProtectionState"], "ProtectionConfigured",
            "{:#}",
            got.body
        );
        path
    }

    /// Takes a backup and returns its job.
    pub(crate) async fn backup(&self, instance: &str) -> Value {
        let body = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
        let post = self
            .harness
            .call(Method::POST, &format!("{instance}/backup"), Some(body))
            .await
            .expect(202);
        self.job(&post).await
    }

    /// The recovery points of an instance.
    pub(crate) async fn recovery_points(&self, instance: &str) -> Vec<Value> {
        let got = self
            .harness
            .call(Method::GET, &format!("{instance}/recoveryPoints?$filter="), None)
            .await
            .expect(200);
        got.body["value"].as_array().unwrap().clone()
    }

    /// Polls the operation that an answer announces until it has ended.
    pub(crate) async fn follow(&self, answer: &Answer) -> Value {
        follow(&self.harness, answer.header("azure-asyncoperation")).await
    }

    /// The job that an answer's operation names, when it has ended.
    pub(crate) async fn job(&self, answer: &Answer) -> Value {
        let status = self.follow(answer).await;
        assert_eq!(status["status"], "Succeeded", "{status:#}");
        self.job_ended(status["properties"]["jobId"].as_str().unwrap()).await
    }

    /// A job, when it has ended.
    pub(crate) async fn job_ended(&self, job: &str) -> Value {
        let begun = Instant::now();
        loop {
            let got = self.harness.call(Method::GET, job, None).await.expect(200);
            if got.body["properties"]["status"] != "InProgress" {
                return got.body;
            }
            assert!(begun.elapsed() < DEADLINE, "the job does not end: {:#}", got.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A POST on the instance that ends well.
    pub(crate) async fn act(&self, path: &str) {
        let answer = self.harness.call(Method::POST, path, None).await.expect(202);
        let status = self.follow(&answer).await;
        assert_eq!(status["status"], "Succeeded", "{status:#}");
    }

    /// `currentProtectionState` of an instance.
    pub(crate) async fn state(&self, instance: &str) -> String {
        let got = self.harness.call(Method::GET, instance, None).await.expect(200);
        got.body["properties"]["currentProtectionState"].as_str().unwrap().to_owned()
    }
}

/// Polls an operation's status until it has ended.
pub(crate) async fn follow(harness: &Harness, url: &str) -> Value {
    assert!(url.starts_with(&harness.endpoint), "no absolute URL: {url}");
    let begun = Instant::now();
    loop {
        let got = harness.call(Method::GET, url, None).await.expect(200);
        if got.body["status"] != "Inprogress" {
            assert_eq!(got.header("retry-after"), "");
            return got.body;
        }
        assert_eq!(got.header("retry-after"), "1");
        assert_eq!(got.body["endTime"], "0001-01-01T00:00:00Z");
        assert!(begun.elapsed() < DEADLINE, "the operation does not end: {:#}", got.body);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! `Microsoft.DataProtection` over HTTPS, without a PostgreSQL server: what requests are answered at once, and what the
//! operations that need no database do to the resources.

mod backup_instance;
mod backup_policy;
mod backup_vault;
mod conditions;
mod consent;
mod critical_operations;
mod deleted_vaults;
mod everywhere;
mod jobs;
mod not_for_postgres;
mod of_a_resource;
mod protection;
mod published;
mod recovery_points;
mod resource_guards;
mod second_region;

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

pub(crate) use self::resource_guards::proxy_body;
use crate::harness::{Answer, DEADLINE, Harness};

/// The type of what is protected.
const DATABASE_TYPE: &str = "Microsoft.DBforPostgreSQL/servers/databases";

/// A service with a resource group.
pub(crate) struct Scene {
    pub(crate) h: Harness,
    pub(crate) group: String,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let h = Harness::start().await;
        let group = h.group("testBkpVaultRG").await;
        Self { h, group }
    }

    fn vault(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.DataProtection/backupVaults/{name}", self.group)
    }

    /// A vault that is ready.
    async fn make_vault(&self, name: &str, soft_delete: &str) -> String {
        let vault = self.vault(name);
        let answer = self.put(&vault, vault_body(soft_delete)).await.expect(201);
        self.finish(&answer, "Succeeded").await;
        vault
    }

    /// A registered server; nothing listens at its address.
    async fn make_server(&self, name: &str) -> String {
        let server = format!("{}/providers/Microsoft.DBforPostgreSQL/servers/{name}", self.group);
        let body = json!({ "location": "westus", "properties": {
            "fullyQualifiedDomainName": "127.0.0.1", "port": 1, "sslMode": "disable",
        } });
        let answer = self.put(&format!("{server}?api-version=2017-12-01"), body).await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
        server
    }

    /// A vault with a policy and a registered server: what an instance needs.
    pub(crate) async fn make_all(&self, soft_delete: &str) -> (String, String) {
        let vault = self.make_vault("testBkpVault", soft_delete).await;
        self.put(&format!("{vault}/backupPolicies/osspol3"), policy_body()).await.expect(200);
        let server = self.make_server("testpostgresql").await;
        (vault, server)
    }

    /// A protected instance.
    pub(crate) async fn protect(&self, vault: &str, name: &str, database: &str) -> String {
        let instance = format!("{vault}/backupInstances/{name}");
        let answer = self.put(&instance, instance_body(vault, database)).await.expect(201);
        self.finish(&answer, "Succeeded").await;
        instance
    }

    async fn get(&self, path: &str) -> Answer {
        self.h.call(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.h.call(Method::PUT, path, Some(body)).await
    }

    async fn post(&self, path: &str, body: Option<Value>) -> Answer {
        self.h.call(Method::POST, path, body).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.h.call(Method::DELETE, path, None).await
    }

    /// Follows the operation that an answer announces, to its end.
    async fn finish(&self, announced: &Answer, status: &str) -> Value {
        let url = announced.header("azure-asyncoperation").to_owned();
        assert!(url.starts_with(&self.h.endpoint), "{url}");
        assert!(!announced.header("retry-after").is_empty());
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.get(&url).await.expect(200);
            if answer.body["status"] != "Inprogress" {
                assert_eq!(answer.body["status"], status, "{:#}", answer.body);
                assert!(answer.header("retry-after").is_empty());
                return answer.body;
            }
            assert!(!answer.header("retry-after").is_empty());
            assert!(Instant::now() < deadline, "{url} does not end");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn vault_body(soft_delete: &str) -> Value {
    json!({
        "location": "WestUS",
        "identity": { "type": "SystemAssigned" },
        "properties": {
            "storageSettings": [{ "datastoreType": "VaultStore", "type": "LocallyRedundant" }],
            "securitySettings": { "softDeleteSettings": { "state": soft_delete, "retentionDurationInDays": 14.0 } }
        }
    })
}

/// The policy of the recordings.
pub(crate) fn policy_body() -> Value {
    json!({ "properties": {
        "datasourceTypes": [DATABASE_TYPE],
        "name": "OssPolicy1",
        "objectType": "BackupPolicy",
        "policyRules": [
            {
                "backupParameters": { "backupType": "Full", "objectType": "AzureBackupParams" },
                "dataStore": { "dataStoreType": "VaultStore", "objectType": "DataStoreInfoBase" },
                "name": "BackupWeekly",
                "objectType": "AzureBackupRule",
                "trigger": {
                    "objectType": "ScheduleBasedTriggerContext",
                    "schedule": { "repeatingTimeIntervals": ["R/2021-08-15T06:30:00+00:00/P1W"], "timeZone": "UTC" },
                    "taggingCriteria": [
                        { "isDefault": true, "tagInfo": { "id": "Default_", "tagName": "Default" }, "taggingPriority": 99 }
                    ]
                }
            },
            {
                "isDefault": true,
                "lifecycles": [{
                    "deleteAfter": { "duration": "P3M", "objectType": "AbsoluteDeleteOption" },
                    "sourceDataStore": { "dataStoreType": "VaultStore", "objectType": "DataStoreInfoBase" },
                    "targetDataStoreCopySettings": []
                }],
                "name": "Default",
                "objectType": "AzureRetentionRule"
            }
        ]
    } })
}

/// The database of the given server.
pub(crate) fn database(server: &str, name: &str) -> String {
    format!("{server}/databases/{name}")
}

/// The properties of an instance, as the documentation has them.
fn instance_properties(vault: &str, database: &str) -> Value {
    let (server, name) = database.rsplit_once("/databases/").expect("the id of a database");
    json!({
        "dataSourceInfo": {
            "resourceID": database,
            "resourceUri": "",
            "datasourceType": DATABASE_TYPE,
            "resourceName": name,
            "resourceType": DATABASE_TYPE,
            "resourceLocation": "westUS",
            "objectType": "Datasource"
        },
        "dataSourceSetInfo": {
            "resourceID": server,
            "resourceUri": "",
            "datasourceType": DATABASE_TYPE,
            "resourceName": "testpostgresql",
            "resourceType": "Microsoft.DBforPostgreSQL/servers",
            "resourceLocation": "westUS",
            "objectType": "DatasourceSet"
        },
        "policyInfo": { "policyId": format!("{vault}/backupPolicies/osspol3"), "policyVersion": "" }
    })
}

/// The PUT of the documentation, its stray closing brace apart: `objectType` stands beside `properties`.
pub(crate) fn instance_body(vault: &str, database: &str) -> Value {
    json!({
        "name": "testpostgresql-empdb11-957d23b1-c679-4c94-ade6-c4d34635e149",
        "type": "Microsoft.DataProtection/backupvaults/backupInstances",
        "properties": instance_properties(vault, database),
        "objectType": "BackupInstance"
    })
}

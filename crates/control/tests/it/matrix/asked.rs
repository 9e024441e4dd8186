//! A request for a route, made from its template: names of what is there, or of what is not, and a body that is good.

use std::collections::BTreeMap;

use coffer_control::http::RouteRow;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::dataprotection::{Scene, database, instance_body, policy_body, vault_body};
use crate::harness::Harness;

pub(super) const GROUP_READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// What `{…}` stands for.
#[derive(Clone, Debug)]
pub(super) struct Names {
    tenant: String,
    subscription: String,
    group: String,
    principal: String,
    files: String,
    /// By the type that a name follows.
    of_type: BTreeMap<&'static str, String>,
}

/// A service with one of everything that has a row.
pub(super) async fn scene() -> (Harness, Names) {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    s.protect(&vault, "present-instance", &database(&server, "empdb11")).await;
    let provider = format!("{}/providers", s.group);
    let guard = format!("{provider}/Microsoft.DataProtection/resourceGuards/present-guard");
    s.put(&guard, json!({ "location": "westus" })).await.expect(200);
    let user = s.h.user("present").await;
    let files = format!("file://{}/files/present", s.h.data_dir().display());
    let mut of_type = BTreeMap::from([
        ("backupVaults", "testBkpVault"),
        ("backupPolicies", "osspol3"),
        ("backupInstances", "present-instance"),
        ("resourceGuards", "present-guard"),
        ("backupResourceGuardProxies", "DppResourceGuardProxy"),
        ("servers", "testpostgresql"),
        ("flexibleServers", "present-flexible"),
        ("vaults", "present-key-vault"),
        ("storageAccounts", "presentaccount"),
        ("secrets", "present-secret"),
        ("databases", "present-database"),
    ])
    .into_iter()
    .map(|(kind, name)| (kind, name.to_owned()))
    .collect::<BTreeMap<_, _>>();
    for kind in ["roleDefinitions", "roleAssignments"] {
        of_type.insert(kind, Uuid::new_v4().to_string());
    }
    let names = Names {
        tenant: s.h.tenant.clone(),
        subscription: s.h.subscription.clone(),
        group: s.group.rsplit('/').next().unwrap().to_owned(),
        principal: user.principal_id,
        files,
        of_type,
    };
    let subscription = s.h.subscription_path();
    let group = &s.group;
    for (above, kind) in [
        (group, "Microsoft.KeyVault/vaults"),
        (group, "Microsoft.Storage/storageAccounts"),
        (group, "Microsoft.DBforPostgreSQL/flexibleServers"),
        (&subscription, "Microsoft.Authorization/roleDefinitions"),
        (&subscription, "Microsoft.Authorization/roleAssignments"),
        (group, "Microsoft.Authorization/roleAssignments"),
        (&vault, "Microsoft.Authorization/roleAssignments"),
    ] {
        let (namespace, last) = kind.split_once('/').unwrap();
        let path = format!("{above}/providers/{namespace}/{last}/{}", names.name(last));
        let answer = s.put(&path, body(last, &names)).await;
        assert!(answer.status.is_success(), "{path}: {:#}", answer.body);
    }
    s.put("/secrets/present-secret", json!({ "value": "v" })).await.expect(200);
    (s.h, names)
}

impl Names {
    /// Names of what is not there, each time others: what a request makes by one of them is there from then on.
    pub(super) fn absent(present: &Self) -> Self {
        let id = Uuid::new_v4().to_string();
        let of_type = present.of_type.keys().map(|kind| {
            let name = match *kind {
                "roleDefinitions" | "roleAssignments" => Uuid::new_v4().to_string(),
                "storageAccounts" | "vaults" => format!("a{}", &id.replace('-', "")[..20]),
                _ => format!("absent-{id}"),
            };
            (*kind, name)
        });
        Self { group: format!("absent-{id}"), of_type: of_type.collect(), ..present.clone() }
    }

    /// A message without these names.
    pub(super) fn hidden(&self, message: &str) -> String {
        let mut names: Vec<&String> = self.of_type.values().chain([&self.group]).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names.into_iter().fold(message.to_owned(), |text, name| text.replace(name.as_str(), "…"))
    }

    fn name(&self, kind: &str) -> String {
        self.of_type.get(kind).cloned().unwrap_or_else(|| "name".to_owned())
    }

    fn subscription_path(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    fn in_group(&self, namespace: &str, kind: &str) -> String {
        format!(
            "{}/resourceGroups/{}/providers/{namespace}/{kind}/{}",
            self.subscription_path(),
            self.group,
            self.name(kind)
        )
    }
}

/// A request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

impl Asked {
    /// The request for a route, about these names. What its body names beside is there.
    pub(super) fn new(row: &RouteRow, names: &Names, present: &Names) -> Self {
        let template = row.template();
        let mut path = String::new();
        let mut kind = "";
        for segment in template.split('/').skip(1) {
            let filled = match segment {
                "{tenant}" => names.tenant.clone(),
                "{subscription}" => names.subscription.clone(),
                "{group}" => names.group.clone(),
                "{namespace}" => "Microsoft.DataProtection".to_owned(),
                "{file}" => "backupJobs.json".to_owned(),
                "{type}" => "dppModifyPolicy".to_owned(),
                "{version}" => "0af7651916cd43dd8448eb211c80319c".to_owned(),
                // The one address of which a name is a word.
                "{name}" if row.method == "POST" && template == "/secrets/{name}" => {
                    "restore".to_owned()
                }
                "{name}" => names.name(kind),
                "{scope}" => {
                    let vault = names.in_group("Microsoft.DataProtection", "backupVaults");
                    vault.trim_start_matches('/').to_owned()
                }
                word => {
                    kind = template.split('/').find(|part| *part == word).unwrap_or_default();
                    word.to_owned()
                }
            };
            path.push('/');
            path.push_str(&filled);
        }
        let is_secret = path.starts_with("/secrets") || path.starts_with("/deletedSecrets");
        if is_secret {
            path.push_str("?api-version=7.4");
        }
        let method: Method = row.method.parse().unwrap();
        let of_second_region = of_second_region(last_type(&template), present);
        if let (Some(asked), "GET") = (&of_second_region, row.method) {
            // What follows a page: the body's members stand in the query.
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in asked.as_object().unwrap() {
                query.append_pair(name, value.as_str().unwrap());
            }
            path.push_str(&format!("?{}", query.finish()));
        }
        let body = match row.method {
            "PUT" => Some(body(last_type(&template), present)),
            "PATCH" if is_secret => Some(json!({ "attributes": { "enabled": true } })),
            "PATCH" => Some(json!({ "tags": {} })),
            "POST" if !template.ends_with("/token") => {
                Some(of_second_region.unwrap_or_else(|| json!({})))
            }
            _ => None,
        };
        Self { method, path, body }
    }
}

/// The last word of a template that is a type.
fn last_type(template: &str) -> &str {
    template.split('/').rfind(|part| !part.starts_with('{')).unwrap_or_default()
}

/// A good body for a request about the second region, for which it takes more than a right at its address.
fn of_second_region(kind: &str, names: &Names) -> Option<Value> {
    let vault = names.in_group("Microsoft.DataProtection", "backupVaults");
    let instance = format!("{vault}/backupInstances/{}", names.name("backupInstances"));
    let of_instance = json!({ "sourceRegion": "westus", "sourceBackupInstanceId": instance });
    Some(match kind {
        "fetchSecondaryRecoveryPoints" => of_instance,
        "validateCrossRegionRestore" | "crossRegionRestore" => json!({
            "crossRegionRestoreDetails": of_instance,
            "restoreRequestObject": {
                "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
                "recoveryPointId": "3e192126995b408bab9f4252d76c6b23", "sourceDataStoreType": "VaultStore",
                "restoreTargetInfo": {
                    "objectType": "RestoreFilesTargetInfo", "recoveryOption": "FailIfExists",
                    "targetDetails": { "filePrefix": "p", "restoreTargetLocationType": "AzureBlobs",
                        "url": "https://a.blob.core.windows.net/c" },
                },
            },
        }),
        "fetchCrossRegionRestoreJobs" => {
            json!({ "sourceRegion": "westus", "sourceBackupVaultId": vault })
        }
        "fetchCrossRegionRestoreJob" => json!({
            "sourceRegion": "westus", "sourceBackupVaultId": vault,
            "jobId": "0af76519-16cd-43dd-8448-eb211c80319c",
        }),
        _ => return None,
    })
}

/// A good body for the PUT of one of the type.
fn body(kind: &str, names: &Names) -> Value {
    let vault = names.in_group("Microsoft.DataProtection", "backupVaults");
    let server = names.in_group("Microsoft.DBforPostgreSQL", "servers");
    let guard = names.in_group("Microsoft.DataProtection", "resourceGuards");
    let subscription = names.subscription_path();
    match kind {
        "secrets" => json!({ "value": "v" }),
        "roleDefinitions" => json!({ "properties": {
            "roleName": format!("matrix {}", Uuid::new_v4()), "type": "CustomRole", "assignableScopes": [subscription],
            "permissions": [{ "actions": ["*/read"] }],
        } }),
        "roleAssignments" => json!({ "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
            "principalId": names.principal,
        } }),
        "vaults" => json!({ "location": "westus", "properties": {
            "tenantId": names.tenant, "sku": { "family": "A", "name": "standard" },
        } }),
        "storageAccounts" => {
            json!({ "location": "westus", "properties": { "backingStore": names.files } })
        }
        "servers" | "flexibleServers" => json!({ "location": "westus", "properties": {
            "fullyQualifiedDomainName": "127.0.0.1", "port": 1, "sslMode": "disable",
        } }),
        "backupVaults" => vault_body("On"),
        "backupPolicies" => policy_body(),
        "backupInstances" => instance_body(&vault, &database(&server, "empdb11")),
        "backupResourceGuardProxies" => {
            json!({ "properties": { "resourceGuardResourceId": guard } })
        }
        _ => json!({ "location": "westus" }),
    }
}

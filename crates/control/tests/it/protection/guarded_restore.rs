//! A restore from a vault that a resource guard watches over, down to the rows.

use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{Estate, READER, digest};
use crate::harness::{Answer, User};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

impl Estate {
    async fn restore_as(
        &self,
        user: &User,
        approver: Option<&User>,
        instance: &str,
        body: &Value,
    ) -> Answer {
        let url = self.harness.url(&format!("{instance}/restore"));
        let mut request = self.harness.client().post(url).bearer_auth(&user.token).json(body);
        if let Some(approver) = approver {
            let auxiliary = format!("Bearer {}", approver.token);
            request = request.header("x-ms-authorization-auxiliary", auxiliary);
        }
        self.harness.send(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_vaults_data_comes_back_with_consent_alone() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let point = estate.recovery_point(&instance).await;
    let h = &estate.harness;
    // The guard is in another subscription than the vault.
    let group = estate.server.split("/providers/").next().unwrap();
    let guard = format!("{group}/providers/Microsoft.DataProtection/resourceGuards/guard");
    h.call(Method::PUT, &guard, Some(json!({"location": "westeurope"}))).await.expect(200);
    let (admin, approver) = (h.user("admin").await, h.user("approver").await);
    h.assign(&admin.principal_id, CONTRIBUTOR, &h.group_path("backup")).await;
    h.assign(&admin.principal_id, READER, &guard).await;
    h.assign(&approver.principal_id, CONTRIBUTOR, &guard).await;
    let proxy = format!("{}/backupResourceGuardProxies/DppResourceGuardProxy", estate.vault);
    let submits = json!({"properties": {"resourceGuardResourceId": guard}});
    h.call(Method::PUT, &proxy, Some(submits)).await.expect(200);

    let mut body = estate.restore_to_database(&point, "shop_copy");
    let refused = |answer: Answer| {
        answer.expect_error(403, "UserErrorUnauthorizedResourceGuardOperation");
    };
    refused(estate.restore_as(&admin, None, &instance, &body).await);
    refused(estate.restore_as(&admin, Some(&approver), &instance, &body).await);
    let request = format!("{guard}/dppTriggerRestoreRequests/default");
    body["resourceGuardOperationRequests"] = json!([request]);
    refused(estate.restore_as(&admin, None, &instance, &body).await);
    refused(estate.restore_as(&admin, Some(&admin), &instance, &body).await);
    let jobs = format!("{}/backupJobs", estate.vault);
    let restores = async || {
        let listed = h.call(Method::GET, &jobs, None).await.expect(200);
        let jobs = listed.body["value"].as_array().unwrap().clone();
        jobs.iter().filter(|job| job["properties"]["operation"] == "Restore").count()
    };
    assert_eq!(restores().await, 0, "nothing was begun");
    let databases =
        "SELECT count(*) FROM pg_database WHERE datname <> 'shop' AND datname LIKE '%shop%'";
    assert_eq!(estate.postgres.psql("postgres", databases).unwrap().trim(), "0");

    let begun = estate.restore_as(&admin, Some(&approver), &instance, &body).await.expect(202);
    let job = estate.job(&begun).await;
    let info = &job["properties"]["extendedInfo"]["additionalDetails"];
    assert!(info["Proof"].as_str().unwrap_or_default().starts_with("equal"), "{job:#}");
    assert_eq!(digest(&estate.postgres, "shop_copy"), digest(&estate.postgres, "shop"));
    assert_eq!(restores().await, 1);
}

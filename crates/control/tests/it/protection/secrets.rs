//! A secret that is disabled, expired, not valid yet or deleted fails what needs it, with its own code and what to do.

use reqwest::Method;
use serde_json::{Value, json};

use super::estate::Estate;

const VERSION: &str = "api-version=7.4";

/// What is said of a failure, and the advice.
struct Said {
    code: String,
    inner: String,
    detail: String,
    advice: String,
}

fn said(error: &Value) -> Said {
    // An operation has the whole error inside, a job has it as it is.
    let info = error.pointer("/additionalInfo/0/info").unwrap_or(error);
    let text = |pointer: &str| {
        info.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Said {
        code: text("/code"),
        inner: text("/innerError/code"),
        detail: text("/innerError/additionalInfo/DetailedNonLocalisedMessage"),
        advice: text("/recommendedAction/0"),
    }
}

async fn validated(estate: &Estate) -> Value {
    let body = json!({"backupInstance": estate.instance_properties("shop")});
    let path = format!("{}/validateForBackup", estate.vault);
    let answer = estate.harness.call(Method::POST, &path, Some(body)).await.expect(202);
    estate.follow(&answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_to_be_used_fails_validation_backup_and_restore() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;
    // It can be validated as long as nothing protects it.
    assert_eq!(validated(&estate).await["status"], "Succeeded");
    let now = harness.service().app().clock.now_seconds();
    let secret = format!("/secrets/shop?{VERSION}");
    let patch = async |attributes: Value| {
        let body = json!({ "attributes": attributes });
        harness.call(Method::PATCH, &secret, Some(body)).await.expect(200);
    };
    let long = 86_400;
    let states = [
        (json!({"enabled": false}), "SecretDisabled", "Enable"),
        (json!({"enabled": true, "exp": now - 1}), "SecretExpired", "expiry"),
        (json!({"exp": now + long, "nbf": now + long - 1}), "SecretNotYetValid", "activation"),
    ];
    let usable = json!({"enabled": true, "exp": now + long, "nbf": now - 1});
    for (state, inner, advice) in &states {
        patch(state.clone()).await;
        let status = validated(&estate).await;
        assert_eq!(status["status"], "Failed", "{status:#}");
        check(&said(&status["error"]), inner, advice);
        patch(usable.clone()).await;
        assert_eq!(validated(&estate).await["status"], "Succeeded");
    }

    let instance = estate.protect("pg-shop", "shop").await;
    assert_eq!(estate.backup(&instance).await["properties"]["status"], "Completed");
    let points = estate.recovery_points(&instance).await;
    let point = points[0]["properties"]["recoveryPointId"].as_str().unwrap();
    for (state, inner, advice) in &states {
        patch(state.clone()).await;
        let job = estate.backup(&instance).await;
        assert_eq!(job["properties"]["status"], "Failed", "{job:#}");
        check(&said(&job["properties"]["errorDetails"][0]), inner, advice);
        patch(usable.clone()).await;
    }

    let removed = harness.call(Method::DELETE, &secret, None).await.expect(200);
    assert!(removed.body["scheduledPurgeDate"].is_i64());
    let job = estate.backup(&instance).await;
    check(&said(&job["properties"]["errorDetails"][0]), "SecretDeleted", "Recover");
    let restore = estate.restore_to_database(point, "again");
    let post = harness.call(Method::POST, &format!("{instance}/restore"), Some(restore)).await;
    let job = estate.job(&post.expect(202)).await;
    check(&said(&job["properties"]["errorDetails"][0]), "SecretDeleted", "Recover");

    // The next run is good again as soon as the secret is: nothing of it was kept.
    let recover = format!("/deletedsecrets/shop/recover?{VERSION}");
    harness.call(Method::POST, &recover, None).await.expect(200);
    assert_eq!(estate.backup(&instance).await["properties"]["status"], "Completed");
    assert_eq!(estate.recovery_points(&instance).await.len(), 2, "failed backups leave no point");
}

#[track_caller]
fn check(said: &Said, inner: &str, advice: &str) {
    assert_eq!((said.code.as_str(), said.inner.as_str()), ("UserErrorInvalidSecret", inner));
    assert!(said.detail.contains("/secrets/shop"), "{}", said.detail);
    assert!(said.advice.contains(advice), "{}", said.advice);
}

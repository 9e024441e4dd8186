use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Harness;

fn account(group: &str, name: &str) -> String {
    format!("{group}/providers/Microsoft.Storage/storageAccounts/{name}")
}

fn body(backing_store: &str) -> Option<Value> {
    Some(json!({"location": "westeurope", "properties": {"backingStore": backing_store}}))
}

#[tokio::test]
async fn a_restore_target_is_registered_and_resolved() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let files = h.data_dir().canonicalize().unwrap().join("files");
    let path = account(&group, "restores1");
    let store = format!("file://{}/team", files.display());
    let made = h.call(Method::PUT, &path, body(&store)).await.expect(200).body;
    assert_eq!(made["properties"]["backingStore"], store.as_str());
    assert_eq!(
        made["properties"]["primaryEndpoints"]["blob"],
        "https://restores1.blob.core.windows.net/"
    );
    assert_eq!(h.call(Method::GET, &path, None).await.expect(200).body, made);
    let list = format!("{group}/providers/Microsoft.Storage/storageAccounts");
    assert_eq!(h.call(Method::GET, &list, None).await.expect(200).body["value"], json!([made]));

    let app = h.service().app();
    let resolve = |url: &'static str| app.restore_target_resolve(url);
    let target = resolve("https://restores1.blob.core.windows.net/nightly").await.unwrap();
    assert_eq!(target.account_id.as_str(), path);
    assert_eq!(target.directory, files.join("team/nightly"));
    let missing = resolve("https://nobody1.blob.core.windows.net/nightly").await.unwrap_err();
    assert_eq!(missing.code, "StorageAccountNotFound");
    let malformed = resolve("https://restores1.blob.core.windows.net/").await.unwrap_err();
    assert_eq!(malformed.code, "InvalidContainerUrl");

    // A link that is put there later leads nowhere.
    std::fs::create_dir_all(files.join("team")).unwrap();
    std::os::unix::fs::symlink("/etc", files.join("team/nightly")).unwrap();
    let refused = resolve("https://restores1.blob.core.windows.net/nightly").await.unwrap_err();
    assert_eq!(refused.code, "BackingStoreNotAllowed");

    h.call(Method::DELETE, &path, None).await.expect(200);
    h.call(Method::DELETE, &path, None).await.expect(204);
    h.stop().await;
}

#[tokio::test]
async fn what_is_refused() {
    let h = Harness::start().await;
    let (one, two) = (h.group("one").await, h.group("two").await);
    let files = h.data_dir().join("files");
    let store = format!("file://{}", files.display());
    h.call(Method::PUT, &account(&one, "restores1"), body(&store)).await.expect(200);
    h.call(Method::PUT, &account(&two, "restores1"), body(&store))
        .await
        .expect_error(409, "StorageAccountAlreadyTaken");
    for name in ["ab", "Restores", "a-b-c", "abcdefghijklmnopqrstuvwxy"] {
        h.call(Method::PUT, &account(&one, name), body(&store))
            .await
            .expect_error(400, "AccountNameInvalid");
    }
    for store in [
        String::new(),
        "file:///etc".to_owned(),
        format!("file://{}", h.data_dir().display()),
        format!("file://{}/../storage", files.display()),
        "s3://bucket/prefix".to_owned(),
    ] {
        h.call(Method::PUT, &account(&one, "restores2"), body(&store))
            .await
            .expect_error(400, "BackingStoreNotAllowed");
    }
    h.stop().await;
}

//! `{resource}/providers/Microsoft.DataProtection/backupInstances`: who protects a resource, wherever that is done.

use reqwest::Method;
use serde_json::Value;

use super::resource_guards::READER;
use super::{Scene, database, policy_body};

fn names(list: &Value) -> Vec<&str> {
    list["value"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_instances_of_a_database_and_of_a_server() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let second = s.make_vault("second", "On").await;
    s.put(&format!("{second}/backupPolicies/osspol3"), policy_body()).await.expect(200);
    let one = s.protect(&vault, "bi1", &database(&server, "one")).await;
    s.protect(&vault, "bi2", &database(&server, "two")).await;
    s.protect(&second, "bi3", &database(&server, "three")).await;
    // Its name begins with the other's, and it is another.
    let longer = s.make_server("testpostgresql0").await;
    s.protect(&vault, "bi4", &database(&longer, "one")).await;
    let of =
        |resource: &str| format!("{resource}/providers/Microsoft.DataProtection/backupInstances");

    let found = s.get(&of(&database(&server, "one"))).await.expect(200);
    assert_eq!(found.body["value"], serde_json::json!([s.get(&one).await.body]), "as a GET has it");
    let all = s
        .get(&of(&server.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions")))
        .await
        .expect(200);
    let mut found = names(&all.body);
    found.sort_unstable();
    assert_eq!(found, ["bi1", "bi2", "bi3"]);
    assert!(names(&s.get(&of(&database(&server, "none"))).await.expect(200).body).is_empty());
    let mut path = format!("{}?$top=1", of(&server));
    let mut seen = Vec::new();
    loop {
        let page = s.get(&path).await.expect(200);
        seen.extend(names(&page.body).into_iter().map(str::to_owned));
        match page.body["nextLink"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    let gone = s.delete(&one).await.expect(202);
    s.finish(&gone, "Succeeded").await;
    assert!(names(&s.get(&of(&database(&server, "one"))).await.expect(200).body).is_empty());
    s.h.call(Method::PUT, &of(&server), Some(serde_json::json!({}))).await.expect(405);

    // Whoever reads the server sees what he may read where it is protected, and nothing else.
    let reader = s.h.user("reader").await;
    s.h.call_as(&reader, Method::GET, &of(&server), None)
        .await
        .expect_error(403, "AuthorizationFailed");
    s.h.assign(&reader.principal_id, READER, &server).await;
    let found = s.h.call_as(&reader, Method::GET, &of(&server), None).await.expect(200);
    assert!(names(&found.body).is_empty());
    s.h.assign(&reader.principal_id, READER, &second).await;
    let found = s.h.call_as(&reader, Method::GET, &of(&server), None).await.expect(200);
    assert_eq!(names(&found.body), ["bi3"]);
    s.h.stop().await;
}

//! Every failure of the layers below has a code, a message, advice, and an inner error that says where.

use coffer_azure::{InnerError, ResourceId, UserFacingError};
use coffer_engine::Difference;
use coffer_engine::error::{Error as EngineError, Problem};
use coffer_store::Error as StoreError;

use super::*;

fn place() -> Place {
    Place {
        server: "/servers/pg".into(),
        database: "shop".into(),
        address: "db.example:5432".into(),
    }
}

fn detail(error: &UserFacingError) -> String {
    let info = error.inner_error.clone().unwrap_or_default().additional_info.unwrap_or_default();
    info.get(InnerError::DETAILED_MESSAGE)
        .and_then(|text| text.as_str())
        .unwrap_or_default()
        .to_owned()
}

#[track_caller]
fn expect(error: &EngineError, code: &str, says: &[&str]) {
    let said = engine(error, &place());
    assert_eq!(said.code.as_deref(), Some(code));
    assert!(said.message.as_deref().is_some_and(|message| message.ends_with('.')));
    assert!(said.recommended_action.as_ref().is_some_and(|actions| !actions.is_empty()));
    for words in says {
        assert!(detail(&said).contains(words), "{:?} does not say {words:?}", detail(&said));
    }
}

#[test]
fn the_engines_failures_have_azures_codes() {
    let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
    let unreachable =
        EngineError::Unreachable { host: "db.example".into(), port: 5432, source: refused };
    expect(
        &unreachable,
        "UserErrorMissingNetworkSecurityPermissions",
        &["shop", "db.example:5432", "refused"],
    );
    let login =
        EngineError::AuthenticationFailed { user: "reader".into(), message: "no password".into() };
    expect(&login, "UserErrorDBUserAuthFailed", &["reader", "no password"]);
    let absent = EngineError::DatabaseNotFound { database: "shop".into() };
    expect(&absent, "UserErrorDBNotFound", &["shop", "/servers/pg"]);
    let lost = EngineError::ConnectionLost { message: "copy public.a: reset".into() };
    expect(&lost, "UserErrorServerConnectionClosed", &["public.a"]);
    let taken = EngineError::TargetExists { database: "shop".into() };
    expect(&taken, "UserErrorDatabaseNameAlreadyInUse", &["shop", "nothing was overwritten"]);
    let lower = EngineError::LowerVersion { origin: "17.2".into(), target: "15.18".into() };
    expect(&lower, "UserErrorRestoreToLowerVersion", &["17.2", "15.18"]);
    let difference = Difference {
        object: "table public.a".into(),
        expected: "2 rows".into(),
        found: "1 row".into(),
    };
    let differs = EngineError::ProofFailed { differences: vec![difference] };
    expect(&differs, "UserErrorRestoredDataDiffers", &["public.a", "2 rows", "1 row"]);
    let damaged = EngineError::Store {
        context: "read a chunk",
        source: StoreError::Corrupt { what: "pack 7".into(), reason: "bad tag".into() },
    };
    expect(&damaged, "UserErrorVaultStorageDamaged", &["pack 7", "bad tag"]);
}

#[test]
fn a_full_storage_fails_at_once_and_says_what_to_do() {
    let full = EngineError::Store {
        context: "store a chunk",
        source: StoreError::StorageFull {
            action: "write packs/7".into(),
            source: object_store::Error::Generic {
                store: "LocalStore",
                source: "write /srv/7: no space left on device".into(),
            },
        },
    };
    expect(&full, "UserErrorVaultStorageFull", &["packs/7", "no space left on device"]);
    let said = engine(&full, &place());
    assert_eq!(said.is_retryable, Some(false), "trying again makes no room");
    let advice = said.recommended_action.unwrap().concat();
    assert!(advice.contains("Free space") && advice.contains("not touched"), "{advice}");
    assert!(matches!(engine_failure(&full, &place()), Failure::Failed(_)));
}

#[test]
fn a_storage_that_refuses_says_who_can_do_what_about_it() {
    use coffer_store::StorageFailure as F;
    for (failure, code, advice, again) in [
        (F::Unreachable, "StorageUnreachable", "reaches the endpoint", true),
        (F::Unauthenticated, "StorageCredentialsRefused", "Correct the credentials", false),
        (F::Forbidden, "StorageAccessDenied", "Grant the rights", false),
        (F::NoContainer, "StorageContainerNotFound", "Create the bucket", false),
        (F::WrongPlace, "StorageNotFound", "endpoint and the region", false),
        (F::Other, "StorageFailed", "works", true),
    ] {
        let source = object_store::Error::Generic { store: "S3", source: "so it is".into() };
        let error = StoreError::Storage { action: "write packs/7".into(), failure, source };
        let said = store(&error);
        assert_eq!(said.code.as_deref(), Some("UserErrorVaultStorageNotAccessible"), "{failure:?}");
        assert_eq!(said.is_retryable.unwrap_or(false), again, "{failure:?}");
        assert_eq!(error.is_transient(), again, "{failure:?}");
        let inner = said.inner_error.unwrap();
        assert_eq!(inner.code.as_deref(), Some(code));
        assert!(said.recommended_action.unwrap().concat().contains(advice), "{failure:?}");
    }
    let lies = StoreError::UnsuitableStorage { reason: "it wrote over an object".into() };
    let said = store(&lies);
    assert_eq!(said.code.as_deref(), Some("UserErrorVaultStorageNotSupported"));
    assert!(format!("{:?}", said.inner_error).contains("wrote over"), "{said:?}");
}

#[test]
fn missing_privileges_name_the_objects_and_the_statements() {
    let objects: Vec<String> = (0..60).map(|i| format!("SELECT on table public.t{i}")).collect();
    let error = EngineError::MissingPrivileges {
        role: "reader".into(),
        objects,
        grants: vec!["GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader".into()],
    };
    expect(&error, "UserErrorMissingDBPermissions", &["reader", "public.t0", "and 10 more"]);
    let said = engine(&error, &place());
    assert!(said.recommended_action.unwrap()[0].contains("GRANT SELECT ON ALL TABLES"));
}

#[test]
fn the_first_problem_with_a_code_decides_and_all_are_told() {
    let problem = |code: &str, object: &str| Problem {
        code: code.into(),
        object: object.into(),
        message: format!("{object} is in the way"),
    };
    let both = vec![
        problem("MissingExtension", "extension postgis"),
        problem("TargetExists", "database shop"),
    ];
    expect(
        &EngineError::Preflight(both.clone()),
        "UserErrorDatabaseNameAlreadyInUse",
        &["extension postgis", "database shop"],
    );
    let said = engine(&EngineError::Preflight(both), &place());
    assert_eq!(
        said.recommended_action.unwrap(),
        ["Extension postgis is in the way.", "Database shop is in the way."]
    );
    let other = vec![problem("MissingExtension", "extension postgis")];
    expect(&EngineError::Preflight(other), "UserErrorRestorePrerequisitesNotMet", &["postgis"]);
}

#[test]
fn what_may_pass_is_marked_so_and_is_tried_again() {
    let lost = EngineError::ConnectionLost { message: "reset".into() };
    assert_eq!(engine(&lost, &place()).is_retryable, Some(true));
    assert!(matches!(engine_failure(&lost, &place()), Failure::Transient(_)));
    let absent = EngineError::DatabaseNotFound { database: "shop".into() };
    assert_eq!(engine(&absent, &place()).is_retryable, Some(false));
    assert!(matches!(engine_failure(&absent, &place()), Failure::Failed(_)));
    assert!(matches!(engine_failure(&EngineError::Cancelled, &place()), Failure::Interrupted));
    let held = StoreError::LeaseHeld { holder: "another".into(), expires_at_ms: 1 };
    assert!(matches!(store_failure(&held), Failure::Transient(_)));
}

#[test]
fn our_own_faults_tell_nothing_internal() {
    let said = internal(&Error::internal("no such column: hunter2"));
    assert_eq!(said.code.as_deref(), Some("CloudInternalError"));
    assert!(!format!("{said:?}").contains("hunter2"));
    let vault = ResourceId::parse(
        "/subscriptions/S/resourceGroups/G/providers/Microsoft.DataProtection/backupVaults/V",
    )
    .unwrap();
    let worded = internal(&backup_is_running(&vault));
    assert_eq!(worded.code.as_deref(), Some("UserErrorMaxConcurrentOperationLimitReached"));
}

#[test]
fn secrets_are_told_apart_and_never_quoted() {
    for (error, code) in [
        (SecretReadError::VaultNotFound, "UserErrorInvalidSecretStore"),
        (SecretReadError::Forbidden, "UserErrorMissingPermissionsOnSecretStore"),
        (SecretReadError::NotFound, "UserErrorInvalidSecret"),
        (SecretReadError::Disabled, "UserErrorInvalidSecret"),
        (SecretReadError::Deleted, "UserErrorInvalidSecret"),
        (SecretReadError::Expired, "UserErrorInvalidSecret"),
        (SecretReadError::NotYetValid, "UserErrorInvalidSecret"),
        (SecretReadError::Refused(None), "UserErrorMissingPermissionsOnSecretStore"),
        (SecretReadError::NotLoggedIn, "UserErrorMissingPermissionsOnSecretStore"),
        (SecretReadError::Unreachable("so".to_owned()), "UserErrorInvalidSecretStore"),
        (SecretReadError::NotUnderstood("so".to_owned()), "UserErrorInvalidSecretStore"),
        (SecretReadError::Malformed, "UserErrorInvalidSecret"),
    ] {
        let said = secret(&error, "https://kv.vault.azure.net/secrets/s", "principal");
        assert_eq!(said.code.as_deref(), Some(code));
        assert!(detail(&said).contains("secrets/s"));
        assert_eq!(said.is_retryable == Some(true), error.is_transient(), "{error:?}");
    }
    let said = secret_format("https://kv.vault.azure.net/secrets/s", "no host");
    assert_eq!(said.code.as_deref(), Some("UserErrorSecretValueInUnsupportedFormat"));
}

use std::ffi::OsString;
use std::path::Path;

use super::file::TextError;
use super::*;

fn defaults() -> Config {
    Config::for_data_dir(Path::new("/var/lib/coffer")).unwrap()
}

fn from_text(text: &str) -> Result<Config, String> {
    let mut config = defaults();
    match file::apply_text(&mut config, text) {
        Ok(()) => config.check().map(|()| config).map_err(|e| e.to_string()),
        Err(TextError::Parse(message)) => Err(message),
        Err(TextError::Value(error)) => Err(error.to_string()),
    }
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut config = defaults();
    environment::apply(
        &mut config,
        variables.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))),
    )?;
    config.check().map(|()| config)
}

#[test]
fn defaults_live_in_the_data_directory() {
    let config = defaults();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(config.master_key_file, Path::new("/var/lib/coffer/master.key"));
    assert_eq!(config.storage("West US").1.url, "file:///var/lib/coffer/storage");
    assert_eq!(config.restore_allowed_directories, [Path::new("/var/lib/coffer/files")]);
}

#[test]
fn files_are_never_restored_among_the_vaults() {
    for text in [
        "restore = { allowed_directories = [\"/var/lib/coffer\"] }",
        "restore = { allowed_directories = [\"/var/lib/coffer/storage/files\"] }",
        "restore = { allowed_directories = [\"/srv\"] }\n[storage]\nwest = \"file:///srv/vaults\"",
    ] {
        let error = from_text(text).unwrap_err();
        assert!(error.contains("restore.allowed_directories"), "{error}");
    }
}

#[test]
fn schedules_and_alerts_are_set() {
    let config = from_text(
        r#"
        [schedule]
        catch_up = false
        jitter_seconds = 90
        blackout = ["Mon-Fri 08:00-18:00 Europe/Berlin"]
        [alerts]
        webhook_url = "https://alerts.example/hook"
        webhook_secret = "s"
        backup_late_minutes = 7
        [backup]
        stall_minutes = 5
        [limits]
        backups_per_server = 1
        "#,
    )
    .unwrap();
    assert!(!config.schedule.catch_up);
    assert_eq!(config.schedule.blackout.len(), 1);
    assert_eq!(config.backup_stall.as_secs(), 300);
    assert_eq!(config.limits.backups_per_server, 1);
    assert_eq!(config.alerts.backup_late.as_secs(), 420);
    assert!(!format!("{config:?}").contains("webhook_secret: Some(\"s\")"));
    let set = from_variables(&[
        ("COFFER_SCHEDULE_BLACKOUT", "22:00-02:00; Sat,Sun 00:00-24:00"),
        ("COFFER_SCHEDULE_JITTER_SECONDS", "60"),
        ("COFFER_ALERTS_BACKUP_LATE_MINUTES", "0"),
    ])
    .unwrap();
    assert_eq!(set.schedule.blackout.len(), 2);
    assert!(set.alerts.backup_late.is_zero());
    for text in [
        "schedule = { blackout = [\"never\"] }",
        "schedule = { jitter_seconds = 100000 }",
        "alerts = { webhook_url = \"https://a/\" }",
        "alerts = { webhook_url = \"ftp://a/\", webhook_secret = \"s\" }",
        "limits = { backups_per_server = 0 }",
    ] {
        assert!(from_text(text).is_err(), "{text}");
    }
}

#[test]
fn a_file_sets_everything() {
    let config = from_text(
        r#"
        listen = "127.0.0.1:9000"
        public_endpoint = "https://backup.example/"
        certificate_names = ["backup.example"]
        metadata_database = "sqlite:///srv/meta.db"
        [storage]
        default = "file:///srv/a"
        "West US" = "file:///srv/b"
        [servers.Orders]
        host = "10.0.0.5"
        [restore]
        allowed_directories = ["/srv/files"]
        [verification]
        period_days = 7
        [audit]
        retention_days = 30
        [limits]
        body_bytes = 1000
        body_timeout_seconds = 3
        "#,
    )
    .unwrap();
    assert_eq!(config.public_endpoint.as_deref(), Some("https://backup.example"));
    assert_eq!(config.database_file, Path::new("/srv/meta.db"));
    assert_eq!(config.storage("westus").1.url, "file:///srv/b");
    assert_eq!(config.storage("elsewhere").1.url, "file:///srv/a");
    assert_eq!(config.servers["orders"].port, 5432);
    assert_eq!(config.verification_period_days, 7);
    assert_eq!(config.audit_retention_days, 30);
    assert_eq!(config.limits.body_timeout, Duration::from_secs(3));
}

#[test]
fn an_unknown_setting_is_refused_with_its_line() {
    let message = from_text("\n\nlissten = \"127.0.0.1:1\"\n").unwrap_err();
    assert!(message.starts_with("line 3: unknown field"), "{message}");
}

#[test]
fn other_metadata_databases_are_refused_and_never_quoted() {
    let message = from_text("metadata_database = \"postgres://u:hunter2@h/db\"").unwrap_err();
    assert!(message.contains("'postgres' is not supported"), "{message}");
    assert!(!message.contains("hunter2"));
}

#[test]
fn endpoints_have_to_be_bare_https() {
    for bad in ["http://h", "https://h/path", "h:443", "https://h?x=1"] {
        assert!(from_variables(&[("COFFER_PUBLIC_ENDPOINT", bad)]).is_err(), "{bad}");
    }
}

#[test]
fn the_environment_overrides_and_client_env_is_no_setting() {
    let config = from_variables(&[
        ("COFFER_LISTEN", "127.0.0.1:0"),
        ("COFFER_LIMITS_DATA_WORKERS", "7"),
        ("COFFER_VERIFICATION_PERIOD_DAYS", "0"),
        ("COFFER_RESTORE_ALLOWED_DIRECTORIES", "/a:/b"),
        ("COFFER_ENDPOINT", "https://elsewhere:1"),
        ("COFFER_STORAGE_URL", "file:///elsewhere"),
        ("COFFER_KEY_FILE", "/elsewhere/master.key"),
    ])
    .unwrap();
    assert_eq!(config.listen.port(), 0);
    assert_eq!(config.limits.data_workers, 7);
    assert_eq!(config.verification_period_days, 0);
    assert_eq!(config.restore_allowed_directories.len(), 2);
    assert_eq!(config.public_endpoint, None);
    assert_eq!(config.storage_default.url, "file:///var/lib/coffer/storage");
    assert_eq!(config.master_key_file, Path::new("/var/lib/coffer/master.key"));
    assert!(from_variables(&[("COFFER_LIMITS_DATA_WORKERS", "many")]).is_err());
    assert!(from_variables(&[("COFFER_LIMITS_DATA_WORKERS", "0")]).is_err());
    assert!(from_variables(&[("COFFER_VERIFICATION_PERIOD_DAYS", "3651")]).is_err());
    assert!(from_variables(&[("COFFER_AUDIT_RETENTION_DAYS", "36501")]).is_err());
    assert_eq!(
        from_variables(&[("COFFER_AUDIT_RETENTION_DAYS", "0")]).unwrap().audit_retention_days,
        0
    );
}

#[test]
fn a_storage_is_a_url_or_a_table_and_no_secret_of_it_is_printed() {
    let config = from_text(
        r#"
        [storage]
        default = "s3://acme-vaults/coffer"
        "West US" = { url = "https://acme.blob.core.windows.net/vaults", account_key = "aHVudGVyMg==" }
        [storage.eastus]
        url = "s3://acme-east"
        endpoint = "http://127.0.0.1:9000"
        access_key_id = "id"
        secret_access_key = "hunter2"
        session_token = "hunter2"
        ca_file = "/etc/ca.pem"
        "#,
    )
    .unwrap();
    assert_eq!(config.storage("westus").1.url, "https://acme.blob.core.windows.net/vaults");
    assert_eq!(config.storage_location("East US").unwrap().url(), "s3://acme-east");
    assert_eq!(config.storage["eastus"].options.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    let printed = format!("{config:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("aHVudGVyMg"), "{printed}");
}

#[test]
fn a_wrong_storage_is_refused_at_the_start_by_its_name() {
    for (text, said) in [
        ("[storage]\nwest = \"s3://acme?token=hunter2\"", "storage.west"),
        ("[storage]\ndefault = \"gs://acme\"", "storage.default"),
        ("[storage]\nwest = { url = \"s3://acme\", access_key_id = \"hunter2\" }", "go together"),
        (
            "[storage]\nwest = { url = \"s3://acme\", acces_key_id = \"hunter2\" }",
            "line 2: unknown field `acces_key_id`",
        ),
        (
            "[storage]\nwest = { endpoint = \"https://hunter2\" }",
            "line 2: a storage location needs a url",
        ),
        ("[storage]\nwest = 7", "a URL, or a table with a url"),
        (
            "[storage]\nwest = { url = \"file:///srv/west\", sas_token = \"hunter2\" }",
            "sas_token means nothing",
        ),
    ] {
        let error = from_text(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn credentials_of_a_storage_come_from_the_environment_but_not_those_of_our_clients() {
    let config = from_variables(&[
        ("COFFER_STORAGE_DEFAULT", "s3://acme-vaults"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AZURE_CLIENT_SECRET", "hunter2"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    let names = format!("{:?}", config.storage_variables);
    assert_eq!(names, r#"{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}"#);
    assert_eq!(config.storage_location("anywhere").unwrap().url(), "s3://acme-vaults");
    let half =
        from_variables(&[("COFFER_STORAGE_DEFAULT", "s3://acme"), ("AWS_ACCESS_KEY_ID", "id")]);
    assert!(half.unwrap_err().to_string().contains("storage.default"));
}

#[test]
fn issuers_are_named_with_what_is_meant_for_us() {
    let config = from_text(
        r#"
        [[identity.issuers]]
        issuer = "https://login.example/realms/a"
        audiences = ["api://coffer"]
        principal_claim = "oid"
        [[identity.issuers]]
        issuer = "http://127.0.0.1:9000"
        audiences = ["a", "b"]
        ca_file = "ca.pem"
        "#,
    )
    .unwrap();
    assert_eq!(config.issuers[0].principal_claim, "oid");
    assert_eq!(config.issuers[1].principal_claim, "sub");
    assert!(config.issuers[1].ca_file.as_ref().unwrap().is_absolute());
    let issuer = |text: &str| from_text(&format!("[[identity.issuers]]\n{text}")).unwrap_err();
    for bad in ["http://login.example", "ftp://a", "https://a?x=1", "https://a#b", "login"] {
        let error = issuer(&format!("issuer = \"{bad}\"\naudiences = [\"a\"]"));
        assert!(error.contains("has to be an https:// URL"), "{error}");
    }
    assert!(issuer("issuer = \"https://a\"\naudiences = []").contains("needs audiences"));
    assert!(issuer("issuer = \"https://a\"").contains("audiences"));
    assert!(issuer("issuer = \"https://a\"\naudience = [\"a\"]").contains("unknown field"));
    let twice = "issuer = \"https://a\"\naudiences = [\"a\"]\n[[identity.issuers]]\nissuer = \"https://a\"\naudiences = [\"b\"]";
    assert!(issuer(twice).contains("is there twice"));
}

#[test]
fn key_vaults_of_azure_have_hosts_with_scopes_and_one_identity() {
    let hosts = r#"hosts = { "KV.vault.azure.net" = "/subscriptions/s", "*.vault.azure.cn" = "/subscriptions/s/resourceGroups/g" }"#;
    let set = |rest: &str| {
        from_text(&format!("[key_vault.azure]\n{hosts}\n{rest}"))
            .map(|config| config.key_vault_azure.resolve().unwrap().unwrap())
    };
    let secret = set("tenant_id = 't'\nclient_id = 'c'\nclient_secret = 'hunter2'").unwrap();
    assert!(
        matches!(&secret.identity, AzureIdentity::ClientSecret { tenant_id, .. } if tenant_id == "t")
    );
    assert!(secret.hosts.contains_key("kv.vault.azure.net"));
    assert_eq!(secret.authority.as_str(), "https://login.microsoftonline.com/");
    assert!(!format!("{secret:?}").contains("hunter2"));
    let file = set("tenant_id = 't'\nclient_id = 'c'\nfederated_token_file = '/t'").unwrap();
    assert!(matches!(file.identity, AzureIdentity::FederatedToken { .. }));
    let managed = set("managed_identity = true").unwrap();
    assert!(matches!(managed.identity, AzureIdentity::Managed { client_id: None }));
    for (rest, says) in [
        ("", "client_secret"),
        ("client_secret = 'hunter2'", "tenant_id"),
        ("managed_identity = true\nclient_secret = 'hunter2'", "more than one"),
        ("managed_identity = true\nauthority = 'http://login'", "authority"),
        ("managed_identity = true\ntimeout_seconds = 0", "timeout_seconds"),
        ("managed_identity = true\nclient_secrets = 'hunter2'", "client_secrets"),
        ("managed_identity = true\nclient_secret = [\"hunter2\"]", "line"),
    ] {
        let error = set(rest).unwrap_err();
        assert!(error.contains(says) && !error.contains("hunter2"), "{rest}: {error}");
    }
    for hosts in [
        "{ 'kv' = '/subscriptions/s' }",
        "{ 'https://kv.x' = '/subscriptions/s' }",
        "{ 'kv.x' = 'everywhere' }",
    ] {
        let text = format!("[key_vault.azure]\nmanaged_identity = true\nhosts = {hosts}");
        assert!(from_text(&text).unwrap_err().contains("key_vault.azure.hosts"), "{hosts}");
    }
    let without = from_text("[key_vault.azure]\nmanaged_identity = true").unwrap_err();
    assert!(without.contains("hosts"), "{without}");
    assert!(defaults().key_vault_azure.resolve().unwrap().is_none());
    let config = from_variables(&[
        ("COFFER_KEY_VAULT_AZURE_TENANT_ID", "t"),
        ("COFFER_KEY_VAULT_AZURE_CLIENT_ID", "c"),
        ("COFFER_CORE_DUMPS", "true"),
    ])
    .unwrap();
    assert_eq!(config.key_vault_azure.client_id.as_deref(), Some("c"));
    assert!(config.core_dumps);
}

#[test]
fn a_second_region_is_a_location_of_its_own() {
    let config = from_text(
        r#"
        [storage]
        default = { url = "s3://acme/rest", paired_with = "North Europe" }
        northeurope = "s3://acme-north"
        [storage."West Europe"]
        url = "s3://acme-west"
        paired_with = "North Europe"
        [alerts]
        copy_late_minutes = 30
        "#,
    )
    .unwrap();
    for location in ["westeurope", "WEST europe", "anywhere else"] {
        assert_eq!(config.pair_of(location).as_deref(), Some("northeurope"), "{location}");
    }
    assert_eq!(config.pair_of("northeurope"), None);
    assert_eq!(config.storage_of_pair("North Europe").unwrap().1.url, "s3://acme-north");
    let missing = config.storage_of_pair("southeurope").unwrap_err().to_string();
    assert!(missing.contains("storage.southeurope"), "nothing stands for it: {missing}");
    assert_eq!(config.alerts.copy_late.as_secs(), 1800);

    let pair = |rest: &str| format!("[storage]\nwest = {{ url = \"s3://acme\", {rest} }}\n");
    for (text, word) in [
        (pair("paired_with = \"West\""), "is the location itself"),
        (pair("paired_with = \"east\""), "there is no storage.east"),
        (pair("paired_with = \"east\"") + "east = \"s3://acme/\"", "the same place"),
        (pair("paired_with = 1"), "a location's name"),
    ] {
        let refused = from_text(&text).unwrap_err();
        assert!(refused.contains(word), "{text}: {refused}");
    }
    // The same bucket's name at another storage is another bucket.
    let elsewhere = "east = { url = \"s3://acme\", endpoint = \"https://minio.example\" }";
    from_text(&(pair("paired_with = \"east\"") + elsewhere)).unwrap();
}

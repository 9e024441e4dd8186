use super::*;

fn options(toml: &[(&str, &str)]) -> LocationOptions {
    let fields: serde_json::Map<_, _> =
        toml.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    serde_json::from_value(fields.into()).unwrap()
}

fn variables(of: &[(&str, &str)]) -> Variables {
    Variables::of(of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn location(url: &str, set: &[(&str, &str)], of: &[(&str, &str)]) -> Result<Location> {
    Location::new(url, &options(set), &variables(of))
}

fn s3(url: &str, set: &[(&str, &str)], of: &[(&str, &str)]) -> s3::S3Location {
    match location(url, set, of).unwrap().place {
        Place::S3(location) => location,
        other => panic!("{other:?}"),
    }
}

fn azure(url: &str, set: &[(&str, &str)], of: &[(&str, &str)]) -> azure::AzureLocation {
    match location(url, set, of).unwrap().place {
        Place::Azure(location) => location,
        other => panic!("{other:?}"),
    }
}

const KEY: &[(&str, &str)] = &[("access_key_id", "id"), ("secret_access_key", "hidden")];
const CONTAINER: &str = "https://acme.blob.core.windows.net/vaults";

#[test]
fn only_existing_directories_are_opened_and_only_file_urls_are_directories() {
    let directory = tempfile::tempdir().unwrap();
    let url = |path: &Path| Url::from_file_path(path).unwrap().to_string();
    assert!(open_location(&url(directory.path())).is_ok());
    let absent = directory.path().join("a b/c");
    assert!(matches!(open_location(&url(&absent)), Err(Error::Location { .. })));
    assert!(create_location(&url(&absent)).is_ok());
    assert!(open_location(&url(&absent)).is_ok());
    for wrong in [
        "/tmp",
        "file://host/x",
        "file:relative",
        "",
        "file:///tmp?x=1",
        "http://acme.blob.core.windows.net/vaults",
        "gs://bucket",
        "ftp://host/x",
    ] {
        let error = open_location(wrong).unwrap_err();
        assert!(matches!(error, Error::Location { .. }), "{wrong}: {error}");
    }
    let error = location(&url(directory.path()), &[("region", "x")], &[]).unwrap_err().to_string();
    assert!(error.contains("region means nothing"), "{error}");
}

#[test]
fn credentials_in_a_url_are_refused_and_not_repeated() {
    for url in [
        "s3://user:hidden@bucket/prefix",
        "s3://bucket/prefix?token=hidden",
        "https://acme.blob.core.windows.net/vaults?sig=hidden",
        "https://acme.blob.core.windows.net/vaults#hidden",
    ] {
        let error = location(url, KEY, &[]).unwrap_err().to_string();
        assert!(!error.contains("hidden"), "{error}");
        assert!(error.contains("option"), "{error}");
    }
}

#[test]
fn buckets_have_a_place_a_prefix_and_a_region() {
    let plain = s3("s3://acme-vaults/a/b/", KEY, &[]);
    assert_eq!(plain.bucket, "acme-vaults");
    assert_eq!(plain.region, "us-east-1");
    assert_eq!(plain.bucket_url.as_str(), "https://acme-vaults.s3.us-east-1.amazonaws.com/");
    let (_, bucket) = plain.open().unwrap();
    assert_eq!(bucket.prefix.as_ref(), "a/b");
    let far =
        s3("s3://acme.vaults", KEY, &[("AWS_DEFAULT_REGION", "a"), ("AWS_REGION", "eu-west-3")]);
    assert_eq!(far.bucket_url.as_str(), "https://s3.eu-west-3.amazonaws.com/acme.vaults");
    let of = [("AWS_ENDPOINT_URL", "https://a.example"), ("AWS_REGION", "eu-west-3")];
    let own = [KEY, &[("endpoint", "https://minio.example:9000/s3/"), ("region", "r1")]].concat();
    let own = s3("s3://acme-vaults", &own, &of);
    assert_eq!(own.bucket_url.as_str(), "https://minio.example:9000/s3/acme-vaults");
    assert_eq!(own.region, "r1");
    assert_eq!(s3("s3://acme-vaults", KEY, &of).bucket_url.host_str(), Some("a.example"));
    for wrong in [
        "s3://",
        "s3://ab",
        "s3://Acme-Vaults",
        "s3://acme-",
        "s3://acme:9000/x",
        "s3://acme/a//b",
        "s3://acme/a%2Fb/%00",
    ] {
        assert!(location(wrong, KEY, &[]).is_err(), "{wrong}");
    }
    for wrong in [
        "minio:9000",
        "ftp://minio",
        "https://user:hidden@minio",
        "https://minio?x=hidden",
        "hidden",
    ] {
        let error =
            location("s3://acme", &[KEY, &[("endpoint", wrong)]].concat(), &[]).unwrap_err();
        assert!(error.to_string().contains("the endpoint has to be"), "{wrong}: {error}");
        assert!(!error.to_string().contains("hidden"), "{wrong}: {error}");
    }
}

#[test]
fn keys_are_taken_from_one_place_and_never_put_together_from_two() {
    let of = [
        ("AWS_ACCESS_KEY_ID", "theirs"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_SESSION_TOKEN", "t"),
    ];
    let s3::Credentials::Key { id, token, .. } = s3("s3://acme", KEY, &of).credentials else {
        panic!()
    };
    assert_eq!((id.as_str(), token.is_some()), ("id", false), "the token belongs to another key");
    let s3::Credentials::Key { id, token, .. } = s3("s3://acme", &[], &of).credentials else {
        panic!()
    };
    assert_eq!((id.as_str(), token.is_some()), ("theirs", true));
    for half in [&KEY[..1], &KEY[1..], &[("session_token", "t")]] {
        let error = location("s3://acme", half, &of).unwrap_err().to_string();
        assert!(error.contains("access_key_id and secret_access_key"), "{error}");
    }
    assert!(location("s3://acme", &[], &of[..1]).is_err());
    let role =
        [("AWS_ROLE_ARN", "arn"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_PROFILE", "x")];
    let s3::Credentials::Identity(settings) = s3("s3://acme", &[], &role).credentials else {
        panic!()
    };
    assert_eq!(settings.len(), 2, "{settings:?}");
}

#[test]
fn containers_have_an_account_a_container_and_a_prefix() {
    let key = [("account_key", "aGlkZGVu")];
    let plain = azure("https://acme.blob.core.windows.net/vaults/a/b", &key, &[]);
    assert_eq!((plain.account.as_str(), plain.container.as_str()), ("acme", "vaults"));
    assert_eq!(plain.endpoint.as_str(), "https://acme.blob.core.windows.net/");
    assert_eq!(plain.open().unwrap().1.prefix.as_ref(), "a/b");
    for other in [
        "https://acme.blob.core.chinacloudapi.cn/vaults",
        "https://acme.z01.blob.storage.azure.net/vaults",
    ] {
        assert_eq!(azure(other, &key, &[]).account, "acme", "{other}");
    }
    let local = [("account_key", "aGlkZGVu"), ("endpoint", "http://127.0.0.1:10000/acme")];
    assert_eq!(azure(CONTAINER, &local, &[]).endpoint.as_str(), "http://127.0.0.1:10000/acme");
    for wrong in [
        "https://minio.example/bucket",
        "https://acme.blob.core.windows.net",
        "https://acme.blob.core.windows.net/ab",
        "https://acme.blob.core.windows.net/Vaults",
        "https://acme.blob.core.windows.net/vaults//a",
    ] {
        assert!(location(wrong, &key, &[]).is_err(), "{wrong}");
    }
    let error = location(CONTAINER, KEY, &[]).unwrap_err().to_string();
    assert!(error.contains("access_key_id means nothing"), "{error}");
}

#[test]
fn credentials_of_our_own_service_are_never_sent_to_a_storage() {
    // All that `client.env` sets for our own endpoint.
    let of = [
        ("AZURE_AUTHORITY_HOST", "https://127.0.0.1:8443"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_SECRET", "hidden"),
        ("AZURE_SUBSCRIPTION_ID", "s"),
    ];
    assert_eq!(format!("{:?}", variables(&of)), "{}");
    let credentials = azure(CONTAINER, &[], &of).credentials;
    assert!(
        matches!(credentials, azure::Credentials::ManagedIdentity { client: None }),
        "{credentials:?}"
    );
}

#[test]
fn a_container_is_opened_with_one_kind_of_credentials() {
    use azure::Credentials as C;
    let application = [("tenant_id", "t"), ("client_id", "c"), ("client_secret", "hidden")];
    assert!(matches!(azure(CONTAINER, &application, &[]).credentials, C::Application { .. }));
    assert!(matches!(
        azure(CONTAINER, &application[1..2], &[]).credentials,
        C::ManagedIdentity { client: Some(_) }
    ));
    assert!(location(CONTAINER, &application[..2], &[]).is_err());
    assert!(location(CONTAINER, &[("account_key", "a"), ("sas_token", "b")], &[]).is_err());
    let of = [
        ("AZURE_STORAGE_ACCOUNT", "acme"),
        ("AZURE_STORAGE_KEY", "aGlkZGVu"),
        ("AZURE_STORAGE_SAS_TOKEN", "s"),
    ];
    assert!(matches!(azure(CONTAINER, &[], &of).credentials, C::AccountKey(_)));
    assert!(matches!(
        azure(CONTAINER, &[("sas_token", "s")], &of).credentials,
        C::SharedAccessSignature(_)
    ));
    let elsewhere = [("AZURE_STORAGE_ACCOUNT", "other"), ("AZURE_STORAGE_KEY", "aGlkZGVu")];
    assert!(matches!(azure(CONTAINER, &[], &elsewhere).credentials, C::ManagedIdentity { .. }));
    let of = [
        ("AZURE_STORAGE_TENANT_ID", "t"),
        ("AZURE_STORAGE_CLIENT_ID", "c"),
        ("AZURE_STORAGE_CLIENT_SECRET", "s"),
    ];
    assert!(matches!(azure(CONTAINER, &[], &of).credentials, C::Application { .. }));
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let set = [
        ("secret_access_key", "hidden"),
        ("session_token", "hidden"),
        ("account_key", "hidden"),
        ("sas_token", "hidden"),
        ("client_secret", "hidden"),
    ];
    let of = [("AWS_SECRET_ACCESS_KEY", "hidden"), ("AZURE_STORAGE_KEY", "hidden")];
    let mut printed = format!("{:?} {:?}", options(&set), variables(&of));
    let key = [KEY, &[("session_token", "hidden")]].concat();
    let bucket = location("s3://acme/x", &key, &[]).unwrap();
    // "hidden" in base64, and as a signature.
    let by_key = location(CONTAINER, &[("account_key", "aGlkZGVu")], &[]).unwrap();
    let by_signature = location(CONTAINER, &[("sas_token", "?sv=1&sig=hidden")], &[]).unwrap();
    let bad_key = location(CONTAINER, &[("account_key", "hidden!")], &[]).unwrap();
    let bad_signature = location(CONTAINER, &[("sas_token", "hidden")], &[]).unwrap();
    printed += &format!("{:?} {:?}", bad_key.open(), bad_signature.open());
    assert!(bad_key.open().is_err() && bad_signature.open().is_err(), "{printed}");
    for location in [bucket, by_key, by_signature] {
        printed += &format!("{location:?} {:?}", location.open().unwrap());
    }
    assert!(!printed.contains("hidden") && !printed.contains("aGlkZGVu"), "{printed}");
    assert!(!printed.contains(&format!("{:?}", b"hidden")), "{printed}");
}

#[test]
fn certificates_that_cannot_be_used_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let set = [KEY, &[("ca_file", file.to_str().unwrap())]].concat();
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = location("s3://acme", &set, &[]).unwrap().open().unwrap_err().to_string();
        assert!(error.contains("ca.pem"), "{error}");
    }
}

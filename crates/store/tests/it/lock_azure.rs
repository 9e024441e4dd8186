//! Immutability policies of Azure Blob. Azurite has none and says so, so that their wire is emulated here as far as it is used.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use coffer_store::{Error, Location, LocationOptions, LockMode, RetentionLock, Storage, Variables};
use coffer_testkit::{ObjectStorage, ObjectStorageKind};
use object_store::path::Path;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

const UNTIL: &str = "x-ms-immutability-policy-until-date";
const MODE: &str = "x-ms-immutability-policy-mode";
const KEY: &str = "c2VjcmV0";

fn storage(endpoint: String) -> Storage {
    let options = LocationOptions {
        endpoint: Some(endpoint),
        account_key: Some(KEY.to_owned().into()),
        ..LocationOptions::default()
    };
    let url = "https://account.blob.core.windows.net/vaults/some/place";
    Location::new(url, &options, &Variables::default()).unwrap().open().unwrap()
}

#[tokio::test]
async fn azurite_has_no_immutability_and_that_is_told() {
    let Some(azurite) = ObjectStorage::start(ObjectStorageKind::Azure).unwrap() else { return };
    let options =
        azurite.options().into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    let options: serde_json::Map<_, serde_json::Value> = options.collect();
    let options: LocationOptions = serde_json::from_value(options.into()).unwrap();
    let url = azurite.url("some/place");
    let location = Location::new(&url, &options, &Variables::default()).unwrap();
    let lock = location.open().unwrap().lock().unwrap().unwrap();
    let error = lock.check().await.unwrap_err();
    assert!(matches!(error, Error::LockUnavailable { .. }), "{error}");
    assert!(error.to_string().contains("version-level immutability"), "{error}");
    let error = lock.get(&Path::from("absent")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

/// Blobs by path, with the policy's two headers.
#[derive(Default)]
struct Blobs {
    versioned: bool,
    /// Answers with this status before any other, so many times.
    busy: u32,
    policies: BTreeMap<String, Option<(String, String)>>,
    unsigned: u32,
}

/// Answers one request after the other of one connection.
async fn serve(stream: TcpStream, blobs: &Mutex<Blobs>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let answer = answer(&head, &mut blobs.lock().unwrap());
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn answer(head: &[String], blobs: &mut Blobs) -> String {
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let mut request = head[0].split(' ');
    let (method, target) = (request.next().unwrap(), request.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !header("authorization").unwrap_or_default().starts_with("SharedKey account:") {
        blobs.unsigned += 1;
    }
    let plain = |status: &str, headers: &str| {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n")
    };
    if blobs.busy > 0 {
        blobs.busy -= 1;
        return plain("503 Server Busy", "x-ms-error-code: ServerBusy\r\n");
    }
    match (method, path, query) {
        ("HEAD", "/base/vaults", "restype=container") => {
            let versioned = blobs.versioned;
            let name = "x-ms-immutable-storage-with-versioning-enabled";
            plain("200 OK", &format!("{name}: {versioned}\r\n"))
        }
        ("HEAD", blob, "") => match blobs.policies.get(blob) {
            None => plain("404 Not Found", "x-ms-error-code: BlobNotFound\r\n"),
            Some(None) => plain("200 OK", ""),
            Some(Some((until, mode))) => {
                plain("200 OK", &format!("{UNTIL}: {until}\r\n{MODE}: {mode}\r\n"))
            }
        },
        ("PUT", blob, "comp=immutabilityPolicies") => match blobs.policies.get_mut(blob) {
            None => plain("404 Not Found", "x-ms-error-code: BlobNotFound\r\n"),
            Some(policy) => {
                *policy = Some((header(UNTIL).unwrap(), header(MODE).unwrap()));
                plain("200 OK", "")
            }
        },
        _ => plain("400 Bad Request", "x-ms-error-code: InvalidUri\r\n"),
    }
}

#[tokio::test]
async fn a_policy_is_set_read_back_and_its_absence_told_from_a_missing_blob() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/base", listener.local_addr().unwrap());
    let blobs = Arc::new(Mutex::new(Blobs::default()));
    let served = Arc::clone(&blobs);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let blobs = Arc::clone(&served);
            tokio::spawn(async move { serve(stream, &blobs).await });
        }
    });
    let lock = storage(endpoint).lock().unwrap().unwrap();
    let error = lock.check().await.unwrap_err();
    assert!(matches!(error, Error::LockUnavailable { .. }), "{error}");
    blobs.lock().unwrap().versioned = true;
    lock.check().await.unwrap();

    let blob = Path::from("packs/1");
    let until = RetentionLock { mode: LockMode::Locked, until_ms: 1_795_953_601_000 };
    for error in [lock.get(&blob).await.unwrap_err(), lock.set(&blob, &until).await.unwrap_err()] {
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    blobs.lock().unwrap().policies.insert("/base/vaults/some/place/packs/1".to_owned(), None);
    assert_eq!(lock.get(&blob).await.unwrap(), None);
    // It is sent again while the service is busy.
    blobs.lock().unwrap().busy = 2;
    lock.set(&blob, &until).await.unwrap();
    let policies = blobs.lock().unwrap().policies.clone();
    let written = policies["/base/vaults/some/place/packs/1"].clone().unwrap();
    assert_eq!(written, ("Sun, 29 Nov 2026 12:00:01 GMT".to_owned(), "locked".to_owned()));
    assert_eq!(lock.get(&blob).await.unwrap(), Some(until));
    assert_eq!(blobs.lock().unwrap().unsigned, 0, "every request is signed");
    server.abort();
}

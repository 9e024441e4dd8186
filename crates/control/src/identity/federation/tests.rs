use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;
const AUDIENCE: &str = "api://coffer";

/// A key of an issuer of the test.
struct Key {
    id: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    public: Vec<u8>,
}

impl Key {
    fn es256(id: &str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    fn ed25519(id: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::EdDSA,
            encoding: EncodingKey::from_ed_der(pkcs8.as_ref()),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self.algorithm {
            Algorithm::ES256 => json!({
                "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "alg": "ES256",
                "x": text(&self.public[1..33]), "y": text(&self.public[33..]),
            }),
            _ => json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": text(&self.public)}),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }
}

/// What an issuer answers, and how often it was asked for its keys.
#[derive(Default)]
struct Answers {
    keys: Mutex<Vec<Value>>,
    asked: AtomicUsize,
    /// What the discovery document says instead of the truth.
    other_issuer: Mutex<Option<String>>,
    filler_bytes: AtomicUsize,
    is_down: std::sync::atomic::AtomicBool,
}

struct Running {
    url: String,
    answers: Arc<Answers>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn running(keys: &[&Key]) -> Running {
    crate::identity::install_providers();
    let answers = Arc::new(Answers::default());
    *answers.keys.lock().unwrap() = keys.iter().map(|key| key.jwk()).collect();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (base, state) = (url.clone(), Arc::clone(&answers));
    let answer = move |uri: http::Uri| {
        let (base, state) = (base.clone(), Arc::clone(&state));
        async move {
            if state.is_down.load(Ordering::Relaxed) {
                return (http::StatusCode::SERVICE_UNAVAILABLE, String::new());
            }
            let body = if uri.path() == "/.well-known/openid-configuration" {
                let issuer = state.other_issuer.lock().unwrap().clone().unwrap_or(base.clone());
                json!({"issuer": issuer, "jwks_uri": format!("{base}/keys")})
            } else {
                state.asked.fetch_add(1, Ordering::Relaxed);
                let filler = "x".repeat(state.filler_bytes.load(Ordering::Relaxed));
                json!({"keys": *state.keys.lock().unwrap(), "filler": filler})
            };
            (http::StatusCode::OK, body.to_string())
        }
    };
    let router = axum::Router::new().fallback(answer);
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Running { url, answers, server }
}

fn config(url: &str) -> IssuerConfig {
    IssuerConfig {
        issuer: url.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        principal_claim: "sub".to_owned(),
        ca_file: None,
    }
}

fn federation(url: &str) -> Federation {
    Federation::new(&[config(url)], "https://ours", &Clock::system()).unwrap()
}

fn claims(url: &str) -> Value {
    json!({"iss": url, "aud": AUDIENCE, "sub": "somebody", "exp": NOW + 600, "nbf": NOW, "azp": "client"})
}

async fn check(federation: &Federation, token: &str) -> Result<Subject, String> {
    let issuer = federation.issuer_of(token).ok_or("no issuer")?;
    let checked = issuer.token_check(token, &[Audience::Management], NOW).await;
    checked.map_err(|error| error.to_string())
}

#[tokio::test]
async fn good_tokens_of_both_kinds_of_keys() {
    let (one, two) = (Key::es256("one"), Key::ed25519("two"));
    let issuer = running(&[&one, &two]).await;
    let federation = federation(&issuer.url);
    for key in [&one, &two] {
        let subject = check(&federation, &key.sign(&claims(&issuer.url))).await.unwrap();
        assert_eq!(subject.subject, "somebody");
        assert_eq!(subject.issuer, issuer.url);
        assert_eq!(subject.application_id.as_deref(), Some("client"));
    }
    // Several audiences, an end with a fraction.
    let mut several = claims(&issuer.url);
    several["aud"] = json!(["other", AUDIENCE]);
    several["exp"] = json!(1_800_000_600.5);
    check(&federation, &one.sign(&several)).await.unwrap();
    assert_eq!(issuer.answers.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn claims_are_checked() {
    let key = Key::es256("k");
    let issuer = running(&[&key]).await;
    let federation = federation(&issuer.url);
    let with = |name: &str, value: Value| {
        let mut changed = claims(&issuer.url);
        changed[name] = value;
        key.sign(&changed)
    };
    let without = |name: &str| {
        let mut changed = claims(&issuer.url);
        changed.as_object_mut().unwrap().remove(name);
        key.sign(&changed)
    };
    for (token, code) in [
        (with("aud", json!("https://elsewhere")), "InvalidAuthenticationTokenAudience"),
        (with("aud", json!([])), "InvalidAuthenticationTokenAudience"),
        (with("exp", json!(NOW - LEEWAY_SECONDS)), "ExpiredAuthenticationToken"),
        (with("nbf", json!(NOW + LEEWAY_SECONDS + 1)), "ExpiredAuthenticationToken"),
        (with("exp", json!("tomorrow")), "InvalidAuthenticationToken"),
        (with("sub", json!("")), "InvalidAuthenticationToken"),
        (with("sub", json!(7)), "InvalidAuthenticationToken"),
        (without("exp"), "InvalidAuthenticationToken"),
        (without("aud"), "InvalidAuthenticationToken"),
        (without("sub"), "InvalidAuthenticationToken"),
    ] {
        let refused = check(&federation, &token).await.unwrap_err();
        assert!(refused.starts_with(code), "{refused}");
    }
    for good in [
        with("exp", json!(NOW - LEEWAY_SECONDS + 1)),
        with("nbf", json!(NOW + LEEWAY_SECONDS)),
        without("nbf"),
    ] {
        check(&federation, &good).await.unwrap();
    }
    // Another issuer, or none, is nobody's token here.
    assert_eq!(
        check(&federation, &with("iss", json!("https://other"))).await.unwrap_err(),
        "no issuer"
    );
    assert_eq!(check(&federation, &without("iss")).await.unwrap_err(), "no issuer");
    // And no token of another issuer opens a key vault's own host.
    let issuer_of = federation.issuer_of(&with("sub", json!("x"))).unwrap();
    let token = key.sign(&claims(&issuer.url));
    let refused = issuer_of.token_check(&token, &[Audience::KeyVault], NOW).await.unwrap_err();
    assert_eq!(refused.code, "InvalidAuthenticationTokenAudience");
}

#[tokio::test]
async fn forged_signatures() {
    let (key, foreign) = (Key::es256("k"), Key::es256("k"));
    let (issuer, other) = (running(&[&key]).await, running(&[&foreign]).await);
    let federation = Federation::new(
        &[config(&issuer.url), config(&other.url)],
        "https://ours",
        &Clock::system(),
    )
    .unwrap();
    let good = key.sign(&claims(&issuer.url));
    check(&federation, &good).await.unwrap();
    let payload = good.split('.').nth(1).unwrap();
    let header = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let refused = async |token: String, what: &str| {
        let reason = check(&federation, &token).await.unwrap_err();
        assert!(reason.contains("InvalidAuthenticationToken"), "{what}: {reason}");
    };
    // No signature at all, by the token's own word, in every spelling.
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = header(json!({"alg": none, "kid": "k"}));
        refused(format!("{unsigned}.{payload}."), none).await;
        refused(format!("{unsigned}.{payload}.AAAA"), none).await;
    }
    // The public key as a shared secret, in the forms in which it is known.
    let jwk = key.jwk().to_string();
    for secret in [key.public.as_slice(), &key.public[1..], jwk.as_bytes()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut shared = Header::new(algorithm);
            shared.kid = Some("k".to_owned());
            let secret = EncodingKey::from_secret(secret);
            let token = jsonwebtoken::encode(&shared, &claims(&issuer.url), &secret).unwrap();
            refused(token, "a shared secret").await;
        }
    }
    // Another issuer's key, under the same id and under an id of its own.
    refused(foreign.sign(&claims(&issuer.url)), "another issuer's key").await;
    // A key for one algorithm, a header that says another.
    for algorithm in ["RS256", "EdDSA", "ES384", "PS256"] {
        let changed = header(json!({"alg": algorithm, "kid": "k"}));
        let signature = good.split('.').nth(2).unwrap();
        refused(format!("{changed}.{payload}.{signature}"), algorithm).await;
    }
    // A key that the token brings along, or none that it names.
    let own = Key::es256("mine");
    let brought = header(
        json!({"alg": "ES256", "kid": "mine", "jwk": own.jwk(), "jku": "http://127.0.0.1:1/"}),
    );
    let signature = own.sign(&claims(&issuer.url)).split('.').nth(2).unwrap().to_owned();
    refused(format!("{brought}.{payload}.{signature}"), "a key of its own").await;
    let mut nameless = Header::new(Algorithm::ES256);
    nameless.kid = None;
    let token = jsonwebtoken::encode(&nameless, &claims(&issuer.url), &key.encoding).unwrap();
    refused(token, "no key's name").await;
    // A changed payload, a cut signature, a header that must be understood and is not.
    let mut changed = claims(&issuer.url);
    changed["sub"] = json!("somebody-else");
    let changed = BASE64_URL_SAFE_NO_PAD.encode(changed.to_string());
    let parts: Vec<_> = good.split('.').collect();
    refused(format!("{}.{changed}.{}", parts[0], parts[2]), "a changed payload").await;
    refused(good[..good.len() - 4].to_owned(), "a cut signature").await;
}

#[tokio::test]
async fn new_keys_are_found_and_unknown_ones_are_not_asked_for_without_end() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let issuer = running(&[&old]).await;
    let federation = federation(&issuer.url);
    check(&federation, &old.sign(&claims(&issuer.url))).await.unwrap();
    *issuer.answers.keys.lock().unwrap() = vec![new.jwk()];
    check(&federation, &new.sign(&claims(&issuer.url))).await.unwrap();
    // What the issuer has withdrawn is not good any more.
    check(&federation, &old.sign(&claims(&issuer.url))).await.unwrap_err();
    for number in 0..50 {
        let made_up = Key::es256(&number.to_string());
        check(&federation, &made_up.sign(&claims(&issuer.url))).await.unwrap_err();
    }
    assert!(issuer.answers.asked.load(Ordering::Relaxed) <= 4);
    check(&federation, &new.sign(&claims(&issuer.url))).await.unwrap();
}

#[tokio::test]
async fn keys_grow_old() {
    let key = Key::es256("k");
    let issuer = running(&[&key]).await;
    let clock = Clock::system();
    let federation = Federation::new(&[config(&issuer.url)], "https://ours", &clock).unwrap();
    let token = key.sign(&claims(&issuer.url));
    check(&federation, &token).await.unwrap();
    clock.advance(Duration::from_secs(3601));
    check(&federation, &token).await.unwrap();
    assert_eq!(issuer.answers.asked.load(Ordering::Relaxed), 2);
    // An issuer that does not answer for some hours changes nothing for keys that are known.
    issuer.answers.is_down.store(true, Ordering::Relaxed);
    clock.advance(Duration::from_secs(20 * 3600));
    check(&federation, &token).await.unwrap();
    clock.advance(Duration::from_secs(5 * 3600));
    let refused = check(&federation, &token).await.unwrap_err();
    assert!(refused.contains("cannot be read at the moment"), "{refused}");
    issuer.answers.is_down.store(false, Ordering::Relaxed);
    clock.advance(Duration::from_secs(11));
    check(&federation, &token).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_not_what_it_says_or_answers_too_much() {
    let key = Key::es256("k");
    let issuer = running(&[&key]).await;
    *issuer.answers.other_issuer.lock().unwrap() = Some("https://other".to_owned());
    let token = key.sign(&claims(&issuer.url));
    let refused = check(&federation(&issuer.url), &token).await.unwrap_err();
    assert!(refused.contains("cannot be read"), "{refused}");
    *issuer.answers.other_issuer.lock().unwrap() = None;
    issuer.answers.filler_bytes.store(300_000, Ordering::Relaxed);
    let refused = check(&federation(&issuer.url), &token).await.unwrap_err();
    assert!(refused.contains("cannot be read"), "{refused}");
    issuer.answers.filler_bytes.store(0, Ordering::Relaxed);
    check(&federation(&issuer.url), &token).await.unwrap();
    assert!(Federation::new(&[config("https://ours")], "https://ours", &Clock::system()).is_err());
}

/// Nobody answers at all: few wait, all others are told at once.
#[tokio::test]
async fn an_issuer_that_hangs_keeps_few_waiting() {
    crate::identity::install_providers();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let federation = Arc::new(federation(&url));
    let key = Key::es256("k");
    let token = key.sign(&claims(&url));
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (federation, token) = (Arc::clone(&federation), token.clone());
        asked.spawn(async move { check(&federation, &token).await.unwrap_err() });
    }
    for _ in 0..92 {
        let refused = tokio::time::timeout(Duration::from_secs(3), asked.join_next()).await;
        assert!(refused.unwrap().unwrap().unwrap().contains("cannot be read"));
    }
    assert_eq!(asked.len(), 8);
    asked.abort_all();
}

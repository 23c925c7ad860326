//! Callers with OpenID Connect tokens: accepted tokens, roles, and key changes.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self as with, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use terrace_tests::served::Served;
use terrace_tests::{Peer, Project};

/// A signing key of the issuer.
enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let algorithm = &with::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    /// A fixed test key, because ring cannot generate RSA keys.
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("../../data/issuer.pk8")).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    /// Returns the public key as the issuer publishes it (RFC 7517).
    fn shown(&self, id: &str) -> Json {
        let text = |bytes: &[u8]| URL_SAFE.encode(bytes);
        let mut jwk = match self {
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref())}),
            Self::Rsa(key) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "n": text(&public.n), "e": text(&public.e)})
            }
        };
        jwk["kid"] = id.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(key) => key.sign(&random, text).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(text).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&with::RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
                signature
            }
        }
    }

    fn token(&self, id: &str, claims: &Json) -> String {
        signed(&json!({"alg": self.algorithm(), "kid": id, "typ": "JWT"}), claims, |text| self.sign(text))
    }
}

fn signed(head: &Json, claims: &Json, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |json: &Json| URL_SAFE.encode(json.to_string());
    let text = format!("{}.{}", part(head), part(claims));
    let signature = URL_SAFE.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// An issuer with keys, and a server that accepts its tokens.
struct World {
    issuer: Peer,
    keys: Arc<Mutex<Vec<Json>>>,
    /// How often the server requested the keys.
    request_count: Arc<AtomicUsize>,
    server: Served,
    project: Project,
}

impl World {
    fn new(keys: Vec<Json>, more: &str) -> Self {
        let keys = Arc::new(Mutex::new(keys));
        let (shown, request_count) = (Arc::clone(&keys), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&request_count);
        let own = Arc::new(Mutex::new(String::new()));
        let url = Arc::clone(&own);
        let issuer = Peer::start(move |path, _| match path {
            "/.well-known/openid-configuration" => {
                (200, json!({"jwks_uri": format!("{}/keys", url.lock().unwrap())}).to_string())
            }
            "/keys" => {
                count.fetch_add(1, Ordering::SeqCst);
                (200, json!({"keys": *shown.lock().unwrap()}).to_string())
            }
            _ => (404, "{}".to_owned()),
        });
        own.lock().unwrap().clone_from(&issuer.url);
        let project = Project::new();
        let url = &issuer.url;
        project.write(
            "terrace.yaml",
            format!("server: {{auth: {{mode: oidc, issuer: '{url}', audience: terrace{more}}}}}\n"),
        );
        let server = Served::start(&project, &[]);
        Self { issuer, keys, request_count, server, project }
    }

    #[expect(clippy::disallowed_methods, reason = "a token holds until a time of this clock")]
    fn claims(&self, more: &Json) -> Json {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims =
            json!({"iss": self.issuer.url, "aud": "terrace", "exp": now + 600, "sub": "ada", "roles": ["plan"]});
        for (name, value) in more.as_object().unwrap() {
            match value {
                Json::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    /// Calls the server with this token. Returns the status of a read call, and status and detail of a changing call.
    fn call_twice(&self, token: &str) -> (u16, u16, String) {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let read = self.server.call_with("GET", "/api/v1/stacks", "", &headers);
        let change = self.server.call_with("POST", "/api/v1/plans/0/apply", "", &headers);
        (read.status, change.status, change.json()["detail"].as_str().unwrap_or_default().to_owned())
    }
}

#[test]
fn token_is_accepted_with_every_kind_of_key() {
    let keys = [Key::ec(), Key::ed(), Key::rsa()];
    let world = World::new(keys.iter().map(|key| key.shown(key.algorithm())).collect(), "");
    for key in &keys {
        let claims = world.claims(&json!({}));
        let (read, change, detail) = world.call_twice(&key.token(key.algorithm(), &claims));
        assert_eq!((read, change), (200, 403), "{} {detail}", key.algorithm());
        assert_eq!(detail, "the token of `ada` has the scope `plan`, and this call needs `apply`");
    }
    // The discovery document and the keys were each requested once.
    assert_eq!(world.issuer.calls().len(), 2);
    world.project.run(["doctor"]).done().prints("ok    issuer of tokens: ").prints("answers with its keys");
}

#[test]
fn roles_allow_what_the_configuration_says() {
    let key = Key::ec();
    let world = World::new(vec![key.shown("1")], ", rolesClaim: realm.roles, roles: {engineers: apply, all: read}");
    let call_twice = |roles: Json| {
        let claims = world.claims(&json!({"roles": null, "realm": {"roles": roles}, "preferred_username": "grace"}));
        world.call_twice(&key.token("1", &claims))
    };
    // 404: the caller is authorised, and the plan does not exist.
    assert_eq!(call_twice(json!(["all", "engineers"])).1, 404);
    assert_eq!(call_twice(json!("engineers all")).1, 404);
    let (read, change, detail) = call_twice(json!(["all"]));
    assert_eq!((read, change), (200, 403), "{detail}");
    assert_eq!(detail, "the token of `grace` has the scope `read`, and this call needs `apply`");
    let nameless = json!({"roles": null, "realm": {"roles": ["all"]}, "preferred_username": "", "email": " "});
    let (.., detail) = world.call_twice(&key.token("1", &world.claims(&nameless)));
    assert_eq!(
        detail, "the token of `ada` has the scope `read`, and this call needs `apply`",
        "an empty name is ignored"
    );
    for none in [json!([]), json!(["apply"]), json!(7), json!({"engineers": true}), Json::Null] {
        let (read, change, detail) = call_twice(none);
        assert_eq!((read, change), (403, 403));
        assert_eq!(detail, "the token of `grace` has no role of this server, and this call needs the scope `apply`");
    }
}

#[test]
fn token_not_issued_for_this_server_is_refused_with_the_reason() {
    let (key, other) = (Key::ec(), Key::ec());
    let world = World::new(vec![key.shown("1"), Key::rsa().shown("rsa")], "");
    let refused = |token: &str, why: &str| {
        let (read, change, detail) = world.call_twice(token);
        assert_eq!((read, change), (401, 401), "{detail}");
        assert_eq!(detail, format!("the caller is unknown: {why}"));
    };
    let token = |claims: Json| key.token("1", &world.claims(&claims));
    refused(&token(json!({"exp": 1_000_000})), "the token has expired");
    refused(&token(json!({"nbf": 9_000_000_000_u64})), "the token is not valid yet");
    refused(&token(json!({"aud": "somebody"})), "the token is for another audience");
    refused(&token(json!({"iss": "https://somebody.example.com"})), "the token is from another issuer");
    for claim in ["exp", "iss", "aud"] {
        refused(&token(json!({claim: null})), "the token lacks `exp`, `iss` or `aud`");
    }
    let claims = world.claims(&json!({}));
    refused(&other.token("1", &claims), "the token was not signed by the issuer");
    refused("abc", "the token is not a JWT");
    // Unsigned tokens, and tokens signed with a public value.
    let none = json!({"alg": "none", "kid": "1"});
    refused(&signed(&none, &claims, |_| Vec::new()), "the token is not a JWT");
    let secret = json!({"alg": "HS256", "kid": "rsa"});
    refused(&signed(&secret, &claims, |_| vec![1; 32]), "the token has a signature algorithm that is not accepted");
    // The key has another type than the token claims.
    let confused = json!({"alg": "ES256", "kid": "rsa"});
    let unknown = "the issuer does not have the key of this token";
    refused(&signed(&confused, &claims, |text| key.sign(text)), unknown);
    // The token requires an unknown extension (RFC 7515, 4.1.11).
    let critical = json!({"alg": "ES256", "kid": "1", "crit": ["x"], "x": 1});
    let why = "the token has unknown critical extensions (`crit`)";
    refused(&signed(&critical, &claims, |text| key.sign(text)), why);
    let (read, ..) = world.call_twice(&key.token("1", &claims));
    assert_eq!(read, 200);
}

#[test]
fn token_for_another_purpose_is_refused() {
    let key = Key::ec();
    let shown = || vec![key.shown("1")];
    let world = World::new(shown(), "");
    let refused = |world: &World, head: &Json, claims: Json, why: &str| {
        let claims = world.claims(&claims);
        let (read, _, detail) = world.call_twice(&signed(head, &claims, |text| key.sign(text)));
        let output = if read == 401 { detail.strip_prefix("the caller is unknown: ").unwrap() } else { "" };
        assert_eq!(output, why, "{head} {claims}");
    };
    let head = |kind: &str| json!({"alg": "ES256", "kid": "1", "typ": kind});
    let (other_type, no_access) =
        ("the token has a type (`typ`) that is not accepted", "the token is for another purpose than access (`typ`)");
    let other_client = "the token does not name an accepted client (`azp`, `client_id`)";
    let several = |client: &str| json!({"aud": ["terrace", "account"], "azp": client});
    refused(&world, &json!({"alg": "ES256", "kid": "1"}), json!({}), "");
    refused(&world, &head("at+jwt"), json!({}), "");
    refused(&world, &head("logout+jwt"), json!({}), other_type);
    refused(&world, &head("JWT"), json!({"typ": "ID"}), no_access);
    refused(&world, &head("JWT"), several("portal"), other_client);
    refused(&world, &head("JWT"), several("terrace"), "");
    refused(&world, &head("JWT"), json!({"azp": "portal"}), "");
    let world = World::new(shown(), ", tokenTypes: [own+jwt], clients: [portal]");
    refused(&world, &head("own+jwt"), several("portal"), "");
    refused(&world, &head("JWT"), json!({}), other_type);
    refused(&world, &head("own+jwt"), json!({"azp": "other"}), other_client);
    let world = World::new(shown(), ", tokenTypes: ['*'], clients: ['*']");
    refused(&world, &head("logout+jwt"), several("portal"), "");
    world
        .project
        .write("wrong/terrace.yaml", "server: {auth: {mode: oidc, issuer: 'https://a', audience: b, clients: []}}\n");
    world.project.run(["--chdir", "wrong", "serve"]).with_code(1).prints("`clients` accepts no token");
}

#[test]
fn remote_keys_over_http_are_refused() {
    let project = Project::new();
    for urls in [
        "issuer: 'http://issuer.example.com/realm'",
        "issuer: 'https://a.example.com', jwksUrl: 'http://a.example.com/keys'",
    ] {
        project.write("terrace.yaml", format!("server: {{auth: {{mode: oidc, audience: a, {urls}}}}}\n"));
        project.run(["serve"]).with_code(1).prints("`http://` to another machine").prints("terrace.yaml:1:");
    }
    let issuer = Peer::start(|_, _| (200, json!({"jwks_uri": "http://keys.example.com/keys"}).to_string()));
    project.write("terrace.yaml", format!("server: {{auth: {{mode: oidc, audience: a, issuer: '{}'}}}}\n", issuer.url));
    project.run(["doctor"]).with_code(1).prints("its `jwks_uri` cannot be used: it is `http://` to another machine");
}

#[test]
fn event_stream_ends_when_its_token_expires() {
    let key = Key::ec();
    let world = World::new(vec![key.shown("1")], "}, stacks: true, log: {level: info");
    let token = |more: Json| format!("Bearer {}", key.token("1", &world.claims(&more)));
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: slow}\nresources:\n  - type: local_command\n    \
                 name: c\n    config: {create: [sh, -c, 'until [ -e go ]; do sleep 0.05; done; echo \"{}\"']}\n";
    let body = terrace_tests::served::request("DATAPRODUCT_DESCRIPTOR", stack, false);
    let changing = token(json!({"roles": ["apply"]}));
    let begun = world.server.call_with("POST", "/v1/provision", &body, &[("authorization", &changing)]);
    assert_eq!(begun.status, 202, "{begun:?}");
    // The server allows a minute of clock difference, so the token has two seconds left.
    #[expect(clippy::disallowed_methods, reason = "a token holds until a time of this clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let short = token(json!({"exp": now - 58}));
    let path = format!("/api/v1/operations/{}/events", begun.body);
    // The call returns when the stream ends. The operation does not end meanwhile.
    let followed = world.server.call_with("GET", &path, "", &[("authorization", &short)]);
    assert_eq!(followed.status, 200, "{followed:?}");
    assert!(!followed.body.contains("event: end"), "{followed:?}");
    assert_eq!(world.server.call_with("GET", &path, "", &[("authorization", &short)]).status, 401);
    world.project.write("go", "");
}

#[test]
fn changed_keys_are_requested_again_but_not_for_every_token() {
    let (old, new) = (Key::ec(), Key::ec());
    let world = World::new(vec![], "");
    let claims = world.claims(&json!({}));
    let unknown = "the caller is unknown: the issuer does not have the key of this token";
    assert_eq!(world.call_twice(&old.token("old", &claims)), (401, 401, unknown.to_owned()));
    let calls_before = world.issuer.calls().len();
    for _ in 0..20 {
        assert_eq!(world.call_twice(&new.token("made-up", &claims)).0, 401);
    }
    assert_eq!(world.issuer.calls().len(), calls_before, "who makes up keys makes it ask");
    world.keys.lock().unwrap().push(new.shown("new"));
    terrace_tests::until("the new key is known", || world.call_twice(&new.token("new", &claims)).0 == 200);
}

#[test]
fn caller_with_a_known_key_does_not_wait_for_a_hanging_issuer() {
    let (known, new) = (Key::ec(), Key::ec());
    let world = World::new(vec![known.shown("known")], "");
    let claims = world.claims(&json!({}));
    assert_eq!(world.call_twice(&known.token("known", &claims)).0, 200);
    let is_answered = AtomicBool::new(false);
    // The issuer does not answer while this lock is held.
    let mut keys = world.keys.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            terrace_tests::until("the new key is known", || {
                let (read, ..) = world.call_twice(&new.token("new", &claims));
                is_answered.fetch_or(world.request_count.load(Ordering::SeqCst) > 1, Ordering::SeqCst);
                read == 200
            });
        });
        terrace_tests::until("the keys are requested again", || world.request_count.load(Ordering::SeqCst) > 1);
        assert_eq!(world.call_twice(&known.token("known", &claims)).0, 200);
        assert!(!is_answered.load(Ordering::SeqCst), "it waited for the issuer");
        keys.push(new.shown("new"));
        drop(keys);
    });
}

#[test]
fn server_without_its_issuer_is_not_ready_and_reports_it() {
    let project = Project::new();
    let gone = { Peer::start(|_, _| (500, String::new())).url.clone() };
    project.write("terrace.yaml", format!("server: {{auth: {{mode: oidc, issuer: '{gone}', audience: a}}}}\n"));
    project.run(["doctor"]).with_code(1).prints("fail  issuer of tokens: ").prints("correct `server.auth`");
    let server = Served::start(&project, &[]);
    let ready = server.call("GET", "/ready", "");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("issuer of tokens"), "{}", ready.body);
    let token = Key::ec().token("1", &json!({}));
    let bearer = format!("Bearer {token}");
    let answer = server.call_with("GET", "/api/v1/stacks", "", &[("authorization", &bearer)]);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("the keys of the issuer are not available now"), "{answer:?}");
    assert_eq!(server.call("GET", "/api/v1/stacks", "").status, 401);
}

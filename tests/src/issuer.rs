//! A small issuer of tokens with the device grant (RFC 8628), in the shapes of known issuers. The test sets
//! the answers to polls. Tokens are JWTs, signed by the issuer's key, but those of GitHub are opaque.

mod github;

pub use github::APPLICATION_SECRET;

use crate::Peer;
use crate::peer::Call;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE;
use github::GitHub;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The client of the issuer.
pub const CLIENT: &str = "terrace-cli";
/// The secret of the client in [`Shape::Google`].
pub const SECRET: &str = "not-a-secret";
/// The code for the user.
pub const USER_CODE: &str = "WDJB-MJHT";

/// The shape of the issuer's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// OpenID Connect with discovery.
    OpenId,
    /// No discovery; forms unless the caller accepts JSON; errors with the status 200; opaque tokens, and an API that checks
    /// them.
    GitHub,
    /// `verification_url`, a client secret, its own status codes, and an opaque access token.
    Google,
}

/// The answer to a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// The user has not decided.
    Pending,
    /// The polls come too fast.
    SlowDown,
    /// The user refuses.
    Denied,
    /// The code has expired.
    Expired,
}

impl Poll {
    const fn code(self) -> &'static str {
        match self {
            Self::Pending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::Denied => "access_denied",
            Self::Expired => "expired_token",
        }
    }
}

/// The behaviour of the issuer.
#[derive(Debug)]
pub struct Behaviour {
    /// Answers to the next polls. Then the user permits the client.
    pub polls: VecDeque<Poll>,
    /// The lifetime of tokens, in seconds. Without it, tokens cannot be renewed.
    pub lifetime: Option<u64>,
    /// The issuer that the discovery document names; that of the address if absent.
    pub named: Option<String>,
    /// Further claims of tokens.
    pub claims: Json,
    /// The accounts and tokens of [`Shape::GitHub`].
    pub github: GitHub,
    /// The scopes of the last sign-in.
    scopes: String,
    /// The only refresh token that is valid: each is used once.
    refresh_token: String,
    number: u64,
}

/// A running issuer.
#[derive(Debug)]
pub struct Issuer {
    peer: Peer,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Issuer {
    /// Starts an issuer.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start(shape: Shape) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        let behaviour = Arc::new(Mutex::new(Behaviour {
            polls: VecDeque::new(),
            lifetime: (shape != Shape::GitHub).then_some(600),
            named: None,
            claims: json!({"roles": ["apply"]}),
            github: GitHub::default(),
            scopes: String::new(),
            refresh_token: String::new(),
            number: 0,
        }));
        let own = Arc::new(Mutex::new(String::new()));
        let (shared, url) = (Arc::clone(&behaviour), Arc::clone(&own));
        let peer = Peer::start_with_headers(move |call, _| {
            let url = url.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut behaviour = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let kind = |kind: &str| ("content-type", kind.to_owned());
            if shape == Shape::GitHub && call.path.starts_with("/api/") {
                let (status, mut headers, answer) = behaviour.github.answer(call);
                headers.push(kind("application/json"));
                return (status, headers, answer.to_string());
            }
            let (status, answer) = behaviour.answer(shape, &key, &url, call);
            let accepts_json = call.headers.get("accept").is_some_and(|accept| accept.contains("json"));
            match shape == Shape::GitHub && !accepts_json {
                true => (status, vec![kind("application/x-www-form-urlencoded")], form(&answer)),
                false => (status, vec![kind("application/json")], answer.to_string()),
            }
        });
        own.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&peer.url);
        Self { peer, behaviour }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.peer.url
    }

    /// Its behaviour, to change it.
    pub fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The forms that it received at a path.
    #[must_use]
    pub fn forms(&self, path: &str) -> Vec<BTreeMap<String, String>> {
        self.peer.calls().iter().filter(|call| call.path == path).map(fields).collect()
    }
}

impl Behaviour {
    fn answer(&mut self, shape: Shape, key: &Ed25519KeyPair, url: &str, call: &Call) -> (u16, Json) {
        let form = fields(call);
        let path = match (shape, call.path.as_str()) {
            (Shape::GitHub, "/login/device/code") => "/device",
            (Shape::GitHub, "/login/oauth/access_token") => "/token",
            (Shape::GitHub, _) => "",
            (Shape::OpenId | Shape::Google, path) => path,
        };
        match path {
            "/.well-known/openid-configuration" => {
                let mut document = json!({
                    "issuer": self.named.as_deref().unwrap_or(url),
                    "jwks_uri": format!("{url}/keys"),
                    "device_authorization_endpoint": format!("{url}/device"),
                    "token_endpoint": format!("{url}/token"),
                });
                if shape == Shape::OpenId {
                    set(&mut document, "revocation_endpoint", format!("{url}/revoke"));
                }
                (200, document)
            }
            "/keys" => {
                let public = URL_SAFE.encode(key.public_key().as_ref());
                (200, json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", "x": public}]}))
            }
            "/device" if form.get("client_id").is_none_or(|client| client != CLIENT) => {
                refusal(shape, 401, "invalid_client")
            }
            "/device" => {
                self.scopes = form.get("scope").cloned().unwrap_or_default();
                let page = if shape == Shape::Google { "verification_url" } else { "verification_uri" };
                let mut answer =
                    json!({"device_code": "a-device-code", "user_code": USER_CODE, "expires_in": 900, "interval": 0});
                set(&mut answer, page, format!("{url}/activate"));
                (200, answer)
            }
            "/token" => self.tokens(shape, key, url, &form),
            "/revoke" => (200, Json::Null),
            _ => (404, json!({})),
        }
    }

    fn tokens(
        &mut self,
        shape: Shape,
        key: &Ed25519KeyPair,
        url: &str,
        form: &BTreeMap<String, String>,
    ) -> (u16, Json) {
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if field("client_id") != CLIENT || (shape == Shape::Google && field("client_secret") != SECRET) {
            return refusal(shape, 401, "invalid_client");
        }
        match field("grant_type") {
            "refresh_token" if field("refresh_token") == self.refresh_token => {}
            "urn:ietf:params:oauth:grant-type:device_code" if field("device_code") == "a-device-code" => {
                if let Some(poll) = self.polls.pop_front() {
                    let status = if poll == Poll::Pending && shape == Shape::Google { 428 } else { 400 };
                    return refusal(shape, status, poll.code());
                }
            }
            _ => return refusal(shape, 400, "invalid_grant"),
        }
        self.number += 1;
        self.refresh_token = format!("refresh-{}", self.number);
        let mut answer = json!({"token_type": "bearer", "scope": self.scopes});
        if let Some(lifetime) = self.lifetime {
            set(&mut answer, "expires_in", lifetime);
            set(&mut answer, "refresh_token", self.refresh_token.clone());
        }
        match shape {
            Shape::Google => {
                set(&mut answer, "access_token", "opaque");
                set(&mut answer, "id_token", self.token(key, url));
            }
            Shape::OpenId => set(&mut answer, "access_token", self.token(key, url)),
            Shape::GitHub => set(&mut answer, "access_token", self.github.issue(CLIENT, &self.scopes)),
        }
        (200, answer)
    }

    #[expect(clippy::disallowed_methods, reason = "a token holds until a time of this clock")]
    fn token(&self, key: &Ed25519KeyPair, url: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let mut claims = json!({"iss": url, "aud": "terrace", "exp": now + 600, "sub": "ada", "jti": self.number});
        for (name, value) in self.claims.as_object().expect("claims") {
            set(&mut claims, name, value.clone());
        }
        let part = |json: &Json| URL_SAFE.encode(json.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": "1", "typ": "JWT"})), part(&claims));
        let signature = URL_SAFE.encode(key.sign(text.as_bytes()).as_ref());
        format!("{text}.{signature}")
    }
}

/// Sets a field of an object.
fn set(object: &mut Json, name: &str, value: impl Into<Json>) {
    object.as_object_mut().expect("an object").insert(name.to_owned(), value.into());
}

/// A refusal: GitHub sends it with the status 200.
fn refusal(shape: Shape, status: u16, code: &str) -> (u16, Json) {
    (if shape == Shape::GitHub { 200 } else { status }, json!({"error": code}))
}

/// The fields of a form. The tests send only characters that need no decoding, but for `:`.
fn fields(call: &Call) -> BTreeMap<String, String> {
    let body = String::from_utf8_lossy(&call.body).replace("%3A", ":").replace("%20", " ");
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A flat answer as a form.
fn form(answer: &Json) -> String {
    let fields = answer.as_object().into_iter().flatten();
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let encoded = |value: &Json| text(value).replace(':', "%3A").replace('/', "%2F");
    fields.map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

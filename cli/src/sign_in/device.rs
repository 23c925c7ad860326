//! The device grant (RFC 8628): a code for the user, then polls until the user has permitted terrace.
//!
//! The crate `oauth2` has this grant, too. It reads GitHub's errors, which have the status 200, as broken tokens, and would
//! bring second versions of five crates.

use super::answer::{self, Fields, NoFields, seconds, secret, text};
use super::issuer::{Issuer, SignInError};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use std::time::Duration;
use terrace_server::auth::{SignInOffer, SignInToken};
use tokio::time::{Instant, sleep};

/// Interval of polls if the issuer names none (RFC 8628, 3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// The shortest interval, also if the issuer names a shorter one.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest interval after lost answers.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// The longer interval after `slow_down` (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// The longest life of a code, also if the issuer names a longer one.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);

/// Tokens of an issuer.
pub(crate) struct Tokens {
    /// The token for the server.
    pub(crate) token: SecretString,
    /// The token for new tokens.
    pub(crate) refresh_token: Option<SecretString>,
    /// The end of the token; `None` if it has none.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Tokens {
    /// Reads an answer with tokens.
    pub(super) fn of(fields: &Fields, kind: SignInToken, now: Timestamp) -> Result<Self, SignInError> {
        let (name, remedy) = match kind {
            SignInToken::Access => ("access_token", ""),
            SignInToken::Id => ("id_token", ": its scopes need `openid`"),
        };
        let token = secret(fields, name);
        let token = token.ok_or_else(|| SignInError::Invalid(format!("the issuer returned no `{name}`{remedy}")))?;
        let life = seconds(fields, "expires_in").and_then(|seconds| i64::try_from(seconds).ok());
        let expires_at = life.and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok());
        Ok(Self { token, refresh_token: secret(fields, "refresh_token"), expires_at })
    }
}

/// A started sign-in, which the user has to permit.
pub(crate) struct Grant {
    device_code: SecretString,
    /// The code for the user.
    pub(crate) user_code: String,
    /// The page on which the user enters it.
    pub(crate) verification_url: String,
    /// A page that has the code already.
    pub(crate) complete_url: Option<String>,
    interval: Duration,
    expires: Instant,
}

impl Grant {
    /// Starts a sign-in.
    ///
    /// # Errors
    /// When the issuer refuses it or is not reached.
    pub(crate) async fn start(issuer: &Issuer, offer: &SignInOffer) -> Result<Self, SignInError> {
        let (client_id, scope) = (offer.client_id.as_str().into(), offer.scopes.join(" ").into());
        let mut form: Vec<(&str, &SecretString)> = vec![("client_id", &client_id)];
        if !offer.scopes.is_empty() {
            form.push(("scope", &scope));
        }
        let fields = answer::post(&issuer.device_url, &form).await?;
        if let Some((_, words)) = answer::error(&fields) {
            return Err(SignInError::Refused(words));
        }
        let missing = |name: &str| SignInError::Invalid(format!("the answer of the issuer has no `{name}`"));
        // Google writes `verification_url`.
        let page = text(&fields, "verification_uri").or_else(|| text(&fields, "verification_url"));
        let page = page.filter(|page| is_page(page)).ok_or_else(|| missing("verification_uri"))?;
        let life = Duration::from_secs(seconds(&fields, "expires_in").ok_or_else(|| missing("expires_in"))?);
        let complete = text(&fields, "verification_uri_complete").filter(|page| is_page(page));
        Ok(Self {
            device_code: secret(&fields, "device_code").ok_or_else(|| missing("device_code"))?,
            user_code: text(&fields, "user_code").ok_or_else(|| missing("user_code"))?.to_owned(),
            verification_url: page.to_owned(),
            complete_url: complete.map(str::to_owned),
            interval: seconds(&fields, "interval")
                .map_or(INTERVAL, Duration::from_secs)
                .clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
            expires: Instant::now() + life.min(LONGEST_LIFE),
        })
    }

    /// Waits until the user has permitted terrace, and returns the tokens.
    ///
    /// # Errors
    /// When the user refuses, the code expires, or the issuer does not answer for that long.
    pub(crate) async fn wait(self, issuer: &Issuer, offer: &SignInOffer) -> Result<Tokens, SignInError> {
        let (kind, code) = ("urn:ietf:params:oauth:grant-type:device_code".into(), self.device_code);
        let client_secret = offer.public_client_secret.as_deref().map(SecretString::from);
        let client_id = offer.client_id.as_str().into();
        let mut form: Vec<(&str, &SecretString)> =
            vec![("grant_type", &kind), ("device_code", &code), ("client_id", &client_id)];
        form.extend(client_secret.as_ref().map(|secret| ("client_secret", secret)));
        let mut interval = self.interval;
        let mut last_outage = None;
        loop {
            sleep(interval).await;
            if Instant::now() >= self.expires {
                return Err(last_outage.map_or(SignInError::Expired, SignInError::Unavailable));
            }
            match answer::post(&issuer.token_url, &form).await {
                Ok(fields) => match next(&fields, interval)? {
                    Some(longer) => (interval, last_outage) = (longer, None),
                    None => return Tokens::of(&fields, offer.token, Timestamp::now()),
                },
                Err(NoFields::Unavailable(why)) => {
                    (interval, last_outage) = ((interval * 2).min(LONGEST_INTERVAL), Some(why));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }
}

/// Pages open in the user's browser: no other schemes, and nothing that a terminal could interpret.
fn is_page(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://")) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The interval before the next poll after an answer; `None` if the answer has the tokens.
fn next(fields: &Fields, interval: Duration) -> Result<Option<Duration>, SignInError> {
    let Some((code, words)) = answer::error(fields) else { return Ok(None) };
    match code.as_str() {
        "authorization_pending" => Ok(Some(interval)),
        // GitHub also names the new interval.
        "slow_down" => {
            let named = seconds(fields, "interval").map(Duration::from_secs).unwrap_or_default();
            Ok(Some((interval + SLOWER).max(named.min(LONGEST_INTERVAL))))
        }
        "access_denied" => Err(SignInError::Refused("it was denied in the browser".to_owned())),
        "expired_token" => Err(SignInError::Expired),
        _ => Err(SignInError::Refused(words)),
    }
}

/// Requests new tokens with a refresh token (RFC 6749, 6).
///
/// # Errors
/// [`SignInError::Refused`] if the refresh token is not valid any more.
pub(crate) async fn request_tokens(
    token_url: &str,
    client: (&str, Option<&SecretString>),
    refresh_token: &SecretString,
    kind: SignInToken,
) -> Result<Tokens, SignInError> {
    let (grant_type, client_id) = ("refresh_token".into(), client.0.into());
    let mut form: Vec<(&str, &SecretString)> =
        vec![("grant_type", &grant_type), ("refresh_token", refresh_token), ("client_id", &client_id)];
    form.extend(client.1.map(|secret| ("client_secret", secret)));
    let fields = answer::post(token_url, &form).await?;
    match answer::error(&fields) {
        Some((_, words)) => Err(SignInError::Refused(words)),
        None => Tokens::of(&fields, kind, Timestamp::now()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn decided(answer: &Json) -> Result<Option<Duration>, SignInError> {
        next(answer.as_object().unwrap(), INTERVAL)
    }

    #[test]
    fn answers_decide_about_the_next_poll() {
        assert_eq!(decided(&json!({"access_token": "a"})), Ok(None));
        assert_eq!(decided(&json!({"error": "authorization_pending"})), Ok(Some(INTERVAL)));
        let slower = Some(Duration::from_secs(10));
        assert_eq!(decided(&json!({"error": "slow_down"})), Ok(slower));
        assert_eq!(decided(&json!({"error": "slow_down", "interval": 10})), Ok(slower));
        assert_eq!(decided(&json!({"error": "slow_down", "interval": 15})), Ok(Some(Duration::from_secs(15))));
        assert_eq!(decided(&json!({"error": "slow_down", "interval": u64::MAX})), Ok(Some(LONGEST_INTERVAL)));
        assert_eq!(decided(&json!({"error": "expired_token"})), Err(SignInError::Expired));
        let denied = decided(&json!({"error": "access_denied"})).unwrap_err().to_string();
        assert_eq!(denied, "the issuer refuses the sign-in: it was denied in the browser");
        let other = decided(&json!({"error": "invalid_client", "error_description": "No such client.\u{1b}"}));
        assert_eq!(other, Err(SignInError::Refused("No such client (invalid_client)".to_owned())));
    }

    #[test]
    fn tokens_have_an_end_if_the_issuer_names_one() {
        let of = |answer: Json, kind| Tokens::of(answer.as_object().unwrap(), kind, Timestamp::UNIX_EPOCH);
        let tokens = of(json!({"access_token": "a", "expires_in": 60}), SignInToken::Access).ok().unwrap();
        assert_eq!(tokens.expires_at.map(Timestamp::as_second), Some(60));
        let tokens = of(json!({"access_token": "a", "expires_in": "60"}), SignInToken::Access).ok().unwrap();
        assert_eq!(tokens.expires_at.map(Timestamp::as_second), Some(60));
        let tokens = of(json!({"access_token": "a", "expires_in": u64::MAX}), SignInToken::Access).ok().unwrap();
        assert_eq!(tokens.expires_at, None);
        for (answer, kind) in [
            (json!({}), SignInToken::Access),
            (json!({"access_token": "a"}), SignInToken::Id),
            (json!({"access_token": "a\nb"}), SignInToken::Access),
            (json!({"access_token": ""}), SignInToken::Access),
        ] {
            assert!(of(answer, kind).is_err());
        }
    }

    #[test]
    fn only_web_pages_are_shown_to_users() {
        assert!(is_page("https://github.com/login/device") && is_page("http://127.0.0.1:1/device"));
        for wrong in ["", "file:///etc/passwd", "javascript:alert(1)", "https://a\u{1b}[2J", "https://a b"] {
            assert!(!is_page(wrong), "{wrong:?}");
        }
    }
}

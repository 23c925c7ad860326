//! Webhooks of forges: a push wakes the process that deploys, which then polls that repository.
//!
//! A call proves with the secret that it comes from the forge. It carries no work: a repeated call only causes a poll
//! that finds nothing new.
//!
//! GitHub signs the body: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>. GitLab sends
//! the secret itself: <https://docs.gitlab.com/user/project/integrations/webhooks/#validate-payloads-by-using-a-secret-token>.

use crate::answer::Refusal;
use crate::outage_log::LogThrottle;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The longest payload, in bytes. A push with 2,000 commits, the limit of GitHub, has about 2 MB.
const LONGEST: usize = 8 << 20;
/// Payloads that are read at once: their senders are not known yet.
const AT_ONCE: usize = 4;
/// The time in which a payload has to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// The least time between two lines of the log about refused calls.
const SILENCE: Duration = Duration::from_secs(60);
/// The header of GitHub with the signature of the body.
const SIGNATURE: &str = "x-hub-signature-256";
/// The header of GitLab with the secret.
const TOKEN: &str = "x-gitlab-token";

/// Receives pushes to repositories.
#[derive(Clone)]
pub struct PushHooks {
    /// The secret that the forge knows.
    pub secret: SecretString,
    /// Wakes the deployments of a repository, by its URL. Returns false if no deployment names it.
    pub wake: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl fmt::Debug for PushHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushHooks")
    }
}

impl PushHooks {
    /// The routes. They need no token of the API.
    pub(crate) fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let receiver = Receiver { hooks: self, bodies: Semaphore::new(AT_ONCE), refused: LogThrottle::new(SILENCE) };
        Router::new()
            .route("/hooks/github", post(github))
            .route("/hooks/gitlab", post(gitlab))
            .with_state(Arc::new(receiver))
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        // HMAC accepts keys of any length, so this never fails.
        Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes()).ok()
    }

    /// True if the digits are the HMAC-SHA-256 of the body. The comparison takes the same time for any digits.
    fn is_signed(&self, body: &[u8], digits: &str) -> bool {
        let Some(mut mac) = self.mac() else { return false };
        mac.update(body);
        decoded(digits).is_some_and(|signature| mac.verify_slice(&signature).is_ok())
    }

    /// True for the secret itself. Compares digests, so that the time does not depend on equal beginnings.
    fn is_secret(&self, text: &str) -> bool {
        let (Some(mut own), Some(mut other)) = (self.mac(), self.mac()) else { return false };
        own.update(self.secret.expose_secret().as_bytes());
        other.update(text.as_bytes());
        other.verify(&own.finalize().into_bytes()).is_ok()
    }

    /// Wakes the deployments of the payload's repository.
    fn take(&self, body: &[u8], urls: [&str; 2]) -> Response {
        let payload: Json = serde_json::from_slice(body).unwrap_or_default();
        let urls = urls.iter().filter_map(|path| payload.pointer(path).and_then(Json::as_str));
        let mut is_known = false;
        for url in urls {
            is_known |= (self.wake)(url);
        }
        match is_known {
            true => StatusCode::ACCEPTED.into_response(),
            false => Refusal::NoPath.into_response(),
        }
    }
}

/// Bytes of hexadecimal digits.
fn decoded(digits: &str) -> Option<Vec<u8>> {
    let bytes = digits.as_bytes();
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pair = |pair: &[u8]| {
        let (high, low) = (digit(pair.first()?)?, digit(pair.get(1)?)?);
        u8::try_from(high * 16 + low).ok()
    };
    bytes.chunks(2).map(pair).collect()
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The hooks with the limits of their routes.
struct Receiver {
    hooks: PushHooks,
    bodies: Semaphore,
    refused: LogThrottle,
}

impl Receiver {
    /// The body of a call, within the limits of size, time and number.
    async fn body(&self, request: Request) -> Result<Bytes, Response> {
        let Ok(_permit) = self.bodies.try_acquire() else { return Err(Refusal::QueueFull.into_response()) };
        match tokio::time::timeout(ARRIVAL, to_bytes(request.into_body(), LONGEST)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
        }
    }

    fn refuse(&self) -> Response {
        if let Some(calls) = self.refused.count() {
            tracing::warn!(calls, "refused webhooks of pushes: their signature is missing or wrong");
        }
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn github(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let signature = header(request.headers(), SIGNATURE).strip_prefix("sha256=").map(str::to_owned);
    // GitHub sends a ping when the hook is created.
    let is_ping = header(request.headers(), "x-github-event") == "ping";
    let Some(digits) = signature else { return receiver.refuse() };
    let body = match receiver.body(request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    match receiver.hooks.is_signed(&body, &digits) {
        false => receiver.refuse(),
        true if is_ping => StatusCode::NO_CONTENT.into_response(),
        true => receiver.hooks.take(&body, ["/repository/clone_url", "/repository/html_url"]),
    }
}

async fn gitlab(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    if !receiver.hooks.is_secret(header(request.headers(), TOKEN)) {
        return receiver.refuse();
    }
    match receiver.body(request).await {
        Ok(body) => receiver.hooks.take(&body, ["/project/git_http_url", "/project/web_url"]),
        Err(refused) => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use futures_util::StreamExt;
    use tower::ServiceExt;

    fn hooks() -> PushHooks {
        PushHooks { secret: "It's a Secret to Everybody".to_owned().into(), wake: Arc::new(|_| true) }
    }

    /// The example of GitHub's documentation.
    #[test]
    fn signature_matches_the_documentation_of_github() {
        let digits = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(hooks().is_signed(b"Hello, World!", digits));
        for wrong in ["", "7571", "zz", &digits.replace('7', "8"), &format!("{digits}00")] {
            assert!(!hooks().is_signed(b"Hello, World!", wrong), "{wrong}");
        }
        assert!(!hooks().is_signed(b"Hello, world!", digits));
    }

    #[test]
    fn only_the_secret_itself_is_accepted() {
        assert!(hooks().is_secret("It's a Secret to Everybody"));
        for wrong in ["", "It's a Secret", "It's a Secret to Everybody "] {
            assert!(!hooks().is_secret(wrong), "{wrong}");
        }
        assert!(!format!("{:?}", hooks()).contains("Secret to"));
    }

    /// The status of a call with this body.
    async fn status(path: &str, header: (&str, &str), body: Body) -> StatusCode {
        let request = Request::post(path).header(header.0, header.1).body(body).unwrap();
        hooks().routes::<()>().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn body_of_an_unknown_sender_is_not_read() {
        let unread = || {
            let begun = futures_util::stream::once(async { panic!("the body was read") });
            Body::from_stream(begun.map(Ok::<Bytes, std::io::Error>))
        };
        assert_eq!(status("/hooks/github", ("x-other", ""), unread()).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status("/hooks/gitlab", (TOKEN, "wrong"), unread()).await, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn payload_has_a_limit() {
        let secret = (TOKEN, "It's a Secret to Everybody");
        let large = Body::from(vec![b' '; LONGEST + 1]);
        assert_eq!(status("/hooks/gitlab", secret, large).await, StatusCode::PAYLOAD_TOO_LARGE);
        let push = r#"{"project": {"git_http_url": "https://example.com/a.git"}}"#;
        assert_eq!(status("/hooks/gitlab", secret, Body::from(push)).await, StatusCode::ACCEPTED);
    }
}

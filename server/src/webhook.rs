//! Telling others of drift: a signed call, as Standard Webhooks has it, tried again until somebody takes it.

use crate::drifting::Found;
use crate::http::{check_url, client, in_words};
use backon::{ExponentialBuilder, Retryable};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use metrics::counter;
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;
use std::time::Duration;
use uuid::Uuid;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is tried: after 1, 4, 16, 64 and 256 seconds again.
const RETRIES: usize = 5;
/// With this a secret is base64, as the specification writes them; without it, its own letters.
const ENCODED: &str = "whsec_";

/// Who is told, and how they know that it is true.
#[derive(Debug, Clone)]
pub struct Webhook {
    url: Url,
    secret: SecretString,
}

impl Webhook {
    /// Tells those at this address, signed with this secret.
    ///
    /// # Errors
    /// When the address cannot be called, with the reason.
    pub fn new(url: &str, secret: String) -> Result<Self, String> {
        Ok(Self { url: check_url(url)?, secret: secret.into() })
    }

    /// Tells what a scan found; in the log where nobody took it.
    pub(crate) async fn tell(self, operation: Uuid, stack: String, found: Found) {
        let at = Timestamp::now();
        let body = json!({
            "type": "drift.detected",
            "timestamp": at.to_string(),
            "data": {"operation": operation, "stack": stack, "drifted": found.drifted, "unread": found.unread},
        })
        .to_string();
        let told = self.send(operation, body).await;
        counter!("terrace_webhooks_total", "result" => if told.is_ok() { "taken" } else { "failed" }).increment(1);
        if let Err(error) = told {
            tracing::warn!(%operation, stack, error, "nobody was told of drift");
        }
    }

    async fn send(&self, id: Uuid, body: String) -> Result<(), String> {
        let client = client(PATIENCE)?;
        let attempt = || async {
            // Of each attempt: who takes it may refuse what was signed long ago.
            let at = Timestamp::now().as_second();
            let signature = self.signature(&format!("{id}.{at}.{body}"));
            let call = client.post(self.url.clone()).header("content-type", "application/json");
            let call = call.header("webhook-id", id.to_string()).header("webhook-timestamp", at);
            let answer = call.header("webhook-signature", signature).body(body.clone()).send().await;
            match answer {
                Err(error) => Err((in_words(&error), true)),
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err((format!("it answered {}", answer.status()), is_passing(answer.status()))),
            }
        };
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_secs(1))
            .with_factor(4.0)
            .with_max_delay(Duration::from_secs(600))
            .with_jitter()
            .with_max_times(RETRIES);
        let tell = |(error, _): &(String, bool), wait: Duration| {
            tracing::warn!(operation = %id, error, seconds = wait.as_secs(), "nobody was told of drift yet: trying again");
        };
        attempt.retry(waits).when(|(_, is_passing)| *is_passing).notify(tell).await.map_err(|(error, _)| error)
    }

    /// `v1,` and the HMAC-SHA-256 of what is sent.
    fn signature(&self, sent: &str) -> String {
        let secret = self.secret.expose_secret();
        let decoded = secret.strip_prefix(ENCODED).and_then(|secret| BASE64_STANDARD.decode(secret).ok());
        let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
        // A key of any length will do, so it never fails.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
        mac.update(sent.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Whether the same call may be taken later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_call_is_signed_as_the_specification_has_it() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let webhook = Webhook::new("https://example.com", secret).unwrap();
        let sent = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(webhook.signature(sent), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{webhook:?}").contains("MfKQ"));
    }
}

//! Webhook for drift: a signed call according to Standard Webhooks, with retries.

use crate::drift_findings::DriftFindings;
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

/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Retries after 1, 4, 16, 64 and 256 seconds.
const RETRIES: usize = 5;
/// The prefix of a base64 secret, as in the specification. A secret without it is used literally.
const ENCODED: &str = "whsec_";

/// The receiver of the webhook, and the secret of the signatures.
#[derive(Debug, Clone)]
pub struct Webhook {
    url: Url,
    secret: SecretString,
}

impl Webhook {
    /// Creates a webhook for this URL, signed with this secret.
    ///
    /// # Errors
    /// When the URL cannot be called, with the reason.
    pub fn new(url: &str, secret: String) -> Result<Self, String> {
        Ok(Self { url: check_url(url)?, secret: secret.into() })
    }

    /// Sends the findings of a scan. If no attempt succeeds, the log reports the failure.
    pub(crate) async fn send_report(self, operation: Uuid, stack: String, findings: DriftFindings) {
        let at = Timestamp::now();
        let body = json!({
            "type": "drift.detected",
            "timestamp": at.to_string(),
            "data": {"operation": operation, "stack": stack, "drifted": findings.drifted, "unread": findings.unread},
        })
        .to_string();
        let sent = self.send(operation, body).await;
        counter!("terrace_webhooks_total", "result" => if sent.is_ok() { "taken" } else { "failed" }).increment(1);
        if let Err(error) = sent {
            tracing::warn!(%operation, stack, error, "cannot deliver the webhook for drift");
        }
    }

    async fn send(&self, id: Uuid, body: String) -> Result<(), String> {
        let client = client(ATTEMPT_TIMEOUT)?;
        let attempt = || async {
            // Each attempt gets a new signature: receivers may refuse old ones.
            let at = Timestamp::now().as_second();
            let signature = self.signature(&format!("{id}.{at}.{body}"));
            let call = client.post(self.url.clone()).header("content-type", "application/json");
            let call = call.header("webhook-id", id.to_string()).header("webhook-timestamp", at);
            let answer = call.header("webhook-signature", signature).body(body.clone()).send().await;
            match answer {
                Err(error) => Err((in_words(&error), true)),
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err((format!("it answered {}", answer.status()), is_transient(answer.status()))),
            }
        };
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_secs(1))
            .with_factor(4.0)
            .with_max_delay(Duration::from_secs(600))
            .with_jitter()
            .with_max_times(RETRIES);
        let log = |(error, _): &(String, bool), wait: Duration| {
            tracing::warn!(operation = %id, error, seconds = wait.as_secs(), "cannot deliver the webhook for drift yet: retrying");
        };
        attempt.retry(waits).when(|(_, is_transient)| *is_transient).notify(log).await.map_err(|(error, _)| error)
    }

    /// `v1,` and the HMAC-SHA-256 of the sent content.
    fn signature(&self, sent: &str) -> String {
        let secret = self.secret.expose_secret();
        let decoded = secret.strip_prefix(ENCODED).and_then(|secret| BASE64_STANDARD.decode(secret).ok());
        let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
        // HMAC accepts keys of any length, so this never fails.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
        mac.update(sent.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Whether the same call may succeed later.
fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the specification of Standard Webhooks.
    #[test]
    fn signature_matches_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let webhook = Webhook::new("https://example.com", secret).unwrap();
        let sent = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(webhook.signature(sent), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{webhook:?}").contains("MfKQ"));
    }
}

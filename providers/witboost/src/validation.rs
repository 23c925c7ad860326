//! Validates a descriptor during the plan: by the second version of the adapter's validation, or by the first if the
//! second is missing.

use crate::adapter::{Answer, Problem, Reply, Validity, answer, provisioning_request, validity};
use crate::calls::{Calls, Pauses};
use crate::endpoint::Endpoint;
use crate::resources::attributes::descriptor;
use crate::resources::endpoint_of;
use serde_json::Value as Json;
use terrace_provider::provider::DryRun;
use terrace_provider::{Attributes, Finding, Path, Severity};

/// Returns the check of a plan; `None` if a part of the request is unknown.
pub(crate) fn dry_run<'a>(calls: &'a Calls, planned: &'a Attributes) -> Option<DryRun<'a>> {
    let is_known = |name: &str| planned.get(name).is_some_and(|value| !value.has_unknown());
    if !is_known("endpoint") || !is_known("descriptor") {
        return None;
    }
    let (endpoint, descriptor) = (endpoint_of(planned).ok()?, descriptor(planned).ok()?);
    Some(Box::pin(async move {
        let body = provisioning_request(&descriptor, false);
        let v2_verdict = validate_v2(calls, &endpoint, &body).await;
        let verdict = match v2_verdict {
            Some(verdict) => Ok(verdict),
            None => validate_v1(calls, &endpoint, &body).await,
        };
        match verdict {
            Ok(Validity::Invalid(errors)) => errors.iter().map(|error| finding(Severity::Error, error)).collect(),
            Ok(_) => Vec::new(),
            Err(why) => {
                let message = format!("{} did not validate the descriptor: {why}", endpoint.as_str());
                vec![Finding { hint: None, path: None, ..finding(Severity::Warning, &message) }]
            }
        }
    }))
}

/// Calls `v2/validate`; `None` without a result.
async fn validate_v2(calls: &Calls, endpoint: &Endpoint, body: &Json) -> Option<Validity> {
    let reply = calls.client.query(endpoint.at(&["v2", "validate"]), body).await.ok().filter(is_success)?;
    let token = match validity(&reply) {
        Some(verdict @ (Validity::Valid | Validity::Invalid(_))) => return Some(verdict),
        _ => match answer(&reply)? {
            Answer::Token(token) => token,
            Answer::Status(_) => return None,
        },
    };
    let mut pauses = Pauses::new(&calls.config);
    loop {
        // The engine limits the time of a check like that of a read.
        tokio::time::sleep(pauses.next(None)).await;
        let reply = calls.client.get(endpoint.at(&["v2", "validate", &token, "status"])).await;
        match validity(&reply.ok().filter(is_success)?)? {
            Validity::Running => {}
            Validity::Broken => return None,
            verdict => return Some(verdict),
        }
    }
}

/// Calls `v1/validate`; the error explains a missing result.
async fn validate_v1(calls: &Calls, endpoint: &Endpoint, body: &Json) -> Result<Validity, String> {
    let reply = calls.client.query(endpoint.at(&["v1", "validate"]), body).await;
    let reply = reply.map_err(|error| error.reason().to_owned())?;
    match validity(&reply).filter(|_| is_success(&reply)) {
        Some(verdict @ (Validity::Valid | Validity::Invalid(_))) => Ok(verdict),
        Some(Validity::Running | Validity::Broken) | None => {
            let reason = Problem::read(&reply.text).message.filter(|_| !is_success(&reply));
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Err(format!("its validation answers HTTP {}{reason}", reply.status))
        }
    }
}

fn is_success(reply: &Reply) -> bool {
    (200..300).contains(&reply.status)
}

fn finding(severity: Severity, message: &str) -> Finding {
    Finding {
        severity,
        path: Some(Path::attribute("descriptor")),
        message: message.to_owned(),
        hint: Some("correct the descriptor: the adapter reported this problem".to_owned()),
    }
}

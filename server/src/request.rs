//! Requests as the queue stores them.

use crate::access::Expected;
use crate::answer::Refusal;
use crate::approved::Approved;
use crate::auth::Action;
use crate::pipelines::PipelinesCaller;
use crate::request_context::RequestOptions;
use crate::trace_context::TraceContext;
use crate::witboost::{ProvisioningRequest, ReverseProvisioningRequest};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;
use terrace_engine::access::Access;
use terrace_engine::digest::sha256;
use terrace_engine::seal::{Place, Seal};
use terrace_engine::source::Sources;
use terrace_engine::yaml::{self, Budget};
use terrace_provider::value::wire::{Sealing, Spot, WireError};
use uuid::Uuid;

/// The kind of a drift scan.
pub(crate) const DRIFT: &str = "drift";

/// The kind of a validation.
pub(crate) const VALIDATE: &str = "validate";

/// A request in the queue.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Request {
    /// Provision a descriptor.
    Provision(ProvisioningRequest),
    /// Unprovision a descriptor.
    Unprovision(ProvisioningRequest),
    /// Validate a descriptor and plan it.
    Validate(ProvisioningRequest),
    /// Give these principals access, and no others.
    Access {
        /// The component.
        request: ProvisioningRequest,
        /// The principals that get access.
        #[serde(flatten)]
        access: Access,
        /// The access list that the caller expects. If the current one differs, the request fails.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Expected>,
        /// The expected list as the call named it (`If-Match`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<String>,
    },
    /// Plan a descriptor.
    Plan {
        /// The descriptor.
        request: ProvisioningRequest,
        /// Whether to plan its removal.
        destroy: bool,
        /// Options beside the descriptor.
        #[serde(default, rename = "beside")]
        options: RequestOptions,
    },
    /// Apply a plan.
    Apply {
        /// The descriptor.
        request: ProvisioningRequest,
        /// Whether the plan removes the descriptor's objects.
        destroy: bool,
        /// The approved plan.
        #[serde(flatten)]
        approved: Approved,
        /// Options beside the descriptor.
        #[serde(default, rename = "beside")]
        options: RequestOptions,
        /// The operation that made the plan.
        #[serde(default)]
        plan: Option<Uuid>,
    },
    /// Scan for drift.
    Drift {
        /// The stack.
        stack: String,
        /// The other stacks of the same call with an idempotency key, if this is the first one.
        #[serde(default, rename = "beside", skip_serializing_if = "Vec::is_empty")]
        other_stacks: Vec<String>,
    },
    /// Look up values for a catalog.
    Reverse(ReverseProvisioningRequest),
}

impl Request {
    /// The stored form. With a state key it is sealed, because a descriptor may hold secrets.
    pub(crate) fn to_body(
        &self,
        trace: TraceContext,
        caller: PipelinesCaller,
        operation: Uuid,
        seal: &Seal,
    ) -> Result<String, Refusal> {
        let text = serde_json::to_string(&StoredBody { request: self, trace, caller })
            .map_err(|error| Refusal::Internal(error.to_string()))?;
        match seal.has_key() {
            false => Ok(text),
            true => seal_body(text.as_bytes(), operation, seal).map_err(|error| Refusal::Internal(error.to_string())),
        }
    }

    /// Reads what [`Request::to_body`] wrote.
    ///
    /// # Errors
    /// When it was sealed with another key, or written by an incompatible server.
    pub(crate) fn of_body(body: &str, operation: Uuid, seal: &Seal) -> Result<Self, Refusal> {
        Ok(read(body, operation, seal)?.request)
    }

    /// Whether the request changes nothing: after an interruption nothing is left half-done.
    pub(crate) const fn is_read_only(&self) -> bool {
        match self {
            Self::Provision(_) | Self::Unprovision(_) | Self::Access { .. } | Self::Apply { .. } => false,
            Self::Validate(_) | Self::Plan { .. } | Self::Drift { .. } | Self::Reverse(_) => true,
        }
    }

    /// The request with the descriptor, if there is one.
    pub(crate) const fn provisioning_request(&self) -> Option<&ProvisioningRequest> {
        match self {
            Self::Provision(request) | Self::Unprovision(request) | Self::Validate(request) => Some(request),
            Self::Access { request, .. } | Self::Plan { request, .. } | Self::Apply { request, .. } => Some(request),
            Self::Drift { .. } | Self::Reverse(_) => None,
        }
    }

    /// The kind of the operation.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Provision(_) => "provision",
            Self::Unprovision(_) => "unprovision",
            Self::Validate(_) => VALIDATE,
            Self::Access { .. } => "updateacl",
            Self::Plan { .. } => "plan",
            Self::Apply { .. } => "apply",
            Self::Drift { .. } => DRIFT,
            Self::Reverse(_) => "reverse-provisioning",
        }
    }

    /// The action that the caller needs.
    pub(crate) const fn action(&self) -> Action {
        match self {
            Self::Provision(_) => Action::Provision,
            Self::Unprovision(_) => Action::Unprovision,
            Self::Validate(_) => Action::Validate,
            Self::Access { .. } => Action::UpdateAcl,
            Self::Plan { .. } => Action::Plan,
            Self::Apply { .. } => Action::Apply,
            Self::Drift { .. } => Action::Drift,
            Self::Reverse(_) => Action::Reverse,
        }
    }

    /// Whether its caller consents to the loss of data.
    pub(crate) const fn consents(&self) -> bool {
        match self {
            Self::Provision(request) | Self::Unprovision(request) => request.remove_data,
            Self::Plan { request, options, .. } | Self::Apply { request, options, .. } => {
                request.remove_data || !options.allow_data_loss.is_empty()
            }
            Self::Validate(_) | Self::Access { .. } | Self::Drift { .. } | Self::Reverse(_) => false,
        }
    }

    /// Digests of the request's meaning. Descriptors with the same meaning have the same digest in any
    /// notation. With a state key the digest is keyed: sealed content of the body cannot be found by trying values.
    pub(crate) fn digests(&self, seal: Option<&Seal>) -> Digests {
        let canonical_text = self.canonical_text();
        let unkeyed = sha256(&canonical_text);
        match seal.and_then(|seal| Some((seal, seal.change_detector(canonical_text.as_bytes())?))) {
            None => Digests { digest: unkeyed, older: Vec::new() },
            Some((seal, digest)) => {
                let mut older = seal.older_change_detectors(canonical_text.as_bytes());
                // The request may have been queued before there was a key.
                older.push(unkeyed);
                Digests { digest, older }
            }
        }
    }

    /// Everything that distinguishes one request from another.
    fn canonical_text(&self) -> String {
        let content = match self {
            Self::Provision(request) | Self::Unprovision(request) | Self::Validate(request) => {
                format!("{} {}", request.remove_data, canonical_descriptor(&request.descriptor))
            }
            Self::Access { request, access, named, .. } => {
                format!("{access:?} {named:?} {}", canonical_descriptor(&request.descriptor))
            }
            Self::Plan { request, destroy, options } => {
                format!(
                    "{destroy} {} {} {}",
                    request.remove_data,
                    options.canonical_text(),
                    canonical_descriptor(&request.descriptor)
                )
            }
            Self::Apply { request, destroy, approved: Approved { digest, .. }, options, .. } => {
                format!(
                    "{digest} {destroy} {} {} {}",
                    request.remove_data,
                    options.canonical_text(),
                    canonical_descriptor(&request.descriptor)
                )
            }
            Self::Drift { stack, other_stacks } if other_stacks.is_empty() => stack.clone(),
            Self::Drift { stack, other_stacks } => json!([stack, other_stacks]).to_string(),
            Self::Reverse(question) => {
                let ReverseProvisioningRequest { use_case_template_id, environment, params, catalog_info } = question;
                json!([use_case_template_id, environment, params, catalog_info]).to_string()
            }
        };
        format!("{} {content}", self.word())
    }
}

/// The digests of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    /// The digest under the current key.
    pub(crate) digest: String,
    /// The digests under older known keys.
    pub(crate) older: Vec<String>,
}

impl Digests {
    /// True if a request with that digest means the same.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.digest == digest || self.older.iter().any(|older| older == digest)
    }
}

/// A request as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredBody<R> {
    #[serde(flatten)]
    pub(crate) request: R,
    /// Empty for requests that an older server queued.
    #[serde(default, rename = "followed")]
    pub(crate) trace: TraceContext,
    /// The caller with its limits of pipelines. Without limits for requests that an older server queued.
    #[serde(default)]
    pub(crate) caller: PipelinesCaller,
}

/// Reads a stored request. With a state key an unsealed request is refused: a writer to the database could forge it.
pub(crate) fn read(body: &str, operation: Uuid, seal: &Seal) -> Result<StoredBody<Request>, Refusal> {
    let unreadable = |error: &dyn std::fmt::Display| Refusal::Internal(format!("cannot read a request: {error}"));
    let is_sealed = body.starts_with(SEALED);
    if !is_sealed && seal.at(Place::Request { operation }).check_unsealed().is_err() {
        return Err(unreadable(&"it is not sealed although there is a state key; `terrace state rekey` seals it"));
    }
    let text = open_body(body, operation, seal).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

/// The prefix of a sealed body.
const SEALED: &str = "sealed:";

/// Seals the body of a request.
pub(crate) fn seal_body(text: &[u8], operation: Uuid, seal: &Seal) -> Result<String, WireError> {
    Ok(format!("{SEALED}{}", seal.at(Place::Request { operation }).seal(&Spot::Root, text)?))
}

/// Opens the body of a stored request, sealed or not.
pub(crate) fn open_body<'b>(body: &'b str, operation: Uuid, seal: &Seal) -> Result<Cow<'b, [u8]>, WireError> {
    let placed = seal.at(Place::Request { operation });
    match body.strip_prefix(SEALED) {
        Some(sealed) => placed.open(&Spot::Root, sealed).map(Cow::Owned),
        None if placed.requires_bound() => Err(placed.unbound()),
        None => Ok(Cow::Borrowed(body.as_bytes())),
    }
}

/// The most values of a descriptor that is compared by meaning; a larger one is compared as text.
const MOST_COMPARED: usize = 500_000;

/// The meaning of a descriptor, independent of its notation.
fn canonical_descriptor(text: &str) -> String {
    let id = Sources::default().add("descriptor", text);
    match yaml::parse(id, text, &Budget { nodes: MOST_COMPARED, ..Budget::default() }) {
        Ok(node) => {
            let mut value = node.to_value();
            value.sort_keys();
            value.to_json_text()
        }
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, Request};
    use terrace_engine::access::{Access, Fields};
    use terrace_engine::seal::Seal;

    #[test]
    fn access_request_of_an_older_server_is_readable() {
        let body = r#"{"kind": "access", "request": {"descriptor": "x"}, "principals": ["user:ada"],
            "expected": {"principals": null}}"#;
        let Ok(Request::Access { access, expected, .. }) =
            Request::of_body(body, uuid::Uuid::nil(), &Seal::without_key(false))
        else {
            panic!("the body is not an access request")
        };
        assert_eq!(access, Access::new(vec!["user:ada".to_owned()], Fields::default()));
        assert_eq!(expected, Some(Expected::of(None)));
    }

    #[test]
    fn digest_depends_on_the_state_key() {
        let request = Request::Drift { stack: "finance.cashflow.0@local".to_owned(), other_stacks: Vec::new() };
        let key = |first: &str| Seal::with_key(&format!("{first}{}=", "A".repeat(42)), &[]).unwrap();
        let (one, other) = (key("A"), key("B"));
        let digest = |seal: Option<&Seal>| request.digests(seal).digest;
        assert_eq!(digest(Some(&one)), digest(Some(&one)));
        assert_ne!(digest(Some(&one)), digest(Some(&other)));
        assert_ne!(digest(Some(&one)), digest(None));
    }

    #[test]
    fn digests_cover_older_keys_while_they_are_known() {
        let request = Request::Drift { stack: "finance.cashflow.0@local".to_owned(), other_stacks: Vec::new() };
        let (first, second) = (format!("A{}=", "A".repeat(42)), format!("B{}=", "A".repeat(42)));
        let before = Seal::with_key(&first, &[]).unwrap();
        let (both, alone) = (Seal::with_key(&second, &[&first]).unwrap(), Seal::with_key(&second, &[]).unwrap());
        let before = request.digests(Some(&before)).digest;
        assert!(request.digests(Some(&both)).older.contains(&before));
        assert!(!request.digests(Some(&alone)).older.contains(&before));
        assert!(request.digests(Some(&alone)).older.contains(&request.digests(None).digest));
        assert!(request.digests(None).older.is_empty());
    }
}

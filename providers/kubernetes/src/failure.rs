//! Failures of requests, and their conversion to provider errors.

use crate::fields::MANAGER;
use crate::grant::{Caller, NeededRight, in_words};
use crate::target::{Target, path_of};
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// The reason that a request has no success answer.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The request was never sent.
    NotSent(String),
    /// The certificate of the server is not accepted. The request was never sent.
    Certificate(String),
    /// The credentials do not work. The request was never sent.
    Credentials(String),
    /// The request was sent, or may have been; its outcome is unknown.
    Lost(String),
    /// The answer is not JSON, as that of a proxy or of a login page. The outcome of the request is unknown.
    NotJson(String),
    /// The server refused.
    Answered(Box<Refusal>),
    /// The settings do not lead to a cluster.
    Settings(Box<ProviderError>),
    /// The cluster does not serve this kind.
    NotServed(Box<ProviderError>),
}

/// A failure answer: `Status` of the API.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) code: u16,
    /// False for the answer of a proxy.
    pub(crate) is_status: bool,
    /// A word such as `Forbidden`.
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) causes: Vec<Cause>,
    /// Kind of the object in the message: `namespaces`.
    pub(crate) of_kind: String,
    pub(crate) retry_after: Option<Duration>,
}

/// One cause of a refusal.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cause {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) field: String,
}

impl Refusal {
    /// Reads an answer, which may be no `Status`, for example that of a proxy.
    pub(crate) fn of(code: u16, body: &[u8]) -> Self {
        let json: Json = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Json, name: &str| value.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let details = json.get("details").cloned().unwrap_or_default();
        let causes = details.get("causes").and_then(Json::as_array).into_iter().flatten();
        let cause = |cause: &Json| Cause {
            reason: text(cause, "reason"),
            message: text(cause, "message"),
            field: text(cause, "field"),
        };
        let message = match text(&json, "message") {
            message if message.is_empty() => format!("it answers {code}"),
            message => message,
        };
        Self {
            code,
            is_status: text(&json, "kind") == "Status",
            reason: text(&json, "reason"),
            message,
            causes: causes.map(cause).collect(),
            of_kind: text(&details, "kind"),
            retry_after: details.get("retryAfterSeconds").and_then(Json::as_u64).map(Duration::from_secs),
        }
    }

    /// The conflicts with other field managers.
    pub(crate) fn conflicts(&self) -> Vec<Conflict> {
        self.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").map(Conflict::of).collect()
    }

    /// True if the API server reports that the object does not exist. A 404 of a proxy has no reason.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code == 404 && self.reason == "NotFound"
    }

    /// True if no API server answers so. The refusal of an admission webhook may have no reason.
    pub(crate) fn is_of_another_server(&self) -> bool {
        !self.is_status && self.reason.is_empty() && (self.code == 403 || (300..400).contains(&self.code))
    }

    /// True if only a new object can have the values: the fields cannot be changed.
    pub(crate) fn is_immutable(&self) -> bool {
        const WORDS: [&str; 3] = ["field is immutable", "may not be changed", "is immutable"];
        // Of a StatefulSet. Rules of admission may use the first words with another meaning.
        let is_forbidden = |text: &str| text.contains("updates to ") && text.contains("are forbidden");
        let is_immutable =
            |cause: &Cause| WORDS.iter().any(|words| cause.message.contains(words)) || is_forbidden(&cause.message);
        self.code == 422 && !self.causes.is_empty() && self.causes.iter().all(is_immutable) && !self.is_another_object()
    }

    /// True if the object with the requested uid was recreated. The server reports a change of the uid.
    fn is_another_object(&self) -> bool {
        self.causes.iter().any(|cause| cause.field == "metadata.uid")
    }

    /// True if a quota of the namespace refuses the object. The words are those of the server; no name has a space.
    pub(crate) fn is_quota_exceeded(&self) -> bool {
        self.code == 403 && self.message.contains("exceeded quota")
    }

    /// True if the identity lacks a right. Admission refuses with the same code.
    pub(crate) fn is_missing_right(&self) -> bool {
        self.code == 403
            && !self.is_quota_exceeded()
            && !self.is_namespace_terminating()
            && (self.message.contains(" cannot ") || self.message.contains("not allowed to"))
    }

    fn is_namespace_terminating(&self) -> bool {
        self.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// The missing right and its namespace, which is empty for the whole cluster, from
    /// `… cannot patch resource "deployments" in API group "apps" in the namespace "shop"`.
    fn missing_right(&self) -> Option<(NeededRight, String)> {
        let (verb, rest) = self.message.split_once(" cannot ")?.1.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once('"')?;
        let after = |words: &str| rest.split_once(words)?.1.split('"').next();
        let right = NeededRight {
            verb: verb.to_owned(),
            group: after("in API group \"").unwrap_or_default().to_owned(),
            resource: resource.to_owned(),
        };
        Some((right, after("in the namespace \"").unwrap_or_default().to_owned()))
    }

    /// True if the namespace of the object does not exist.
    pub(crate) fn is_namespace_missing(&self) -> bool {
        self.code == 404 && self.of_kind == "namespaces"
    }
}

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conflict {
    pub(crate) manager: String,
    pub(crate) field: String,
}

impl Conflict {
    /// From ``conflict with "kubectl-edit" using apps/v1``.
    fn of(cause: &Cause) -> Self {
        let manager = cause.message.split('"').nth(1).unwrap_or("another manager");
        Self { manager: manager.to_owned(), field: cause.field.trim_start_matches('.').to_owned() }
    }
}

/// The purpose of a request, for errors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Purpose<'a> {
    /// The verb of the API: `patch`.
    pub(crate) verb: &'static str,
    /// The object: ``Deployment `shop/web` ``.
    pub(crate) what: String,
    /// The resource for rights: `deployments.apps`.
    pub(crate) resource: String,
    /// Empty for objects of the whole cluster.
    pub(crate) namespace: String,
    /// True if a lost answer is only a delay.
    pub(crate) is_read: bool,
    /// The manifest, for places of errors.
    pub(crate) manifest: Option<&'a Json>,
    /// The id for `terrace import`.
    pub(crate) id: String,
}

impl Purpose<'_> {
    /// The purpose of reading an object, whose resource is `resource`.
    pub(crate) fn reading(target: &Target, resource: String) -> Self {
        Self {
            verb: "get",
            what: target.to_string(),
            resource,
            namespace: target.namespace.clone(),
            is_read: true,
            ..Self::default()
        }
    }

    fn place(&self, field: &str) -> Option<Path> {
        self.manifest.map(|manifest| path_of(field, manifest))
    }

    /// The right that the request needs, and its namespace.
    fn right(&self) -> (NeededRight, String) {
        let (resource, group) = self.resource.split_once('.').unwrap_or((&self.resource, ""));
        let (resource, group) = (resource.to_owned(), group.to_owned());
        (NeededRight { verb: self.verb.to_owned(), group, resource }, self.namespace.clone())
    }
}

/// The provider error of a failure.
pub(crate) fn error(failure: Failure, server: &str, purpose: &Purpose<'_>, caller: &Caller) -> ProviderError {
    match failure {
        Failure::Settings(error) | Failure::NotServed(error) => *error,
        Failure::NotSent(why) => {
            ProviderError::new(ErrorKind::Transient, format!("the API server cannot be reached at `{server}`: {why}"))
        }
        Failure::Certificate(why) => {
            let message = format!("the certificate of the API server at `{server}` is not accepted: {why}");
            ProviderError::new(ErrorKind::PermissionDenied, message).solution(
                "set the certificate authority of the cluster: `certificate-authority` in the kubeconfig file, or the setting `caFile` beside `server`",
            )
        }
        Failure::Credentials(message) => ProviderError::new(ErrorKind::PermissionDenied, message),
        Failure::Lost(why) if purpose.is_read => {
            ProviderError::new(ErrorKind::Transient, format!("the API server at `{server}` does not answer: {why}"))
        }
        Failure::NotJson(why) if purpose.is_read => {
            let message = format!("`{server}` does not answer as the API of a Kubernetes cluster: {why}");
            ProviderError::new(ErrorKind::Transient, message)
        }
        Failure::Lost(why) | Failure::NotJson(why) => {
            let message = format!(
                "the API server may have received the request to {} {}, outcome unknown: {why}",
                purpose.verb, purpose.what
            );
            ProviderError::new(ErrorKind::Ambiguous, message)
        }
        Failure::Answered(refusal) => refused(&refusal, server, purpose, caller),
    }
}

fn refused(refusal: &Refusal, server: &str, purpose: &Purpose<'_>, caller: &Caller) -> ProviderError {
    let Purpose { verb, what, namespace, .. } = purpose;
    let message = refusal.message.trim_end_matches('.');
    let conflicts = refusal.conflicts();
    let first_field = refusal.causes.first().map_or("", |cause| cause.field.as_str());
    let invalid = |field: &str, message: String| ProviderError::invalid(purpose.place(field), message);
    let mut error = match refusal.code {
        401 => {
            let message = format!("the cluster at `{server}` does not accept the credentials of the instance");
            ProviderError::new(ErrorKind::PermissionDenied, message)
        }
        code if refusal.is_of_another_server() => {
            let answer = format!("it answers {code}");
            let answer = if message == answer { answer } else { format!("{answer}: {message}") };
            let message = format!("`{server}` is not the API of a Kubernetes cluster: {answer}");
            ProviderError::new(ErrorKind::Failed, message)
        }
        403 if refusal.is_quota_exceeded() => {
            let message = format!("a quota of the namespace `{namespace}` refuses {what}: {message}");
            let solution = format!("free some of it, or raise it: `kubectl describe quota -n {namespace}` shows it");
            ProviderError::new(ErrorKind::Failed, message).solution(solution)
        }
        403 if refusal.is_namespace_terminating() => {
            let message = format!("the namespace `{namespace}` is being deleted, so {what} cannot be created");
            ProviderError::new(ErrorKind::Failed, message)
                .solution("wait until the namespace is gone, create it again, then repeat the command")
        }
        403 if !refusal.is_missing_right() => {
            invalid(first_field, format!("an admission rule of the cluster refuses {what}: {message}"))
                .solution("change the manifest to follow the rule")
        }
        403 => {
            // An apply of a new object needs two rights. The server names the missing right.
            let (right, namespace) = refusal.missing_right().unwrap_or_else(|| purpose.right());
            let rights = [right];
            let location = match namespace.as_str() {
                "" => "in the whole cluster".to_owned(),
                namespace => format!("in the namespace `{namespace}`"),
            };
            let message = format!("the identity of the instance may not {} {location}", in_words(&rights));
            ProviderError::new(ErrorKind::PermissionDenied, message)
                .problem(refusal.message.clone())
                .solution(caller.hint(&rights, &namespace))
        }
        404 if refusal.is_namespace_missing() => {
            ProviderError::new(ErrorKind::NotFound, format!("the namespace `{namespace}` of {what} does not exist"))
                .solution(caller.namespace_hint(namespace))
        }
        404 => ProviderError::new(ErrorKind::NotFound, format!("{what} does not exist: {message}")),
        409 if !conflicts.is_empty() => conflict(&conflicts, purpose),
        409 if refusal.reason == "AlreadyExists" => {
            let kind = ErrorKind::AlreadyExists { import_id: Some(purpose.id.clone()) };
            ProviderError::new(kind, format!("{what} exists already"))
        }
        409 | 422 if refusal.code == 409 || refusal.is_another_object() => {
            let message = format!("{what} was changed, deleted or recreated in the meantime: {message}");
            ProviderError::new(ErrorKind::Failed, message).solution("plan again")
        }
        413 => invalid("", format!("{what} is too large for the cluster: {message}")),
        422 => {
            let facts = refusal.causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message));
            let error = invalid(first_field, format!("the cluster refuses {what}: {message}"));
            ProviderError { problems: facts.collect(), ..error }
                .solution("correct the manifest: `kubectl explain` shows the fields")
        }
        // The same mistake has different codes: a field that the API does not have, or a value of another type.
        400 | 500 if is_wrong_manifest(message) => {
            let field = strict_field(message).or_else(|| decoded_field(message)).or_else(|| typed_field(message));
            let field = field.unwrap_or_default();
            invalid(field, format!("{what} does not match its API: {message}"))
                .solution("correct the field: `kubectl explain` shows the fields")
        }
        400 => invalid(first_field, format!("the cluster refuses {what}: {message}")),
        429 => {
            let kind = ErrorKind::Throttled { retry_after: refusal.retry_after };
            ProviderError::new(kind, format!("the API server is too busy to {verb} {what}: {message}"))
        }
        503 => ProviderError::new(ErrorKind::Transient, format!("the API server cannot {verb} {what} now: {message}")),
        500.. if purpose.is_read => {
            ProviderError::new(ErrorKind::Transient, format!("the API server cannot {verb} {what}: {message}"))
        }
        500.. => {
            let message = format!("the API server may have carried out the request to {verb} {what}: {message}");
            ProviderError::new(ErrorKind::Ambiguous, message)
        }
        code => ProviderError::new(
            ErrorKind::Failed,
            format!("the API server cannot {verb} {what}: {message} (HTTP {code})"),
        ),
    };
    error.vendor_code = (!refusal.reason.is_empty()).then(|| refusal.reason.clone());
    error
}

fn is_wrong_manifest(message: &str) -> bool {
    ["strict decoding error", "failed to create typed patch object", "cannot be handled as", "json: cannot unmarshal"]
        .iter()
        .any(|words| message.contains(words))
}

/// The field of `strict decoding error: unknown field "spec.foo"`.
fn strict_field(message: &str) -> Option<&str> {
    message.split_once("unknown field \"")?.1.split('"').next()
}

/// The field of `cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`.
fn decoded_field(message: &str) -> Option<&str> {
    let (field, _) = message.split_once("Go struct field ")?.1.split_once(" of type")?;
    field.split_once('.').map(|(_, field)| field)
}

/// The field of ``.spec.foo: field not declared in schema``.
fn typed_field(message: &str) -> Option<&str> {
    let field = message.split_whitespace().find(|word| word.starts_with('.') && word.ends_with(':'))?;
    Some(field.trim_matches(['.', ':']))
}

/// The error about fields of other managers.
pub(crate) fn conflict(conflicts: &[Conflict], purpose: &Purpose<'_>) -> ProviderError {
    let first = conflicts.first().map_or("", |conflict| conflict.field.as_str());
    let message = format!("{}: other managers own fields of the manifest with other values", purpose.what);
    let error = ProviderError::invalid(purpose.place(first), message)
        .solution("remove these fields from the manifest")
        .solution("write `takeOwnership: true` to take them over");
    let owned = |conflict: &Conflict| {
        let manager = if conflict.manager == MANAGER { "another instance of terrace" } else { &conflict.manager };
        format!("`{manager}` owns `{}`", conflict.field)
    };
    conflicts.iter().map(owned).fold(error, ProviderError::problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use serde_json::json;

    fn converted(code: u16, status: Json, is_read: bool) -> ProviderError {
        let manifest = json!({"metadata": {"name": "web"}, "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "x"}]}}}});
        let purpose = Purpose {
            verb: "patch",
            what: "Deployment `shop/web`".to_owned(),
            resource: "deployments.apps".to_owned(),
            namespace: "shop".to_owned(),
            is_read,
            manifest: Some(&manifest),
            id: "apps/v1/Deployment/shop/web".to_owned(),
        };
        let refusal = Refusal::of(code, status.to_string().as_bytes());
        let caller = Caller { identity: Identity::User("u".to_owned()), role: None };
        error(Failure::Answered(Box::new(refusal)), "https://h", &purpose, &caller)
    }

    #[track_caller]
    fn check(code: u16, status: Json, kind: ErrorKind, message: &str, hint: &str) {
        let error = converted(code, status, false);
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.message.contains(message), "{error:?}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error:?}");
    }

    fn at(path: &str) -> ErrorKind {
        ErrorKind::InvalidInput { path: Some(path.parse().unwrap()) }
    }

    #[test]
    fn missing_right_is_that_of_the_server() {
        let of = |message: &str, text: &str, commands: &str| {
            check(
                403,
                json!({"reason": "Forbidden", "message": message, "details": {"name": "web", "kind": "deployments"}}),
                ErrorKind::PermissionDenied,
                text,
                commands,
            );
        };
        let user = "deployments.apps \"web\" is forbidden: User \"u\"";
        of(
            &format!(
                "{user} cannot create resource \"deployments/scale\" in API group \"apps\" in the namespace \"shop\""
            ),
            "may not create deployments.apps/scale in the namespace `shop`",
            "have an administrator run `kubectl create role terrace-create-deployments.apps-scale -n shop --verb=create \
             --resource=deployments.apps/scale; kubectl create rolebinding terrace-create-deployments.apps-scale-u -n shop \
             --role=terrace-create-deployments.apps-scale --user=u`",
        );
        of(
            &format!("{user} cannot list resource \"nodes\" in API group \"\" at the cluster scope"),
            "may not list nodes in the whole cluster",
            "kubectl create clusterrolebinding terrace-list-nodes-u --clusterrole=terrace-list-nodes --user=u",
        );
        of(
            "not allowed to do that",
            "may not patch deployments.apps in the namespace `shop`",
            "kubectl create role terrace-patch-deployments.apps -n shop --verb=patch --resource=deployments.apps",
        );
    }

    #[test]
    fn refusals_of_admission_are_not_missing_rights() {
        let quota =
            "pods \"web\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2";
        check(
            403,
            json!({"reason": "Forbidden", "message": quota}),
            ErrorKind::Failed,
            "a quota of the namespace `shop`",
            "describe quota",
        );
        let policy =
            "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false";
        check(
            403,
            json!({"reason": "Forbidden", "message": policy}),
            at("manifest"),
            "an admission rule",
            "follow the rule",
        );
        // Webhooks may leave the reason out.
        let webhook =
            json!({"kind": "Status", "code": 403, "message": "admission webhook \"a\" denied the request: no"});
        let text = "an admission rule of the cluster refuses Deployment `shop/web`: admission webhook \"a\" denied";
        check(403, webhook, at("manifest"), text, "follow the rule");
        let status = json!({"reason": "Forbidden", "message": "x is forbidden: unable to create new content in namespace shop because it is being terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated", "field": "metadata.namespace"}]}});
        check(403, status, ErrorKind::Failed, "is being deleted", "until the namespace is gone");
    }

    #[test]
    fn conflict_names_owners_and_fields() {
        let status = json!({"reason": "Conflict", "message": "Apply failed with 1 conflict", "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using apps/v1", "field": ".spec.replicas"}]}});
        check(409, status.clone(), at("manifest.spec.replicas"), "other managers own fields", "takeOwnership: true");
        assert_eq!(converted(409, status, false).problems, ["`kubectl-edit` owns `spec.replicas`"]);
    }

    #[test]
    fn wrong_fields_have_their_place() {
        let invalid = json!({"reason": "Invalid", "message": "Deployment.apps \"web\" is invalid", "details": {"causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.template.spec.containers[0].name"}]}});
        check(
            422,
            invalid,
            at("manifest.spec.template.spec.containers[0]"),
            "refuses Deployment `shop/web`",
            "kubectl explain",
        );
        let strict = json!({"reason": "BadRequest", "message": "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.replicas\""});
        check(400, strict, at("manifest.spec.replicas"), "does not match its API", "kubectl explain");
        let decoded = json!({"message": "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"});
        check(400, decoded, at("manifest.spec.replicas"), "does not match its API", "kubectl explain");
        let typed = json!({"message": "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replicas: expected numeric, got string"});
        check(500, typed, at("manifest.spec.replicas"), "does not match its API", "kubectl explain");
    }

    #[test]
    fn only_immutable_fields_ask_for_a_new_object() {
        let of = |messages: &[&str]| {
            let causes: Vec<Json> = messages
                .iter()
                .map(|message| json!({"reason": "FieldValueInvalid", "message": message, "field": "spec"}))
                .collect();
            Refusal::of(422, json!({"details": {"causes": causes}}).to_string().as_bytes()).is_immutable()
        };
        assert!(of(&["Invalid value: \"x\": field is immutable"]));
        assert!(of(&["Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"]));
        assert!(!of(&["field is immutable", "Required value"]) && !of(&[]));
    }

    #[test]
    fn recreated_object_does_not_plan_a_replacement() {
        let status = json!({"reason": "Invalid", "message": "is invalid", "details": {"causes": [
            {"reason": "FieldValueInvalid", "message": "Invalid value: \"1\": field is immutable", "field": "metadata.uid"}]}});
        assert!(!Refusal::of(422, status.to_string().as_bytes()).is_immutable());
        check(422, status, ErrorKind::Failed, "recreated in the meantime", "plan again");
    }

    #[test]
    fn lost_answers_of_reads_are_repeated_and_of_writes_looked_up() {
        for (code, is_read, kind) in [
            (500, true, ErrorKind::Transient),
            (500, false, ErrorKind::Ambiguous),
            (504, false, ErrorKind::Ambiguous),
            (503, false, ErrorKind::Transient),
            (429, false, ErrorKind::Throttled { retry_after: Some(Duration::from_secs(2)) }),
        ] {
            assert_eq!(converted(code, json!({"details": {"retryAfterSeconds": 2}}), is_read).kind, kind, "{code}");
        }
        let lost = |is_read| {
            let purpose = Purpose { is_read, ..Purpose::default() };
            error(Failure::Lost("timeout".to_owned()), "h", &purpose, &Caller::default()).kind
        };
        assert_eq!((lost(true), lost(false)), (ErrorKind::Transient, ErrorKind::Ambiguous));
    }

    #[test]
    fn other_refusals_have_their_kind() {
        check(
            401,
            json!({"reason": "Unauthorized"}),
            ErrorKind::PermissionDenied,
            "the cluster at `https://h` does not accept the credentials",
            "",
        );
        for code in [302, 403] {
            let proxy = converted(code, json!("<html>"), false);
            assert_eq!(proxy.message, format!("`https://h` is not the API of a Kubernetes cluster: it answers {code}"));
        }
        let proxy = json!({"message": "blocked by the gateway"});
        check(403, proxy, ErrorKind::Failed, "cluster: it answers 403: blocked by the gateway", "");
        let missing = json!({"reason": "NotFound", "message": "namespaces \"shop\" not found", "details": {"kind": "namespaces", "name": "shop"}});
        check(
            404,
            missing,
            ErrorKind::NotFound,
            "the namespace `shop` of Deployment `shop/web` does not exist",
            "dependsOn",
        );
        let exists = ErrorKind::AlreadyExists { import_id: Some("apps/v1/Deployment/shop/web".to_owned()) };
        check(409, json!({"reason": "AlreadyExists"}), exists, "exists already", "");
        check(
            409,
            json!({"reason": "Conflict", "message": "uid mismatch"}),
            ErrorKind::Failed,
            "recreated in the meantime",
            "plan again",
        );
        let proxy = Failure::Answered(Box::new(Refusal::of(502, b"<html>")));
        let proxy = error(proxy, "h", &Purpose::default(), &Caller::default());
        assert_eq!(proxy.kind, ErrorKind::Ambiguous);
    }
}

//! The calls: invalid ones are refused at once; changes are queued and answered with a token.

use super::bodies::{
    self, ProvisioningRequest, ProvisioningStatus, ReverseProvisioningRequest, ReverseProvisioningStatus, Status,
    UpdateAclRequest, ValidationInfo, ValidationResult, ValidationStatus,
};
use super::misspelt_fields::{KnownFields, find_misspelt_field};
use crate::access;
use crate::answer::{Messages, Refusal};
use crate::auth::{Action, Caller, Resource};
use crate::body::{self, BodyError};
use crate::environments::Environments;
use crate::outcome::Outcome;
use crate::processing::{block_if_large, process, process_large};
use crate::queue::check_and_enqueue;
use crate::request::Request;
use crate::request_context::{Purpose, RequestContext, Requester};
use crate::reverse_provisioning;
use crate::shared::Shared;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use terrace_engine::access::Access;
use terrace_engine::store::{OperationRow, RequestRow};
use uuid::Uuid;

/// The expected body with a descriptor.
const PROVISIONING: &str = "send JSON with `descriptor`, the descriptor as a YAML string";
/// The expected body of a change of access.
const ACCESS: &str = "send JSON with `refs`, all principals with access, and `provisionInfo.request`, the descriptor";
/// The expected body of a reverse provisioning.
const REVERSE: &str = "send JSON with `useCaseTemplateId`, `environment`, `params` and `catalogInfo`";

/// The bytes of a body, or the error of reading it.
type ReceivedBody = Result<Bytes, BytesRejection>;

/// Parses a body as JSON, independent of its content type.
fn read<T: DeserializeOwned + KnownFields>(body: ReceivedBody, solution: &str) -> Result<T, Refusal> {
    let bytes = body.map_err(|error| Refusal::of_body(&error))?;
    block_if_large(bytes.len(), || read_bytes(&bytes, solution))
}

fn read_bytes<T: DeserializeOwned + KnownFields>(bytes: &Bytes, solution: &str) -> Result<T, Refusal> {
    let read = body::read(bytes).map_err(|BodyError { problem, field }| match field {
        Some(field) => Refusal::field(&field, problem, solution),
        None => Refusal::whole(problem, solution),
    })?;
    match find_misspelt_field::<T>(body::strip_bom(bytes)) {
        None => Ok(read),
        Some((name, suggestion)) => {
            let name = body::escaped_name(&name);
            let problem = format!("unknown field `{name}`; did you mean `{suggestion}`?");
            Err(Refusal::field(&name, problem, format!("rename it to `{suggestion}`, or remove it")))
        }
    }
}

/// Checks a descriptor without state and network; with both if its environment has `validate: {remote: true}`.
///
/// A plain stack needs the scope `apply`.
#[utoipa::path(post, path = "/v1/validate", tag = "specific provisioner", request_body = ProvisioningRequest,
    responses((status = 200, body = ValidationResult)))]
pub(crate) async fn validate(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    body: ReceivedBody,
) -> Result<Response, Refusal> {
    let request: ProvisioningRequest = read(body, PROVISIONING)?;
    let (bytes, request) = (request.bytes(), Arc::new(request));
    let outcome = process(&shared, bytes, {
        let request = Arc::clone(&request);
        move |shared, limits| {
            let (request, caller) = (Arc::clone(&request), caller.clone());
            async move { check_descriptor(&shared, &caller, &shared.environments.within(limits), &request).await }
        }
    });
    let (mut messages, is_validated_remotely) = outcome.await??;
    if is_validated_remotely && messages.errors.is_empty() {
        messages = process_large(&shared, move |shared, limits| async move {
            let environments = shared.environments.within(limits);
            let from = (&environments, shared.store.as_ref());
            let context = RequestContext::read(from, &request, Purpose::Provision, Requester::Worker).await?;
            context.validate_remotely(shared.store.as_ref()).await
        })
        .await??;
    }
    Ok(Json(ValidationResult::of(messages, None)).into_response())
}

/// The errors and warnings of a descriptor, and whether the environment also validates remotely.
async fn check_descriptor(
    shared: &Shared,
    caller: &Caller,
    environments: &Environments,
    request: &ProvisioningRequest,
) -> Result<(Messages, bool), Refusal> {
    // A descriptor without a stack is invalid; its errors are the answer.
    caller.check(Action::Validate, false, &[Resource::Any])?;
    match RequestContext::read(
        (environments, shared.calls.as_ref()),
        request,
        Purpose::Provision,
        Requester::Caller(caller, Action::Validate),
    )
    .await
    {
        Ok(context) => {
            caller.check_scope(context.needed, Action::Validate, &context.stack)?;
            let messages = Messages::of(&context.validate(shared.empty_store.as_ref()).await?, &context.sources);
            Ok((messages, context.env.is_validated_remotely))
        }
        Err(refusal @ Refusal::Invalid(_)) => Ok((refusal.messages(), false)),
        Err(refusal) => Err(refusal),
    }
}

/// Starts a validation. Its status includes the plan.
///
/// A plain stack needs the scope `apply`: planning runs its commands.
#[utoipa::path(post, path = "/v2/validate", tag = "specific provisioner", request_body = ProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn validate_later(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: ReceivedBody,
) -> Result<Response, Refusal> {
    let request: ProvisioningRequest = read(body, PROVISIONING)?;
    // Errors in the descriptor are the result of the validation. Only a missing stack is refused here.
    let by = caller.clone();
    let token =
        check_and_enqueue(&shared, &caller, Request::Validate(request), async move |shared, environments, request| {
            RequestContext::read_subject(
                (environments, shared.calls.as_ref()),
                request,
                Requester::Caller(&by, Action::Validate),
            )
            .await
        });
    let token = token.await?;
    Ok(accepted(&headers, token))
}

/// Starts provisioning of a descriptor.
#[utoipa::path(post, path = "/v1/provision", tag = "specific provisioner", request_body = ProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn provision(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: ReceivedBody,
) -> Result<Response, Refusal> {
    queue(&shared, &caller, &headers, body, Purpose::Provision).await
}

/// Starts unprovisioning of a descriptor. Data is kept unless `removeData` is true.
#[utoipa::path(post, path = "/v1/unprovision", tag = "specific provisioner", request_body = ProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn unprovision(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: ReceivedBody,
) -> Result<Response, Refusal> {
    queue(&shared, &caller, &headers, body, Purpose::Remove).await
}

/// Starts a change of a component's access list: the given principals replace all others.
#[utoipa::path(post, path = "/v1/updateacl", tag = "specific provisioner", request_body = UpdateAclRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn update_acl(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: ReceivedBody,
) -> Result<Response, Refusal> {
    let UpdateAclRequest { refs, provision_info, access_control_fields } = read(body, ACCESS)?;
    Access::check(&refs)
        .map_err(|(at, problem)| Refusal::field(&format!("refs[{at}]"), problem, "send `user:NAME` or `group:NAME`"))?;
    let fields = access::fields(access_control_fields).map_err(|problem| {
        Refusal::field("accessControlFields", format!("`accessControlFields` {problem}"), access::FIELDS)
    })?;
    let access = Access::new(refs, fields);
    let request = ProvisioningRequest {
        descriptor_kind: Some("COMPONENT_DESCRIPTOR".to_owned()),
        descriptor: provision_info.request,
        remove_data: false,
        latest_enriched_descriptor: None,
    };
    let new_request = Request::Access { request, access, expected: None, named: None };
    let by = caller.clone();
    let token = check_and_enqueue(&shared, &caller, new_request, async move |shared, environments, request| {
        let by = Requester::Caller(&by, Action::UpdateAcl);
        let context = RequestContext::read_provisioned((environments, shared.calls.as_ref()), request, by).await?;
        context.check_grants_access()?;
        Ok(context.subject())
    });
    let token = token.await?;
    Ok(accepted(&headers, token))
}

async fn queue(
    shared: &Arc<Shared>,
    caller: &Caller,
    headers: &HeaderMap,
    body: ReceivedBody,
    purpose: Purpose,
) -> Result<Response, Refusal> {
    let request: ProvisioningRequest = read(body, PROVISIONING)?;
    let action = match purpose {
        Purpose::Provision => Action::Provision,
        Purpose::Remove => Action::Unprovision,
    };
    let new_request = match purpose {
        Purpose::Provision => Request::Provision(request),
        Purpose::Remove => Request::Unprovision(request),
    };
    let by = caller.clone();
    let token = check_and_enqueue(shared, caller, new_request, async move |shared, environments, request| {
        let from = (environments, shared.calls.as_ref());
        let mut context = RequestContext::read(from, request, purpose, Requester::Caller(&by, action)).await?;
        context.check_known(shared.calls.as_ref()).await?;
        if purpose == Purpose::Provision {
            context.check(shared.empty_store.as_ref()).await?;
        }
        Ok(context.subject())
    });
    Ok(accepted(headers, token.await?))
}

/// The token in the form that coordinators expect: bare, unless the caller accepts only JSON.
fn accepted(headers: &HeaderMap, token: Uuid) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match accept.trim() == "application/json" {
        true => (StatusCode::ACCEPTED, Json(token.to_string())).into_response(),
        false => (StatusCode::ACCEPTED, token.to_string()).into_response(),
    }
}

/// The kinds of operations with a provisioning status.
const PROVISIONING_KINDS: &[&str] = &["provision", "unprovision", "updateacl"];

/// The operation and the request of a token, if they have one of these kinds.
async fn find_operation(
    shared: &Shared,
    caller: &Caller,
    token: &str,
    kinds: &[&str],
) -> Result<(Uuid, OperationRow, RequestRow), Refusal> {
    let unknown = || {
        let problem = format!("no operation has the token `{token}`");
        Refusal::field("token", problem, "use the token that the call returned")
    };
    let id: Uuid = token.parse().map_err(|_| unknown())?;
    let request = shared.store.request(id).await?.ok_or_else(unknown)?;
    let operation = shared.store.operation(id).await?.map(|(operation, _)| operation);
    let operation = operation.filter(|operation| kinds.contains(&operation.kind.as_str()));
    let operation =
        caller.filter_visible(operation, |caller, found| caller.sees_all(found.target_stacks())).ok_or_else(unknown)?;
    Ok((id, operation, request))
}

/// Returns the status of provisioning, unprovisioning or a change of access.
#[utoipa::path(get, path = "/v1/provision/{token}/status", tag = "specific provisioner",
    params(("token" = String, Path)),
    responses((status = 200, body = ProvisioningStatus)))]
pub(crate) async fn status(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Json<ProvisioningStatus>, Refusal> {
    provisioning_status(&shared, &caller, &token).await.map(Json)
}

async fn provisioning_status(shared: &Shared, caller: &Caller, token: &str) -> Result<ProvisioningStatus, Refusal> {
    let (id, operation, request) = find_operation(shared, caller, token, PROVISIONING_KINDS).await?;
    let outcome = Outcome::of(&request);
    let status = Status::of(operation.status, outcome.is_some(), operation.cancelled_by.is_some());
    let logs = shared.store.logs(id, 0).await?;
    let outcome = outcome.unwrap_or_default();
    let result = outcome.reason(&operation);
    Ok(ProvisioningStatus { status, result, info: outcome.info, logs: bodies::log_lines(logs, id) })
}

/// Returns the status and the result of a validation.
#[utoipa::path(get, path = "/v2/validate/{token}/status", tag = "specific provisioner",
    params(("token" = String, Path)),
    responses((status = 200, body = ValidationStatus)))]
pub(crate) async fn validation_status(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Json<ValidationStatus>, Refusal> {
    let (_, operation, request) = find_operation(&shared, &caller, &token, &["validate"]).await?;
    let outcome = Outcome::of(&request);
    let status = Status::of_lookup(operation.status, outcome.is_some());
    let validation = outcome.and_then(|outcome| outcome.validation);
    Ok(Json(ValidationStatus { status, info: validation.map(|public_info| ValidationInfo { public_info }) }))
}

/// Starts a lookup of values for a catalog's component.
#[utoipa::path(post, path = "/v1/reverse-provisioning",
    tag = "specific provisioner", request_body = ReverseProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn reverse(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: ReceivedBody,
) -> Result<Response, Refusal> {
    let question: ReverseProvisioningRequest = read(body, REVERSE)?;
    let subject =
        reverse_provisioning::subject(&shared.environments, &question, Requester::Caller(&caller, Action::Reverse))?;
    let token = shared.enqueue_request(&caller, &Request::Reverse(question), subject).await?;
    Ok(accepted(&headers, token))
}

/// Returns the status and the result of a reverse provisioning.
#[utoipa::path(get, path = "/v1/reverse-provisioning/{token}/status", tag = "specific provisioner",
    params(("token" = String, Path)),
    responses((status = 200, body = ReverseProvisioningStatus)))]
pub(crate) async fn reverse_status(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Json<ReverseProvisioningStatus>, Refusal> {
    let (id, operation, request) = find_operation(&shared, &caller, &token, &["reverse-provisioning"]).await?;
    let outcome = Outcome::of(&request);
    let status = Status::of_lookup(operation.status, outcome.is_some());
    let updates = outcome.map(|outcome| outcome.updates).unwrap_or_default();
    let logs = bodies::log_lines(shared.store.logs(id, 0).await?, id);
    Ok(Json(ReverseProvisioningStatus { status, updates, logs }))
}

/// Cancels an operation: running steps finish, and no new ones start. A waiting operation ends at once.
#[utoipa::path(delete, path = "/v1/provision/{token}", tag = "specific provisioner", params(("token" = String, Path)),
    responses((status = 200, description = "the operation had ended already", body = ProvisioningStatus),
        (status = 202, description = "the operation is stopping")))]
pub(crate) async fn terminate(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Response, Refusal> {
    let (_, operation, request) = find_operation(&shared, &caller, &token, PROVISIONING_KINDS).await?;
    let stacks: Vec<Resource<'_>> = operation.target_stacks().iter().map(Resource::Stack).collect();
    caller.check(Action::Cancel, false, &stacks)?;
    if request.result.is_none() && shared.cancel(&operation, &caller).await? {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    provisioning_status(&shared, &caller, &token).await.map(|status| Json(status).into_response())
}

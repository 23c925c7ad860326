//! Databricks workspaces in Azure: <https://learn.microsoft.com/en-us/rest/api/databricks/workspaces>. They are created
//! and updated by an idempotent `PUT`, which takes minutes.

use crate::attributes::{attributes, optional_text, put, text, text_of};
use crate::entra::WORKSPACES_VERSION;
use crate::object::{Context, Object, Observation};
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use std::time::Duration;
use terrace_provider::http::{Base, Failure, Poll, Purpose, Reply, Request};
use terrace_provider::names::listed;
use terrace_provider::{
    Attributes, DataAmount, ErrorKind, Finding, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Severity,
    Value,
};
use tokio::time::{Instant, sleep};

const ONE: &str =
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Databricks/workspaces/{name}";
const SKUS: [&str; 3] = ["premium", "standard", "trial"];
/// Properties that only Azure sets.
const READ_ONLY: [&str; 9] = [
    "provisioningState",
    "workspaceId",
    "workspaceUrl",
    "createdBy",
    "updatedBy",
    "createdDateTime",
    "diskEncryptionSetId",
    "privateEndpointConnections",
    "isUcEnabled",
];

/// The API version for resource groups: <https://learn.microsoft.com/en-us/rest/api/resources/resource-groups/get>.
const GROUPS_VERSION: &str = "2021-04-01";
/// How long a new workspace may stay invisible after Azure accepted the request.
const MAX_INVISIBLE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct AzureWorkspace;

fn request(method: fn(&'static str, &[&str]) -> Request, named: &Attributes) -> Request {
    let parts = ["subscriptionId", "resourceGroup", "name"].map(|name| text(named, name));
    method(ONE, &parts.each_ref().map(String::as_str)).query("api-version", WORKSPACES_VERSION)
}

fn state(remote: &Json) -> &str {
    remote.pointer("/properties/provisioningState").and_then(Json::as_str).unwrap_or_default()
}

fn property<'a>(remote: &'a Json, name: &str) -> &'a str {
    remote.get("properties").map_or("", |properties| text_of(properties, name))
}

/// Returns true while an operation runs on the workspace, or its URL is still missing.
fn is_in_progress(remote: &Json) -> bool {
    match state(remote) {
        "Accepted" | "Running" | "Ready" | "Creating" | "Created" | "Updating" | "Deleting" => true,
        "Succeeded" => property(remote, "workspaceUrl").is_empty(),
        _ => false,
    }
}

/// Returns true if the last operation failed.
fn has_failed(remote: &Json) -> bool {
    matches!(state(remote), "Failed" | "Canceled")
}

/// Returns true for a workspace whose creation failed: another create completes it.
fn is_missing(remote: &Json) -> bool {
    state(remote) == "Deleted" || (has_failed(remote) && property(remote, "workspaceUrl").is_empty())
}

/// A region in Azure's spelling: `West Europe` is `westeurope`.
fn region(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Reads the outcome of an asynchronous operation.
fn outcome(reply: &Reply) -> Result<Option<Result<(), Json>>, Failure> {
    let body = reply.json()?;
    Ok(match text_of(&body, "status") {
        "Succeeded" => Some(Ok(())),
        "Failed" | "Canceled" => Some(Err(body)),
        _ => None,
    })
}

/// Returns true if even the resource group is missing.
fn is_without_group(error: &ProviderError) -> bool {
    error.vendor_code.as_deref().is_some_and(|code| code.starts_with("ResourceGroupNotFound"))
}

/// Marks the error of a status request as ambiguous: it proves nothing about the operation.
fn as_ambiguous(error: ProviderError) -> ProviderError {
    ProviderError { kind: ErrorKind::Ambiguous, ..error }
}

/// The awaited end of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Created,
    Updated,
    Deleted,
    /// Any stable state: it is unknown if an operation was started.
    Settled,
}

impl AzureWorkspace {
    async fn get(context: &Context<'_>, named: &Attributes) -> Result<Option<Json>, ProviderError> {
        let action = format!("read the workspace `{}`", text(named, "name"));
        match context.read_optional(&request(Request::get, named), &action).await {
            Err(error) if is_without_group(&error) => Ok(None),
            remote => Ok(remote.map_err(with_missing_attribute)?.filter(|remote| !is_missing(remote))),
        }
    }

    /// Sends a write request, and waits until the operation ends.
    async fn write(
        context: &Context<'_>,
        named: &Attributes,
        request: Request,
        purpose: &Purpose,
        until: Until,
    ) -> Result<(), ProviderError> {
        let api = &context.workspace.api;
        let operation = match api.send(&request.idempotent(), &context.within).await {
            // The status URL explains a failure, if it is on this host.
            Ok(reply) => reply.header("azure-asyncoperation").and_then(|url| api.get_url(url).ok()),
            // The deletion runs already.
            Err(failure) if until == Until::Deleted && failure.status() == Some(409) => {
                let remote = Self::get(context, named).await.map_err(as_ambiguous)?;
                if remote.is_some_and(|remote| state(&remote) != "Deleting") {
                    return Err(api.error(&failure, purpose));
                }
                None
            }
            // An internal error of Azure does not prove that no operation was started.
            Err(failure) if until == Until::Created && failure.status().is_some_and(|status| status >= 500) => {
                match Self::get(context, named).await {
                    Ok(Some(_)) => None,
                    _ => return Err(api.error(&failure, purpose)),
                }
            }
            Err(failure) => return Err(api.error(&failure, purpose)),
        };
        // From here on Azure works on the request, even if a status request fails.
        if let Some(operation) = operation {
            match api.poll(&operation, &context.within, Poll::default(), outcome).await {
                Ok(Err(body)) => return Err(api.redact_error(failed(&body, named))),
                // The status may have expired or be forbidden: the workspace itself shows the outcome too.
                Ok(Ok(())) | Err(Failure::Answered(_)) => {}
                Err(failure) => return Err(as_ambiguous(api.error(&failure, purpose))),
            }
        }
        Self::wait(context, named, until).await
    }

    /// Waits until no operation runs on the workspace.
    async fn wait(context: &Context<'_>, named: &Attributes, until: Until) -> Result<(), ProviderError> {
        let api = &context.workspace.api;
        let purpose = Purpose::to(format!("create or change the workspace `{}`", text(named, "name")));
        let settled = |reply: &Reply| {
            let remote = reply.json()?;
            Ok((!is_in_progress(&remote)).then_some(remote))
        };
        let deadline = Instant::now() + MAX_INVISIBLE.min(context.within.left());
        loop {
            return match api.poll(&request(Request::get, named), &context.within, Poll::default(), settled).await {
                Ok(remote) if has_failed(&remote) => Err(failed(&remote, named)),
                Ok(_) => Ok(()),
                Err(failure) if failure.status() == Some(404) => match until {
                    Until::Deleted | Until::Settled => Ok(()),
                    // A new workspace may become visible only after a while.
                    _ if Instant::now() < deadline => {
                        sleep(PAUSE).await;
                        continue;
                    }
                    _ => Err(as_ambiguous(api.error(&failure, &purpose))),
                },
                Err(failure) => Err(as_ambiguous(api.error(&failure, &purpose))),
            };
        }
    }
}

/// The error of a failed operation.
fn failed(body: &Json, named: &Attributes) -> ProviderError {
    let error = body.get("error").cloned().unwrap_or_default();
    let why = text_of(&error, "message").trim_end_matches('.');
    let is_cancelled = text_of(body, "status") == "Canceled" || state(body) == "Canceled";
    let why = match why {
        "" if is_cancelled => "the operation was cancelled",
        "" => "no reason given",
        why => why,
    };
    let message = format!("the operation of Azure on the workspace `{}` failed: {why}", text(named, "name"));
    let code = Some(text_of(&error, "code")).filter(|code| !code.is_empty()).map(str::to_owned);
    ProviderError { vendor_code: code, ..ProviderError::new(ErrorKind::Failed, message) }
        .solution("read the activity log of its resource group, then apply again")
}

/// Adds the attribute to an error about a missing container of the workspace.
fn with_missing_attribute(error: ProviderError) -> ProviderError {
    let code = error.vendor_code.as_deref().unwrap_or_default();
    let at = match code.split(',').next() {
        Some("ResourceGroupNotFound") => "resourceGroup",
        Some("SubscriptionNotFound" | "InvalidSubscriptionId") => "subscriptionId",
        Some("LocationNotAvailableForResourceType" | "NoRegisteredProviderFound" | "InvalidResourceLocation") => {
            "location"
        }
        _ => return error,
    };
    ProviderError { kind: ErrorKind::InvalidInput { path: Some(Path::attribute(at)) }, ..error }
}

/// Checks during the plan that the resource group of a new workspace exists; Azure reports it only at the create.
pub(crate) async fn check_resource_group(context: &Context<'_>, planned: &Attributes) -> Vec<Finding> {
    let (subscription, group) = (text(planned, "subscriptionId"), text(planned, "resourceGroup"));
    let template = "/subscriptions/{subscription}/resourcegroups/{group}";
    let request = Request::get(template, &[&subscription, &group]).query("api-version", GROUPS_VERSION);
    let purpose = Purpose::read(format!("read the resource group `{group}`"));
    // A missing right to read the group is reported during the apply.
    let Err(error) = context.send(&request, &purpose).await.map_err(with_missing_attribute) else { return Vec::new() };
    let ErrorKind::InvalidInput { path: Some(path) } = error.kind else { return Vec::new() };
    let hint = "create it, or correct `azure` or `managedWorkspace` in the settings".to_owned();
    vec![Finding { severity: Severity::Error, path: Some(path), message: error.message, hint: Some(hint) }]
}

#[async_trait]
impl Object for AzureWorkspace {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        let given = |name: &str| planned.get(name).and_then(Value::as_str);
        let refused = |name: &str, message: String| ProviderError::invalid(Some(Path::attribute(name)), message);
        if let Some(name) = given("name") {
            let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if !(3..=64).contains(&name.chars().count()) || !name.chars().all(is_known) {
                return Err(refused("name", format!("`{name}` is not a valid name of a workspace in Azure"))
                    .solution("use 3 to 64 letters, digits, `_` and `-`"));
            }
        }
        if let Some(location) = given("location").filter(|location| region(location) != **location) {
            return Err(refused("location", format!("`{location}` is not a region in Azure's spelling"))
                .solution(format!("write `{}`", region(location))));
        }
        if let Some(group) = given("managedResourceGroup").filter(|group| group.contains('/')) {
            return Err(refused("managedResourceGroup", format!("`{group}` is not the name of a resource group"))
                .solution(format!("write `{}`: only the name, not the full id", last_part(group))));
        }
        match given("sku").filter(|sku| !SKUS.contains(sku)) {
            Some(sku) => Err(refused("sku", format!("`{sku}` is not a tier: expected one of {}", listed(&SKUS)))),
            None => Ok(()),
        }
    }

    /// Refuses the replacement of a workspace under the same name: its contents would be lost.
    fn plan(&self, change: &ProposedChange<'_>, planned: &mut PlannedChange) -> Result<(), ProviderError> {
        let Some(prior) = change.prior else {
            if let (Some(name), Some(group)) =
                (optional_text(&planned.planned, "name"), planned.planned.get("managedResourceGroup"))
                && group.has_unknown()
            {
                let group = Value::from(format!("{name}-rg")).derived_from(&planned.planned, &["name"]);
                planned.planned.insert("managedResourceGroup".to_owned(), group);
            }
            return Ok(());
        };
        for name in ["location", "managedResourceGroup"] {
            let path = Path::attribute(name);
            let is_other = ["subscriptionId", "resourceGroup", "name"]
                .iter()
                .any(|name| !text(&prior.attributes, name).eq_ignore_ascii_case(&text(&planned.planned, name)));
            if planned.replace_paths.contains(&path) && !is_other {
                let (is, wanted) = (text(&prior.attributes, name), text(&planned.planned, name));
                let workspace = text(&prior.attributes, "name");
                let message =
                    format!("the workspace `{workspace}` has `{name}` `{is}`, which cannot become `{wanted}`");
                return Err(ProviderError::invalid(Some(path), message).solution(format!(
                    "write `{is}`, or use another name for the new workspace: a replacement would delete the contents of the workspace"
                )));
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        _like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let Some(remote) = Self::get(context, named).await? else { return Ok(None) };
        if is_in_progress(&remote) && property(&remote, "workspaceUrl").is_empty() {
            let message = format!("Azure is still creating the workspace `{}`", text(named, "name"));
            return Err(ProviderError::new(ErrorKind::Transient, message)
                .solution("run the command again when the workspace exists: its contents need its URL"));
        }
        let url = Base::parse(property(&remote, "workspaceUrl")).map(|base| base.shown().to_owned());
        let or_null = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        let observed = attributes([
            ("subscriptionId", text(named, "subscriptionId").into()),
            ("resourceGroup", text(named, "resourceGroup").into()),
            ("name", text(named, "name").into()),
            ("location", region(text_of(&remote, "location")).into()),
            ("sku", remote.get("sku").map_or("", |sku| text_of(sku, "name")).to_lowercase().into()),
            ("managedResourceGroup", last_part(property(&remote, "managedResourceGroupId")).into()),
            ("workspaceId", or_null(property(&remote, "workspaceId"))),
            ("url", url.map_or(Value::Null, Value::from)),
            ("resourceId", text_of(&remote, "id").into()),
        ]);
        let created_by = remote.pointer("/properties/createdBy/applicationId").and_then(Json::as_str);
        Ok(Some(Observation {
            attributes: observed,
            private: private.clone(),
            created_by: created_by.map(str::to_owned),
            created_at: property(&remote, "createdDateTime").parse().ok(),
            ..Observation::default()
        }))
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let name = text(planned, "name");
        // Azure needs the full id of the managed resource group.
        let group = [
            "/subscriptions",
            &text(planned, "subscriptionId"),
            "resourceGroups",
            &text(planned, "managedResourceGroup"),
        ]
        .join("/");
        let body = json!({
            "location": text(planned, "location"),
            "sku": {"name": text(planned, "sku")},
            "properties": {"managedResourceGroupId": group},
        });
        let purpose = Purpose::to(format!("create the workspace `{name}`")).needs(format!(
            "assign the service principal the role Contributor on the resource group `{}`",
            text(planned, "resourceGroup")
        ));
        let put = request(Request::put, planned).json(body);
        Self::write(context, planned, put, &purpose, Until::Created).await.map_err(with_missing_attribute)?;
        Ok((Attributes::default(), PrivateData::default()))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        _prior: &Recorded,
        _present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        // `PUT` replaces everything: send unmanaged properties unchanged.
        let remote = Self::get(context, planned).await?.unwrap_or_default();
        let mut properties = remote.get("properties").cloned().unwrap_or_default();
        if let Some(entries) = properties.as_object_mut() {
            entries.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
        }
        let mut body = json!({"location": remote.get("location"), "properties": properties});
        put(&mut body, "sku", json!({"name": text(planned, "sku")}));
        if let Some(tags) = remote.get("tags").filter(|tags| !tags.is_null()) {
            put(&mut body, "tags", tags.clone());
        }
        let name = text(planned, "name");
        let purpose = Purpose::to(format!("change the workspace `{name}`"));
        let purpose = purpose.needs(format!("assign the service principal the role Contributor on `{name}`"));
        let put = request(Request::put, planned).json(body);
        Self::write(context, planned, put, &purpose, Until::Updated).await?;
        Ok(PrivateData::default())
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        _: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let purpose = Purpose::to(format!("delete the workspace `{}`", text(prior, "name")));
        let purpose = purpose.needs("assign the service principal the role Contributor on the resource group");
        match Self::write(context, prior, request(Request::delete, prior), &purpose, Until::Deleted).await {
            Err(error) if error.kind == ErrorKind::NotFound || is_without_group(&error) => Ok(()),
            done => done,
        }
    }

    /// The amount of data in a workspace is unknown.
    async fn count(&self, _: &Context<'_>, _: &Attributes) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Unknown)
    }

    async fn settle(&self, context: &Context<'_>, named: &Attributes) -> Result<(), ProviderError> {
        match Self::wait(context, named, Until::Settled).await {
            // A failed operation has ended too; the next read shows the state of the workspace.
            Err(error) if error.kind == ErrorKind::Failed => Ok(()),
            done => done,
        }
    }

    async fn is_from_attempt(
        &self,
        context: &Context<'_>,
        observed: &Observation,
        _: &Attributes,
        window: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        let client = context.config.azure().map(|azure| azure.client.as_str());
        Ok(client.is_some()
            && observed.created_by.as_deref() == client
            && observed.created_at.is_some_and(|at| window.contains(&at)))
    }
}

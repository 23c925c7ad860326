//! Lookups in the Databricks account, in Microsoft Entra ID, and in the instance's Azure settings.

use super::by_name::{ambiguous, find_by_scim, not_found};
use super::fields::string_attribute;
use crate::attributes::{attributes, of_json, optional_text, text, text_of};
use crate::config::{Azure, Config};
use crate::object::azure::account;
use crate::object::azure::role_assignment::quoted;
use crate::object::azure::workspace::AzureWorkspace;
use crate::object::{Context, Object as _};
use crate::private::PrivateData;
use crate::workspaces::Interface;
use serde_json::Value as Json;
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, ErrorKind, Lookup, Object, Path, ProviderError, Value};
use uuid::Uuid;

/// The API of a lookup; `None` for the API of a workspace.
pub(crate) fn interface(name: &str) -> Option<Interface> {
    match name {
        "databricks_azure_principal" => Some(Interface::Graph),
        "databricks_azure_workspace" => Some(Interface::Management),
        name if name.starts_with("databricks_account_") => Some(Interface::Account),
        _ => None,
    }
}

/// The lookups of this module.
pub(super) fn lookups() -> Vec<Lookup> {
    let named = |name, doc, name_doc, result: Vec<_>| Lookup {
        name,
        doc,
        arguments: Object(vec![string_attribute("name", name_doc).required()]),
        result: Object(result),
        objects: &[],
    };
    let (display_name, numeric_id) = (
        || string_attribute("name", "Name in the directory's spelling."),
        || string_attribute("id", "Numeric id in the account."),
    );
    vec![
        named(
            "databricks_account_user",
            "A user of the account by user name.",
            "The user name, an address.",
            vec![display_name(), numeric_id()],
        ),
        named(
            "databricks_account_group",
            "A group of the account by its display name, in any case.",
            "The display name.",
            vec![display_name(), numeric_id()],
        ),
        named(
            "databricks_account_service_principal",
            "A service principal of the account by its display name or its application id.",
            "The display name, or the application id.",
            vec![display_name(), numeric_id(), string_attribute("applicationId", "Its application id.")],
        ),
        named(
            "databricks_account_metastore",
            "A metastore of the account by its name.",
            "The name.",
            vec![display_name(), string_attribute("metastoreId", "Its id."), string_attribute("region", "Its region.")],
        ),
        Lookup {
            name: "databricks_azure_workspace",
            doc: "A workspace of Azure by its name.",
            arguments: Object(vec![
                string_attribute("name", "The name.").required(),
                string_attribute("subscriptionId", "Subscription. Defaults to the instance's."),
                string_attribute("resourceGroup", "Resource group. Defaults to the instance's."),
            ]),
            result: Object(vec![
                string_attribute("name", "The requested name."),
                string_attribute("url", "Its URL."),
                string_attribute("workspaceId", "Databricks' numeric id of the workspace."),
                string_attribute("resourceId", "Azure's id of the workspace."),
            ]),
            objects: &[],
        },
        Lookup {
            name: "databricks_azure_principal",
            doc: "A principal of Microsoft Entra ID, for role assignments.",
            arguments: Object(vec![
                string_attribute("kind", "`user`, `group` or `servicePrincipal`.").required(),
                string_attribute("name", "The address of a user, the display name of a group, the display name or the application id of a service principal.").required(),
            ]),
            result: Object(vec![
                string_attribute("kind", "The requested kind."),
                display_name(),
                string_attribute("objectId", "The object id."),
            ]),
            objects: &[],
        },
        Lookup {
            name: "databricks_azure",
            doc: "The instance's Azure settings; null without a service principal of Azure. Sends no request.",
            arguments: Object(Vec::new()),
            result: Object(vec![
                string_attribute("clientId", "Application id of the instance's service principal."),
                string_attribute("tenantId", "Its tenant."),
                string_attribute("subscriptionId", "Subscription of workspaces."),
                string_attribute("resourceGroup", "Resource group of new workspaces."),
                string_attribute("location", "Region of new workspaces."),
            ]),
            objects: &[],
        },
    ]
}

/// The instance's Azure settings, with nulls for missing values.
pub(super) fn of_settings(config: &Config) -> Attributes {
    let azure = config.azure();
    let value = |of: fn(&Azure) -> Option<&str>| azure.and_then(of).map_or(Value::Null, Value::from);
    attributes([
        ("clientId", value(|azure| Some(&azure.client))),
        ("tenantId", value(|azure| Some(&azure.tenant))),
        ("subscriptionId", value(|azure| azure.subscription.as_deref())),
        ("resourceGroup", value(|azure| azure.resource_group.as_deref())),
        ("location", value(|azure| azure.location.as_deref())),
    ])
}

/// Answers a lookup; `None` for lookups of other modules.
pub(super) async fn answer(
    lookup: &str,
    context: &Context<'_>,
    arguments: &Attributes,
) -> Option<Result<Attributes, ProviderError>> {
    let name = text(arguments, "name");
    Some(match lookup {
        "databricks_account_user" => account_principal(context, "Users", "userName", "user", &name).await,
        "databricks_account_group" => account_principal(context, "Groups", "displayName", "group", &name).await,
        "databricks_account_service_principal" => {
            let field = if Uuid::try_parse(&name).is_ok() { "applicationId" } else { "displayName" };
            account_principal(context, "ServicePrincipals", field, "service principal", &name).await
        }
        "databricks_account_metastore" => metastore(context, &name).await,
        "databricks_azure_workspace" => workspace(context, arguments).await,
        "databricks_azure_principal" => principal(context, &text(arguments, "kind"), &name).await,
        _ => return None,
    })
}

/// Adds a hint to a `NotFound` error.
fn with_hint_if_missing(error: ProviderError, solution: &str) -> ProviderError {
    if error.kind == ErrorKind::NotFound { error.solution(solution) } else { error }
}

/// Looks up the only user, group or service principal of the account with a name, through SCIM.
async fn account_principal(
    context: &Context<'_>,
    kind: &str,
    field: &str,
    noun: &str,
    name: &str,
) -> Result<Attributes, ProviderError> {
    let request = Request::get("/api/2.0/accounts/{account}/scim/v2/{kind}", &[account(context)?, kind]);
    let found = find_by_scim(context, request, field, noun, name).await.map_err(|error| {
        with_hint_if_missing(error, "add it to the Databricks account, or map its name in `identities.table`")
    })?;
    let shown = if field == "applicationId" { "displayName" } else { field };
    let mut answer = attributes([("name", of_json(&found, shown)), ("id", of_json(&found, "id"))]);
    if kind == "ServicePrincipals" {
        answer.insert("applicationId".to_owned(), of_json(&found, "applicationId"));
    }
    Ok(answer)
}

async fn workspace(context: &Context<'_>, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let azure = context.config.azure();
    let given = |name: &str, default: Option<&String>| {
        let value = optional_text(arguments, name).or_else(|| default.cloned());
        let message = format!("the workspace needs a `{name}`");
        let solution = format!("add it, or set `azure.{name}` of the instance");
        value.ok_or_else(|| ProviderError::invalid(Some(Path::attribute(name)), message).solution(solution))
    };
    let name = text(arguments, "name");
    let named = attributes([
        ("subscriptionId", given("subscriptionId", azure.and_then(|it| it.subscription.as_ref()))?.into()),
        ("resourceGroup", given("resourceGroup", azure.and_then(|it| it.resource_group.as_ref()))?.into()),
        ("name", name.as_str().into()),
    ]);
    let observed = AzureWorkspace.read(context, &named, &Attributes::default(), &PrivateData::default()).await?;
    let observed = observed.ok_or_else(|| not_found("workspace", &name, &[]))?;
    let part = |part: &'static str| (part, observed.attributes.get(part).cloned().unwrap_or_default());
    Ok(attributes([("name", name.as_str().into()), part("url"), part("workspaceId"), part("resourceId")]))
}

async fn metastore(context: &Context<'_>, name: &str) -> Result<Attributes, ProviderError> {
    let request = Request::get("/api/2.0/accounts/{account}/metastores", &[account(context)?]);
    let answer = context.send(&request, &Purpose::read(format!("find the metastore `{name}`"))).await?;
    let all = answer.get("metastores").and_then(Json::as_array).cloned().unwrap_or_default();
    let found: Vec<&Json> = all.iter().filter(|it| text_of(it, "name").eq_ignore_ascii_case(name)).collect();
    match found.as_slice() {
        [one] => Ok(attributes([
            ("name", of_json(one, "name")),
            ("metastoreId", of_json(one, "metastore_id")),
            ("region", of_json(one, "region")),
        ])),
        [] => {
            let known: Vec<String> = all.iter().map(|it| text_of(it, "name").to_owned()).collect();
            Err(not_found("metastore", name, &known))
        }
        several => {
            let ids: Vec<String> = several.iter().map(|it| text_of(it, "metastore_id").to_owned()).collect();
            Err(ambiguous("metastore", name, &ids))
        }
    }
}

/// Looks up a principal of Microsoft Entra ID: <https://learn.microsoft.com/en-us/graph/api/overview>.
async fn principal(context: &Context<'_>, kind: &str, name: &str) -> Result<Attributes, ProviderError> {
    let value = quoted(name);
    let equal =
        |fields: &[&str]| fields.iter().map(|it| [it, " eq ", &value].concat()).collect::<Vec<_>>().join(" or ");
    let is_id = Uuid::try_parse(name).is_ok();
    let (path, noun, filter) = match kind {
        "user" => ("/v1.0/users", "user", equal(&["userPrincipalName", "mail"])),
        "group" => ("/v1.0/groups", "group", equal(&["displayName"])),
        "servicePrincipal" => {
            ("/v1.0/servicePrincipals", "service principal", equal(if is_id { &["appId"] } else { &["displayName"] }))
        }
        other => {
            let known = listed(&["user", "group", "servicePrincipal"]);
            let message = format!("`{other}` is not a kind of principal: expected one of {known}");
            return Err(ProviderError::invalid(Some(Path::attribute("kind")), message));
        }
    };
    let request = Request::get(path, &[]).query("$filter", filter).query("$select", "id,displayName");
    let purpose = Purpose::read(format!("find the {noun} `{name}`"))
        .needs("grant the service principal the permission `Directory.Read.All` of Microsoft Graph, with an administrator's consent");
    let api = &context.workspace.api;
    let found = api.items(request, &context.within, "value", |page| Next::url(page, "@odata.nextLink")).await;
    let found = found.map_err(|failure| api.error(&failure, &purpose))?;
    match found.as_slice() {
        [one] => Ok(attributes([
            ("kind", kind.into()),
            ("name", of_json(one, "displayName")),
            ("objectId", of_json(one, "id")),
        ])),
        [] => Err(with_hint_if_missing(
            not_found(noun, name, &[]),
            "add it to Microsoft Entra ID, or map its name in `identities.table`",
        )),
        several => {
            let ids: Vec<String> = several.iter().map(|it| text_of(it, "id").to_owned()).collect();
            Err(ambiguous(noun, name, &ids))
        }
    }
}

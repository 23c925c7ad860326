//! Reports missing rights in a workspace before a plan needs them. Only reads.

pub(crate) mod azure;

use crate::attributes::{id_of, text_of};
use crate::object::Context;
use crate::principal::is_same;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{ErrorKind, MissingRight, ProviderError};

/// The entitlement to create clusters: <https://docs.databricks.com/aws/en/security/auth/entitlements>.
const CLUSTERS: &str = "allow-cluster-create";
/// The groups of all users of a workspace and of an account.
const ALL_USERS: [&str; 2] = ["users", "account users"];
/// The group of a workspace's administrators.
const ADMINISTRATORS: &str = "admins";
/// The prefix of that group's name in Unity Catalog:
/// <https://docs.databricks.com/aws/en/data-governance/unity-catalog/manage-privileges/admin-privileges>.
const ADMIN_ROLE_PREFIX: &str = "_workspace_admins_";

/// The instance's principal.
struct Me {
    id: String,
    name: String,
    is_user: bool,
    /// Display names and ids.
    groups: Vec<(String, String)>,
    entitlements: Vec<String>,
}

impl Me {
    fn is_in(&self, group: &str) -> bool {
        ALL_USERS.contains(&group) || self.groups.iter().any(|(name, _)| name == group)
    }

    /// Returns true if the rights of a principal include this one.
    fn holds_rights_of(&self, principal: &str) -> bool {
        is_same(principal, &self.name)
            || self.is_in(principal)
            || (principal.starts_with(ADMIN_ROLE_PREFIX) && self.is_in(ADMINISTRATORS))
    }

    /// The command that grants the entitlement:
    /// <https://docs.databricks.com/aws/en/dev-tools/cli/reference/users-commands>.
    fn entitle_command(&self) -> String {
        let command = if self.is_user { "users" } else { "service-principals" };
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "add", "path": "entitlements", "value": [{"value": CLUSTERS}]}],
        });
        format!("databricks {command} patch {} --json '{body}'", self.id)
    }
}

fn texts(json: &Json, list: &str, field: &str) -> Vec<String> {
    let items = json.get(list).and_then(Json::as_array).into_iter().flatten();
    items.map(|item| text_of(item, field).to_owned()).filter(|text| !text.is_empty()).collect()
}

/// Reads an object; `None` if it does not exist or may not be read.
async fn read_optional(context: &Context<'_>, request: &Request, action: &str) -> Result<Option<Json>, ProviderError> {
    match context.send(request, &Purpose::read(action)).await {
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(None),
        answer => answer.map(Some),
    }
}

async fn me(context: &Context<'_>) -> Result<Me, ProviderError> {
    let request = Request::get("/api/2.0/preview/scim/v2/Me", &[]);
    let answer = context.send(&request, &Purpose::read("read the signed-in principal")).await?;
    let groups = answer.get("groups").and_then(Json::as_array).into_iter().flatten();
    let groups = groups.map(|it| (text_of(it, "display").to_owned(), text_of(it, "value").to_owned())).collect();
    let name = context.workspace.me(&context.within).await?.to_owned();
    Ok(Me {
        id: id_of(&answer, "id").unwrap_or_else(|| name.clone()),
        // A user name is an address, a service principal's name is its application id.
        is_user: name.contains('@'),
        name,
        groups,
        entitlements: texts(&answer, "entitlements", "value"),
    })
}

/// Returns true if the principal may create clusters; `None` if that cannot be determined.
async fn may_create_clusters(context: &Context<'_>, me: &Me) -> Result<Option<bool>, ProviderError> {
    let entitles = |json: &Json| texts(json, "entitlements", "value").iter().any(|it| it == CLUSTERS);
    if me.is_in(ADMINISTRATORS) || me.entitlements.iter().any(|it| it == CLUSTERS) {
        return Ok(Some(true));
    }
    let mut is_certain = true;
    let filter = format!("displayName eq \"{}\"", ALL_USERS[0]);
    let request = Request::get("/api/2.0/preview/scim/v2/Groups", &[]).query("filter", filter);
    match read_optional(context, &request, "read the group of all users").await? {
        Some(found) if found.get("Resources").and_then(Json::as_array).is_some_and(|it| it.iter().any(entitles)) => {
            return Ok(Some(true));
        }
        found => is_certain &= found.is_some(),
    }
    for (name, id) in &me.groups {
        let request = Request::get("/api/2.0/preview/scim/v2/Groups/{id}", &[id]);
        match read_optional(context, &request, &format!("read the group `{name}`")).await? {
            Some(group) if entitles(&group) => return Ok(Some(true)),
            found => is_certain &= found.is_some(),
        }
    }
    Ok(is_certain.then_some(false))
}

/// Returns true for the error of a workspace without a metastore.
pub(crate) fn is_without_metastore(error: &ProviderError) -> bool {
    let code = error.vendor_code.as_deref().unwrap_or_default();
    error.kind == ErrorKind::NotFound || code.starts_with("METASTORE_DOES_NOT_EXIST")
}

/// Returns true if the principal may create catalogs; `None` if that cannot be determined.
async fn may_create_catalogs(context: &Context<'_>, me: &Me) -> Result<Option<bool>, ProviderError> {
    let request = Request::get("/api/2.1/unity-catalog/metastore_summary", &[]);
    let summary = match context.send(&request, &Purpose::read("read the metastore")).await {
        // Without a metastore, catalogs cannot be created.
        Err(error) if is_without_metastore(&error) => return Ok(Some(true)),
        Err(error) if error.kind == ErrorKind::PermissionDenied => return Ok(None),
        summary => summary?,
    };
    if me.holds_rights_of(text_of(&summary, "owner")) {
        return Ok(Some(true));
    }
    let id = text_of(&summary, "metastore_id");
    let request = Request::get("/api/2.1/unity-catalog/permissions/metastore/{id}", &[id]);
    let next = |page: &Json| Next::token(page, "next_page_token", "page_token");
    let rows = context.workspace.api.items(request, &context.within, "privilege_assignments", next).await;
    let rows = match rows {
        Err(failure) if matches!(failure.status(), Some(403 | 404)) => return Ok(None),
        rows => rows.map_err(|failure| {
            context.workspace.api.error(&failure, &Purpose::read("read the grants on the metastore"))
        })?,
    };
    let gives = |row: &Json| {
        let privileges = row.get("privileges").and_then(Json::as_array).into_iter().flatten();
        let mut names = privileges.filter_map(Json::as_str).map(|name| name.replace(' ', "_"));
        names.any(|name| name == "CREATE_CATALOG")
    };
    Ok(Some(rows.iter().any(|row| me.holds_rights_of(text_of(row, "principal")) && gives(row))))
}

/// Returns the missing rights in the workspace and its metastore; `None` if none was found and some could not be
/// determined.
///
/// # Errors
/// If the workspace does not answer.
pub(crate) async fn missing(context: &Context<'_>) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let me = me(context).await?;
    let (clusters, catalogs) = (may_create_clusters(context, &me).await?, may_create_catalogs(context, &me).await?);
    let mut missing = Vec::new();
    if clusters == Some(false) {
        let operation = "create jobs and pipelines with their own clusters".to_owned();
        missing.push(MissingRight { operation, statement: me.entitle_command() });
    }
    if catalogs == Some(false) {
        let statement = format!("GRANT CREATE CATALOG ON METASTORE TO {}", crate::sql::quote(&me.name));
        missing.push(MissingRight { operation: "create catalogs".to_owned(), statement });
    }
    let is_certain = clusters.is_some() && catalogs.is_some();
    Ok((is_certain || !missing.is_empty()).then_some(missing))
}

//! Azure role assignments: <https://learn.microsoft.com/en-us/rest/api/authorization/role-assignments>.
//!
//! The client chooses the id of an assignment. Ours is derived from its content, so that a repeated create has no
//! further effect. An equal assignment with another id belongs to another owner, and is kept.

use super::{shown, takes_existing};
use crate::attributes::{attributes, optional_text, text, text_of};
use crate::object::{Context, Object, Observation};
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, ErrorKind, Finding, Path, ProviderError, Severity, Value};
use uuid::{Builder, Uuid};

/// The API version.
const VERSION: &str = "2022-04-01";
const KINDS: [(&str, &str); 3] = [("user", "User"), ("group", "Group"), ("servicePrincipal", "ServicePrincipal")];

pub(crate) struct RoleAssignment;

/// For each kind of scope: the paths of the scope, its assignments, one assignment, and its role definitions.
const PATHS: [[&str; 4]; 3] = [
    [
        "/subscriptions/{}",
        "/subscriptions/{}/providers/Microsoft.Authorization/roleAssignments",
        "/subscriptions/{}/providers/Microsoft.Authorization/roleAssignments/{}",
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions",
    ],
    [
        "/subscriptions/{}/resourceGroups/{}",
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Authorization/roleAssignments",
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Authorization/roleAssignments/{}",
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Authorization/roleDefinitions",
    ],
    [
        "/subscriptions/{}/resourceGroups/{}/providers/{}/{}/{}",
        "/subscriptions/{}/resourceGroups/{}/providers/{}/{}/{}/providers/Microsoft.Authorization/roleAssignments",
        "/subscriptions/{}/resourceGroups/{}/providers/{}/{}/{}/providers/Microsoft.Authorization/roleAssignments/{}",
        "/subscriptions/{}/resourceGroups/{}/providers/{}/{}/{}/providers/Microsoft.Authorization/roleDefinitions",
    ],
];

/// A parsed scope.
struct Scope<'a> {
    paths: [&'static str; 4],
    values: Vec<&'a str>,
}

impl<'a> Scope<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        PATHS.into_iter().find_map(|paths| {
            let shape: Vec<&str> = paths.first()?.split('/').skip(1).collect();
            if shape.len() != parts.len() {
                return None;
            }
            let mut values = Vec::new();
            for (expected, part) in shape.into_iter().zip(&parts) {
                match expected {
                    "{}" if !part.is_empty() => values.push(*part),
                    word if word.eq_ignore_ascii_case(part) => {}
                    _ => return None,
                }
            }
            Some(Self { paths, values })
        })
    }

    fn of(named: &'a Attributes) -> Result<Self, ProviderError> {
        let scope = named.get("scope").and_then(Value::as_str).unwrap_or_default();
        Self::parse(scope).ok_or_else(|| {
            ProviderError::invalid(Some(Path::attribute("scope")), format!("`{scope}` is not the id of an Azure resource"))
                .solution("write the id of a subscription, a resource group or a resource, such as the `resourceId` of a workspace: `/subscriptions/…/resourceGroups/…/providers/Microsoft.Databricks/workspaces/…`")
        })
    }

    fn subscription(&self) -> &str {
        self.values.first().copied().unwrap_or_default()
    }

    fn all(&self) -> Request {
        let [_, all, ..] = self.paths;
        Request::get(all, &self.values).query("api-version", VERSION)
    }

    fn one(&self, method: fn(&'static str, &[&str]) -> Request, id: &str) -> Request {
        let [_, _, one, _] = self.paths;
        let values: Vec<&str> = self.values.iter().copied().chain([id]).collect();
        method(one, &values).query("api-version", VERSION)
    }
}

fn same(first: &str, second: &str) -> bool {
    first.trim_end_matches('/').eq_ignore_ascii_case(second.trim_end_matches('/'))
}

fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// A string in OData quotes.
pub(crate) fn quoted(text: &str) -> String {
    ["'", &text.replace('\'', "''"), "'"].concat()
}

/// Derives the id of our assignment: a UUID of version 5 (RFC 9562) in the URL namespace.
fn own_id(scope: &str, role: &str, principal: &str) -> String {
    let name = [scope.trim_end_matches('/'), role, principal].map(str::to_lowercase).join("|");
    let text = [Uuid::NAMESPACE_URL.as_bytes().as_slice(), name.as_bytes()].concat();
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref()).for_each(|(to, from)| *to = *from);
    Builder::from_sha1_bytes(bytes).into_uuid().to_string()
}

fn no_role(role: &str) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute("role")), format!("Azure has no role `{role}`"))
        .solution("write the name of a role, such as `Contributor` or `Reader`, or the id of its definition")
}

/// Returns the id of a role, which is given by name or id; `None` if the scope does not exist.
async fn role_id(context: &Context<'_>, role: &str, scope: &Scope<'_>) -> Result<Option<String>, ProviderError> {
    if Uuid::try_parse(last_part(role)).is_ok() {
        return Ok(Some(last_part(role).to_lowercase()));
    }
    let [.., definitions] = scope.paths;
    let filter = format!("roleName eq {}", quoted(role));
    let request = Request::get(definitions, &scope.values).query("api-version", VERSION).query("$filter", filter);
    let action = format!("find the role `{role}`");
    let Some(found) = items(context, request, &action).await? else { return Ok(None) };
    match found.as_slice() {
        [one] => Ok(Some(text_of(one, "name").to_lowercase())),
        [] => Err(no_role(role)),
        several => {
            let ids: Vec<&str> = several.iter().map(|it| text_of(it, "name")).collect();
            let message = format!("there are {} roles `{role}`: {}", ids.len(), listed(&ids));
            Err(ProviderError::invalid(Some(Path::attribute("role")), message).solution("write the id of a role"))
        }
    }
}

/// Returns all rows of a paged list; `None` if its parent does not exist.
async fn items(context: &Context<'_>, request: Request, action: &str) -> Result<Option<Vec<Json>>, ProviderError> {
    let api = &context.workspace.api;
    let rows = api.items(request, &context.within, "value", |page| Next::url(page, "nextLink")).await;
    match rows.map_err(|failure| api.error(&failure, &Purpose::read(action))) {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        rows => rows.map(Some),
    }
}

/// Checks during the plan that a role exists, even before its workspace does.
pub(crate) async fn check_role(context: &Context<'_>, planned: &Attributes) -> Vec<Finding> {
    let subscription = context.config.azure().and_then(|azure| azure.subscription.as_deref());
    let scope = optional_text(planned, "scope").or_else(|| Some(["/subscriptions/", subscription?].concat()));
    let Some(scope) = scope.as_deref().and_then(Scope::parse) else { return Vec::new() };
    // A missing right to read roles is reported during the apply.
    let Err(error) = role_id(context, &text(planned, "role"), &scope).await else { return Vec::new() };
    let hint = error.hint();
    let ErrorKind::InvalidInput { path: Some(path) } = error.kind else { return Vec::new() };
    vec![Finding { severity: Severity::Error, path: Some(path), message: error.message, hint }]
}

/// Returns the assignment with the wanted content, and the id that ours has. Our own assignment wins over others.
async fn assignment(context: &Context<'_>, named: &Attributes) -> Result<Option<(Json, String)>, ProviderError> {
    let (scope, principal) = (Scope::of(named)?, text(named, "principalId"));
    let Some(role) = role_id(context, &text(named, "role"), &scope).await? else { return Ok(None) };
    let own = own_id(&text(named, "scope"), &role, &principal);
    let request = scope.all().query("$filter", format!("principalId eq {}", quoted(&principal)));
    let action = format!("read the role assignments of `{}`", text(named, "scope"));
    let rows = items(context, request, &action).await?.unwrap_or_default();
    let is_match = |row: &&Json| {
        let Some(properties) = row.get("properties") else { return false };
        // Assignments of parent scopes are listed too, but are different ones.
        same(text_of(properties, "scope"), &text(named, "scope"))
            && same(last_part(text_of(properties, "roleDefinitionId")), &role)
            && same(text_of(properties, "principalId"), &principal)
    };
    let mut found: Vec<&Json> = rows.iter().filter(is_match).collect();
    found.sort_by_key(|row| !same(text_of(row, "name"), &own));
    Ok(found.first().map(|row| ((*row).clone(), own)))
}

/// The same for a recorded assignment: if the role is gone, so is the assignment.
async fn recorded(context: &Context<'_>, named: &Attributes) -> Result<Option<(Json, String)>, ProviderError> {
    match assignment(context, named).await {
        Err(error) if error.message == no_role(&text(named, "role")).message => Ok(None),
        found => found,
    }
}

#[async_trait]
impl Object for RoleAssignment {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        let given = |name: &str| planned.get(name).and_then(Value::as_str);
        if given("scope").is_some() {
            Scope::of(planned)?;
        }
        if let Some(principal) = given("principalId").filter(|id| Uuid::try_parse(id).is_err()) {
            let message = format!("`{principal}` is not an object id of Microsoft Entra ID");
            return Err(ProviderError::invalid(Some(Path::attribute("principalId")), message).solution(
                "use the lookup `databricks_azure_principal` to get the id of a user, a group or a service principal",
            ));
        }
        let known = KINDS.map(|(kind, _)| kind);
        match given("principalKind").filter(|kind| !known.contains(kind)) {
            Some(kind) => {
                let message = format!("`{kind}` is not a kind of principal: expected one of {}", listed(&known));
                Err(ProviderError::invalid(Some(Path::attribute("principalKind")), message))
            }
            None => Ok(()),
        }
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let found = match optional_text(like, "assignmentId") {
            Some(_) => recorded(context, named).await?,
            None => assignment(context, named).await?,
        };
        let Some((remote, own)) = found else { return Ok(None) };
        let kind = remote.pointer("/properties/principalType").and_then(Json::as_str).unwrap_or_default();
        let kind = KINDS.iter().find(|(_, azure)| *azure == kind).map_or(Value::Null, |(kind, _)| (*kind).into());
        let is_own = same(text_of(&remote, "name"), &own);
        let observed = attributes([
            ("scope", text(named, "scope").into()),
            ("role", text(named, "role").into()),
            ("principalId", text(named, "principalId").into()),
            ("principalKind", kind),
            ("assignmentId", text_of(&remote, "name").into()),
            shown(like),
        ]);
        let held = if is_own { Vec::new() } else { vec![text(named, "role")] };
        Ok(Some(Observation { attributes: observed, private: private.clone(), held, ..Observation::default() }))
    }

    fn adopts_existing(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let private_of = |observed: Observation| PrivateData { preexisting: observed.held, ..PrivateData::default() };
        if let Some(observed) = self.read(context, planned, planned, &PrivateData::default()).await? {
            return Ok((Attributes::default(), private_of(observed)));
        }
        let (scope, principal) = (Scope::of(planned)?, text(planned, "principalId"));
        let role = role_id(context, &text(planned, "role"), &scope).await?.ok_or_else(|| {
            let message = format!("the scope `{}` does not exist", text(planned, "scope"));
            ProviderError::invalid(Some(Path::attribute("scope")), message)
        })?;
        let id = own_id(&text(planned, "scope"), &role, &principal);
        let definition =
            ["/subscriptions", scope.subscription(), "providers/Microsoft.Authorization/roleDefinitions", &role];
        let mut properties = json!({"roleDefinitionId": definition.join("/"), "principalId": principal});
        let kind = KINDS.iter().find(|(kind, _)| *kind == text(planned, "principalKind"));
        if let (Some((_, kind)), Some(entries)) = (kind, properties.as_object_mut()) {
            entries.insert("principalType".to_owned(), (*kind).into());
        }
        let purpose = Purpose::to(format!("assign to {} the role `{}`", principal, text(planned, "role")))
            .at(Path::attribute("principalId"))
            .needs(format!(
                "assign the service principal the role User Access Administrator on `{}`",
                text(planned, "scope")
            ));
        let request = scope.one(Request::put, &id).json(json!({"properties": properties})).idempotent();
        match context.send(&request, &purpose).await {
            // An earlier answer was lost, or another process created an equal assignment, which has another id.
            Err(error) if matches!(error.kind, ErrorKind::AlreadyExists { .. }) => {
                match self.read(context, planned, planned, &PrivateData::default()).await? {
                    Some(observed) if observed.held.is_empty() || takes_existing(planned) => {
                        Ok((Attributes::default(), private_of(observed)))
                    }
                    _ => Err(error),
                }
            }
            done => done.map(|_| (Attributes::default(), PrivateData::default())),
        }
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        if !private.preexisting.is_empty() {
            return Ok(());
        }
        let Some((remote, own)) = recorded(context, prior).await? else { return Ok(()) };
        let id = text_of(&remote, "name");
        // An assignment that was created by another owner meanwhile is kept, even if it was recorded since.
        if !same(id, &own) {
            return Ok(());
        }
        let purpose =
            Purpose::to(format!("remove the role `{}` from {}", text(prior, "role"), text(prior, "principalId")))
                .needs(format!(
                    "assign the service principal the role User Access Administrator on `{}`",
                    text(prior, "scope")
                ));
        context.remove(Scope::of(prior)?.one(Request::delete, id), &purpose).await
    }

    fn is_deleted_object(&self, _: &Attributes, observed: &Observation) -> bool {
        observed.held.is_empty()
    }

    /// Only terrace derives this id.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        observed: &Observation,
        _: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(observed.held.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignment_id_is_derived_from_content() {
        let scope = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Databricks/workspaces/w";
        let id = own_id(scope, "b24988ac-6180-42a0-ab88-20f7382dd24c", "p");
        assert_eq!(id, own_id(&scope.to_uppercase(), "B24988AC-6180-42A0-AB88-20F7382DD24C", "P"));
        assert_eq!(Uuid::try_parse(&id).unwrap().get_version_num(), 5);
        for other in [own_id(scope, "x", "p"), own_id("/subscriptions/s", "b24988ac-6180-42a0-ab88-20f7382dd24c", "p")]
        {
            assert_ne!(id, other);
        }
        // The example value of the RFC: https://www.rfc-editor.org/rfc/rfc9562#name-example-of-a-uuidv5-value.
        let text = [Uuid::NAMESPACE_DNS.as_bytes().as_slice(), b"www.example.com"].concat();
        let mut bytes = [0_u8; 16];
        bytes.iter_mut().zip(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref()).for_each(|(to, from)| *to = *from);
        assert_eq!(Builder::from_sha1_bytes(bytes).into_uuid().to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }

    #[test]
    fn scopes_are_subscriptions_groups_and_resources() {
        for (text, values) in [
            ("/subscriptions/s", 1),
            ("/subscriptions/s/resourcegroups/g", 2),
            ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Databricks/workspaces/w", 5),
        ] {
            assert_eq!(Scope::parse(text).map(|it| it.values.len()), Some(values), "{text}");
        }
        for text in ["", "/", "subscriptions/s", "/subscriptions/", "/providers/x", "/subscriptions/s/../x"] {
            assert!(Scope::parse(text).is_none(), "{text}");
        }
    }
}

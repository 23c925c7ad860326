//! Permissions on jobs, pipelines, repositories and folders: <https://docs.databricks.com/api/workspace/permissions>.
//!
//! A resource is one entry of an access list; inherited entries are not managed. `PATCH` adds or changes an entry
//! without touching others. The API cannot delete an entry: the whole list is written without it, with all other
//! entries unchanged.

use super::{Context, Object, Observation};
use crate::attributes::{attributes, text, text_of};
use crate::principal::{is_same, normalized_as};
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Path, ProviderError, Recorded, Value};

/// The kinds of objects, and their permission levels.
const LEVELS: [(&str, &[&str]); 4] = [
    ("jobs", &["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"]),
    ("pipelines", &["CAN_VIEW", "CAN_RUN", "CAN_MANAGE", "IS_OWNER"]),
    ("repos", &["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"]),
    ("directories", &["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"]),
];

/// Maximum number of attempts to write a list that another process changes at the same time.
const MAX_ATTEMPTS: usize = 4;

pub(crate) struct Permission;

/// A direct entry of an access list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    field: &'static str,
    name: String,
    level: String,
}

impl Entry {
    fn to_json(&self) -> Json {
        json!({self.field: self.name, "permission_level": self.level})
    }
}

/// The API's field for a kind of principal.
fn field(kind: &str) -> Option<&'static str> {
    match kind {
        "user" => Some("user_name"),
        "group" => Some("group_name"),
        "servicePrincipal" => Some("service_principal_name"),
        _ => None,
    }
}

fn request(method: fn(&'static str, &[&str]) -> Request, named: &Attributes) -> Request {
    method("/api/2.0/permissions/{type}/{id}", &[&text(named, "objectType"), &text(named, "objectId")])
}

fn object(named: &Attributes) -> String {
    format!("{}/{}", text(named, "objectType"), text(named, "objectId"))
}

fn purpose(action: &str, named: &Attributes) -> Purpose {
    Purpose::to(format!("{action} {} on {}", text(named, "principal"), object(named)))
        .needs(format!("grant CAN_MANAGE on {}, or IS_OWNER", object(named)))
}

fn entries(list: &Json) -> Vec<Entry> {
    let rows = list.get("access_control_list").and_then(Json::as_array).cloned().unwrap_or_default();
    let direct = |row: &Json| {
        let field =
            ["user_name", "group_name", "service_principal_name"].into_iter().find(|it| row.get(it).is_some())?;
        let levels = row.get("all_permissions")?.as_array()?;
        let own = levels.iter().find(|it| it.get("inherited").and_then(Json::as_bool) != Some(true))?;
        Some(Entry { field, name: text_of(row, field).to_owned(), level: text_of(own, "permission_level").to_owned() })
    };
    rows.iter().filter_map(direct).collect()
}

impl Permission {
    async fn list(context: &Context<'_>, named: &Attributes) -> Result<Option<Vec<Entry>>, ProviderError> {
        let request = request(Request::get, named);
        let answer = context.read_optional(&request, &format!("read the permissions on {}", object(named))).await?;
        Ok(answer.map(|list| entries(&list)))
    }

    async fn grant(context: &Context<'_>, planned: &Attributes) -> Result<(), ProviderError> {
        let name = field(&text(planned, "principalKind")).unwrap_or("user_name");
        let entry = Entry { field: name, name: text(planned, "principal"), level: text(planned, "level") };
        let request =
            request(Request::patch, planned).json(json!({"access_control_list": [entry.to_json()]})).idempotent();
        let purpose = purpose(&format!("grant {} to", entry.level), planned).at(Path::attribute("principal"));
        let _guard = context.workspace.access.lock().await;
        context.send(&request, &purpose).await.map(drop)
    }
}

fn is_match(entry: &Entry, named: &Attributes) -> bool {
    let (kind, name) = (text(named, "principalKind"), text(named, "principal"));
    Some(entry.field) == field(&kind) && normalized_as(&kind, &entry.name) == normalized_as(&kind, &name)
}

#[async_trait]
impl Object for Permission {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        let given = |name: &str| planned.get(name).and_then(Value::as_str);
        let refused = |name: &str, message: String| Err(ProviderError::invalid(Some(Path::attribute(name)), message));
        if let Some(kind) = given("principalKind").filter(|kind| field(kind).is_none()) {
            let known = listed(&["user", "group", "servicePrincipal"]);
            return refused("principalKind", format!("`{kind}` is not a kind of principal: expected one of {known}"));
        }
        let Some(ty) = given("objectType") else { return Ok(()) };
        let Some((_, levels)) = LEVELS.iter().find(|(known, _)| *known == ty) else {
            let known: Vec<&str> = LEVELS.iter().map(|(known, _)| *known).collect();
            return refused(
                "objectType",
                format!("`{ty}` is not a type of object: expected one of {}", listed(&known)),
            );
        };
        match given("level") {
            Some(level) if !levels.contains(&level) => refused(
                "level",
                format!("`{level}` is not a permission level of {ty}: expected one of {}", listed(levels)),
            ),
            Some("IS_OWNER") if given("principalKind") == Some("group") => {
                refused("level", "a group cannot be the owner".to_owned())
            }
            _ => Ok(()),
        }
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        _like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let entries = Self::list(context, named).await?.unwrap_or_default();
        let Some(entry) = entries.into_iter().find(|entry| is_match(entry, named)) else { return Ok(None) };
        let mut observed = Attributes::default();
        for name in ["workspaceUrl", "objectType", "objectId", "principalKind", "principal"] {
            observed.insert(name.to_owned(), text(named, name).into());
        }
        observed.extend(attributes([("level", entry.level.as_str().into())]));
        Ok(Some(Observation {
            attributes: observed,
            private: private.clone(),
            held: vec![entry.level],
            ..Observation::default()
        }))
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        Self::grant(context, planned).await?;
        Ok((Attributes::default(), PrivateData::default()))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        _present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        Self::grant(context, planned).await?;
        Ok(PrivateData::of(&prior.private))
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        if let [level, ..] = private.preexisting.as_slice() {
            // Restore the earlier level if it differs.
            return match self.read(context, prior, prior, private).await? {
                Some(observed) if observed.held != private.preexisting => {
                    let before = attributes([("level", level.as_str().into())]);
                    let planned: Attributes = prior.clone().into_iter().chain(before).collect();
                    Self::grant(context, &planned).await
                }
                _ => Ok(()),
            };
        }
        let me = context.workspace.me(&context.within).await?.to_owned();
        let _guard = context.workspace.access.lock().await;
        for _ in 0..MAX_ATTEMPTS {
            let Some(list) = Self::list(context, prior).await? else { return Ok(()) };
            let Some(removed) = list.iter().find(|entry| is_match(entry, prior)) else { return Ok(()) };
            if is_same(&removed.name, &me) {
                // The instance's principal would lock itself out.
                return Ok(());
            }
            let mut remaining: Vec<Entry> = list.iter().filter(|entry| *entry != removed).cloned().collect();
            if removed.level == "IS_OWNER" {
                // An object needs an owner: the instance's principal becomes the owner again.
                remaining.retain(|entry| !is_same(&entry.name, &me));
                let field = if me.contains('@') { "user_name" } else { "service_principal_name" };
                remaining.push(Entry { field, name: me.clone(), level: "IS_OWNER".to_owned() });
            }
            let body: Vec<Json> = remaining.iter().map(Entry::to_json).collect();
            let request = request(Request::put, prior).json(json!({"access_control_list": body})).idempotent();
            context.send(&request, &purpose("remove the permission of", prior)).await?;
            // Another process may have changed the list between the read and the write.
            let now = Self::list(context, prior).await?.unwrap_or_default();
            if !now.iter().any(|entry| is_match(entry, prior)) {
                return Ok(());
            }
        }
        Err(ProviderError::new(
            terrace_provider::ErrorKind::Failed,
            format!(
                "{} still has a permission on {}: another process keeps changing the list",
                text(prior, "principal"),
                object(prior)
            ),
        ))
    }

    /// Permissions are idempotent, and there was no entry before.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        observed: &Observation,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(text(&observed.attributes, "level") == text(planned, "level"))
    }
}

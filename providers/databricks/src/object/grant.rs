//! Privileges on objects of Unity Catalog: <https://docs.databricks.com/api/workspace/grants>.

use super::azure::{self, takes_existing};
use super::{Context, Object, Observation};
use crate::attributes::{attributes, list, text, text_of, texts};
use crate::principal;
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Path, ProviderError, Recorded, Value};

/// Kinds of securables, and the number of parts of their names.
const TYPES: [(&str, usize); 5] = [("catalog", 1), ("schema", 2), ("table", 3), ("volume", 3), ("function", 3)];

pub(crate) struct Grant;

/// Returns the privileges on a securable by principal; empty if the securable does not exist.
pub(crate) async fn holders(
    context: &Context<'_>,
    named: &Attributes,
    principal: Option<&str>,
) -> Result<Vec<(String, Vec<String>)>, ProviderError> {
    let request = Request::get("/api/2.1/unity-catalog/permissions/{type}/{name}", &[&ty(named), &full_name(named)]);
    // The API's filter is case-sensitive, but some principals are not.
    let filter = principal.filter(|name| !principal::is_case_insensitive(name));
    let request = filter.into_iter().fold(request, |request, name| request.query("principal", name));
    let next = |page: &Json| terrace_provider::http::Next::token(page, "next_page_token", "page_token");
    let rows = context.workspace.api.items(request, &context.within, "privilege_assignments", next).await;
    let purpose = Purpose::read(format!("read the grants on {}", shown(named)));
    let rows = match rows.map_err(|failure| context.workspace.api.error(&failure, &purpose)) {
        Err(error) if error.kind == terrace_provider::ErrorKind::NotFound => return Ok(Vec::new()),
        rows => rows?,
    };
    let privileges = |row: &Json| {
        let items = row.get("privileges").and_then(Json::as_array).cloned().unwrap_or_default();
        // The API has also returned names with spaces.
        let mut names: Vec<String> = items.iter().filter_map(Json::as_str).map(|name| name.replace(' ', "_")).collect();
        names.sort();
        names
    };
    Ok(rows.iter().map(|row| (text_of(row, "principal").to_owned(), privileges(row))).collect())
}

fn ty(named: &Attributes) -> String {
    text(named, "securableType").to_lowercase()
}

fn full_name(named: &Attributes) -> String {
    text(named, "fullName").to_lowercase()
}

fn shown(named: &Attributes) -> String {
    format!("the {} {}", ty(named), full_name(named))
}

/// Returns the privileges of the attributes' principal.
pub(super) async fn held(context: &Context<'_>, named: &Attributes) -> Result<Vec<String>, ProviderError> {
    let principal = text(named, "principal");
    let all = holders(context, named, Some(&principal)).await?;
    let own = all.into_iter().find(|(name, _)| principal::is_same(name, &principal));
    Ok(own.map(|(_, held)| held).unwrap_or_default())
}

/// Refuses an invalid securable.
pub(super) fn check_securable(planned: &Attributes) -> Result<(), ProviderError> {
    let given = |name: &str| planned.get(name).and_then(Value::as_str);
    let refused = |name: &str, message: String| Err(ProviderError::invalid(Some(Path::attribute(name)), message));
    let Some(ty) = given("securableType") else { return Ok(()) };
    let Some((_, parts)) = TYPES.iter().find(|(known, _)| *known == ty) else {
        let known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
        let message = format!("`{ty}` is not a kind of securable: expected one of {}", listed(&known));
        return refused("securableType", message);
    };
    let Some(name) = given("fullName") else { return Ok(()) };
    let named = name.split('.').filter(|part| !part.is_empty()).count();
    if named != *parts || name.split('.').count() != *parts {
        return refused("fullName", format!("the name of a {ty} has {parts} parts, `{name}` has {named}"));
    }
    Ok(())
}

/// Refuses a malformed privilege.
pub(super) fn check_privilege(privilege: &str, path: Path) -> Result<(), ProviderError> {
    let has_valid_characters = privilege.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    if has_valid_characters && !privilege.is_empty() {
        return Ok(());
    }
    Err(ProviderError::invalid(Some(path), format!("`{privilege}` is not a privilege"))
        .solution(format!("write `{}`", privilege.trim().to_uppercase().replace(' ', "_"))))
}

/// Grants (`add`) or revokes (`remove`) privileges.
pub(super) async fn change(
    context: &Context<'_>,
    named: &Attributes,
    operation: &str,
    privileges: &[String],
) -> Result<(), ProviderError> {
    if privileges.is_empty() {
        return Ok(());
    }
    let principal = text(named, "principal");
    let body = json!({"changes": [{"principal": principal, operation: privileges}]});
    let request = Request::patch("/api/2.1/unity-catalog/permissions/{type}/{name}", &[&ty(named), &full_name(named)]);
    let action = if operation == "add" { "grant" } else { "revoke" };
    let action = format!("{action} {} on {} for {principal}", privileges.join(", "), shown(named));
    let purpose = Purpose::to(action).at(Path::attribute("principal")).needs(format!(
        "ask its owner to run: GRANT MANAGE ON {} {} TO `<principal of the instance>`",
        ty(named).to_uppercase(),
        crate::sql::qualified(&full_name(named))
    ));
    context.send(&request.json(body).idempotent(), &purpose).await.map(drop)
}

#[async_trait]
impl Object for Grant {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        check_securable(planned)?;
        for (index, privilege) in texts(planned, "privileges").iter().enumerate() {
            check_privilege(privilege, Path::attribute("privileges").index(index))?;
        }
        match planned.get("privileges").and_then(Value::as_list) {
            Some([]) => {
                let message = "a grant needs at least one privilege";
                Err(ProviderError::invalid(Some(Path::attribute("privileges")), message))
            }
            _ => Ok(()),
        }
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let held = held(context, named).await?;
        if held.is_empty() {
            return Ok(None);
        }
        let wanted = texts(like, "privileges");
        // Hide privileges that existed before terrace and are not configured.
        let is_shown =
            |name: &String| wanted.is_empty() || wanted.contains(name) || !private.preexisting.contains(name);
        let mut shown: Vec<String> = held.iter().filter(|name| is_shown(name)).cloned().collect();
        let mut sorted = wanted.clone();
        sorted.sort();
        if sorted == shown {
            shown = wanted;
        }
        let mut observed = Attributes::default();
        for name in ["workspaceUrl", "metastoreId", "securableType", "fullName", "principal"] {
            observed.insert(name.to_owned(), text(named, name).into());
        }
        observed.extend(attributes([("privileges", list(&shown)), azure::shown(like)]));
        Ok(Some(Observation { attributes: observed, private: private.clone(), held, ..Observation::default() }))
    }

    fn adopts_existing(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    fn existed_before(&self, observed: &Observation, planned: &Attributes) -> bool {
        !texts(planned, "privileges").iter().all(|it| observed.held.contains(it))
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let before = match takes_existing(planned) {
            true => self.held(context, planned).await?,
            false => Vec::new(),
        };
        let mut missing = texts(planned, "privileges");
        missing.retain(|it| !before.contains(it));
        change(context, planned, "add", &missing).await?;
        Ok((Attributes::default(), PrivateData { preexisting: before, ..PrivateData::default() }))
    }

    /// Grants missing privileges before it revokes extra ones.
    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        let (wanted, mut private) = (texts(planned, "privileges"), PrivateData::of(&prior.private));
        // A privilege that was revoked outside terrace, and is granted again, belongs to terrace from now on.
        private.preexisting.retain(|it| present.held.contains(it));
        let missing: Vec<String> = wanted.iter().filter(|it| !present.held.contains(it)).cloned().collect();
        change(context, planned, "add", &missing).await?;
        let is_extra = |it: &&String| !wanted.contains(it) && !private.preexisting.contains(it);
        let extra: Vec<String> = present.held.iter().filter(is_extra).cloned().collect();
        change(context, planned, "remove", &extra).await?;
        Ok(private)
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let Some(observed) = self.read(context, prior, &Attributes::default(), &PrivateData::default()).await? else {
            return Ok(());
        };
        let ours: Vec<String> = observed.held.into_iter().filter(|it| !private.preexisting.contains(it)).collect();
        change(context, prior, "remove", &ours).await
    }

    /// Grants are idempotent, and the privileges were not held before.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        observed: &Observation,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        let (wanted, before) = (texts(planned, "privileges"), &observed.private.preexisting);
        let is_expected = |it: &String| wanted.contains(it) || before.contains(it);
        Ok(wanted.iter().all(|it| observed.held.contains(it)) && observed.held.iter().all(is_expected))
    }
}

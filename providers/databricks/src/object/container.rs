//! Catalogs and schemas: <https://docs.databricks.com/api/workspace/catalogs>, <https://docs.databricks.com/api/workspace/schemas>.
//! Unity Catalog stores names in lower case.

use super::azure::{self, takes_existing};
use super::contents;
use super::{Context, Object, Observation, plan_recreated, time_of};
use crate::attributes::{attributes, id_of, is_managed, of_json, optional_text, put, text, text_of};
use crate::principal;
use crate::private::PrivateData;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{
    Attributes, DataAmount, ErrorKind, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value,
};

/// A catalog or a schema.
pub(crate) struct Container {
    word: &'static str,
    all: &'static str,
    one: &'static str,
    has_catalog: bool,
    /// The attribute, and the API's field, that differ after a recreation. Catalogs have no id.
    incarnation: (&'static str, &'static str),
}

pub(crate) const CATALOG: Container = Container {
    word: "catalog",
    all: "/api/2.1/unity-catalog/catalogs",
    one: "/api/2.1/unity-catalog/catalogs/{name}",
    has_catalog: false,
    incarnation: ("createdAt", "created_at"),
};
pub(crate) const SCHEMA: Container = Container {
    word: "schema",
    all: "/api/2.1/unity-catalog/schemas",
    one: "/api/2.1/unity-catalog/schemas/{name}",
    has_catalog: true,
    incarnation: ("schemaId", "schema_id"),
};

/// Refuses names that Unity Catalog does not accept:
/// <https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-names>.
pub(crate) fn check_name(name: &str, path: Path) -> Result<(), ProviderError> {
    let refused = |reason: String| {
        Err(ProviderError::invalid(Some(path), format!("`{name}` is invalid in Unity Catalog: {reason}")))
    };
    match name.chars().find(|c| matches!(c, '.' | ' ' | '/') || c.is_control()) {
        _ if name.is_empty() => refused("it is empty".to_owned()),
        _ if name.chars().count() > 255 => refused("it has more than 255 characters".to_owned()),
        Some(c) => refused(format!("it contains {c:?}")),
        None => Ok(()),
    }
}

/// Checks the known names among the attributes.
pub(crate) fn check_names(planned: &Attributes, names: &[&str]) -> Result<(), ProviderError> {
    let known = names.iter().filter_map(|name| Some((name, planned.get(*name)?.as_str()?)));
    known.into_iter().try_for_each(|(name, value)| check_name(value, Path::attribute(name)))
}

impl Container {
    fn full_name(&self, named: &Attributes) -> String {
        let name = text(named, "name");
        let name = if self.has_catalog { format!("{}.{name}", text(named, "catalog")) } else { name };
        name.to_lowercase()
    }

    async fn get(&self, context: &Context<'_>, named: &Attributes) -> Result<Option<Json>, ProviderError> {
        let name = self.full_name(named);
        context.read_optional(&Request::get(self.one, &[&name]), &format!("read the {} `{name}`", self.word)).await
    }
}

/// Returns the configured spelling if it equals the observed value: null equals the empty string, and a folder may end
/// with a slash.
fn in_configured_spelling(given: Option<&Value>, read: Value) -> Value {
    let bare = |value: &Value| value.as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    match given.filter(|given| given.as_str().is_some() && bare(given) == bare(&read)) {
        Some(given) => given.clone(),
        None => read,
    }
}

fn is_same_owner(given: &Value, read: &Value) -> bool {
    matches!((given.as_str(), read.as_str()), (Some(given), Some(read)) if principal::is_same(given, read))
}

#[async_trait]
impl Object for Container {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        check_names(planned, &["name", "catalog"])
    }

    fn plan(&self, change: &ProposedChange<'_>, planned: &mut PlannedChange) -> Result<(), ProviderError> {
        plan_recreated(change, planned, self.incarnation.0);
        Ok(())
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let Some(remote) = self.get(context, named).await? else { return Ok(None) };
        let mut observed = attributes([
            ("workspaceUrl", text(named, "workspaceUrl").into()),
            ("metastoreId", text(named, "metastoreId").into()),
            ("name", text(named, "name").into()),
            ("fullName", self.full_name(named).into()),
            azure::shown(like),
        ]);
        if self.has_catalog {
            observed.insert("catalog".to_owned(), text(named, "catalog").into());
        }
        for (name, field) in [("comment", "comment"), ("owner", "owner"), ("storageRoot", "storage_root")] {
            if is_managed(like, name) {
                let read = of_json(&remote, field);
                let given = like.get(name).filter(|given| name == "owner" && is_same_owner(given, &read));
                let shown = given.cloned().unwrap_or_else(|| in_configured_spelling(like.get(name), read));
                observed.insert(name.to_owned(), shown);
            }
        }
        if let Some(like) = like.get("properties").and_then(Value::as_map) {
            // Unmanaged properties are ignored.
            let known = |name: &String| Some((name.clone(), of_json(remote.get("properties")?, name)));
            let shown: Attributes = like.keys().filter_map(known).filter(|(_, value)| !value.is_null()).collect();
            observed.insert("properties".to_owned(), shown.into());
        }
        let (attribute, field) = self.incarnation;
        let identifier = time_of(&remote, field).map(|at| at.to_string()).or_else(|| id_of(&remote, field));
        observed.insert(attribute.to_owned(), identifier.as_deref().map_or(Value::Null, Value::from));
        Ok(Some(Observation {
            attributes: observed,
            private: PrivateData { incarnation: private.incarnation.clone().or(identifier), ..private.clone() },
            created_by: Some(text_of(&remote, "created_by").to_owned()),
            created_at: time_of(&remote, "created_at"),
            ..Observation::default()
        }))
    }

    fn adopts_existing(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        if takes_existing(planned)
            && let Some(remote) = self.get(context, planned).await?
        {
            return self.adopt(context, planned, &remote).await.map(|private| (Attributes::default(), private));
        }
        let mut body = json!({"name": text(planned, "name").to_lowercase()});
        if self.has_catalog {
            put(&mut body, "catalog_name", text(planned, "catalog").to_lowercase());
        }
        for (name, field) in [("comment", "comment"), ("storageRoot", "storage_root"), ("properties", "properties")] {
            if let Some(value) = planned.get(name).filter(|value| !value.has_unknown()) {
                put(&mut body, field, value.to_revealed_json());
            }
        }
        let name = self.full_name(planned);
        let right = match self.has_catalog {
            true => format!(
                "GRANT CREATE SCHEMA ON CATALOG {} TO `<principal of the instance>`",
                crate::sql::quote(&text(planned, "catalog"))
            ),
            false => "GRANT CREATE CATALOG ON METASTORE TO `<principal of the instance>`".to_owned(),
        };
        let purpose = Purpose::to(format!("create the {} `{name}`", self.word)).needs(right);
        context.send(&Request::post(self.all, &[]).json(body), &purpose).await?;
        if let Some(owner) = optional_text(planned, "owner") {
            // The object exists now: ignore a cancellation between the two requests, and report any error as ambiguous.
            let context = Context { within: context.within.without_cancellation(), ..*context };
            self.patch(&context, planned, json!({"owner": owner})).await.map_err(|error| {
                let error = ProviderError { kind: ErrorKind::Ambiguous, ..error };
                error.problem(format!("the {} `{name}` was created, but `{owner}` is not its owner", self.word))
            })?;
        }
        Ok((Attributes::default(), PrivateData::default()))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        _present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        let mut body = json!({});
        let recorded = |name: &str| prior.attributes.get(name).filter(|value| !value.is_null());
        for name in ["comment", "owner"] {
            match (planned.get(name).and_then(Value::as_str), recorded(name)) {
                (Some(new), old) if old.and_then(Value::as_str) != Some(new) => put(&mut body, name, new),
                // The owner cannot be removed.
                (None, Some(_)) if name == "comment" => put(&mut body, name, ""),
                _ => {}
            }
        }
        let (old, new) = (recorded("properties"), planned.get("properties"));
        if new.is_some_and(|new| old.is_none_or(|old| !old.is_same_as(new))) || (new.is_none() && old.is_some()) {
            // The request replaces all properties: send unmanaged ones unchanged.
            let remote = self.get(context, planned).await?.unwrap_or_default();
            let mut all = remote.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
            for name in old.and_then(Value::as_map).into_iter().flat_map(|old| old.keys()) {
                all.shift_remove(name);
            }
            for (name, value) in new.and_then(Value::as_map).into_iter().flatten() {
                all.insert(name.clone(), value.to_revealed_json());
            }
            put(&mut body, "properties", all);
        }
        // Without a change, the update only records an object that was recreated outside terrace.
        if body.as_object().is_some_and(|body| !body.is_empty()) {
            self.patch(context, planned, body).await?;
        }
        // The next read records the id or time of the object.
        Ok(PrivateData { preexisting: PrivateData::of(&prior.private).preexisting, ..PrivateData::default() })
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        removes_data: bool,
    ) -> Result<(), ProviderError> {
        if !private.preexisting.is_empty() {
            return Ok(());
        }
        let name = self.full_name(prior);
        let request = Request::delete(self.one, &[&name]).query("force", removes_data);
        let purpose = Purpose::to(format!("delete the {} `{name}`", self.word));
        context
            .remove(request, &purpose.needs(format!("ask the owner of the {} `{name}` to delete it", self.word)))
            .await
    }

    async fn count(&self, context: &Context<'_>, named: &Attributes) -> Result<DataAmount, ProviderError> {
        let name = self.full_name(named);
        match name.split_once('.').filter(|_| self.has_catalog) {
            Some((catalog, schema)) => contents::of_schema(context, catalog, schema).await,
            None => contents::of_catalog(context, &name).await,
        }
    }
}

impl Container {
    /// Adopts an existing object, and applies the configured comment, owner and properties.
    async fn adopt(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
        remote: &Json,
    ) -> Result<PrivateData, ProviderError> {
        let mut body = json!({});
        for name in ["comment", "owner"] {
            if let Some(wanted) = optional_text(planned, name).filter(|wanted| text_of(remote, name) != wanted) {
                put(&mut body, name, wanted);
            }
        }
        let before = remote.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
        let mut all = before.clone();
        for (name, value) in planned.get("properties").and_then(Value::as_map).into_iter().flatten() {
            all.insert(name.clone(), value.to_revealed_json());
        }
        if all != before {
            put(&mut body, "properties", all);
        }
        if body.as_object().is_some_and(|body| !body.is_empty()) {
            self.patch(context, planned, body).await?;
        }
        Ok(PrivateData { preexisting: vec![self.full_name(planned)], ..PrivateData::default() })
    }

    async fn patch(&self, context: &Context<'_>, named: &Attributes, body: Json) -> Result<(), ProviderError> {
        let name = self.full_name(named);
        let request = Request::patch(self.one, &[&name]).json(body).idempotent();
        let purpose = Purpose::to(format!("change the {} `{name}`", self.word));
        let right = format!(
            "GRANT MANAGE ON {} {} TO `<principal of the instance>`",
            self.word.to_uppercase(),
            crate::sql::qualified(&name)
        );
        context.send(&request, &purpose.needs(right)).await.map(drop)
    }
}

//! Sources: `*_add_source`, `*_update_source`, `*_drop_source`
//! (<https://hasura.io/docs/2.0/api-reference/metadata-api/source/>).

mod configuration;
mod desired;

pub(crate) use desired::Desired;

use super::Target;
use crate::attributes::{is_given, json, without_nulls};
use crate::config::SnowflakeDefaults;
use crate::engine::{Change, Decision, Engine};
use crate::export::{Export, Source, prefix_of};
use configuration::{canonical, overlay, projected};
use serde_json::{Value as Json, json};
use terrace_provider::secret_half::likely_secrets;
use terrace_provider::{Attributes, Call, Path, ProviderError, Value};

/// Refuses an invalid source.
pub(crate) fn check(attributes: &Attributes, defaults: &SnowflakeDefaults) -> Result<(), ProviderError> {
    if let Some(kind) = attributes.get("kind").and_then(Value::as_str) {
        let is_right = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !is_right {
            let message = format!("`{kind}` is not a kind of source: expected `postgres` or the name of an agent");
            return Err(ProviderError::invalid(Some(Path::attribute("kind")), message)
                .solution("write `postgres`, `snowflake`, or a kind from Hasura's `list_source_kinds`"));
        }
        if is_given(attributes, "connection") && kind != "snowflake" {
            let message = format!("`connection` is only for Snowflake, but the source has the kind `{kind}`");
            return Err(ProviderError::invalid(Some(Path::attribute("connection")), message)
                .solution("write `configuration` in Hasura's format"));
        }
    }
    match (is_given(attributes, "configuration"), is_given(attributes, "connection")) {
        (true, true) => {
            let message = "`configuration` and `connection` both define the connection";
            Err(ProviderError::invalid(Some(Path::attribute("connection")), message).solution("remove one of them"))
        }
        (false, false) => Err(ProviderError::invalid(None, "the source has no connection")
            .solution("write `connection` for Snowflake, or `configuration` in Hasura's format")),
        _ => Desired::of(attributes, defaults).map(drop),
    }
}

/// Its present attributes without secrets, in the form of the plan or the row.
pub(crate) fn present(
    source: &Source,
    like: Option<&Attributes>,
    secrets: &[Vec<String>],
    defaults: &SnowflakeDefaults,
) -> Attributes {
    let mut current = Attributes::default();
    current.insert("kind".to_owned(), source.kind.as_str().into());
    let full = canonical(&source.configuration);
    let is_connection = match like {
        Some(like) => is_given(like, "connection"),
        None => desired::connection_of(&full, None, defaults).is_some(),
    };
    if is_connection {
        let connection = desired::connection_of(&full, like, defaults);
        // A different connection is returned as null: absent attributes stay as recorded.
        current.insert("connection".to_owned(), connection.map_or(Value::Null, Value::Map));
    } else {
        let given = like.and_then(|like| json(like, "configuration"));
        // Unmanaged settings are left out, and secrets are not shown.
        let managed = given.as_ref().map_or_else(|| full.clone(), |given| projected(&full, &canonical(given)));
        let configured = given.as_ref().map(canonical).unwrap_or_default();
        let mut secrets = secrets.to_vec();
        // A literal password may have replaced a reference to a variable. A configured value may be shown.
        secrets.extend(likely_secrets(&managed).into_iter().filter(|path| {
            let at = |json: &Json| path.iter().try_fold(json.clone(), |json, key| json.get(key).cloned());
            at(&managed) != at(&configured)
        }));
        let shown = configuration::without_paths(&managed, &secrets);
        let is_same = given.as_ref().is_some_and(|given| without_nulls(&canonical(given)) == without_nulls(&shown));
        let shown = if is_same { given.unwrap_or(shown) } else { shown };
        current.insert("configuration".to_owned(), Value::from(shown));
    }
    let wanted = like.and_then(|like| json(like, "customization"));
    let customization = match (&wanted, like) {
        (Some(wanted), _) => Some(projected(&source.customization, wanted)),
        (None, None) => Some(source.customization.clone()).filter(|it| !it.is_null() && *it != json!({})),
        (None, Some(_)) => None,
    };
    if wanted.is_some() && customization.as_ref().is_none_or(Json::is_null) {
        current.insert("customization".to_owned(), Value::Null);
    }
    if let Some(customization) = customization.filter(|it| !it.is_null()) {
        let is_same = wanted.as_ref().is_some_and(|wanted| without_nulls(wanted) == without_nulls(&customization));
        let shown = if is_same { wanted.unwrap_or(customization) } else { customization };
        current.insert("customization".to_owned(), Value::from(shown));
    }
    current
}

/// Probable secrets of a source without a row.
pub(crate) fn secrets_of(source: &Source) -> Vec<Vec<String>> {
    likely_secrets(&canonical(&source.configuration))
}

/// True if a source has the planned connection, including secrets, kind and customization.
pub(crate) fn matches_plan(source: &Source, desired: &Desired, planned: &Attributes) -> bool {
    let whole = projected(&canonical(&source.configuration), &desired.full);
    let customization = json(planned, "customization").unwrap_or(Json::Null);
    planned.get("kind").and_then(Value::as_str) == Some(source.kind.as_str())
        && without_nulls(&whole) == without_nulls(&desired.full)
        && (customization.is_null() || projected(&source.customization, &customization) == customization)
}

/// True if a source matches the plan except for secrets, which an intent does not contain.
pub(crate) fn matches_visible_plan(source: &Source, planned: &Attributes, defaults: &SnowflakeDefaults) -> bool {
    let current = present(source, Some(planned), &secrets_of(source), defaults);
    let names = ["kind", "connection", "configuration", "customization"];
    let mut given = names.iter().filter(|name| is_given(planned, name));
    given.all(|name| {
        planned.get(*name).zip(current.get(*name)).is_some_and(|(wanted, current)| contains_value(current, wanted))
    })
}

/// True if all planned values match; nulls are ignored.
fn contains_value(current: &Value, wanted: &Value) -> bool {
    match (wanted.as_map(), current.as_map()) {
        (Some(wanted), Some(current)) => {
            let mut wanted = wanted.iter().filter(|(_, value)| !value.is_null());
            wanted.all(|(name, value)| current.get(name).is_some_and(|current| contains_value(current, value)))
        }
        _ => wanted.is_same_as(current),
    }
}

fn change<'a>(target: &Target, call: &'a Call, action: &str) -> Change<'a> {
    let name = target.part("name");
    Change {
        call,
        action: format!("{action} the source `{name}`"),
        import_id: Some(target.id()),
        at: None,
        names: vec![name],
        object: "source",
    }
}

pub(crate) async fn create(
    engine: &Engine,
    target: &Target,
    call: &Call,
    planned: &Attributes,
    desired: &Desired,
) -> Result<std::sync::Arc<Export>, ProviderError> {
    let name = target.part("name");
    let prefix = prefix_of(planned.get("kind").and_then(Value::as_str).unwrap_or_default()).to_owned();
    let customization = json(planned, "customization");
    let decide = |export: &Export, may_be_done: bool| {
        if let Some(source) = export.source(&name) {
            return match may_be_done && matches_plan(source, desired, planned) {
                true => Ok(Decision::Done),
                false => Err(target.exists(&format!("a source `{name}`"))),
            };
        }
        let mut args = json!({"name": name, "configuration": desired.full});
        if let (Some(args), Some(customization)) = (args.as_object_mut(), &customization) {
            args.insert("customization".to_owned(), customization.clone());
        }
        let add = json!({"type": format!("{prefix}_add_source"), "args": args});
        Ok(Decision::Do { commands: vec![add], inverse: vec![drop_command(&prefix, &name)] })
    };
    let at = if is_given(planned, "connection") { "connection" } else { "configuration" };
    let change = Change { at: Some(Path::attribute(at)), ..change(target, call, "create") };
    engine.change(&change, decide).await
}

pub(crate) async fn update(
    engine: &Engine,
    target: &Target,
    call: &Call,
    prior: &Attributes,
    planned: &Attributes,
    desired: &Desired,
) -> Result<std::sync::Arc<Export>, ProviderError> {
    let name = target.part("name");
    let before = match is_given(prior, "connection") {
        true => desired::connection_shape(),
        false => json(prior, "configuration").map(|json| canonical(&json)),
    };
    let decide = |export: &Export, _: bool| {
        let source = export.source(&name).ok_or_else(|| target.gone())?;
        let (now, customization) = (canonical(&source.configuration), json(planned, "customization"));
        let is_customization_gone = customization.is_none() && is_given(prior, "customization");
        if matches_plan(source, desired, planned) && !is_customization_gone {
            return Ok(Decision::Done);
        }
        // Unmanaged settings of the source stay.
        let configuration = overlay(&now, before.as_ref().unwrap_or(&Json::Null), &desired.full);
        let command = format!("{}_update_source", source.prefix());
        let update = |configuration: &Json, customization: Option<&Json>| {
            let mut args = json!({"name": name, "configuration": configuration});
            if let (Some(args), Some(customization)) = (args.as_object_mut(), customization) {
                args.insert("customization".to_owned(), customization.clone());
            }
            json!({"type": command, "args": args})
        };
        let wanted = customization.or_else(|| is_customization_gone.then(|| json!({})));
        let old = if source.customization.is_null() { json!({}) } else { source.customization.clone() };
        let inverse = update(&source.configuration, wanted.is_some().then_some(&old));
        Ok(Decision::Do { commands: vec![update(&configuration, wanted.as_ref())], inverse: vec![inverse] })
    };
    engine.change(&change(target, call, "change"), decide).await
}

pub(crate) async fn delete(engine: &Engine, target: &Target, call: &Call) -> Result<(), ProviderError> {
    let name = target.part("name");
    let decide = |export: &Export, _: bool| {
        let Some(source) = export.source(&name) else { return Ok(Decision::Done) };
        if !source.tables.is_empty() {
            let tables: Vec<String> =
                source.tables.iter().map(|table| crate::export::parts_of(&table.name).join(".")).collect();
            let message = format!("the source `{name}` has tables of other owners, so it stays");
            let kind = terrace_provider::ErrorKind::Failed;
            return Err(ProviderError::new(kind, message)
                .problem(format!("they are {}", terrace_provider::names::listed(&tables)))
                .solution("untrack them first; to forget the source instead, run `terrace state rm`"));
        }
        Ok(Decision::Do { commands: vec![drop_command(source.prefix(), &name)], inverse: Vec::new() })
    };
    engine.change(&change(target, call, "drop"), decide).await.map(drop)
}

fn drop_command(prefix: &str, name: &str) -> Json {
    json!({"type": format!("{prefix}_drop_source"), "args": {"name": name, "cascade": false}})
}

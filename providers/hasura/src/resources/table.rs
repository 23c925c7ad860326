//! Tables: `*_track_table`, `*_set_table_customization`, `*_set_apollo_federation_config`, `*_untrack_table`
//! (<https://hasura.io/docs/2.0/api-reference/metadata-api/table-view/>).

mod key;

use super::{Target, source_in};
use crate::attributes::{flag, is_given, json, optional_text, without_nulls};
use crate::engine::{Change, Decision, Engine};
use crate::export::{Export, Source, Table, name_of, parts_of};
use crate::names;
use serde_json::{Map as JsonMap, Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Attributes, Call, Map, Path, ProviderError, Value};

/// Root fields by attribute name, with Hasura's names.
const ROOT_FIELDS: [(&str, &str); 4] = [
    ("select", "select"),
    ("selectByPk", "select_by_pk"),
    ("selectAggregate", "select_aggregate"),
    ("selectStream", "select_stream"),
];
/// Default root fields of a table with a custom name, and their suffixes.
const DERIVED: [(&str, &str); 2] = [("select", ""), ("selectAggregate", "_aggregate")];
/// Texts by attribute name, with Hasura's names.
const TEXTS: [(&str, &str); 2] = [("customName", "custom_name"), ("comment", "comment")];

/// Refuses invalid GraphQL names, and one name for two root fields.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    if let Some(name) = attributes.get("customName").and_then(Value::as_str) {
        names::check(name, &Path::attribute("customName"))?;
    }
    let fields = root_fields(attributes);
    for (index, (attribute, name)) in fields.iter().enumerate() {
        let at = Path::attribute("rootFields").key(attribute);
        names::check(name, &at)?;
        if let Some((other, _)) = fields.iter().take(index).find(|(_, other)| other == name) {
            return Err(ProviderError::invalid(
                Some(at),
                format!("`{attribute}` and `{other}` are both named `{name}`"),
            )
            .solution("give each root field its own name"));
        }
    }
    match attributes.get("columnConfig").map(Value::exposed) {
        None | Some(Value::Map(_) | Value::Null | Value::Unknown) => Ok(()),
        Some(_) => Err(ProviderError::invalid(Some(Path::attribute("columnConfig")), "`columnConfig` is not a map")
            .solution("write a map such as `{ID: {custom_name: id}}`")),
    }
}

/// The configured root fields with known names.
fn root_fields(attributes: &Attributes) -> Vec<(&'static str, String)> {
    let Some(fields) = attributes.get("rootFields").and_then(Value::as_map) else { return Vec::new() };
    ROOT_FIELDS.iter().filter_map(|(attribute, _)| Some((*attribute, optional_text(fields, attribute)?))).collect()
}

/// The name of a root field: `"orders"`, or `{"name": "orders", "comment": …}`.
fn field_name(json: &Json) -> Option<&str> {
    json.as_str().or_else(|| json.get("name").and_then(Json::as_str))
}

/// Its present attributes, limited to the managed ones; all of them without a configuration.
pub(crate) fn present(table: &Table, like: Option<&Attributes>) -> Attributes {
    let mut current = Attributes::default();
    let is_wanted = |name: &str| like.is_none_or(|like| is_given(like, name));
    for (attribute, key) in TEXTS {
        if is_wanted(attribute) {
            // A missing text is returned as null: absent attributes stay as recorded.
            let text = table.configuration.get(key).and_then(Json::as_str);
            current.insert(attribute.to_owned(), text.map_or(Value::Null, Value::from));
        }
    }
    let wanted = like.and_then(|like| like.get("rootFields")).and_then(Value::as_map);
    let fields = ROOT_FIELDS.iter().filter_map(|(attribute, key)| {
        let name = table.configuration.get("custom_root_fields")?.get(key).and_then(field_name)?;
        let is_wanted = like.is_none() || wanted.is_some_and(|wanted| is_given(wanted, attribute));
        is_wanted.then(|| ((*attribute).to_owned(), Value::from(name)))
    });
    let fields: Map = fields.collect();
    if !fields.is_empty() || wanted.is_some() {
        current.insert("rootFields".to_owned(), Value::Map(fields));
    }
    let columns = table.configuration.get("column_config").and_then(Json::as_object).cloned().unwrap_or_default();
    let given = like.and_then(|like| json(like, "columnConfig"));
    let columns: JsonMap<String, Json> = match &given {
        Some(given) => columns.into_iter().filter(|(column, _)| given.get(column).is_some()).collect(),
        None if like.is_none() => columns,
        None => JsonMap::new(),
    };
    let columns = without_nulls(&Json::Object(columns));
    if given.is_some() || columns.as_object().is_some_and(|columns| !columns.is_empty()) {
        let is_same = given.as_ref().is_some_and(|given| without_nulls(given) == columns);
        let shown = if is_same { given.unwrap_or(columns) } else { columns };
        current.insert("columnConfig".to_owned(), Value::from(shown));
    }
    current.insert("apolloFederation".to_owned(), (!table.apollo_federation_config.is_null()).into());
    current
}

/// A table's configuration with the planned values; unmanaged keys stay.
fn configuration(now: &JsonMap<String, Json>, prior: Option<&Attributes>, planned: &Attributes) -> Json {
    let mut merged = now.clone();
    // Hasura derives these from the configuration of columns.
    merged.remove("custom_column_names");
    let was = |name: &str| prior.is_some_and(|prior| is_given(prior, name));
    for (attribute, key) in TEXTS {
        match optional_text(planned, attribute) {
            Some(text) => drop(merged.insert(key.to_owned(), text.into())),
            None if was(attribute) => drop(merged.remove(key)),
            None => {}
        }
    }
    let mut fields = match merged.remove("custom_root_fields") {
        Some(Json::Object(fields)) => fields,
        _ => JsonMap::new(),
    };
    let (wanted, before) = (root_fields(planned), prior.map(root_fields).unwrap_or_default());
    for (attribute, key) in ROOT_FIELDS {
        let name =
            |fields: &[(&str, String)]| fields.iter().find(|(it, _)| *it == attribute).map(|(_, name)| name.clone());
        match name(&wanted) {
            Some(name) if fields.get(key).and_then(field_name) == Some(name.as_str()) => {}
            Some(name) => drop(fields.insert(key.to_owned(), name.into())),
            None if name(&before).is_some() => drop(fields.remove(key)),
            None => {}
        }
    }
    let mut columns = match merged.remove("column_config") {
        Some(Json::Object(columns)) => columns,
        _ => JsonMap::new(),
    };
    let of = |attributes: &Attributes| match json(attributes, "columnConfig") {
        Some(Json::Object(columns)) => columns,
        _ => JsonMap::new(),
    };
    let (wanted, before) = (of(planned), prior.map(of).unwrap_or_default());
    columns.retain(|column, _| wanted.contains_key(column) || !before.contains_key(column));
    columns.extend(wanted);
    for (key, entries) in [("custom_root_fields", fields), ("column_config", columns)] {
        if !entries.is_empty() {
            merged.insert(key.to_owned(), Json::Object(entries));
        }
    }
    Json::Object(merged)
}

fn apollo(planned: &Attributes) -> Json {
    if flag(planned, "apolloFederation") { json!({"enable": "v1"}) } else { Json::Null }
}

/// Refuses a root field that the source does not support.
fn check_stream_support(source: &Source, planned: &Attributes) -> Result<(), ProviderError> {
    let has_stream = root_fields(planned).iter().any(|(attribute, _)| *attribute == "selectStream");
    if !has_stream || source.is_postgres() {
        return Ok(());
    }
    let at = Path::attribute("rootFields").key("selectStream");
    let message = format!("the source `{}` of the kind `{}` cannot stream rows", source.name, source.kind);
    Err(ProviderError::invalid(Some(at), message)
        .solution("remove `selectStream`: only PostgreSQL sources can stream rows"))
}

/// The planned root fields with their attributes. A root field without a name gets its name from the table.
fn planned_root_fields(planned: &Attributes) -> Vec<(Path, String)> {
    let configured = root_fields(planned);
    let is_configured = |name: &str| configured.iter().any(|(attribute, _)| *attribute == name);
    let of_name = optional_text(planned, "customName").into_iter().flat_map(|name| {
        let derived = DERIVED.iter().filter(|(attribute, _)| !is_configured(attribute));
        derived.map(|(_, suffix)| (Path::attribute("customName"), format!("{name}{suffix}"))).collect::<Vec<_>>()
    });
    let configured =
        configured.iter().map(|(attribute, name)| (Path::attribute("rootFields").key(attribute), name.clone()));
    configured.chain(of_name).collect()
}

/// True if a tracked table has this root field.
fn has_root_field(table: &Table, name: &str) -> bool {
    let fields = table.configuration.get("custom_root_fields").and_then(Json::as_object);
    let name_of_field = |key: &str| fields?.get(key).and_then(field_name);
    let custom = table.configuration.get("custom_name").and_then(Json::as_str);
    let of_name = |(attribute, suffix): &(&str, &str)| {
        let key = ROOT_FIELDS.iter().find(|(own, _)| own == attribute).map_or("", |(_, key)| key);
        name_of_field(key).is_none() && custom.and_then(|custom| name.strip_prefix(custom)) == Some(suffix)
    };
    ROOT_FIELDS.iter().any(|(_, key)| name_of_field(key) == Some(name)) || DERIVED.iter().any(of_name)
}

/// Refuses a root field of another table: names are unique across all sources.
fn check_unique(export: &Export, target: &Target, planned: &Attributes) -> Result<(), ProviderError> {
    for (at, name) in planned_root_fields(planned) {
        for source in export.sources() {
            for table in &source.tables {
                let parts = parts_of(&table.name);
                if source.name == target.part("source") && parts == target.table() {
                    continue;
                }
                if has_root_field(table, &name) {
                    let message = format!("Hasura already has a root field `{name}`");
                    return Err(ProviderError::invalid(Some(at), message)
                        .problem(format!("the table `{}` of the source `{}` has it", parts.join("."), source.name))
                        .solution("give it another name: root fields are unique across all sources"));
                }
            }
        }
    }
    Ok(())
}

/// Checks planned values before the apply.
pub(crate) async fn validate(engine: &Engine, target: &Target, planned: &Attributes) -> Result<bool, ProviderError> {
    let export = engine.export().await?;
    check_unique(&export, target, planned)?;
    let Some(source) = export.source(&target.part("source")) else { return Ok(false) };
    check_stream_support(source, planned)?;
    key::check(engine, source, target, planned).await?;
    Ok(true)
}

fn change<'a>(target: &Target, call: &'a Call, action: &str) -> Change<'a> {
    let (source, table) = (target.part("source"), target.table().join("."));
    Change {
        call,
        action: format!("{action} the table `{table}` of the source `{source}`"),
        import_id: Some(target.id()),
        at: Some(Path::attribute("table")),
        names: vec![source, target.table().last().cloned().unwrap_or_default()],
        object: "table",
    }
}

pub(crate) async fn create(
    engine: &Engine,
    target: &Target,
    call: &Call,
    planned: &Attributes,
) -> Result<Arc<Export>, ProviderError> {
    key::check_before_change(engine, target, planned).await?;
    let parts = target.table();
    let decide = |export: &Export, may_be_done: bool| {
        let source = source_in(export, &target.part("source"))?;
        if let Some(table) = source.table(&parts) {
            return match may_be_done && matches_plan(table, planned) {
                true => Ok(Decision::Done),
                false => Err(target.exists(&format!(
                    "a tracked table `{}` in the source `{}`",
                    parts.join("."),
                    source.name
                ))),
            };
        }
        check_stream_support(source, planned)?;
        check_unique(export, target, planned)?;
        let name = name_of(source.is_postgres(), &parts);
        let mut args = json!({"source": source.name, "table": name});
        if let Some(args) = args.as_object_mut() {
            args.insert("configuration".to_owned(), configuration(&JsonMap::new(), None, planned));
            if flag(planned, "apolloFederation") {
                args.insert("apollo_federation_config".to_owned(), apollo(planned));
            }
        }
        let track = json!({"type": format!("{}_track_table", source.prefix()), "args": args});
        Ok(Decision::Do { commands: vec![track], inverse: vec![untrack_command(source, &name)] })
    };
    engine.change(&change(target, call, "track"), decide).await
}

/// True if a table matches the plan.
pub(crate) fn matches_plan(table: &Table, planned: &Attributes) -> bool {
    let mut now = table.configuration.clone();
    now.remove("custom_column_names");
    // Empty maps count as absent.
    let filled = |json: &Json| {
        let kept = json
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.as_object().is_none_or(|value| !value.is_empty()));
        without_nulls(&Json::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()))
    };
    let wanted = configuration(&table.configuration, None, planned);
    filled(&wanted) == filled(&Json::Object(now))
        && table.apollo_federation_config.is_null() != flag(planned, "apolloFederation")
}

pub(crate) async fn update(
    engine: &Engine,
    target: &Target,
    call: &Call,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<Arc<Export>, ProviderError> {
    key::check_before_change(engine, target, planned).await?;
    let decide = |export: &Export, _: bool| {
        let source = source_in(export, &target.part("source"))?;
        let table = source.table(&target.table()).ok_or_else(|| target.gone())?;
        check_stream_support(source, planned)?;
        check_unique(export, target, planned)?;
        let (prefix, name) = (source.prefix(), name_of(source.is_postgres(), &target.table()));
        let customize = |configuration: &Json| {
            let args = json!({"source": source.name, "table": name, "configuration": configuration});
            json!({"type": format!("{prefix}_set_table_customization"), "args": args})
        };
        let federate = |apollo: &Json| {
            let args = json!({"source": source.name, "table": name, "apollo_federation_config": apollo});
            json!({"type": format!("{prefix}_set_apollo_federation_config"), "args": args})
        };
        let mut now = table.configuration.clone();
        now.remove("custom_column_names");
        let now = Json::Object(now);
        let wanted = configuration(&table.configuration, Some(prior), planned);
        let (mut commands, mut inverse) = (Vec::new(), Vec::new());
        if without_nulls(&wanted) != without_nulls(&now) {
            commands.push(customize(&wanted));
            inverse.push(customize(&now));
        }
        if table.apollo_federation_config.is_null() == flag(planned, "apolloFederation") {
            commands.push(federate(&apollo(planned)));
            inverse.push(federate(&table.apollo_federation_config));
        }
        Ok(if commands.is_empty() { Decision::Done } else { Decision::Do { commands, inverse } })
    };
    let change = Change { at: None, ..change(target, call, "change") };
    engine.change(&change, decide).await
}

pub(crate) async fn delete(engine: &Engine, target: &Target, call: &Call) -> Result<(), ProviderError> {
    let decide = |export: &Export, _: bool| {
        let Some(source) = export.source(&target.part("source")) else { return Ok(Decision::Done) };
        let Some(table) = source.table(&target.table()) else { return Ok(Decision::Done) };
        Ok(Decision::Do { commands: vec![untrack_command(source, &table.name)], inverse: Vec::new() })
    };
    engine.change(&change(target, call, "untrack"), decide).await.map(drop)
}

fn untrack_command(source: &Source, table: &Json) -> Json {
    // Objects that depend on it belong to another owner, and prevent the removal.
    let args = json!({"source": source.name, "table": table, "cascade": false});
    json!({"type": format!("{}_untrack_table", source.prefix()), "args": args})
}

//! Behaviours of values with several spellings: the configured, the planned and the read value agree.

use super::behaviour::{Behaviour, Checked};
use super::bench::Bench;
use super::{Verdict, contract};
use crate::{Attribute, AttributeType, Attributes, Map, Object, Recorded, Value};

/// The first applies to every attribute of every type, the second to the spellings that a fixture declares.
pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour { name: "every spelling settles", check: |bench| Box::pin(every_spelling_settles(bench)) },
    Behaviour { name: "other spellings plan no change", check: |bench| Box::pin(spellings_plan_no_change(bench)) },
];

/// A configuration with one value in another spelling.
struct Variant {
    /// The path and the spelling: `columns/0/comment as ""`.
    label: String,
    config: Attributes,
}

/// The provider refuses each variant, or creates an object whose second plan is empty before and after a read.
async fn every_spelling_settles(bench: &Bench<'_>) -> Checked {
    let mut problems = Vec::new();
    let spelled = bench.ty.attributes.0.iter().filter(|attribute| !bench.fixture.verbatim.contains(&attribute.name));
    for Variant { label, config } in variants(&Object(spelled.cloned().collect()), &bench.fixture.config) {
        let settled = settle(bench, &config).await;
        let cleaned = bench.clean_up().await;
        if let Err(problem) = settled.and(cleaned) {
            problems.push(format!("{label}: {problem}"));
        }
    }
    if problems.is_empty() { Ok(Verdict::Shown) } else { Err(problems.join("\n    ")) }
}

/// Creates an object of each declared spelling, and plans every other spelling for it.
async fn spellings_plan_no_change(bench: &Bench<'_>) -> Checked {
    if bench.fixture.spellings.is_empty() {
        return Ok(Verdict::NotApplicable("the fixture declares no spellings"));
    }
    let mut problems = Vec::new();
    for (path, values) in &bench.fixture.spellings {
        for value in values {
            let config = with(&bench.fixture.config, path, value);
            let settled = settle(bench, &config).await;
            let compared = match settled {
                Ok(Some(recorded)) => compare(bench, path, &recorded, values).await,
                Ok(None) => Err("the provider refused it".to_owned()),
                Err(problem) => Err(problem),
            };
            let cleaned = bench.clean_up().await;
            if let Err(problem) = compared.and(cleaned) {
                problems.push(format!("{path} as {value:?}: {problem}"));
            }
        }
    }
    if problems.is_empty() { Ok(Verdict::Shown) } else { Err(problems.join("\n    ")) }
}

async fn compare(bench: &Bench<'_>, path: &str, recorded: &Recorded, values: &[Value]) -> Result<(), String> {
    for other in values {
        let config = with(&bench.fixture.config, path, other);
        let planned = bench.expect_no_change(recorded, &config).await;
        planned.map_err(|problem| format!("planned as {other:?}, {problem}"))?;
    }
    Ok(())
}

/// The object after a read; `None` if the provider refuses the configuration.
async fn settle(bench: &Bench<'_>, config: &Attributes) -> Result<Option<Recorded>, String> {
    let Some(plan) = bench.plan_unless_refused(config).await? else { return Ok(None) };
    let Some(created) = bench.create_unless_refused(&plan).await? else { return Ok(None) };
    bench.expect_no_change(&created, config).await?;
    if !bench.is_readable() {
        return Ok(Some(created));
    }
    let read = bench.read_present(&created).await?;
    if let Some(change) = contract::first_change(bench.ty, &created.attributes, &read.attributes) {
        return Err(format!("reading differs from what create returned: {change}"));
    }
    bench.expect_no_change(&read, config).await.map_err(|problem| format!("after reading, {problem}"))?;
    Ok(Some(read))
}

fn variants(object: &Object, config: &Attributes) -> Vec<Variant> {
    let mut found = Vec::new();
    add_variants(object, config, "", &mut |path, value| {
        let shown = value.to_json_text();
        found.push(Variant { label: format!("{path} as {shown}"), config: with(config, path, &value) });
    });
    found
}

fn add_variants(object: &Object, config: &Map, at: &str, found: &mut impl FnMut(&str, Value)) {
    for attribute in object.0.iter().filter(|attribute| attribute.configurable && !attribute.write_only) {
        let path = format!("{at}/{}", attribute.name);
        let value = config.get(attribute.name).filter(|value| !value.is_null());
        if !attribute.required {
            found(&path, Value::Null);
        }
        if value.is_none() {
            absent_spellings(attribute).into_iter().for_each(|value| found(&path, value));
        }
        match value {
            Some(value) if attribute.vendor_json => add_nulls(value, &path, found),
            Some(value) => add_values(&attribute.ty, value, &path, found),
            None => {}
        }
    }
}

/// Values with which authors leave an attribute out.
fn absent_spellings(attribute: &Attribute) -> Vec<Value> {
    match attribute.ty {
        AttributeType::String => vec!["".into()],
        AttributeType::List(_) => vec![Value::List(Vec::new())],
        AttributeType::Map(_) => vec![Value::Map(Map::default())],
        _ => Vec::new(),
    }
}

/// Vendor JSON with a null for each key, and with one more null key.
fn add_nulls(value: &Value, path: &str, found: &mut impl FnMut(&str, Value)) {
    let Some(entries) = value.as_map() else { return };
    for key in ["nothing"].into_iter().chain(entries.keys().map(String::as_str)) {
        found(&format!("{path}/{key}"), Value::Null);
    }
}

fn add_values(ty: &AttributeType, value: &Value, path: &str, found: &mut impl FnMut(&str, Value)) {
    match (ty, value) {
        (AttributeType::String, Value::String(text)) => {
            let mut spellings = vec![String::new(), text.to_uppercase(), text.to_lowercase()];
            spellings.extend([format!(" {text} "), format!("\"{text}\""), format!("[{text}]")]);
            spellings.retain(|spelling| spelling != text);
            spellings.into_iter().for_each(|spelling| found(path, spelling.into()));
        }
        (AttributeType::List(item), Value::List(items)) => {
            found(path, Value::List(Vec::new()));
            found(path, items.iter().chain(items.first()).cloned().collect::<Vec<_>>().into());
            if items.len() > 1 {
                found(path, items.iter().rev().cloned().collect::<Vec<_>>().into());
            }
            for (index, value) in items.iter().enumerate() {
                add_values(item, value, &format!("{path}/{index}"), found);
            }
        }
        (AttributeType::Map(item), Value::Map(entries)) => {
            found(path, Value::Map(Map::default()));
            for (key, value) in entries {
                add_values(item, value, &format!("{path}/{key}"), found);
            }
        }
        (AttributeType::Object(object), Value::Map(entries)) => add_variants(object, entries, path, found),
        _ => {}
    }
}

/// The configuration with this value at a path such as `/columns/0/type`.
fn with(config: &Attributes, path: &str, value: &Value) -> Attributes {
    let mut whole = Value::Map(config.clone());
    put(&mut whole, path.trim_start_matches('/'), value);
    match whole {
        Value::Map(config) => config,
        _ => config.clone(),
    }
}

fn put(at: &mut Value, path: &str, value: &Value) {
    let (step, rest) = path.split_once('/').map_or((path, None), |(step, rest)| (step, Some(rest)));
    let place = match at {
        Value::Map(entries) => Some(entries.entry(step.to_owned()).or_default()),
        Value::List(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        _ => None,
    };
    match (place, rest) {
        (Some(place), Some(rest)) => put(place, rest, value),
        (Some(place), None) => place.clone_from(value),
        (None, _) => {}
    }
}

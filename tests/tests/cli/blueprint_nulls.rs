//! Null in built-in blueprints: null in an optional field means the same as no field. No error points only into a
//! built-in blueprint, since users don't have its file.

use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use terrace_tests::{Project, repository};

/// Optional fields of any component.
const OF_COMPONENT: [&str; 10] = [
    "description",
    "tags",
    "dependsOn",
    "readsFrom",
    "platform",
    "technology",
    "version",
    "dataContract",
    "fullyQualifiedName",
    "outputPortType",
];
/// Optional fields of any column of a data contract.
const OF_COLUMN: [&str; 8] =
    ["description", "constraint", "tags", "precision", "scale", "dataLength", "primaryKey", "previousName"];

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    At(usize),
}

type Way = Vec<Step>;

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn yaml(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", path.display())).unwrap()
}

/// The tests of built-in blueprints, each with its blueprint.
fn tests() -> Vec<(PathBuf, PathBuf)> {
    let folders = std::fs::read_dir(repository().join("providers")).unwrap();
    let folders = folders.filter_map(|entry| std::fs::read_dir(entry.unwrap().path().join("blueprints")).ok());
    let files = folders.flatten().map(|entry| entry.unwrap().path());
    let mut tests: Vec<_> = files
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".test.yaml")?;
            Some((path.clone(), path.with_file_name(format!("{name}.yaml"))))
        })
        .collect();
    tests.sort();
    tests
}

/// The schema of `specific`, of the blueprint or of the one it extends.
fn schema(blueprint: &Path) -> Option<Json> {
    let read = yaml(blueprint);
    match &read["specific"] {
        Json::String(file) => {
            let text = std::fs::read_to_string(blueprint.with_file_name("").join(file)).unwrap();
            return Some(serde_json::from_str(&text).unwrap());
        }
        Json::Null => {}
        written => return Some(written.clone()),
    }
    let file = format!("{}.yaml", read["extends"].as_str()?);
    let extended = tests().into_iter().map(|(_, other)| other);
    extended.filter(|other| other != blueprint && other.ends_with(&file)).find_map(|other| schema(&other))
}

fn resolved<'s>(schema: &'s Json, root: &'s Json) -> &'s Json {
    match schema["$ref"].as_str() {
        Some(reference) => resolved(root.pointer(&reference[1..]).unwrap(), root),
        None => schema,
    }
}

/// Collects a schema and its subschemas for the same value.
fn parts<'s>(schema: &'s Json, root: &'s Json, found: &mut Vec<&'s Json>) {
    let schema = resolved(schema, root);
    found.push(schema);
    let branches = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|keyword| schema[keyword].as_array());
    let conditions = ["then", "else"].into_iter().filter_map(|keyword| schema.get(keyword));
    branches.flatten().chain(conditions).for_each(|part| parts(part, root, found));
}

/// Collects the paths to optional fields of a value; a list is represented by its first item.
fn optional(value: &Json, schemas: &[&Json], root: &Json, way: &Way, found: &mut Vec<Way>) {
    let mut all = Vec::new();
    schemas.iter().for_each(|schema| parts(schema, root, &mut all));
    if let Some(entries) = value.as_object() {
        let mut fields: BTreeMap<&str, (Vec<&Json>, bool)> = BTreeMap::new();
        for schema in &all {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
            let required: Vec<&str> = required.collect();
            for (name, of) in schema["properties"].as_object().into_iter().flatten() {
                let field = fields.entry(name).or_default();
                field.0.push(of);
                field.1 |= required.contains(&name.as_str());
            }
        }
        for (name, (of, is_required)) in fields {
            let inner = [way.as_slice(), &[key(name)]].concat();
            if !is_required {
                found.push(inner.clone());
            }
            if let Some(value) = entries.get(name) {
                optional(value, &of, root, &inner, found);
            }
        }
    } else if let Some(first) = value.as_array().and_then(|items| items.first()) {
        let items: Vec<&Json> = all.iter().filter_map(|schema| schema.get("items")).collect();
        optional(first, &items, root, &[way.as_slice(), &[Step::At(0)]].concat(), found);
    }
}

/// Sets a field to null or removes it.
fn set(value: &mut Json, way: &[Step], has_null: bool) {
    match way {
        [Step::Key(name)] => {
            let Some(entries) = value.as_object_mut() else { return };
            match has_null {
                true => drop(entries.insert(name.clone(), Json::Null)),
                false => drop(entries.shift_remove(name)),
            }
        }
        [Step::Key(name), rest @ ..] => value.get_mut(name).into_iter().for_each(|inner| set(inner, rest, has_null)),
        [Step::At(at), rest @ ..] => value.get_mut(*at).into_iter().for_each(|inner| set(inner, rest, has_null)),
        [] => {}
    }
}

/// The outcomes of cases.
fn outcomes(test: &Json, name: &str, cases: Vec<Json>) -> Vec<Json> {
    let project = Project::new();
    let mut file = test.as_object().unwrap().clone();
    file.insert("cases".to_owned(), cases.into());
    let name = format!("{name}.test.yaml");
    project.write(&name, serde_saphyr::to_string(&Json::Object(file)).unwrap());
    let _ = project.run(["blueprints", "test", "--accept", &name]);
    let accepted = yaml(&project.path(&name));
    accepted["cases"].as_array().unwrap().iter().map(|case| case["expect"].clone()).collect()
}

/// An outcome without nulls, which some values pass on as written.
fn without_nulls(outcome: Json) -> Json {
    match outcome {
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        Json::Object(entries) => {
            let entries = entries.into_iter().filter(|(_, value)| !value.is_null());
            Json::Object(entries.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        plain => plain,
    }
}

#[test]
fn null_in_an_optional_field_equals_no_field_in_every_built_in_blueprint() {
    let mut compared = 0;
    for (test, blueprint) in tests() {
        let name = blueprint.file_stem().unwrap().to_str().unwrap();
        let (file, schema) = (yaml(&test), schema(&blueprint));
        let (mut ways, mut pairs) = (Vec::new(), [Vec::new(), Vec::new()]);
        for case in file["cases"].as_array().unwrap().iter() {
            let component = &case["component"];
            if !component.is_object() || !case["expect"]["errors"].is_null() {
                continue;
            }
            let mut found = Vec::new();
            if let (Some(schema), specific @ Json::Object(_)) = (&schema, &component["specific"]) {
                optional(specific, &[schema], schema, &vec![key("component"), key("specific")], &mut found);
            }
            found.extend(OF_COMPONENT.map(|name| vec![key("component"), key(name)]));
            if component["dataContract"]["schema"][0].is_object() {
                let column = ["component", "dataContract", "schema"].map(key);
                found.extend(OF_COLUMN.map(|name| [&column[..], &[Step::At(0), key(name)]].concat()));
            }
            for way in found {
                for (cases, has_null) in pairs.iter_mut().zip([false, true]) {
                    let mut case = case.clone();
                    case.as_object_mut().unwrap().remove("expect");
                    case["name"] = format!("{}", ways.len()).into();
                    set(&mut case, &way, has_null);
                    cases.push(case);
                }
                ways.push(way);
            }
        }
        if ways.is_empty() {
            continue;
        }
        let [without, with] = pairs.map(|cases| outcomes(&file, name, cases));
        for ((way, without), with) in ways.iter().zip(without).zip(with) {
            assert!(without.is_object(), "{name}: {way:?} was not tried");
            assert_eq!(without_nulls(with), without_nulls(without), "{}: {way:?}", blueprint.display());
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
}

/// A data product with one component of a blueprint's test.
fn product(case: &Json) -> Option<Json> {
    let mut component = case["component"].as_object()?.clone();
    component.entry("id").or_insert_with(|| "urn:dmb:cmp:d:p:0:c".into());
    component.entry("name").or_insert_with(|| "C".into());
    let mut product = json!({"id": "urn:dmb:dp:d:p:0", "name": "P", "domain": "d", "version": "0.1.0",
        "kind": "dataproduct", "environment": "test", "dataProductOwner": "user:ada", "devGroup": "group:dev"});
    let fields = product.as_object_mut().unwrap();
    fields.extend(case["product"].as_object().cloned().unwrap_or_else(Map::new));
    fields.insert("components".to_owned(), vec![Json::Object(component)].into());
    Some(product)
}

#[test]
fn every_error_points_to_the_descriptor() {
    let project = Project::new();
    let mut tried = 0;
    for (test, blueprint) in tests() {
        let file = yaml(&test);
        let overlay = match file["overlay"].as_str() {
            Some("none") => String::new(),
            Some(overlay) => format!("overlay: {overlay}"),
            None => "overlay: embedded".to_owned(),
        };
        project.write("terrace.yaml", format!("environments: {{test: {{{overlay}}}}}\n"));
        let cases = file["cases"].as_array().unwrap().iter();
        let Some(product) = cases.filter(|case| case["expect"]["errors"].is_null()).find_map(product) else { continue };
        // All variants in one call, as different products.
        let stack = product["id"].as_str().unwrap().strip_prefix("urn:dmb:dp:").unwrap().to_owned();
        let (name, version) = stack.rsplit_once(':').unwrap();
        let mut files = Vec::new();
        for way in [
            vec![key("name")],
            vec![key("domain")],
            vec![key("version")],
            vec![key("dataProductOwner")],
            vec![key("devGroup")],
            vec![key("components"), Step::At(0), key("name")],
            vec![key("components"), Step::At(0), key("dataContract")],
            vec![key("components"), Step::At(0), key("specific")],
        ] {
            let mut product = product.clone();
            set(&mut product, &way, true);
            let number = files.len();
            let file = format!("product-{number}.yaml");
            project.write(&file, product.to_string().replace(&stack, &format!("{name}-{number}:{version}")));
            files.push(file);
        }
        let words = ["validate", "--format", "json"].into_iter().chain(files.iter().map(String::as_str));
        let ran = project.run(words).json();
        for diagnostic in ran["diagnostics"].as_array().unwrap() {
            let file = &diagnostic["file"];
            let is_of_user = file.as_str().is_none_or(|file| files.iter().any(|written| written == file));
            assert!(is_of_user, "{}: {diagnostic}", blueprint.display());
            assert_ne!(diagnostic["code"], "duplicate_stack", "{}", blueprint.display());
        }
        tried += files.len();
    }
    assert!(tried > 100, "{tried}");
}

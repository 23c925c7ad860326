use super::*;
use serde_json::json;

const CATALOG: &str = "%SKELETON
{% set major = '0' %}
kind: Component # a component
metadata: {name: sales.orders.0.view}
spec:
  type: outputport
  system: system:sales.orders.0
  mesh:
    name: ${{ parameters.name }}
    kind: outputport
    useCaseTemplateId: urn:dmb:utm:view:0.0.0 # fixed
    # The columns:
    dataContract:
      schema: ${{ parameters.schema | dump }}
    specific:
      region: eu-west-1 # near the shop
      size: 3
      tags: []
      view: ${{ parameters.table }}_v${{ major }}
      upper: ${{ parameters.upper }}
      # the last one
      database: ${{ env.database }}
";

const PARAMETERS: &str = "# Answers
parameters:
  table: orders # the table
  name: View
  upper: ${{ parameters.name | upper }}
  schema:
    # The key
    - {name: id, dataType: INT} # not null
    - name: amount
      dataType: DECIMAL # money
environmentParameters:
  dev: {database: sales_dev} # small
  prod: {database: sales}
";

const CONFIGURATION: &str = "specific:
  # for dev only
  bucket: acme-dev
";

/// The changed files by name, or the messages of the failure.
fn written(updates: &[(&str, Json)]) -> Result<BTreeMap<String, String>, Vec<String>> {
    let mut sources = Sources::default();
    let files = EntityFiles {
        catalog: sources.add("catalog-info.yaml", CATALOG),
        parameters: Some(sources.add("parameters.yaml", PARAMETERS)),
        configuration: Some(sources.add("configurations.yaml", CONFIGURATION)),
        environments: vec!["dev".to_owned()],
        is_requested: true,
    };
    let updates: Vec<(String, Json)> =
        updates.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
    let name = |id: SourceId| sources.get(id).unwrap().name.clone();
    match write_back(&sources, &files, "dev", &updates) {
        Ok(files) => Ok(files.into_iter().map(|file| (name(file.source), file.text)).collect()),
        Err(found) => Err(found.into_iter().map(|it| format!("{} {}", it.code, it.message)).collect()),
    }
}

/// Checks that an update changes one file, by one replacement.
#[track_caller]
fn check(path: &str, value: Json, file: &str, old: &str, new: &str) {
    let text = match file {
        "parameters.yaml" => PARAMETERS,
        "configurations.yaml" => CONFIGURATION,
        _ => CATALOG,
    };
    assert!(text.contains(old), "{file} has no {old}");
    let expected = BTreeMap::from([(file.to_owned(), text.replacen(old, new, 1))]);
    assert_eq!(written(&[(path, value)]).unwrap(), expected);
}

#[test]
fn values_change_in_place() {
    let catalog = "catalog-info.yaml";
    check("spec.mesh.specific.region", json!("eu-south-1"), catalog, "eu-west-1", "eu-south-1");
    check("spec.mesh.specific.region", json!("a: b"), catalog, "eu-west-1", "\"a: b\"");
    check("spec.mesh.specific.region", json!("3"), catalog, "eu-west-1", "\"3\"");
    check("spec.mesh.specific.size", json!(4), catalog, "size: 3", "size: 4");
    check("spec.mesh.specific.tags", json!(["a", "b"]), catalog, "tags: []", "tags:\n        - a\n        - b");
    check("spec.mesh.specific.bucket", json!("acme"), "configurations.yaml", "acme-dev", "acme");
    check("spec.mesh.specific.database", json!("sales_test"), "parameters.yaml", "sales_dev", "sales_test");
    check("parameters.table", json!("lines"), "parameters.yaml", "table: orders", "table: lines");
}

#[test]
fn parts_of_a_parameter_keep_comments() {
    let schema = json!([{"name": "id", "dataType": "BIGINT"}, {"name": "amount", "dataType": "DECIMAL"}]);
    check("spec.mesh.dataContract.schema", schema, "parameters.yaml", "dataType: INT", "dataType: BIGINT");
    let schema = json!([{"name": "id", "dataType": "INT"}, {"name": "amount", "dataType": "DECIMAL", "precision": 3}]);
    let (old, new) = ("dataType: DECIMAL # money\n", "dataType: DECIMAL # money\n      precision: 3\n");
    check("spec.mesh.dataContract.schema", schema, "parameters.yaml", old, new);
}

#[test]
fn longer_list_replaces_the_old_one() {
    let schema = json!([{"name": "id", "dataType": "INT"}]);
    let files = written(&[("spec.mesh.dataContract.schema", schema)]).unwrap();
    let text = &files["parameters.yaml"];
    assert!(text.starts_with("# Answers\nparameters:\n  table: orders # the table\n"), "{text}");
    assert!(text.contains("environmentParameters:\n  dev: {database: sales_dev} # small\n"), "{text}");
    assert!(text.contains("- ") && !text.contains("amount"), "{text}");
}

#[test]
fn new_keys_follow_the_others() {
    check(
        "spec.mesh.specific.other.deep",
        json!([1]),
        "catalog-info.yaml",
        "database: ${{ env.database }}\n",
        "database: ${{ env.database }}\n      other:\n        deep:\n        - 1\n",
    );
    check("environmentParameters.dev.size", json!(2), "parameters.yaml", "sales_dev}", "sales_dev, size: 2}");
}

#[test]
fn several_updates_are_written_together() {
    let files = written(&[
        ("spec.mesh.specific.region", json!("eu-south-1")),
        ("spec.mesh.specific.size", json!(5)),
        ("spec.mesh.specific.bucket", json!("acme")),
    ])
    .unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["catalog-info.yaml", "configurations.yaml"]);
    assert!(files["catalog-info.yaml"].contains("region: eu-south-1 # near the shop\n      size: 5\n"), "{files:?}");
}

#[test]
fn equal_values_change_nothing() {
    assert_eq!(written(&[("spec.mesh.specific.region", json!("eu-west-1"))]).unwrap(), BTreeMap::new());
}

#[test]
fn computed_values_are_refused() {
    let refused = |path: &str, value: Json| written(&[(path, value)]).unwrap_err();
    for path in ["spec.mesh.specific.view", "spec.mesh.specific.upper", "parameters.upper"] {
        let found = refused(path, json!("x"));
        assert!(found.len() == 1 && found[0].starts_with(&format!("not_writable `{path}`")), "{found:?}");
    }
    // `upper` reads the same parameter.
    assert!(refused("spec.mesh.name", json!("x"))[0].contains("same source"));
    assert!(refused("other.path", json!("x"))[0].contains("no such path"));
    // The other update could be written.
    let both = written(&[("spec.mesh.specific.size", json!(4)), ("spec.mesh.specific.view", json!("x"))]).unwrap_err();
    assert_eq!(both.len(), 1, "{both:?}");
}

#[test]
fn keys_below_a_missing_parent_are_added_together() {
    let files = written(&[
        ("spec.mesh.specific.other.first", json!(1)),
        ("spec.mesh.specific.other.second", json!({"deep": true})),
    ])
    .unwrap();
    let text = &files["catalog-info.yaml"];
    assert!(text.ends_with("      other:\n        first: 1\n        second:\n          deep: true\n"), "{text}");
}

#[test]
fn entity_is_checked_beside_a_changed_parameter() {
    // `spec.mesh.name` and `upper` read the same parameter, with or without another update.
    let parameter = ("parameters.table", json!("lines"));
    assert_eq!(written(&[parameter.clone(), ("spec.mesh.name", json!("x"))]).unwrap_err().len(), 1);
    let files = written(&[parameter, ("spec.mesh.specific.size", json!(4))]).unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["catalog-info.yaml", "parameters.yaml"]);
}

#[test]
fn updates_that_overwrite_each_other_are_refused() {
    let updates = [("environmentParameters.dev.database", json!("a")), ("spec.mesh.specific.database", json!("b"))];
    let found = written(&updates).unwrap_err();
    assert!(found.len() == 1 && found[0].contains("environmentParameters.dev.database"), "{found:?}");
}

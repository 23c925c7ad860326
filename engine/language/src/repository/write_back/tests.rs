use super::*;
use serde_json::json;

const SKELETON: &str = "%SKELETON
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
      view: ${{ parameters.table }}_v${{ major }}
      upper: ${{ parameters.upper }}
      database: ${{ env.database }}
";

const CATALOG: &str = "kind: Component # a component
metadata: {name: sales.orders.0.view}
spec:
  type: outputport
  system: system:sales.orders.0
  mesh:
    name: View
    kind: outputport
    useCaseTemplateId: urn:dmb:utm:view:0.0.0 # fixed
    # The columns:
    dataContract:
      schema:
        # the key
        - name: id
          dataType: INT # not null
        # in EUR
        - name: amount
          dataType: DECIMAL # money
        # end of the columns
    specific:
      region: eu-west-1 # near the shop
      size: 3
      tags: []
      zones: [a, b] # both
      # the last one
      owner: sales
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

/// The changed files of the skeleton by name, or the messages of the failure.
fn written(updates: &[(&str, Json)]) -> Result<BTreeMap<String, String>, Vec<String>> {
    written_into(SKELETON, Some(PARAMETERS), updates)
}

/// As [`written`], of an entity with these files.
fn written_into(
    catalog: &str,
    parameters: Option<&str>,
    updates: &[(&str, Json)],
) -> Result<BTreeMap<String, String>, Vec<String>> {
    let mut sources = Sources::default();
    let files = EntityFiles {
        catalog: sources.add("catalog-info.yaml", catalog),
        parameters: parameters.map(|text| sources.add("parameters.yaml", text)),
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
    let (text, catalog, parameters) = match file {
        "parameters.yaml" => (PARAMETERS, SKELETON, Some(PARAMETERS)),
        "configurations.yaml" => (CONFIGURATION, SKELETON, Some(PARAMETERS)),
        _ => (CATALOG, CATALOG, None),
    };
    assert!(text.contains(old), "{file} has no {old}");
    let expected = BTreeMap::from([(file.to_owned(), text.replacen(old, new, 1))]);
    assert_eq!(written_into(catalog, parameters, &[(path, value)]).unwrap(), expected);
}

/// Checks that an update of the catalog's columns changes it by one replacement, with both kinds of line ends.
#[track_caller]
fn check_columns(columns: &[(&str, &str)], old: &str, new: &str) {
    let column = |(name, ty): &(&str, &str)| json!({"name": name, "dataType": ty});
    let value = Json::Array(columns.iter().map(column).collect());
    check("spec.mesh.dataContract.schema", value.clone(), "catalog-info.yaml", old, new);
    let windows = |text: &str| text.replace('\n', "\r\n");
    let files = written_into(&windows(CATALOG), None, &[("spec.mesh.dataContract.schema", value)]).unwrap();
    assert_eq!(files["catalog-info.yaml"], windows(&CATALOG.replacen(old, new, 1)));
}

#[test]
fn columns_keep_their_comments() {
    let (id, amount, day) = (("id", "INT"), ("amount", "DECIMAL"), ("day", "DATE"));
    let line = "DECIMAL # money\n";
    let added = "        - name: day\n          dataType: DATE\n";
    check_columns(&[id, amount, day], line, &format!("{line}{added}"));
    check_columns(&[id, day, amount], "INT # not null\n", &format!("INT # not null\n{added}"));
    check_columns(&[day, id, amount], "        # the key\n", &format!("{added}        # the key\n"));
    check_columns(&[("id", "BIGINT"), amount], "INT", "BIGINT");
    check_columns(&[("key", "INT"), amount], "name: id", "name: key");
    let first = "        # the key\n        - name: id\n          dataType: INT # not null\n";
    let last = "        # in EUR\n        - name: amount\n          dataType: DECIMAL # money\n";
    check_columns(&[amount], first, "");
    check_columns(&[id], last, "");
    check_columns(&[id, day], last, &last.replace("amount", "day").replace("DECIMAL", "DATE"));
}

#[test]
fn lists_in_a_line_keep_their_comments() {
    let change = |zones: Json, new: &str| check("spec.mesh.specific.zones", zones, "catalog-info.yaml", "[a, b]", new);
    change(json!(["a", "b", "c d"]), "[a, b, \"c d\"]");
    change(json!(["c", "a", "b"]), "[c, a, b]");
    change(json!(["b"]), "[b]");
    change(json!(["a"]), "[a]");
    change(json!([{"x": 1}, "b"]), "[{\"x\":1}, b]");
}

#[test]
fn list_without_a_common_item_must_have_no_comments() {
    let columns = json!([{"name": "x"}, {"name": "y"}, {"name": "z"}]);
    let found = written_into(CATALOG, None, &[("spec.mesh.dataContract.schema", columns)]).unwrap_err();
    assert!(found.len() == 1 && found[0].contains("a comment would be lost"), "{found:?}");
}

/// Skeletons come from a template: people do not edit them.
#[test]
fn literals_of_a_skeleton_are_refused() {
    for (path, value) in [
        ("spec.mesh.specific.region", json!("eu-south-1")),
        ("spec.mesh.specific.other", json!(1)),
        ("metadata.name", json!("sales.orders.0.other")),
    ] {
        let found = written(&[(path, value)]).unwrap_err();
        assert!(found.len() == 1 && found[0].contains("it belongs to the skeleton"), "{found:?}");
    }
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
fn shorter_list_keeps_the_other_items() {
    let schema = json!([{"name": "id", "dataType": "INT"}]);
    let files = written(&[("spec.mesh.dataContract.schema", schema)]).unwrap();
    let text = &files["parameters.yaml"];
    assert!(text.starts_with("# Answers\nparameters:\n  table: orders # the table\n"), "{text}");
    assert!(text.contains("environmentParameters:\n  dev: {database: sales_dev} # small\n"), "{text}");
    assert!(
        text.contains("    # The key\n    - {name: id, dataType: INT} # not null\n") && !text.contains("amount"),
        "{text}"
    );
}

#[test]
fn new_keys_follow_the_others() {
    check(
        "spec.mesh.specific.other.deep",
        json!([1]),
        "catalog-info.yaml",
        "owner: sales\n",
        "owner: sales\n      other:\n        deep:\n        - 1\n",
    );
    check("environmentParameters.dev.size", json!(2), "parameters.yaml", "sales_dev}", "sales_dev, size: 2}");
}

#[test]
fn several_updates_are_written_together() {
    let updates = [
        ("spec.mesh.specific.region", json!("eu-south-1")),
        ("spec.mesh.specific.size", json!(5)),
        ("spec.mesh.specific.bucket", json!("acme")),
    ];
    let files = written_into(CATALOG, None, &updates).unwrap();
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
    let both =
        written(&[("spec.mesh.specific.bucket", json!("b")), ("spec.mesh.specific.view", json!("x"))]).unwrap_err();
    assert_eq!(both.len(), 1, "{both:?}");
}

#[test]
fn keys_below_a_missing_parent_are_added_together() {
    let updates =
        [("spec.mesh.specific.other.first", json!(1)), ("spec.mesh.specific.other.second", json!({"deep": true}))];
    let files = written_into(CATALOG, None, &updates).unwrap();
    let text = &files["catalog-info.yaml"];
    assert!(text.ends_with("      other:\n        first: 1\n        second:\n          deep: true\n"), "{text}");
}

#[test]
fn entity_is_checked_beside_a_changed_parameter() {
    // `spec.mesh.name` and `upper` read the same parameter, with or without another update.
    let parameter = ("parameters.table", json!("lines"));
    assert_eq!(written(&[parameter.clone(), ("spec.mesh.name", json!("x"))]).unwrap_err().len(), 1);
    let files = written(&[parameter, ("spec.mesh.specific.bucket", json!("b"))]).unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["configurations.yaml", "parameters.yaml"]);
}

#[test]
fn updates_that_overwrite_each_other_are_refused() {
    let updates = [("environmentParameters.dev.database", json!("a")), ("spec.mesh.specific.database", json!("b"))];
    let found = written(&updates).unwrap_err();
    assert!(found.len() == 1 && found[0].contains("environmentParameters.dev.database"), "{found:?}");
}

use super::matching::Templates;
use super::*;
use crate::descriptor::BlueprintUse;
use crate::diagnostic::plain_text;
use crate::expression::Functions;
use crate::registry::Registry;
use crate::source::Sources;
use crate::yaml::{self, Budget, Node};
use terrace_provider::Value;

const STORAGE: &str = "\
apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: snowflake-storage, version: 1.0.0, description: Tables in a Snowflake schema}
match: {useCaseTemplateId: 'urn:dmb:utm:snowflake-storage-template', kind: storage}
specific: specific/storage.json
checks:
  - assert: ${{ size(component.specific.tables) > 0 }}
    error: a storage area needs at least one table
    at: specific.tables
resources:
  - type: snowflake_schema
    name: schema
    shared: ${{ component.specific.database }}
    adopt: ifExists
    lifecycle: {onLastRelease: retain}
    config: {database: '${{ component.specific.database }}'}
  - {type: snowflake_table, name: table, forEach: '${{ component.specific.tables }}', key: '${{ each.value.name }}', dependsOn: [schema]}
acl:
  resources:
    - {type: snowflake_role_grant, name: grant, forEach: '${{ acl.principals }}', dependsOn: [table]}
outputs:
  public: {table: {label: Table, value: \"${{ resources.table['A'].name }}\", href: x, type: string}, plain: 1}
  private: {role: {value: x, sensitive: true}}
";

const SCHEMA: &str = r##"{
  "type": "object",
  "required": ["database", "tables"],
  "additionalProperties": false,
  "properties": {
    "database": {"type": "string", "minLength": 1},
    "schema": {"type": "string", "default": "PUBLIC"},
    "mode": {"enum": ["append", "overwrite"], "default": "append"},
    "size": {"type": "integer", "minimum": 1, "maximum": 5},
    "rate": {"type": "number", "default": 1.5},
    "options": {"type": "object", "properties": {"deep": {"default": {"a": 1}}}},
    "target": {"oneOf": [
      {"type": "object", "required": ["kind", "topic"], "properties": {"kind": {"const": "kafka"}, "topic": {"type": "string"}}},
      {"type": "object", "required": ["kind", "path"], "properties": {"kind": {"const": "file"}, "path": {"type": "string"}}}
    ]},
    "either": {"anyOf": [{"type": "string"}, {"type": "array"}]},
    "tables": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"$ref": "#/$defs/table"}}
  },
  "$defs": {"table": {
    "type": "object", "required": ["name"], "additionalProperties": false,
    "properties": {
      "name": {"type": "string", "pattern": "^[A-Z]+$"},
      "columns": {"type": "array", "default": [{"name": "ID"}], "items": {"type": "object", "properties": {"type": {"default": "TEXT"}}}}
    }
  }}
}"##;

fn read_as(file: &str, text: &str, is_built_in: bool, sources: &mut Sources) -> (Option<Blueprint>, Vec<Diagnostic>) {
    let id = if is_built_in { sources.add_built_in(file, text) } else { sources.add(file, text) };
    let files = |path: &str| match path {
        "specific/storage.json" => Some(SCHEMA.to_owned()),
        "broken.json" => Some("{".to_owned()),
        _ => None,
    };
    read(id, sources, Origin { file: file.to_owned(), is_built_in }, &files, &Budget::default())
}

fn good(file: &str, text: &str, is_built_in: bool, sources: &mut Sources) -> Blueprint {
    let (blueprint, diagnostics) = read_as(file, text, is_built_in, sources);
    assert_eq!(plain_text(&diagnostics, sources), "");
    blueprint.unwrap()
}

fn minimal(name: &str, rest: &str) -> String {
    format!("apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {{name: {name}, version: 1.0.0}}\n{rest}")
}

fn overlay(name: &str, overlay: &str, rest: &str) -> String {
    minimal(name, rest).replace("version: 1.0.0", &format!("version: 1.0.0, overlay: {overlay}"))
}

fn wanted(facts: &[(&str, &str)]) -> BlueprintUse {
    let fact = |name: &str| facts.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let facts = Facts {
        use_case_template_id: fact("useCaseTemplateId"),
        infrastructure_template_id: fact("infrastructureTemplateId"),
        kind: fact("kind"),
        platform: fact("platform"),
        technology: fact("technology"),
        output_port_type: fact("outputPortType"),
    };
    BlueprintUse { name: None, facts, node: Arc::new(node("{}")) }
}

fn node(text: &str) -> Node {
    yaml::parse(Sources::default().add("component.yaml", text), text, &Budget::default()).unwrap()
}

#[test]
fn check_reports_invalid_expressions_that_are_compiled_late() {
    let mut sources = Sources::default();
    let blueprint = good("x.yaml", &minimal("x", "locals: {a: '${{ 1 + }}'}\n"), true, &mut sources);
    let registry = Registry::new(Vec::new(), Vec::new());
    let diagnostics = check::check(&blueprint, &registry, &Functions::default());
    assert_eq!(diagnostics.iter().map(|it| it.code).collect::<Vec<_>>(), ["expression_syntax"]);
    assert!(!diagnostics[0].labels.is_empty(), "it has a place");
}

#[test]
fn blueprint_is_read_completely() {
    let mut sources = Sources::default();
    let blueprint = good("storage.yaml", STORAGE, true, &mut sources);
    assert_eq!(blueprint.name.value, "snowflake-storage");
    assert_eq!(blueprint.version, "1.0.0");
    assert_eq!(blueprint.matcher.kind.as_deref(), Some("storage"));
    assert_eq!(blueprint.checks[0].fixed_path().unwrap().0.to_string(), "specific.tables");
    assert_eq!(blueprint.declarations.resources.len(), 2);
    assert!(blueprint.declarations.resources[0].shared.is_some());
    assert_eq!(blueprint.acl.resources[0].name.value, "grant");
    let outputs: Vec<_> = blueprint
        .declarations
        .outputs
        .iter()
        .map(|output| {
            (
                output.name.value.as_str(),
                output.is_public,
                output.is_sensitive,
                output.label.is_some(),
                output.display.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("table", true, false, true, Some("string")),
        ("table.href", true, false, false, None),
        ("plain", true, false, false, None),
        ("role", false, true, false, None),
    ];
    assert_eq!(outputs, expected);
}

#[test]
fn errors_in_a_blueprint_have_a_place_and_a_hint() {
    let cases = [
        "kind: Blueprint\n".to_owned(),
        minimal("a", "kind2: x\ndata: []\nreverse: {}\nmoved: [{from: x/t.a, to: t.b}]\n"),
        minimal("a", "").replace("kind: Blueprint", "kind: Stack"),
        minimal("a", "").replace("version: 1.0.0", "version: 1.0"),
        minimal("a", "match: {useCaseTemplate: x, kind: [a]}\n"),
        minimal("a", "specific: nowhere.json\n"),
        minimal("a", "specific: broken.json\n"),
        minimal("a", "specific: [1]\n"),
        minimal("a", "checks: [{assert: x}, {assert: x, error: e, at: 'a..b'}]\n"),
        minimal("a", "outputs: {publik: {}, public: {a: {label: x}}}\n"),
        minimal(
            "a",
            "resources: [{type: t_a, name: a}]\nacl: {resources: [{type: t_a, name: a, dependsOn: [b]}], outputs: {}}\n",
        ),
    ];
    let all: String = cases
        .iter()
        .map(|text| {
            let mut sources = Sources::default();
            let (_, diagnostics) = read_as("a.yaml", text, false, &mut sources);
            assert!(!diagnostics.is_empty(), "{text}");
            format!("{text}{}\n\n", plain_text(&diagnostics, &sources))
        })
        .collect();
    insta::assert_snapshot!(all);
}

#[test]
fn most_specific_match_wins() {
    let mut sources = Sources::default();
    let mut add = |name: &str, facts: &str| {
        good(&format!("{name}.yaml"), &minimal(name, &format!("match: {facts}\n")), true, &mut sources)
    };
    let all = vec![
        add("by-kind", "{kind: Storage}"),
        add("by-kind-and-platform", "{kind: storage, platform: Snowflake}"),
        add("by-infrastructure", "{infrastructureTemplateId: 'urn:dmb:itm:sf'}"),
        add("by-use-case", "{useCaseTemplateId: 'urn:dmb:utm:sf'}"),
        add("by-version", "{useCaseTemplateId: 'urn:dmb:utm:sf:2'}"),
        add("named-only", "{}"),
    ];
    let (library, diagnostics) = Library::new(all, None);
    assert!(diagnostics.is_empty());
    let templates: Templates = [("urn:dmb:utm:mine".to_owned(), "named-only".to_owned())].into_iter().collect();
    for (facts, expected) in [
        (vec![("kind", "STORAGE")], "by-kind"),
        (vec![("kind", "storage"), ("platform", "snowflake"), ("technology", "x")], "by-kind-and-platform"),
        (vec![("kind", "storage"), ("infrastructureTemplateId", "urn:dmb:itm:sf:0")], "by-infrastructure"),
        (
            vec![("infrastructureTemplateId", "urn:dmb:itm:sf:0"), ("useCaseTemplateId", "urn:dmb:utm:sf.1")],
            "by-use-case",
        ),
        (vec![("useCaseTemplateId", "urn:dmb:utm:sf:2")], "by-version"),
        (vec![("kind", "storage"), ("useCaseTemplateId", "urn:dmb:utm:mine:0.0.0")], "named-only"),
    ] {
        let chosen = library.choose("c", &wanted(&facts), Span::default(), &templates).unwrap();
        assert_eq!(chosen.name.value, expected, "{facts:?}");
    }
}

#[test]
fn component_needs_exactly_one_blueprint() {
    let mut sources = Sources::default();
    let mut add = |file: &str, name: &str, facts: &str| {
        good(file, &minimal(name, &format!("match: {facts}\n")), true, &mut sources)
    };
    let all = vec![
        add("one.yaml", "one", "{kind: storage}"),
        add("two.yaml", "two", "{platform: snowflake}"),
        add("three.yaml", "kafka-topic", "{useCaseTemplateId: 'urn:dmb:utm:kafka-topic-template:0.0.0'}"),
    ];
    let (library, _) = Library::new(all, None);
    let id = sources.add("component.yaml", "kind: storage\n");
    let span = Span::new(id, 0, 4);
    let none = Templates::default();
    let map: Templates = [("t".to_owned(), "tow".to_owned())].into_iter().collect();
    let mut named = wanted(&[]);
    named.name = Some(Located { value: "kafka-topics".to_owned(), span });
    let cases = [
        library.choose("c", &wanted(&[("kind", "storage"), ("platform", "Snowflake")]), span, &none),
        library.choose("c", &wanted(&[("useCaseTemplateId", "urn:dmb:utm:kafka-topics-template.1")]), span, &none),
        library.choose("c", &wanted(&[("kind", "workload"), ("technology", "x")]), span, &none),
        library.choose("c", &wanted(&[("useCaseTemplateId", "t:1")]), span, &map),
        library.choose("c", &named, span, &none),
    ];
    let all: Vec<_> = cases.into_iter().map(|result| *result.unwrap_err()).collect();
    insta::assert_snapshot!(plain_text(&all, &sources));
}

#[test]
fn missing_blueprint_hints_at_the_existing_provisioner() {
    let mut sources = Sources::default();
    let of_kafka = "match: {useCaseTemplateId: 'urn:dmb:utm:kafka-topic-template', technology: Kafka}\n";
    let all = vec![
        good("a.yaml", &minimal("kafka-topic", of_kafka), true, &mut sources),
        good("b.yaml", &minimal("witboost-component", ""), true, &mut sources),
    ];
    let (library, _) = Library::new(all, None);
    let hint = |template: &str, technology: &str| {
        let facts = wanted(&[("useCaseTemplateId", template), ("technology", technology)]);
        library.choose("c", &facts, Span::default(), &Templates::default()).unwrap_err().hint.unwrap()
    };
    let existing = r#"write `templates: {"urn:dmb:utm:s3-template:0": witboost-component}` into the environment"#;
    assert!(hint("urn:dmb:utm:s3-template:0", "S3").contains(existing));
    assert!(hint("urn:dmb:utm:kafka-topics-template", "Kafka").contains("did you mean the blueprint `kafka-topic`"));
    let other = hint("urn:dmb:utm:kafka-topics-template", "Snowflake");
    assert!(!other.contains("kafka-topic`") && other.contains("witboost-component"), "{other}");
}

#[test]
fn misspelt_template_of_the_project_is_reported() {
    let mut sources = Sources::default();
    let own = "match: {useCaseTemplateId: 'urn:dmb:utm:ledger-template'}\n";
    let all = vec![
        good("a.yaml", &minimal("ledger", own), false, &mut sources),
        good("b.yaml", &minimal("table", "match: {kind: storage}\n"), true, &mut sources),
        good("c.yaml", &minimal("built-in", "match: {useCaseTemplateId: budget-template}\n"), true, &mut sources),
    ];
    let (library, _) = Library::new(all, None);
    let found = |template: &str| {
        let facts = wanted(&[("useCaseTemplateId", template), ("kind", "storage")]);
        let chosen = library.choose("c", &facts, Span::default(), &Templates::default()).unwrap();
        library.misspelt_template("c", &facts, chosen, Span::default())
    };
    let warning = found("urn:dmb:utm:legder-template:0.0.0").unwrap();
    assert!(!warning.is_error() && warning.message.contains("the blueprint `table` makes it"), "{warning:?}");
    assert_eq!(warning.hint.as_deref(), Some("did you mean `ledger-template`?"));
    assert!(found("urn:dmb:utm:ledger-template:1").is_none());
    assert!(found("urn:dmb:utm:storage").is_none(), "no similar name");
    assert!(found("urn:dmb:utm:budget-templates").is_none(), "a name of a built-in blueprint");
}

#[test]
fn near_match_names_the_field_that_differs() {
    let mut sources = Sources::default();
    let matcher = "match: {useCaseTemplateId: 'urn:dmb:utm:port', kind: outputport, platform: Snowflake}\n";
    let (library, _) = Library::new(vec![good("port.yaml", &minimal("port", matcher), true, &mut sources)], None);
    let text = "kind: outputprt\nplatform: Snowflake\n";
    let id = sources.add("component.yaml", text);
    let mut typo =
        wanted(&[("useCaseTemplateId", "urn:dmb:utm:port:0.0.0"), ("kind", "outputprt"), ("platform", "Snowflake")]);
    typo.node = Arc::new(yaml::parse(id, text, &Budget::default()).unwrap());
    let lacking = wanted(&[("useCaseTemplateId", "urn:dmb:utm:port:0.0.0"), ("kind", "outputport")]);
    let choose =
        |wanted: &BlueprintUse| *library.choose("c", wanted, Span::new(id, 0, 4), &Templates::default()).unwrap_err();
    insta::assert_snapshot!(plain_text(&[choose(&typo), choose(&lacking)], &sources));
}

#[test]
fn project_overrides_and_overlay_replaces() {
    let mut sources = Sources::default();
    let all = || -> Vec<Blueprint> {
        let mut sources = Sources::default();
        vec![
            good("built-in/storage.yaml", STORAGE, true, &mut sources),
            good(
                "embedded/storage.yaml",
                &overlay(
                    "embedded-storage",
                    "embedded",
                    "extends: snowflake-storage\nresources: [{type: sqlite_table, name: t}]\n",
                ),
                true,
                &mut sources,
            ),
            good(
                "other/storage.yaml",
                &overlay("other-storage", "other", "extends: snowflake-storage\n"),
                true,
                &mut sources,
            ),
        ]
    };
    let names = |library: &Library| library.iter().map(|b| b.name.value.clone()).collect::<Vec<_>>();

    let (library, diagnostics) = Library::new(all(), None);
    assert!(diagnostics.is_empty());
    assert_eq!(names(&library), ["snowflake-storage"]);

    let (library, diagnostics) = Library::new(all(), Some("embedded"));
    assert!(diagnostics.is_empty());
    assert_eq!(names(&library), ["embedded-storage"]);
    assert_eq!(library.get("snowflake-storage").unwrap().name.value, "embedded-storage");
    let embedded = library.get("embedded-storage").unwrap();
    assert_eq!(embedded.matcher.kind.as_deref(), Some("storage"));
    assert_eq!(embedded.checks.len(), 1);
    assert!(embedded.specific.is_some());
    assert_eq!(embedded.declarations.resources[0].ty.value, "sqlite_table");
    assert!(embedded.declarations.outputs.is_empty() && embedded.acl.resources.is_empty());

    let project_blueprint = STORAGE.replace("1.0.0", "9.0.0");
    let mut with_project_blueprint = all();
    with_project_blueprint.insert(0, good("blueprints/mine.yaml", &project_blueprint, false, &mut sources));
    let (library, diagnostics) = Library::new(with_project_blueprint, None);
    assert!(diagnostics.is_empty());
    assert_eq!(library.get("snowflake-storage").unwrap().version, "9.0.0");

    let duplicates = vec![
        good("a.yaml", &minimal("x", ""), false, &mut sources),
        good("b.yaml", &minimal("x", ""), false, &mut sources),
    ];
    let circle = vec![
        good("c.yaml", &minimal("c", "extends: d\n"), false, &mut sources),
        good("d.yaml", &minimal("d", "extends: c\n"), false, &mut sources),
        good("e.yaml", &minimal("e", "extends: snowflake-storag\nmatch: {kind: x}\n"), false, &mut sources),
        good("f.yaml", &minimal("snowflake-storage", ""), false, &mut sources),
    ];
    let diagnostics: Vec<_> = [duplicates, circle].into_iter().flat_map(|all| Library::new(all, None).1).collect();
    insta::assert_snapshot!(plain_text(&diagnostics, &sources));
}

#[test]
fn validation_error_has_a_place() {
    let cases = [
        "kind: storage\n",
        "specific:\n",
        "specific: text\n",
        "specific: {}\n",
        "specific: {databse: x, tables: [{name: A}]}\n",
        "specific:\n  database: 7\n  size: 9\n  mode: apend\n  rate: fast\n  tables:\n    - name: a\n    - nam: B\n",
        "specific: {database: '', tables: [], size: 0}\n",
        "specific: {database: x, tables: [{name: A}, {name: A}], schema: null}\n",
        "specific: {database: x, tables: [{name: A, columns: {}}], options: [1], either: 7}\n",
        "specific: {database: x, tables: [{name: A}], target: {kind: kafka, path: x}}\n",
        "specific: {database: x, tables: [{name: A}], target: 7}\n",
        "specific: {database: größe, tables: [{name: ß}]}\n",
    ];
    let schema = SpecificSchema::new("specific", serde_json::from_str(SCHEMA).unwrap(), Span::default());
    assert!(schema.check().is_none());
    let all: String = cases
        .iter()
        .map(|text| {
            let mut sources = Sources::default();
            let id = sources.add("c.yaml", *text);
            let component = yaml::parse(id, text, &Budget::default()).unwrap();
            let diagnostics = schema.validate(&component, Span::new(id, 0, 1));
            format!("{text}{}\n\n", plain_text(&diagnostics, &sources))
        })
        .collect();
    insta::assert_snapshot!(all);
}

#[test]
fn defaults_fill_absent_properties() {
    let schema = SpecificSchema::new("specific", serde_json::from_str(SCHEMA).unwrap(), Span::default());
    let given = node("{database: x, mode: null, options: {}, tables: [{name: A}, {name: B, columns: [{}]}]}");
    let filled = schema.with_defaults(given.to_value()).unwrap();
    assert_eq!(
        filled.to_json().to_string(),
        r#"{"database":"x","mode":null,"options":{"deep":{"a":1}},"tables":[{"name":"A","columns":[{"name":"ID","type":"TEXT"}]},{"name":"B","columns":[{"type":"TEXT"}]}],"schema":"PUBLIC","rate":1.5}"#
    );
    assert_eq!(schema.with_defaults(Value::from("text")), Ok(Value::from("text")));
}

#[test]
fn recursive_schema_terminates() {
    let schema = serde_json::json!({"$ref": "#", "properties": {"a": {"$ref": "#/properties/a", "default": {}}}});
    let schema = SpecificSchema::new("specific", schema, Span::default());
    schema.with_defaults(node("{a: {}}").to_value()).unwrap();
    let nested = serde_json::json!({"properties": {"a": {"$ref": "#", "default": {}}}});
    let filled = SpecificSchema::new("specific", nested, Span::default()).with_defaults(node("{}").to_value()).unwrap();
    assert!(filled.get("a").is_some());
    // Without limits, each of these would run practically forever.
    let cyclic = serde_json::json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}], "properties": {"a": {"default": 1}}});
    let filled = SpecificSchema::new("specific", cyclic, Span::default()).with_defaults(node("{}").to_value()).unwrap();
    assert_eq!(filled.get("a"), Some(&Value::Int(1)));
    let itself = serde_json::json!({"$ref": "#", "default": {}});
    let doubled = serde_json::json!({"properties": {"a": itself.clone(), "b": itself}});
    let endless = SpecificSchema::new("specific", doubled, Span::default()).with_defaults(node("{}").to_value());
    assert!(endless.unwrap_err().to_string().contains("more than 100000 default values"));
}

#[test]
fn misspelt_key_that_the_schema_permits_is_a_warning() {
    let schema = serde_json::json!({
        "$ref": "#/$defs/table",
        "properties": {"database": {}, "options": {"additionalProperties": {"type": "string"}, "properties": {"retention": {}}}},
        "if": {"properties": {"databank": {}}},
        "$defs": {"table": {"properties": {"columns": {"items": {"properties": {"description": {}}}}}}},
    });
    let schema = SpecificSchema::new("specific", schema, Span::default());
    let text = "specific: {databse: x, columns: [{descripton: a}, {descripton: a, description: b}], other: 1}\n";
    let mut sources = Sources::default();
    let id = sources.add("c.yaml", text);
    let component = yaml::parse(id, text, &Budget::default()).unwrap();
    let found = schema.validate(&component, component.span);
    assert!(!crate::diagnostic::has_errors(&found));
    insta::assert_snapshot!(plain_text(&found, &sources), @"
    warning[unknown_field]: the blueprint has no field `specific.databse`
      at c.yaml:1:12
      hint: did you mean `database`?
    warning[unknown_field]: the blueprint has no field `specific.columns[0].descripton`
      at c.yaml:1:35
      hint: did you mean `description`?
    ");
    for right in ["{database: x, databse: y}", "{databank: x}", "{options: {retentoin: x}}", "{unlike: 1, columns: 7}"]
    {
        assert_eq!(schema.validate(&node(&format!("specific: {right}")), Span::default()), [], "{right}");
    }
    let cyclic = serde_json::json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}], "anyOf": [{"$ref": "#"}, {}], "properties": {"a": {"$ref": "#"}}});
    let cyclic = SpecificSchema::new("specific", cyclic, Span::default());
    assert_eq!(super::check_misspelt_keys::check(&node("{a: {a: {b: 1}}}"), cyclic.json()), []);
}

#[test]
fn invalid_schema_is_reported_and_opens_nothing() {
    let mut sources = Sources::default();
    let id = sources.add("blueprint.yaml", "specific: {type: 7}\n");
    let span = Span::new(id, 10, 19);
    for schema in [
        serde_json::json!({"type": 7}),
        serde_json::json!({"$ref": "https://example.com/schema.json"}),
        serde_json::json!({"$ref": "file:///etc/passwd"}),
    ] {
        let schema = SpecificSchema::new("specific", schema, span);
        let diagnostics = schema.validate(&node("specific: {}"), span);
        assert_eq!(diagnostics[0].code, "bad_schema", "{}", plain_text(&diagnostics, &sources));
    }
}

#[test]
fn component_value_contains_defaults() {
    let mut sources = Sources::default();
    let blueprint = good("storage.yaml", STORAGE, true, &mut sources);
    let value = blueprint.component_value(&node("{id: x, specific: {database: d, tables: []}}")).unwrap();
    assert_eq!(value.get("specific").unwrap().get("schema").unwrap().as_str(), Some("PUBLIC"));
    assert_eq!(value.get("id").unwrap().as_str(), Some("x"));
}

#[test]
fn null_in_optional_field_is_removed_unless_accepted() {
    let schema = serde_json::json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "tasks": {"type": "array", "items": {"$ref": "#/$defs/task"}},
            "override": {"type": "boolean", "default": false},
            "kept": {"type": ["string", "null"]},
            "free": {},
            "how": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"deep": {"type": "string"}}}]},
            "other": {"type": "string"},
            "settings": {"type": "object"},
        },
        "if": {"not": {"required": ["other"]}},
        "then": {"properties": {"settings": {"properties": {"size": {"type": "integer"}}}}},
        "$defs": {"task": {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}, "note": {"type": "string"}}}},
    });
    let schema = SpecificSchema::new("specific", schema, Span::default());
    let cleaned = |text: &str| schema.without_refused_nulls(&node(text)).to_json();
    for (written, expected) in [
        ("{name: a, tasks: ~, override: ~}", serde_json::json!({"name": "a"})),
        (
            "{name: a, kept: ~, free: ~, unknown: ~}",
            serde_json::json!({"name": "a", "kept": null, "free": null, "unknown": null}),
        ),
        ("{name: a, tasks: [{key: b, note: ~}]}", serde_json::json!({"name": "a", "tasks": [{"key": "b"}]})),
        ("{name: a, how: {deep: ~}}", serde_json::json!({"name": "a", "how": {}})),
        ("{name: a, other: ~, settings: {size: ~}}", serde_json::json!({"name": "a", "settings": {}})),
        (
            "{name: a, other: b, settings: {size: ~}}",
            serde_json::json!({"name": "a", "other": "b", "settings": {"size": null}}),
        ),
        // A required field keeps its null, so that the error names the empty field.
        (
            "{name: ~, override: ~, tasks: [{key: ~, note: ~}]}",
            serde_json::json!({"name": null, "tasks": [{"key": null}]}),
        ),
    ] {
        assert_eq!(cleaned(written), expected, "{written}");
    }
    let plain = node("{name: a}");
    assert!(matches!(schema.without_refused_nulls(&plain), std::borrow::Cow::Borrowed(_)));
}

#[test]
fn suggestion_matches_by_type() {
    let schema = serde_json::json!({"type": "object", "additionalProperties": false, "required": ["schema"],
        "properties": {"schema": {"type": "string"}, "tables": {"type": "array"}, "labels": {"type": "array"}}});
    let schema = SpecificSchema::new("specific", schema, Span::default());
    let hints = |text: &str| -> String {
        let component = node(text);
        let found = schema.validate(&component, component.span);
        found.iter().filter_map(|diagnostic| diagnostic.hint.clone()).collect::<Vec<_>>().join("; ")
    };
    assert!(!hints("specific: {schemaName: a}").contains("`schema`?"), "another word is another field");
    assert!(hints("specific: {schema: a, tabels: []}").contains("did you mean `tables`?"));
    assert!(!hints("specific: {schema: a, label: x}").contains("did you mean"), "the type differs");
    assert!(hints("specific: {schema: a, label: [x]}").contains("did you mean `labels`?"));
    assert_eq!(hints("{id: a, specifc: {schema: a}}"), "rename `specifc` to `specific`");
    assert_eq!(hints("{id: a}"), "add `specific:` with `schema`");
}

#[test]
fn only_the_first_hundred_errors_are_reported() {
    let schema = SpecificSchema::new("specific", serde_json::from_str(SCHEMA).unwrap(), Span::default());
    let unknown: String = (0..5_000).map(|n| format!("k{n}: 1, ")).collect();
    let wrong: String = (0..5_000).map(|n| format!("{{name: n{n}}}, ")).collect();
    for text in
        [format!("specific: {{database: x, {unknown}}}"), format!("specific: {{database: x, tables: [{wrong}]}}")]
    {
        let diagnostics = schema.validate(&node(&text), Span::default());
        assert_eq!(diagnostics.len(), 101);
        assert_eq!(diagnostics[100].code, "too_many_mistakes");
    }
}

proptest::proptest! {
    #[test]
    fn any_component_is_validated_or_reported(
        database in "([a-z]{0,3}|[0-9]|~|\\[\\]|\\{\\})",
        tables in "\\[(\\{name: [aA]\\}, |\\{nam: 1, columns: x\\}, |7, |\\[\\], ){0,4}\\]",
        target in "([0-9]|\\{kind: (kafka|file|x), (topic|path): (x|7)\\}|\\[1\\])",
    ) {
        let text = format!("specific: {{database: {database}, tables: {tables}, target: {target}, mode: {database}}}");
        let mut sources = Sources::default();
        let id = sources.add("c.yaml", text.as_str());
        let component = yaml::parse(id, &text, &Budget::default()).unwrap();
        let schema = SpecificSchema::new("specific", serde_json::from_str(SCHEMA).unwrap(), Span::default());
        for diagnostic in schema.validate(&component, component.span) {
            proptest::prop_assert!(diagnostic.place(&sources).is_some());
            proptest::prop_assert!(diagnostic.hint.is_some());
        }
        schema.with_defaults(component.get("specific").unwrap().to_value()).unwrap();
    }
}

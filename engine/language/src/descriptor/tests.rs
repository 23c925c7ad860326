use super::*;
use crate::diagnostic::{Diagnostic, has_errors, plain_text};
use crate::source::Sources;
use crate::yaml::Budget;
use std::path::PathBuf;

struct Reading {
    sources: Sources,
    descriptors: Vec<Descriptor>,
    diagnostics: Vec<Diagnostic>,
}

fn read_all(texts: &[&str]) -> Reading {
    let mut sources = Sources::default();
    let ids: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| sources.add(format!("{}.yaml", (b'a' + n as u8) as char), *text))
        .collect();
    let (descriptors, diagnostics) = read(&mut sources, &ids, &Budget::default());
    Reading { sources, descriptors, diagnostics }
}

/// A summary of a descriptor that fits in a snapshot.
fn outline(descriptor: &Descriptor) -> String {
    let environment = descriptor.environment.as_ref().map_or("-", |environment| environment.value.as_str());
    let target = descriptor.target.as_deref().unwrap_or("-");
    let components = descriptor.components.iter().map(|component| {
        let depends_on: Vec<_> = component
            .depends_on
            .iter()
            .map(|dependency| dependency.key.clone().map_or_else(|| format!("({})", dependency.text), String::from))
            .collect();
        let body = match &component.body {
            Body::Blueprint(blueprint) => match &blueprint.name {
                Some(name) => format!("blueprint {}", name.value),
                None => blueprint.facts.use_case_template_id.clone().unwrap_or_else(|| "no template".to_owned()),
            },
            Body::Resources(declarations) => {
                let names = declarations.resources.iter().map(|r| format!("{}.{}", r.ty.value, r.name.value));
                let outputs = declarations.outputs.iter().map(|output| format!("output {}", output.name.value));
                names.chain(outputs).collect::<Vec<_>>().join(", ")
            }
        };
        format!("\n  `{}` after {depends_on:?}: {body}", component.key)
    });
    format!("{}@{environment} -> {target}{}", descriptor.stack, components.collect::<String>())
}

fn report(texts: &[&str]) -> String {
    let reading = read_all(texts);
    let outlines: Vec<_> = reading.descriptors.iter().map(outline).collect();
    format!("{}\n{}", outlines.join("\n"), plain_text(&reading.diagnostics, &reading.sources))
}

fn corpus() -> Option<Vec<(String, String)>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/witboost/descriptors");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no example descriptors next to this repository");
        return None;
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    Some(files)
}

#[test]
fn real_descriptors_are_read_or_fail_with_a_place() {
    let Some(files) = corpus() else { return };
    assert!(files.len() >= 34, "{}", files.len());
    let expected_to_fail = [
        "pr_descriptor_1_missing_components",
        "pr_descriptor_storage_missing_componentIdToProvision",
        "pr_descriptor_1_unmatched_component",
    ];
    for (name, text) in files {
        let reading = read_all(&[&text]);
        let all = plain_text(&reading.diagnostics, &reading.sources);
        for diagnostic in &reading.diagnostics {
            assert!(diagnostic.place(&reading.sources).is_some(), "{name}: {all}");
            assert!(diagnostic.hint.is_some(), "{name}: {all}");
        }
        let is_bad = expected_to_fail.iter().any(|part| name.contains(part));
        assert_eq!(has_errors(&reading.diagnostics), is_bad, "{name}: {all}");
        assert_eq!(reading.descriptors.len(), 1, "{name}: {all}");
        println!("{name}: {}\n{all}\n", outline(&reading.descriptors[0]));
    }
}

#[test]
fn wrapped_descriptor_ignores_errors_of_other_components() {
    insta::assert_snapshot!(report(&["\
dataproduct:
  id: urn:dmb:dp:finance:cashflow:0
  name: Cashflow
  kind: dataProduct
  environment: development
  anything: ${{ goes }}
  components:
    - {id: 'urn:dmb:cmp:finance:cashflow:0:area', kind: storage, dependsOn: 7, platform: [x]}
    - id: urn:dmb:cmp:finance:cashflow:0:port
      kind: outputPort
      useCaseTemplateId: urn:dmb:utm:port:0.0.0
      dependsOn:
        - urn:dmb:cmp:finance:cashflow:0:area
        - urn:dmb:cmp:finance:cashflow:0:aera
        - urn:dmb:cmp:other:product:1:port
        - port/probe
      components:
        - {id: 'urn:dmb:cmp:finance:cashflow:0:port:probe', kind: observability}
componentIdToProvision: urn:dmb:cmp:finance:cashflow:0:port
"]));
}

#[test]
fn missing_read_of_the_same_product_is_a_warning() {
    let text = "kind: dataproduct\nid: urn:dmb:dp:a:b:0\nname: B\ncomponents:\n  - {id: 'urn:dmb:cmp:a:b:0:topic', kind: s}\n  - id: urn:dmb:cmp:a:b:0:app\n    kind: s\n    \
                readsFrom: ['urn:dmb:cmp:a:b:0:topic', 'urn:dmb:cmp:a:b:0:topci', 'urn:dmb:cmp:other:p:1:port', EX_mainframe]\n";
    insta::assert_snapshot!(plain_text(&read_all(&[text]).diagnostics, &read_all(&[text]).sources), @"
    warning[outside_dependency]: the dependency `urn:dmb:cmp:a:b:0:topci` is not in this descriptor
      at a.yaml:8:44
      hint: did you mean `urn:dmb:cmp:a:b:0:topic`?
    ");
}

#[test]
fn product_is_in_scope_without_its_components() {
    let reading =
        read_all(&["{id: 'urn:dmb:dp:a:b:0', name: B, kind: DataProduct, specific: {x: 1.10}, components: []}"]);
    assert_eq!(
        reading.descriptors[0].product.to_json().to_string(),
        r#"{"id":"urn:dmb:dp:a:b:0","name":"B","kind":"DataProduct","specific":{"x":1.10}}"#
    );
    assert_eq!(reading.descriptors[0].front_end, FrontEnd::Witboost);
}

#[test]
fn errors_in_a_data_product_have_a_place_and_a_hint() {
    let cases = [
        "kind: dataproduct\ncomponents: []\n",
        "kind: dataproduct\nid: 7\ncomponents: {}\n",
        "kind: dataproduct\nid: 'urn:dmb:dp:'\n",
        "kind: dataproduct\nid: urn:dmb:dp:a:b:0\nname: B\ncomponents:\n  - kind: storage\n  - 7\n  - {name: Only Name, kind: storage}\n",
        "kind: dataproduct\nid: urn:dmb:dp:a:b:0\nname: B\ncomponents:\n  - {id: 'x:one', kind: s}\n  - {id: 'y:one', kind: s}\n",
        "dataProduct: text\ncomponentIdToProvision: x\n",
        "dataProduct: {id: 'urn:dmb:dp:a:b:0', name: B, components: [{id: 'urn:dmb:cmp:a:b:0:storage', kind: s}]}\ncomponentIdToProvision: urn:dmb:cmp:a:b:0:stroage\n",
        "dataProduct: {id: 'urn:dmb:dp:a:b:0', name: B, components: [{id: 'urn:dmb:cmp:a:b:0:storage', kind: s}]}\ncomponentIdToProvision:\n",
        "dataProduct: {components: [{id: 'urn:dmb:cmp:a:b:0:storage', kind: s}]}\n",
        "dataProduct: {id: x, name: B, id: x}\n",
        "dataProduct: {id: x, name: B, id: y}\n",
    ];
    let all: String = cases.iter().map(|text| format!("{text}{}\n\n", report(&[text]))).collect();
    insta::assert_snapshot!(all);
}

#[test]
fn unknown_format_lists_the_expected_formats() {
    let cases =
        ["[1]\n", "text\n", "a: 1\n", "kind: stack\n", "kind: Deployment\napiVersion: apps/v1\n", "kind: Blueprint\n"];
    let all: String = cases.iter().map(|text| format!("{text}{}\n\n", report(&[text]))).collect();
    insta::assert_snapshot!(all);
}

const STACK: &str = "\
apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: demo}
variables:
  size: {type: int, default: 3, validation: [{assert: '${{ vars.size > 0 }}', error: must be positive}]}
  shape: {schema: {type: object}, sensitive: true}
  free:
resources:
  - type: local_value
    name: a
    config: {input: '${{ vars.size }}'}
  - type: local_file
    name: part
    forEach: '${{ {\"x\": 1} }}'
    key: ${{ each.key }}
    dependsOn: [a]
    when: ${{ vars.size > 0 }}
    provider: local.second
    shared: one
    adopt: ifExists
    lifecycle: {createBeforeDestroy: true, preventDestroy: true, onLastRelease: delete}
    timeouts: {create: 30s, read: 1h30m}
components:
  db: {resources: [{type: local_value, name: a}]}
  api: {dependsOn: [db], resources: [], outputs: {url: x}}
  area: {blueprint: snowflake-storage, specific: {tables: []}}
outputs:
  path: ${{ resources.part['x'].path }}
  secret: {value: '${{ resources.a.output }}', sensitive: true}
  map: {plain: 1}
";

#[test]
fn stack_is_read_completely() {
    let reading = read_all(&[STACK]);
    assert_eq!(plain_text(&reading.diagnostics, &reading.sources), "");
    let descriptor = &reading.descriptors[0];
    insta::assert_snapshot!(outline(descriptor));
    let Body::Resources(own) = &descriptor.components[0].body else { panic!() };
    let part = &own.resources[1];
    assert_eq!(part.adopt, Adopt::IfExists);
    assert!(part.lifecycle.create_before_destroy && part.lifecycle.prevent_destroy);
    assert_eq!(part.lifecycle.on_last_release, OnLastRelease::Delete);
    assert_eq!(part.lifecycle.timeouts.clone().unwrap_or_default().read, Some(Duration::from_secs(5400)));
    assert_eq!(part.lifecycle.timeouts.clone().unwrap_or_default().update, None);
    assert!(own.outputs[1].is_sensitive && !own.outputs[0].is_sensitive);
    assert_eq!(descriptor.variables[0].default, Some(Value::Int(3)));
    assert!(matches!(descriptor.variables[1].ty, VariableType::Schema(_)));
    assert!(descriptor.variables[1].is_sensitive && descriptor.variables[1].default.is_none());
    assert!(matches!(descriptor.variables[2].ty, VariableType::Any));
}

const HEAD: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\n";

#[test]
fn errors_in_a_stack_have_a_place_and_a_hint() {
    let cases = [
        "kind: Stack\n",
        "apiVersion: terrace.dev/v2\nkind: Stack\nmetadata: {name: 'a@b', label: x}\n",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: shared}\nresources:\n",
        &format!("{HEAD}resuorces: []\nlocals: {{}}\nchecks: []\n"),
        &format!("{HEAD}kind: Stack\n"),
        &format!("{HEAD}resources: {{a: 1}}\n"),
        &format!("{HEAD}resources:\n  - 7\n  - {{type: local_value}}\n  - {{name: x y, type: 7}}\n"),
        &format!("{HEAD}resources:\n  - {{type: t_a, name: in, confg: {{}}, checks: [], config: [1], when: 1}}\n"),
        &format!(
            "{HEAD}resources:\n  - {{type: t_a, name: b, key: x, adopt: always, dependsOn: [c, t_a.b, 1], lifecycle: {{ignoreChanges: [x], preventDestroy: 'yes'}}}}\n"
        ),
        &format!(
            "{HEAD}resources:\n  - {{type: t_a, name: b, timeouts: {{create: 30, update: 5 minutes, red: 1s}}}}\n"
        ),
        &format!("{HEAD}resources:\n  - {{type: t_a, name: b}}\n  - {{type: t_b, name: b}}\n"),
        &format!(
            "{HEAD}components:\n  shared: {{}}\n  a/b: {{}}\n  c: {{dependsOn: [d], blueprint: x, resources: []}}\n"
        ),
        &format!(
            "{HEAD}variables:\n  a-b: {{type: integer, schema: {{}}}}\n  c: {{type: int, default: '3'}}\n  d: 3\n  e: {{type: list}}\n"
        ),
        &format!("{HEAD}outputs: {{a: {{value: 1, sensitve: true}}}}\n"),
    ];
    let all: String = cases.iter().map(|text| format!("{text}{}\n\n", report(&[text]))).collect();
    insta::assert_snapshot!(all);
}

#[test]
fn stack_files_with_the_same_name_merge() {
    let one = format!(
        "{HEAD}variables: {{v: }}\nresources: [{{type: t_a, name: a}}]\ncomponents: {{c: {{}}}}\noutputs: {{o: 1}}\n"
    );
    let two =
        format!("{HEAD}resources: [{{type: t_a, name: b, dependsOn: [a]}}]\ncomponents: {{d: {{dependsOn: [c]}}}}\n");
    let other = two.replace("demo", "other").replace(", dependsOn: [a]", "").replace("dependsOn: [c]", "");
    insta::assert_snapshot!(report(&[&one, &two, &other]));
    insta::assert_snapshot!(report(&[&one, &one]));
}

#[test]
fn duplicate_product_is_an_error() {
    let text = "{kind: dataproduct, id: 'urn:dmb:dp:a:b:0', name: B, environment: e, components: []}";
    insta::assert_snapshot!(report(&[text, text]));
    let elsewhere = text.replace("environment: e", "environment: f");
    assert!(!has_errors(&read_all(&[text, &elsewhere]).diagnostics));
}

#[test]
fn network_status_product_is_read() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/network-status.yaml");
    let Ok(text) = std::fs::read_to_string(file) else {
        println!("skipped: no example product next to this repository");
        return;
    };
    insta::assert_snapshot!(report(&[&text]));
    assert!(text.contains("/${java.io.tmpdir}/kafka-streams"));
    let reading = read_all(&[&text]);
    let Body::Blueprint(streams) = &reading.descriptors[0].components[0].body else { panic!() };
    let directory = streams.node.find(&"specific.stateDir".parse().unwrap()).unwrap();
    assert_eq!(directory.as_text(), Some("/${java.io.tmpdir}/kafka-streams"));
}

#[test]
fn any_number_of_errors_is_reported() {
    let many = |line: &dyn Fn(usize) -> String| (0..5_000).map(line).collect::<String>();
    let cases = [
        format!("{HEAD}resources:\n{}", many(&|n| format!("- {{type: t_a, name: n{n}, dependsOn: [m{n}]}}\n"))),
        format!("{HEAD}components:\n{}", many(&|n| format!("  n{n}: {{dependsOn: [m{n}]}}\n"))),
        format!("{HEAD}{}", many(&|n| format!("n{}: 1\n", n / 2))),
        format!("{HEAD}{}", many(&|n| format!("n{n}: 1\n"))),
        format!(
            "kind: dataproduct\nid: x\ncomponents:\n{}",
            many(&|n| format!("- {{id: 'c:{n}', dependsOn: ['d:{n}']}}\n"))
        ),
    ];
    for text in &cases {
        let reading = read_all(&[text]);
        assert!(!reading.diagnostics.is_empty());
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_reported(text in "(apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: \\{name: a\\}\n|kind: dataproduct\nid: x\n|dataProduct:\n)?((id|components|resources|variables|outputs|name): ?([0-9]|\\[\\]|\\{a: 1\\}|\\[\\{id: a, name: b, type: c\\}\\]|x|~)?\n){0,6}") {
        let reading = read_all(&[&text]);
        for diagnostic in &reading.diagnostics {
            proptest::prop_assert!(diagnostic.place(&reading.sources).is_some());
        }
    }
}

#[test]
fn other_kind_of_file_is_named_with_a_hint() {
    let cases = [
        "%SKELETON\n{% set a = 1 %}\nkind: Component\n",
        "apiVersion: backstage.io/v1alpha1\nkind: System\nmetadata: {name: a.b.0}\nspec: {mesh: {name: B}}\n",
        "kind: Component\nspec: {mesh: {name: B}}\n",
        "apiVersion: witboost.com/v2\nkind: EditTemplate\n",
        "apiVersion: witboost.com/v1\nkind: Taxonomy\n",
        "id: urn:dmb:taxonomy:t\nname: t\n",
        "parameters: {a: 1}\nreadonly: {}\nenvironmentParameters: {}\n",
        "specific: {bucket: b}\n",
        "id: urn:dmb:cmp:a:b:0:c\nkind: storage\nspecific: {}\n",
        "environments: {local: }\n",
        "kind: BlueprintTest\ncases: []\n",
    ];
    let all: String = cases.iter().map(|text| format!("{text}{}\n\n", report(&[text]))).collect();
    insta::assert_snapshot!(all);
}

#[test]
fn misplaced_fields_of_a_data_product_get_a_hint() {
    let components = "[{id: 'urn:dmb:cmp:a:b:0:c', kind: storage}]";
    let cases = [
        format!("dataProduct:\nid: urn:dmb:dp:a:b:0\nname: B\ncomponents: {components}\n"),
        format!("dataProduct: {{id: 'urn:dmb:dp:a:b:0', name: B}}\ncomponents: {components}\n"),
        format!("dataProduct: {{id: 'urn:dmb:dp:a:b:0', components: {components}}}\nenvironment: dev\n"),
        format!(
            "dataProduct: {{id: 'urn:dmb:dp:a:b:0', components: {components}}}\ncomponent: 'urn:dmb:cmp:a:b:0:c'\n"
        ),
        "dataProduct: {id: 'urn:dmb:dp:a:b:0', components: []}\ncomponent: {id: 'urn:dmb:cmp:a:b:0:c'}\n".to_owned(),
        format!("dataProduct: {{id: 'urn:dmb:dp:a:b:0', components: {components}}}\ncomponentToProvision: x\n"),
    ];
    let all: String = cases.iter().map(|text| format!("{text}{}\n\n", report(&[text]))).collect();
    insta::assert_snapshot!(all);
}

#[test]
fn wrong_type_hints_at_a_missing_space() {
    let head = "apiVersion: terrace.dev/v1\nkind: Stack\n";
    for (text, hint) in [
        ("metadata: {name: a}\nresources:\n  -type: local_value\n", "put a space after `-`: `- type: …`"),
        ("metadata: {name: a}\nresources:\n  - name:v\n", "put a space after `:`: `name: …`"),
        ("metadata:\n  name:a\n", "put a space after `:`: `name: …`"),
        ("metadata: {name: a}\nresources: [{type:local_value, name: v}]\n", "put a space after `:`: `type: …`"),
    ] {
        let output = report(&[&format!("{head}{text}")]);
        assert!(output.contains(hint), "{output}");
    }
}

#[test]
fn data_product_derives_missing_fields_from_its_id() {
    let product = |text: &str| {
        let reading = read_all(&[text]);
        assert_eq!(reading.diagnostics, [], "{text}");
        reading.descriptors[0].product_facts().to_json()
    };
    let id = "urn:dmb:dp:finance:cash-flow:2";
    let derived = serde_json::json!({"id": id, "name": "cash-flow", "domain": "finance", "version": "2.0.0"});
    assert_eq!(product(&format!("id: {id}\ncomponents: []\n")), derived);
    assert_eq!(product(&format!("id: {id}\nname: ~\ndomain: ~\nversion: ~\ncomponents: []\n")), derived);
    let written = serde_json::json!({"id": id, "name": "N", "domain": "d", "version": "2.3.4"});
    assert_eq!(product(&format!("id: {id}\nname: N\ndomain: d\nversion: 2.3.4\ncomponents: []\n")), written);
}

#[test]
fn expression_in_another_syntax_is_reported_where_it_can_mean_nothing_else() {
    let stack = |content: &str| {
        let text = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nvariables: {{who: {{type: string}}}}\n\
             resources:\n  - {{type: local_file, name: a, config: {{content: '{content}'}}}}\n"
        );
        read_all(&[&text]).diagnostics.iter().map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>()
    };
    let reported = "not_an_expression: `${vars.who}` is plain text: expressions stand between `${{` and `}}`";
    assert_eq!(stack("hello ${vars.who}!"), [reported]);
    assert_eq!(stack("{{ vars.who }}").len(), 1);
    for right in
        ["${HOME} ${who}", "{{ ref(\"who\") }}", "${vars.other}", "{{ vars.who2 }}", "${{ vars.who }} ${vars.who}"]
    {
        assert!(stack(right).is_empty(), "{right}");
    }
    let product = |name: &str| {
        let text = format!("id: urn:dmb:dp:finance:cash:0\nkind: dataproduct\nname: '{name}'\ncomponents: []\n");
        read_all(&[&text]).diagnostics.iter().map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>()
    };
    let reported = "unrendered_template: `${{ values.name }}` is plain text: a data product has no expressions";
    assert_eq!(product("${{ values.name }}"), [reported]);
    assert_eq!(product("{{cookiecutter.name}}").len(), 1);
    for right in ["Cash", "{{job.parameters.x}}", "${{ vars.name }}", "{{ values }}"] {
        assert!(product(right).is_empty(), "{right}");
    }
}

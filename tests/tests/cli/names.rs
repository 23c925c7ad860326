//! `validate` finds unknown names without state and network. `plan` reports the same names, all at once.

use terrace_tests::{Project, snapshot};

const STACK: &str = r#"variables: {size: {type: int, default: 3}}
locals: {label: one}
resources:
  - {type: local_file, name: a, config: {path: out/a, content: '${{ vars.sze }}'}}
  - {type: local_file, name: b, config: {path: out/b, content: '${{ resources.a.sha }}'}}
  - {type: local_file, name: c, config: {path: out/c, content: '${{ locals.lable }}', mood: "0644"}}
  - {type: local_file, name: d, forEach: '${{ ["x"] }}', config: {path: out/d, content: '${{ resources.e.id }}'}}
  - {type: local_file, name: e, config: {path: out/e, content: '${{ resources.d["x"].siez + each.key }}'}}
components:
  base:
    resources: [{type: local_value, name: v, config: {input: {deep: 1}}}]
    outputs: {value: '${{ resources.v.output.deep }}'}
  top:
    dependsOn: [base]
    resources: [{type: local_value, name: w, config: {input: '${{ components.base.outputs.vlaue }}'}}]
outputs: {size: '${{ string(varz.size) }}'}
"#;

#[test]
fn unknown_names_are_found_without_a_state() {
    let project = Project::with_stack(STACK);
    project.edit("stack.yaml", "resources.e.id", "string(vars.size)");
    let before = project.all_files();
    snapshot!(project.run(["validate", "stack.yaml"]), @r#"
    exit: 1
    --- stderr
    unknown_variable

      × there is no variable `sze`
       ╭─[stack.yaml:7:69]
     7 │   - {type: local_file, name: a, config: {path: out/a, content: '${{ vars.sze }}'}}
       ·                                                                     ────────
       ╰────
      hint: did you mean `size`?

    unknown_attribute

      × `local_file` has no attribute `sha`
       ╭─[stack.yaml:8:69]
     8 │   - {type: local_file, name: b, config: {path: out/b, content: '${{ resources.a.sha }}'}}
       ·                                                                     ───────────────
       ╰────
      hint: known are: `path`, `content`, `contentBase64`, `source`, `mode`, `sensitive`, `makeParents`, `sha256`, `size`,
            `id`

    unknown_local

      × there is no local `lable`
       ╭─[stack.yaml:9:69]
     9 │   - {type: local_file, name: c, config: {path: out/c, content: '${{ locals.lable }}', mood: "0644"}}
       ·                                                                     ────────────
       ╰────
      hint: did you mean `label`?

    unknown_attribute

      × `local_file` has no attribute `mood`
       ╭─[stack.yaml:9:87]
     9 │   - {type: local_file, name: c, config: {path: out/c, content: '${{ locals.lable }}', mood: "0644"}}
       ·                                                                                       ────
       ╰────
      hint: known are: `path`, `content`, `contentBase64`, `source`, `mode`, `sensitive`, `makeParents`, `sha256`, `size`,
            `id`

    unknown_attribute

      × `local_file` has no attribute `siez`
        ╭─[stack.yaml:11:69]
     11 │   - {type: local_file, name: e, config: {path: out/e, content: '${{ resources.d["x"].siez + each.key }}'}}
        ·                                                                     ────────────────────────────────
        ╰────
      hint: did you mean `size`?

    unknown_variable

      × there is no variable `each` here
        ╭─[stack.yaml:11:69]
     11 │   - {type: local_file, name: e, config: {path: out/e, content: '${{ resources.d["x"].siez + each.key }}'}}
        ·                                                                     ────────────────────────────────
        ╰────
      hint: `each` needs `forEach`

    unknown_variable

      × there is no variable `varz` here
        ╭─[stack.yaml:19:22]
     19 │ outputs: {size: '${{ string(varz.size) }}'}
        ·                      ─────────────────
        ╰────
      hint: did you mean `vars`?

    unknown_output

      × component `base` has no output `vlaue`
        ╭─[stack.yaml:18:67]
     18 │     resources: [{type: local_value, name: w, config: {input: '${{ components.base.outputs.vlaue }}'}}]
        ·                                                                   ─────────────────────────────
        ╰────
      hint: did you mean `value`?
    "#);
    assert_eq!(project.all_files(), before);
}

#[test]
fn plan_reports_the_same_names_and_those_that_need_state() {
    let project = Project::with_stack(STACK);
    project.edit("stack.yaml", "resources.e.id", "string(vars.size)");
    let validated = project.run(["validate", "stack.yaml"]).with_code(1);
    let planned = project.run(["plan", "stack.yaml", "-q"]).with_code(1);
    let codes = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('×')).count();
    assert_eq!(codes(&planned.stderr), codes(&validated.stderr), "{planned}");
    for line in validated.stderr.lines().filter(|line| line.trim_start().starts_with('×')) {
        assert!(planned.stderr.contains(line), "`{line}` is missing in the plan:\n{planned}");
    }
}

#[test]
fn known_names_are_valid() {
    let project = Project::with_stack(
        r#"variables: {sizes: {default: {a: 1}}}
locals: {all: '${{ vars.sizes }}'}
resources:
  - {type: local_value, name: many, forEach: '${{ locals.all }}', config: {input: {key: '${{ each.key }}', of: '${{ vars.sizes[each.key] }}'}}}
  - type: local_value
    name: one
    config:
      input:
        - '${{ resources.many.map(k, resources.many[k].output.key) }}'
        - '${{ resources.many["a"].output.anything.at.all.since.it.is.open == null ? 1 : 2 }}'
        - '${{ has(resources.many.a) ? resources.many.a.id : environment + stack }}'
"#,
    );
    project.run(["validate", "stack.yaml"]).done();
}

#[test]
fn only_selected_components_are_checked() {
    let project = Project::with_stack(STACK);
    project.run(["validate", "stack.yaml", "-c", "base"]).done();
    // Only the state has the outputs of `base`, so the plan checks them.
    project.run(["validate", "stack.yaml", "-c", "top"]).done();
}

#[test]
fn stack_error_does_not_suggest_names_of_blueprints() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: a, config: {input: '${{ frobnicate }}'}}\n  \
         - {type: local_value, name: b, config: {input: '${{ product.name }}'}}\n  \
         - {type: local_value, name: c, config: {input: '${{ component.key }}'}}\n",
    );
    snapshot!(project.run(["validate", "stack.yaml"]), @"
    exit: 1
    --- stderr
    unknown_variable

      × there is no variable `frobnicate` here
       ╭─[stack.yaml:5:55]
     5 │   - {type: local_value, name: a, config: {input: '${{ frobnicate }}'}}
       ·                                                       ──────────
       ╰────
      hint: there are: `environment`, `stack`, `settings`, `vars`, `locals`, `resources`, `data`, `components`, `stacks`

    unknown_variable

      × there is no variable `product` here
       ╭─[stack.yaml:6:55]
     6 │   - {type: local_value, name: b, config: {input: '${{ product.name }}'}}
       ·                                                       ────────────
       ╰────
      hint: `product` is available only in blueprints

    unknown_variable

      × there is no variable `component` here
       ╭─[stack.yaml:7:55]
     7 │   - {type: local_value, name: c, config: {input: '${{ component.key }}'}}
       ·                                                       ─────────────
       ╰────
      hint: `component` is available only in blueprints
    ");
    project.run(["blueprints", "new", "thing"]).done();
    project.write_stack("components:\n  w: {blueprint: thing, specific: {title: '${{ frobnicate }}'}}\n");
    let validated = project.run(["validate", "stack.yaml"]).with_code(1);
    assert!(
        validated.stderr.contains("hint: there are: `environment`, `stack`, `settings`, `vars`, `locals`\n"),
        "{validated}"
    );
}

#[test]
fn misspelt_common_field_is_found_in_a_blueprint() {
    let project = Project::new();
    project.run(["blueprints", "new", "thing"]).done();
    project.edit("blueprints/thing.yaml", "title != component.key", "title != product.nmae");
    project.edit("blueprints/thing.yaml", "component.specific.author", "component.specifc.author");
    snapshot!(project.run(["blueprints", "check"]), @"
    exit: 1
    --- stderr
    unknown_field

      × a data product has no field `nmae`
        ╭─[blueprints/thing.yaml:14:17]
     14 │   - assert: ${{ component.specific.title != product.nmae }}
        ·                 ────────────────────────────────────────
        ╰────
      hint: did you mean `name`?

    unknown_field

      × a component has no field `specifc`
        ╭─[blueprints/thing.yaml:25:16]
     25 │         by ${{ component.specifc.author }}
        ·                ────────────────────────
        ╰────
      hint: did you mean `specific`?
    ");
    // A descriptor may have more fields. A name unlike every common field is only missing in the sample.
    project.edit("blueprints/thing.yaml", "product.nmae", "product.costCentre");
    project.edit("blueprints/thing.yaml", "component.specifc.author", "component.specific.author");
    project
        .run(["blueprints", "check"])
        .done()
        .prints("with a sample generated from the schema: `product` has no `costCentre`");
}

#[test]
fn request_values_are_known_only_where_they_can_be_read() {
    let project = Project::new();
    let blueprint = |own: &str, grant: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {{name: port, version: 1.0.0}}\nspecific: {{type: \
             object}}\nresources:\n  - {{type: local_value, name: own, config: {{input: '${{{{ {own} }}}}'}}}}\nacl:\n  \
             resources:\n    - {{type: local_value, name: grant, config: {{input: '${{{{ {grant} }}}}'}}}}\n"
        )
    };
    let check = |own: &str, grant: &str| {
        project.write("blueprints/port.yaml", blueprint(own, grant));
        project.run(["blueprints", "check"])
    };
    for own in [
        "request.latestEnriched",
        "request.latestEnriched == null ? null : request.latestEnriched.info.publicInfo.host.value",
        "request.latestEnriched.components.filter(it, it.id == component.id)[0].info.publicInfo.host",
        "component.dependencies[component.dependsOn[0]].info.publicInfo.host.value",
        "component.descriptor.dataProduct.components.filter(it, it.id == component.id)[0].info.publicInfo.host",
    ] {
        assert_eq!(check(own, "acl.fields.?days.orValue(1)").done().stderr, "", "{own}");
    }
    for (own, grant, expected) in [
        ("request.latest", "acl.fields", "`request` has no field `latest`"),
        ("request.latestEnriched.nmae", "acl.fields", "a data product has no field `nmae`"),
        ("component.dependencis", "acl.fields", "a component has no field `dependencis`"),
        ("reqest.latestEnriched", "acl.fields", "did you mean `request`?"),
        ("1", "acl.field", "did you mean `fields`?"),
        ("1", "acl.roles", "it has: `principals`, `fields`"),
        ("acl.fields", "1", "`acl` is available only in the resources of `acl:`"),
    ] {
        check(own, grant).with_code(1).prints(expected);
    }
}

#[test]
fn unknown_function_is_underlined_completely() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: a, config: {input: '${{ 1 + frobnicate(1) + math.gratest(1) }}'}}\n",
    );
    snapshot!(project.run(["validate", "stack.yaml"]), @"
    exit: 1
    --- stderr
    expression_syntax

      × there is no function `frobnicate`
       ╭─[stack.yaml:5:59]
     5 │   - {type: local_value, name: a, config: {input: '${{ 1 + frobnicate(1) + math.gratest(1) }}'}}
       ·                                                           ──────────
       ╰────
    ");
}

/// Plans two resources of the given types and names.
fn plan_of_two(one: (&str, &str), other: (&str, &str)) -> terrace_tests::Ran {
    let config = |(ty, name): (&str, &str)| match ty {
        "sqlite_table" => format!("{{path: d.db, name: {name}, columns: [{{name: id, type: INT}}]}}"),
        "sqlite_view" => format!("{{path: ./d.db, name: {name}, statement: SELECT 1}}"),
        _ => format!("{{path: {name}}}"),
    };
    let resource =
        |name: &str, it: (&str, &str)| format!("  - {{type: {}, name: {name}, config: {}}}\n", it.0, config(it));
    let project = Project::with_stack(&format!("resources:\n{}{}", resource("one", one), resource("other", other)));
    project.run(["plan", "stack.yaml"])
}

#[test]
fn plan_finds_two_resources_with_the_same_object() {
    for (one, other) in [
        (("sqlite_table", "Orders"), ("sqlite_table", "ORDERS")),
        (("sqlite_table", "orders"), ("sqlite_view", "Orders")),
        (("sqlite_database", "data//d.db"), ("sqlite_database", "./data/d.db")),
        (("local_directory", "a/b"), ("local_directory", "a/./b/")),
    ] {
        let plan = plan_of_two(one, other).with_code(1);
        plan.prints("one_object_twice").prints("give one of them another name, or declare it once");
    }
    // SQLite folds the case of ASCII letters only.
    plan_of_two(("sqlite_table", "é"), ("sqlite_table", "É")).done();
}

//! `terrace graph`: declared resources and their references.

use terrace_tests::{Project, snapshot};

const STACK: &str = r#"resources:
  - {type: local_file, name: a, config: {path: out/a, content: one}}
  - {type: local_file, name: b, config: {path: out/b, content: '${{ "after " + resources.a.sha256 }}'}}
outputs: {path: '${{ resources.a.path }}', size: '${{ resources.a.size }}'}
"#;

#[test]
fn shared_resource_appears_once_under_its_address() {
    let component = |name: &str| {
        format!(
            "  {name}:\n    resources:\n      - {{type: local_directory, name: site, shared: \"${{{{ vars.site }}}}\", config: {{path: out/site}}}}\n      \
             - {{type: local_file, name: page, config: {{path: out/{name}, content: '${{{{ resources.site.path }}}}'}}}}\n"
        )
    };
    let project = Project::with_stack(&format!(
        "variables: {{site: {{default: web}}}}\ncomponents:\n{}{}",
        component("one"),
        component("two")
    ));
    snapshot!(project.run(["graph", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    digraph {
      rankdir = "RL"
      node [shape = box]
      "one/local_file.page"
      "shared/local_directory[\"web\"]"
      "two/local_file.page"
      "one/local_file.page" -> "shared/local_directory[\"web\"]"
      "two/local_file.page" -> "shared/local_directory[\"web\"]"
    }
    "#);
}

#[test]
fn graph_is_drawn_for_graphviz_and_mermaid() {
    let project = Project::with_stack(STACK);
    snapshot!(project.run(["graph", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    digraph {
      rankdir = "RL"
      node [shape = box]
      "local_file.a"
      "local_file.b"
      "local_file.b" -> "local_file.a"
    }
    "#);
    snapshot!(project.run(["graph", "stack.yaml", "--format", "mermaid"]), @r#"
    exit: 0
    --- stdout
    flowchart RL
      n0["local_file.a"]
      n1["local_file.b"]
      n1 --> n0
    "#);
    assert!(!project.has(".terrace"), "drawing needs no state");
}

#[test]
fn resources_of_several_stacks_have_distinct_names() {
    let project = Project::with_stack(STACK);
    project.write("other.yaml", project.read("stack.yaml").replace("name: demo", "name: other"));
    snapshot!(project.run(["graph", "."]), @r#"
    exit: 0
    --- stdout
    digraph {
      rankdir = "RL"
      node [shape = box]
      "demo@local:local_file.a"
      "demo@local:local_file.b"
      "other@local:local_file.a"
      "other@local:local_file.b"
      "demo@local:local_file.b" -> "demo@local:local_file.a"
      "other@local:local_file.b" -> "other@local:local_file.a"
    }
    "#);
}

#[test]
fn graph_of_a_plan_shows_the_order_of_steps() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    project.edit("stack.yaml", "out/a", "out/c");
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    snapshot!(project.run(["graph", "plan"]), @r#"
    exit: 0
    --- stdout
    digraph {
      rankdir = "RL"
      node [shape = box]
      "-/+ local_file.a"
      "local_file.b"
      "local_file.b" -> "-/+ local_file.a"
    }
    "#);
}

#[test]
fn graph_has_lookups_and_replacement_triggers() {
    let project = Project::with_stack(
        r#"data:
  - {type: local_file, name: note, dependsOn: [a], config: {path: note.txt}}
resources:
  - {type: local_file, name: a, config: {path: out/a, content: one}}
  - {type: local_file, name: b, config: {path: out/b, content: '${{ data.note.content }}'}}
  - {type: local_file, name: c, lifecycle: {replaceTriggeredBy: [b.sha256]}, config: {path: out/c, content: x}}
"#,
    );
    snapshot!(project.run(["graph", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    digraph {
      rankdir = "RL"
      node [shape = box]
      "data.local_file.note"
      "local_file.a"
      "local_file.b"
      "local_file.c"
      "data.local_file.note" -> "local_file.a"
      "local_file.b" -> "data.local_file.note"
      "local_file.c" -> "local_file.b"
    }
    "#);
}

#[test]
fn graph_is_drawn_as_svg_without_other_programs() {
    let project = Project::with_stack(STACK);
    let drawn = project.run(["graph", "stack.yaml", "--format", "svg"]).done();
    assert!(drawn.stdout.starts_with("<svg ") && drawn.stdout.ends_with("</svg>\n"), "{drawn}");
    for name in ["local_file.a", "local_file.b"] {
        assert!(drawn.stdout.contains(&format!(">{name}</text>")), "{drawn}");
    }
    assert_eq!(drawn.stdout.matches("marker-start").count(), 1, "{drawn}");
    let large: String = (0..600).map(|number| format!("  - {{type: local_value, name: n{number}}}\n")).collect();
    project.write_stack(&format!("resources:\n{large}"));
    let refused = project.run(["graph", "stack.yaml", "--format", "svg"]).with_code(1);
    refused.prints("600 nodes, 0 edges").prints("`terrace graph FILE --format dot | dot -Tsvg`");
}

//! Commands that show state, history and available types.

use terrace_tests::{Project, snapshot};

const STACK: &str = r#"resources:
  - {type: local_file, name: a, config: {path: out/a, content: one}}
  - {type: local_file, name: b, config: {path: out/b, content: '${{ "after " + resources.a.sha256 }}'}}
outputs: {path: '${{ resources.a.path }}', size: '${{ resources.a.size }}'}
"#;

fn applied() -> Project {
    let project = Project::with_stack(STACK);
    project.apply().done();
    project
}

#[test]
fn init_creates_a_project_that_can_be_applied() {
    let project = Project::new();
    snapshot!(project.run(["init"]), @"
    exit: 0
    --- stdout
    wrote terrace.yaml
    wrote stack.yaml
    wrote .gitignore
    --- stderr

    next: `terrace plan stack.yaml`, then `terrace apply stack.yaml`
    ");
    project.run(["validate", "stack.yaml"]).done();
    project.apply().done();
    assert_eq!(project.read("out/greeting.txt"), "hello, world\n");
    project.assert_settled("stack.yaml", &[]);
    // Existing files are kept.
    project.write("stack.yaml", "mine");
    project.run(["init"]).done().prints("kept stack.yaml");
    assert_eq!(project.read("stack.yaml"), "mine");
}

#[test]
fn init_creates_a_valid_state_key() {
    let project = applied();
    let key = project.run(["init", "--state-key"]).done().stdout;
    assert_ne!(key, project.run(["init", "--state-key"]).done().stdout);
    project.run_with(&[("TERRACE_STATE_KEY", key.trim())], ["show"]).done();
}

#[test]
fn validate_prints_its_result_for_users_and_programs() {
    let project = applied();
    snapshot!(project.run(["validate", "stack.yaml"]), @"
    exit: 0
    --- stdout
    valid: demo@local
    ");
    let json = project.run(["validate", "stack.yaml", "--json"]).done().json();
    assert_eq!(json["valid"], true, "{json}");
}

#[test]
fn state_commands_show_rows() {
    let project = applied();
    snapshot!(project.run(["state", "list"]), @"
    exit: 0
    --- stdout
    local_file.a
    local_file.b
    ");
    snapshot!(project.run(["state", "show", "local_file.a"]), @r#"
    exit: 0
    --- stdout
    # demo@local:local_file.a
    path = "out/a"
    content = "one"
    mode = "0644"
    sensitive = false
    makeParents = true
    sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    size = 3
    id = "out/a"
    # provider = local [version]
    # generation = 1, [time], by operation [uuid]
    "#);
    let json = project.run(["state", "show", "demo@local:local_file.a", "--json"]).done().json();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    for key in [
        "address",
        "type",
        "provider",
        "status",
        "generation",
        "identity",
        "attributes",
        "sensitive",
        "dependencies",
        "updated_at",
    ] {
        assert!(keys.contains(&key), "`{key}` is missing in {keys:?}");
    }
    assert_eq!(json["attributes"]["content"], "one");
    let b = project.run(["state", "show", "local_file.b", "--json"]).done().json();
    assert_eq!(b["dependencies"][0], "local_file.a");
    snapshot!(project.run(["state", "show", "local_file.c"]), @"
    exit: 1
    --- stderr
    error: demo@local has no resource `local_file.c`

    hint: `terrace state list` lists its resources, `terrace state list --all` those of all stacks
    ");
    snapshot!(project.run(["state", "show", "no address"]), @r#"
    exit: 1
    --- stderr
    error: `no address` is not an address: expected `[component/]type.name` or `[component/]type.name["key"]`
    "#);
}

#[test]
fn history_has_one_line_per_generation_newest_first() {
    let project = applied();
    project.edit("stack.yaml", "content: one", "content: two");
    project.apply().done();
    snapshot!(project.run(["state", "history", "local_file.a"]), @"
    exit: 0
    --- stdout
    2  [time]  ready  [uuid]
    1  [time]  ready  [uuid]
    ");
    let history = project.run(["state", "history", "local_file.a", "--json"]).done().json();
    assert_eq!((&history[0]["generation"], &history[1]["generation"]), (&2.into(), &1.into()), "newest first");
}

#[test]
fn show_accepts_resources_operations_and_stacks() {
    let project = applied();
    assert_eq!(
        project.run(["show", "local_file.a"]).done().stdout,
        project.run(["state", "show", "local_file.a"]).done().stdout
    );
    let all = project.run(["show", "--json"]).done().json();
    assert_eq!(all["resources"].as_array().unwrap().len(), 2);
    let operations = project.run(["operations", "list", "--json"]).done().json();
    let id = operations[0]["operation"].as_str().unwrap();
    let shown = project.run(["show", id]).done().stdout;
    assert_eq!(shown, project.run(["operations", "show", id]).done().stdout);
    assert!(shown.contains("local_file.a") && shown.contains("local_file.b"), "{shown}");
    let log = project.run(["operations", "logs", id]).done().stdout;
    let lines = log.lines().collect::<Vec<_>>();
    assert!(lines[0].contains(" apply: started by "), "{log}");
    assert!(lines.iter().any(|line| line.contains("local_file.a create done")), "{log}");
    assert!(lines.last().unwrap().contains(" apply: completed"), "{log}");
    assert!(lines.is_sorted_by_key(|line| line.split(' ').next()), "in the order of time: {log}");
    let at = |end: &str| lines.iter().position(|line| line.ends_with(end)).unwrap();
    assert!(at("local_file.a create done") < at("local_file.b create started"), "b was made after a: {log}");
    let missing = "01900000-0000-7000-8000-000000000000";
    snapshot!(project.run(["operations", "show", missing]), @"
    exit: 1
    --- stderr
    error: there is no operation `[uuid]`

    hint: `terrace operations list` lists them
    ");
}

#[test]
fn operations_and_leases_are_listed() {
    let project = applied();
    snapshot!(project.run(["operations", "list"]), @"
    exit: 0
    --- stdout
    [uuid]  [time]  apply  completed  demo@local  by [person]: 2 done
    ");
    snapshot!(project.run(["leases", "list"]), @"
    exit: 0
    --- stderr
    no leases are held
    ");
    snapshot!(project.run(["unlock", "no-such-lease", "--auto-approve"]), @"
    exit: 1
    --- stderr
    error: there is no lease `no-such-lease`

    hint: `terrace leases list` lists the leases
    ");
    snapshot!(project.run(["recover"]), @"
    exit: 0
    --- stdout
    Nothing to recover.
    ");
}

#[test]
fn outputs_can_be_printed_for_users_programs_and_scripts() {
    let project = applied();
    snapshot!(project.run(["output"]), @r#"
    exit: 0
    --- stdout
    path = "out/a"
    size = 3
    "#);
    snapshot!(project.run(["output", "--json"]), @r#"
    exit: 0
    --- stdout
    {
      "path": {
        "value": "out/a",
        "sensitive": false,
        "stored": true
      },
      "size": {
        "value": 3,
        "sensitive": false,
        "stored": true
      }
    }
    "#);
    assert_eq!(project.run(["output", "path", "--format", "raw"]).done().stdout, "out/a");
    assert_eq!(project.run(["output", "size", "--format", "raw"]).done().stdout, "3");
    snapshot!(project.run(["output", "paht"]), @"
    exit: 1
    --- stderr
    error: there is no output `paht`

    hint: did you mean `path`?
    ");
}

#[test]
fn read_only_commands_create_no_state() {
    let project = Project::with_stack(STACK);
    for words in [
        &["plan", "stack.yaml"] as &[&str],
        &["state", "list"],
        &["stacks", "list"],
        &["operations", "list"],
        &["leases", "list"],
        &["drift", "--all"],
    ] {
        project.run(words.iter().copied()).done();
        assert_eq!(project.all_files().len(), 1, "{words:?} left something behind");
    }
}

#[test]
fn providers_and_blueprints_are_listed_and_explained() {
    let project = Project::new();
    snapshot!(project.run(["providers", "list"]), @"
    exit: 0
    --- stdout
    airbyte 0.1.0  Sources, destinations and connections in Airbyte.
    databricks 0.1.0  Jobs, pipelines, repositories, permissions and Unity Catalog in Databricks workspaces.
    hasura 0.1.0  Sources, tables and permissions of Hasura, and the roles of its role mapper.
    kafka 0.1.0  Topics, access and schemas of Apache Kafka and Confluent clusters.
    kubernetes 0.1.0  Objects of any API of a Kubernetes cluster, by server-side apply.
    local 0.1.0  Values, files, directories and commands of this machine.
    pipelines 0.1.0  Data pipelines of frictionless datapackage-pipelines, run on this machine or in Kubernetes.
    postgres 0.1.0  Databases, schemas, tables, views, indexes, roles and grants of PostgreSQL.
    snowflake 0.1.0  Databases, schemas, tables, views, roles, grants and tags in Snowflake.
    sqlite 0.1.0  Tables, views and indexes in SQLite database files.
    witboost 0.1.0  Components of specific provisioners of Witboost.
    ");
    let schema = project.run(["providers", "schema", "local"]).done().stdout;
    for ty in ["local_value", "local_file", "local_directory", "local_command"] {
        assert!(schema.contains(ty), "{ty}");
    }
    let json = project.run(["providers", "schema", "local", "--json"]).done().json();
    assert!(json.to_string().contains("local_command"));
    snapshot!(project.run(["providers", "schema", "locl"]), @"
    exit: 1
    --- stderr
    error: there is no provider `locl`

    hint: did you mean `local`?
    ");
    let list = project.run(["blueprints", "list"]).done().stdout;
    for line in list.lines() {
        let name = line.split_whitespace().next().unwrap();
        project.run(["blueprints", "show", name]).done().prints("kind: Blueprint");
    }
    assert!(list.contains("snowflake-storage"), "{list}");
    snapshot!(project.run(["blueprints", "show", "snowflake-storag"]), @"
    exit: 1
    --- stderr
    error: there is no blueprint `snowflake-storag` in this environment

    hint: did you mean `snowflake-storage`?
    ");
}

const BLUEPRINT: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: note, version: 1.0.0, description: A note}
match: {useCaseTemplateId: 'urn:dmb:utm:note'}
specific: {type: object, required: [text], properties: {text: {type: string}}}
resources:
  - {type: local_file, name: note, config: {path: note.txt, content: '${{ component.specific.text }}'}}
";

#[test]
fn blueprints_are_checked_without_a_descriptor() {
    let project = Project::new();
    project.write("blueprints/note.yaml", BLUEPRINT);
    project.run(["blueprints", "check", "blueprints"]).done();
    project.edit("blueprints/note.yaml", "component.specific.text", "component.specific.txet");
    snapshot!(project.run(["blueprints", "check", "blueprints"]), @"
    exit: 1
    --- stderr
    unknown_field

      × the schema of `specific` has no `txet`
       ╭─[blueprints/note.yaml:7:75]
     7 │   - {type: local_file, name: note, config: {path: note.txt, content: '${{ component.specific.txet }}'}}
       ·                                                                           ───────────────────────
       ╰────
      hint: did you mean `text`?
    ");
    project.write("blueprints/note.yaml", BLUEPRINT.replace("content:", "contents:"));
    snapshot!(project.run(["blueprints", "check", "blueprints"]), @"
    exit: 1
    --- stderr
    unknown_attribute

      × `local_file` has no attribute `contents`
       ╭─[blueprints/note.yaml:7:61]
     7 │   - {type: local_file, name: note, config: {path: note.txt, contents: '${{ component.specific.text }}'}}
       ·                                                             ────────
       ╰────
      hint: did you mean `content`?
    ");
}

#[test]
fn lifecycle_of_a_blueprint_is_checked_without_a_descriptor() {
    let project = Project::new();
    let text = BLUEPRINT.replace(
        "name: note, config:",
        "name: note, lifecycle: {ignoreChanges: [contnet, '*'], replaceTriggeredBy: [note.sha]}, config:",
    );
    project.write("blueprints/note.yaml", text);
    snapshot!(project.run(["blueprints", "check", "blueprints"]), @"
    exit: 1
    --- stderr
    unknown_attribute

      × `local_file` has no attribute `contnet`
       ╭─[blueprints/note.yaml:7:64]
     7 │   - {type: local_file, name: note, lifecycle: {ignoreChanges: [contnet, '*'], replaceTriggeredBy: [note.sha]}, config: {path: note.txt, content: '${{ component.specific.text }}'}}
       ·                                                                ───────
       ╰────
      hint: did you mean `content`?

    unknown_attribute

      × `local_file` has no attribute `sha`
       ╭─[blueprints/note.yaml:7:100]
     7 │   - {type: local_file, name: note, lifecycle: {ignoreChanges: [contnet, '*'], replaceTriggeredBy: [note.sha]}, config: {path: note.txt, content: '${{ component.specific.text }}'}}
       ·                                                                                                    ────────
       ╰────
      hint: known are: `path`, `content`, `contentBase64`, `source`, `mode`, `sensitive`, `makeParents`, `sha256`, `size`,
            `id`

    reference_cycle

      × a cycle: sample/local_file.note → sample/local_file.note
       ╭─[blueprints/note.yaml:7:100]
     7 │   - {type: local_file, name: note, lifecycle: {ignoreChanges: [contnet, '*'], replaceTriggeredBy: [note.sha]}, config: {path: note.txt, content: '${{ component.specific.text }}'}}
       ·                                                                                                    ────┬───
       ·                                                                                                        ╰── sample/local_file.note needs sample/local_file.note
       ╰────
      hint: remove one of these references, or split a resource in two
    ");
}

#[test]
fn plan_can_be_printed_as_markdown_and_json() {
    let project = Project::with_stack(STACK);
    snapshot!(project.run(["plan", "stack.yaml", "--format", "markdown"]), @r#"
    exit: 0
    --- stdout
    <!-- terrace:plan:demo@local -->
    ### terrace plan: `demo@local`

    Plan: 2 to add, 0 to change, 0 to destroy.

    embedded environment: SQLite and files under .terrace/local

    | component | add | change | destroy | other |
    |---|--:|--:|--:|--:|
    | `demo@local` | 2 | 0 | 0 | 0 |

    <details><summary>demo@local: 2 changes</summary>

    ```diff
    + local_file.a
    +     path        = "out/a"
    +     content     = "one"
    +     mode        = "0644"
    +     sensitive   = false
    +     makeParents = true
    +     sha256      = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    +     size        = 3
    +     id          = "out/a"
    + local_file.b
    +     path        = "out/b"
    +     content     = "after 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    +     mode        = "0644"
    +     sensitive   = false
    +     makeParents = true
    +     sha256      = "8f01bfe7c0375fb522810a805a19b4dff4be752706d5537a9434715f673ab12b"
    +     size        = 70
    +     id          = "out/b"
    ```

    </details>

    <details><summary>outputs: 2 changes</summary>

    ```diff
    + path = "out/a"
    + size = 3
    ```

    </details>

    Plan digest `[digest]`. The full plan: `terrace plan stack.yaml`
    "#);
    let json = project.run(["plan", "stack.yaml", "--json"]).done().json();
    assert_eq!(json["format_version"], "1.2");
    assert_eq!(json["resource_changes"][0]["change"]["actions"], serde_json::json!(["create"]));
    for line in project.run(["plan", "stack.yaml", "--format", "json-stream"]).done().stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    for line in project.run(["apply", "stack.yaml", "--auto-approve", "--json"]).done().stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn version_is_printed_and_completion_scripts_name_commands() {
    let project = Project::new();
    let output = project.run(["version"]).done().stdout;
    let version = output.trim().strip_prefix("terrace ").unwrap();
    assert!(version.starts_with(|c: char| c.is_ascii_digit()) && version.split('.').count() >= 3, "{version}");
    assert!(project.run(["version", "--json"]).done().json().to_string().contains(version));
    project.run(["--version"]).done().prints(version);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        project.run(["completion", shell]).done().prints("blueprints");
    }
}

#[test]
fn every_command_has_a_man_page() {
    let project = Project::new();
    project.run(["man", "pages/man1"]).done();
    let page = project.read("pages/man1/terrace-plan.1");
    assert!(page.starts_with(".ie") && page.contains("detailed\\-exitcode"), "{page}");
    for name in ["terrace", "terrace-state-mv", "terrace-blueprints-test", "terrace-doctor"] {
        assert!(project.has(&format!("pages/man1/{name}.1")), "{name}");
    }
    project.write("file", "");
    project.run(["man", "file/man1"]).with_code(1).prints("file/man1");
}

#[test]
fn help_groups_commands_by_purpose() {
    let project = Project::new();
    let help = |words: &[&str]| project.run_with(&[("COLUMNS", "80")], words.iter().copied()).done().stdout;
    insta::assert_snapshot!("help", help(&["--help"]));
    assert_eq!(help(&["help"]), help(&["--help"]));
    insta::assert_snapshot!("pipelines_help", help(&["pipelines", "--help"]));
    assert!(help(&["help", "pipelines", "run"]).contains("terrace pipelines run --pool nightly"));
}

#[test]
fn help_has_examples_and_maps_terraform_commands() {
    let project = Project::new();
    for command in ["init", "plan", "apply", "destroy", "drift", "show", "output", "graph", "validate", "completion"] {
        project.run([command, "--help"]).done().prints("Example");
    }
    project.run(["help", "terraform"]).done().prints("terraform");
}

#[test]
fn validate_reports_errors_that_need_no_state_or_network() {
    let project = Project::with_stack(
        "variables: {size: {type: int, default: 0}}\nresources:\n  \
         - {type: local_file, name: a, config: {path: ../x, content: a}}\n  \
         - {type: local_file, name: b, config: {path: b, content: a, contentBase64: Yg==}}\n  \
         - {type: local_file, name: c, config: {path: c, content: a, mode: '9'}}\n  \
         - {type: local_file, name: d, config: {path: d, content: a}, \
         checks: [{when: pre, assert: '${{ vars.size > 0 }}', error: size must be positive}]}\n  \
         - {type: local_value, name: e, config: {input: 1}}\n  \
         - {type: local_value, name: f, forEach: '${{ [resources.e.output] }}', key: '${{ string(each.value) }}', config: {input: 1}}\n\
         outputs: {secret: '${{ vars.pw }}'}\n",
    );
    project.edit("stack.yaml", "variables: {", "variables: {pw: {type: string, sensitive: true, default: x}, ");
    let ran = project.run(["validate", "stack.yaml"]).with_code(1);
    for expected in
        ["leads out of the project folder", "contentBase64", "octal", "size must be positive", "exposes a sensitive"]
    {
        ran.prints(expected);
    }
    assert!(!ran.stderr.contains("known only after apply"), "{ran:?}");
    assert!(!project.has(".terrace") && !project.has("d"));
}

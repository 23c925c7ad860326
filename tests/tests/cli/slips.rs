//! Typing mistakes and habits from other tools: each error suggests the right word, and nothing is silently ignored.

use terrace_tests::{Project, Terminal, snapshot};

const STACK: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

#[test]
fn unknown_overlay_is_refused_at_its_place() {
    let project = Project::with_stack(STACK);
    project.write("terrace.yaml", "environments:\n  local:\n    overlay: embeded\n");
    snapshot!(project.run(["plan", "stack.yaml"]), @"
    exit: 1
    --- stderr
    unknown_overlay

      × no blueprint has the overlay `embeded`
       ╭─[terrace.yaml:3:14]
     3 │     overlay: embeded
       ·              ───────
       ╰────
      hint: did you mean `embedded`?
    ");
}

#[test]
fn missing_blueprint_folder_is_refused_at_its_place() {
    let project = Project::with_stack(STACK);
    project.write("blueprints/README.md", "none yet");
    project.write("terrace.yaml", "environments:\n  local:\n    blueprints: [bluprints/]\n");
    snapshot!(project.run(["validate", "stack.yaml"]), @"
    exit: 1
    --- stderr
    missing_folder

      × there is no folder of blueprints `bluprints/`
       ╭─[terrace.yaml:3:18]
     3 │     blueprints: [bluprints/]
       ·                  ──────────
       ╰────
      hint: did you mean `blueprints`?
    ");
}

#[test]
fn file_in_place_of_the_blueprint_folder_is_reported() {
    let project = Project::with_stack(STACK);
    project.write("blueprints", "kind: Blueprint\n");
    snapshot!(project.run(["validate", "stack.yaml"]), @"
    exit: 0
    --- stdout
    valid: demo@local
    --- stderr
    missing_folder

      ⚠ `blueprints` is a file: terrace reads blueprints from a folder of this name
      hint: rename the file
    ");
    project.write("terrace.yaml", "environments: {local: {blueprints: []}}\n");
    let settled = project.run(["validate", "stack.yaml"]).done();
    assert_eq!(settled.stderr, "");
    project.write("terrace.yaml", "environments: {local: {blueprints: [blueprints]}}\n");
    snapshot!(project.run(["validate", "stack.yaml"]), @"
    exit: 1
    --- stderr
    missing_folder

      × `blueprints` is a file, not a folder of blueprints
       ╭─[terrace.yaml:1:37]
     1 │ environments: {local: {blueprints: [blueprints]}}
       ·                                     ──────────
       ╰────
      hint: write the folder that has the file
    ");
}

#[test]
fn invalid_log_level_is_a_warning() {
    let project = Project::with_stack(STACK);
    snapshot!(project.run_with(&[("TERRACE_LOG", "foo")], ["validate", "stack.yaml"]), @"
    exit: 0
    --- stdout
    valid: demo@local
    --- stderr
    unknown_level

      ⚠ `foo` in `TERRACE_LOG` is not a level: nothing is logged for it
      hint: write `error`, `warn`, `info`, `debug` or `trace`; `part=level` for a part of the program
    ");
}

#[test]
fn terraform_commands_are_answered_with_their_equivalents() {
    let project = Project::with_stack(STACK);
    let stderr_of = |words: &[&str]| project.run(words.iter().copied()).with_code(1).stderr;
    snapshot!(project.run(["refresh"]), @"
    exit: 1
    --- stderr
    error: there is no command `refresh`

    hint: `terrace drift FILE` shows drift, `terrace apply --refresh-only FILE` records it
    ");
    for (words, answer) in [
        (&["test"] as &[&str], "terrace blueprints test"),
        (&["workspace", "select", "prod"], "--env NAME"),
        (&["force-unlock", "x"], "terrace unlock LEASE"),
        (&["state", "pull"], "terrace state export"),
        (&["state", "push", "x"], "terrace state import"),
        (&["output", "-raw", "x"], "--format=raw"),
        (&["plan", "--evn", "prod", "stack.yaml"], "did you mean `--env`?"),
        (&["apply", "--auto-aprove", "stack.yaml"], "did you mean `--auto-approve`?"),
    ] {
        let stderr = stderr_of(words);
        assert!(stderr.contains(answer), "{words:?}: {stderr}");
    }
}

#[test]
fn operations_can_be_named_by_an_id_prefix() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    let id = project.run(["operations", "list", "--json"]).done().json()[0]["operation"].as_str().unwrap().to_owned();
    project.run(["operations", "show", &id[..20]]).done().prints("local_file.a");
    project.run(["operations", "logs", &id[..20]]).done().prints("local_file.a");
    snapshot!(project.run(["operations", "show", "nope"]), @"
    exit: 1
    --- stderr
    error: `nope` is not an operation: expected an id or its beginning

    hint: `terrace operations list` lists them
    ");
    snapshot!(project.run(["operations", "show", "00000000"]), @"
    exit: 1
    --- stderr
    error: there is no operation `00000000`

    hint: `terrace operations list` lists them
    ");
    project.run(["apply", "stack.yaml", "--auto-approve", "--replace-nothing"]).with_code(1);
    project.edit("stack.yaml", "one", "two");
    project.apply().done();
    project.run(["operations", "show", &id[..2]]).with_code(1).prints("several operations begin with");
}

#[test]
fn export_of_an_unknown_stack_is_not_an_empty_backup() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    snapshot!(project.run(["state", "export", "dmo@local", "--out", "backup.json"]), @"
    exit: 1
    --- stderr
    error: there is no stack `dmo@local`

    hint: did you mean `demo@local`?
    ");
    assert!(!project.has("backup.json"));
    project.run(["state", "export", "demo@local"]).done().prints("local_file.a");
}

#[test]
fn too_small_comment_limit_is_refused() {
    let project = Project::with_stack(STACK);
    snapshot!(project.run(["plan", "stack.yaml", "--format", "markdown", "--max-chars", "100"]), @"
    exit: 1
    --- stderr
    error: invalid value '100' for '--max-chars <N>': 100 is not in 4000..=4294967295

    For more information, try '--help'.
    ");
    let ran = project.run(["plan", "stack.yaml", "--format", "markdown", "--max-chars", "4000"]).done();
    assert!(ran.stdout.chars().count() <= 4000, "{ran}");
}

#[test]
fn server_without_a_queue_is_refused() {
    let project = Project::with_stack(STACK);
    snapshot!(project.run(["serve", "--queue", "0"]), @"
    exit: 1
    --- stderr
    error: invalid value '0' for '--queue <N>': 0 is not in 1..=4294967295

    For more information, try '--help'.
    ");
}

#[test]
fn two_blueprints_with_one_name_in_a_folder_are_refused() {
    let project = Project::new();
    let blueprint = "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: page, version: 1.0.0}\n";
    project.write("more/a.yaml", blueprint);
    snapshot!(project.run(["blueprints", "check", "more"]), @"
    exit: 0
    --- stdout
    1 blueprint checked
    ");
    project.write("more/b.yaml", blueprint);
    snapshot!(project.run(["blueprints", "check", "more"]), @"
    exit: 1
    --- stderr
    duplicate_blueprint

      × the blueprint `page` is declared in `more/a.yaml` and in `more/b.yaml`
       ╭─[more/b.yaml:3:18]
     3 │ metadata: {name: page, version: 1.0.0}
       ·                  ──┬─
       ·                    ╰── again here
       ╰────
      hint: rename one of the two, or remove it

      ☞ first here
       ╭─[more/a.yaml:3:18]
     3 │ metadata: {name: page, version: 1.0.0}
       ·                  ────
       ╰────
    ");
    let json = project.run(["blueprints", "check", "more", "--json"]).with_code(1).json();
    assert_eq!(json["valid"], false);
    assert_eq!(json["diagnostics"][0]["code"], "duplicate_blueprint");
    project.run(["blueprints", "check", "more/a.yaml", "more/a.yaml"]).done().prints("1 blueprint checked");
}

#[test]
fn destroy_refuses_a_saved_plan_and_apply_accepts_it() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    let help = project.run(["destroy", "--help"]).done().stdout;
    assert!(help.contains("Destroy these descriptors or stacks") && !help.contains("or one saved plan"), "{help}");
    project.run(["plan", "--destroy", "stack.yaml", "--out", "gone.plan"]).done();
    snapshot!(project.run(["destroy", "gone.plan", "--auto-approve"]), @"
    exit: 1
    --- stderr
    error: a saved plan is not a descriptor

    hint: apply it with `terrace apply PLAN`, or show it with `terrace show PLAN`
    ");
    project.run(["apply", "gone.plan"]).done().prints("1 destroyed");
}

#[test]
fn help_command_has_help() {
    let project = Project::new();
    let help = project.run(["help"]).done().stdout;
    for words in [["help", "--help"], ["help", "-h"]] {
        assert_eq!(project.run(words).done().stdout, help);
    }
}

#[test]
fn ignored_drift_must_be_an_attribute() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    project.write("out/a", "another");
    project.run(["drift", "stack.yaml", "--ignore", "content", "--ignore", "sha256", "--ignore", "size"]).done();
    snapshot!(project.run(["drift", "stack.yaml", "--ignore", "contnt"]), @"
    exit: 1
    --- stderr
    error: --ignore: no resource type has the attribute `contnt`

    hint: did you mean `content`?
    ");
    project.run(["drift", "stack.yaml", "--ignore", "bogus"]).with_code(1).prints("no resource type has");
}

#[test]
fn target_of_an_unplanned_stack_lists_the_planned_ones() {
    let project = Project::with_stack(STACK);
    project.write(
        "second.yaml",
        project.read("stack.yaml").replace("name: demo", "name: second").replace("out/a", "out/b"),
    );
    project.run(["apply", ".", "--auto-approve"]).done();
    snapshot!(project.run(["plan", "stack.yaml", "--target", "second@local:local_file.a", "-q"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    unknown_resource

      × `--target second@local:local_file.a`: the plan does not cover the stack `second@local`
      hint: the plan covers `demo@local`
    ");
    let ran = project.run(["plan", ".", "--target", "second@local:local_file.b"]).with_code(1);
    ran.prints("`--target second@local:local_file.b` names no resource").prints("there are: `local_file.a`");
}

#[test]
fn field_is_listed_once() {
    let project = Project::with_stack("resources: []\nimports: [{to: local_file.a, id: a, extra: x}]\n");
    project.run(["validate", "stack.yaml"]).with_code(1).prints("the fields are `forEach`, `key`, `to`, `id`");
}

#[test]
fn option_of_another_command_gets_a_hint() {
    let project = Project::with_stack("resources: [{type: local_value, name: a}]\n");
    project.run(["drift", "stack.yaml", "--var", "x=1"]).with_code(1).prints("ignores variables: leave them out");
    project.run(["drift", "stack.yaml", "--var-file=x"]).with_code(1).prints("ignores variables: leave them out");
    let ran = project.run(["graph", "stack.yaml", "--json"]).with_code(1);
    ran.prints("`terrace graph` has no option `--json`").prints("--format mermaid");
    assert!(!ran.stderr.contains("as a value"), "{ran}");
    project.run(["serve", "--listen", "127.0.0.1:1"]).with_code(1).prints("`--bind ADDRESS:PORT`");
}

#[test]
fn misplaced_option_names_the_commands_that_accept_it() {
    let project = Project::with_stack("resources: [{type: local_value, name: a}]\n");
    snapshot!(project.run(["plan", "stack.yaml", "--parallelism", "0"]), @"
    exit: 1
    --- stderr
    error: `terrace plan` has no option `--parallelism`

    hint: these commands have it: `terrace apply`, `terrace destroy`, `terrace state rollback`, `terrace acl set`, `terrace serve`
    ");
    for (words, hint) in [
        (&["--env", "apply", "plan", "stack.yaml", "--absent=local_value.a"] as &[&str], "`terrace recover` takes it"),
        (&["drift", "stack.yaml", "-f"], "these commands have it: `terrace operations logs`, `terrace pipelines logs`"),
        (&["pipelines", "ssh", "--json"], "`terrace drift` and "),
        (&["state", "list", "--zyxwv"], "`terrace state list --help` lists its options"),
        (&["--json", "plan", "stack.yaml"], "write `terrace plan --json`"),
    ] {
        let ran = project.run(words.iter().copied()).with_code(1);
        ran.prints(hint);
        assert!(!ran.stderr.contains("as a value"), "{ran}");
    }
    let ran = project.run(["plan", "stack.yaml", "--json=3"]).with_code(1);
    assert!(!ran.stderr.contains("has no option"), "{ran}");
}

#[test]
fn command_without_a_required_argument_names_it() {
    let project = Project::new();
    for (words, message) in [
        (&["acl", "show"] as &[&str], "error: `terrace acl show` needs COMPONENT\n"),
        (&["state", "mv", "local_file.a"], "error: `terrace state mv` needs "),
        (&["unlock"], "error: `terrace unlock` needs LEASE\n"),
    ] {
        let ran = project.run(words.iter().copied()).with_code(1);
        ran.prints(message).prints("--help` shows its arguments");
    }
}

#[test]
fn unknown_command_suggests_visible_commands() {
    let project = Project::new();
    for (words, hint) in [
        (&["pln"] as &[&str], "did you mean `terrace plan`?"),
        (&["pipelines-worker"], "`terrace help` lists the commands"),
        (&["state", "lst"], "did you mean `terrace state list`?"),
        (&["run", "./x"], "did you mean `terrace pipelines run`?"),
        (&["help", "ssh"], "did you mean `terrace help pipelines ssh`?"),
        (&["logs"], "did you mean `terrace operations logs` or `terrace pipelines logs`?"),
        (&["list"], "`terrace stacks list` lists stacks, `terrace state list` resources"),
        (&["pipelines", "worke"], "`terrace pipelines` has the commands `run`, `list`"),
        (&["stacks", "foo"], "`terrace stacks` has the commands `list`"),
        (&["acl", "foo"], "`terrace acl` has the commands `show`, `set`"),
        (&["help", "terrafrom"], "did you mean `terrace help terraform`?"),
        (&["help", "pln"], "did you mean `terrace help plan`?"),
        (&["help", "state", "lst"], "did you mean `terrace help state list`?"),
        (&["foo"], "`terrace help` lists the commands"),
        (&["aply", "stack.yaml"], "did you mean `terrace apply`?"),
    ] {
        let ran = project.run(words.iter().copied()).with_code(1);
        assert!(ran.stderr.contains(&format!("hint: {hint}")), "{words:?}: {ran}");
        assert!(!ran.stderr.contains("`worker`"), "{words:?}: {ran}");
    }
    snapshot!(project.run(["acl", "foo"]), @"
    exit: 1
    --- stderr
    error: `terrace acl` has no command `foo`

    hint: `terrace acl` has the commands `show`, `set`
    ");
}

#[test]
fn stack_in_place_of_a_descriptor_suggests_commands_for_stacks() {
    let project = Project::new();
    let ran = project.run(["plan", "multi@local"]).with_code(1);
    ran.prints("there is no file `multi@local`").prints("terrace plan --destroy multi@local");
    let ran = project.run(["plan", "multi@local.yaml"]).with_code(1);
    ran.prints(
        "check the path: it names a descriptor or a folder of descriptors; for `terrace apply` also a saved plan",
    );
}

const AREA: &str = "components:\n  area:\n    blueprint: snowflake-storage\n    specific:\n      database: D\n      schema: S\n      \
                    tables: [{tableName: sqlite_x, schema: [{name: a, dataType: TEXT}]}]\n";

#[test]
fn mistake_in_a_project_blueprint_names_the_component() {
    let project = Project::with_stack(
        "components:\n  one: {blueprint: own, specific: {m: {deep: 1}}}\n  two: {blueprint: own, specific: {m: {}}}\n",
    );
    project.write(
        "blueprints/own.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: own, version: 1.0.0, description: Own}\nspecific: \
         {type: object}\nresources:\n  - {type: local_value, name: v, config: {input: '${{ component.specific.m.deep }}'}}\n",
    );
    let ran = project.run(["validate", "stack.yaml"]).with_code(1);
    ran.prints("blueprints/own.yaml:6:")
        .prints("the value comes from here")
        .prints("two: {blueprint: own, specific: {m: {}}}");
    assert!(!ran.stderr.contains("one: {"), "{ran}");
}

#[test]
fn mistake_in_a_built_in_blueprint_is_reported_in_the_descriptor() {
    let project = Project::with_stack(AREA);
    let ran = project.run(["validate", "stack.yaml"]).with_code(1);
    snapshot!(ran, @r#"
    exit: 1
    --- stderr
    cannot_plan

      × demo@local:area/sqlite_table.table["SQLITE_X"]: `SQLITE_X` cannot be used: SQLite reserves names that begin with
      │ `sqlite_`
        ╭─[stack.yaml:10:7]
     10 │       tables: [{tableName: sqlite_x, schema: [{name: a, dataType: TEXT}]}]
        ·       ──────
        ╰────
      hint: choose another name

      ☞ the blueprint reads it here
        ╭─[sqlite:snowflake-storage.yaml:24:7]
     24 │       name: ${{ upper(each.value.tableName) }}
        ·       ────
        ╰────
    "#);
    let json = project.run(["plan", "stack.yaml", "--json"]).json();
    let place = &json["terrace"]["diagnostics"][0]["place"];
    assert_eq!((&place["file"], &place["line"]), (&"stack.yaml".into(), &10.into()), "{place}");
}

#[test]
fn mistake_in_a_project_blueprint_is_reported_in_the_blueprint() {
    let project = Project::with_stack("components:\n  a: {blueprint: mine, specific: {}}\n");
    project.write("terrace.yaml", "environments: {local: {blueprints: [mine/]}}\n");
    project.write(
        "mine/mine.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: mine, version: 1.0.0}\nresources:\n  \
         - {type: local_file, name: f, config: {path: '', content: x}}\n",
    );
    let ran = project.run(["plan", "stack.yaml"]).with_code(1);
    let (own, component) = (ran.stderr.find("mine/mine.yaml:5:"), ran.stderr.find("[stack.yaml:5:"));
    assert!(own.is_some() && own < component, "{ran}");
}

#[test]
fn cut_list_of_names_says_how_many_are_hidden() {
    let resources: String =
        (0..12).map(|n| format!("  - {{type: local_value, name: n{n:02}, config: {{input: 1}}}}\n")).collect();
    let project = Project::with_stack(&format!(
        "resources:\n{resources}  - {{type: local_value, name: last, config: {{input: '${{{{ resources.zzz.id }}}}'}}}}\n"
    ));
    project
        .run(["plan", "stack.yaml"])
        .with_code(1)
        .prints("declared: `last`, `n00`, `n01`, `n02`, `n03`, `n04`, `n05`, `n06` and 5")
        .prints("more");
}

#[test]
fn field_count_is_answered_with_for_each() {
    let project = Project::with_stack("resources:\n  - {type: local_value, name: a, count: 3, config: {input: 1}}\n");
    let refused = project.run(["plan", "stack.yaml"]).with_code(1);
    refused
        .prints("a resource has no field `count`")
        .prints("for several instances use `forEach` with a list or a map");
}

#[test]
fn hint_to_defer_is_a_complete_command() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: a, config: {input: 1}}\n  \
         - {type: local_value, name: b, forEach: '${{ [resources.a.id] }}', config: {input: 1}}\n",
    );
    let ran = project.run(["plan", "stack.yaml"]).with_code(1);
    let unwrapped = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped.contains("`terrace apply stack.yaml --env local --allow-deferral`"), "{ran}");
    project
        .run(["plan", "stack.yaml", "--allow-deferral"])
        .done()
        .prints("`terrace apply stack.yaml --env local --allow-deferral`");
}

#[test]
fn command_without_descriptor_suggests_what_works_here() {
    let project = Project::new();
    project
        .run(["plan"])
        .with_code(1)
        .prints("write `terrace plan FILE`: a descriptor, or a folder of them; `terrace init`");
    project.run(["destroy"]).with_code(1).prints("or a stack such as `orders@local`");
    project.run(["--chdir", ".", "apply"]).with_code(1).prints("write `terrace apply FILE`");
    project.write_stack("resources: [{type: local_value, name: a}]\n");
    for command in ["plan", "apply", "validate", "graph", "destroy", "console"] {
        let ran = project.run([command]).with_code(1);
        ran.prints(&format!("hint: write `terrace {command} stack.yaml`"));
    }
    project.write_named_stack("other", "resources: []\n");
    project.run(["plan"]).with_code(1).prints("hint: `terrace plan .` takes the descriptors of this folder: ");
    project.run(["plan", "."]).done();
    project.write("notes.yaml", "a: [");
    let ran = project.run(["plan", "--refresh=false"]).with_code(1);
    assert!(!ran.stderr.contains("notes.yaml") && !ran.stderr.contains("plan .`"), "{ran}");
    ran.prints("stack.yaml");
    for words in [["operations", "show"], ["acl", "set"], ["state", "import"]] {
        let ran = project.run(words).with_code(1);
        assert!(!ran.stderr.contains("stack.yaml"), "{ran}");
    }
}

#[test]
fn help_fits_every_terminal_width() {
    let project = Project::new();
    for columns in [40, 80] {
        for words in [&["--help"] as &[&str], &["help", "plan"], &["state", "-h"]] {
            let mut command = project.command(words.iter().copied());
            command.env("COLUMNS", "100");
            let screen = Terminal::start_without_height(command, columns).finish();
            // A single longer word keeps its own line.
            let is_long = |line: &&str| line.chars().count() > columns.into() && line.split_whitespace().count() > 1;
            let long: Vec<&str> = screen.lines().filter(is_long).collect();
            assert!(long.is_empty(), "{columns}: {long:#?}");
            assert!(screen.contains("Usage: terrace"), "{screen}");
        }
    }
}

#[test]
fn help_accepts_the_options_of_every_command() {
    let project = Project::new();
    for words in [&["-q"] as &[&str], &["--color", "never"], &["--color=never"], &["-vv"], &["--input=false", "-q"]] {
        let help = project.run(["help", "terraform"].into_iter().chain(words.iter().copied())).done();
        help.prints("Commands of terraform");
        project.run(["help", "plan"].into_iter().chain(words.iter().copied())).done().prints("Usage: terrace plan");
        project.run(["help"].into_iter().chain(words.iter().copied())).done().prints("Usage: terrace [OPTIONS]");
    }
    project.run(["help", "plan", "--nothing"]).with_code(1);
    project.run(["help", "--color"]).with_code(1);
}

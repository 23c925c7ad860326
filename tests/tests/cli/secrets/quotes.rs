//! Errors never quote a secret: provider errors, configuration expressions and lines of files.

use super::{SECRET, assert_in_no_file_but, assert_silent, run};
use terrace_tests::{Project, Ran};

#[test]
fn provider_error_does_not_repeat_sensitive_values() {
    let project = Project::with_stack(
        r#"variables: {token: {type: string, sensitive: true}}
resources:
  - {type: local_directory, name: folder, config: {path: '${{ "out/" + vars.token }}'}}
"#,
    );
    // The path is taken.
    project.write(&format!("out/{SECRET}/x"), "");
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).with_code(3).prints("there is something at");
    run(&project, &["operations", "list"]);
    run(&project, &["operations", "show", "--json"]);
    for (name, bytes) in project.all_files() {
        assert!(!super::holds_secret(&bytes), "`{name}` holds the secret");
    }
}

#[test]
fn planning_and_lookup_errors_do_not_show_the_secret() {
    for (rest, words) in [
        (
            "resources:\n  - {type: local_file, name: a, config: {path: '${{ \"../\" + vars.token }}', content: x}}\n",
            "leads out of the project folder",
        ),
        (
            "resources:\n  - {type: local_file, name: a, config: {path: a, mode: '${{ vars.token }}', content: x}}\n",
            "mode",
        ),
        (
            "data:\n  - {type: local_file, name: a, config: {path: '${{ vars.token }}'}}\n\
          resources:\n  - {type: local_value, name: b, config: {input: '${{ data.a.size }}'}}\n",
            "no such file",
        ),
        (
            "resources:\n  - {type: sqlite_table, name: t, config: {path: a.db, name: '${{ \"sqlite_\" + vars.token }}', \
          columns: [{name: a, type: TEXT}]}}\n",
            "sqlite_",
        ),
    ] {
        let project = Project::with_stack(&format!("variables: {{token: {{type: string, sensitive: true}}}}\n{rest}"));
        let ran = run(&project, &["plan", "stack.yaml"]).with_code(1);
        ran.prints(words);
        run(&project, &["plan", "stack.yaml", "--json"]);
        assert_in_no_file_but(&project, &[]);
    }
}

#[test]
fn failed_update_shows_neither_new_nor_old_secret() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true}}\nresources:\n  - type: local_command\n    name: login\n    \
         config:\n      create: [echo, '{}']\n      update: [sh, -c, 'cat >&2; exit 1']\n      find: [echo, 'null']\n      \
         input: '${{ vars.token }}'\n",
    );
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).done();
    let other = "another-hunter3";
    let variables = [("TERRACE_VAR_token", other), ("TERRACE_STATE_KEY", super::KEY)];
    let ran = project.run_with(&variables, ["apply", "stack.yaml", "--auto-approve"]).with_code(3);
    assert_silent("apply", &ran);
    assert!(!ran.stderr.contains(other) && !ran.stdout.contains(other), "{ran}");
    assert_in_no_file_but(&project, &[]);
}

/// Plans an empty stack with this configuration.
fn configured(configuration: &str) -> Ran {
    let project = Project::with_stack("resources: []\n");
    project.write("terrace.yaml", configuration);
    project.write("password", format!("{SECRET}\n"));
    let ran = project.run_with(&[("PW", SECRET), ("TERRACE_LOG", "trace")], ["plan", "stack.yaml", "--env", "local"]);
    assert_silent(configuration, &ran);
    let variables = [("PW", SECRET)];
    assert_silent(configuration, &project.run_with(&variables, ["plan", "stack.yaml", "--env", "local", "--json"]));
    ran
}

#[test]
fn failed_configuration_expression_does_not_show_its_input() {
    for expression in [
        "urn(env.PW)",
        r#"{"a": 1}[env.PW]"#,
        "file(env.PW)",
        r#""a".matches(env.PW + "(")"#,
        "env[env.PW]",
        "int(env.PW)",
        "urn(file(\"password\"))",
        r#"{"a": 1}[file("password")]"#,
    ] {
        let expression = expression.replace('\'', "''");
        let settings = format!("settings: {{token: {{secret: '${{{{ {expression} }}}}'}}}}");
        configured(&format!("environments:\n  local:\n    overlay: embedded\n    {settings}\n")).with_code(1);
        configured(&format!("encryption: {{key: '${{{{ {expression} }}}}'}}\n")).with_code(1);
    }
    // Names that are not secret are shown.
    let ran = configured("environments:\n  local: {settings: {token: {secret: '${{ env.MISSING }}'}}}\n");
    ran.prints("`MISSING` is not set");
    let ran = configured("environments:\n  local: {settings: {token: {secret: '${{ file(\"missing.txt\") }}'}}}\n");
    ran.prints("missing.txt");
}

#[test]
fn line_with_a_secret_is_not_quoted() {
    for configuration in [
        format!("environments:\n  local:\n    overlay: embedded\n    oops: {{secret: {SECRET}}}\n"),
        format!("encryption: {{key: {SECRET}, oops: 1}}\n"),
        format!("encryption:\n  key: {SECRET}\n  previous: [{SECRET}, {{oops: {SECRET}}}]\n"),
        format!("environments:\n  local:\n    oops:\n      secret: >\n        {SECRET}\n        {SECRET}: x: y\n"),
        format!("environments: {{local: {{providers: {{local: {{\"secret\": {SECRET}: x}}}}}}}}\n"),
        format!("state: postgres://svc:{SECRET}@host/db: x\n"),
    ] {
        configured(&configuration).with_code(1).prints("terrace.yaml:");
    }
    // Other lines are quoted.
    configured("environments:\n  local: {overlays: embedded}\n").with_code(1).prints("{overlays: embedded}");
}

#[test]
fn variable_file_lines_are_never_quoted() {
    let project = Project::with_stack("variables: {tok: {type: string, sensitive: true}}\nresources: []\n");
    for text in [
        format!("tok: {SECRET}: x\n"),
        format!("tok: {SECRET}\ntok: {SECRET}\n"),
        format!("- {SECRET}\n"),
        SECRET.to_owned(),
    ] {
        project.write("values.yaml", &text);
        let ran = project.run(["plan", "stack.yaml", "--var-file", "values.yaml"]).with_code(1);
        assert_silent(&text, &ran);
        ran.prints("values.yaml");
    }
    for word in [format!("={SECRET}"), SECRET.to_owned()] {
        assert_silent(&word, &project.run(["plan", "stack.yaml", "--var", &word]).with_code(1));
    }
}

#[test]
fn validate_refuses_when_that_reads_a_secret_at_its_place() {
    let project = Project::with_stack("components:\n  a: {blueprint: mine, specific: {}}\n");
    project.write(
        "terrace.yaml",
        "environments:\n  local: {blueprints: [mine/], settings: {token: {secret: '${{ env.TOKEN }}'}}}\n",
    );
    project.write(
        "mine/mine.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: mine, version: 1.0.0}\nresources:\n  \
         - {type: local_file, name: f, when: '${{ settings.token == \"x\" }}', config: {path: f, content: x}}\n",
    );
    for command in ["validate", "plan"] {
        let ran = project.run_with(&[("TOKEN", "x")], [command, "stack.yaml"]).with_code(1);
        ran.prints("`when` reads a sensitive value").prints("mine/mine.yaml:5:");
    }
}

#[test]
fn error_does_not_quote_the_line_of_a_sensitive_variable() {
    for (variable, words) in [
        (
            "sensitive: true, default: DEFAULT, validation: [{assert: '${{ vars.token.size() > 99 }}', error: too short}]",
            "too short",
        ),
        ("sensitive: true, default: DEFAULT, type: int", "whole number"),
        ("sensitive: true, default: DEFAULT, typ: string", "typ"),
        ("sensitive: yes please, default: DEFAULT", "sensitive"),
        ("default: DEFAULT, sensitive: true, schema: {type: object}", "schema"),
    ] {
        let variable = variable.replace("DEFAULT", SECRET);
        let short = format!("variables: {{token: {{{variable}}}}}\n");
        let long = format!("variables:\n  other: {{default: 1}}\n  token:\n    {}\n", variable.replace(", ", "\n    "));
        for text in [short, long.replace("\n    error", ", error")] {
            let project = Project::with_stack(&text);
            for command in ["plan", "validate"] {
                let ran = project.run([command, "stack.yaml"]).with_code(1);
                ran.prints(words);
                assert_silent(command, &ran);
            }
        }
    }
}

//! A sensitive value is only in the file that declares it, and never in output or log.

mod in_the_clear; // with consent and without a key
mod marks; // marks: after a move, declared late, on derived values
mod quotes; // errors and quoted lines of invalid files

use terrace_tests::{Project, Ran, snapshot};

const SECRET: &str = "xK7-hunter2-QzP";
const KEY: &str = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";
const STACK: &str = r#"variables:
  token: {type: string, sensitive: true}
resources:
  - {type: local_file, name: credentials, config: {path: out/token, sensitive: true, content: '${{ "token=" + vars.token }}'}}
  - {type: local_value, name: copy, config: {input: '${{ vars.token }}'}}
  - type: local_command
    name: login
    config:
      create: [sh, -c, 'cat > /dev/null; test -n "$TOKEN" && echo "{\"id\": \"session\"}"']
      secretEnvironment: {TOKEN: '${{ vars.token }}'}
outputs:
  token: {value: '${{ resources.copy.output }}', sensitive: true}
"#;

/// Returns the secret in every encoding that a file or output may have.
fn forms() -> Vec<Vec<u8>> {
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    // base64 of the secret at each of the three offsets, without the characters that depend on neighbours.
    let base64 = ["eEs3LWh1bnRlcjItUXpQ", "hLNy1odW50ZXIyLVF6U", "4SzctaHVudGVyMi1Re"];
    let texts = [SECRET.to_owned(), hex.to_uppercase(), hex].into_iter().chain(base64.map(str::to_owned));
    texts.map(String::into_bytes).collect()
}

/// Checks that no other file has the secret.
#[track_caller]
fn assert_in_no_file_but(project: &Project, meant: &[&str]) {
    for (name, bytes) in project.all_files() {
        assert!(meant.contains(&name.as_str()) || !holds_secret(&bytes), "`{name}` holds the secret");
    }
}

fn holds_secret(bytes: &[u8]) -> bool {
    forms().iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
}

fn assert_silent(what: &str, ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!holds_secret(text.as_bytes()), "{what} shows the secret:\n{ran}");
    }
}

fn run(project: &Project, words: &[&str]) -> Ran {
    let variables = [("TERRACE_VAR_token", SECRET), ("TERRACE_STATE_KEY", KEY), ("TERRACE_LOG", "trace")];
    let ran = project.run_with(&variables, words.iter().copied());
    assert_silent(&words.join(" "), &ran);
    ran
}

#[test]
fn search_finds_the_secret() {
    assert!(holds_secret(format!("a{SECRET}b").as_bytes()));
    assert!(holds_secret(b"token=eEs3LWh1bnRlcjItUXpQ"));
    assert!(!holds_secret(b"hunter"));
}

#[test]
fn secret_with_a_key_is_in_no_file_output_or_log() {
    let project = Project::with_stack(STACK);
    for words in [
        &["validate", "stack.yaml"] as &[&str],
        &["plan", "stack.yaml"],
        &["plan", "stack.yaml", "--detail", "full"],
        &["plan", "stack.yaml", "--json"],
        &["plan", "stack.yaml", "--format", "markdown"],
        &["plan", "stack.yaml", "--format", "json-stream"],
        &["plan", "stack.yaml", "--out", "plan"],
        &["show", "plan"],
        &["show", "plan", "--json"],
        &["apply", "plan", "--json"],
        &["apply", "stack.yaml", "--auto-approve"],
        &["show"],
        &["show", "--json"],
        &["output"],
        &["output", "--json"],
        &["state", "show", "local_file.credentials"],
        &["state", "show", "local_value.copy", "--json"],
        &["state", "history", "local_value.copy"],
        &["state", "export", "--history"],
        &["operations", "list"],
        &["graph", "stack.yaml"],
    ] {
        let ran = run(&project, words).done();
        assert!(ran.stderr.contains("TRACE") || !words.contains(&"apply"), "there is no log at all:\n{ran}");
    }
    assert_eq!(project.read("out/token"), format!("token={SECRET}"));
    assert_in_no_file_but(&project, &["out/token"]);
    // The key and `--reveal` show the secret.
    let words = ["output", "token", "--format", "raw", "--reveal"];
    assert_eq!(project.run_with(&[("TERRACE_STATE_KEY", KEY)], words).done().stdout, SECRET);
    snapshot!(project.run_with(&[("TERRACE_STATE_KEY", KEY)], ["output", "token", "--format", "raw"]), @"
    exit: 1
    --- stderr
    error: the output `token` is sensitive

    hint: pass `--reveal` to show it
    ");
}

#[test]
fn changed_secret_is_a_change_and_neither_value_is_shown() {
    let project = Project::with_stack(STACK);
    let with = |secret: &str, words: &[&str]| {
        let variables = [("TERRACE_VAR_token", secret), ("TERRACE_STATE_KEY", KEY)];
        project.run_with(&variables, words.iter().copied())
    };
    with("another one", &["apply", "stack.yaml", "--auto-approve"]).done();
    let plan = with(SECRET, &["plan", "stack.yaml"]).done();
    snapshot!(plan.clone(), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      -/+ local_command.login    must be replaced: secretEnvironment (sensitive, changed)
          ~ output = (sensitive value) → (known after apply)
          ~ id     = (sensitive value) → (known after apply)
          (1 unchanged attribute hidden)
          ~ secretEnvironment = (sensitive, changed)  # forces replacement
      ~ local_file.credentials   content, sha256, size changed
          ~ content = (sensitive, changed)
          ~ sha256  = (sensitive, changed)
          ~ size    = (sensitive, changed)
          (5 unchanged attributes hidden)
      ~ local_value.copy         input changed
          ~ input  = (sensitive, changed)
          ~ output = (sensitive value) → (known after apply)
          (1 unchanged attribute hidden)

      outputs
      ~ token = (sensitive, changed)

    Plan: 1 to add, 2 to change, 1 to destroy.
    (1 replaced)
    ");
    assert_silent("plan", &plan);
    with(SECRET, &["apply", "stack.yaml", "--auto-approve"]).done();
    assert_eq!(project.read("out/token"), format!("token={SECRET}"));
}

#[test]
fn failing_command_does_not_show_its_secret() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true}}\nresources:\n  - type: local_command\n    name: login\n    \
         config:\n      create: [sh, -c, 'echo \"wrong token $TOKEN\" >&2; exit 1']\n      find: [echo, 'null']\n      \
         secretEnvironment: {TOKEN: '${{ vars.token }}'}\n",
    );
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).with_code(3).prints("wrong token");
    assert_in_no_file_but(&project, &[]);
}

#[test]
fn secret_without_a_key_is_not_stored() {
    let project = Project::with_stack(STACK);
    let ran = project.run_with(&[("TERRACE_VAR_token", SECRET)], ["apply", "stack.yaml", "--auto-approve", "-q"]);
    assert_silent("apply", &ran);
    snapshot!(ran, @r#"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_command.login
          + create            = ["sh", "-c", "cat > /dev/null; test -n \"$TOKEN\" && echo \"{\\\"id\\\": \\\"session\\\"}\…"
          + secretEnvironment = (sensitive value)
          + output            = (sensitive value)
          + id                = (sensitive value)
      + local_file.credentials
          + path        = "out/token"
          + content     = (sensitive value)
          + mode        = "0600"
          + sensitive   = true
          + makeParents = true
          + sha256      = (sensitive value)
          + size        = (sensitive value)
          + id          = "out/token"
      + local_value.copy
          + input  = (sensitive value)
          + id     = (known after apply)
          + output = (sensitive value)

      outputs
      + token = (sensitive value)

    Plan: 3 to add, 0 to change, 0 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    no_state_key

      × demo@local:local_file.credentials: `content` is sensitive and there is no state key to seal it with
      │ at stack.yaml:7:30
      hint: create a key with `terrace init --state-key`, or store the value in plain text with `--plaintext-secrets`

    no_state_key

      × demo@local:local_value.copy: `input` is sensitive and there is no state key to seal it with
      │ at stack.yaml:8:31
      hint: create a key with `terrace init --state-key`, or store the value in plain text with `--plaintext-secrets`

    no_state_key

      × demo@local:local_command.login: `output` is sensitive and there is no state key to seal it with
      │ at stack.yaml:10:11
      hint: create a key with `terrace init --state-key`, or store the value in plain text with `--plaintext-secrets`
    "#);
    assert!(!project.has("out"));
    let ran = project.run_with(&[("TERRACE_VAR_token", SECRET)], ["plan", "stack.yaml", "--out", "plan"]);
    assert_silent("plan", &ran);
    assert_eq!((ran.code, project.has("plan")), (1, false), "{ran}");
    let words = ["apply", "stack.yaml", "--auto-approve", "-q", "--plaintext-secrets"];
    project.run_with(&[("TERRACE_VAR_token", SECRET)], words).done();
    assert_eq!(project.read("out/token"), format!("token={SECRET}"));
}

#[test]
fn sealed_values_stay_closed_with_another_key_or_none() {
    let project = Project::with_stack(STACK);
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).done();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let words = ["state", "show", "local_value.copy"];
    snapshot!(project.run(words), @r#"
    exit: 0
    --- stdout
    # demo@local:local_value.copy
    input = (sensitive value)
    id = "[uuid]"
    output = (sensitive value)
    # provider = local [version]
    # generation = 1, [time], by operation [uuid]
    "#);
    snapshot!(project.run_with(&[("TERRACE_STATE_KEY", other)], words), @r#"
    exit: 0
    --- stdout
    # demo@local:local_value.copy
    input = (sensitive value)
    id = "[uuid]"
    output = (sensitive value)
    # provider = local [version]
    # generation = 1, [time], by operation [uuid]
    "#);
    snapshot!(project.run_with(&[("TERRACE_STATE_KEY", "no key")], words), @r#"
    exit: 0
    --- stdout
    # demo@local:local_value.copy
    input = (sensitive value)
    id = "[uuid]"
    output = (sensitive value)
    # provider = local [version]
    # generation = 1, [time], by operation [uuid]
    "#);
}

#[test]
fn output_that_exposes_a_secret_unmarked_is_an_error() {
    let project = Project::with_stack(
        &STACK.replace("{value: '${{ resources.copy.output }}', sensitive: true}", "'${{ resources.copy.output }}'"),
    );
    let ran = run(&project, &["plan", "stack.yaml", "-q"]);
    assert_eq!(ran.code, 1, "{ran}");
    ran.prints("output `token` exposes a sensitive value").prints("sensitive: true");
}

//! State keys of single environments.

use terrace_tests::Project;

const PROJECT_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OWN_KEY: &str = "//////////////////////////////////////////8=";
const STACK: &str = "variables: {token: {type: string, sensitive: true, default: hunter2}}\nresources:\n  \
                     - {type: local_value, name: a, config: {input: '${{ vars.token }}'}}\n";

fn configure(project: &Project, own: &str) {
    let text = format!("environments:\n  local: {{overlay: embedded}}\n  production: {{overlay: embedded{own}}}\n");
    project.write("terrace.yaml", text);
}

#[test]
fn environment_is_sealed_with_its_own_key() {
    let project = Project::with_stack(STACK);
    let own = format!(", encryption: {{key: \"{OWN_KEY}\"}}");
    configure(&project, &own);
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", PROJECT_KEY)], words.iter().copied());
    run(&["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    run(&["apply", "stack.yaml", "--auto-approve", "-q", "--env", "production"]).done();
    // The project's key opens only environments without their own key.
    configure(&project, "");
    run(&["plan", "stack.yaml"]).done().prints("No changes.");
    run(&["plan", "stack.yaml", "--env", "production"]).with_code(1).prints("which is not configured");
    // A plan of one environment is not authenticated with the key of another.
    configure(&project, &own);
    project.edit("stack.yaml", "hunter2", "hunter3");
    run(&["plan", "stack.yaml", "--env", "production", "--out", "plan"]).done();
    configure(&project, "");
    run(&["apply", "plan"]).with_code(4).prints("which is not configured");
    configure(&project, &own);
    run(&["apply", "plan", "-q"]).done().prints("1 changed");
    // With all keys configured, every value is sealed again.
    run(&["state", "rekey"]).done().prints("are sealed with the present key");
    run(&["plan", "stack.yaml", "--env", "production"]).done().prints("No changes.");
    let checked = run(&["doctor"]);
    checked.prints("state key of `production`");
}

#[test]
fn unbound_values_are_refused_if_bound_ones_are_required() {
    let project = Project::with_stack(STACK);
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", PROJECT_KEY)], words.iter().copied());
    project.write("terrace.yaml", "encryption: {requireBound: true}\n");
    run(&["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    run(&["plan", "stack.yaml"]).done().prints("No changes.");
}

#[test]
fn value_in_the_clear_needs_consent_under_a_key() {
    let project = Project::with_stack(STACK);
    project.run(["apply", "stack.yaml", "--auto-approve", "-q", "--plaintext-secrets"]).done();
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", PROJECT_KEY)], words.iter().copied());
    let refused = run(&["plan", "stack.yaml"]).with_code(1);
    refused.prints("holds a sensitive value in clear text although there is a state key");
    refused.prints("terrace state rekey --plaintext-secrets");
    run(&["state", "rekey"]).with_code(1).prints("in clear text");
    run(&["plan", "stack.yaml", "--plaintext-secrets"]).done();
    run(&["state", "rekey", "--plaintext-secrets"]).done();
    run(&["plan", "stack.yaml"]).done().prints("No changes.");
}

#[test]
fn moved_and_imported_secrets_open_at_their_new_place() {
    let project = Project::with_stack(STACK);
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", PROJECT_KEY)], words.iter().copied());
    run(&["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    run(&["state", "mv", "local_value.a", "local_value.b"]).done();
    project.edit("stack.yaml", "name: a", "name: b");
    run(&["plan", "stack.yaml"]).done().prints("No changes.");
    run(&["state", "export", "--out", "export.json"]).done();
    let other = "sqlite:other.db";
    run(&["--state", other, "state", "import", "export.json"]).done();
    run(&["--state", other, "plan", "stack.yaml"]).done().prints("No changes.");
}

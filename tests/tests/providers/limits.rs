//! `limits` of a provider instance in terrace.yaml: how many calls run at once.

use terrace_tests::{Project, snapshot};

/// Eight commands. Each records its begin and end, and ends as soon as `AWAITED` of them run at once.
const COMMANDS: &str = r#"resources:
  - type: local_command
    name: part
    forEach: ${{ range(8) }}
    timeouts: {create: 60s}
    config:
      create:
        - sh
        - -c
        - |
          cat > /dev/null
          echo begin >> log.txt
          until [ -e reached ]; do
            [ $(($(grep -c begin log.txt) - $(grep -c end log.txt))) -ge AWAITED ] && touch reached
            sleep 0.01
          done
          echo end >> log.txt
          echo '{}'
"#;

/// Returns how many commands ran at once at most. It waits for `awaited` parallel commands.
fn max_parallel(configuration: &str, awaited: usize) -> usize {
    let project = Project::with_stack(&COMMANDS.replace("AWAITED", &awaited.to_string()));
    project.write("terrace.yaml", configuration);
    project.run(["apply", "stack.yaml", "--auto-approve", "--parallelism=8", "-q"]).done();
    let (mut running, mut most) = (0, 0);
    for line in project.read("log.txt").lines() {
        running = if line == "begin" { running + 1 } else { running - 1 };
        most = running.max(most);
    }
    most
}

fn configured(limits: &str) -> String {
    format!("environments: {{local: {{providers: {{local: {{limits: {limits}}}}}}}}}\n")
}

#[test]
fn provider_instance_runs_at_most_its_limit_of_commands() {
    assert_eq!(max_parallel(&configured("{retries: 1}"), 8), 8, "without a limit all of them run at once");
    assert_eq!(max_parallel(&configured("{concurrency: 2}"), 2), 2);
    assert_eq!(max_parallel(&configured("{types: {local_command: {concurrency: 1}}}"), 1), 1);
}

#[test]
fn invalid_limits_are_reported_at_their_place_before_any_change() {
    let project = Project::with_stack(COMMANDS);
    project.write(
        "terrace.yaml",
        "environments:\n  local:\n    providers:\n      local:\n        limits: {concurency: 2, types: {local_comand: {concurrency: 1}}}\n",
    );
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve"]), @"
    exit: 1
    --- stderr
    unknown_field

      × `limits` has no field `concurency`
       ╭─[terrace.yaml:5:18]
     5 │         limits: {concurency: 2, types: {local_comand: {concurrency: 1}}}
       ·                  ──────────
       ╰────
      hint: did you mean `concurrency`?
    ");
    project.edit("terrace.yaml", "concurency: 2, ", "");
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve"]), @"
    exit: 1
    --- stderr
    unknown_type

      × the provider `local` has no type `local_comand`
       ╭─[terrace.yaml:5:26]
     5 │         limits: {types: {local_comand: {concurrency: 1}}}
       ·                          ────────────
       ╰────
      hint: did you mean `local_command`?
    ");
    assert!(!project.has(".terrace"), "nothing was made");
}

//! `limits` of an instance in terrace.yaml: how much a provider may be asked at once.

use terrace_tests::{Project, snapshot};

/// Eight commands. Each says how many run, itself included, and goes on waiting while it may see more than two.
const COMMANDS: &str = r#"resources:
  - type: local_command
    name: part
    forEach: ${{ range(8) }}
    config:
      create:
        - sh
        - -c
        - |
          cat > /dev/null
          touch running/$NUMBER
          count() { ls running | wc -l; }
          for turn in 1 2 3 4 5; do count >> counts.txt; [ "$(count)" -gt 2 ] && break; sleep 0.02; done
          rm running/$NUMBER
          echo '{}'
      environment: {NUMBER: '${{ string(each.value) }}'}
"#;

/// The most commands that ran at once.
fn most_at_once(configuration: &str) -> usize {
    let project = Project::with_stack(COMMANDS);
    project.write("terrace.yaml", configuration);
    std::fs::create_dir(project.path("running")).unwrap();
    project.run(["apply", "stack.yaml", "--auto-approve", "--parallelism=8", "-q"]).done();
    let counts = project.read("counts.txt");
    counts.lines().map(|line| line.trim().parse().unwrap()).max().unwrap()
}

fn configured(limits: &str) -> String {
    format!("environments: {{local: {{providers: {{local: {{limits: {limits}}}}}}}}}\n")
}

#[test]
fn an_instance_runs_no_more_commands_at_once_than_its_limits_say() {
    assert!(most_at_once(&configured("{retries: 1}")) > 2, "without a limit more of them run at once");
    assert_eq!(most_at_once(&configured("{concurrency: 2}")), 2);
    assert_eq!(most_at_once(&configured("{types: {local_command: {concurrency: 1}}}")), 1);
}

#[test]
fn limits_that_are_none_are_told_at_their_place_and_nothing_is_done() {
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
      help: did you mean `concurrency`?
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
      help: did you mean `local_command`?
    ");
    assert!(!project.has(".terrace"), "nothing was made");
}

//! Jobs that are killed during an apply, and jobs without their state.

use super::repository::{AUTHOR, Forge, REVIEWER, Repository, stack};

/// A stack with a command that kills terrace before or after its effect if a file with this name exists, and a file that
/// waits for the command.
fn fragile(find: &str) -> String {
    let create = "cat > /dev/null; [ -e ../kill-before ] && { rm ../kill-before; kill -9 $PPID; exit 1; }; touch made; \
                  [ -e ../kill-after ] && { rm ../kill-after; kill -9 $PPID; exit 1; }; echo '{\"id\": \"1\"}'";
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: fragile}}\nresources:\n  - type: local_command\n    name: job\n    \
         config:\n      create: [sh, -c, {}]\n{find}  - type: local_file\n    name: a\n    dependsOn: [job]\n    \
         config: {{path: out/a.txt, content: x}}\n",
        serde_json::Value::from(create)
    )
}

const FIND: &str =
    "      find: [sh, -c, 'cat > /dev/null; if [ -e made ]; then echo ''{\"id\": \"1\"}''; else echo null; fi']\n";

/// A merged request that adds the fragile stack, and whose apply was killed.
fn killed(forge: Forge, find: &str, when: &str) -> (Repository, u64) {
    let repository = Repository::with_stack(forge);
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/fragile.yaml", &fragile(find)));
    repository.plan(number).done();
    repository.merge("feature", number);
    repository.project.write(when, "");
    let ran = repository.apply();
    assert!(ran.code != 0 && !repository.project.has(when), "the command did not run: {ran}");
    (repository, number)
}

#[test]
fn reviewed_plan_is_applied_after_a_kill_before_its_first_effect() {
    for forge in Forge::both() {
        let (repository, number) = killed(forge, FIND, "kill-before");
        repository.apply().done().prints("apply fragile@local: applied");
        assert!(repository.path("made").exists() && repository.read("out/a.txt") == "x");
        assert!(repository.apply_comment(number).contains("| `fragile@local` | applied |"));
        repository.check_calls();
    }
}

#[test]
fn rest_of_an_interrupted_plan_needs_an_approval_and_says_why() {
    let (repository, number) = killed(Forge::github(), FIND, "kill-after");
    repository.apply().with_code(4).prints("stale: an interrupted run applied a part of the reviewed plan");
    assert!(!repository.path("out/a.txt").exists());
    let report = repository.apply_comment(number);
    let approval = report.lines().find(|line| line.starts_with("terrace approve ")).unwrap();
    repository.forge.comment(REVIEWER, number, approval);
    repository.apply().done().prints("apply fragile@local: applied");
    assert_eq!(repository.read("out/a.txt"), "x");
    repository.check_calls();
}

#[test]
fn step_in_doubt_is_named_with_the_command_that_resolves_it() {
    let (repository, number) = killed(Forge::github(), "", "kill-before");
    for _ in 0..2 {
        let ran = repository.apply().with_code(4);
        ran.prints("apply fragile@local: not applied");
        let report = repository.apply_comment(number);
        assert!(report.contains("terrace recover") && !report.contains("terrace approve"), "{report}");
    }
    assert!(repository.apply_comment(number).contains("resolve it with `terrace recover fragile@local`"));
    let ran = repository.drift().with_code(1);
    ran.prints("drift fragile@local: unknown, because the outcomes of some steps are in doubt");
    ran.prints("error: fragile@local:local_command.job is in doubt").prints("terrace recover");
    repository.terrace(&["recover", "fragile@local"]).prints("terrace recover --absent");
    repository.terrace(&["recover", "--absent", "fragile@local:local_command.job"]).done();
    repository.apply().done().prints("apply fragile@local: applied");
    repository.check_calls();
}

#[test]
fn job_without_its_state_changes_nothing() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        repository.terrace(&["apply", "stacks/demo.yaml", "--auto-approve", "-q"]).done();
        repository.write("out/demo.txt", "by hand");
        repository.drift().with_code(2);
        let change = |it: &Repository| it.write("stacks/demo.yaml", &stack("demo", "two"));
        let number = repository.request("feature", AUTHOR, false, change);
        let without = [("TERRACE_STATE", "")];
        let message = "the job names no state";
        repository.job(&["pr", "drift"], "schedule", 0, &without).with_code(1).prints(message);
        repository.job(&["pr", "plan"], "pull_request", number, &without).with_code(1).prints(message);
        assert!(repository.plan_comment(number).contains(message));
        repository.plan(number).done();
        repository.merge("feature", number);
        repository.job(&["pr", "apply"], "push", 0, &without).with_code(1).prints(message);
        let mistyped = [("TERRACE_STATE", "sqlite:sate.db")];
        repository.job(&["pr", "drift"], "schedule", 0, &mistyped).with_code(1).prints("sate.db` does not exist");
        assert!(!repository.path(".terrace").exists() && repository.read("out/demo.txt") == "by hand");
        assert!(repository.forge.issues()[0].2, "the issue is open");
        repository.check_calls();
    }
}

/// A stack whose command waits for the file `go`.
fn slow() -> String {
    let create = "cat > /dev/null; touch ../begun; for i in $(seq 2000); do [ -e ../go ] && break; sleep 0.05; done; \
                  echo '{\"id\": \"1\"}'";
    fragile(FIND).replace("name: fragile", "name: slow").replace(
        &fragile(FIND).lines().find(|line| line.contains("create:")).unwrap()[6..],
        &format!("create: [sh, -c, {}]", serde_json::Value::from(create)),
    )
}

/// Two jobs of a request at the same time, such as a retry during the first run.
#[test]
fn second_job_waits_for_the_first_one() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/slow.yaml", &slow()));
        repository.plan(number).done();
        repository.merge("feature", number);
        let first = repository.start_job(&["pr", "apply"], "push", 0, &[]);
        terrace_tests::until("the first job works", || repository.project.has("begun"));
        let second = repository.start_job(&["pr", "apply"], "push", 0, &[]);
        second.wait_for_stderr("waiting up to");
        repository.project.write("go", "");
        first.finish().done().prints("apply slow@local: applied");
        second.finish().done().prints("apply slow@local: nothing to do");
        let report = repository.apply_comment(number);
        assert!(report.contains("| `slow@local` | applied"), "{report}");
        repository.check_calls();
    }
}

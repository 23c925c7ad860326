//! Replacements: the old object is deleted only after its successor can be created, and results are counted by what
//! was done.

use terrace_tests::{Project, snapshot};

#[test]
fn failed_check_keeps_the_object_to_replace() {
    let project = Project::with_stack(
        "variables: {v: {type: int, default: 1}}\nresources:\n  \
         - {type: local_value, name: a, config: {input: '${{ vars.v }}'}}\n  - type: local_file\n    name: b\n    \
         checks: [{when: pre, assert: '${{ resources.a.output < 2 }}', error: v must stay under 2}]\n    \
         config: {path: 'b-${{ vars.v }}.txt', content: hello}\n  \
         - type: local_value\n    name: c\n    \
         checks: [{when: pre, assert: '${{ resources.a.output < 2 }}', error: v must stay under 2}]\n    \
         config: {input: 1, triggersReplace: '${{ vars.v }}'}\n",
    );
    project.apply().done();
    project.run(["plan", "stack.yaml", "--var", "v=2", "--out", "plan"]).done();
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 0 added, 1 changed, 0 destroyed. (1 done, 2 failed)
    --- stderr
    local_value.a: updated after [duration]
    local_file.b: failed to replace: v must stay under 2
    local_value.c: failed to replace: v must stay under 2

    error: demo@local:local_file.b: v must stay under 2
      the check is at stack.yaml:9:34
      declared at stack.yaml:8:11

    error: demo@local:local_value.c: v must stay under 2
      the check is at stack.yaml:13:34
      declared at stack.yaml:12:11
    ");
    assert_eq!(project.read("b-1.txt"), "hello");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.b\nlocal_value.a\nlocal_value.c\n");
}

#[test]
fn dependencies_of_a_successor_are_done_before_the_old_object_is_deleted() {
    let project = Project::with_stack(
        "variables: {v: {type: int, default: 1}}\nresources:\n  \
         - {type: local_command, name: a, config: {create: [sh, -c, 'echo {}'], update: [sh, -c, 'exit 3'], \
         find: [sh, -c, 'echo {}'], input: '${{ vars.v }}'}}\n  \
         - {type: local_file, name: b, lifecycle: {replaceTriggeredBy: [a]}, config: {path: b.txt, content: hello}}\n",
    );
    project.apply().done();
    project.run(["plan", "stack.yaml", "--var", "v=2", "--out", "plan"]).done();
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 0 added, 0 changed, 0 destroyed. (0 done, 1 failed, 1 not tried)
    --- stderr
    local_command.a: updating...
    local_command.a: failed to update: `update` failed with exit code 3

    error: demo@local:local_command.a: `update` failed with exit code 3
      declared at stack.yaml:6:33

    not done:
      demo@local:local_file.b: waits for local_command.a
    ");
    assert_eq!(project.read("b.txt"), "hello");
}

#[test]
fn half_replacement_is_counted_by_what_was_done() {
    // The successor cannot be created because a file created outside terrace has its path.
    let project = Project::with_stack(
        "variables: {v: {type: int, default: 1}}\nresources:\n  \
         - {type: local_file, name: b, config: {path: 'b-${{ vars.v }}.txt', content: hello}}\n  \
         - {type: local_value, name: c, config: {input: 1, triggersReplace: '${{ vars.v }}'}}\n",
    );
    project.apply().done();
    project.run(["plan", "stack.yaml", "--var", "v=2", "--out", "plan"]).done();
    project.write("b-2.txt", "theirs");
    // The two resources are independent, so their order is not fixed.
    let mut ran = project.run(["apply", "plan"]);
    let (progress, rest) = ran.stderr.split_once("\n\n").unwrap();
    let mut lines: Vec<&str> = progress.lines().collect();
    lines.sort_unstable();
    ran.stderr = format!("{}\n\n{rest}", lines.join("\n"));
    snapshot!(ran, @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 2 destroyed. (2 done, 1 failed)
    --- stderr
    local_file.b: creating...
    local_file.b: deleted after [duration]
    local_file.b: deleting...
    local_file.b: failed to replace: there is a file `b-2.txt` already
    local_value.c: created after [duration]
    local_value.c: deleted after [duration]

    error: demo@local:local_file.b: there is a file `b-2.txt` already
      declared at stack.yaml:6:30

    hint: to adopt it, set `adopt: ifExists` on the resource
    hint: to record it unchanged, run `terrace import demo@local:local_file.b b-2.txt`
    ");
}

#[test]
fn refused_step_is_not_reported_as_done() {
    let project = Project::with_stack(
        "variables: {v: {type: int, default: 1}}\nresources:\n  \
         - {type: local_value, name: a, config: {triggersReplace: '${{ vars.v }}'}}\n",
    );
    project.apply().done();
    project.run(["plan", "stack.yaml", "--var", "v=2", "--out", "two"]).done();
    project.run(["plan", "stack.yaml", "--var", "v=3", "--out", "three"]).done();
    project.run(["apply", "two"]).done();
    snapshot!(project.run(["apply", "three"]), @"
    exit: 4
    --- stderr
    error: demo@local:local_value.a (generation 1, now 3) changed since the plan was made

    hint: plan again, and review the new plan
    ");
}

#[test]
fn unfinished_replacement_is_named_at_the_end() {
    let stack = |create: &str, value: &str| {
        format!(
            "resources:\n  - type: local_command\n    name: thing\n    lifecycle: {{createBeforeDestroy: true}}\n    config:\n      \
             create: [sh, -c, '{create}']\n      find: [sh, -c, 'cat object 2>/dev/null || echo null']\n      \
             delete: [sh, -c, 'exit 1']\n      environment: {{VALUE: {value}}}\n"
        )
    };
    let project = Project::with_stack(&stack("echo \"{}\" > object; exit 1", "one"));
    let half_made = project.apply().with_code(3);
    half_made.prints("left behind:\n  demo@local:local_command.thing: only partly created: the next apply replaces it");
    let project = Project::with_stack(&stack("echo \"{}\" > object; cat object", "one"));
    project.apply().done();
    project.write_stack(&stack("echo \"{}\" > object; cat object", "two"));
    for _ in 0..2 {
        let undeleted = project.apply().with_code(3);
        undeleted.prints("left behind:\n  demo@local:local_command.thing (deposed ");
        undeleted.prints("): replaced but not deleted: the next apply deletes it");
    }
}

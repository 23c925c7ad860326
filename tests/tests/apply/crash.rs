//! Crashes before and after an effect, and at random moments: no orphan, no duplicate, no lost row.

use terrace_tests::{Project, until};

/// A program that keeps its object in a file and logs its calls. The file `when` names the moment of the crash, once.
const THING: &str = r#"#!/bin/sh
cat > request
die() { if [ "$(cat when 2>/dev/null)" = "$1" ]; then rm when; kill -9 $PPID; exit 1; fi; }
case $1 in
  create | update)
    die "before $1"
    echo "$1" >> log
    echo "{\"id\": \"thing\", \"value\": \"$VALUE\"}" > object
    die "after $1"
    cat object ;;
  delete)
    die "before $1"
    echo "$1" >> log
    rm -f object
    die "after $1" ;;
  read | find)
    cat object 2>/dev/null || echo null ;;
esac
"#;

pub(crate) fn stack(value: &str) -> String {
    format!(
        "resources:\n  - type: local_command\n    name: thing\n    config:\n      create: [sh, thing.sh, create]\n      \
         read: [sh, thing.sh, read]\n      update: [sh, thing.sh, update]\n      delete: [sh, thing.sh, delete]\n      \
         find: [sh, thing.sh, find]\n      environment: {{VALUE: '{value}'}}\n"
    )
}

pub(crate) fn project() -> Project {
    let project = Project::with_stack(&stack("one"));
    project.write("thing.sh", THING);
    project
}

/// Applies and is killed at a moment.
pub(crate) fn apply_killed(project: &Project, moment: &str) {
    project.write("when", moment);
    let ran = project.apply();
    assert_eq!(ran.code, -1, "the apply was not killed {moment}:\n{ran}");
    assert!(!project.has("when"));
}

fn log(project: &Project) -> Vec<String> {
    project.read("log").lines().map(str::to_owned).collect()
}

/// Checks that no step is open and that the object matches the descriptor.
fn assert_whole(project: &Project, value: &str) {
    project.assert_settled("stack.yaml", &[]);
    assert!(project.read("object").contains(value));
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.thing\n");
    assert_eq!(project.run(["leases", "list"]).done().stdout, "");
}

#[test]
fn object_is_created_once_after_a_kill_before_creation() {
    let project = project();
    apply_killed(&project, "before create");
    assert!(!project.has("object"));
    project.apply().done();
    assert_eq!(log(&project), ["create"]);
    assert_whole(&project, "one");
}

#[test]
fn object_is_adopted_after_a_kill_after_creation() {
    let project = project();
    apply_killed(&project, "after create");
    assert!(project.has("object"));
    project.apply().done();
    assert_eq!(log(&project), ["create"]);
    assert_whole(&project, "one");
}

#[test]
fn plan_after_a_crash_shows_the_step_in_doubt_and_writes_nothing() {
    let project = project();
    apply_killed(&project, "after create");
    let recorded = project.recorded();
    project.run(["plan", "stack.yaml"]).done();
    assert_eq!(project.recorded(), recorded, "planning recovered something");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.thing (in doubt)\n");
    project.run(["recover"]).done().prints("local_command.thing");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.thing\n");
    assert_whole(&project, "one");
}

#[test]
fn update_is_recorded_and_not_repeated_after_a_kill() {
    let project = project();
    project.apply().done();
    project.write_stack(&stack("two"));
    apply_killed(&project, "after update");
    project.apply().done();
    assert_eq!(log(&project), ["create", "update"]);
    assert_whole(&project, "two");
}

#[test]
fn deletion_is_completed_after_a_kill() {
    for moment in ["before delete", "after delete"] {
        let project = project();
        project.apply().done();
        project.write_stack("resources: []\n");
        apply_killed(&project, moment);
        project.apply().done();
        assert!(!project.has("object"), "{moment}: an orphan is left");
        let deletions = log(&project).iter().filter(|verb| *verb == "delete").count();
        assert_eq!(deletions, 1, "{moment}");
        assert_eq!(project.run(["state", "list"]).done().stdout, "", "{moment}");
        project.assert_settled("stack.yaml", &[]);
    }
}

#[test]
fn next_destroy_completes_a_killed_one() {
    for moment in ["before delete", "after delete"] {
        let project = project();
        project.apply().done();
        project.write("when", moment);
        let destroy = ["destroy", "stack.yaml", "--auto-approve"];
        assert_eq!(project.run(destroy).code, -1, "{moment}");
        project.run(destroy).done();
        assert!(!project.has("object"), "{moment}");
        assert_eq!(project.run(["state", "list"]).done().stdout, "", "{moment}");
    }
}

/// One object per value: two may exist at once.
const OBJECTS: &str = r#"#!/bin/sh
cat > request
die() { if [ "$(cat when 2>/dev/null)" = "$1" ]; then rm when; kill -9 $PPID; exit 1; fi; }
case $1 in
  create)
    die "before $1"
    echo "$1 $VALUE" >> log
    echo "{\"id\": \"$VALUE\"}" > "object-$VALUE"
    die "after $1"
    cat "object-$VALUE" ;;
  delete)
    die "before $1"
    echo "$1 $VALUE" >> log
    rm -f "object-$VALUE"
    die "after $1" ;;
  read | find)
    cat "object-$VALUE" 2>/dev/null || echo null ;;
esac
"#;

#[test]
fn killed_create_first_replacement_loses_and_duplicates_nothing() {
    for moment in ["before create", "after create", "before delete", "after delete"] {
        let text = |value: &str| {
            let text = stack(value)
                .replace("    name: thing\n", "    name: thing\n    lifecycle: {createBeforeDestroy: true}\n");
            // Without `update` a change replaces the object.
            text.replace("      update: [sh, thing.sh, update]\n", "")
        };
        let project = Project::with_stack(&text("one"));
        project.write("thing.sh", OBJECTS);
        project.apply().done();
        project.write_stack(&text("two"));
        project.run(["plan", "stack.yaml"]).done().prints("+/- local_command.thing");
        apply_killed(&project, moment);
        if moment.ends_with("delete") {
            let listed = "local_command.thing\nlocal_command.thing (in doubt)\n";
            assert_eq!(project.run(["state", "list"]).done().stdout, listed, "{moment}");
        }
        project.apply().done();
        assert_eq!(log(&project), ["create one", "create two", "delete one"], "{moment}");
        assert!(!project.has("object-one") && project.has("object-two"), "{moment}");
        project.assert_settled("stack.yaml", &[]);
        assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.thing\n", "{moment}");
    }
}

/// A program that identifies its object by the address and reports the same id.
const BOX: &str = r#"
case $1 in
  create) echo "$1 $VALUE" >> log; echo "{\"id\": \"box\", \"value\": \"$VALUE\"}" > box; cat box ;;
  delete) echo "$1 $VALUE" >> log; rm -f box; [ ! -e fails ] ;;
  read | find) cat box 2>/dev/null || echo null ;;
esac
"#;

#[test]
fn object_with_an_unchanged_id_is_not_deleted_after_its_replacement() {
    let text = |value: &str, lifecycle: &str| {
        let text = stack(value).replace("      update: [sh, thing.sh, update]\n", "");
        let user = format!(
            "  - {{type: local_value, name: user{lifecycle}, config: {{triggersReplace: '${{{{ resources.thing.output.value }}}}'}}}}\n"
        );
        text.replace(
            "    name: thing\n",
            &format!("    name: thing\n    lifecycle: {{createBeforeDestroy: {}}}\n", lifecycle.is_empty()),
        )
        .replacen("resources:\n", &format!("resources:\n{user}"), 1)
    };
    // Create-first is set on the resource, or on its consumer.
    for lifecycle in ["", ", lifecycle: {createBeforeDestroy: true}"] {
        let project = Project::with_stack(&text("one", lifecycle));
        project.write("thing.sh", BOX);
        project.apply().done();
        project.write_stack(&text("two", lifecycle));
        project.run(["plan", "stack.yaml"]).done().prints("+/- local_command.thing");
        project.apply().done();
        assert_eq!(log(&project), ["create one", "create two"]);
        assert!(project.read("box").contains("two"));
        project.assert_settled("stack.yaml", &[]);
        assert!(!project.run(["state", "list"]).done().stdout.contains("deposed"));
    }
}

/// A resource with a deposed object that could not be deleted.
fn with_deposed_object() -> Project {
    let text = |value: &str| {
        stack(value)
            .replace("    name: thing\n", "    name: thing\n    lifecycle: {createBeforeDestroy: true}\n")
            .replace("      update: [sh, thing.sh, update]\n", "")
            .replace("delete: [sh, thing.sh, delete]", "delete: [sh, -c, 'test -e allowed && sh thing.sh delete']")
    };
    let project = Project::with_stack(&text("one"));
    project.write("thing.sh", OBJECTS);
    project.apply().done();
    project.write_stack(&text("two"));
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    project.run(["apply", "plan", "-q"]).with_code(3);
    project
}

#[test]
fn deposed_object_is_named_when_it_is_dropped() {
    let project = with_deposed_object();
    let dropped = project.run(["state", "rm", "local_command.thing"]).done();
    dropped.prints("dropped demo@local:local_command.thing\ndropped demo@local:local_command.thing (deposed ");
    project.run(["operations", "list"]).done().prints("local_command.thing (deposed ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
}

#[test]
fn deposed_object_is_listed_and_deleted_by_the_next_apply() {
    let project = with_deposed_object();
    project.run(["state", "list"]).done().prints("local_command.thing\nlocal_command.thing (deposed ");
    let planned = project.run(["plan", "stack.yaml", "--detailed-exitcode"]).with_code(2);
    planned.prints("- local_command.thing (deposed object ").prints("was replaced, and is left over");
    project.write("allowed", "");
    project.apply().done();
    assert!(!project.has("object-one"));
    project.assert_settled("stack.yaml", &[]);
}

const COUNT: usize = 200;
const MANY: &str = r#"resources:
  - type: local_file
    name: part
    forEach: ${{ range(200) }}
    config: {path: '${{ "out/" + string(each.key) + ".txt" }}', content: '${{ "part " + string(each.value) }}'}
"#;

/// Pseudo-random numbers, the same in every run.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn apply_of_many_files_is_completed_after_a_kill_at_any_moment() {
    let mut seed = 0x5eed_cafe;
    let mut interrupted = 0;
    for trial in 0..10 {
        let project = Project::with_stack(MANY);
        let moment = usize::try_from(next(&mut seed) % (COUNT as u64 - 20)).unwrap();
        let mut running = project.start(project.command(["apply", "stack.yaml", "--auto-approve", "-q"]));
        let made = || std::fs::read_dir(project.path("out")).map_or(0, Iterator::count);
        until("enough files are there", || made() >= moment || running.has_ended());
        if !running.has_ended() {
            running.kill();
        }
        interrupted += usize::from(running.finish().code == -1);

        project.apply().done();
        let files = project.files();
        let parts: Vec<_> = files.keys().filter(|name| name.starts_with("out/")).collect();
        assert_eq!(parts.len(), COUNT, "trial {trial}, killed at {moment}: {parts:?}");
        for number in 0..COUNT {
            let content = &files[&format!("out/{number}.txt")];
            assert_eq!(content, format!("part {number}").as_bytes(), "trial {trial}, killed at {moment}");
        }
        let rows = project.run(["state", "list"]).done().stdout;
        assert_eq!(rows.lines().count(), COUNT, "trial {trial}, killed at {moment}");
        assert!(!rows.contains("in doubt"), "{rows}");
        project.assert_settled("stack.yaml", &[]);
        assert_eq!(project.run(["leases", "list"]).done().stdout, "");
    }
    assert!(interrupted >= 5, "only {interrupted} of 10 were interrupted: the trials prove little");
}

//! Destroy needs the state and a readable descriptor, not a valid one.

use crate::server::requests::{product, project};
use terrace_tests::Project;
use terrace_tests::served::Served;

const STACK: &str = "variables:\n  size: {type: int, validation: [{assert: '${{ vars.size > 0 }}', error: too small}]}\n\
    resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: '${{ string(vars.size) }}'}}\n\
    outputs: {size: '${{ vars.size }}'}\n";

#[test]
fn destroy_needs_no_valid_variables_types_or_values() {
    let apply = || {
        let project = Project::with_stack(STACK);
        project.run(["apply", "stack.yaml", "--auto-approve", "--var", "size=1"]).done();
        project
    };
    let missing = apply();
    missing.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    assert!(!missing.has("a.txt"));
    let invalid = apply();
    invalid.run(["destroy", "stack.yaml", "--auto-approve", "--var", "size=-1"]).done();
    assert!(!invalid.has("a.txt"));
    let unknown = apply();
    unknown.edit("stack.yaml", "local_file", "no_such_type");
    unknown.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    assert!(!unknown.has("a.txt"));
}

#[test]
fn all_removed_outputs_are_listed() {
    let project = Project::with_stack(
        "components:\n  a:\n    resources:\n      - {type: local_value, name: x, config: {input: 1}}\n    \
         outputs: {one: 1}\n  b:\n    resources: []\n    outputs: {two: 2}\n",
    );
    project.apply().done();
    let plan = project.run(["plan", "stack.yaml", "--destroy"]).done();
    plan.prints("- a/one = 1").prints("- b/two = 2");
}

#[test]
fn destroy_does_not_search_for_objects_of_an_invalid_descriptor() {
    let wrong = "  wrong: {resources: [{type: local_file, name: f, config: {path: wrong.txt, content: \
                 '${{ join(range(3), 1, 2) }}'}}]}\n";
    let right =
        "components:\n  right: {resources: [{type: local_file, name: f, config: {path: right.txt, content: x}}]}\n";
    let project = Project::with_stack(&format!("{right}{wrong}"));
    let warning = "unmanaged objects of demo@local are not removed: its descriptor cannot be compiled";
    let nothing = project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    nothing.prints(warning).prints("see the reason with `terrace validate stack.yaml --env local`");
    assert!(!nothing.stderr.contains("found none"), "{nothing}");
    project.write_stack(right);
    project.apply().done();
    project.write_stack(&format!("{right}{wrong}"));
    let lines = project.run(["plan", "stack.yaml", "--destroy", "--format", "json-stream"]).done();
    assert!(lines.stdout.contains(warning), "JSON output has it too: {lines}");
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done().prints(warning);
    assert!(!project.has("right.txt"));
    // A valid descriptor has no such message.
    project.write_stack(right);
    assert!(!project.run(["destroy", "stack.yaml", "--auto-approve"]).done().stderr.contains("are not removed"));
}

#[test]
fn own_outputs_and_resources_that_stay_are_named_as_such() {
    let web = "components:\n  web: {resources: [{type: local_file, name: a, config: {path: out/a, content: one}}], \
               outputs: {path: '${{ resources.a.path }}'}}\n";
    let outputs = "outputs: {path: '${{ components.web.outputs.path }}'}\n";
    let project = Project::with_stack(&format!("{web}{outputs}"));
    project.apply().done();
    let plan = project.run(["plan", "--destroy", "stack.yaml", "-c", "web"]).done();
    plan.prints("the stack's own outputs depend on `web`, which is removed, and will stay");
    plan.prints("hint: to remove them too, leave out `-c`: that removes the whole stack");
    let own = "resources: [{type: local_file, name: b, config: {path: out/b, \
               content: '${{ components.web.outputs.path }}'}}]\n";
    let other = "  other: {resources: [], dependsOn: [web]}\n";
    project.write_stack(&format!("{web}{other}{own}{outputs}"));
    project.apply().done();
    let plan = project.run(["plan", "--destroy", "stack.yaml", "-c", "web"]).done();
    plan.prints("the stack's own resources and outputs, `other` depend on `web`, which is removed, and will stay");
    plan.prints("remove what depends on it, too: add `-c other`, or leave out `-c` for the whole stack");
}

#[test]
fn unreachable_object_is_not_reported_as_gone() {
    let project = project();
    let text = product(&["a"]);
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &text))["status"], "COMPLETED");
    drop(server);
    // The state is lost, and the program refuses to read its objects.
    std::fs::remove_dir_all(project.path(".terrace")).unwrap();
    let (found, silent) = ("cat made-$0 2>/dev/null || echo null", "exit 1");
    project.edit("blueprints/thing.yaml", found, silent);
    project.write("product.yaml", &text);
    let destroy = ["destroy", "product.yaml", "--env", "test", "--auto-approve"];
    let why = "cannot find out which objects of finance.cash.0@test exist that are not in the state: cannot look for";
    project.run(destroy).with_code(1).prints(why);
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&server.submit("/v1/unprovision", &text));
    assert_eq!(status["status"], "FAILED", "{status}");
    assert!(status.to_string().contains(why), "{status}");
    assert!(project.has("made-a"));
    drop(server);
    // The same without a blueprint.
    let blueprint = project.read("blueprints/thing.yaml");
    std::fs::remove_file(project.path("blueprints/thing.yaml")).unwrap();
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&server.submit("/v1/unprovision", &text));
    assert!(status.to_string().contains("skipped the search for unmanaged objects of "), "{status}");
    drop(server);
    project.write("blueprints/thing.yaml", blueprint);
    project.edit("blueprints/thing.yaml", silent, found);
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/unprovision", &text))["status"], "COMPLETED");
    assert!(!project.has("made-a"));
}

#[test]
fn object_without_a_search_is_named() {
    let thing =
        "resources:\n  - {type: local_command, name: thing, config: {create: [touch, made], delete: [rm, made]}}\n";
    let project = Project::with_stack(thing);
    let destroyed = project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    destroyed.prints("cannot find out whether demo@local:local_command.thing exists: its provider cannot look for it");
}

#[test]
fn missing_search_for_grants_of_unmanaged_objects_is_reported() {
    let project = project();
    let blueprint = project.read("blueprints/thing.yaml");
    let acl = "acl:\n  resources:\n    - {type: local_file, name: let_in, config: {path: let-in, \
               content: '${{ acl.principals.join(\",\") }}'}}\n";
    project.write("blueprints/thing.yaml", format!("{blueprint}{acl}"));
    project.write("product.yaml", product(&["a"]));
    let destroy = || project.run(["destroy", "product.yaml", "--env", "test", "--auto-approve"]).done();
    let expected = "finance.cash.0@test:a exists, but neither it nor its access list is in the state";
    assert!(!destroy().stderr.contains(expected), "nothing is there");
    project.run(["apply", "product.yaml", "--env", "test", "--auto-approve"]).done();
    std::fs::remove_dir_all(project.path(".terrace")).unwrap();
    destroy().prints(expected);
    assert!(!project.has("made-a"));
}

#[test]
fn unresolvable_server_is_an_error_and_a_missing_one_is_not() {
    let role = "resources:\n  - {type: postgres_role, name: reader, config: {name: reader}}\n";
    let project = Project::with_stack(role);
    project.write("terrace.yaml", "environments: {local: {providers: {postgres: {host: nobody.invalid}}}}\n");
    let lost = project.run(["destroy", "stack.yaml", "--auto-approve"]).with_code(1);
    lost.prints("cannot find out which objects of demo@local exist that are not in the state: cannot look for");
    let metadata = "resources:\n  - {type: hasura_role, name: reader, config: {roleId: reader}}\n";
    let project = Project::with_stack(metadata);
    let never = project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    never
        .prints("could not look for all objects of demo@local that are not in the state: ")
        .prints("needs `componentId`");
}

//! Who has access, from the command line.

use terrace_tests::Project;

#[test]
fn who_has_access_is_planned_and_granted_alone() {
    let project = Project::with_stack("components:\n  port: {blueprint: port, specific: {}}\n");
    project.write(
        "blueprints/port.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nspecific: {type: object}\n\
         resources:\n  - {type: local_file, name: data, config: {path: data.txt, content: x}}\nacl:\n  resources:\n    \
         - type: local_file\n      name: acl\n      adopt: ifExists\n      config: {path: acl.txt, content: \
         '${{ acl.principals.join(\"\\n\") + \"\\n\" + resources.data.sha256 }}'}\n",
    );
    project.run(["blueprints", "check"]).done();
    project.run(["apply", "stack.yaml", "--acl", "user:ada", "--auto-approve"]).with_code(1).says("choose it with `-c");
    let early = project.run(["apply", "stack.yaml", "-c", "port", "--acl", "user:ada", "--auto-approve"]).with_code(1);
    early.says("nobody can be let in before it is there").says("provision `port` first");
    project.apply().done();
    // Somebody had access before terrace knew of it.
    project.write("acl.txt", "user:eve\n");
    let plan = project.run(["plan", "stack.yaml", "-c", "port", "--acl", "user:bob", "--acl", "user:ada"]).done();
    plan.says("= local_file.acl").says("- user:eve").says("+ user:ada");
    project
        .run(["apply", "stack.yaml", "-c", "port", "--acl", "user:bob", "--acl", "user:ada", "--auto-approve"])
        .done();
    assert!(project.read("acl.txt").starts_with("user:ada\nuser:bob\n"));
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.run(["acl", "show", "port"]).done().stdout, "user:ada\nuser:bob\n");
    project.run(["acl", "show", "prot"]).with_code(1).says("did you mean `port`?");
    // A command of its own does the same.
    project.run(["acl", "set", "stack.yaml", "port", "user:cleo", "--auto-approve"]).done();
    assert!(project.read("acl.txt").starts_with("user:cleo\n"));
    let told = project.run(["acl", "show", "port", "--json"]).done().json();
    assert_eq!(told["principals"], serde_json::json!(["user:cleo"]));
    // Nobody is somebody else than those of whom nothing was said.
    let plan = project.run(["plan", "stack.yaml", "-c", "port", "--acl="]).done();
    plan.says("- user:cleo");
    project.run(["acl", "set", "stack.yaml", "port", "--auto-approve"]).done();
    assert!(!project.read("acl.txt").contains("user:"));
    let ran = project.run(["acl", "show", "port"]).done();
    assert_eq!((ran.stdout.as_str(), ran.stderr.contains("nobody has access to `port`")), ("", true), "{ran:?}");
    project.assert_settled("stack.yaml", &[]);
    // A plan that was made before somebody was let in does not send them away again.
    let blueprint = project.read("blueprints/port.yaml");
    let more = "resources:\n  - {type: local_file, name: more, config: {path: more.txt, content: x}}\n";
    project.write("blueprints/port.yaml", blueprint.replacen("resources:\n", more, 1));
    project.run(["plan", "stack.yaml", "--out", "saved"]).done();
    project.run(["acl", "set", "stack.yaml", "port", "user:dan", "--auto-approve"]).done();
    project.run(["apply", "saved"]).with_code(4).says("who has access");
    assert!(project.read("acl.txt").contains("user:dan") && !project.has("more.txt"));
}

//! Access lists of components from the command line.

use terrace_tests::Project;

#[test]
fn access_list_is_planned_and_applied_alone() {
    let project = Project::with_stack("components:\n  port: {blueprint: port, specific: {}}\n");
    project.write(
        "blueprints/port.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nspecific: {type: object}\n\
         resources:\n  - {type: local_file, name: data, config: {path: data.txt, content: x}}\nacl:\n  resources:\n    \
         - type: local_file\n      name: acl\n      adopt: ifExists\n      config: {path: acl.txt, content: \
         '${{ acl.principals.join(\"\\n\") + \"\\n\" + resources.data.sha256 }}'}\n",
    );
    project.run(["blueprints", "check"]).done();
    project
        .run(["apply", "stack.yaml", "--acl", "user:ada", "--auto-approve"])
        .with_code(1)
        .prints("choose it with `-c");
    let early = project.run(["apply", "stack.yaml", "-c", "port", "--acl", "user:ada", "--auto-approve"]).with_code(1);
    early.prints("cannot grant access before it exists").prints("provision `port` first");
    project.apply().done();
    // A user had access before terrace managed it.
    project.write("acl.txt", "user:eve\n");
    let plan = project.run(["plan", "stack.yaml", "-c", "port", "--acl", "user:bob", "--acl", "user:ada"]).done();
    plan.prints("= local_file.acl").prints("- user:eve").prints("+ user:ada");
    project
        .run(["apply", "stack.yaml", "-c", "port", "--acl", "user:bob", "--acl", "user:ada", "--auto-approve"])
        .done();
    assert!(project.read("acl.txt").starts_with("user:ada\nuser:bob\n"));
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.run(["acl", "show", "port"]).done().stdout, "user:ada\nuser:bob\n");
    project.run(["acl", "show", "prot"]).with_code(1).prints("did you mean `port`?");
    // A name without a kind is a group: the user with the same name would lose access.
    let plan = project.run(["plan", "stack.yaml", "-c", "port", "--acl", "ada", "--acl", "user:bob"]).done();
    plan.prints("`ada` is read as a group, and `user:ada`, which has access now, is not in the request");
    plan.prints("did you mean `user:ada`?");
    let plan = project.run(["plan", "stack.yaml", "-c", "port", "--acl", "ada", "--acl", "user:ada"]).done();
    assert!(!plan.stderr.contains("read as a group"), "{plan}");
    // `acl set` does the same.
    project.run(["acl", "set", "stack.yaml", "port", "user:cleo", "--auto-approve"]).done();
    assert!(project.read("acl.txt").starts_with("user:cleo\n"));
    let output = project.run(["acl", "show", "port", "--json"]).done().json();
    crate::cli::schemas::assert_is("acl", &output);
    assert_eq!(output["principals"], serde_json::json!(["user:cleo"]));
    assert_eq!(output["fields"], serde_json::json!({}));
    // An empty list differs from no list.
    let plan = project.run(["plan", "stack.yaml", "-c", "port", "--acl="]).done();
    plan.prints("- user:cleo");
    project.run(["acl", "set", "stack.yaml", "port", "--auto-approve"]).done();
    assert!(!project.read("acl.txt").contains("user:"));
    let ran = project.run(["acl", "show", "port"]).done();
    assert_eq!((ran.stdout.as_str(), ran.stderr.contains("no principal has access to `port`")), ("", true), "{ran:?}");
    project.assert_settled("stack.yaml", &[]);
    // A plan from before a grant does not revoke it.
    let blueprint = project.read("blueprints/port.yaml");
    let more = "resources:\n  - {type: local_file, name: more, config: {path: more.txt, content: x}}\n";
    project.write("blueprints/port.yaml", blueprint.replacen("resources:\n", more, 1));
    project.run(["plan", "stack.yaml", "--out", "saved"]).done();
    project.run(["acl", "set", "stack.yaml", "port", "user:dan", "--auto-approve"]).done();
    project.run(["apply", "saved"]).with_code(4).prints("the access list of `port` of demo@local changed");
    assert!(project.read("acl.txt").contains("user:dan") && !project.has("more.txt"));
}

#[test]
fn access_fields_are_granted_with_the_principals() {
    let project = Project::with_stack("components:\n  port: {blueprint: port, specific: {}}\n");
    project.write(
        "blueprints/port.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nspecific: {type: object}\n\
         resources:\n  - {type: local_file, name: data, config: {path: data.txt, content: x}}\nacl:\n  resources:\n    \
         - {type: local_file, name: acl, config: {path: acl.txt, content: '${{ json(acl) }}'}}\n",
    );
    project.apply().done();
    let set = ["acl", "set", "stack.yaml", "port", "user:ada", "--auto-approve"];
    project.run(set.into_iter().chain(["--field", "why=a=b", "--field", "days=30"])).done();
    let granted = r#"{"fields":{"days":"30","why":"a=b"},"principals":["user:ada"]}"#;
    assert_eq!(project.read("acl.txt"), granted);
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.run(["console", "stack.yaml", "-c", "port", "-e", "json(acl)"]).done().json(), granted);
    let acl = project.run(["acl", "show", "port", "--json"]).done().json();
    crate::cli::schemas::assert_is("acl", &acl);
    assert_eq!(acl["fields"], serde_json::json!({"days": "30", "why": "a=b"}));
    let shown = project.run(["acl", "show", "port"]).done();
    assert_eq!(shown.stdout, "user:ada\n\nFields:\n  days = \"30\"\n  why = \"a=b\"\n");
    // Fields are exported with the principals, and a later list without fields drops them.
    let exported = project.run(["state", "export"]).done().stdout;
    assert!(exported.contains("\"accessFields\""), "{exported}");
    let plan = project.run(["plan", "stack.yaml", "-c", "port", "--acl", "user:ada", "--acl-field", "days=7"]).done();
    plan.prints("~ local_file.acl");
    project.run(set).done();
    assert_eq!(project.read("acl.txt"), r#"{"fields":{},"principals":["user:ada"]}"#);
    for (wrong, expected) in [
        ("days", "the field `days` of the access list has no name or no `=`"),
        ("=7", "the field `=7` of the access list has no name or no `=`"),
    ] {
        project.run(set.into_iter().chain(["--field", wrong])).with_code(1).prints(expected);
    }
    project.run(set.into_iter().chain(["--field", "a=1", "--field", "a=2"])).with_code(1).prints("is given twice");
    project.run(["plan", "stack.yaml", "-c", "port", "--acl-field", "days=7"]).with_code(1).prints("--acl");
    for (principal, expected) in [("", "a value is required"), ("user:", "the principal `user:` has no name")] {
        let set = ["acl", "set", "stack.yaml", "port", principal, "--auto-approve"];
        assert_ne!(project.run(set).prints(expected).code, 0);
        assert!(project.read("acl.txt").contains("user:ada"), "{principal:?}");
    }
}

#[test]
fn error_beside_access_resources_is_reported_once() {
    let project = Project::new();
    project.write(
        "b.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: b, version: 1.0.0}\nspecific: {type: object}\n\
         resources:\n  - {type: local_value, name: a, config: {input: '${{ vars.x }}'}}\nacl:\n  resources:\n    \
         - {type: local_value, name: acl, config: {input: '${{ acl.principals }}'}}\n",
    );
    let ran = project.run(["blueprints", "check", "b.yaml"]).with_code(1);
    assert_eq!(ran.stderr.matches("there is no variable `vars`").count(), 1, "{ran}");
}

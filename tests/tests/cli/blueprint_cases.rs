//! Cases of blueprint tests with an access list or a request.

use terrace_tests::{Project, Ran};

const DOOR: &str = r#"apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: door, version: 1.0.0}
match: {kind: outputport, technology: doors}
resources:
  - type: local_file
    name: door
    config: {path: door.txt, content: "${{ request.latestEnriched == null ? 'new' : request.latestEnriched.info.publicInfo.colour.value }}"}
acl:
  resources:
    - type: local_file
      name: list
      config: {path: list.txt, content: "${{ acl.principals.join(' ') + ' until ' + acl.fields.until }}"}
"#;

const WALL: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: wall, version: 1.0.0}
match: {kind: workload, technology: walls}
resources: [{type: local_file, name: wall, config: {path: wall.txt, content: ''}}]
";

const HEAD: &str = "apiVersion: terrace.dev/v1\nkind: BlueprintTest\ncases:\n";

fn tested(cases: &str) -> Ran {
    let project = Project::new();
    project.write("blueprints/door.yaml", DOOR);
    project.write("blueprints/wall.yaml", WALL);
    project.write("blueprints/door.test.yaml", format!("{HEAD}{cases}"));
    project.run(["blueprints", "test"])
}

#[test]
fn case_may_have_an_access_list_and_a_latest_product() {
    let ran = tested(
        "  - name: nobody
    component: {kind: outputport, technology: doors}
    expect:
      resources:
        component/local_file.door: {path: door.txt, content: new, mode: '0644', sensitive: false, makeParents: true}
  - name: two and a colour
    component: {kind: outputport, technology: doors}
    acl: {principals: [user:b, user:a], fields: {until: '2027'}}
    request: {latestEnriched: {info: {publicInfo: {colour: {value: red}}}}}
    expect:
      resources:
        component/local_file.door: {path: door.txt, content: red, mode: '0644', sensitive: false, makeParents: true}
        component/local_file.list:
          {path: list.txt, content: user:a user:b until 2027, mode: '0644', sensitive: false, makeParents: true}
",
    );
    assert_eq!(ran.done().stdout, "2 tests passed\n");
}

#[test]
fn invalid_access_list_or_request_is_refused_at_its_place() {
    let ran = tested(
        "  - name: wrong
    component: {kind: outputport, technology: doors}
    acl: {principals: user:a, fiels: {}}
    request: {latestEnriched: none, removeData: true}
",
    );
    let ran = ran.with_code(1);
    for expected in [
        "`principals` is text: expected a list",
        "door.test.yaml:6:23]",
        "`acl` of a case has no field `fiels`",
        "did you mean `fields`?",
        "`request` of a case has no field `removeData`",
        "the last provisioned data product is text: expected a map",
        "door.test.yaml:7:31]",
    ] {
        ran.prints(expected);
    }
}

#[test]
fn access_list_needs_one_component_that_accepts_it() {
    let ran = tested(
        "  - name: of one that takes nobody
    component: {blueprint: wall, specific: {}}
    acl: {principals: [user:a]}
    expect: {errors: ['cannot grant access to `component`: its blueprint, wall 1.0.0, has no `acl`']}
  - name: of two
    descriptor:
      apiVersion: terrace.dev/v1
      kind: Stack
      metadata: {name: s}
      components: {a: {blueprint: wall, specific: {}}, b: {blueprint: wall, specific: {}}}
    acl: {principals: [user:a]}
    expect: {errors: ['`acl` applies to a single component']}
",
    );
    assert_eq!(ran.done().stdout, "2 tests passed\n");
}

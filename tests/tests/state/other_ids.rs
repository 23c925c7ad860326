//! Stack names and keys come from ids. If two ids give one name, neither product can change the other's stack.

use crate::server::requests::project;
use terrace_tests::Project;
use terrace_tests::served::Served;

/// Returns a product with one component, a file.
fn product(product: &str, component: &str) -> String {
    format!(
        "id: urn:dmb:dp:{product}\nname: P\ndomain: d\nversion: 0.1.0\nkind: dataproduct\nenvironment: test\nspecific: {{}}\n\
         components:\n  - {{id: 'urn:dmb:cmp:{product}:{component}', name: c, kind: workload, version: 0.0.0, \
         useCaseTemplateId: 'urn:dmb:utm:thing:0.0.0', specific: {{name: it}}}}\n"
    )
}

fn recorded(project: &Project) -> String {
    project.run(["state", "list"]).done().stdout
}

#[test]
fn product_is_refused_if_its_name_belongs_to_another_id() {
    let project = project();
    project.write("first.yaml", product("a.b:c:0", "one"));
    project.write("second.yaml", product("a:b.c:0", "two"));
    project.run(["apply", "first.yaml", "--auto-approve"]).done();
    let before = recorded(&project);
    for command in ["plan", "apply", "destroy"] {
        let ran =
            project.run([command, "second.yaml"].into_iter().chain((command != "plan").then_some("--auto-approve")));
        ran.with_code(1)
            .prints("`a.b.c.0@test` belongs to the data product `urn:dmb:dp:a.b:c:0` already")
            .prints("second.yaml:9:10")
            .prints("give one of the two another id");
    }
    assert_eq!(recorded(&project), before);
    project.run(["destroy", "first.yaml", "--auto-approve"]).done();
    project.run(["apply", "second.yaml", "--auto-approve"]).done();
}

#[test]
fn server_refuses_products_and_components_with_the_name_of_another_id() {
    let project = project();
    let server = Served::start(&project, &[]);
    let (first, second) = (product("a:c d:0", "x y"), product("a:c-d:0", "x y"));
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &first))["status"], "COMPLETED");
    let before = recorded(&project);
    for path in ["/v1/provision", "/v1/unprovision"] {
        let status = server.wait_for_end(&server.submit(path, &second));
        assert_eq!(status["status"], "FAILED", "{path}: {status}");
        assert!(
            status["result"].as_str().unwrap().contains("the data product `urn:dmb:dp:a:c d:0`"),
            "{path}: {status}"
        );
    }
    let other = product("a:c d:0", "x-y");
    let status = server.wait_for_end(&server.submit("/v1/provision", &other));
    assert!(status["result"].as_str().unwrap().contains("component `urn:dmb:cmp:a:c d:0:x y`"), "{status}");
    assert_eq!(recorded(&project), before);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &first))["status"], "COMPLETED");
    assert_eq!(server.wait_for_end(&server.submit("/v1/unprovision", &first))["status"], "COMPLETED");
}

#[test]
fn unprovision_is_refused_for_another_id_even_without_a_valid_product() {
    let project = project();
    let server = Served::start(&project, &[]);
    let first = product("a.b:c:0", "one");
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &first))["status"], "COMPLETED");
    let before = recorded(&project);
    let second = product("a:b.c:0", "one");
    let broken = second.replace("name: it", "name: [it]");
    let (id, other) = ("urn:dmb:cmp:a:b.c:0:one", "urn:dmb:cmp:a:b.c:0:two");
    let indented = second.replace(id, other).replace('\n', "\n  ");
    let unlisting = format!("dataProduct:\n  {indented}\ncomponentIdToProvision: '{id}'\n");
    for descriptor in [broken, unlisting] {
        let status = server.wait_for_end(&server.submit("/v1/unprovision", &descriptor));
        assert_eq!(status["status"], "FAILED", "{descriptor} {status}");
        let result = status["result"].as_str().unwrap();
        assert!(result.contains("belongs to the data product `urn:dmb:dp:a.b:c:0` already"), "{result}");
    }
    assert_eq!(recorded(&project), before);
    // The owner's broken descriptor still removes its own stack.
    let broken = first.replace("name: it", "name: [it]");
    assert_eq!(server.wait_for_end(&server.submit("/v1/unprovision", &broken))["status"], "COMPLETED");
}

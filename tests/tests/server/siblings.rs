//! Components that are checked before the siblings they read exist.

use crate::server::requests::project;
use terrace_tests::served::{Served, request};

/// Returns a product whose `taker` reads outputs of `giver`. `meant` is the selected component.
fn product(meant: &str, reads: &str) -> String {
    let component = |name: &str, more: &str| {
        format!(
            "  - {{id: 'urn:dmb:cmp:finance:pair:0:{name}', name: {name}, kind: workload, version: 0.0.0, \
             useCaseTemplateId: 'urn:dmb:utm:{name}-template:0.0.0', specific: {{reads: '{reads}'}}{more}}}\n"
        )
    };
    format!(
        "dataProduct:\n  id: urn:dmb:dp:finance:pair:0\n  name: Pair\n  domain: finance\n  version: 0.1.0\n  kind: dataproduct\n  \
         environment: test\n  specific: {{}}\n  components:\n{}{}componentIdToProvision: urn:dmb:cmp:finance:pair:0:{meant}\n",
        component("giver", ""),
        component("taker", ", dependsOn: ['urn:dmb:cmp:finance:pair:0:giver']"),
    )
}

fn blueprint(name: &str, content: &str, outputs: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {{name: {name}, version: 1.0.0}}\nmatch: {{useCaseTemplateId: \
         'urn:dmb:utm:{name}-template'}}\nspecific: {{type: object}}\nresources:\n  - {{type: local_file, name: f, config: \
         {{path: {name}.txt, content: '{content}'}}}}\noutputs: {{public: {{{outputs}}}}}\n"
    )
}

#[test]
fn undeployed_sibling_is_checked_by_its_plan() {
    let project = project();
    project.write("blueprints/giver.yaml", blueprint("giver", "given", "path: '${{ resources.f.path }}'"));
    project.write("blueprints/taker.yaml", blueprint("taker", "${{ components[\"giver\"].outputs.path }}", ""));
    let server = Served::start(&project, &[]);
    let validated = |meant: &str| {
        let token =
            server.call("POST", "/v2/validate", &request("COMPONENT_DESCRIPTOR", &product(meant, ""), false)).body;
        server.wait_for_end_at(&format!("/v2/validate/{token}/status"))["info"]["publicInfo"].clone()
    };
    let provisioned =
        |meant: &str, path: &str| server.wait_for_end(&server.submit(path, &product(meant, "")))["status"].clone();
    for component in ["taker", "giver"] {
        let output = validated(component);
        assert_eq!(output["valid"], true, "{component}: {output}");
    }
    let output = validated("taker");
    assert!(output["plan"]["text"].as_str().unwrap().contains("known after apply"), "{output}");
    // Provisioning needs the deployed sibling.
    assert_eq!(provisioned("taker", "/v1/provision"), "FAILED");
    assert_eq!(provisioned("giver", "/v1/provision"), "COMPLETED");
    // A deployed sibling gives its recorded outputs.
    let output = validated("taker");
    assert!(output["plan"]["text"].as_str().unwrap().contains("giver.txt"), "{output}");
    assert_eq!(provisioned("giver", "/v1/unprovision"), "COMPLETED");
    assert_eq!(validated("taker")["valid"], true);
}

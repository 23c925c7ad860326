//! Descriptors too large for their server.

use crate::server::requests::{product, project};
use serde_json::json;
use terrace_tests::Project;
use terrace_tests::served::{Served, request};

/// Creates a project whose server has these limits.
fn limited(limits: &str) -> Project {
    let project = project();
    project.write("terrace.yaml", format!("environments: {{test: {{}}}}\nserver: {{limits: {limits}}}\n"));
    project
}

#[test]
fn stack_with_too_many_resources_is_refused_with_place_and_limit() {
    let project = limited("{resources: 2}");
    let server = Served::start(&project, &[]);
    let many = product(&["a", "b", "c"]);
    let answer = server.send("/v1/provision", "DATAPRODUCT_DESCRIPTOR", &many);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("the stack has more than 2 resources"), "{answer:?}");
    assert!(answer.body.contains("raise `server.limits` of the server"), "{answer:?}");
    let answer = server.send("/v1/validate", "DATAPRODUCT_DESCRIPTOR", &many).json();
    assert_eq!(answer["valid"], json!(false));
    let token = server.submit("/v2/validate", &many);
    let status = server.wait_for_end_at(&format!("/v2/validate/{token}/status"));
    assert!(status["info"].to_string().contains("the stack has more than 2 resources"), "{status}");
    let few = server.send("/v1/validate", "DATAPRODUCT_DESCRIPTOR", &product(&["a"])).json();
    assert_eq!(few["valid"], json!(true), "{few}");
}

#[test]
fn text_with_too_many_values_is_refused_with_the_limit() {
    let project = limited("{values: 1000}");
    let server = Served::start(&project, &[]);
    let many = format!("kind: dataproduct\nspecific: [{}1]\n", "1,".repeat(2_000));
    let answer = server.send("/v1/validate", "DATAPRODUCT_DESCRIPTOR", &many).json();
    let output = answer["error"]["errors"].to_string();
    assert!(output.contains("the text has more than 1000 values") && output.contains("`server.limits`"), "{answer}");
}

#[test]
fn large_descriptors_are_compiled_one_after_another() {
    let project = limited("{large: 1}");
    let server = Served::start(&project, &[]);
    // More than 64 kB, so each needs the only permit.
    let large = format!("{}\n# {}\n", product(&["a"]), "x".repeat(100_000));
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| server.call("POST", "/v1/validate", &request("DATAPRODUCT_DESCRIPTOR", &large, false)))
            })
            .collect();
        for call in calls {
            let answer = call.join().unwrap();
            assert_eq!((answer.status, &answer.json()["valid"]), (200, &json!(true)), "{answer:?}");
        }
    });
    let token = server.submit("/v1/provision", &large);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
}

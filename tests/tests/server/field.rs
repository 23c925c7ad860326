//! Real-world descriptors, sent as a coordinator does: every call answers each of them consistently.

use crate::cli::witboost::descriptors;
use serde_json::Value as Json;
use terrace_tests::Project;
use terrace_tests::served::Served;

const COMPONENT: &str = "COMPONENT_DESCRIPTOR";

#[test]
fn every_real_descriptor_is_answered_by_every_call() {
    let project = Project::new();
    project.write("terrace.yaml", "environments: {dev: {overlay: embedded}, development: {overlay: embedded}}\n");
    let server = Served::start(&project, &[]);
    let descriptors = descriptors();
    let mut completed = 0;
    for path in &descriptors {
        let (text, what) = (std::fs::read_to_string(path).unwrap(), path.display());
        let has_errors = |answer: &Json| answer["errors"].as_array().is_some_and(|errors| !errors.is_empty());
        let valid = server.send("/v1/validate", COMPONENT, &text);
        assert_eq!(valid.status, 200, "{what}: {valid:?}");
        let (is_valid, error) = (valid.json()["valid"] == true, valid.json()["error"].clone());
        assert!(is_valid || has_errors(&error), "{what}: {valid:?}");
        let later = server.send("/v2/validate", COMPONENT, &text);
        match later.status {
            202 => {
                let status = server.wait_for_end_at(&format!("/v2/validate/{}/status", later.body));
                assert_eq!(status["status"], "COMPLETED", "{what}: {status}");
            }
            400 => assert!(!is_valid && has_errors(&later.json()), "{what}: {later:?}"),
            _ => panic!("{what}: {later:?}"),
        }
        for path in ["/v1/provision", "/v1/unprovision"] {
            let answer = server.send(path, COMPONENT, &text);
            match answer.status {
                202 => {
                    let status = server.wait_for_end(&answer.body);
                    let is_done = status["status"] == "COMPLETED";
                    assert!(is_done || !status["result"].as_str().unwrap().is_empty(), "{path} {what}: {status}");
                    completed += usize::from(is_done && path == "/v1/provision");
                }
                400 => assert!(!is_valid && has_errors(&answer.json()), "{path} {what}: {answer:?}"),
                _ => panic!("{path} {what}: {answer:?}"),
            }
        }
    }
    assert!(descriptors.is_empty() || completed > 0, "none could be provisioned");
}

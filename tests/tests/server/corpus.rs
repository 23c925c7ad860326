//! The server and the command line give the same verdicts: the same errors and warnings at the same places.

use serde_json::Value as Json;
use std::collections::BTreeSet;
use terrace_tests::served::{Served, request};
use terrace_tests::{Project, shared};

const CONFIGURATION: &str = "environments: {development: {overlay: embedded}, prod: {overlay: embedded}, local: {overlay: embedded}, \
                             uat: {overlay: embedded}, dev: {overlay: embedded}}\n";

/// Returns the errors and warnings of the command line, with their places.
fn validated(project: &Project, file: &str) -> [BTreeSet<String>; 2] {
    let output = project.run(["validate", file, "--format", "json"]).json();
    ["error", "warning"].map(|severity| {
        let all = output["diagnostics"].as_array().unwrap().iter().filter(|it| it["severity"] == severity);
        all.map(|it| {
            let message = it["message"].as_str().unwrap();
            match it["file"].as_str() {
                Some(file) => {
                    let file = if file.ends_with("descriptor.yaml") { "descriptor" } else { file };
                    format!("{file}:{}:{}: {message}", it["line"], it["column"])
                }
                None => message.to_owned(),
            }
        })
        .collect()
    })
}

/// Returns the errors and warnings of the server.
fn answered(server: &Served, text: &str, kind: &str) -> [Vec<String>; 2] {
    let answer = server.call("POST", "/v1/validate", &request(kind, text, false)).json();
    let texts = |list: &Json| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    [texts(&answer["error"]["errors"]), texts(&answer["warnings"])]
}

fn compare(project: &Project, server: &Served, name: &str, text: &str) {
    project.write("descriptor.yaml", text);
    let expected = validated(project, "descriptor.yaml");
    let answered = answered(server, text, "DATAPRODUCT_DESCRIPTOR");
    for (expected, answered) in expected.iter().zip(&answered) {
        let is_said = |line: &String| answered.iter().any(|one| one == line || one.starts_with(&format!("{line} (")));
        assert!(expected.iter().all(is_said), "{name}: {expected:#?}, and the server {answered:#?}");
        assert_eq!(expected.len(), answered.len(), "{name}: {expected:#?}, and the server {answered:#?}");
    }
}

#[test]
fn validation_returns_warnings_beside_errors_with_places() {
    let project = Project::new();
    project.write("terrace.yaml", CONFIGURATION);
    let server = Served::start(&project, &[]);
    let text = "id: urn:dmb:dp:a:b:0\nkind: dataproduct\nenvironment: local\ncomponents:\n- id: urn:dmb:cmp:a:b:0:s\n  \
                kind: storage\n  dependsOn: [urn:dmb:cmp:x:y:0:z]\n  useCaseTemplateId: urn:dmb:utm:snowflake-storage-template:0.0.0\n  \
                specific: {tables: 7}\n";
    compare(&project, &server, "both", text);
    let [errors, warnings] = answered(&server, text, "DATAPRODUCT_DESCRIPTOR");
    assert!(errors[0].starts_with("descriptor:9:22: `specific.tables` is a whole number"), "{errors:?}");
    assert!(warnings[0].starts_with("descriptor:7:15: the dependency `urn:dmb:cmp:x:y:0:z`"), "{warnings:?}");
}

#[test]
fn server_agrees_with_the_command_line_on_every_known_descriptor() {
    let Some(folder) = shared("witboost/descriptors") else { return };
    let project = Project::new();
    project.write("terrace.yaml", CONFIGURATION);
    let server = Served::start(&project, &[]);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // Without an environment name, the server needs a single environment.
        if text.contains("environment:") {
            compare(&project, &server, &name, &text);
        }
    }
}

#[test]
fn validation_asks_remote_systems_if_configured() {
    let project = Project::new();
    let unreachable = "providers: {postgres: {host: 127.0.0.1, port: 1, user: u, database: d, password: {secret: p}}}";
    let remote = "validate: {remote: true}";
    project.write(
        "terrace.yaml",
        format!("environments: {{asks: {{{remote}, {unreachable}}}, plain: {{{unreachable}}}}}\n"),
    );
    let server = Served::start(&project, &[]);
    let validated = |environment: &str| {
        let text = format!(
            "id: urn:dmb:dp:a:b:0\nenvironment: {environment}\ncomponents:\n- {{id: 'urn:dmb:cmp:a:b:0:s', kind: storage, \
             technology: PostgreSQL, useCaseTemplateId: 'urn:dmb:utm:postgres-storage-template:0.0.0', specific: {{tables: \
             [{{tableName: t, schema: [{{name: id, dataType: INT}}]}}]}}}}\n"
        );
        answered(&server, &text, "DATAPRODUCT_DESCRIPTOR")
    };
    assert_eq!(validated("plain"), [Vec::<String>::new(), Vec::new()]);
    let [errors, _] = validated("asks");
    assert!(errors.iter().any(|error| error.contains("127.0.0.1:1 cannot be reached")), "{errors:?}");
    project.write("terrace.yaml", format!("environments: {{asks: {{validate: {{remot: true}}, {unreachable}}}}}\n"));
    project.write("product.yaml", "id: urn:dmb:dp:a:b:0\nenvironment: asks\ncomponents: []\n");
    project.run(["validate", "product.yaml"]).with_code(1).prints("did you mean `remote`?");
}

//! The schema of the chart's values knows the fields of `server` in terrace.yaml.

use serde_json::Value;
use std::collections::BTreeSet;
use terrace_tests::Project;

/// A definition of the schema, and an unknown field in the same map of `server`: the error about it lists all fields.
const MAPS: [(&str, &str); 24] = [
    ("server", "another: 1"),
    ("server.auth.none", "auth: {mode: none, another: 1}"),
    ("server.auth.token", "auth: {mode: token, another: 1}"),
    ("server.auth.oidc", "auth: {mode: oidc, another: 1}"),
    ("server.auth.github", "auth: {mode: github, another: 1}"),
    ("server.auth.tokens", "auth: {mode: token, tokens: [{another: 1}]}"),
    ("server.auth.limits", "auth: {mode: token, tokens: [{limits: {another: 1}}]}"),
    ("server.auth.limits.queue", "auth: {mode: token, tokens: [{limits: {queue: {another: 1}}}]}"),
    ("server.auth.limits.pipelines", "organisations: {a: {another: 1}}"),
    ("server.auth.signIn", "auth: {mode: oidc, signIn: {another: 1}}"),
    ("server.auth.role", "auth: {mode: oidc, roles: {a: {another: 1}}}"),
    ("server.audit", "audit: {another: 1}"),
    ("server.connections", "connections: {another: 1}"),
    ("server.drift", "drift: {another: 1}"),
    ("server.drift.webhook", "drift: {webhook: {another: 1}}"),
    ("server.limits", "limits: {another: 1}"),
    ("server.log", "log: {another: 1}"),
    ("server.picker", "pickers: {a: {another: 1}}"),
    ("server.pipelines", "pipelines: {another: 1}"),
    ("server.pipelines.deployments", "pipelines: {deployments: {another: 1}}"),
    ("server.queue", "queue: {another: 1}"),
    ("server.sites", "sites: {another: 1}"),
    ("server.tls", "tls: {another: 1}"),
    ("server.operations", "operations: {another: 1}"),
];

#[test]
fn chart_accepts_the_fields_of_the_server() {
    let path = terrace_tests::repository().join("deploy/helm/terrace/values.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let definitions = schema["definitions"].as_object().unwrap();
    let compared: BTreeSet<&str> = MAPS.iter().map(|(name, _)| *name).collect();
    let known: BTreeSet<&str> = definitions.keys().map(String::as_str).filter(|it| it.starts_with("server")).collect();
    assert_eq!(compared, known);
    let project = Project::new();
    for (name, text) in MAPS {
        project.write("terrace.yaml", format!("server: {{{text}}}\n"));
        let ran = project.run(["stacks", "list", "--json"]).with_code(1);
        let result: Value = serde_json::from_str(&ran.stdout).unwrap();
        let diagnostics = result["diagnostics"].as_array().unwrap();
        let unknown = diagnostics.iter().find(|it| it["message"].as_str().unwrap().contains("no field `another`"));
        let hint = unknown.unwrap_or_else(|| panic!("{name}: {ran}"))["hint"].as_str().unwrap();
        // The names stand between backticks.
        let fields: BTreeSet<&str> = hint.split('`').skip(1).step_by(2).collect();
        let properties = definitions[name]["properties"].as_object().unwrap();
        assert_eq!(fields, properties.keys().map(String::as_str).collect(), "{name}");
    }
}

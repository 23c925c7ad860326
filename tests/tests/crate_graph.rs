//! Dependencies between the crates of the workspace. A crate that is not allowed here cannot be imported.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use terrace_tests::repository;

/// Dependencies of the crates, from the lowest layer to the highest. Providers and test servers have a rule instead.
const ALLOWED: &[(&str, &[&str])] = &[
    ("terrace-provider", &[]),
    ("terrace-yaml", &["terrace-provider"]),
    ("terrace-language", &["terrace-provider", "terrace-yaml"]),
    ("terrace-store", &["terrace-language", "terrace-provider"]),
    ("terrace-plan", &["terrace-language", "terrace-provider", "terrace-store"]),
    ("terrace-apply", &["terrace-language", "terrace-plan", "terrace-provider", "terrace-store"]),
    ("terrace-render", &["terrace-apply", "terrace-language", "terrace-plan", "terrace-provider", "terrace-store"]),
    ("terrace-engine", &["terrace-apply", "terrace-language", "terrace-plan", "terrace-render", "terrace-store"]),
    ("terrace-state", &["terrace-provider", "terrace-store"]),
    ("terrace-server", &["terrace-engine", "terrace-provider"]),
    ("terrace-role-mapper", &["terrace-engine", "terrace-provider", "terrace-server", "terrace-state"]),
    // Calls the server over HTTP.
    ("terrace-operator", &["terrace-provider"]),
    ("terrace-forge", &["terrace-provider"]),
    // Runs in a cluster use the connection of the provider.
    ("terrace-pipelines", &["terrace-provider", "terrace-provider-kubernetes", "terrace-yaml"]),
    ("terrace-provider-pipelines", &["terrace-pipelines", "terrace-provider"]),
    ("terrace-tests", &[]),
    ("terrace-test-listening", &[]),
];

/// Returns the workspace crates that each crate depends on, without dev-dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let words = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(words).current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let of_workspace = |dependency: &&Value| dependency["path"].is_string() && dependency["kind"] != "dev";
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            (name(package), dependencies.filter(of_workspace).map(name).collect())
        })
        .collect()
}

#[test]
fn crates_depend_only_on_lower_layers() {
    let mut dependencies = dependencies();
    let mut check = |name: &str, allowed: &[&str]| {
        let found = dependencies.remove(name).unwrap_or_else(|| panic!("the crate {name} is missing"));
        let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found, allowed, "dependencies of {name}, and those that the table allows");
    };
    for (name, allowed) in ALLOWED {
        check(name, allowed);
    }
    // The command line connects everything; the provider example has a binary that contains it.
    // It reaches the steps of the engine through the engine's facade only.
    let of_terrace = dependencies.remove("terrace").unwrap();
    assert!(of_terrace.contains("terrace-engine"));
    for step in ["language", "store", "plan", "apply", "render"] {
        assert!(!of_terrace.contains(&format!("terrace-{step}")), "terrace names {step} of the engine");
    }
    assert!(dependencies.remove("terrace-provider-kv").is_some());
    let is_server = |name: &str| name.starts_with("terrace-test-");
    let is_provider = |name: &str| name.starts_with("terrace-provider-");
    let mut providers = 0;
    for (name, found) in dependencies {
        assert!(is_provider(&name) || is_server(&name), "{name} has no line in the table");
        if is_provider(&name) {
            providers += 1;
            assert_eq!(found, BTreeSet::from(["terrace-provider".to_owned()]), "{name} knows no other crate");
        } else {
            assert!(found.iter().all(|name| is_server(name)), "{name} is a program of another vendor: {found:?}");
        }
    }
    assert!(providers > 5);
}

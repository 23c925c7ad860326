//! Real-world descriptors: each is planned, or refused with a place and a hint, and none panics.

use std::path::PathBuf;
use terrace_tests::{Project, Ran, shared};

pub(crate) fn descriptors() -> Vec<PathBuf> {
    let Some(folder) = shared("witboost/descriptors") else { return Vec::new() };
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    found.sort();
    found
}

/// Checks that an error has a place and a hint, and that terrace did not panic.
fn check(what: &str, ran: &Ran) {
    assert!(!ran.stderr.contains("panicked") && matches!(ran.code, 0 | 1), "{what}:\n{ran}");
    if ran.code == 1 {
        let has_place = ran.stderr.contains("descriptor.yaml:");
        let has_hint = ran.stderr.contains("help:") || ran.stderr.contains("hint:");
        assert!(has_place && has_hint, "{what} is refused without a place or a hint:\n{ran}");
    }
}

#[test]
fn every_real_descriptor_is_planned_or_refused_with_place_and_hint() {
    let descriptors = descriptors();
    let mut understood = 0;
    for path in &descriptors {
        let project = Project::new();
        project.copy(path, "descriptor.yaml");
        for command in ["validate", "plan"] {
            let ran = project.run([command, "descriptor.yaml", "--env", "local"]);
            check(&format!("{command} {}", path.display()), &ran);
            understood += usize::from(ran.code == 0);
        }
        assert_eq!(project.all_files().len(), 1, "{} left something behind", path.display());
    }
    assert!(descriptors.is_empty() || (descriptors.len() >= 34 && understood > 0), "{understood} understood");
}

#[test]
fn component_without_blueprint_names_its_template_and_the_closest_blueprint() {
    let project = Project::with_network_status();
    let (known, unknown) = ("databricks-workload-template.1", "databriks-workload-template.1");
    project.edit("data-product.yaml", known, unknown);
    let ran = project.run(["plan", "data-product.yaml", "--env", "local", "-q"]).with_code(1);
    ran.prints("urn:dmb:utm:databriks-workload-template").prints("databricks-workload").prints("data-product.yaml:");
    // The other components can be selected.
    project.run(["plan", "data-product.yaml", "--env", "local", "-c", "input-kafka-topic"]).done();
}

#[test]
fn expression_syntax_in_a_data_product_stays_text() {
    let project = Project::with_network_status();
    let text = "/${java.io.tmpdir}/${{ 1 + 1 }}/kafka-streams";
    project.edit("data-product.yaml", "/${java.io.tmpdir}/kafka-streams", &format!("'{text}'"));
    project.run(["apply", "data-product.yaml", "--env", "local", "--auto-approve"]).done();
    let folder = ".terrace/local/files/distribution.network-status.0/confluent-kafka-streams-ingestion";
    assert!(project.read(&format!("{folder}/streams.json")).contains(text));
    project.assert_settled("data-product.yaml", &["--env", "local"]);
}

#[test]
fn component_is_named_by_urn_or_key() {
    let project = Project::with_network_status();
    let urn = "urn:dmb:cmp:distribution:network-status:0:input-kafka-topic";
    let plan =
        |component: &str| project.run(["plan", "data-product.yaml", "--env", "local", "-c", component]).done().stdout;
    assert_eq!(plan(urn), plan("input-kafka-topic"));
}

#[test]
fn mistake_in_specific_is_reported_at_its_line() {
    let project = Project::with_network_status();
    let whole = project.read("data-product.yaml");
    let part = "      database: DISTRIBUTION\n      schema: NETWORKSTATUS_0\n      tables:";
    for (mistake, place) in [
        ("      database: DISTRIBUTION\n      schema: 7\n      tables:", "schema: 7"),
        ("      schema: NETWORKSTATUS_0\n      database: DISTRIBUTION\n      tablez:", "`tables`"),
    ] {
        project.edit("data-product.yaml", part, mistake);
        let ran = project.run(["validate", "data-product.yaml", "--env", "local"]).with_code(1);
        ran.prints("data-product.yaml:").prints(place).prints("hint:");
        project.write("data-product.yaml", &whole);
    }
}

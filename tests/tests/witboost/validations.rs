//! `terrace witboost validate`: descriptors and repositories, and the places of results.

use super::platform::{Platform, Says};
use crate::cli::schemas::assert_is;
use serde_json::{Value as Json, json};
use terrace_test_witboost::{Fault, StandIn};
use terrace_tests::Ran;

const PRODUCT: &str = "\
id: urn:dmb:dp:sales:orders:0
name: Orders
kind: dataproduct
domain: sales
version: 0.3.0
environment: production
components:
- id: urn:dmb:cmp:sales:orders:0:raw
  kind: storage
  specific:
    region: eu
    password: hunter2
- id: urn:dmb:cmp:sales:orders:0:raw-copy
  kind: storage
  specific: {}
";

/// A platform that knows the data product, with its descriptor in `product.yaml`.
fn platform() -> Platform {
    let platform = Platform::new();
    platform.stand_in.add_product("sales.orders.0");
    platform.write("product.yaml", PRODUCT);
    platform
}

/// The result of a phase.
fn phase(name: &str, status: &str, errors: Json) -> Json {
    json!({"validationPhaseKind": name, "status": status, "errors": errors})
}

/// Validates `product.yaml` with these results.
#[track_caller]
fn validated(platform: &Platform, results: Json, code: i32) -> Ran {
    platform.stand_in.set_results(results);
    let ran = platform.witboost(&["validate", "product.yaml"]).with_code(code);
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "a secret is shown:\n{ran}");
    platform.check_calls();
    ran
}

#[test]
fn valid_descriptor_is_sent_as_written() {
    let platform = platform();
    let ran = platform.witboost(&["validate", "product.yaml"]).done();
    assert_eq!(
        ran.stdout,
        "passed   POLICY_COMPONENT_VALIDATION_PHASE\npassed   COMPONENT_VALIDATION_PHASE\n\
         passed   DATAPRODUCT_VALIDATION_PHASE\nvalid: sales.orders.0@production\n"
    );
    let [received] = platform.stand_in.validations().try_into().unwrap();
    assert_eq!((received.product.as_str(), received.version.as_str()), ("sales.orders.0", "0.3.0"));
    assert_eq!((received.descriptor.as_str(), received.environment.as_str()), (PRODUCT, "production"));
    let result = platform.witboost(&["validate", "product.yaml", "--json"]).done().json();
    assert_is("witboostValidate", &result);
    assert_eq!((&result["valid"], &result["product"]), (&json!(true), &json!("urn:dmb:dp:sales:orders:0")));
    platform.check_calls();
}

#[test]
fn wrapped_descriptor_is_unwrapped() {
    let platform = platform();
    let indented: String = PRODUCT.lines().map(|line| format!("  {line}\n")).collect();
    let target = "componentIdToProvision: urn:dmb:cmp:sales:orders:0:raw";
    platform.write("product.yaml", format!("dataProduct:\n{indented}{target}\n"));
    let results =
        json!([phase("X", "FAILED", json!({"errors": ["no"], "inputErrorField": "components[0].specific.region"}))]);
    validated(&platform, results, 1).says("[product.yaml:12:15]");
    let received = platform.stand_in.validations().pop().unwrap();
    assert!(received.descriptor.starts_with("id: urn:dmb:dp:sales:orders:0\n"), "{}", received.descriptor);
}

#[test]
fn problems_point_into_the_descriptor() {
    let platform = platform();
    let of_component = "urn:dmb:cmp:sales:orders:0:raw";
    for (errors, place, message) in [
        (
            json!({"errors": ["no such region"], "inputErrorField": "components[0].specific.region", "moreInfo": {"solutions": ["choose eu-west-1"]}}),
            "[product.yaml:11:13]",
            "COMPONENT_VALIDATION_PHASE: no such region",
        ),
        // The message names the component, and the field is within it.
        (
            json!({"errors": [format!("{of_component}: no such region")], "inputErrorField": "specific.region"}),
            "[product.yaml:11:13]",
            "COMPONENT_VALIDATION_PHASE of `urn:dmb:cmp:sales:orders:0:raw`",
        ),
        (json!({"errors": [format!("component {of_component}-copy is wrong")]}), "[product.yaml:13:7]", "is wrong"),
        (
            json!({"errors": ["conflicting values\n    descriptor:11:13\n"]}),
            "[product.yaml:11:13]",
            "conflicting values",
        ),
    ] {
        let ran = validated(&platform, json!([phase("COMPONENT_VALIDATION_PHASE", "FAILED", errors)]), 1);
        ran.says(place)
            .says(message)
            .says("failed   COMPONENT_VALIDATION_PHASE")
            .says("invalid: sales.orders.0@production");
    }
    // A problem with the whole product has no line.
    let ran = validated(&platform, json!([phase("POLICY", "FAILED", json!({"errors": ["no owner"]}))]), 1);
    ran.says("POLICY: no owner");
    assert!(!ran.stderr.contains("product.yaml:"), "{ran}");
}

#[test]
fn secrets_of_the_descriptor_stay_hidden() {
    let platform = platform();
    let errors = json!({
        "errors": ["hunter2 is too short"], "input": "password: hunter2", "inputErrorField": "components[0].specific.password",
        "moreInfo": {"problems": [], "solutions": ["replace hunter2"]},
    });
    let mut result = phase("COMPONENT_VALIDATION_PHASE", "FAILED", errors);
    result["validatedDescriptor"] = json!(PRODUCT);
    let ran = validated(&platform, json!([result]), 1);
    ran.says("(sensitive value) is too short").says("product.yaml:12:15").says("replace (sensitive value)");
    let ran = platform.witboost(&["validate", "product.yaml", "--json", "-vv"]).with_code(1);
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran}");
    assert_is("witboostValidate", &ran.json());
    // A refused call repeats the descriptor.
    platform.stand_in.set_results(json!("hunter2"));
    platform.witboost(&["validate", "product.yaml"]).with_code(1).says("returns no result of the validation");
}

#[test]
fn warnings_do_not_fail_a_validation() {
    let platform = platform();
    let warning =
        json!([phase("POLICY", "WARNING", json!({"errors": ["deprecated"]})), phase("X", "PASSED", json!(null))]);
    validated(&platform, warning, 0)
        .says("warning  POLICY")
        .says("POLICY: deprecated")
        .says("valid: sales.orders.0@production");
    validated(&platform, json!([]), 1).says("Witboost validated nothing");
}

#[test]
fn repositories_are_built_for_the_environment() {
    let platform = platform();
    platform.write(
        "orders/catalog-info.yaml",
        "apiVersion: backstage.io/v1alpha1\nkind: System\nmetadata: {name: sales.orders.0}\n\
         spec: {type: dataproduct, owner: 'group:sales-dev', domain: 'domain:sales', mesh: {name: Orders, kind: dataproduct, version: 0.1.0}}\n",
    );
    platform.write(
        "raw/catalog-info.yaml",
        "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: sales.orders.0.raw}\nspec:\n  type: storage\n  \
         owner: group:sales-dev\n  system: system:sales.orders.0\n  domain: domain:sales\n  mesh:\n    name: Raw\n    kind: storage\n    \
         version: 0.1.0\n    useCaseTemplateId: urn:dmb:utm:raw:0.0.0\n    infrastructureTemplateId: urn:dmb:itm:terrace:0\n    dependsOn: []\n    specific:\n      region: eu\n",
    );
    platform.write("raw/environments/production/configurations.yaml", "specific:\n  region: mars\n");
    platform.stand_in.set_results(json!([phase(
        "COMPONENT_VALIDATION_PHASE",
        "FAILED",
        json!({"errors": ["no such region"], "inputErrorField": "components[0].specific.region"})
    )]));
    let words = ["validate", "orders", "raw", "--env", "production"];
    let ran = platform.witboost(&words).with_code(1);
    ran.says("[raw/environments/production/configurations.yaml:2:11]").says("no such region");
    let received = platform.stand_in.validations().pop().unwrap();
    assert!(received.descriptor.contains("region: mars") && received.version == "0.1.0", "{received:?}");
    let built = platform.run(["descriptor", "build", "orders", "raw", "--env", "production"]).done().stdout;
    assert_eq!(received.descriptor, built);
    // The place in the sent text leads to the same line.
    let line = built.lines().position(|line| line.contains("region: mars")).unwrap() + 1;
    platform.stand_in.set_results(json!([phase("POLICY", "FAILED", json!([format!("wrong\ndescriptor:{line}:1")]))]));
    platform.witboost(&words).with_code(1).says("POLICY: wrong");
    let column = built.lines().nth(line - 1).unwrap().find("mars").unwrap() + 1;
    platform.stand_in.set_results(json!([phase(
        "POLICY",
        "FAILED",
        json!([format!("wrong\ndescriptor:{line}:{column}")])
    )]));
    platform.witboost(&words).with_code(1).says("[raw/environments/production/configurations.yaml:2:11]");
    platform.check_calls();
}

#[test]
fn input_that_cannot_be_validated_is_refused_before_any_call() {
    let platform = platform();
    platform.write_stack("resources: []\n");
    platform.write("other.yaml", PRODUCT.replace("sales:orders", "sales:other"));
    platform.write("no-env.yaml", PRODUCT.replace("environment: production\n", ""));
    for (words, message) in [
        (&["validate", "stack.yaml"] as &[&str], "this is a stack"),
        (&["validate", "product.yaml", "other.yaml"], "one data product is needed, and the input has 2"),
        (&["validate", "no-env.yaml"], "names no environment"),
        (&["validate", "product.yaml", "--env", "development"], "for the environment `production`, not `development`"),
        (&["validate", "missing.yaml"], "there is no file `missing.yaml`"),
        (&["validate", "product.yaml", "--repo", "."], "completes no repository"),
    ] {
        platform.witboost(words).with_code(1).says(message);
    }
    assert_eq!(platform.stand_in.count(), 0);
    platform.witboost(&["validate", "no-env.yaml", "--env", "production"]).done();
}

#[test]
fn validation_without_a_path_takes_the_only_descriptor_or_names_the_choices() {
    let platform = platform();
    platform.witboost(&["validate"]).done();
    platform.write("other.yaml", PRODUCT.replace("sales:orders", "sales:other"));
    platform
        .witboost(&["validate"])
        .with_code(1)
        .says("`terrace witboost validate other.yaml`, `terrace witboost validate product.yaml`");
    std::fs::create_dir(platform.path("empty")).unwrap();
    let ran = platform.witboost(&["validate", "--chdir", "empty", "--config", "../terrace.yaml"]).with_code(1);
    ran.says("this folder has neither a descriptor nor a `catalog-info.yaml`");
    ran.says("`terrace witboost validate data-product.yaml`");
    assert_eq!(platform.stand_in.validations().len(), 1);
}

#[test]
fn refusals_of_the_platform_are_reported() {
    let platform = platform();
    platform.write("other.yaml", PRODUCT.replace("sales:orders", "sales:other"));
    let ran = platform.witboost(&["validate", "other.yaml"]).with_code(1);
    ran.says("Witboost finds nothing to validate the descriptor: System sales.other.0 not found")
        .says("register the product's `catalog-info.yaml`");
    let path = "/api/builder/dataproducts/sales.orders.0/validate";
    platform.stand_in.faults().by_text.push((path.to_owned(), Fault::Status(409)));
    platform.witboost(&["validate", "product.yaml"]).with_code(1).says("reports a conflict");
    // Failures that pass are retried; an expired token is renewed.
    for fault in [Fault::Status(502), Fault::LostAfter, Fault::Expired, Fault::Limited(0)] {
        platform.stand_in.faults().by_text.push((path.to_owned(), fault));
        platform.witboost(&["validate", "product.yaml"]).done();
    }
    platform.edit("product.yaml", "environment: production", "environment: staging");
    platform
        .witboost(&["validate", "product.yaml"])
        .with_code(1)
        .says("(status 422): Environment staging is not configured");
    platform.stand_in.permit(&["register"]);
    platform.witboost(&["validate", "product.yaml"]).with_code(1).says("may not validate the descriptor");
    let json = platform.witboost(&["validate", "product.yaml", "--json"]).with_code(1).json();
    assert_is("failure", &json);
    assert!(platform.with_token(StandIn::TOKEN, &["validate", "missing.yaml", "--json"]).json()["errored"] == true);
    platform.check_calls();
}

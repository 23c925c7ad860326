//! Plans of data products from the files that people edit in Git.

use std::path::Path;
use terrace_tests::{Project, Ran, repository};

/// Checks for a text that may be in several lines of the output.
#[track_caller]
pub(super) fn prints_words(ran: &Ran, text: &str) {
    let joined = |text: &str| text.replace(['│', ' ', '\n'], "");
    assert!(joined(&format!("{}{}", ran.stdout, ran.stderr)).contains(&joined(text)), "`{text}` is missing:\n{ran}");
}

/// A project with the example.
pub(super) fn example() -> Project {
    let project = Project::new();
    copy(&repository().join("examples/repositories"), "", &project);
    project
}

fn copy(folder: &Path, below: &str, project: &Project) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        match path.is_dir() {
            true => copy(&path, &format!("{name}/"), project),
            false => project.copy(&path, &name),
        }
    }
}

#[test]
fn repositories_are_planned_and_applied_for_an_environment() {
    let project = example();
    let ran = project.run(["plan", ".", "--env", "dev"]).done();
    ran.prints("local_file.settings").prints("local_file.view").prints("acme-orders-dev/settings.txt");
    ran.prints("sales_orders_dev/order_view_v0.sql").prints("2 to add");
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    project.assert_settled(".", &["--env", "dev"]);
    // Other spellings of the same data product, and the other environment.
    for paths in
        [&["orders", "orders-raw", "orders-view"][..], &["orders", "--repo", "orders-raw", "--repo", "orders-view"]]
    {
        project
            .run(["plan"].into_iter().chain(paths.iter().copied()).chain(["--env", "dev"]))
            .done()
            .prints("No changes");
    }
    project.run(["plan", ".", "--env", "prod"]).done().prints("versioning on");
    project.run(["destroy", ".", "--env", "dev", "--auto-approve"]).done();
}

#[test]
fn built_descriptor_has_the_same_plan_as_its_repositories() {
    let project = example();
    let from_git = project.run(["plan", ".", "--env", "prod", "--detail", "full"]).done();
    project.run(["descriptor", "build", ".", "--env", "prod", "--out", "data-product.yaml"]).done();
    let from_descriptor = project.run(["plan", "data-product.yaml", "--detail", "full"]).done();
    assert_eq!(from_git.stdout, from_descriptor.stdout);
    // Data of the platform change no resource.
    project.write("terrace.yaml", "environments: {prod: {overlay: embedded}}\n");
    let without =
        project.run(["plan", "orders", "orders-raw", "orders-view", "--env", "prod", "--detail", "full"]).done();
    assert_eq!(from_git.stdout, without.stdout);
}

#[test]
fn repositories_of_the_configuration_complete_a_data_product() {
    let project = example();
    project.edit("terrace.yaml", "platform:", "repositories: [orders, orders-raw, orders-view]\nplatform:");
    let all = project.run(["plan", ".", "--env", "dev"]).done();
    for path in ["orders", "orders-raw", "orders-view/catalog-info.yaml"] {
        assert_eq!(project.run(["plan", path, "--env", "dev"]).done().stdout, all.stdout, "{path}");
    }
}

#[test]
fn errors_of_blueprints_lead_to_the_edited_file() {
    let project = example();
    let plan = |file: &str, old: &str, new: &str| {
        let text = project.read(file);
        project.edit(file, old, new);
        let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
        project.write(file, text);
        ran
    };
    plan("orders-raw/environments/dev/configurations.yaml", "acme-orders-dev", "ACME")
        .prints("orders-raw/environments/dev/configurations.yaml:1:20");
    plan("orders-raw/catalog-info.yaml", "region: eu-west-1", "regoin: eu-west-1")
        .prints("orders-raw/catalog-info.yaml:21:7");
    plan("orders-view/parameters.yaml", "[ID, AMOUNT]", "[ID, 1]").prints("orders-view/parameters.yaml:7:17");
    plan("orders-view/catalog-info.yaml", "env.database", "env.databse").prints("orders-view/catalog-info.yaml:2");
    plan("orders-view/catalog-info.yaml", "parameters.name | lower", "parameters.name | lowr")
        .prints("template_failed");
}

#[test]
fn environment_must_be_chosen() {
    let project = example();
    project.run(["plan", "."]).with_code(1).prints("`.` is a repository").prints("--env").prints("`dev`, `prod`");
    project.run(["plan", ".", "--env", "qa"]).with_code(1).prints("`qa` is not configured");
    project.run(["descriptor", "build", "terrace.yaml", "--env", "dev"]).with_code(1);
}

#[test]
fn incomplete_checkout_is_an_error() {
    let project = example();
    let ran = project.run(["plan", "orders-raw", "--env", "dev"]).with_code(1);
    prints_words(ran.prints("missing_repository"), "with `--repo PATH` of `terrace plan`");
    project
        .run(["plan", "orders", "orders-view", "--env", "dev"])
        .with_code(1)
        .prints("urn:dmb:cmp:sales:orders:0:raw");
    project.run(["plan", "orders", "--repo", "blueprints", "--env", "dev"]).with_code(1).prints("is not a repository");
    project.write("stack.yaml", "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\n");
    project.run(["plan", "stack.yaml", "--repo", "orders"]).with_code(1).prints("completes no repository");
}

#[test]
fn files_of_a_repository_cannot_be_overwritten() {
    let project = example();
    project.edit(
        "blueprints/bucket.yaml",
        "component.specific.bucket + \"/settings.txt\"",
        "\"orders/catalog-info.yaml\"",
    );
    let ran = project.run(["apply", ".", "--env", "dev", "--auto-approve"]);
    assert_ne!(ran.code, 0, "{ran}");
    prints_words(&ran, "orders/catalog-info.yaml");
    prints_words(&ran, "which no descriptor may use");
    assert!(project.read("orders/catalog-info.yaml").contains("kind: System"));
}

#[test]
fn links_out_of_a_repository_are_not_followed() {
    let project = example();
    project.write("secret.yaml", "specific: {bucket: secret}\n");
    let link = "orders-raw/environments/dev/configurations.yaml";
    std::fs::remove_file(project.path(link)).unwrap();
    std::os::unix::fs::symlink("../../../secret.yaml", project.path(link)).unwrap();
    project
        .run(["plan", "orders", "orders-raw", "orders-view", "--env", "dev"])
        .with_code(1)
        .prints("outside the repository");
}

#[test]
fn plan_does_not_remove_a_component_that_cannot_be_read() {
    use std::os::unix::fs::symlink;
    let project = example();
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    std::fs::rename(project.path("orders-raw"), project.path(".store")).unwrap();
    symlink(".store", project.path("orders-raw")).unwrap();
    let refused = |place: &str| {
        let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
        prints_words(ran.prints("skipped_entity"), place);
    };
    refused("orders-raw/catalog-info.yaml");
    std::fs::remove_file(project.path("orders-raw")).unwrap();
    std::fs::rename(project.path(".store"), project.path("target")).unwrap();
    refused("target/catalog-info.yaml");
    std::fs::rename(project.path("target"), project.path("orders-raw")).unwrap();
    let values = project.path("orders-raw/environments/dev/configurations.yaml");
    std::fs::remove_file(&values).unwrap();
    symlink("missing", &values).unwrap();
    let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
    prints_words(&ran, "configurations.yaml");
    prints_words(&ran, "cannot be read");
}

#[test]
fn typing_errors_do_not_remove_a_component() {
    let project = example();
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    let catalog = "orders-raw/catalog-info.yaml";
    let text = project.read(catalog);
    for (old, new, place) in [
        ("kind: Component", "kind: Componet", "orders-raw/catalog-info.yaml:2:7"),
        ("mesh:", "mseh:", "orders-raw/catalog-info.yaml:11:3"),
        ("    useCaseTemplateId: urn:dmb:utm:bucket-template:0.0.0\n", "", "orders-raw/catalog-info.yaml:11:3"),
        ("system: system", "systm: system", "orders-raw/catalog-info.yaml:9:3"),
    ] {
        project.edit(catalog, old, new);
        project.run(["plan", ".", "--env", "dev"]).with_code(1).prints(place);
        project.write(catalog, &text);
    }
    for name in ["catalog-info.yml", "Catalog-Info.yaml", "catalog-inof.yaml"] {
        let renamed = project.path("orders-raw").join(name);
        std::fs::rename(project.path(catalog), &renamed).unwrap();
        let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
        prints_words(ran.prints("wrong_file_name"), &format!("orders-raw/{name}"));
        std::fs::rename(&renamed, project.path(catalog)).unwrap();
    }
    let ran = project.run(["plan", "orders", "--env", "dev"]).done();
    prints_words(&ran, "the data product `sales.orders.0` has no component");
    project.assert_settled(".", &["--env", "dev"]);
}

#[test]
fn nested_operators_end_with_an_error() {
    let project = example();
    let (catalog, parameters) = ("orders-view/catalog-info.yaml", "orders-view/parameters.yaml");
    let texts = (project.read(catalog), project.read(parameters));
    let chains =
        ["not ".repeat(20_000) + "a", "a".to_owned() + &".a".repeat(100_000), "(".repeat(50_000) + &")".repeat(50_000)];
    for chain in &chains {
        project.edit(catalog, "env.database", chain);
        let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
        ran.prints("template_limit").prints("orders-view/catalog-info.yaml:22");
        project.write(catalog, &texts.0);
        project.edit(parameters, "Order view", &format!("${{{{ {chain} }}}}"));
        let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
        ran.prints("template_limit").prints("orders-view/parameters.yaml:3");
        project.write(parameters, &texts.1);
    }
}

#[test]
fn lists_of_both_files_are_a_warning() {
    let project = example();
    project.edit("orders-raw/catalog-info.yaml", "tags: []", "tags: [a]");
    project
        .write("orders-raw/environments/dev/configurations.yaml", "specific: {bucket: acme-orders-dev}\ntags: [b]\n");
    let ran = project.run(["plan", ".", "--env", "dev"]).done();
    ran.prints("replaced_list").prints("orders-raw/environments/dev/configurations.yaml:2:7");
    let built = project.run(["descriptor", "build", ".", "--env", "dev"]).done();
    assert!(built.stdout.contains("- b") && !built.stdout.contains("- a"), "{built}");
}

#[test]
fn folder_of_an_unknown_environment_is_a_warning() {
    let project = example();
    project.write("orders-raw/environments/pord/configurations.yaml", "specific: {}\n");
    project.write("orders-raw/environments/staging/configurations.yaml", "specific: {}\n");
    let ran = project.run(["plan", ".", "--env", "dev"]).done();
    prints_words(&ran, "the folder `orders-raw/environments/pord` belongs to no environment of terrace.yaml");
    prints_words(&ran, "did you mean `prod`?");
    prints_words(&ran, "the folder `orders-raw/environments/staging` belongs to no environment of terrace.yaml");
    assert!(!ran.stderr.contains("environments/prod`"), "{ran}");
    project.write("orders-view/environments/pord/configurations.yaml", "specific: {}\n");
    let ran = project.run(["plan", ".", "--env", "dev"]).done();
    prints_words(&ran, "the folders `orders-raw/environments/pord`, `orders-view/environments/pord` belong to no");
}

#[test]
fn remedy_for_an_expression_is_not_a_value() {
    for (file, old, new) in [
        ("orders-view/catalog-info.yaml", "env.database", "env.databse"),
        ("orders-view/catalog-info.yaml", "${{ env.database }}", "${{ parameters.nam or env.databse }}"),
    ] {
        let project = example();
        project.edit(file, old, new);
        let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
        prints_words(&ran, "or the values of its names in parameters.yaml");
        assert!(!ran.stderr.contains("write text here"), "{ran}");
    }
}

#[test]
fn remedy_for_a_missing_value_names_the_file_of_the_environment() {
    let project = example();
    std::fs::remove_dir_all(project.path("orders-raw/environments/prod")).unwrap();
    let ran = project.run(["plan", ".", "--env", "prod"]).with_code(1);
    let file = "orders-raw/environments/prod/configurations.yaml";
    prints_words(&ran, &format!("add `bucket:` for all environments, or in `{file}`"));
    // The remedy works.
    project.write(file, "specific: {bucket: acme-orders-prod}\n");
    project.run(["plan", ".", "--env", "prod"]).done();
}

#[test]
fn copied_component_is_named_with_both_places() {
    let project = example();
    project.write("orders-copy/catalog-info.yaml", project.read("orders-raw/catalog-info.yaml"));
    let ran = project.run(["plan", ".", "--env", "dev", "--json"]).with_code(1);
    let message = ran.json()["diagnostics"][0]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("is in `orders-copy/catalog-info.yaml` and in `orders-raw/catalog-info.yaml`"),
        "{message}"
    );
    prints_words(&ran, "rename an entity, or remove the copy");
}

/// The descriptor of a data product cannot declare moves, so an error must neither ask for them nor ignore them.
#[test]
fn renamed_component_keeps_its_object_by_a_move_in_the_state() {
    let project = example();
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    project.edit("orders-raw/catalog-info.yaml", "sales.orders.0.raw", "sales.orders.0.files");
    project.edit("orders-view/parameters.yaml", "orders:0:raw", "orders:0:files");
    let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
    let command = "terrace state mv sales.orders.0@dev:raw/local_file.settings files/local_file.settings";
    prints_words(ran.prints("renamed_without_moved"), command);
    assert!(!ran.stderr.contains("moved: ["), "{ran}");
    project.edit("orders-raw/catalog-info.yaml", "  mesh:", "  moved: [{from: raw/, to: files/}]\n  mesh:");
    let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
    prints_words(ran.prints("catalog-info.yaml:11:3"), "a data product cannot declare `moved`");
    project.edit("orders-raw/catalog-info.yaml", "  moved: [{from: raw/, to: files/}]\n  mesh:", "  mesh:");
    project.run(command.split(' ').skip(1)).done();
    project.run(["plan", ".", "--env", "dev"]).done();
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    assert!(project.has("acme-orders-dev/settings.txt"));
}

#[test]
fn component_without_a_system_is_an_error() {
    for system in ["", "  system: ''\n", "  system:\n"] {
        let project = example();
        project.edit("orders-raw/catalog-info.yaml", "  system: system:sales.orders.0\n", system);
        let ran = project.run(["plan", ".", "--env", "dev"]).with_code(1);
        prints_words(&ran, "the component `sales.orders.0.raw` has no `spec.system`");
        prints_words(&ran, "into `spec` of catalog-info.yaml, or `__system__` into `readonly`");
        // Its file is here.
        assert!(!ran.stderr.contains("missing_repository"), "{ran}");
        ran.prints("orders-raw/catalog-info.yaml:");
    }
}

/// Editors of Windows end lines with `\r\n`.
#[test]
fn line_ends_of_windows_change_no_plan() {
    let project = example();
    let plan = || project.run(["plan", ".", "--env", "dev", "--detail", "full"]).done().stdout;
    let expected = plan();
    let files = [
        "orders/catalog-info.yaml",
        "orders-raw/catalog-info.yaml",
        "orders-raw/environments/dev/configurations.yaml",
        "orders-view/catalog-info.yaml",
        "orders-view/parameters.yaml",
    ];
    for file in files {
        project.write(file, project.read(file).replace('\n', "\r\n"));
    }
    assert_eq!(plan(), expected);
    // Places of errors count the same lines.
    project.edit("orders-view/parameters.yaml", "[ID, AMOUNT]", "[ID, 1]");
    project.run(["plan", ".", "--env", "dev"]).with_code(1).prints("orders-view/parameters.yaml:7:17");
}

#[test]
fn other_domain_is_a_warning() {
    let project = example();
    project.edit("orders-raw/catalog-info.yaml", "domain: domain:sales", "domain: domain:training");
    project.run(["plan", ".", "--env", "dev"]).done().prints("domain_mismatch");
}

#[test]
fn reverse_changes_the_edited_files() {
    let project = example();
    let blueprint = project.read("blueprints/bucket.yaml");
    let updates =
        "{spec.mesh.specific.region: '${{ params.region }}', spec.mesh.specific.bucket: '${{ params.bucket }}'}";
    project.write(
        "blueprints/bucket.yaml",
        format!("{}\nreverse:\n  params: {{type: object}}\n  updates: {updates}\n", blueprint.trim_end()),
    );
    let catalog = project.read("orders-raw/catalog-info.yaml");
    let reverse = |folder: &str| {
        let params = ["--param", "region=eu-south-1", "--param", "bucket=acme"];
        project.run(["reverse", "bucket", "--env", "dev", "--write", folder].into_iter().chain(params))
    };
    prints_words(&reverse("orders-raw").done(), "changed `orders-raw/catalog-info.yaml`");
    assert_eq!(project.read("orders-raw/catalog-info.yaml"), catalog.replace("eu-west-1", "eu-south-1"));
    assert_eq!(project.read("orders-raw/environments/dev/configurations.yaml"), "specific: {bucket: acme}\n");
    prints_words(&reverse("orders-raw").done(), "the files have these values already");
    let other = project.read("orders-view/catalog-info.yaml");
    prints_words(&reverse("orders-view").with_code(1), "does not use the blueprint `bucket`");
    prints_words(&reverse("orders").with_code(1), "is not a component of the blueprint `bucket`");
    assert_eq!(project.read("orders-view/catalog-info.yaml"), other);
    prints_words(&reverse(".").with_code(1), "no catalog-info.yaml");
    prints_words(&reverse("blueprints").with_code(1), "no catalog-info.yaml");
    let edited = project.read("orders-raw/catalog-info.yaml");
    let refused = reverse("orders-raw/catalog-info.yaml").with_code(1);
    prints_words(&refused, "would replace a file that people edit");
    prints_words(&refused, "name its folder to change the values within");
    let built = project.run(["descriptor", "build", ".", "--env", "dev", "--out", "orders-raw/catalog-info.yaml"]);
    prints_words(&built.with_code(1), "would replace a file that people edit");
    assert_eq!(project.read("orders-raw/catalog-info.yaml"), edited);
}

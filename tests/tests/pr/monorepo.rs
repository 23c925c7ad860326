//! Repositories with many products: only touched products are planned, in the order of their dependencies.

use super::repository::{AUTHOR, Forge, Repository, stack};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The files of a product with a component, in separate folders.
fn product(name: &str) -> [(String, String); 2] {
    let system = format!(
        "kind: System\nmetadata: {{name: sales.{name}.0, description: {name}}}\nspec:\n  type: dataproduct\n  owner: group:sales-dev\n  \
         domain: domain:sales\n  mesh: {{dataProductOwner: user:jane.roe_example.com, devGroup: group:sales-dev, email: a@example.com, version: 0.1.0, name: {name}, specific: {{}}}}\n"
    );
    let component = format!(
        "kind: Component\nmetadata: {{name: sales.{name}.0.raw, description: Raw}}\nspec:\n  type: storage\n  owner: group:sales-dev\n  \
         system: system:sales.{name}.0\n  domain: domain:sales\n  mesh: {{name: Raw, description: Raw, kind: storage, version: 0.1.0, infrastructureTemplateId: \"urn:dmb:itm:terrace:0\", useCaseTemplateId: \"urn:dmb:utm:bucket-template:0.0.0\", dependsOn: [], tags: [], specific: {{bucket: {name}}}}}\n"
    );
    [
        (format!("products/{name}/catalog-info.yaml"), system),
        // The component of a product may be in any folder.
        (format!("components/{name}-raw/catalog-info.yaml"), component),
    ]
}

const BLUEPRINT: &str = "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: bucket, version: 1.0.0, description: A folder}\n\
                         match: {useCaseTemplateId: \"urn:dmb:utm:bucket-template\"}\nspecific:\n  type: object\n  properties: {bucket: {type: string}}\n\
                         resources:\n  - type: local_file\n    name: settings\n    config: {path: '${{ \"out/\" + component.specific.bucket + \"/a.txt\" }}', content: x}\n";

fn monorepo(count: usize) -> Repository {
    let mut files: Vec<(String, String)> = (0..count).flat_map(|number| product(&format!("p{number:03}"))).collect();
    files.push((
        "terrace.yaml".to_owned(),
        "environments: {dev: {overlay: embedded}, prod: {overlay: embedded}}\n".to_owned(),
    ));
    files.push(("blueprints/bucket.yaml".to_owned(), BLUEPRINT.to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Repository::new(Forge::github(), &files)
}

/// The stacks in the order of the log.
fn planned(stdout: &str) -> Vec<&str> {
    stdout.lines().filter_map(|line| line.strip_prefix("plan ")?.split(':').next()).collect()
}

#[test]
fn only_touched_products_are_planned() {
    let repository = monorepo(12);
    let number = repository.request("feature", AUTHOR, false, |it| {
        let path = "components/p003-raw/catalog-info.yaml";
        it.write(path, &it.read(path).replace("bucket: p003", "bucket: other"));
        it.write("components/p003-raw/environments/prod/configurations.yaml", "specific: {bucket: three}\n");
        it.write("components/p007-raw/environments/prod/configurations.yaml", "specific: {bucket: seven}\n");
        it.write("products/p009/README.md", "text\n");
    });
    let ran = repository.plan(number).done();
    assert_eq!(planned(&ran.stdout), ["sales.p003.0@dev", "sales.p003.0@prod", "sales.p007.0@prod"]);
    let comment = repository.plan_comment(number);
    // The state is empty, so each plan creates the whole product, but the request changed only this.
    assert!(comment.contains("added by this branch") || comment.contains("changed by this branch"), "{comment}");
    repository.merge("feature", number);
    repository.apply().done();
    assert!(repository.path("out/other/a.txt").exists() && repository.path("out/seven/a.txt").exists());
    assert!(!repository.path("out/p001/a.txt").exists());
    // An apply of another product does not make the digest stale.
    repository.check_calls();
}

#[test]
fn changed_blueprint_touches_every_product() {
    let repository = monorepo(3);
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write("blueprints/bucket.yaml", &BLUEPRINT.replace("content: x", "content: y"));
        it.write("stacks/README.md", "No stacks yet.\n");
    });
    let ran = repository.job(&["pr", "plan", "--env", "dev"], "pull_request", number, &[]).done();
    assert_eq!(planned(&ran.stdout), ["sales.p000.0@dev", "sales.p001.0@dev", "sales.p002.0@dev"]);
    assert!(repository.plan_comment(number).contains("all products are planned"));
    // A job may plan a part of the repository, in a separate comment.
    let words = ["pr", "plan", "stacks", "--env", "dev", "--name", "stacks"];
    repository.job(&words, "pull_request", number, &[]).done().prints("no changed product");
    assert_eq!(repository.forge.comments(number).len(), 2);
    repository.check_calls();
}

/// A misspelt folder must not end as "no changed product".
#[test]
fn folder_that_the_repository_lacks_is_an_error() {
    for is_fork in [false, true] {
        let both = [("stacks/demo.yaml", &*stack("demo", "one")), ("old/b.yaml", &stack("b", "one"))];
        let repository = Repository::new(Forge::github(), &both);
        let number = repository.request("feature", AUTHOR, is_fork, |it| {
            it.write("stacks/demo.yaml", &stack("demo", "two"));
            it.write("new/c.yaml", &stack("c", "one"));
            std::fs::remove_dir_all(it.path("old")).unwrap();
        });
        let plan = |folder: &str| repository.job(&["pr", "plan", folder], "pull_request", number, &[]);
        plan("stcks").with_code(1).prints("the repository has no folder `stcks`").prints("relative to the root");
        let inside = repository.path("stacks").canonicalize().unwrap().display().to_string();
        for folder in ["stacks", "./stacks/", "new/../stacks", "old", "new", inside.as_str()] {
            plan(folder).done();
        }
        assert_eq!(plan("./stacks/").done().stdout.matches("demo@local").count(), 1, "the product is planned");
        for folder in ["..", "../stacks", "stacks/../..", "/etc"] {
            let ran = plan(folder).with_code(1);
            ran.prints(&format!("`{folder}` is outside of the repository"));
            assert!(!ran.stderr.contains("--against"), "{ran}");
        }
        repository.merge("feature", number);
        let apply = |folder: &str| repository.job(&["pr", "apply", folder], "push", 0, &[]);
        apply("stcks").with_code(1).prints("the repository has no folder `stcks`");
        repository.check_calls();
    }
}

/// A changed product must not be skipped because Git's list of changed files has its name in other bytes.
#[test]
fn file_whose_name_is_not_utf8_fails_the_plan() {
    for is_fork in [false, true] {
        let repository = Repository::with_stack(Forge::github());
        let number = repository.request("feature", AUTHOR, is_fork, |it| {
            let name = OsStr::from_bytes(b"caf\xe9.yaml");
            std::fs::write(it.path("stacks").join(name), stack("other", "one")).unwrap();
        });
        let ran = repository.plan(number).with_code(if is_fork { 0 } else { 1 });
        let comment = repository.plan_comment(number);
        assert!(comment.contains("stacks/caf\u{fffd}.yaml") && comment.contains("UTF-8"), "{comment}");
        ran.prints("stacks/caf\u{fffd}.yaml").prints("UTF-8");
        repository.check_calls();
    }
}

#[test]
fn chosen_environment_leaves_out_stacks_of_others() {
    let product = |name: &str, environment: &str| {
        format!(
            "id: urn:dmb:dp:sales:{name}:0\nenvironment: {environment}\nname: {name}\ndomain: sales\nversion: 0.1.0\nkind: dataproduct\ncomponents: []\n"
        )
    };
    let configuration = "environments: {dev: {overlay: embedded}, prod: {overlay: embedded}}\n";
    let repository = Repository::new(Forge::github(), &[("terrace.yaml", configuration)]);
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write("products/one.yaml", &product("one", "dev"));
        it.write("products/two.yaml", &product("two", "prod"));
        it.write("stacks/demo.yaml", &stack("demo", "one"));
    });
    let ran = repository.plan(number).done();
    assert_eq!(
        planned(&ran.stdout),
        ["demo@dev", "sales.one.0@dev", "sales.two.0@prod", "demo@prod"],
        "without a choice: {ran}"
    );
    for (environment, expected) in
        [("dev", ["demo@dev", "sales.one.0@dev"]), ("prod", ["demo@prod", "sales.two.0@prod"])]
    {
        let ran = repository.job(&["pr", "plan", "--env", environment], "pull_request", number, &[]).done();
        assert_eq!(planned(&ran.stdout), expected, "{ran}");
    }
    repository.check_calls();
}

#[test]
fn nested_configuration_touches_the_products_below() {
    let local = "environments: {local: {overlay: embedded}}\n";
    let repository = Repository::new(
        Forge::github(),
        &[
            ("sales/terrace.yaml", local),
            ("sales/stacks/a.yaml", &stack("a", "one")),
            ("other/b.yaml", &stack("b", "one")),
        ],
    );
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write("sales/terrace.yaml", &format!("{local}# changed\n"));
    });
    let ran = repository.plan(number).done();
    assert_eq!(planned(&ran.stdout), ["a@local"], "{ran}");
    repository.push(number, |it| {
        it.write("sales/terrace.yaml", local);
        it.write("sales/blueprints/bucket.yaml", BLUEPRINT);
    });
    let ran = repository.plan(number).done();
    assert_eq!(planned(&ran.stdout), ["a@local"], "{ran}");
    repository.push(number, |it| std::fs::remove_file(it.path("sales/terrace.yaml")).unwrap());
    let ran = repository.plan(number).done();
    assert_eq!(planned(&ran.stdout), ["a@local"], "{ran}");
    // Without a configuration, a product has the blueprints of its folder.
    repository.git(&["checkout", "--quiet", "main"]);
    for path in ["terrace.yaml", "sales/terrace.yaml"] {
        std::fs::remove_file(repository.path(path)).unwrap();
    }
    repository.commit("No configuration");
    let number = repository.request("blueprints", AUTHOR, false, |it| {
        it.write("other/blueprints/bucket.yaml", BLUEPRINT);
    });
    let ran = repository.plan(number).done();
    assert_eq!(planned(&ran.stdout), ["b@local"], "{ran}");
    repository.check_calls();
}

#[test]
fn removed_product_is_named_and_kept() {
    let repository = monorepo(2);
    repository
        .terrace(&["apply", "products/p001", "--repo", "components", "--env", "dev", "--auto-approve", "-q"])
        .done();
    let number = repository.request("feature", AUTHOR, false, |it| {
        std::fs::remove_dir_all(it.path("products/p001")).unwrap();
        std::fs::remove_dir_all(it.path("components/p001-raw")).unwrap();
    });
    repository.plan(number).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("`sales.p001.0@dev` has no files any more. Its objects stay until"), "{comment}");
    assert!(comment.contains("`terrace destroy sales.p001.0@dev` removes them"), "{comment}");
    assert!(
        comment.contains("`sales.p001.0@prod` has no files any more. The state has no objects of it."),
        "{comment}"
    );
    repository.merge("feature", number);
    repository.apply().done();
    assert!(repository.path("out/p001/a.txt").exists());
    repository.check_calls();
}

#[test]
fn products_are_applied_after_those_that_they_read() {
    let reading =
        stack("a", "x").replace("content: x", "content: '${{ stacks[\"b\"].components[\"\"].outputs.text }}'");
    let read = |text: &str| format!("{}outputs: {{text: {{value: {text}}}}}\n", stack("b", text));
    let repository = Repository::new(Forge::github(), &[("stacks/b.yaml", &read("one")), ("README.md", "")]);
    repository.terrace(&["apply", "stacks/b.yaml", "--auto-approve", "-q"]).done();
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write("stacks/a.yaml", &reading);
        it.write("stacks/b.yaml", &stack("b", "two").replace("content: two", "contents: two"));
    });
    let ran = repository.plan(number).with_code(1);
    assert_eq!(planned(&ran.stdout), ["b@local", "a@local"], "{ran}");
    repository.merge("feature", number);
    repository.apply().with_code(4);
    let report = repository.apply_comment(number);
    assert!(report.contains("| `a@local` | not applied: it depends on `b@local`, which is not applied |"), "{report}");
    assert!(!repository.path("out/a.txt").exists());
    repository.check_calls();
}

/// Such a file must not count as removed: its check would be green, and its objects would stay unplanned.
#[test]
fn descriptor_with_misspelt_kind_fails_the_plan() {
    for (text, message) in
        [("kind: Stck", "`kind: Stck` is neither a stack nor a data product"), ("kindd: Stack", "stacks/demo.yaml")]
    {
        let repository = Repository::with_stack(Forge::github());
        let number = repository.request("feature", AUTHOR, false, |it| {
            it.write("stacks/demo.yaml", &stack("demo", "two").replace("kind: Stack", text));
        });
        repository.plan(number).with_code(1).prints(message);
        let comment = repository.plan_comment(number);
        assert!(!comment.contains("has no files any more"), "{comment}");
        repository.check_calls();
    }
}

/// A reviewed plan that the job does not apply must not end as "nothing to apply".
#[test]
fn products_that_cannot_be_read_after_the_merge_fail_the_apply() {
    let repository = monorepo(2);
    let path = "components/p000-raw/catalog-info.yaml";
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write(path, &it.read(path).replace("bucket: p000", "bucket: other"));
        it.write("components/p000-raw/environments/prod/configurations.yaml", "specific: {bucket: three}\n");
    });
    repository.plan(number).done();
    // The target branch gets an entity with an error in another product.
    repository.git(&["checkout", "--quiet", "main"]);
    let other = "components/p001-raw/catalog-info.yaml";
    repository.write(other, &repository.read(other).replace("mesh:", "mseh:"));
    repository.commit("Broken");
    repository.merge("feature", number);
    repository.apply().with_code(1).prints("result: 2 plans not applied");
    let report = repository.apply_comment(number);
    let row = "| `sales.p000.0@prod` | not applied: the products of `prod` cannot be read |";
    assert!(report.contains("## terrace: 2 plans not applied") && report.contains(row), "{report}");
    assert!(report.contains("mseh"), "{report}");
    assert!(!repository.path("out/other").exists() && !repository.path("out/three").exists());
    // The repair of the other product needs no new review of this one.
    repository.write(other, &repository.read(other).replace("mseh:", "mesh:"));
    repository.commit("Repaired");
    repository.job(&["pr", "apply", "--request", &number.to_string()], "push", 0, &[]).done();
    assert!(repository.path("out/other").exists() && repository.path("out/three").exists());
    repository.check_calls();
}

#[test]
fn plan_of_a_dropped_environment_is_not_applied() {
    let repository = monorepo(1);
    let path = "components/p000-raw/catalog-info.yaml";
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write(path, &it.read(path).replace("bucket: p000", "bucket: other"));
    });
    repository.plan(number).done();
    repository.git(&["checkout", "--quiet", "main"]);
    repository.write("terrace.yaml", "environments: {dev: {overlay: embedded}}\n");
    repository.commit("Drop prod");
    repository.merge("feature", number);
    repository.apply().with_code(3).prints("result: 2 plans: 1 applied, 1 not applied");
    let report = repository.apply_comment(number);
    let row = "| `sales.p000.0@prod` | not applied: terrace.yaml has no environment `prod` |";
    assert!(report.contains(row) && report.contains("| `sales.p000.0@dev` | applied |"), "{report}");
    repository.check_calls();
}

/// The checkout of the product is next to that of the component, or in a folder that Git ignores.
#[test]
fn component_is_planned_with_another_checkout_of_its_product() {
    for other in ["../product", ".product"] {
        let [system, component] = product("p000").map(|(_, text)| text);
        let configuration = format!("environments: {{local: {{overlay: embedded}}}}\nrepositories: [., {other}]\n");
        let repository = Repository::new(
            Forge::github(),
            &[
                (".gitignore", "/terrace-plan/\n/out/\n/.terrace/\n/.product/\n"),
                ("terrace.yaml", &configuration),
                ("catalog-info.yaml", &component),
                ("blueprints/bucket.yaml", BLUEPRINT),
            ],
        );
        repository.write(&format!("{other}/catalog-info.yaml"), &system);
        repository.terrace(&["apply", ".", "--env", "local", "--auto-approve", "-q"]).done();
        let temporary = std::env::temp_dir().display().to_string();
        let change =
            |it: &Repository| it.write("catalog-info.yaml", &component.replace("bucket: p000", "bucket: other"));
        for is_fork in [false, true] {
            let number = repository.request(if is_fork { "fork" } else { "own" }, AUTHOR, is_fork, change);
            repository.plan(number).done();
            let comment = repository.plan_comment(number);
            assert!(comment.contains("sales.p000.0@local") && comment.contains("local_file.settings"), "{comment}");
            assert!(!comment.contains("cannot be") && !comment.contains(&temporary), "{comment}");
        }
        // Errors of the base name the paths of the repository.
        repository.git(&["checkout", "--quiet", "main"]);
        repository.write("catalog-info.yaml", &component.replace("mesh:", "mseh:"));
        repository.commit("Broken");
        for is_fork in [false, true] {
            let number = repository.request(if is_fork { "fork2" } else { "own2" }, AUTHOR, is_fork, change);
            repository.plan(number).done();
            let comment = repository.plan_comment(number);
            assert!(comment.contains("mseh") && !comment.contains(&temporary), "{comment}");
        }
        repository.check_calls();
    }
}

#[test]
fn submodules_are_planned_by_their_commits() {
    let [system, component] = product("p000").map(|(_, text)| text);
    let raw = Repository::new(Forge::github(), &[("catalog-info.yaml", &component)]);
    let library = Repository::new(Forge::github(), &[("x.yaml", "a: b\n")]);
    let repository = Repository::new(
        Forge::github(),
        &[
            ("p000/catalog-info.yaml", &system),
            ("blueprints/bucket.yaml", BLUEPRINT),
            ("stacks/demo.yaml", &stack("demo", "one")),
        ],
    );
    let add = |other: &Repository, path: &str| {
        let url = other.path(".").canonicalize().unwrap().display().to_string();
        repository.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, path]);
    };
    add(&raw, "raw");
    add(&library, "vendor/lib");
    repository.commit("Submodules");
    repository.terrace(&["apply", ".", "--env", "local", "--auto-approve", "-q"]).done();
    // A submodule without entities stops no plan.
    let number = repository.request("demo", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    assert_eq!(planned(&repository.plan(number).done().stdout), ["demo@local"]);
    // A newer commit of a submodule changes its product.
    let number = repository.request("raw", AUTHOR, false, |it| {
        it.write("raw/catalog-info.yaml", &it.read("raw/catalog-info.yaml").replace("bucket: p000", "bucket: other"));
        it.git(&["-C", "raw", "commit", "--quiet", "--all", "--message", "Other"]);
    });
    assert_eq!(planned(&repository.plan(number).done().stdout), ["sales.p000.0@local"]);
    assert!(repository.plan_comment(number).contains("added by this branch"));
    // Without its files, the plan would remove the component.
    repository.git(&["submodule", "--quiet", "deinit", "--force", "raw"]);
    repository.plan(number).with_code(1);
    let comment = repository.plan_comment(number);
    assert!(comment.contains("the submodule 'raw' is not initialised"), "{comment}");
    assert!(repository.forge.checks().pop().unwrap().0.starts_with("fail"));
    repository.check_calls();
}

//! Comments, logs and summaries name causes, places and remedies that work.

use super::repository::{AUTHOR, Forge, REVIEWER, Repository, stack};
use std::path::Path;
use terrace_tests::repository as sources;

/// A repository with the files of `examples/repositories`, applied in `dev`.
fn example(forge: Forge) -> Repository {
    let mut files = Vec::new();
    collect(&sources().join("examples/repositories"), "", &mut files);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let repository = Repository::new(forge, &files);
    repository.terrace(&["apply", ".", "--env", "dev", "--auto-approve", "-q"]).done();
    repository
}

fn collect(folder: &Path, below: &str, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        match path.is_dir() {
            true => collect(&path, &format!("{name}/"), files),
            false => files.push((name, std::fs::read_to_string(path).unwrap())),
        }
    }
}

/// Replaces a part of a file.
fn edit(repository: &Repository, path: &str, old: &str, new: &str) {
    let text = repository.read(path);
    assert!(text.contains(old), "{path} has no `{old}`");
    repository.write(path, &text.replace(old, new));
}

#[test]
fn failed_plan_has_the_warnings_with_its_cause() {
    let repository = example(Forge::github());
    let number = repository.request("typo", AUTHOR, false, |it| {
        edit(it, "orders-view/catalog-info.yaml", "env.database", "env.databse");
    });
    let ran = repository.plan(number).with_code(1);
    ran.prints("  error: orders-view/catalog-info.yaml:").prints("  warning: orders-view/catalog-info.yaml:");
    ran.prints("did you mean `database`?");
    let comment = repository.plan_comment(number);
    assert!(comment.contains("warning: orders-view/catalog-info.yaml:"), "{comment}");
    assert!(comment.contains("env.databse") && comment.contains("did you mean"), "{comment}");
    // A value in the place of the expression would be the same in all environments.
    assert!(!comment.contains("write text here"), "{comment}");
    assert!(comment.contains("the values of its names in parameters.yaml"), "{comment}");
    repository.check_calls();
}

#[test]
fn renamed_folder_of_an_environment_is_named_in_the_failed_plan() {
    let repository = example(Forge::github());
    let number = repository.request("renamed", AUTHOR, false, |it| {
        it.git(&["mv", "orders-raw/environments/prod", "orders-raw/environments/prd"]);
    });
    repository.plan(number).with_code(1);
    let comment = repository.plan_comment(number);
    assert!(comment.contains("orders-raw/environments/prd"), "{comment}");
    assert!(comment.contains("belongs to no environment of terrace.yaml"), "{comment}");
    // The missing value may be one of the environment.
    assert!(comment.contains("orders-raw/environments/prod/configurations.yaml"), "{comment}");
    repository.check_calls();
}

#[test]
fn values_of_an_unknown_environment_are_named_without_a_plan() {
    for is_fork in [false, true] {
        let repository = example(Forge::github());
        let number = repository.request("new", AUTHOR, is_fork, |it| {
            it.write("orders-raw/environments/prd/configurations.yaml", "specific: {bucket: other}\n");
        });
        let ran = repository.plan(number).done();
        let message = "orders-raw/environments/prd/configurations.yaml belongs to no environment of terrace.yaml";
        ran.prints(message).prints("did you mean");
        let comment = repository.plan_comment(number);
        assert!(comment.contains(message), "{comment}");
        repository.check_calls();
    }
}

#[test]
fn plans_without_a_comment_are_not_promised() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        match &repository.forge {
            Forge::GitHub(forge) => forge.permit(&["contents: read", "pull-requests: read", "checks: write"]),
            Forge::GitLab(forge) => forge.permit(false),
        }
        let ran = repository.plan(number).done();
        assert!(!ran.stdout.contains("The merge applies exactly these plans"), "{ran}");
        ran.prints("The comment could not be written, so the merge applies none of these plans without an approval.");
        ran.prints("result: 1 of 1 plans have changes, but the comment could not be written");
        if let Forge::GitHub(_) = repository.forge {
            let summary = repository.project.read("summary.md");
            assert!(summary.contains("The comment could not be written"), "{summary}");
            assert!(!summary.contains("The merge applies exactly"), "{summary}");
            let (verdict, title) = repository.forge.checks().pop().unwrap();
            assert!(verdict == "neutral" && title.contains("the comment could not be written"), "{verdict}: {title}");
        }
        repository.check_calls();
    }
}

#[test]
fn preview_names_changed_blueprints_and_configuration() {
    let repository = example(Forge::github());
    let number = repository.request("fork", AUTHOR, true, |it| {
        it.write("blueprints/bucket.yaml", "kind: Blueprint\n");
        edit(it, "terrace.yaml", "  prod: {overlay: embedded}\n", "");
    });
    repository.plan(number).done().prints("preview: changed, but not used: blueprints/bucket.yaml, terrace.yaml");
    let comment = repository.plan_comment(number);
    assert!(
        comment.contains("which this preview does not use: `blueprints/bucket.yaml`, `terrace.yaml`.**"),
        "{comment}"
    );
    assert!(!comment.contains("The request changes no product."), "{comment}");
    // Other requests have no such sentence.
    let number = repository.request("other", AUTHOR, true, |it| it.write("README.md", "text"));
    repository.plan(number).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("The request changes no product.") && !comment.contains("does not use"), "{comment}");
    repository.check_calls();
}

#[test]
fn removed_product_has_the_command_that_removes_its_objects() {
    for is_fork in [false, true] {
        let repository = Repository::with_stack(Forge::github());
        let number = repository.request("removed", AUTHOR, is_fork, |it| {
            std::fs::remove_file(it.path("stacks/demo.yaml")).unwrap();
        });
        repository.plan(number).done();
        let comment = repository.plan_comment(number);
        let sentence = "Its objects stay until `terrace destroy demo@local` removes them.";
        assert!(comment.contains(sentence) && !comment.contains("changes no product"), "{comment}");
        if !is_fork {
            assert_eq!(repository.forge.checks().pop().unwrap().1, "1 product has no files any more");
        }
        // The command works without the files.
        repository.terrace(&["destroy", "demo@local", "--auto-approve"]).done();
        assert!(!repository.path("out/demo.txt").exists());
        if !is_fork {
            repository.plan(number).done();
            let comment = repository.plan_comment(number);
            assert!(comment.contains("The state has no objects of it."), "{comment}");
        }
        repository.check_calls();
    }
}

/// A stack with a table, whose second column holds data.
fn with_table(columns: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nresources:\n  - type: sqlite_table\n    name: t\n    \
         config: {{path: out/shop.db, name: T, columns: [{{name: A, type: INTEGER}}{columns}]}}\n"
    )
}

#[test]
fn lost_data_needs_an_approval_and_has_none_yet() {
    let both = with_table(", {name: B, type: TEXT}");
    let repository = Repository::new(Forge::github(), &[("stacks/demo.yaml", &both)]);
    std::fs::create_dir_all(repository.path("out")).unwrap();
    repository.terrace(&["apply", "stacks/demo.yaml", "--auto-approve", "-q"]).done();
    let table = rusqlite::Connection::open(repository.path("out/shop.db")).unwrap();
    table.execute_batch("INSERT INTO T VALUES (1, 'precious')").unwrap();
    drop(table);
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &with_table("")));
    repository.plan(number).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("B is dropped: 1 row (needs an approval of this plan)"), "{comment}");
    assert!(!comment.contains("consent is given"), "{comment}");
    assert!(
        comment.contains("Plans that destroy or replace objects, or can destroy data, need an approval."),
        "{comment}"
    );
    let title = repository.forge.checks().pop().unwrap().1;
    assert_eq!(title, "1 of 1 plans need an approval, because they can destroy objects or data");
    repository.merge("feature", number);
    repository.apply().with_code(4);
    let report = repository.apply_comment(number);
    assert!(report.contains("not applied: it can destroy data, and an approval is missing"), "{report}");
    let digest = repository.digest(number, "demo@local");
    repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
    repository.apply().done();
    repository.check_calls();
}

#[test]
fn removed_product_of_two_environments_is_one_product() {
    let environments = "environments: {dev: {overlay: embedded}, prod: {overlay: embedded}}\n";
    let files = [("terrace.yaml", environments), ("stacks/demo.yaml", &stack("demo", "one"))];
    let repository = Repository::new(Forge::github(), &files);
    let number = repository.request("removed", AUTHOR, false, |it| {
        std::fs::remove_file(it.path("stacks/demo.yaml")).unwrap();
    });
    repository.plan(number).done();
    assert_eq!(repository.forge.checks().pop().unwrap().1, "1 product has no files any more");
    repository.check_calls();
}

#[test]
fn state_that_does_not_exist_is_reported() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    let mistyped = [("TERRACE_STATE", "sqlite:sate.db")];
    repository.job(&["pr", "plan"], "pull_request", number, &mistyped).done().prints("sate.db does not exist yet");
    let comment = repository.plan_comment(number);
    assert!(comment.contains("does not exist yet") && comment.contains("correct TERRACE\\_STATE"), "{comment}");
    repository.plan(number).done();
    assert!(!repository.plan_comment(number).contains("does not exist yet"));
    repository.merge("feature", number);
    repository.job(&["pr", "apply"], "push", 0, &mistyped).with_code(4);
    assert!(repository.apply_comment(number).contains("does not exist yet"));
    repository.check_calls();
}

#[test]
fn comparison_names_the_commit_of_the_base() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    repository.plan(number).done();
    let base = repository.git(&["rev-parse", "main"]);
    let comment = repository.plan_comment(number);
    assert!(comment.contains(&format!("### Compared with the commit `{}`", &base[..10])), "{comment}");
    repository.check_calls();
}

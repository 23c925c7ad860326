//! Plans of repositories compared with a commit, and plans for all environments.

use super::repositories::{example, prints_words};
use std::process::Command;
use terrace_tests::{Project, Ran};

/// Runs `git` in the project.
#[track_caller]
fn git(project: &Project, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(project.path("."))
        .args(["-c", "user.name=Jane", "-c", "user.email=jane@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The example as a Git repository with the branch `main`, applied for `dev`.
fn committed() -> Project {
    let project = example();
    project.write(".gitignore", "*.db*\nacme*\nsales*\n.terrace*\n");
    git(&project, &["init", "--quiet", "--initial-branch=main"]);
    commit(&project);
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    project
}

fn commit(project: &Project) {
    git(project, &["add", "."]);
    git(project, &["commit", "--quiet", "--message=Change"]);
}

/// The changes of a comparison: `status action address`.
fn compared(ran: &Ran) -> Vec<String> {
    let json = ran.json();
    let changes = json["terrace"]["against"]["changes"].as_array().unwrap_or_else(|| panic!("no comparison: {ran}"));
    let text = |change: &serde_json::Value, key: &str| change[key].as_str().unwrap().to_owned();
    let line = |change| format!("{} {} {}", text(change, "status"), text(change, "action"), text(change, "address"));
    changes.iter().map(line).collect()
}

fn against(project: &Project, reference: &str) -> Ran {
    project.run(["plan", ".", "--env", "dev", "--against", reference, "--json"])
}

/// The folder of an environment may be a link to that of another.
#[test]
fn comparison_follows_links_to_folders() {
    let project = committed();
    std::fs::rename(project.path("orders-raw/environments/dev"), project.path("orders-raw/environments/shared"))
        .unwrap();
    std::os::unix::fs::symlink("shared", project.path("orders-raw/environments/dev")).unwrap();
    commit(&project);
    assert_eq!(compared(&against(&project, "main").done()), [""; 0]);
}

#[test]
fn comparison_runs_no_hook_of_the_repository() {
    use std::os::unix::fs::PermissionsExt;
    let project = committed();
    let hook = project.path(".git/hooks/post-index-change");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", project.path("hook-ran").display())).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    against(&project, "main").done();
    assert!(!project.has("hook-ran"));
    git(&project, &["read-tree", "HEAD"]);
    assert!(project.has("hook-ran"), "git itself runs the hook");
}

#[test]
fn comparison_separates_the_branch_from_pending_changes() {
    let project = committed();
    assert_eq!(compared(&against(&project, "main").done()), [""; 0]);
    // A change of `main` that is not applied yet.
    project.edit("orders-view/parameters.yaml", "[ID, AMOUNT]", "[ID, AMOUNT, DAY]");
    commit(&project);
    let base = git(&project, &["rev-parse", "HEAD"]);
    git(&project, &["checkout", "--quiet", "-b", "branch"]);
    project.edit("orders-raw/catalog-info.yaml", "region: eu-west-1", "region: eu-south-1");
    let pending = "pending update order-view/local_file.view";
    let added = "added update raw/local_file.settings";
    let index = std::fs::read(project.path(".git/index")).unwrap();
    let ran = against(&project, "main").done();
    assert_eq!(compared(&ran), [pending, added], "the work tree");
    assert_eq!(ran.json()["terrace"]["against"]["commit"], base);
    commit(&project);
    assert_eq!(compared(&against(&project, "main").done()), [pending, added], "the commit");
    assert_ne!(index, std::fs::read(project.path(".git/index")).unwrap(), "the test's own commit changes the index");
    // The branch changes the pending change, too, and undoes it.
    project.edit("orders-view/parameters.yaml", "[ID, AMOUNT, DAY]", "[ID, DAY]");
    assert_eq!(compared(&against(&project, "main").done()), ["changed update order-view/local_file.view", added]);
    project.edit("orders-view/parameters.yaml", "[ID, DAY]", "[ID, AMOUNT]");
    assert_eq!(compared(&against(&project, "main").done()), ["dropped update order-view/local_file.view", added]);
    let human = project.run(["plan", ".", "--env", "dev", "--against", "main"]).done();
    prints_words(&human, "1 added by this branch, 1 dropped by this branch");
    let markdown = project.run(["plan", ".", "--env", "dev", "--against", "main", "--format", "markdown"]).done();
    markdown.prints("### Compared with `main`").prints("| `raw` | update | `raw/local_file.settings` | added |");
    // A detached head is a commit as any other.
    git(&project, &["checkout", "--quiet", "--force", "--detach", "main"]);
    assert_eq!(compared(&against(&project, "HEAD").done()), [pending]);
}

#[test]
fn comparison_leaves_the_repository_as_it_is() {
    let project = committed();
    project.edit("orders-raw/catalog-info.yaml", "region: eu-west-1", "region: eu-south-1");
    project.write("orders-raw/new.yaml", "a: b\n");
    let state = |project: &Project| {
        let index = std::fs::read(project.path(".git/index")).unwrap();
        (index, git(project, &["worktree", "list"]), project.read("orders-raw/catalog-info.yaml"))
    };
    let before = state(&project);
    against(&project, "main").done();
    assert!(state(&project) == before);
}

#[test]
fn new_component_is_added_by_the_branch() {
    let project = committed();
    let view =
        project.read("orders-view/parameters.yaml").replace("order-view", "day-view").replace("Order view", "Day view");
    project.write("orders-day/parameters.yaml", view);
    project.write("orders-day/catalog-info.yaml", project.read("orders-view/catalog-info.yaml"));
    assert_eq!(compared(&against(&project, "main").done()), ["added create day-view/local_file.view"]);
    let paths = ["orders", "orders-raw", "orders-view", "orders-day"];
    let more = ["--env", "dev", "--against", "main", "--json"];
    let ran = project.run(["plan"].into_iter().chain(paths).chain(more)).done();
    assert_eq!(compared(&ran), ["added create day-view/local_file.view"]);
}

#[test]
fn base_with_errors_is_not_compared() {
    let project = committed();
    project.edit("orders-raw/catalog-info.yaml", "mesh:", "mseh:");
    commit(&project);
    project.edit("orders-raw/catalog-info.yaml", "mseh:", "mesh:");
    let ran = project.run(["plan", ".", "--env", "dev", "--against", "main"]).done();
    let place = "orders-raw/catalog-info.yaml:11:3";
    prints_words(
        &ran,
        &format!("the plan is not compared with `main`, which cannot be planned: {place}: `spec` has no field `mseh`"),
    );
}

#[test]
fn unusable_base_is_an_error() {
    let project = committed();
    let refused = |project: &Project, reference: &str, text: &str| {
        prints_words(&project.run(["plan", ".", "--env", "dev", "--against", reference]).with_code(1), text);
    };
    refused(&project, "mian", "`--against mian`: the repository has no such commit");
    refused(&project, "mian", "did you mean `main`?");
    refused(&project, "HEAD~7", "no such commit");
    project.run(["plan", ".", "--env", "dev", "--against=--output=x"]).with_code(1);
    // A shallow clone has one commit.
    project.write("orders/README.md", "x");
    commit(&project);
    let clone = example();
    let url = format!("file://{}", project.path(".").canonicalize().unwrap().display());
    git(&clone, &["clone", "--quiet", "--depth=1", &url, "clone"]);
    let shallow = |reference: &str, text: &str| {
        let ran = clone.run(["--chdir", "clone", "plan", ".", "--env", "dev", "--against", reference]).with_code(1);
        prints_words(&ran, text);
    };
    shallow("HEAD~1", "the clone is shallow");
    shallow("HEAD~1", "git fetch --depth=2");
    shallow("origin/other", "git fetch --depth=1 origin other:refs/remotes/origin/other");
    shallow("origin/mian", "did you mean `origin/main`?");
    // Git fetches no commit by the beginning of its digest.
    shallow(git(&project, &["rev-parse", "HEAD~1"]).get(..10).unwrap(), "git fetch --unshallow");
    let plain = example();
    refused(&plain, "main", "`--against` needs a Git repository");
}

/// The example whose component `orders-raw` is a submodule, applied for `dev`, and the repository of the submodule.
fn with_submodule() -> (Project, Project) {
    let (project, inner) = (example(), Project::new());
    let file = "orders-raw/catalog-info.yaml";
    inner.write("catalog-info.yaml", project.read(file));
    inner
        .write("environments/dev/configurations.yaml", project.read("orders-raw/environments/dev/configurations.yaml"));
    git(&inner, &["init", "--quiet", "--initial-branch=main"]);
    commit(&inner);
    std::fs::remove_dir_all(project.path("orders-raw")).unwrap();
    project.write(".gitignore", "*.db*\nacme*\nsales*\n.terrace*\n");
    git(&project, &["init", "--quiet", "--initial-branch=main"]);
    let url = inner.path(".").canonicalize().unwrap().display().to_string();
    git(&project, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "orders-raw"]);
    commit(&project);
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    (project, inner)
}

/// The plan would remove the component of the submodule.
#[test]
fn submodule_without_files_is_an_error() {
    let (project, _inner) = with_submodule();
    git(&project, &["submodule", "--quiet", "deinit", "--force", "orders-raw"]);
    let paths: [&[&str]; 4] =
        [&["."], &["orders", "--repo", "."], &["orders", "--repo", "orders-raw"], &["orders-raw"]];
    for paths in paths {
        let ran = project.run([&["plan"], paths, &["--env", "dev"]].concat()).with_code(1);
        prints_words(&ran, "the submodule `orders-raw` is not initialised (.gitmodules, line 2)");
        prints_words(&ran, "run `git submodule update --init orders-raw`");
    }
    project.run(["plan", ".", "--env", "dev", "--against", "main"]).with_code(1).prints("missing_submodule");
    git(&project, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "orders-raw"]);
    project.run(["plan", ".", "--env", "dev"]).done().prints("No changes");
}

#[test]
fn comparison_reads_the_commits_of_submodules() {
    let (project, _inner) = with_submodule();
    assert_eq!(compared(&against(&project, "main").done()), [""; 0]);
    project.edit("orders-raw/catalog-info.yaml", "region: eu-west-1", "region: eu-south-1");
    assert_eq!(compared(&against(&project, "main").done()), ["added update raw/local_file.settings"], "the work tree");
    git(&project, &["-C", "orders-raw", "commit", "--quiet", "--all", "--message=Move"]);
    git(&project, &["checkout", "--quiet", "-b", "branch"]);
    commit(&project);
    assert_eq!(compared(&against(&project, "main").done()), ["added update raw/local_file.settings"]);
    git(&project, &["checkout", "--quiet", "main"]);
    commit(&project);
    assert_eq!(compared(&against(&project, "HEAD").done()), ["pending update raw/local_file.settings"]);
}

/// Without the files of the commit, the branch would seem to add the component.
#[test]
fn submodule_whose_commit_is_missing_is_an_error() {
    let (project, _inner) = with_submodule();
    let commit_of = |reference: &str| git(&project, &["rev-parse", &format!("{reference}:orders-raw")]);
    git(&project, &["-C", "orders-raw", "commit", "--quiet", "--allow-empty", "--message=Lost"]);
    commit(&project);
    let lost = commit_of("main");
    git(&project, &["-C", "orders-raw", "reset", "--quiet", "--hard", "HEAD^"]);
    git(&project, &["-C", "orders-raw", "reflog", "expire", "--expire=now", "--all"]);
    git(&project, &["-C", "orders-raw", "prune", "--expire=now"]);
    let ran = project.run(["plan", ".", "--env", "dev", "--against", "main"]).with_code(1);
    prints_words(&ran, &format!("`orders-raw` is a submodule, whose commit {lost} in `main` is not here"));
    prints_words(&ran, &format!("git -C orders-raw fetch origin {lost}"));
}

#[test]
fn removed_submodule_is_an_error_of_a_comparison() {
    let (project, _inner) = with_submodule();
    std::fs::remove_dir_all(project.path("orders-raw")).unwrap();
    let ran = project.run(["plan", ".", "--env", "dev", "--against", "main"]).with_code(1);
    prints_words(&ran, "`orders-raw` is a submodule");
}

#[test]
fn all_environments_are_one_report() {
    let project = example();
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    let ran = project.run(["plan", ".", "--all-environments"]).done();
    ran.prints("Environment dev").prints("No changes").prints("Environment prod").prints("2 to add");
    let json = project.run(["plan", ".", "--all-environments", "--json"]).done().json();
    let environments = json["environments"].as_array().unwrap();
    let names: Vec<&str> = environments.iter().map(|it| it["environment"].as_str().unwrap()).collect();
    assert_eq!(names, ["dev", "prod"]);
    assert_eq!(environments[1]["plan"]["applyable"], true);
    project.run(["plan", ".", "--all-environments", "--detailed-exitcode"]).with_code(2);
    let both = project.run(["plan", ".", "--all-environments", "--env", "dev"]).with_code(1);
    prints_words(&both, "`--all-environments` and `--env dev` exclude each other");
    let markdown = project.run(["plan", ".", "--all-environments", "--format", "markdown"]).done();
    markdown.prints("## Environment dev").prints("## Environment prod");
    let stream = project.run(["plan", ".", "--all-environments", "--format", "json-stream"]).done().stdout;
    let lines = stream.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let named = lines.filter_map(|line| line["terrace"]["environment"].as_str().map(str::to_owned));
    assert_eq!(named.collect::<Vec<_>>(), ["dev", "prod"]);
    // A fault in an environment does not hide the others.
    project.write("orders-raw/environments/prod/configurations.yaml", "specific: [");
    let ran = project.run(["plan", ".", "--all-environments"]).with_code(1);
    ran.prints("No changes").prints("yaml_syntax");
    project.write("terrace.yaml", "");
    project.run(["plan", ".", "--all-environments"]).with_code(1).prints("no environments");
}

/// Adds the product `sales.sold.0`.
fn add_sold(project: &Project) {
    let copy =
        |path: &str| project.read(path).replace("sales.orders.0", "sales.sold.0").replace("sales:orders", "sales:sold");
    project.write("sold/catalog-info.yaml", copy("orders/catalog-info.yaml"));
    project.write("sold-raw/catalog-info.yaml", copy("orders-raw/catalog-info.yaml"));
    project.write("sold-raw/environments/dev/configurations.yaml", "specific: {bucket: acme-sold-dev}\n");
}

/// The plan has several stacks, even if a single one has changes.
#[test]
fn comparison_names_the_only_changed_stack_of_several() {
    let project = committed();
    add_sold(&project);
    commit(&project);
    project.run(["apply", ".", "--env", "dev", "--auto-approve"]).done();
    project.edit("orders-raw/catalog-info.yaml", "region: eu-west-1", "region: eu-south-1");
    let ran = project.run(["plan", ".", "--env", "dev", "--against", "main"]).done();
    ran.prints("\n  sales.orders.0@dev:raw\n");
}

#[test]
fn comparison_of_several_stacks_names_the_stack_of_a_component() {
    let project = committed();
    add_sold(&project);
    project.edit("orders-raw/catalog-info.yaml", "region: eu-west-1", "region: eu-south-1");
    let ran = project.run_with(&[("COLUMNS", "40")], ["plan", ".", "--env", "dev", "--against", "main"]).done();
    ran.prints("\n  sales.orders.0@dev:raw\n").prints("\n  sales.sold.0@dev:raw\n");
    let compared = ran.stdout.split_once("Compared with").unwrap().1;
    assert!(compared.lines().take(3).all(|line| line.chars().count() <= 40), "{ran}");
    let markdown = project.run(["plan", ".", "--env", "dev", "--against", "main", "--format", "markdown"]).done();
    markdown.prints("| `sales.sold.0@dev:raw` | create |");
}

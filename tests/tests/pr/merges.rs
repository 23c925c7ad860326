//! Merges of requests: the changes of exactly one request count, and the owners at the time of its merge.

use super::repository::{AUTHOR, Forge, Merge, REVIEWER, Repository, STRANGER, digest_in, stack};

/// The ways of a forge to merge.
fn ways(forge: &Forge) -> &'static [Merge] {
    match forge {
        Forge::GitHub(_) => &[Merge::Commit, Merge::Squash, Merge::Rebase],
        Forge::GitLab(_) => &[Merge::Commit, Merge::Squash, Merge::SquashAndCommit, Merge::FastForward],
    }
}

/// A new stand-in for each way of each forge.
fn all() -> Vec<(Forge, Merge)> {
    let new = |is_github: bool| if is_github { Forge::github() } else { Forge::gitlab() };
    [true, false].into_iter().flat_map(|it| ways(&new(it)).iter().map(move |way| (new(it), *way))).collect()
}

/// A repository with the applied stacks `a` and `b`.
fn with_two_stacks(forge: Forge, owners: &str) -> Repository {
    let files = [("stacks/a.yaml", &*stack("a", "one")), ("stacks/b.yaml", &stack("b", "one")), ("CODEOWNERS", owners)];
    let repository = Repository::new(forge, &files);
    for name in ["a", "b"] {
        repository.terrace(&["apply", &format!("stacks/{name}.yaml"), "--auto-approve", "-q"]).done();
    }
    repository
}

/// The rows of the report, by stack.
#[track_caller]
fn reported(repository: &Repository, number: u64) -> Vec<String> {
    let report = repository.apply_comment(number);
    let rows = report.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// Applies a request without the push that merged it.
fn apply_later(repository: &Repository, number: u64) -> terrace_tests::Ran {
    repository.job(&["pr", "apply", "--request", &number.to_string()], "push", 0, &[])
}

#[test]
fn merges_in_a_push_are_reported_separately() {
    for (forge, way) in all() {
        let repository = with_two_stacks(forge, "");
        *repository.before.borrow_mut() = Some(repository.head());
        let change =
            |name: &'static str| move |it: &Repository| it.write(&format!("stacks/{name}.yaml"), &stack(name, "two"));
        let first = repository.request("first", AUTHOR, false, change("a"));
        repository.push(first, |it| it.write("README.md", "text"));
        repository.plan(first).done();
        repository.merge_by(way, "first", first);
        let second = repository.request("second", REVIEWER, false, change("b"));
        repository.push(second, |it| it.write("README.md", "other text"));
        repository.plan(second).done();
        repository.merge_by(way, "second", second);
        repository.apply().done();
        assert_eq!(reported(&repository, first), ["a@local"], "{way:?}");
        assert_eq!(reported(&repository, second), ["b@local"], "{way:?}");
        assert_eq!((repository.read("out/a.txt").as_str(), repository.read("out/b.txt").as_str()), ("two", "two"));
        repository.check_calls();
    }
}

#[test]
fn author_of_another_request_in_the_push_cannot_approve_it() {
    for (forge, way) in all() {
        let repository = with_two_stacks(forge, "");
        *repository.before.borrow_mut() = Some(repository.head());
        let destroy = |name: &'static str| {
            move |it: &Repository| {
                it.write(&format!("stacks/{name}.yaml"), &stack(name, "one").replace("out/", "out/new-"))
            }
        };
        let other = repository.request("other", REVIEWER, false, |it| it.write("README.md", "text"));
        repository.plan(other).done();
        repository.merge_by(way, "other", other);
        let mine = repository.request("mine", AUTHOR, false, destroy("a"));
        repository.plan(mine).done();
        let digest = repository.digest(mine, "a@local");
        repository.merge_by(way, "mine", mine);
        // On the request of the other account, its author may approve; but the plan is not of that request.
        repository.forge.comment(AUTHOR, other, &format!("terrace approve {digest}"));
        repository.apply().with_code(4);
        assert!(repository.path("out/a.txt").exists() && !repository.path("out/new-a.txt").exists(), "{way:?}");
        repository.check_calls();
    }
}

/// A request that destroys the file of the stack `a` in its first commit, with another commit after it.
fn destructive(repository: &Repository, owners: Option<&str>) -> (u64, String) {
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write("stacks/a.yaml", &stack("a", "one").replace("out/a", "out/new-a"));
        if let Some(owners) = owners {
            it.write("CODEOWNERS", owners);
        }
    });
    repository.push(number, |it| it.write("README.md", "text"));
    repository.plan(number).done();
    let digest = digest_in(&repository.plan_comment(number), "a@local");
    (number, digest)
}

/// Merges a request that the reviewer approves, and checks that no owner's approval is found.
fn merge_without_an_owner(repository: &Repository, way: Merge, (number, digest): (u64, &str)) {
    repository.merge_by(way, "feature", number);
    repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
    repository.apply().with_code(4);
    let report = repository.apply_comment(number);
    assert!(report.contains("no owner of stacks/a.yaml approved it"), "{way:?}: {report}");
    assert!(repository.path("out/a.txt").exists());
    repository.check_calls();
}

#[test]
fn owners_of_the_request_itself_do_not_count() {
    for (forge, way) in all() {
        let repository = with_two_stacks(forge, "* @absent\n");
        let owners = format!("* @{REVIEWER} @{STRANGER}\n");
        let (number, digest) = destructive(&repository, Some(&owners));
        merge_without_an_owner(&repository, way, (number, &digest));
    }
}

#[test]
fn owners_are_those_at_the_time_of_the_merge() {
    for (forge, way) in all() {
        if way == Merge::FastForward {
            // The branch has every commit of the target branch.
            continue;
        }
        let repository = with_two_stacks(forge, &format!("* @{REVIEWER}\n"));
        let (number, digest) = destructive(&repository, None);
        // The owner changes while the request is open.
        repository.git(&["checkout", "--quiet", "main"]);
        repository.write("CODEOWNERS", "* @absent\n");
        repository.commit("Other owners");
        merge_without_an_owner(&repository, way, (number, &digest));
    }
}

#[test]
fn checkout_without_the_merge_is_an_error() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        let (number, _) = destructive(&repository, None);
        repository.merge("feature", number);
        *repository.before.borrow_mut() = Some(repository.head());
        repository.git(&["checkout", "--quiet", "HEAD^"]);
        apply_later(&repository, number).with_code(1).prints("the checkout does not contain the merge");
        repository.check_calls();
    }
}

#[test]
fn commits_beyond_the_limit_of_a_push_are_named() {
    let repository = Repository::with_stack(Forge::github());
    *repository.before.borrow_mut() = Some(repository.head());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    repository.plan(number).done();
    repository.merge("feature", number);
    for count in 0..100 {
        repository.commit(&format!("Commit {count}"));
    }
    repository.apply().with_code(4).prints("the push has 1 older commit, whose");
    assert!(repository.project.read("summary.md").contains("older commit"));
    assert_eq!(repository.read("out/demo.txt"), "one");
    apply_later(&repository, number).done();
    assert_eq!(repository.read("out/demo.txt"), "two");
    // The plans of a newer request are applied.
    let number = repository.request("new", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
    repository.plan(number).done();
    repository.merge("new", number);
    repository.apply().with_code(3).prints("the push has 2 older commits");
    assert_eq!(repository.read("out/demo.txt"), "three");
    repository.check_calls();
}

/// A forge also regards a request as merged if another request brings its commits, and names the merge of the latter.
#[test]
fn stacked_request_does_not_get_the_merge_of_its_successor() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        let first = repository.request("first", REVIEWER, false, |it| it.write("README.md", "text"));
        let base = repository.git(&["rev-parse", "main"]);
        repository.git(&["checkout", "--quiet", "-b", "second"]);
        repository.write("stacks/a.yaml", &stack("a", "one").replace("out/", "out/new-"));
        repository.commit("Destroy");
        let second = repository.forge.open(AUTHOR, &repository.head(), &base, false);
        repository.plan(second).done();
        let digest = repository.digest(second, "a@local");
        repository.merge("second", second);
        repository.forge.merge(first, &repository.head());
        // The author of the change did not open this request.
        repository.forge.comment(AUTHOR, first, &format!("terrace approve {digest}"));
        repository.apply().with_code(4).prints("was merged with another request, which has its changes");
        assert!(repository.apply_comment(second).contains("an approval is missing"));
        apply_later(&repository, first).with_code(1).prints("was merged together with another request");
        assert!(repository.path("out/a.txt").exists());
        repository.forge.comment(REVIEWER, second, &format!("terrace approve {digest}"));
        repository.apply().done();
        assert_eq!(reported(&repository, second), ["a@local"]);
        repository.check_calls();
    }
}

/// As of a fast-forward merge train or an automatic rebase of GitLab.
#[test]
fn merge_that_the_forge_does_not_name_is_an_error() {
    let repository = with_two_stacks(Forge::gitlab(), "");
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/a.yaml", &stack("a", "two")));
    repository.plan(number).done();
    let head = repository.head();
    repository.merge_by(Merge::Rebase, "feature", number);
    let Forge::GitLab(forge) = &repository.forge else { unreachable!() };
    forge.change(number, |request| (request.merged, request.commits) = (Some(head), vec![repository.head()]));
    let ran = repository.apply().with_code(1);
    ran.prints("GitLab names another commit as its merge").prints("automatic rebases");
    assert_eq!(repository.read("out/a.txt"), "one");
    apply_later(&repository, number).with_code(1).prints("does not contain the merge");
    // A later request into another branch has the commit, too.
    forge.change(number, |request| request.branch = "release".to_owned());
    repository.apply().done().prints("there is nothing to apply");
    repository.check_calls();
}

#[test]
fn squash_is_proven_without_its_push() {
    for (forge, way) in all() {
        if way == Merge::Rebase {
            continue;
        }
        let repository = with_two_stacks(forge, "");
        let (number, digest) = destructive(&repository, None);
        repository.merge_by(way, "feature", number);
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        apply_later(&repository, number).done();
        assert!(repository.path("out/new-a.txt").exists(), "{way:?}");
        repository.check_calls();
    }
}

#[test]
fn unproven_merge_is_refused_without_its_push() {
    let owners = format!("* @{REVIEWER}\n");
    for is_repeated in [false, true] {
        let repository = with_two_stacks(Forge::github(), "* @absent\n");
        let (number, _) = destructive(&repository, Some(&format!("{owners}# first\n")));
        if is_repeated {
            // The last commit has all files of the request, but its parent has the owners of the request.
            repository.push(number, |it| {
                it.write("CODEOWNERS", &owners);
                it.write("README.md", "other text");
                it.write("stacks/a.yaml", &stack("a", "one").replace("out/a", "out/newest-a"));
            });
        }
        repository.plan(number).done();
        let digest = repository.digest(number, "a@local");
        repository.merge_by(Merge::Rebase, "feature", number);
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        apply_later(&repository, number).with_code(1).prints("nothing proves which commits the merge");
        assert!(repository.path("out/a.txt").exists());
        // The push proves it: the owners are those before all commits of the request.
        *repository.before.borrow_mut() = Some(repository.git(&["merge-base", "main", "feature"]));
        repository.apply().with_code(4);
        assert!(repository.apply_comment(number).contains("no owner of stacks/a.yaml approved it"));
        repository.check_calls();
    }
    // The clone does not have the branch.
    let repository = with_two_stacks(Forge::github(), "");
    let (number, _) = destructive(&repository, None);
    repository.merge_by(Merge::Squash, "feature", number);
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    forge.change(number, |pull| pull.head = "1".repeat(40));
    apply_later(&repository, number).with_code(1).prints("git fetch origin refs/pull/");
    repository.check_calls();
}

#[test]
fn shallow_clone_does_not_have_the_begin_of_a_merge() {
    let repository = with_two_stacks(Forge::github(), "");
    let (number, _) = destructive(&repository, None);
    repository.merge("feature", number);
    let url = format!("file://{}", repository.path(".").canonicalize().unwrap().display());
    repository.git(&["clone", "--quiet", "--depth=1", "--branch=main", &url, "../shallow"]);
    let shallow = repository.project.path("shallow").display().to_string();
    let request = number.to_string();
    let ran = repository.job(&["--chdir", &shallow, "pr", "apply", "--request", &request], "push", 0, &[]).with_code(1);
    ran.prints("does not have the parent of the commit").prints("clone the whole history");
    repository.check_calls();
}

/// The plan of a request has the changes of later requests of the product, whose authors must not approve them there.
#[test]
fn author_of_a_later_request_cannot_approve_on_an_older_request() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        *repository.before.borrow_mut() = Some(repository.head());
        let first = repository.request("first", AUTHOR, false, |it| it.write("stacks/a.yaml", &stack("a", "two")));
        repository.plan(first).done();
        repository.merge("first", first);
        let destroy = |it: &Repository| it.write("stacks/a.yaml", &stack("a", "two").replace("out/", "out/new-"));
        let second = repository.request("second", REVIEWER, false, destroy);
        repository.plan(second).done();
        let digest = repository.digest(second, "a@local");
        repository.merge("second", second);
        repository.forge.comment(REVIEWER, first, &format!("terrace approve {digest}"));
        repository.apply().with_code(4);
        let report = repository.apply_comment(first);
        assert!(report.contains("later commits of the branch change the product, too"), "{report}");
        assert!(report.contains("approve its plan on") && report.contains(&format!("{second}, which")), "{report}");
        assert!(!report.contains("terrace approve"), "{report}");
        assert!(repository.path("out/a.txt").exists());
        repository.forge.comment(AUTHOR, second, &format!("terrace approve {digest}"));
        repository.apply().with_code(3);
        assert!(repository.path("out/new-a.txt").exists());
        repository.apply().done();
        repository.check_calls();
    }
}

/// A job that runs again has the files of its old commit.
#[test]
fn old_checkout_asks_for_no_approval() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        let change = |text: &'static str| move |it: &Repository| it.write("stacks/a.yaml", &stack("a", text));
        let first = repository.request("first", AUTHOR, false, change("two"));
        repository.plan(first).done();
        repository.merge("first", first);
        let old = repository.head();
        let second = repository.request("second", AUTHOR, false, change("three"));
        repository.plan(second).done();
        repository.merge("second", second);
        repository.apply().done();
        assert_eq!(repository.read("out/a.txt"), "three");
        repository.git(&["checkout", "--quiet", &old]);
        repository.apply().with_code(4);
        let report = repository.apply_comment(first);
        assert!(report.contains("the checkout is not the newest commit of main"), "{report}");
        assert!(!report.contains("terrace approve"), "{report}");
        assert_eq!(repository.read("out/a.txt"), "three");
        repository.check_calls();
    }
}

/// A plan job that runs again after the merge must not renew the digests.
#[test]
fn plan_of_a_merged_request_keeps_its_digests() {
    for (forge, way) in all() {
        let repository = with_two_stacks(forge, "");
        let change = |text: &'static str| move |it: &Repository| it.write("stacks/a.yaml", &stack("a", text));
        let first = repository.request("first", AUTHOR, false, change("two"));
        repository.plan(first).done();
        let comment = repository.plan_comment(first);
        repository.merge_by(way, "first", first);
        let old = repository.head();
        repository.apply().done();
        let second = repository.request("second", AUTHOR, false, change("three"));
        repository.plan(second).done();
        repository.merge_by(way, "second", second);
        repository.apply().done();
        repository.git(&["checkout", "--quiet", "first"]);
        repository.plan(first).done().prints("is merged, and terrace plans an open");
        assert_eq!(repository.plan_comment(first), comment, "{way:?}");
        // Nor does a job that fails.
        repository.job(&["pr", "plan", "nowhere"], "pull_request", first, &[]).done();
        assert_eq!(repository.plan_comment(first), comment, "{way:?}");
        repository.git(&["checkout", "--quiet", &old]);
        repository.apply().with_code(4);
        assert_eq!(repository.read("out/a.txt"), "three", "{way:?}");
        repository.check_calls();
    }
}

#[test]
fn merge_during_a_plan_job_keeps_the_comment() {
    let repository = with_two_stacks(Forge::github(), "");
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/a.yaml", &stack("a", "two")));
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    let (twin, head) = (forge.clone(), repository.head());
    // Between the begin of the job and its write.
    let before = "GET /repos/acme/products/pulls/";
    forge.before_call(before, || {});
    forge.before_call(before, move || twin.change(number, |pull| pull.merged = Some(head)));
    repository.plan(number).done().prints("is merged or closed by now");
    assert!(repository.forge.comments(number).is_empty());
    repository.check_calls();
}

/// The job of an older commit has the reviewed files, but the branch has newer ones.
#[test]
fn old_checkout_leaves_products_that_later_commits_change() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        let first = repository.request("first", AUTHOR, false, |it| {
            ["a", "b"].iter().for_each(|name| it.write(&format!("stacks/{name}.yaml"), &stack(name, "two")));
        });
        repository.plan(first).done();
        repository.merge("first", first);
        let old = repository.head();
        let second = repository.request("second", AUTHOR, false, |it| it.write("stacks/a.yaml", &stack("a", "three")));
        repository.plan(second).done();
        repository.merge("second", second);
        repository.git(&["checkout", "--quiet", &old]);
        repository.apply().with_code(3);
        let report = repository.apply_comment(first);
        assert!(report.contains("later commits of the branch change the product, too"), "{report}");
        assert!(report.contains(&format!("run terrace pr apply --request {first}")), "{report}");
        assert_eq!((repository.read("out/a.txt").as_str(), repository.read("out/b.txt").as_str()), ("one", "two"));
        repository.check_calls();
    }
}

#[test]
fn pushed_change_of_no_request_is_reported_with_the_command_that_applies_it() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/a.yaml", &stack("a", "two")));
        repository.plan(number).done();
        repository.merge("feature", number);
        repository.apply().done();
        repository.write("README.md", "text");
        repository.commit("Without a product");
        repository.apply().done().prints("there is nothing to apply");
        repository.write("stacks/a.yaml", &stack("a", "three"));
        repository.commit("Direct");
        let command = "terrace apply --env local stacks/a.yaml";
        let message = format!("its change belongs to no {}", word(&repository.forge));
        let ran = repository.apply().with_code(4);
        let log = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(log.contains(&message) && log.contains(&format!("Run `{command}`")), "{ran}");
        // The newest request of the product cannot apply it, either.
        apply_later(&repository, number).with_code(4);
        let report = repository.apply_comment(number);
        assert!(report.contains(&format!("belongs to no {}", word(&repository.forge))), "{report}");
        assert!(report.contains(command) && !report.contains("approve its plan on"), "{report}");
        assert_eq!(repository.read("out/a.txt"), "two");
        repository.terrace(&["apply", "--env", "local", "stacks/a.yaml", "--auto-approve"]).done();
        repository.apply().done();
        repository.check_calls();
    }
}

#[test]
fn direct_commit_before_a_merge_of_the_same_push_is_reported() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/a.yaml", &stack("a", "two")));
        repository.plan(number).done();
        repository.git(&["checkout", "--quiet", "main"]);
        *repository.before.borrow_mut() = Some(repository.head());
        repository.write("stacks/b.yaml", &stack("b", "direct"));
        repository.commit("Direct");
        repository.merge("feature", number);
        let ran = repository.apply().with_code(3);
        let log = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(log.contains("`terrace apply --env local stacks/b.yaml`"), "{ran}");
        assert!(!log.contains("`terrace apply --env local stacks/a.yaml`"), "{ran}");
        assert_eq!(repository.read("out/a.txt"), "two");
        repository.check_calls();
    }
}

/// The word for a request.
fn word(forge: &Forge) -> &'static str {
    if matches!(forge, Forge::GitHub(_)) { "pull request" } else { "merge request" }
}

#[test]
fn unknown_number_of_a_request_is_named() {
    for forge in Forge::both() {
        let repository = with_two_stacks(forge, "");
        *repository.before.borrow_mut() = Some(repository.head());
        let ran = apply_later(&repository, 999).with_code(1);
        ran.prints("999, or does not show it to the token").prints("correct the number of the");
        repository.check_calls();
    }
}

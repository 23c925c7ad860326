//! Merges of requests: the changes of exactly one request count, and the owners at the time of its merge.

use super::repository::{AUTHOR, Forge, Merge, REVIEWER, Repository, STRANGER, digest_in, stack};

/// The ways of a forge to merge.
fn ways(forge: &Forge) -> [Merge; 3] {
    match forge {
        Forge::GitHub(_) => [Merge::Commit, Merge::Squash, Merge::Rebase],
        Forge::GitLab(_) => [Merge::Commit, Merge::Squash, Merge::FastForward],
    }
}

/// A new stand-in for each way of each forge.
fn all() -> Vec<(Forge, Merge)> {
    let new = |is_github: bool| if is_github { Forge::github() } else { Forge::gitlab() };
    [true, false].into_iter().flat_map(|it| ways(&new(it)).map(|way| (new(it), way))).collect()
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

#[test]
fn owners_of_the_request_itself_do_not_count() {
    for (forge, way) in all() {
        let repository = with_two_stacks(forge, "* @absent\n");
        let owners = format!("* @{REVIEWER} @{STRANGER}\n");
        let (number, digest) = destructive(&repository, Some(&owners));
        repository.merge_by(way, "feature", number);
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        repository.apply().with_code(4);
        let report = repository.apply_comment(number);
        assert!(report.contains("no owner of stacks/a.yaml approved it"), "{way:?}: {report}");
        assert!(repository.path("out/a.txt").exists());
        repository.check_calls();
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
        repository.merge_by(way, "feature", number);
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        repository.apply().with_code(4);
        let report = repository.apply_comment(number);
        assert!(report.contains("no owner of stacks/a.yaml approved it"), "{way:?}: {report}");
        assert!(repository.path("out/a.txt").exists());
        repository.check_calls();
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
        let request = number.to_string();
        let words = ["pr", "apply", "--request", &request];
        repository.job(&words, "push", 0, &[]).with_code(1).prints("the checkout does not contain the merge");
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
    repository.apply().with_code(3).prints("the push has 1 older commits");
    assert!(repository.project.read("summary.md").contains("older commits"));
    assert_eq!(repository.read("out/demo.txt"), "one");
    let request = number.to_string();
    repository.job(&["pr", "apply", "--request", &request], "push", 0, &[]).done();
    assert_eq!(repository.read("out/demo.txt"), "two");
    repository.check_calls();
}

//! Approvals of destructive and changed plans.

use super::repository::{AUTHOR, Forge, REVIEWER, Repository, STRANGER, digest_in, stack};

/// A request that destroys the file of the stack, planned and merged. Owners of `stacks` are given in CODEOWNERS.
fn destructive(forge: Forge, owners: &str) -> (Repository, u64, String) {
    let repository = Repository::new(forge, &[("stacks/demo.yaml", &stack("demo", "one")), ("CODEOWNERS", owners)]);
    repository.terrace(&["apply", "stacks/demo.yaml", "--auto-approve", "-q"]).done();
    let number = repository.request("feature", AUTHOR, false, |it| {
        it.write("stacks/demo.yaml", &stack("demo", "one").replace("out/demo", "out/other"));
        // The request makes its author an owner, which must not count.
        it.write("CODEOWNERS", &format!("* @{AUTHOR} @{STRANGER}\n"));
    });
    repository.plan(number).done();
    let digest = repository.digest(number, "demo@local");
    let comment = repository.plan_comment(number);
    assert!(comment.contains(&format!("`terrace approve {digest}`")), "{comment}");
    assert!(comment.contains("| 1 to add, 0 to change, 1 to destroy |"), "{comment}");
    repository.merge("feature", number);
    (repository, number, digest)
}

#[track_caller]
fn is_refused(repository: &Repository, number: u64, reason: &str) {
    repository.apply().with_code(4);
    let report = repository.apply_comment(number);
    assert!(report.contains(reason), "`{reason}` is missing: {report}");
    assert!(repository.path("out/demo.txt").exists() && !repository.path("out/other.txt").exists());
}

#[test]
fn destructive_plan_needs_the_approval_of_an_owner() {
    for forge in Forge::both() {
        let (repository, number, digest) = destructive(forge, &format!("/stacks/ @{REVIEWER}\n"));
        let approve = format!("terrace approve {digest}");
        is_refused(&repository, number, "approved it yet");
        // Neither the author nor strangers nor texts that only look like an approval count.
        repository.forge.comment(AUTHOR, number, &approve);
        repository.forge.comment(repository.forge.account(), number, &approve);
        repository.forge.comment(REVIEWER, number, &format!("> {approve}"));
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {}", "0".repeat(64)));
        is_refused(&repository, number, "approved it yet");
        repository.forge.comment(STRANGER, number, &approve);
        is_refused(&repository, number, "may not write to the repository");
        // Another account may have edited a comment.
        let edited = repository.forge.comment(REVIEWER, number, "no");
        repository.forge.edit_comment(edited, &approve);
        is_refused(&repository, number, "may not write to the repository");
        repository.forge.comment(REVIEWER, number, &format!("Fine.\n\n{approve}\n"));
        repository.apply().done().prints(&format!("approved by {REVIEWER}"));
        assert!(!repository.path("out/demo.txt").exists() && repository.path("out/other.txt").exists());
        repository.check_calls();
    }
}

#[test]
fn writer_who_owns_nothing_cannot_approve() {
    for forge in Forge::both() {
        let (repository, number, digest) = destructive(forge, "* @absent\n/docs/ @rita\n");
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        is_refused(&repository, number, "no owner of stacks/demo.yaml approved it");
        repository.check_calls();
    }
}

#[test]
fn owner_of_a_changed_configuration_must_approve() {
    for forge in Forge::both() {
        let owners = format!("/stacks/ @{REVIEWER}\n/terrace.yaml @absent\n");
        let repository =
            Repository::new(forge, &[("stacks/demo.yaml", &stack("demo", "one")), ("CODEOWNERS", &owners)]);
        repository.terrace(&["apply", "stacks/demo.yaml", "--auto-approve", "-q"]).done();
        let number = repository.request("feature", AUTHOR, false, |it| {
            it.write("stacks/demo.yaml", &stack("demo", "one").replace("out/demo", "out/other"));
            it.write("terrace.yaml", &format!("{}# checked\n", it.read("terrace.yaml")));
        });
        repository.plan(number).done();
        let digest = repository.digest(number, "demo@local");
        repository.merge("feature", number);
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        is_refused(&repository, number, "no owner of terrace.yaml approved it");
        repository.check_calls();
    }
}

#[test]
fn members_of_an_owning_group_can_approve() {
    for forge in Forge::both() {
        let (repository, number, digest) = destructive(forge, "* @acme/data\n");
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        match &repository.forge {
            Forge::GitHub(forge) => {
                is_refused(&repository, number, "the token may not read the members of a team");
                let all = [&terrace_test_github::StandIn::PERMISSIONS[..], &["members: read"]].concat();
                forge.permit(&all);
                forge.add_member("data", "other");
                is_refused(&repository, number, "no owner of stacks/demo.yaml approved it");
                forge.add_member("data", REVIEWER);
            }
            Forge::GitLab(forge) => {
                is_refused(&repository, number, "no owner of stacks/demo.yaml approved it");
                forge.add_group_member("acme/data", REVIEWER, 30);
            }
        }
        repository.apply().done();
        repository.check_calls();
    }
}

#[test]
fn review_of_github_can_approve_until_it_is_withdrawn() {
    let (repository, number, digest) = destructive(Forge::github(), "");
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    let approve = format!("terrace approve {digest}");
    forge.review(REVIEWER, number, "COMMENTED", &approve);
    is_refused(&repository, number, "approved it yet");
    forge.review(REVIEWER, number, "APPROVED", &approve);
    forge.review(REVIEWER, number, "CHANGES_REQUESTED", "wait");
    is_refused(&repository, number, "approved it yet");
    forge.review(REVIEWER, number, "APPROVED", "without a digest");
    is_refused(&repository, number, "approved it yet");
    forge.review(REVIEWER, number, "APPROVED", &approve);
    repository.apply().done();
    repository.check_calls();
}

#[test]
fn changed_plan_is_applied_after_a_fresh_approval() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        repository.plan(number).done();
        let reviewed = repository.digest(number, "demo@local");
        repository.merge("feature", number);
        // The remote object changes between review and apply.
        repository.write("out/demo.txt", "changed by hand");
        repository.apply().with_code(4);
        assert_eq!(repository.read("out/demo.txt"), "changed by hand");
        let report = repository.apply_comment(number);
        let line = report.lines().find(|line| line.starts_with("terrace approve ")).unwrap().to_owned();
        assert!(!line.contains(&reviewed) && report.contains("changed by hand"), "{report}");
        // The approval of the old plan does not count for the new one.
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {reviewed}"));
        repository.apply().with_code(4);
        repository.forge.comment(REVIEWER, number, &line);
        repository.apply().done();
        assert_eq!(repository.read("out/demo.txt"), "two");
        repository.check_calls();
    }
}

#[test]
fn digest_of_another_account_is_not_the_reviewed_one() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        repository.plan(number).done();
        let comment = repository.plan_comment(number);
        repository.forge.delete_comments();
        // A stranger copies the whole comment, with its hidden lines.
        repository.forge.comment(STRANGER, number, &comment);
        repository.merge("feature", number);
        repository.apply().with_code(4);
        assert_eq!(repository.read("out/demo.txt"), "one");
        assert!(repository.apply_comment(number).contains("it was not reviewed"));
        repository.check_calls();
    }
}

#[test]
fn record_without_the_state_key_is_refused() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    // The plan job of a forged workflow has no key.
    repository.plan(number).done();
    let digest = digest_in(&repository.plan_comment(number), "demo@local");
    repository.merge("feature", number);
    let key = "k".repeat(43) + "=";
    let made = repository.terrace(&["init", "--state-key"]).done();
    let key = made.stdout.lines().find(|line| line.len() == 44).map_or(key, str::to_owned);
    let ran = repository.job(&["pr", "apply"], "push", 0, &[("TERRACE_STATE_KEY", &key)]).with_code(4);
    let report = repository.apply_comment(number);
    assert!(report.contains("was not written with the state key") && !digest.is_empty(), "{report}\n{ran}");
    assert_eq!(repository.read("out/demo.txt"), "one");
}

#[test]
fn request_of_another_branch_is_refused() {
    for forge in Forge::both() {
        let (repository, number, digest) = destructive(forge, "");
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        // Its owners and its protection may be others there.
        match &repository.forge {
            Forge::GitHub(forge) => forge.change(number, |pull| pull.branch = "other".to_owned()),
            Forge::GitLab(forge) => forge.change(number, |request| request.branch = "other".to_owned()),
        }
        repository.apply().with_code(4).prints("the request was merged into `other`, and this job applies `main`");
        assert!(repository.path("out/demo.txt").exists());
        repository.job(&["pr", "apply", "--branch", "other"], "push", 0, &[]).done();
        repository.check_calls();
    }
}

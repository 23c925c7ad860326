//! Approvals of destructive and changed plans.

use super::repository::{AUTHOR, Forge, REVIEWER, Repository, STRANGER, digest_in, stack};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

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
        is_refused(&repository, number, &format!("{REVIEWER} named the digest, but not in a separate line"));
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {}", "0".repeat(64)));
        is_refused(&repository, number, "approved it yet");
        is_refused(&repository, number, &format!("{REVIEWER} approved 0000000000…, which is an older plan"));
        // A reader of the request does not see it.
        repository.forge.comment(REVIEWER, number, &format!("<!-- \n{approve}\n-->"));
        is_refused(&repository, number, "approved it yet");
        is_refused(&repository, number, &format!("{AUTHOR} opened the request and cannot approve it"));
        repository.forge.comment(REVIEWER, number, approve.get(..30).unwrap());
        is_refused(&repository, number, &format!("{REVIEWER} approved a shortened digest: write all of it"));
        repository.forge.comment(STRANGER, number, &approve);
        is_refused(&repository, number, "may not write to the repository");
        // Another account may have edited a comment.
        let edited = repository.forge.comment(REVIEWER, number, "no");
        repository.forge.edit_comment(edited, &approve);
        is_refused(&repository, number, "may not write to the repository");
        is_refused(&repository, number, &format!("{REVIEWER} approved it in an edited text, which does not count"));
        repository.forge.comment(REVIEWER, number, &format!("Fine.\n\n{approve}\n"));
        repository.apply().done().prints(&format!("approved by {REVIEWER}"));
        assert!(!repository.path("out/demo.txt").exists() && repository.path("out/other.txt").exists());
        repository.check_calls();
    }
}

#[test]
fn account_that_wrote_a_commit_cannot_approve() {
    let (repository, number, digest) = destructive(Forge::github(), "");
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    let commit = |author: &str| terrace_test_github::Commit { sha: repository.head(), author: Some(author.to_owned()) };
    forge.change(number, |pull| pull.commits.push(commit(REVIEWER)));
    repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
    is_refused(&repository, number, &format!("{REVIEWER} wrote a commit of the request"));
    // The list ends, so it does not name all accounts.
    forge.change(number, |pull| pull.commits = vec![commit(AUTHOR); 250]);
    is_refused(&repository, number, "lists only 250 commits");
    forge.change(number, |pull| pull.commits = vec![commit(AUTHOR); 249]);
    repository.apply().done();
    repository.check_calls();
}

#[test]
fn writer_who_owns_nothing_cannot_approve() {
    for forge in Forge::both() {
        let (repository, number, digest) = destructive(forge, "* @absent @acme/data\n/docs/ @rita\n");
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        is_refused(&repository, number, "no owner of stacks/demo.yaml approved it");
        let report = repository.apply_comment(number);
        assert!(report.contains("its owners are absent, acme/data"), "{report}");
        if matches!(repository.forge, Forge::GitLab(_)) {
            assert!(report.contains("the group acme/data does not exist, or the token does not see it"), "{report}");
        }
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
                is_refused(&repository, number, "the team acme/data does not exist, or the token does not see it");
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
    // Another account may have edited a review, which the REST API does not show.
    forge.edit_review(&approve);
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
        // The block of the report, as a reader copies it.
        repository.forge.comment(REVIEWER, number, &format!("```text\n{line}\n```\n"));
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
        let report = repository.apply_comment(number);
        assert!(
            report.contains("it was not reviewed, because the comment of terrace with its digest is missing"),
            "{report}"
        );
        repository.check_calls();
    }
}

/// The first line of a comment with the plans of a job.
fn marker(name: &str) -> String {
    format!("<!-- terrace:pr:plan:{} -->", BASE64.encode(name))
}

/// Other workflows of a repository comment with the same account, and other jobs of terrace have the same key.
#[test]
fn record_of_another_job_is_refused() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        repository.job(&["pr", "plan", "--name", "other"], "pull_request", number, &[]).done();
        let comment = repository.plan_comment(number);
        assert!(comment.starts_with(&marker("other")), "{comment}");
        repository.forge.delete_comments();
        let copy = comment.replace(&marker("other"), &marker("terrace"));
        repository.forge.comment(repository.forge.account(), number, &copy);
        repository.merge("feature", number);
        repository.apply().with_code(4);
        assert!(repository.apply_comment(number).contains("was not written with the state key by this job"));
        assert_eq!(repository.read("out/demo.txt"), "one");
        repository.check_calls();
    }
}

#[test]
fn record_proves_nothing_without_a_state_key() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        let no_key = [("TERRACE_STATE_KEY", "")];
        repository.job(&["pr", "plan"], "pull_request", number, &no_key).done();
        repository.merge("feature", number);
        let apply = || repository.job(&["pr", "apply"], "push", 0, &no_key);
        apply().with_code(4);
        let report = repository.apply_comment(number);
        assert!(report.contains("without a state key, nothing proves which plan was reviewed"), "{report}");
        assert_eq!(repository.read("out/demo.txt"), "one");
        let line = report.lines().find(|line| line.starts_with("terrace approve ")).unwrap();
        repository.forge.comment(REVIEWER, number, line);
        apply().done();
        assert_eq!(repository.read("out/demo.txt"), "two");
        repository.check_calls();
    }
}

#[test]
fn plan_without_a_state_key_waits_for_an_approval() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    repository.job(&["pr", "plan"], "pull_request", number, &[("TERRACE_STATE_KEY", "")]).done();
    let comment = repository.plan_comment(number);
    let digest = digest_in(&comment, "demo@local");
    assert!(comment.contains("Set `TERRACE_STATE_KEY` in the jobs"), "{comment}");
    assert!(!comment.contains("The merge applies exactly these plans"), "{comment}");
    assert!(comment.contains(&format!("`terrace approve {digest}`")), "{comment}");
    assert_eq!(
        repository.forge.checks().pop().unwrap(),
        ("neutral".to_owned(), "1 of 1 plans need an approval, because the job has no state key".to_owned())
    );
    repository.check_calls();
}

#[test]
fn plan_with_uncovered_values_asks_for_no_approval() {
    let repository = Repository::with_stack(Forge::github());
    let secret = stack("secret", "'${{ vars.token }}'")
        .replace("path: out", "sensitive: true, path: out")
        .replace("resources:", "variables: {token: {type: string, default: hunter2, sensitive: true}}\nresources:");
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/secret.yaml", &secret));
    let no_key = [("TERRACE_STATE_KEY", "")];
    repository.job(&["pr", "plan"], "pull_request", number, &no_key).with_code(1);
    let comment = repository.plan_comment(number);
    assert!(!comment.contains("terrace approve") && !comment.contains("applies exactly"), "{comment}");
    repository.merge("feature", number);
    repository.job(&["pr", "apply"], "push", 0, &no_key).with_code(4);
    let report = repository.apply_comment(number);
    assert!(report.contains("the plan has errors") && !report.contains("terrace approve"), "{report}");
    repository.check_calls();
}

#[test]
fn failed_lookup_of_an_approver_does_not_lose_the_report() {
    for forge in Forge::both() {
        let both = [("stacks/a.yaml", &*stack("a", "one")), ("stacks/b.yaml", &stack("b", "one"))];
        let repository = Repository::new(forge, &both);
        for name in ["a", "b"] {
            repository.terrace(&["apply", &format!("stacks/{name}.yaml"), "--auto-approve", "-q"]).done();
        }
        let number = repository.request("feature", AUTHOR, false, |it| {
            it.write("stacks/a.yaml", &stack("a", "two"));
            it.write("stacks/b.yaml", &stack("b", "one").replace("out/b", "out/new-b"));
        });
        repository.plan(number).done();
        let digest = repository.digest(number, "b@local");
        repository.merge("feature", number);
        repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
        let path = if matches!(repository.forge, Forge::GitHub(_)) { "/permission" } else { "/members/all" };
        repository.forge.faults().by_text.push((path.to_owned(), terrace_test_github::Fault::Status(422)));
        repository.apply().with_code(3);
        let report = repository.apply_comment(number);
        assert!(report.contains("| `a@local` | applied |"), "{report}");
        assert!(report.contains("| `b@local` | not applied: ") && report.contains("on purpose"), "{report}");
        assert!(repository.path("out/b.txt").exists());
        repository.apply().done();
        assert!(repository.path("out/new-b.txt").exists());
        repository.check_calls();
    }
}

#[test]
fn access_of_an_approver_is_read_once() {
    let repository = Repository::new(
        Forge::github(),
        &[("stacks/a.yaml", &stack("a", "one")), ("stacks/b.yaml", &stack("b", "one"))],
    );
    for name in ["a", "b"] {
        repository.terrace(&["apply", &format!("stacks/{name}.yaml"), "--auto-approve", "-q"]).done();
    }
    let destroy = |it: &Repository, name: &str| {
        it.write(&format!("stacks/{name}.yaml"), &stack(name, "one").replace("out/", "out/new-"));
    };
    let number =
        repository.request("feature", AUTHOR, false, |it| ["a", "b"].iter().for_each(|name| destroy(it, name)));
    repository.plan(number).done();
    let approve = |name: &str| format!("terrace approve {}\n", repository.digest(number, name));
    repository.forge.comment(REVIEWER, number, &format!("{}{}", approve("a@local"), approve("b@local")));
    repository.merge("feature", number);
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    let count = || forge.received().iter().filter(|call| call.path.ends_with("/permission")).count();
    let before = count();
    repository.apply().done();
    assert_eq!(count() - before, 1);
    repository.check_calls();
}

#[test]
fn record_without_the_state_key_is_refused() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    // The plan job of a forged workflow has no key.
    repository.job(&["pr", "plan"], "pull_request", number, &[("TERRACE_STATE_KEY", "")]).done();
    repository.merge("feature", number);
    let ran = repository.apply().with_code(4);
    let report = repository.apply_comment(number);
    assert!(report.contains("was not written with the state key"), "{report}\n{ran}");
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
        if matches!(repository.forge, Forge::GitHub(_)) {
            let summary = repository.project.read("summary.md");
            assert!(summary.contains("was merged into") && summary.contains("name the branch with"), "{summary}");
        }
        assert!(repository.path("out/demo.txt").exists());
        repository.job(&["pr", "apply", "--branch", "other"], "push", 0, &[]).done();
        repository.check_calls();
    }
}

//! Faults of a forge: missing permissions, rate limits, errors, deleted comments, long comments.

use super::repository::{AUTHOR, Forge, REVIEWER, Repository, digest_in, stack};
use terrace_test_github as github;
use terrace_test_gitlab as gitlab;

/// A repository with a planned request.
fn planned(forge: Forge) -> (Repository, u64) {
    let repository = Repository::with_stack(forge);
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    (repository, number)
}

/// Lets calls whose line has a text fail with a status.
fn fail(forge: &Forge, line: &str, status: u16) {
    match forge {
        Forge::GitHub(forge) => forge.faults().by_text.push((line.to_owned(), github::Fault::Status(status))),
        Forge::GitLab(forge) => forge.faults().by_text.push((line.to_owned(), gitlab::Fault::Status(status))),
    }
}

fn limit(forge: &Forge, line: &str, seconds: u64) {
    match forge {
        Forge::GitHub(forge) => forge.faults().by_text.push((line.to_owned(), github::Fault::Limited(seconds))),
        Forge::GitLab(forge) => forge.faults().by_text.push((line.to_owned(), gitlab::Fault::Limited(seconds))),
    }
}

/// The path of comments, as the stand-ins see it.
fn comments(forge: &Forge) -> &'static str {
    if matches!(forge, Forge::GitHub(_)) { "/comments" } else { "/notes" }
}

#[test]
fn failed_call_is_explained() {
    for (status, text) in [
        (409, "reports a conflict and could not create a comment"),
        (422, "refuses to create a comment: on purpose"),
        (500, "failed to create a comment (status 500)"),
        (503, "failed to create a comment (status 503)"),
    ] {
        for forge in Forge::both() {
            let (repository, number) = planned(forge);
            fail(
                &repository.forge,
                &format!("POST {}", if matches!(repository.forge, Forge::GitHub(_)) { "/repos" } else { "/api" }),
                status,
            );
            let ran = repository.plan(number).with_code(1);
            ran.prints(text);
            // The next run finds its place.
            repository.plan(number).done();
            let _ = repository.plan_comment(number);
            repository.check_calls();
        }
    }
}

#[test]
fn denied_call_goes_to_the_summary() {
    for (status, text) in [
        (401, "does not accept the token"),
        (403, "may not create a comment"),
        (404, "finds nothing to create a comment"),
    ] {
        for forge in Forge::both() {
            let (repository, number) = planned(forge);
            fail(
                &repository.forge,
                &format!("POST {}", if matches!(repository.forge, Forge::GitHub(_)) { "/repos" } else { "/api" }),
                status,
            );
            let ran = repository.plan(number).done();
            ran.prints(text);
            assert!(repository.forge.comments(number).is_empty());
            if matches!(repository.forge, Forge::GitHub(_)) {
                let summary = repository.project.read("summary.md");
                assert!(
                    summary.contains("demo@local") && summary.contains("local_file.a") && summary.contains("> "),
                    "{summary}"
                );
            }
            assert!(repository.read("terrace-plan/comment.md").contains("demo@local"));
            repository.check_calls();
        }
    }
}

#[test]
fn missing_permissions_of_github_degrade() {
    let (repository, number) = planned(Forge::github());
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    // Without `checks: write`, the result is a commit status.
    forge.permit(&["contents: read", "pull-requests: write", "statuses: write"]);
    repository.plan(number).done();
    assert!(forge.checks().is_empty());
    assert_eq!(
        (forge.statuses()[0]["state"].as_str(), forge.statuses()[0]["context"].as_str()),
        (Some("success"), Some("terrace plan"))
    );
    // Without write permissions, it is the summary.
    forge.delete_comments();
    forge.permit(&["contents: read", "pull-requests: read"]);
    repository.plan(number).done().prints("the token needs the permission `pull-requests: write`");
    assert!(forge.comments(number).is_empty());
    let summary = repository.project.read("summary.md");
    assert!(summary.contains("demo@local") && summary.contains("pull-requests: write"), "{summary}");
    // Without any permission, the author is unknown, and the request untrusted.
    forge.permit(&[]);
    repository.plan(number).done().prints("the request is untrusted");
    let no_token = [("GITHUB_TOKEN", "")];
    repository.job(&["pr", "plan"], "pull_request", number, &no_token).done().prints("GITHUB_TOKEN is not set");
    repository.merge("feature", number);
    repository.job(&["pr", "apply"], "push", 0, &no_token).with_code(1).prints("cannot read which plans were reviewed");
    repository.apply().with_code(1).prints("the token may not read the pull request of a commit");
    repository.check_calls();
}

#[test]
fn job_token_of_gitlab_degrades() {
    let (repository, number) = planned(Forge::gitlab());
    let ran = repository.job(&["pr", "plan"], "merge_request_event", number, &[("GITLAB_TOKEN", "")]).done();
    ran.prints("set GITLAB_TOKEN to a project access token").prints("the request is untrusted");
    let Forge::GitLab(forge) = &repository.forge else { unreachable!() };
    forge.permit(false);
    repository.plan(number).done().prints("the token needs the scope `api`");
    assert!(forge.comments(number).is_empty() && forge.statuses().is_empty());
    forge.revoke();
    repository.plan(number).done().prints("does not accept the token");
    repository.check_calls();
}

#[test]
fn rate_limit_is_respected() {
    for forge in Forge::both() {
        let (repository, number) = planned(forge);
        // A short pause is waited for.
        limit(&repository.forge, "GET", 0);
        limit(&repository.forge, "POST", 0);
        repository.plan(number).done();
        let _ = repository.plan_comment(number);
        // A long one is an error at once.
        limit(&repository.forge, comments(&repository.forge), 7200);
        repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
        repository.plan(number).with_code(1).prints("limits the rate of calls for 7200 seconds");
        repository.check_calls();
    }
    let (repository, number) = planned(Forge::github());
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    forge.faults().by_text.push(("/comments".to_owned(), github::Fault::UsedUp(4_000_000_000)));
    repository.plan(number).with_code(1).prints("limits the rate of calls for 86400 seconds");
}

#[test]
fn lost_answer_makes_no_second_comment() {
    for forge in Forge::both() {
        let (repository, number) = planned(forge);
        let line = if matches!(repository.forge, Forge::GitHub(_)) {
            "POST /repos/acme/products/issues"
        } else {
            "POST /api/v4/projects/42/merge_requests"
        };
        match &repository.forge {
            Forge::GitHub(forge) => forge.faults().by_text.push((line.to_owned(), github::Fault::LostAfter)),
            Forge::GitLab(forge) => forge.faults().by_text.push((line.to_owned(), gitlab::Fault::LostAfter)),
        }
        repository.plan(number).with_code(1).prints("does not answer the request to create a comment");
        repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
        repository.plan(number).done();
        assert!(repository.plan_comment(number).contains("\"three\""));
        // An answer that is lost before its effect, and errors of a gateway, are repeated for reads.
        fail(&repository.forge, "GET", 502);
        repository.plan(number).done();
        repository.check_calls();
    }
}

#[test]
fn deleted_comment_is_written_again() {
    for forge in Forge::both() {
        let (repository, number) = planned(forge);
        repository.plan(number).done();
        repository.forge.delete_comments();
        repository.plan(number).done();
        let _ = repository.plan_comment(number);
        // It is deleted between the list and the update.
        repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
        let method = if matches!(repository.forge, Forge::GitHub(_)) { "PATCH" } else { "PUT" };
        fail(&repository.forge, method, 404);
        repository.plan(number).done();
        let comments = repository.forge.comments(number);
        assert!(comments.len() == 2 && comments[1].text.contains("\"three\""), "{comments:?}");
        repository.check_calls();
    }
}

#[test]
fn marker_of_another_account_is_not_touched() {
    for forge in Forge::both() {
        let (repository, number) = planned(forge);
        repository.plan(number).done();
        let comment = repository.plan_comment(number);
        repository.forge.delete_comments();
        let id = repository.forge.comment(REVIEWER, number, &comment);
        repository.plan(number).done();
        let comments = repository.forge.comments(number);
        assert!(comments.len() == 2 && comments[0].id == id && comments[0].text == comment, "{comments:?}");
        repository.check_calls();
    }
}

/// The token of an app may not read its own account, either; its comments have the name of the app.
#[test]
fn app_finds_its_own_comments_and_issues() {
    let (repository, number) = planned(Forge::github());
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    forge.install("plans[bot]");
    repository.plan(number).done();
    repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
    repository.plan(number).done();
    let comments = repository.forge.comments(number);
    assert!(comments.len() == 1 && comments[0].author == "plans[bot]", "{comments:?}");
    assert!(comments[0].text.contains("\"three\""), "{comments:?}");
    repository.merge("feature", number);
    repository.apply().done().prints("apply demo@local: applied");
    repository.write("out/demo.txt", "changed");
    repository.drift().with_code(2);
    repository.drift().with_code(2);
    assert_eq!(repository.forge.issues().len(), 1);
    repository.check_calls();
}

#[test]
fn job_of_an_older_commit_leaves_the_comment() {
    for forge in Forge::both() {
        let (repository, number) = planned(forge);
        let older = repository.head();
        let base = repository.git(&["rev-parse", "main"]);
        repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
        repository.plan(number).done();
        repository.git(&["checkout", "--quiet", &older]);
        let pull =
            serde_json::json!({"number": number, "merged": false, "head": {"sha": older}, "base": {"sha": base}});
        let payload = serde_json::json!({"action": "synchronize", "pull_request": pull});
        repository.project.write("older.json", payload.to_string());
        let event = repository.project.path("older.json").display().to_string();
        let of_older = [("GITHUB_EVENT_PATH", event.as_str()), ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", older.as_str())];
        let ran = repository.job(&["pr", "plan"], "pull_request", number, &of_older).done();
        ran.prints("by now: the job of that commit writes the comment");
        assert!(repository.plan_comment(number).contains("\"three\""));
        repository.check_calls();
    }
}

#[test]
fn head_of_a_comment_stays_within_the_limit() {
    let repository = Repository::with_stack(Forge::github());
    // Long names, and a line about the approval of each plan.
    let number = repository.request("feature", AUTHOR, false, |it| {
        for number in 0..95 {
            let name = format!("s{number:03}{}", "x".repeat(200));
            it.write(&format!("stacks/s{number}.yaml"), &stack(&name, "one"));
        }
    });
    repository.job(&["pr", "plan"], "pull_request", number, &[("TERRACE_STATE_KEY", "")]).done();
    let comment = repository.plan_comment(number);
    assert!(comment.encode_utf16().count() <= github::ISSUE_LIMIT);
    assert!(comment.contains("more plans are too many for one comment"), "{comment}");
    assert!(comment.contains("more lines have no room here"), "{comment}");
    repository.check_calls();
}

#[test]
fn comment_over_the_limit_is_cut_by_stack() {
    let repository = Repository::with_stack(Forge::github());
    let long = |number: usize| {
        let lines: String = (0..60).map(|line| format!("line {line} of {number} {}\\n", "x".repeat(80))).collect();
        stack(&format!("s{number:02}"), "one").replace("content: one", &format!("content: \"{lines}\""))
    };
    let number = repository.request("feature", AUTHOR, false, |it| {
        (0..40).for_each(|number| it.write(&format!("stacks/s{number:02}.yaml"), &long(number)));
    });
    repository.plan(number).done();
    let comment = repository.plan_comment(number);
    assert!(comment.encode_utf16().count() <= github::ISSUE_LIMIT);
    assert!(
        comment.contains("plans have no room here. The artifact `terrace-plan` of the job has every plan."),
        "{comment}"
    );
    assert_eq!(comment.matches("<details>").count(), comment.matches("</details>").count());
    // Every digest stands in the comment, and the merge applies every plan.
    let digests: Vec<String> = (0..40).map(|number| digest_in(&comment, &format!("s{number:02}@local"))).collect();
    assert!(digests.iter().all(|digest| digest.len() == 64));
    repository.merge("feature", number);
    repository.apply().done();
    assert!(repository.path("out/s39.txt").exists());
    repository.check_calls();
}

#[test]
fn drift_without_permission_goes_to_the_summary() {
    let repository = Repository::with_stack(Forge::github());
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    forge.permit(&["contents: read"]);
    repository.write("out/demo.txt", "changed by hand");
    repository.drift().with_code(2).prints("the token needs the permission `issues: read`");
    assert!(repository.project.read("summary.md").contains("changed by hand"));
    // An issue of another account with the marker is not touched.
    forge.permit(&github::StandIn::PERMISSIONS);
    repository.drift().with_code(2);
    let (_, text, _) = repository.forge.issues().pop().unwrap();
    forge.open_issue(REVIEWER, "Drift of demo@local", &text, "terrace-drift");
    repository.write("out/demo.txt", "one");
    repository.drift().done();
    let issues = repository.forge.issues();
    assert!(issues.len() == 2 && !issues[0].2 && issues[1].2 && issues[1].1 == text, "{issues:?}");
    repository.check_calls();
}

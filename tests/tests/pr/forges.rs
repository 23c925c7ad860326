//! Faults of a forge: missing permissions, rate limits, errors, deleted comments, long comments.

use super::repository::{AUTHOR, Forge, REVIEWER, Repository, digest_in, stack};
use terrace_test_github::{self as github, Fault};

/// A repository with a planned request.
fn planned(forge: Forge) -> (Repository, u64) {
    let repository = Repository::with_stack(forge);
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    (repository, number)
}

/// Lets the next call whose line has a text fail.
fn fail(forge: &Forge, line: &str, fault: Fault) {
    forge.faults().by_text.push((line.to_owned(), fault));
}

/// The beginning of the calls that write.
fn writes(forge: &Forge) -> &'static str {
    if matches!(forge, Forge::GitHub(_)) { "POST /repos" } else { "POST /api" }
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
            fail(&repository.forge, writes(&repository.forge), Fault::Status(status));
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
            fail(&repository.forge, writes(&repository.forge), Fault::Status(status));
            let ran = repository.plan(number).done();
            ran.prints(text);
            assert!(repository.forge.comments(number).is_empty());
            assert!(ran.stdout.contains("## terrace: plans of") && ran.stdout.contains("\"one\" → \"two\""), "{ran}");
            assert!(!ran.stdout.contains("<!--"), "a hidden line is in the log: {ran}");
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
    let ran = repository.plan(number).done();
    assert_eq!(ran.stderr.matches("does not accept the token").count(), 1, "the log repeats a note: {ran}");
    repository.check_calls();
}

/// Without a token, only the log and the summary can show why a product cannot be planned.
#[test]
fn log_has_the_errors_of_a_job_without_a_usable_token() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let broken = stack("demo", "two").replace("content: two", "contents: two");
        let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &broken));
        let no_token = [("GITHUB_TOKEN", ""), ("GITLAB_TOKEN", ""), ("CI_JOB_TOKEN", "")];
        let without = repository.job(&["pr", "plan"], "pull_request", number, &no_token).done();
        let wrong_token = [("GITHUB_TOKEN", "wrong"), ("GITLAB_TOKEN", "wrong")];
        let rejected = repository.job(&["pr", "plan"], "pull_request", number, &wrong_token).done();
        for ran in [without, rejected] {
            ran.prints("preview: `demo@local: stacks/demo.yaml:").prints("contents");
            ran.prints("## terrace: preview of").prints("Not checked:");
            ran.prints("result: an untrusted request: preview with 1 error");
        }
        repository.check_calls();
    }
}

/// A proxy, or a wrong URL, answers with a page. No such answer counts as a missing permission.
#[test]
fn page_instead_of_an_answer_is_explained() {
    for status in [200, 302, 403, 404, 407, 502] {
        for forge in Forge::both() {
            let (repository, number) = planned(forge);
            fail(&repository.forge, writes(&repository.forge), Fault::Page(status));
            let ran = repository.plan(number).with_code(1);
            // Messages are broken between words.
            let log = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            let vendor = if matches!(repository.forge, Forge::GitHub(_)) { "GitHub" } else { "GitLab" };
            for text in [
                &format!("does not answer as the API of {vendor} does"),
                &format!("status {status} without JSON"),
                "HTTPS_PROXY and NO_PROXY",
            ] {
                assert!(log.contains(text), "`{text}` is missing: {ran}");
            }
            assert!(!log.contains("the token"), "the hint blames the token: {ran}");
        }
    }
}

#[test]
fn rate_limit_is_respected() {
    for forge in Forge::both() {
        let (repository, number) = planned(forge);
        // A short pause is waited for.
        fail(&repository.forge, "GET", Fault::Limited(0));
        fail(&repository.forge, "POST", Fault::Limited(0));
        repository.plan(number).done();
        let _ = repository.plan_comment(number);
        // A long one is an error at once.
        fail(&repository.forge, comments(&repository.forge), Fault::Limited(7200));
        repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
        repository.plan(number).with_code(1).prints("limits the rate of calls for 7200 seconds");
        repository.check_calls();
    }
    let (repository, number) = planned(Forge::github());
    fail(&repository.forge, "/comments", Fault::UsedUp(4_000_000_000));
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
        fail(&repository.forge, line, Fault::LostAfter);
        repository.plan(number).with_code(1).prints("does not answer the request to create a comment");
        repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
        repository.plan(number).done();
        assert!(repository.plan_comment(number).contains("\"three\""));
        // An answer that is lost before its effect, and errors of a gateway, are repeated for reads.
        fail(&repository.forge, "GET", Fault::Status(502));
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
        fail(&repository.forge, method, Fault::Status(404));
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

/// A request with two commits, whose jobs run at the same time: the older commit, the newer one, and the comment of the
/// newer one. The branch and the comment are those of the older commit.
fn two_jobs() -> (Repository, u64, (String, String), String) {
    let (repository, number) = planned(Forge::github());
    let older = repository.head();
    repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
    repository.plan(number).done();
    let (newer, newest) = (repository.head(), repository.plan_comment(number));
    repository.git(&["checkout", "--quiet", &older]);
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    forge.change(number, |pull| pull.head.clone_from(&older));
    let id = repository.forge.comments(number)[0].id;
    repository.forge.edit_comment(id, newest.lines().next().unwrap());
    (repository, number, (older, newer), newest)
}

/// The job of the newer commit writes its comment before a call of the other job, whose line has a text.
fn newer_job_writes(repository: &Repository, line: &str, number: u64, newer: &str, newest: &str) {
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    let (twin, newer, newest) = (forge.clone(), newer.to_owned(), newest.to_owned());
    forge.before_call(line, move || {
        twin.change(number, |pull| pull.head = newer);
        let id = twin.comments(number)[0].id;
        twin.edit_comment(id, &newest, 0);
    });
}

const LIST: &str = "GET /repos/acme/products/issues/";
const UPDATE: &str = "PATCH /repos/acme/products/issues/comments/";

#[test]
fn older_job_restores_the_comment_that_it_replaced() {
    let (repository, number, (_, newer), newest) = two_jobs();
    // Between the check of the head and the read of the comment.
    newer_job_writes(&repository, LIST, number, &newer, &newest);
    repository.plan(number).done();
    assert_eq!(repository.plan_comment(number), newest);
    repository.check_calls();
}

#[test]
fn older_job_marks_a_comment_that_it_cannot_restore() {
    let (repository, number, (_, newer), newest) = two_jobs();
    // Between the read of the comment and its update.
    newer_job_writes(&repository, UPDATE, number, &newer, &newest);
    repository.plan(number).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("## terrace: outdated") && comment.contains(&format!("`{newer}` again")), "{comment}");
    // The comment of the older commit, with its digest, is gone.
    assert!(!comment.contains("terrace:record") && !comment.contains("\"two\""), "{comment}");
    repository.git(&["checkout", "--quiet", "feature"]);
    repository.plan(number).done();
    assert_eq!(repository.plan_comment(number), newest);
    repository.check_calls();
}

#[test]
fn newest_job_writes_again_after_an_older_one() {
    let (repository, number) = planned(Forge::github());
    repository.plan(number).done();
    let oldest = repository.plan_comment(number);
    repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
    let Forge::GitHub(forge) = &repository.forge else { unreachable!() };
    let twin = forge.clone();
    // The first list is before the write, the second one reads it again.
    forge.before_call(LIST, || {});
    forge.before_call(LIST, move || {
        let id = twin.comments(number)[0].id;
        twin.edit_comment(id, &oldest, 0);
    });
    repository.plan(number).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("\"three\"") && page_is_of(&comment, &repository.head()), "{comment}");
    repository.check_calls();
}

fn page_is_of(comment: &str, commit: &str) -> bool {
    comment.contains(&format!("## terrace: plans of `{}`", &commit[..10]))
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

#[test]
fn check_of_an_untrusted_request_counts_its_errors() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let broken = stack("demo", "two").replace("content: two", "contents: two");
        let number = repository.request("fork", AUTHOR, true, |it| it.write("stacks/demo.yaml", &broken));
        repository.plan(number).done();
        let (verdict, title) = repository.forge.checks().pop().unwrap();
        assert_eq!(title, "an untrusted request: preview with 1 error");
        assert_eq!(verdict, if matches!(repository.forge, Forge::GitHub(_)) { "neutral" } else { "success" });
        repository.check_calls();
    }
}

/// Without the permission, no issue is opened or closed.
#[test]
fn drift_whose_issues_cannot_be_read_is_an_error() {
    for status in [401, 403] {
        for forge in Forge::both() {
            let repository = Repository::with_stack(forge);
            fail(&repository.forge, "/issues", Fault::Status(status));
            repository.drift().with_code(1).prints("drift demo@local: no drift").prints("the token");
            repository.drift().done();
            repository.check_calls();
        }
    }
}

#[test]
fn failure_of_the_forge_is_printed_once() {
    let (repository, number) = planned(Forge::github());
    for _ in 0..2 {
        fail(&repository.forge, "/pulls/", Fault::Status(409));
    }
    let ran = repository.plan(number).with_code(1);
    assert_eq!(ran.stderr.matches("reports a conflict").count(), 1, "{ran}");
    repository.check_calls();
}

#[test]
fn refused_status_of_gitlab_names_scope_and_role() {
    let (repository, number) = planned(Forge::gitlab());
    fail(&repository.forge, "/statuses", Fault::Status(403));
    repository.plan(number).done().prints("the token needs the scope `api` and the role Developer");
    repository.check_calls();
}

#[test]
fn status_of_gitlab_belongs_to_the_pipeline_of_the_job() {
    let (repository, number) = planned(Forge::gitlab());
    let Forge::GitLab(forge) = &repository.forge else { unreachable!() };
    let url = "https://gitlab.example.com/acme/products/-/jobs/7";
    let of_job = [("CI_JOB_URL", url), ("CI_PIPELINE_ID", "77")];
    repository.job(&["pr", "plan"], "pull_request", number, &of_job).done();
    let status = forge.statuses().pop().unwrap();
    assert_eq!((status["target_url"].as_str(), status["pipeline_id"].as_u64()), (Some(url), Some(77)));
    // The pipeline of a merge result has another commit: GitLab would start a new pipeline for the status.
    repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
    let of_result = [&of_job[..], &[("CI_COMMIT_SHA", "1111111111111111111111111111111111111111")]].concat();
    repository.job(&["pr", "plan"], "pull_request", number, &of_result).done();
    let status = forge.statuses().pop().unwrap();
    assert_eq!((status["target_url"].as_str(), status.get("pipeline_id")), (Some(url), None));
    repository.check_calls();
}

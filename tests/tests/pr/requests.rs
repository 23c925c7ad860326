//! The life of a request: comment, push, merge, apply, drift, issue.

use super::repository::{AUTHOR, Forge, REVIEWER, Repository, digest_in, stack};

#[test]
fn request_lives_from_branch_to_apply_and_drift() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        // Other comments fill more than one page.
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        for count in 0..120 {
            repository.forge.comment(REVIEWER, number, &format!("remark {count}"));
        }
        repository.plan(number).done().prints("plan demo@local: 0 to add, 1 to change, 0 to destroy");
        let comment = repository.plan_comment(number);
        assert!(comment.contains("\"one\" → \"two\"") && comment.contains("added by this branch"), "{comment}");
        assert!(comment.contains("The merge applies exactly these plans."), "{comment}");
        let first = digest_in(&comment, "demo@local");
        let (verdict, title) = repository.forge.checks().pop().unwrap();
        assert_eq!((verdict.as_str(), title.as_str()), ("success", "1 of 1 plans have changes"));
        // The files of the plan.
        let plans: serde_json::Value = serde_json::from_str(&repository.read("terrace-plan/plans.json")).unwrap();
        assert_eq!(plans["plans"][0]["digest"], first.as_str());
        assert_eq!(repository.read("terrace-plan/comment.md"), comment);
        repository.terrace(&["show", "terrace-plan/001.plan.json"]).done().prints("local_file.a");
        // A push updates the same comment.
        repository.push(number, |it| it.write("stacks/demo.yaml", &stack("demo", "three")));
        repository.plan(number).done();
        let comment = repository.plan_comment(number);
        assert!(comment.contains("\"one\" → \"three\"") && digest_in(&comment, "demo@local") != first, "{comment}");
        assert_eq!(repository.read("out/demo.txt"), "one", "a plan changes nothing");
        // The merge applies it.
        repository.merge("feature", number);
        repository.apply().done().prints("apply demo@local: applied");
        assert_eq!(repository.read("out/demo.txt"), "three");
        let report = repository.apply_comment(number);
        assert!(
            report.contains("## terrace: 1 plan applied") && report.contains("| `demo@local` | applied |"),
            "{report}"
        );
        // A second run finds nothing to do.
        repository.apply().done().prints("nothing to do");
        let report = repository.apply_comment(number);
        assert!(report.contains("## terrace: 1 plan applied earlier"), "{report}");
        assert!(report.contains("| `demo@local` | applied by an earlier job |"), "{report}");
        repository.apply().done();
        assert_eq!(repository.apply_comment(number), report);
        // Drift opens an issue, updates it and closes it.
        repository.drift().done().prints("drift demo@local: no drift");
        assert!(repository.forge.issues().is_empty());
        repository.write("out/demo.txt", "changed by hand");
        repository.drift().with_code(2);
        let issues = repository.forge.issues();
        assert!(issues.len() == 1 && issues[0].2 && issues[0].1.contains("changed by hand"), "{issues:?}");
        repository.write("out/demo.txt", "changed again");
        repository.drift().with_code(2);
        let issues = repository.forge.issues();
        assert!(issues.len() == 1 && issues[0].2 && issues[0].1.contains("changed again"), "{issues:?}");
        repository.write("out/demo.txt", "three");
        repository.drift().done();
        let issues = repository.forge.issues();
        assert!(issues.len() == 1 && !issues[0].2 && issues[0].1.contains("No drift"), "{issues:?}");
        repository.write("out/demo.txt", "changed");
        repository.drift().with_code(2);
        assert!(
            repository.forge.issues().len() == 1 && repository.forge.issues()[0].2,
            "the same issue is opened again"
        );
        // No later drift closes the issue of a stack without objects.
        repository.write("out/demo.txt", "three");
        repository.terrace(&["destroy", "stacks/demo.yaml", "--auto-approve", "-q"]).done();
        repository.drift().done();
        let issues = repository.forge.issues();
        assert!(issues.len() == 1 && !issues[0].2 && issues[0].1.contains("no objects in the state"), "{issues:?}");
        repository.check_calls();
    }
}

#[test]
fn second_request_of_a_product_is_stale() {
    for forge in Forge::both() {
        let both = |one: &str, other: &str| {
            let more = "\n\n\n\n  - type: local_file\n    name: b\n    config: {path: out/other.txt, content: OTHER}\n";
            format!("{}{}", stack("demo", one), more.replace("OTHER", other))
        };
        let repository = Repository::new(forge, &[("stacks/demo.yaml", &both("one", "one"))]);
        repository.terrace(&["apply", "stacks/demo.yaml", "--auto-approve", "-q"]).done();
        let first = repository.request("first", AUTHOR, false, |it| it.write("stacks/demo.yaml", &both("two", "one")));
        repository.plan(first).done();
        let second =
            repository.request("second", AUTHOR, false, |it| it.write("stacks/demo.yaml", &both("one", "two")));
        repository.plan(second).done();
        repository.merge("first", first);
        repository.apply().done();
        // Git merges both changes without a conflict.
        repository.merge("second", second);
        let ran = repository.apply().with_code(4);
        assert!(ran.stdout.contains("stale: the plan changed") && !ran.stdout.contains("**"), "{ran}");
        let report = repository.apply_comment(second);
        assert!(report.contains("**stale: the plan changed after the review**"), "{report}");
        assert_eq!(repository.read("out/other.txt"), "one", "nothing is applied silently");
        repository.check_calls();
    }
}

/// Each stack of a request is planned from the applied outputs of the others.
#[test]
fn comment_says_what_to_do_about_a_reader_and_its_source() {
    let source = |text: &str| format!("{}outputs: {{text: {{value: {text}}}}}\n", stack("b", text));
    let reader = stack("a", "'${{ stacks[\"b\"].components[\"\"].outputs.text }}'");
    let repository = Repository::new(Forge::github(), &[("README.md", "text")]);
    let number = repository.request("new", AUTHOR, false, |it| {
        it.write("stacks/a.yaml", &reader);
        it.write("stacks/b.yaml", &source("one"));
    });
    repository.plan(number).with_code(1);
    let comment = repository.plan_comment(number);
    assert!(comment.contains("to another request, and plan that one after"), "{comment}");
    // The source first.
    repository.push(number, |it| std::fs::remove_file(it.path("stacks/a.yaml")).unwrap());
    repository.plan(number).done();
    repository.merge("new", number);
    repository.apply().done();
    let number = repository.request("reader", AUTHOR, false, |it| it.write("stacks/a.yaml", &reader));
    repository.plan(number).done();
    repository.merge("reader", number);
    repository.apply().done();
    assert_eq!(repository.read("out/a.txt"), "one");
    // A changed output makes the reader stale.
    let number = repository.request("both", AUTHOR, false, |it| {
        it.write(
            "stacks/a.yaml",
            &format!("{reader}  - type: local_file\n    name: c\n    config: {{path: out/c.txt, content: c}}\n"),
        );
        it.write("stacks/b.yaml", &source("two"));
    });
    repository.plan(number).done();
    let comment = repository.plan_comment(number);
    assert!(comment.contains("approve its new plan then"), "{comment}");
    repository.merge("both", number);
    repository.apply().with_code(3);
    assert!(repository.apply_comment(number).contains("**stale: the plan changed after the review**"));
    let digest = repository.apply_comment(number);
    let digest = digest.split("terrace approve ").nth(1).unwrap().get(..64).unwrap();
    repository.forge.comment(REVIEWER, number, &format!("terrace approve {digest}"));
    repository.apply().done();
    assert_eq!(repository.read("out/a.txt"), "two");
    repository.check_calls();
}

#[test]
fn merge_queue_checks_that_the_plan_is_the_reviewed_one() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        repository.plan(number).done();
        repository.git(&["checkout", "--quiet", "-b", "queue", "main"]);
        repository.git(&["merge", "--quiet", "--no-ff", "--message", "Merge", "feature"]);
        repository.job(&["pr", "plan"], "merge_group", number, &[]).done().prints("1 plan is as reviewed");
        // Another request of the queue changed the same product.
        repository.write("stacks/demo.yaml", &stack("demo", "other"));
        repository.commit("Other");
        repository.git(&["checkout", "--quiet", "-B", "queue", "HEAD"]);
        repository.job(&["pr", "plan"], "merge_group", number, &[]).with_code(1).prints("1 of 1 plans are stale");
        assert_eq!(
            repository.forge.checks().pop().unwrap().0.trim_end_matches("ure"),
            "fail".to_owned() + if matches!(repository.forge, Forge::GitHub(_)) { "" } else { "ed" }
        );
        repository.check_calls();
    }
}

#[test]
fn plan_with_errors_is_shown_and_not_applied() {
    let repository = Repository::with_stack(Forge::github());
    let broken = stack("demo", "two").replace("content: two", "contents: two");
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &broken));
    repository.plan(number).with_code(1);
    let comment = repository.plan_comment(number);
    assert!(comment.contains("contents") && comment.contains("failed"), "{comment}");
    assert_eq!(repository.forge.checks().pop().unwrap().0, "failure");
    repository.merge("feature", number);
    repository.apply().with_code(4);
    assert_eq!(repository.read("out/demo.txt"), "one");
    repository.check_calls();
}

/// The comment must not keep the digests of an older commit.
#[test]
fn request_that_cannot_be_planned_has_no_plans() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        repository.plan(number).done();
        let (digest, configuration) = (repository.digest(number, "demo@local"), repository.read("terrace.yaml"));
        repository.push(number, |it| it.write("terrace.yaml", "environments: [\n"));
        repository.plan(number).with_code(1).prints("yaml_syntax");
        let comment = repository.plan_comment(number);
        assert!(
            comment.contains("**The request cannot be planned.**") && comment.contains("terrace.yaml:"),
            "{comment}"
        );
        assert!(!comment.contains(&digest) && !comment.contains("The merge applies exactly"), "{comment}");
        let (verdict, title) = repository.forge.checks().pop().unwrap();
        assert!(verdict.starts_with("fail") && title == "the request cannot be planned", "{verdict}: {title}");
        if let Forge::GitHub(_) = repository.forge {
            assert!(repository.project.read("summary.md").contains("**The request cannot be planned.**"));
        }
        // The plan of the older commit does not count.
        repository.merge("feature", number);
        repository.write("terrace.yaml", &configuration);
        repository.commit("Repaired");
        repository.job(&["pr", "apply", "--request", &number.to_string()], "push", 0, &[]).with_code(4);
        assert!(repository.apply_comment(number).contains("it was not reviewed"));
        assert_eq!(repository.read("out/demo.txt"), "one");
        repository.check_calls();
    }
}

/// Each error is in the log, and no digest: a plan with errors cannot be approved.
#[test]
fn errors_of_a_plan_are_logged_without_its_digest() {
    for broken in [
        stack("demo", "two").replace("out/demo.txt", "/outside/demo.txt"),
        stack("demo", "two").replace("content: two", "contents: two"),
    ] {
        let repository = Repository::with_stack(Forge::github());
        let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &broken));
        let ran = repository.plan(number).with_code(1);
        let errors = ran.stdout.lines().filter(|line| line.starts_with("  error: ")).count();
        assert!(errors > 0 && !ran.stdout.contains("digest"), "{ran}");
        let comment = repository.plan_comment(number);
        assert!(!comment.contains("Plan digest") && !comment.contains("terrace approve"), "{comment}");
        let plans: serde_json::Value = serde_json::from_str(&repository.read("terrace-plan/plans.json")).unwrap();
        let plan = &plans["plans"][0];
        assert!(plan["errors"][0].is_string() && plan.get("digest").is_none(), "{plans:#}");
        assert_eq!(repository.forge.checks().pop().unwrap().1, "1 plan has errors");
        repository.check_calls();
    }
}

#[test]
fn request_without_products_ends_at_once() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("README.md", "text"));
    repository.plan(number).done().prints("no changed product");
    assert!(repository.plan_comment(number).contains("The request changes no product."));
    repository.merge("feature", number);
    repository.apply().done();
    repository.check_calls();
}

#[test]
fn unusable_checkout_is_an_error_with_a_remedy() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    repository.git(&["checkout", "--quiet", "main"]);
    repository.plan(number).with_code(1).prints("check out the request");
    repository
        .job(&["--chdir", "stacks", "pr", "plan"], "pull_request", number, &[])
        .with_code(1)
        .prints("root of the repository");
    repository.git(&["checkout", "--quiet", "feature"]);
    repository.job(&["pr", "plan"], "push", 0, &[]).with_code(1).prints("no open pull request");
    repository.terrace(&["pr", "plan"]).with_code(1).prints("GitHub Actions or GitLab CI");
    // A shallow clone lacks the base.
    let url = format!("file://{}", repository.path(".").canonicalize().unwrap().display());
    repository.git(&["clone", "--quiet", "--depth=1", "--branch=feature", &url, "../shallow"]);
    let shallow = repository.project.path("shallow").display().to_string();
    let ran = repository.job(&["--chdir", &shallow, "pr", "plan"], "pull_request", number, &[]).with_code(1);
    ran.prints("fetch-depth: 0");
}

#[test]
fn branch_behind_its_target_is_reported() {
    for forge in Forge::both() {
        let repository = Repository::with_stack(forge);
        let number =
            repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
        repository.plan(number).done();
        assert!(!repository.plan_comment(number).contains("The branch lacks"));
        repository.git(&["checkout", "--quiet", "main"]);
        repository.commit("Other");
        repository.git(&["checkout", "--quiet", "feature"]);
        repository.plan(number).done();
        let comment = repository.plan_comment(number);
        assert!(comment.contains("The branch lacks 1 commit of main"), "{comment}");
        repository.git(&["merge", "--quiet", "--no-ff", "--message", "Update", "main"]);
        repository.push(number, |_| {});
        repository.plan(number).done();
        assert!(!repository.plan_comment(number).contains("The branch lacks"));
        repository.check_calls();
    }
}

#[test]
fn unknown_environment_of_a_job_is_refused() {
    let repository = Repository::with_stack(Forge::github());
    let number = repository.request("feature", AUTHOR, false, |it| it.write("stacks/demo.yaml", &stack("demo", "two")));
    let plan = ["--env", "locla", "pr", "plan"];
    repository.job(&plan, "pull_request", number, &[]).with_code(1).prints("did you mean `local`?");
    repository.plan(number).done();
    repository.merge("feature", number);
    let apply = ["--env", "locla", "pr", "apply"];
    repository.job(&apply, "push", 0, &[]).with_code(1).prints("did you mean `local`?");
    repository.job(&["--env", "locla", "pr", "drift"], "schedule", 0, &[]).with_code(1).prints("did you mean `local`?");
    repository.check_calls();
}

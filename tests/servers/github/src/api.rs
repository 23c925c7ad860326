//! The calls. Each names its page of GitHub's documentation.

use crate::world::{Comment, Commit, ISSUE_LIMIT, Issue, World, user};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use terrace_test_listening::strict::{Call, Outcome, Refusal, fault, refused};

/// The caller of a call.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) login: String,
    /// Permissions such as `issues: write`, which include reading.
    pub(crate) permissions: BTreeSet<String>,
    /// True for the token of a job or an app.
    pub(crate) is_app: bool,
}

impl Caller {
    pub(crate) fn may(&self, area: &str, level: &str) -> Result<(), Refusal> {
        let has = |level: &str| self.permissions.contains(&format!("{area}: {level}"));
        match has(level) || level == "read" && has("write") {
            true => Ok(()),
            false => Err(refused(403, "Resource not accessible by integration")),
        }
    }
}

/// A text within the limit.
fn body(fields: &Map<String, Json>) -> Result<String, Refusal> {
    let text = fields.get("body").and_then(Json::as_str).unwrap_or_default();
    if text.trim().is_empty() {
        return Err(fault(422, "Validation Failed: body can't be blank"));
    }
    if text.encode_utf16().count() > ISSUE_LIMIT {
        return Err(fault(422, format!("Validation Failed: body is too long (maximum is {ISSUE_LIMIT} characters)")));
    }
    Ok(text.to_owned())
}

pub(crate) fn answer(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let not_found = || refused(404, "Not Found");
    match (call.method, call.path) {
        // https://docs.github.com/en/rest/users/users#get-the-authenticated-user
        ("GET", ["user"]) if caller.is_app => Err(refused(403, "Resource not accessible by integration")),
        ("GET", ["user"]) => Ok((200, user(&caller.login))),
        ("POST", ["graphql"]) => crate::graphql::answer(world, caller, call),
        // https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user
        ("GET", ["orgs", "acme", "teams", team, "memberships", login]) => {
            caller.may("members", "read")?;
            let members = world.teams.get(*team).ok_or_else(not_found)?;
            match members.contains(*login) {
                true => Ok((200, json!({"state": "active", "role": "member"}))),
                false => Err(not_found()),
            }
        }
        // https://docs.github.com/en/rest/teams/teams#get-a-team-by-name
        ("GET", ["orgs", "acme", "teams", team]) => {
            caller.may("members", "read")?;
            world.teams.get(*team).ok_or_else(not_found)?;
            Ok((200, json!({"slug": team})))
        }
        (_, ["repos", "acme", "products", rest @ ..]) => repository(world, caller, call, rest),
        _ => Err(fault(404, "Not Found")),
    }
}

fn repository(world: &mut World, caller: &Caller, call: &Call<'_>, path: &[&str]) -> Outcome {
    let not_found = || refused(404, "Not Found");
    let number = |text: &str| text.parse::<u64>().map_err(|_| fault(404, "Not Found"));
    match (call.method, path) {
        // https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request
        ("GET", ["pulls", pull]) => {
            caller.may("pull-requests", "read")?;
            call.only_queries(&[])?;
            Ok((200, world.pulls.get(&number(pull)?).ok_or_else(not_found)?.to_json()))
        }
        // https://docs.github.com/en/rest/pulls/reviews#list-reviews-for-a-pull-request
        ("GET", ["pulls", pull, "reviews"]) => {
            caller.may("pull-requests", "read")?;
            let pull = number(pull)?;
            let reviews = world.reviews.iter().enumerate().filter(|(_, review)| review.pull == pull);
            call.page(reviews.map(|(id, review)| review.to_json(id + 1)).collect(), &[])
        }
        // https://docs.github.com/en/rest/pulls/pulls#list-commits-on-a-pull-request
        ("GET", ["pulls", pull, "commits"]) => {
            caller.may("pull-requests", "read")?;
            let pull = world.pulls.get(&number(pull)?).ok_or_else(not_found)?;
            call.page(pull.commits.iter().take(250).map(Commit::to_json).collect(), &[])
        }
        // https://docs.github.com/en/rest/commits/commits#list-pull-requests-associated-with-a-commit
        ("GET", ["commits", sha, "pulls"]) => {
            caller.may("pull-requests", "read")?;
            let is_of = |it: &&crate::world::Pull| it.head == *sha || it.merged.as_deref() == Some(*sha);
            call.page(world.pulls.values().filter(is_of).map(crate::world::Pull::to_json).collect(), &[])
        }
        // https://docs.github.com/en/rest/issues/comments#list-issue-comments
        ("GET", ["issues", pull, "comments"]) => {
            caller.may("pull-requests", "read")?;
            let pull = number(pull)?;
            world.pulls.get(&pull).ok_or_else(not_found)?;
            call.page(world.comments.iter().filter(|it| it.pull == pull).map(Comment::to_json).collect(), &["since"])
        }
        // https://docs.github.com/en/rest/issues/comments#create-an-issue-comment
        ("POST", ["issues", pull, "comments"]) => {
            caller.may("pull-requests", "write")?;
            let pull = number(pull)?;
            world.pulls.get(&pull).ok_or_else(not_found)?;
            let text = body(call.fields(&["body"])?)?;
            let id = world.next();
            let comment = Comment { id, pull, author: caller.login.clone(), text, edited: None };
            world.comments.push(comment.clone());
            Ok((201, comment.to_json()))
        }
        // https://docs.github.com/en/rest/issues/comments#update-an-issue-comment
        ("PATCH", ["issues", "comments", id]) => {
            caller.may("pull-requests", "write")?;
            let id = number(id)?;
            let text = body(call.fields(&["body"])?)?;
            let comment = world.comments.iter_mut().find(|comment| comment.id == id).ok_or_else(not_found)?;
            // GitHub lets a writer change comments of other accounts; terrace must not.
            if comment.author != caller.login {
                return Err(fault(403, "the comment of another account"));
            }
            (comment.text, comment.edited) = (text, Some(60));
            Ok((200, comment.to_json()))
        }
        // https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
        ("GET", ["collaborators", login, "permission"]) => {
            let role = *world.users.get(*login).ok_or_else(|| refused(404, format!("{login} is not a user")))?;
            let permission = match role {
                "maintain" => "write",
                "triage" => "read",
                role => role,
            };
            Ok((200, json!({"permission": permission, "role_name": role, "user": user(login)})))
        }
        // https://docs.github.com/en/rest/checks/runs#create-a-check-run
        ("POST", ["check-runs"]) => {
            caller.may("checks", "write")?;
            if !caller.is_app {
                return Err(refused(403, "You must authenticate via a GitHub App."));
            }
            let fields =
                call.fields(&["name", "head_sha", "status", "conclusion", "output", "details_url", "external_id"])?;
            let conclusions = ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];
            let text = |name: &str| fields.get(name).and_then(Json::as_str).unwrap_or_default();
            let output = |name: &str| fields["output"][name].as_str().unwrap_or_default().to_owned();
            let is_right = !text("name").is_empty()
                && text("head_sha").len() == 40
                && text("status") == "completed"
                && conclusions.contains(&text("conclusion"))
                && !output("title").is_empty()
                && output("summary").encode_utf16().count() <= 65_535;
            if !is_right {
                return Err(fault(422, format!("Invalid request: {}", call.body)));
            }
            world.checks.push(call.body.clone());
            Ok((201, json!({"id": world.checks.len(), "conclusion": text("conclusion")})))
        }
        // https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
        ("POST", ["statuses", sha]) => {
            caller.may("statuses", "write")?;
            let fields = call.fields(&["state", "target_url", "description", "context"])?;
            let text = |name: &str| fields.get(name).and_then(Json::as_str).unwrap_or_default();
            let is_right = ["error", "failure", "pending", "success"].contains(&text("state"))
                && text("description").chars().count() <= 140;
            if !is_right || sha.len() != 40 {
                return Err(fault(422, format!("Validation Failed: {}", call.body)));
            }
            let mut status = call.body.clone();
            status["sha"] = (*sha).into();
            world.statuses.push(status);
            Ok((201, json!({"id": world.statuses.len(), "state": text("state")})))
        }
        // https://docs.github.com/en/rest/issues/issues#list-repository-issues
        ("GET", ["issues"]) => {
            caller.may("issues", "read")?;
            let (label, state) = (call.query.get("labels"), call.query.get("state").map_or("open", String::as_str));
            let is_shown = |issue: &&Issue| {
                let has_label = label.is_none_or(|label| issue.labels.contains(label));
                has_label && (state == "all" || issue.is_open == (state == "open"))
            };
            let mut found: Vec<Json> = world.issues.values().filter(is_shown).map(Issue::to_json).collect();
            // Pull requests are issues, too.
            if label.is_none() {
                found.extend(world.pulls.values().map(|pull| json!({"number": pull.number, "pull_request": {}})));
            }
            call.page(found, &["labels", "state"])
        }
        // https://docs.github.com/en/rest/issues/issues#create-an-issue
        ("POST", ["issues"]) => {
            caller.may("issues", "write")?;
            let fields = call.fields(&["title", "body", "labels"])?;
            let title = fields.get("title").and_then(Json::as_str).unwrap_or_default().to_owned();
            let labels = fields.get("labels").and_then(Json::as_array).into_iter().flatten();
            let labels = labels.filter_map(Json::as_str).map(str::to_owned).collect();
            if title.is_empty() || title.chars().count() > 256 {
                return Err(fault(422, "Validation Failed: title"));
            }
            let text = body(fields)?;
            let number = world.next();
            let issue = Issue { number, author: caller.login.clone(), title, text, labels, is_open: true };
            world.issues.insert(number, issue.clone());
            Ok((201, issue.to_json()))
        }
        // https://docs.github.com/en/rest/issues/issues#update-an-issue
        ("PATCH", ["issues", issue]) => {
            caller.may("issues", "write")?;
            let fields = call.fields(&["title", "body", "state", "state_reason", "labels"])?;
            let text = fields.contains_key("body").then(|| body(fields)).transpose()?;
            let issue = world.issues.get_mut(&number(issue)?).ok_or_else(not_found)?;
            issue.text = text.unwrap_or_else(|| issue.text.clone());
            match fields.get("state").and_then(Json::as_str) {
                Some(state @ ("open" | "closed")) => issue.is_open = state == "open",
                Some(state) => return Err(fault(422, format!("the state {state}"))),
                None => {}
            }
            Ok((200, issue.to_json()))
        }
        _ => Err(fault(404, "Not Found")),
    }
}

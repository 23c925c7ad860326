//! GitLab's REST API, version 4: <https://docs.gitlab.com/api/rest/>.

use crate::call::{Caller, Purpose};
use crate::forge::{
    Access, Account, Called, Check, Comment, Forge, ForgeError, Issue, Request, RequestState, Statement, Statements,
    Vendor, Verdict, has_words,
};
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use terrace_provider::http::{self, HeaderName};
use tokio::sync::OnceCell;

/// Access levels: <https://docs.gitlab.com/api/access_requests/#valid-access-levels>.
const DEVELOPER: u64 = 30;
const MAINTAINER: u64 = 40;
/// The limit of the description of a commit status, in characters.
const LONGEST_DESCRIPTION: usize = 255;

const SCOPE_API: &str =
    "the scope `api`; set GITLAB_TOKEN to a project access token, because a job token may not do this";
const SCOPE_STATUS: &str = "the scope `api` and the role Developer; set GITLAB_TOKEN to such a project access token";
const SCOPE_READ: &str = "the scope `read_api`; set GITLAB_TOKEN to a project access token";

/// A project at GitLab.
#[derive(Debug)]
pub(crate) struct GitLab {
    caller: Caller,
    project: String,
    own: OnceCell<Account>,
}

/// The kinds of tokens, which have different headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A personal, group or project access token.
    Access,
    /// The token of a job, `CI_JOB_TOKEN`: it may call few endpoints.
    Job,
}

impl GitLab {
    /// The project of a number or path, at the API of a URL.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(crate) fn new(url: &str, project: &str, kind: TokenKind, token: SecretString) -> Result<Self, String> {
        let header = match kind {
            TokenKind::Access => HeaderName::from_static("private-token"),
            TokenKind::Job => HeaderName::from_static("job-token"),
        };
        let caller = Caller::new(Vendor::GitLab, url, header, token)?;
        Ok(Self { caller, project: project.to_owned(), own: OnceCell::new() })
    }

    /// Refuses a group that the token does not see: a missing member and a missing group have the same status.
    /// <https://docs.gitlab.com/api/groups/#retrieve-a-group>
    async fn check_group(&self, group: &str, purpose: Purpose) -> Called<()> {
        // A name without a slash may be that of an account.
        if !group.contains('/') {
            return Ok(());
        }
        match self.caller.send(http::Request::get("/groups/{id}", &[group]), purpose).await {
            Err(error) if error.status == Some(404) => Err(ForgeError {
                message: format!("the group {group} does not exist, or the token does not see it"),
                ..error
            }),
            found => found.map(drop),
        }
    }

    fn values<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        std::iter::once(self.project.as_str()).chain(more.iter().copied()).collect()
    }

    /// The notes of accounts, oldest first.
    async fn notes(&self, request: u64) -> Called<Vec<Json>> {
        let purpose = Purpose { action: "read the comments", needs: SCOPE_READ };
        let number = request.to_string();
        let request = http::Request::get("/projects/{id}/merge_requests/{iid}/notes", &self.values(&[&number]));
        let request = request.query("sort", "asc").query("order_by", "created_at");
        let mut found = self.caller.list(request, purpose).await?;
        // GitLab itself writes notes about events.
        found.retain(|json| json.get("system").and_then(Json::as_bool) == Some(false));
        Ok(found)
    }
}

fn account(json: &Json) -> Option<Account> {
    Some(Account { id: json.get("id")?.as_u64()?, name: json.get("username")?.as_str()?.to_owned() })
}

fn merge_request(json: &Json) -> Option<Request> {
    let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
    let state = match text("state")?.as_str() {
        "merged" => RequestState::Merged,
        "opened" => RequestState::Open,
        _ => RequestState::Closed,
    };
    let base = json.pointer("/diff_refs/start_sha").or_else(|| json.pointer("/diff_refs/base_sha"));
    let source = json.get("source_project_id").and_then(Json::as_u64);
    // A fast-forward makes no new commit. GitLab names no commit for a fast-forward merge train and for an automatic
    // rebase: then `sha` is not in the target branch.
    let merge = ["merge_commit_sha", "squash_commit_sha", "sha"].iter().find_map(|name| text(name));
    Some(Request {
        number: json.get("iid")?.as_u64()?,
        head: text("sha")?,
        base: base.and_then(Json::as_str).unwrap_or_default().to_owned(),
        target: text("target_branch")?,
        author: account(json.get("author")?)?,
        is_fork: source.is_none() || source != json.get("target_project_id").and_then(Json::as_u64),
        state,
        merge: merge.filter(|_| state == RequestState::Merged),
        squash: text("squash_commit_sha").filter(|_| state == RequestState::Merged),
    })
}

fn note(json: &Json) -> Option<Comment> {
    Some(Comment {
        id: json.get("id")?.as_u64()?,
        author: account(json.get("author")?)?,
        text: json.get("body")?.as_str()?.to_owned(),
    })
}

/// True for a note that was edited. GitLab writes both times with milliseconds, and sets the second one at each change. Its
/// REST API does not show `last_edited_at`.
fn is_edited(json: &Json) -> bool {
    let time = |name: &str| json.get(name).and_then(Json::as_str);
    time("created_at").is_none() || time("created_at") != time("updated_at")
}

fn issue(json: &Json) -> Option<Issue> {
    Some(Issue {
        number: json.get("iid")?.as_u64()?,
        author: account(json.get("author")?)?,
        text: json.get("description").and_then(Json::as_str).unwrap_or_default().to_owned(),
        is_open: json.get("state")?.as_str()? == "opened",
    })
}

#[async_trait]
impl Forge for GitLab {
    fn vendor(&self) -> Vendor {
        Vendor::GitLab
    }

    fn redacted(&self, text: &str) -> String {
        self.caller.redacted(text)
    }

    /// <https://docs.gitlab.com/api/users/#retrieve-the-current-user>
    async fn own_account(&self) -> Called<Account> {
        let own = self.own.get_or_try_init(|| async {
            let purpose = Purpose { action: "read its own account", needs: SCOPE_READ };
            let json = self.caller.send(http::Request::get("/user", &[]), purpose).await?;
            account(&json).ok_or_else(|| self.caller.unreadable(purpose))
        });
        own.await.cloned()
    }

    /// <https://docs.gitlab.com/api/merge_requests/#get-single-mr>
    async fn request(&self, number: u64) -> Called<Request> {
        let purpose = Purpose { action: "read the merge request", needs: SCOPE_READ };
        let number = number.to_string();
        let request = http::Request::get("/projects/{id}/merge_requests/{iid}", &self.values(&[&number]));
        let json = self.caller.send(request, purpose).await?;
        merge_request(&json).ok_or_else(|| self.caller.unreadable(purpose))
    }

    /// <https://docs.gitlab.com/api/commits/#list-merge-requests-associated-with-a-commit>
    ///
    /// The list has no `diff_refs`, so its requests have no base.
    async fn merged_with(&self, commit: &str) -> Called<Vec<Request>> {
        let purpose = Purpose { action: "read the merge request of a commit", needs: SCOPE_READ };
        let request =
            http::Request::get("/projects/{id}/repository/commits/{sha}/merge_requests", &self.values(&[commit]));
        let found = self.caller.list(request, purpose).await?;
        let mut found: Vec<Request> = found
            .iter()
            .map(|json| merge_request(json).ok_or_else(|| self.caller.unreadable(purpose)))
            .collect::<Called<_>>()?;
        found.retain(|request| request.state == RequestState::Merged);
        Ok(found)
    }

    /// Commits of GitLab have names and addresses, but no accounts.
    async fn committers(&self, _request: u64) -> Called<Vec<Account>> {
        Ok(Vec::new())
    }

    /// <https://docs.gitlab.com/api/notes/#list-all-merge-request-notes>
    async fn comments(&self, request: u64) -> Called<Vec<Comment>> {
        Ok(self.notes(request).await?.iter().filter_map(note).collect())
    }

    /// <https://docs.gitlab.com/api/notes/#create-new-merge-request-note>
    async fn create_comment(&self, request: u64, text: &str) -> Called<()> {
        let purpose = Purpose { action: "create a comment", needs: SCOPE_API };
        let number = request.to_string();
        let request = http::Request::post("/projects/{id}/merge_requests/{iid}/notes", &self.values(&[&number]));
        self.caller.send(request.json(json!({"body": text})), purpose).await.map(drop)
    }

    /// <https://docs.gitlab.com/api/notes/#modify-existing-merge-request-note>
    async fn update_comment(&self, request: u64, comment: u64, text: &str) -> Called<()> {
        let purpose = Purpose { action: "update a comment", needs: SCOPE_API };
        let (number, id) = (request.to_string(), comment.to_string());
        let values = self.values(&[&number, &id]);
        let request = http::Request::put("/projects/{id}/merge_requests/{iid}/notes/{note_id}", &values);
        self.caller.send(request.json(json!({"body": text})).idempotent(), purpose).await.map(drop)
    }

    /// Approvals of GitLab have no text, so they name no digest: people approve a plan by a comment.
    async fn statements(&self, request: u64, words: &str) -> Called<Statements> {
        let mut found = Statements::default();
        for json in &self.notes(request).await? {
            let Some(Comment { author, text, .. }) = note(json).filter(|note| has_words(&note.text, words)) else {
                continue;
            };
            match is_edited(json) {
                true => found.edited.push((author, text)),
                false => found.unedited.push(Statement { author, text }),
            }
        }
        Ok(found)
    }

    /// <https://docs.gitlab.com/api/project_members/#retrieve-a-member-of-a-project-including-inherited-and-invited-members>
    async fn access(&self, account: &Account) -> Called<Access> {
        let purpose = Purpose { action: "read the access of an account", needs: SCOPE_READ };
        let id = account.id.to_string();
        let request = http::Request::get("/projects/{id}/members/all/{user_id}", &self.values(&[&id]));
        match self.caller.send(request, purpose).await {
            Ok(json) => Ok(match (level(&json), json.get("state").and_then(Json::as_str)) {
                (_, Some(state)) if state != "active" => Access::Read,
                (MAINTAINER.., _) => Access::Maintain,
                (DEVELOPER.., _) => Access::Write,
                _ => Access::Read,
            }),
            Err(error) if error.status == Some(404) => Ok(Access::Read),
            Err(error) => Err(error),
        }
    }

    /// <https://docs.gitlab.com/api/group_members/#retrieve-a-group-member-including-inherited-and-invited-members>
    async fn is_member(&self, group: &str, account: &Account) -> Called<bool> {
        let purpose = Purpose { action: "read the members of a group", needs: SCOPE_READ };
        let id = account.id.to_string();
        let request = http::Request::get("/groups/{id}/members/all/{user_id}", &[group, &id]);
        match self.caller.send(request, purpose).await {
            Ok(json) => Ok(level(&json) >= DEVELOPER),
            Err(error) if error.status == Some(404) => self.check_group(group, purpose).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// <https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>
    async fn set_check(&self, check: &Check) -> Called<()> {
        let purpose = Purpose { action: "set a commit status", needs: SCOPE_STATUS };
        let state = if check.verdict == Verdict::Failure { "failed" } else { "success" };
        let description: String = check.title.chars().take(LONGEST_DESCRIPTION).collect();
        let request = http::Request::post("/projects/{id}/statuses/{sha}", &self.values(&[&check.commit]));
        let mut body = json!({"state": state, "name": check.name, "description": description});
        // Without the pipeline, GitLab adds the status to the newest one of the commit. A pipeline of another commit, such
        // as that of a merge result, would make GitLab start a new one, and so would `ref`, which is not the branch here.
        let pipeline = check.run.pipeline.as_ref().filter(|(_, commit)| *commit == check.commit);
        let run = [
            ("target_url", check.run.url.clone().map(Json::from)),
            ("pipeline_id", pipeline.map(|(number, _)| Json::from(*number))),
        ];
        if let Some(fields) = body.as_object_mut() {
            fields.extend(run.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        match self.caller.send(request.json(body).idempotent(), purpose).await {
            // GitLab refuses to set the state that the status has: "Cannot transition status via :run from :success".
            Err(error) if error.status == Some(400) && error.message.contains("Cannot transition status") => Ok(()),
            sent => sent.map(drop),
        }
    }

    /// <https://docs.gitlab.com/api/issues/#list-project-issues>
    async fn issues(&self, label: &str) -> Called<Vec<Issue>> {
        let purpose = Purpose { action: "read the issues", needs: SCOPE_READ };
        let request = http::Request::get("/projects/{id}/issues", &self.values(&[]));
        let found = self.caller.list(request.query("labels", label).query("state", "all"), purpose).await?;
        Ok(found.iter().filter_map(issue).collect())
    }

    /// <https://docs.gitlab.com/api/issues/#new-issue>
    async fn open_issue(&self, title: &str, text: &str, label: &str) -> Called<u64> {
        let purpose = Purpose { action: "open an issue", needs: SCOPE_API };
        let request = http::Request::post("/projects/{id}/issues", &self.values(&[]));
        let request = request.json(json!({"title": title, "description": text, "labels": label}));
        let json = self.caller.send(request, purpose).await?;
        json.get("iid").and_then(Json::as_u64).ok_or_else(|| self.caller.unreadable(purpose))
    }

    /// <https://docs.gitlab.com/api/issues/#edit-an-issue>
    async fn update_issue(&self, issue: u64, text: &str, is_open: bool) -> Called<()> {
        let purpose = Purpose { action: "update an issue", needs: SCOPE_API };
        let number = issue.to_string();
        let request = http::Request::put("/projects/{id}/issues/{iid}", &self.values(&[&number]));
        let event = if is_open { "reopen" } else { "close" };
        self.caller
            .send(request.json(json!({"description": text, "state_event": event})).idempotent(), purpose)
            .await
            .map(drop)
    }
}

/// The access level of a member.
fn level(member: &Json) -> u64 {
    member.get("access_level").and_then(Json::as_u64).unwrap_or_default()
}

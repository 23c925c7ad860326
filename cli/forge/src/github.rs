//! GitHub's REST API: <https://docs.github.com/en/rest>. Its GraphQL API for edits, and for the account of an app:
//! <https://docs.github.com/en/graphql/reference>.

use crate::call::{Caller, Purpose};
use crate::forge::{
    Access, Account, Called, Check, Comment, Forge, ForgeError, Issue, Request, RequestState, Statement, Statements,
    Vendor, Verdict, has_words,
};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use terrace_provider::http::{self, HeaderName};
use tokio::sync::OnceCell;

/// The account of a token. Installation tokens, such as that of a job, may only ask this.
const VIEWER: &str = "query { viewer { login databaseId } }";
/// The last edits of comments and reviews. The list has the order of the numbers, and null for a deleted one.
const EDITS: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on IssueComment { fullDatabaseId lastEditedAt } \
                     ... on PullRequestReview { fullDatabaseId lastEditedAt } } }";
/// The limit of `nodes`.
const MOST_NODES: usize = 100;
/// The limit of the description of a commit status, in characters.
const LONGEST_DESCRIPTION: usize = 140;
/// The limit of the summary of a check run, in characters.
const LONGEST_SUMMARY: usize = 65_000;

/// The limit of the list of a request's commits.
const MOST_COMMITS: usize = 250;

/// The path of the GraphQL API.
const GRAPHQL: &str = "/graphql";

const READ_REQUESTS: &str = "the permission `pull-requests: read`";
const WRITE_REQUESTS: &str = "the permission `pull-requests: write`";
const WRITE_ISSUES: &str = "the permission `issues: write`";

/// A repository at GitHub.
#[derive(Debug)]
pub(crate) struct GitHub {
    caller: Caller,
    graphql: Caller,
    owner: String,
    repository: String,
    own: OnceCell<Account>,
}

impl GitHub {
    /// The repository `OWNER/NAME` at the API of a URL. `graphql` is the URL of the GraphQL API: without it, the usual one
    /// of `url`, which is `https://HOST/api/v3` at GitHub Enterprise Server.
    ///
    /// # Errors
    /// When a URL or the name is invalid.
    pub(crate) fn new(
        url: &str,
        graphql: Option<&str>,
        repository: &str,
        token: &SecretString,
    ) -> Result<Self, String> {
        let (owner, name) = repository
            .split_once('/')
            .ok_or_else(|| format!("`{repository}` is not a repository: expected OWNER/NAME"))?;
        let caller = |url: &str| {
            let token = format!("Bearer {}", token.expose_secret()).into();
            Caller::new(Vendor::GitHub, url, HeaderName::from_static("authorization"), token)
        };
        let graphql = graphql_base(url, graphql)?;
        let (owner, repository) = (owner.to_owned(), name.to_owned());
        Ok(Self { caller: caller(url)?, graphql: caller(graphql)?, owner, repository, own: OnceCell::new() })
    }

    /// The data of a query.
    async fn query(&self, query: &str, variables: Json, purpose: Purpose) -> Called<Json> {
        let request = http::Request::post(GRAPHQL, &[]).json(json!({"query": query, "variables": variables})).reads();
        let answer = self.graphql.send(request, purpose).await?;
        // The query of a deleted node has an error, and data.
        let is_missing = |error: &Json| error.get("type").and_then(Json::as_str) == Some("NOT_FOUND");
        let errors = answer.get("errors").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        match (errors.iter().find(|error| !is_missing(error)), answer.get("data")) {
            (Some(error), _) => Err(self.graphql.query_error(error, purpose)),
            (None, Some(data)) if !data.is_null() => Ok(data.clone()),
            (None, _) => Err(self.graphql.unreadable(purpose)),
        }
    }

    async fn comment_list(&self, request: u64) -> Called<Vec<Json>> {
        let purpose = Purpose { action: "read the comments", needs: READ_REQUESTS };
        let number = request.to_string();
        let request = http::Request::get("/repos/{owner}/{repo}/issues/{number}/comments", &self.values(&[&number]));
        self.caller.list(request, purpose).await
    }

    /// The approving reviews in force. The list is in chronological order: the last review of an account that is more than
    /// a comment is in force. <https://docs.github.com/en/rest/pulls/reviews#list-reviews-for-a-pull-request>
    async fn approvals(&self, request: u64) -> Called<Vec<Json>> {
        let purpose = Purpose { action: "read the reviews", needs: READ_REQUESTS };
        let number = request.to_string();
        let request = http::Request::get("/repos/{owner}/{repo}/pulls/{number}/reviews", &self.values(&[&number]));
        let mut last: BTreeMap<Account, Option<Json>> = BTreeMap::new();
        for json in self.caller.list(request, purpose).await? {
            let Some(author) = json.get("user").and_then(account) else { continue };
            match json.get("state").and_then(Json::as_str) {
                Some("APPROVED") => drop(last.insert(author, Some(json))),
                Some("CHANGES_REQUESTED" | "DISMISSED") => drop(last.insert(author, None)),
                _ => {}
            }
        }
        Ok(last.into_values().flatten().collect())
    }

    /// Separates edited comments and reviews. The REST API does not show edits of reviews, and those of comments only by the
    /// second. <https://docs.github.com/en/graphql/reference/interfaces#comment>
    async fn statements_of(&self, items: &[Json]) -> Called<Statements> {
        let purpose = Purpose { action: "read the edits of comments and reviews", needs: READ_REQUESTS };
        let mut found = Statements::default();
        for chunk in items.chunks(MOST_NODES) {
            let ids: Vec<&str> = chunk.iter().filter_map(|json| json.get("node_id")?.as_str()).collect();
            let data = self.query(EDITS, json!({"ids": ids}), purpose).await?;
            let nodes = data.get("nodes").and_then(Json::as_array);
            let nodes = nodes.filter(|nodes| nodes.len() == chunk.len() && ids.len() == chunk.len());
            for (json, node) in chunk.iter().zip(nodes.ok_or_else(|| self.graphql.unreadable(purpose))?) {
                let id = json.get("id").and_then(Json::as_u64).map(|id| id.to_string());
                let is_it = id.is_some() && id.as_deref() == node.get("fullDatabaseId").and_then(Json::as_str);
                let Some(statement) = statement(json).filter(|_| is_it) else { continue };
                match node.get("lastEditedAt") {
                    Some(Json::Null) => found.unedited.push(statement),
                    Some(_) => found.edited.push((statement.author, statement.text)),
                    None => {}
                }
            }
        }
        Ok(found)
    }

    /// Refuses a team that the token does not see: a missing member and a missing team have the same status.
    /// <https://docs.github.com/en/rest/teams/teams#get-a-team-by-name>
    async fn check_team(&self, values: &[&str], purpose: Purpose) -> Called<()> {
        let [organization, team, ..] = values else { return Ok(()) };
        let request = http::Request::get("/orgs/{org}/teams/{team_slug}", &[*organization, *team]);
        match self.caller.send(request, purpose).await {
            Err(error) if error.status == Some(404) => Err(ForgeError {
                message: format!("the team {organization}/{team} does not exist, or the token does not see it"),
                ..error
            }),
            found => found.map(drop),
        }
    }

    /// A path below the repository, with further values.
    fn values<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [self.owner.as_str(), self.repository.as_str()].into_iter().chain(more.iter().copied()).collect()
    }

    fn pull(&self, json: &Json) -> Option<Request> {
        let text = |path: &str| json.pointer(path).and_then(Json::as_str).map(str::to_owned);
        let repository = |side: &str| json.pointer(&format!("/{side}/repo/id")).and_then(Json::as_u64);
        let state = match (json.get("merged_at").is_some_and(Json::is_string), text("/state")?.as_str()) {
            (true, _) => RequestState::Merged,
            (false, "open") => RequestState::Open,
            (false, _) => RequestState::Closed,
        };
        Some(Request {
            number: json.get("number")?.as_u64()?,
            head: text("/head/sha")?,
            base: text("/base/sha")?,
            target: text("/base/ref")?,
            author: account(json.get("user")?)?,
            // A deleted fork has no repository.
            is_fork: repository("head").is_none() || repository("head") != repository("base"),
            state,
            // Before the merge, it is that of a test merge.
            merge: text("/merge_commit_sha").filter(|_| state == RequestState::Merged),
            squash: None,
        })
    }
}

/// The URL of the GraphQL API without [`GRAPHQL`]: from the URL of that API, or else from that of the REST API.
fn graphql_base<'a>(url: &'a str, graphql: Option<&'a str>) -> Result<&'a str, String> {
    match graphql.map(|url| url.trim_end_matches('/')) {
        Some(url) => url.strip_suffix(GRAPHQL).ok_or_else(|| format!("`{url}` does not end with {GRAPHQL}")),
        None => Ok(url.trim_end_matches('/').strip_suffix("/v3").unwrap_or(url)),
    }
}

/// Reads an account. A deleted one is null; GitHub shows it as `ghost`.
fn account(json: &Json) -> Option<Account> {
    if json.is_null() {
        return Some(Account { id: 0, name: "ghost".to_owned() });
    }
    Some(Account { id: json.get("id")?.as_u64()?, name: json.get("login")?.as_str()?.to_owned() })
}

/// The text of a comment, review or issue; empty for null.
fn body(json: &Json) -> &str {
    json.get("body").and_then(Json::as_str).unwrap_or_default()
}

fn comment(json: &Json) -> Option<Comment> {
    let (id, author) = (json.get("id")?.as_u64()?, account(json.get("user")?)?);
    Some(Comment { id, author, text: body(json).to_owned() })
}

fn statement(json: &Json) -> Option<Statement> {
    Some(Statement { author: account(json.get("user")?)?, text: body(json).to_owned() })
}

fn issue(json: &Json) -> Option<Issue> {
    Some(Issue {
        number: json.get("number")?.as_u64()?,
        author: account(json.get("user")?)?,
        text: body(json).to_owned(),
        is_open: json.get("state")?.as_str()? == "open",
    })
}

fn cut(text: &str, limit: usize) -> String {
    match text.chars().count() > limit {
        true => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[async_trait]
impl Forge for GitHub {
    fn vendor(&self) -> Vendor {
        Vendor::GitHub
    }

    fn redacted(&self, text: &str) -> String {
        self.caller.redacted(text)
    }

    /// <https://docs.github.com/en/rest/users/users#get-the-authenticated-user>
    ///
    /// The token of a job or an app is an installation token, which may not call this, but may ask the GraphQL API.
    async fn own_account(&self) -> Called<Account> {
        let own = self.own.get_or_try_init(|| async {
            let purpose = Purpose { action: "read its own account", needs: "to belong to an account" };
            match self.caller.send(http::Request::get("/user", &[]), purpose).await {
                Ok(json) => account(&json).ok_or_else(|| self.caller.unreadable(purpose)),
                Err(error) if error.status == Some(403) => {
                    let data = self.query(VIEWER, json!({}), purpose).await?;
                    let viewer = |name: &str| data.pointer(&format!("/viewer/{name}"));
                    let id = viewer("databaseId").and_then(Json::as_u64).unwrap_or_default();
                    let name = viewer("login").and_then(Json::as_str);
                    let account = name.map(|name| Account { id, name: name.to_owned() });
                    account.ok_or_else(|| self.graphql.unreadable(purpose))
                }
                Err(error) => Err(error),
            }
        });
        own.await.cloned()
    }

    /// <https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request>
    async fn request(&self, number: u64) -> Called<Request> {
        let purpose = Purpose { action: "read the pull request", needs: READ_REQUESTS };
        let number = number.to_string();
        let request = http::Request::get("/repos/{owner}/{repo}/pulls/{number}", &self.values(&[&number]));
        let json = self.caller.send(request, purpose).await?;
        self.pull(&json).ok_or_else(|| self.caller.unreadable(purpose))
    }

    /// <https://docs.github.com/en/rest/commits/commits#list-pull-requests-associated-with-a-commit>
    async fn merged_with(&self, commit: &str) -> Called<Vec<Request>> {
        let purpose = Purpose { action: "read the pull request of a commit", needs: READ_REQUESTS };
        let request = http::Request::get("/repos/{owner}/{repo}/commits/{sha}/pulls", &self.values(&[commit]));
        let found = self.caller.list(request, purpose).await?;
        let mut found: Vec<Request> = found
            .iter()
            .map(|json| self.pull(json).ok_or_else(|| self.caller.unreadable(purpose)))
            .collect::<Called<_>>()?;
        found.retain(|request| request.state == RequestState::Merged);
        Ok(found)
    }

    /// <https://docs.github.com/en/rest/pulls/pulls#list-commits-on-a-pull-request>
    ///
    /// GitHub finds the accounts by the addresses in the commits, which their authors choose. The list ends after 250 commits.
    async fn committers(&self, request: u64) -> Called<Vec<Account>> {
        let purpose = Purpose { action: "read the commits of the pull request", needs: READ_REQUESTS };
        let number = request.to_string();
        let request = http::Request::get("/repos/{owner}/{repo}/pulls/{number}/commits", &self.values(&[&number]));
        let found = self.caller.list(request, purpose).await?;
        if found.len() >= MOST_COMMITS {
            return Err(ForgeError {
                status: None,
                message: format!("GitHub lists only {MOST_COMMITS} commits, so their authors are unknown"),
                hints: vec!["split the pull request".to_owned()],
            });
        }
        // The account of an unknown address is null, or an object without fields.
        let accounts = found.iter().flat_map(|json| [json.get("author"), json.get("committer")]).flatten();
        Ok(accounts.filter(|json| !json.is_null()).filter_map(account).collect())
    }

    /// <https://docs.github.com/en/rest/issues/comments#list-issue-comments>
    async fn comments(&self, request: u64) -> Called<Vec<Comment>> {
        Ok(self.comment_list(request).await?.iter().filter_map(comment).collect())
    }

    /// <https://docs.github.com/en/rest/issues/comments#create-an-issue-comment>
    async fn create_comment(&self, request: u64, text: &str) -> Called<()> {
        let purpose = Purpose { action: "create a comment", needs: WRITE_REQUESTS };
        let number = request.to_string();
        let request = http::Request::post("/repos/{owner}/{repo}/issues/{number}/comments", &self.values(&[&number]));
        self.caller.send(request.json(json!({"body": text})), purpose).await.map(drop)
    }

    /// <https://docs.github.com/en/rest/issues/comments#update-an-issue-comment>
    async fn update_comment(&self, _request: u64, comment: u64, text: &str) -> Called<()> {
        let purpose = Purpose { action: "update a comment", needs: WRITE_REQUESTS };
        let id = comment.to_string();
        let request = http::Request::patch("/repos/{owner}/{repo}/issues/comments/{id}", &self.values(&[&id]));
        self.caller.send(request.json(json!({"body": text})).idempotent(), purpose).await.map(drop)
    }

    async fn statements(&self, request: u64, words: &str) -> Called<Statements> {
        let mut found = self.comment_list(request).await?;
        found.extend(self.approvals(request).await?);
        found.retain(|json| has_words(body(json), words));
        self.statements_of(&found).await
    }

    /// <https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user>
    async fn access(&self, account: &Account) -> Called<Access> {
        let purpose = Purpose { action: "read the permission of an account", needs: "the permission `metadata: read`" };
        let values = self.values(&[account.name.as_str()]);
        let request = http::Request::get("/repos/{owner}/{repo}/collaborators/{username}/permission", &values);
        match self.caller.send(request, purpose).await {
            // `maintain` is shown as `write`.
            Ok(json) => Ok(
                match (json.get("permission").and_then(Json::as_str), json.get("role_name").and_then(Json::as_str)) {
                    (Some("admin"), _) | (Some("write"), Some("maintain")) => Access::Maintain,
                    (Some("write"), _) => Access::Write,
                    _ => Access::Read,
                },
            ),
            Err(error) if error.status == Some(404) => Ok(Access::Read),
            Err(error) => Err(error),
        }
    }

    /// <https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user>
    async fn is_member(&self, group: &str, account: &Account) -> Called<bool> {
        let purpose =
            Purpose { action: "read the members of a team", needs: "the organization permission `members: read`" };
        let Some((organization, team)) = group.split_once('/') else { return Ok(false) };
        // A team of another organization owns nothing here.
        if !organization.eq_ignore_ascii_case(&self.owner) {
            return Ok(false);
        }
        let values = [organization, team, account.name.as_str()];
        let request = http::Request::get("/orgs/{org}/teams/{team_slug}/memberships/{username}", &values);
        match self.caller.send(request, purpose).await {
            Ok(json) => Ok(json.get("state").and_then(Json::as_str) == Some("active")),
            Err(error) if error.status == Some(404) => self.check_team(&values, purpose).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// <https://docs.github.com/en/rest/checks/runs#create-a-check-run>, and for a token that is not of an app:
    /// <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>
    async fn set_check(&self, check: &Check) -> Called<()> {
        let purpose =
            Purpose { action: "create a check", needs: "the permission `checks: write` or `statuses: write`" };
        let (conclusion, state) = match check.verdict {
            Verdict::Success => ("success", "success"),
            Verdict::Waiting => ("neutral", "success"),
            Verdict::Failure => ("failure", "failure"),
        };
        let run = http::Request::post("/repos/{owner}/{repo}/check-runs", &self.values(&[]));
        let run = run.json(json!({
            "name": check.name, "head_sha": check.commit, "status": "completed", "conclusion": conclusion,
            "output": {"title": cut(&check.title, LONGEST_DESCRIPTION), "summary": cut(&check.summary, LONGEST_SUMMARY)},
        }));
        let denied: ForgeError = match self.caller.send(run, purpose).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_denied() => error,
            Err(error) => return Err(error),
        };
        let status = http::Request::post("/repos/{owner}/{repo}/statuses/{sha}", &self.values(&[&check.commit]));
        let status = status.json(json!({
            "state": state, "context": check.name, "description": cut(&check.title, LONGEST_DESCRIPTION),
        }));
        match self.caller.send(status, purpose).await {
            Err(error) if error.is_denied() => Err(denied),
            sent => sent.map(drop),
        }
    }

    /// <https://docs.github.com/en/rest/issues/issues#list-repository-issues>
    async fn issues(&self, label: &str) -> Called<Vec<Issue>> {
        let purpose = Purpose { action: "read the issues", needs: "the permission `issues: read`" };
        let request = http::Request::get("/repos/{owner}/{repo}/issues", &self.values(&[]));
        let found = self.caller.list(request.query("labels", label).query("state", "all"), purpose).await?;
        // Pull requests are issues, too.
        Ok(found.iter().filter(|json| json.get("pull_request").is_none()).filter_map(issue).collect())
    }

    /// <https://docs.github.com/en/rest/issues/issues#create-an-issue>
    async fn open_issue(&self, title: &str, text: &str, label: &str) -> Called<u64> {
        let purpose = Purpose { action: "open an issue", needs: WRITE_ISSUES };
        let request = http::Request::post("/repos/{owner}/{repo}/issues", &self.values(&[]));
        let request = request.json(json!({"title": title, "body": text, "labels": [label]}));
        let json = self.caller.send(request, purpose).await?;
        json.get("number").and_then(Json::as_u64).ok_or_else(|| self.caller.unreadable(purpose))
    }

    /// <https://docs.github.com/en/rest/issues/issues#update-an-issue>
    async fn update_issue(&self, issue: u64, text: &str, is_open: bool) -> Called<()> {
        let purpose = Purpose { action: "update an issue", needs: WRITE_ISSUES };
        let number = issue.to_string();
        let request = http::Request::patch("/repos/{owner}/{repo}/issues/{number}", &self.values(&[&number]));
        let state = if is_open { "open" } else { "closed" };
        self.caller.send(request.json(json!({"body": text, "state": state})).idempotent(), purpose).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_api_is_next_to_the_rest_api() {
        let (cloud, server) = ("https://api.github.com", "https://git.example.com/api/v3");
        assert_eq!(graphql_base(cloud, None).unwrap(), cloud);
        assert_eq!(graphql_base(cloud, Some("https://api.github.com/graphql")).unwrap(), cloud);
        assert_eq!(graphql_base(server, None).unwrap(), "https://git.example.com/api");
        let own = graphql_base(server, Some("https://git.example.com/api/graphql"));
        assert_eq!(own.unwrap(), "https://git.example.com/api");
        assert!(graphql_base(server, Some("https://git.example.com/api")).is_err());
    }
}

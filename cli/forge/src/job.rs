//! The job that runs terrace: its forge, its event and the place for its summary.
//!
//! GitHub Actions: <https://docs.github.com/en/actions/reference/workflows-and-actions/variables>, with the payloads of
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>. GitLab CI:
//! <https://docs.gitlab.com/ci/variables/predefined_variables/>.

use crate::forge::{Forge, Run, Vendor};
use crate::github::GitHub;
use crate::gitlab::{GitLab, TokenKind};
use secrecy::SecretString;
use serde_json::Value as Json;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The size limit of an event's payload, in bytes.
const LARGEST_EVENT: u64 = 16 << 20;
/// The digest in a payload that stands for "no commit".
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// The variable of a setting; `None` if it is not set.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The event that started a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request was opened or got commits.
    Request {
        /// Its number.
        number: u64,
        /// The digest of its last commit.
        head: String,
        /// The digest of the target branch's commit.
        base: Option<String>,
    },
    /// A merge queue or merge train tests a merge.
    Queue {
        /// The number of the request.
        number: Option<u64>,
        /// The digest of the merge.
        head: String,
        /// The digest of the commit that it follows.
        base: Option<String>,
    },
    /// A request was merged, or got a comment or a review.
    Mention {
        /// The number of the request.
        number: u64,
    },
    /// A branch got commits.
    Push {
        /// The digest of the last commit.
        commit: String,
        /// The digest of the last commit before.
        before: Option<String>,
    },
    /// Any other event, such as a schedule.
    Other,
}

/// The job that runs terrace.
#[derive(Debug, Clone)]
pub struct Job {
    /// The vendor of the forge.
    pub vendor: Vendor,
    /// The repository at the forge; `None` without a token.
    pub forge: Option<Arc<dyn Forge>>,
    /// The URL of the repository in the API of the forge.
    pub repository: String,
    /// The event that started the job.
    pub event: Event,
    /// The default branch of the repository, if the job names it.
    pub default_branch: Option<String>,
    /// The file of the job's summary, in Markdown.
    pub summary: Option<PathBuf>,
    /// The run of the job, for checks.
    pub run: Run,
}

/// A job whose environment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// The failure.
    pub message: String,
    /// The remedy.
    pub hint: String,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl JobError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Job {
    /// The job of this process, from its environment variables.
    ///
    /// # Errors
    /// When the process runs in no job, or a variable of the job is missing or invalid.
    pub fn detect(variable: Variable<'_>) -> Result<Self, JobError> {
        let is_set = |name: &str| variable(name).is_some_and(|value| value == "true");
        match (is_set("GITHUB_ACTIONS"), is_set("GITLAB_CI")) {
            (true, _) => Self::of_github(variable),
            (false, true) => Self::of_gitlab(variable),
            (false, false) => Err(JobError::new(
                "this command runs in a job of GitHub Actions or GitLab CI",
                "elsewhere use `terrace plan` and `terrace apply --plan-digest`",
            )),
        }
    }

    fn of_github(variable: Variable<'_>) -> Result<Self, JobError> {
        let vendor = Vendor::GitHub;
        let url = variable("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".to_owned());
        let repository = required(variable, "GITHUB_REPOSITORY", vendor)?;
        let forge = match token("GITHUB_TOKEN", variable).map(SecretString::from) {
            None => None,
            Some(token) => {
                let graphql = variable("GITHUB_GRAPHQL_URL");
                let forge = GitHub::new(&url, graphql.as_deref(), &repository, &token).map_err(|why| {
                    let variables = "GITHUB_API_URL, GITHUB_GRAPHQL_URL or GITHUB_REPOSITORY";
                    JobError::new(format!("{variables}: {why}"), "check these variables")
                })?;
                Some(Arc::new(forge) as Arc<dyn Forge>)
            }
        };
        let name = required(variable, "GITHUB_EVENT_NAME", vendor)?;
        let path = PathBuf::from(required(variable, "GITHUB_EVENT_PATH", vendor)?);
        let is_small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= LARGEST_EVENT);
        let payload = std::fs::read(&path).ok().filter(|_| is_small);
        let payload: Option<Json> = payload.and_then(|text| serde_json::from_slice(&text).ok());
        let payload = payload.ok_or_else(|| {
            JobError::new(
                format!("the event `{}` of GITHUB_EVENT_PATH cannot be read", path.display()),
                "run terrace in a step of the job, not in another container",
            )
        })?;
        let event = event_of_github(&name, &payload).ok_or_else(|| {
            JobError::new(format!("the event `{name}` of GITHUB_EVENT_PATH lacks fields"), "run the job again")
        })?;
        let default_branch = payload.pointer("/repository/default_branch").and_then(Json::as_str).map(str::to_owned);
        let summary = variable("GITHUB_STEP_SUMMARY").map(PathBuf::from);
        let repository = format!("{url}/repos/{repository}");
        Ok(Self { vendor, forge, repository, event, default_branch, summary, run: Run::default() })
    }

    fn of_gitlab(variable: Variable<'_>) -> Result<Self, JobError> {
        let vendor = Vendor::GitLab;
        let url = required(variable, "CI_API_V4_URL", vendor)?;
        let project = required(variable, "CI_PROJECT_ID", vendor)?;
        let access = token("GITLAB_TOKEN", variable).map(|token| (TokenKind::Access, token));
        let forge = match access.or_else(|| Some((TokenKind::Job, token("CI_JOB_TOKEN", variable)?))) {
            None => None,
            Some((kind, token)) => {
                let forge = GitLab::new(&url, &project, kind, token.into())
                    .map_err(|why| JobError::new(format!("CI_API_V4_URL: {why}"), "check the variable"))?;
                Some(Arc::new(forge) as Arc<dyn Forge>)
            }
        };
        let commit = required(variable, "CI_COMMIT_SHA", vendor)?;
        let number = || {
            required(variable, "CI_MERGE_REQUEST_IID", vendor).and_then(|text| {
                text.parse()
                    .map_err(|_| JobError::new("CI_MERGE_REQUEST_IID is not a number", "do not set it yourself"))
            })
        };
        let source = variable("CI_PIPELINE_SOURCE").unwrap_or_default();
        let base =
            variable("CI_MERGE_REQUEST_TARGET_BRANCH_SHA").or_else(|| variable("CI_MERGE_REQUEST_DIFF_BASE_SHA"));
        let event = match source.as_str() {
            "merge_request_event" if variable("CI_MERGE_REQUEST_EVENT_TYPE").as_deref() == Some("merge_train") => {
                Event::Queue { number: Some(number()?), head: commit, base }
            }
            "merge_request_event" => {
                let head = variable("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA").unwrap_or(commit);
                Event::Request { number: number()?, head, base }
            }
            "push" => Event::Push { commit, before: variable("CI_COMMIT_BEFORE_SHA").filter(|sha| sha != NO_COMMIT) },
            _ => Event::Other,
        };
        let repository = format!("{url}/projects/{project}");
        let pipeline = variable("CI_PIPELINE_ID").and_then(|number| number.parse().ok()).zip(variable("CI_COMMIT_SHA"));
        let run = Run { url: variable("CI_JOB_URL"), pipeline };
        let default_branch = variable("CI_DEFAULT_BRANCH");
        Ok(Self { vendor, forge, repository, event, default_branch, summary: None, run })
    }
}

/// A token without white space around it, such as the line break at the end of a file.
fn token(name: &str, variable: Variable<'_>) -> Option<String> {
    variable(name).map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
}

fn required(variable: Variable<'_>, name: &str, vendor: Vendor) -> Result<String, JobError> {
    variable(name).ok_or_else(|| {
        JobError::new(format!("the job has no variable {name}"), format!("{} sets it in every job", vendor.name()))
    })
}

/// The event of a payload; `None` if it lacks a field.
fn event_of_github(name: &str, payload: &Json) -> Option<Event> {
    let text = |path: &str| payload.pointer(path).and_then(Json::as_str).map(str::to_owned);
    let number = |path: &str| payload.pointer(path).and_then(Json::as_u64);
    Some(match name {
        "pull_request" | "pull_request_target" => {
            let merged = payload.pointer("/pull_request/merged").and_then(Json::as_bool) == Some(true);
            let number = number("/pull_request/number")?;
            match text("/action")?.as_str() {
                "closed" if merged => Event::Mention { number },
                _ => Event::Request {
                    number,
                    head: text("/pull_request/head/sha")?,
                    base: text("/pull_request/base/sha"),
                },
            }
        }
        "pull_request_review" => Event::Mention { number: number("/pull_request/number")? },
        "issue_comment" => match payload.pointer("/issue/pull_request") {
            Some(_) => Event::Mention { number: number("/issue/number")? },
            None => Event::Other,
        },
        "merge_group" => {
            let reference = text("/merge_group/head_ref").unwrap_or_default();
            let number = reference.rsplit('/').next().and_then(|name| name.strip_prefix("pr-"));
            let number = number.and_then(|name| name.split('-').next()?.parse().ok());
            Event::Queue { number, head: text("/merge_group/head_sha")?, base: text("/merge_group/base_sha") }
        }
        "push" => Event::Push { commit: text("/after")?, before: text("/before").filter(|sha| sha != NO_COMMIT) },
        _ => Event::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn event_of_github_follows_its_payload() {
        let pull = json!({"number": 7, "merged": false, "head": {"sha": "a"}, "base": {"sha": "b"}});
        let of = |name: &str, payload: Json| event_of_github(name, &payload);
        let opened = Some(Event::Request { number: 7, head: "a".to_owned(), base: Some("b".to_owned()) });
        assert_eq!(of("pull_request", json!({"action": "opened", "pull_request": pull})), opened);
        assert_eq!(of("pull_request", json!({"action": "closed", "pull_request": pull})), opened, "closed, not merged");
        let merged = json!({"action": "closed", "pull_request": {"number": 7, "merged": true}});
        assert_eq!(of("pull_request_target", merged), Some(Event::Mention { number: 7 }));
        let queue = json!({"merge_group": {"head_sha": "a", "base_sha": "b", "head_ref": "refs/heads/gh-readonly-queue/main/pr-104-ab"}});
        let expected = Event::Queue { number: Some(104), head: "a".to_owned(), base: Some("b".to_owned()) };
        assert_eq!(of("merge_group", queue), Some(expected));
        let push = json!({"after": "a", "before": NO_COMMIT});
        assert_eq!(of("push", push), Some(Event::Push { commit: "a".to_owned(), before: None }));
        assert_eq!(
            of("issue_comment", json!({"issue": {"number": 3, "pull_request": {}}})),
            Some(Event::Mention { number: 3 })
        );
        assert_eq!(of("issue_comment", json!({"issue": {"number": 3}})), Some(Event::Other));
        assert_eq!(of("pull_request", json!({})), None);
    }

    #[test]
    fn job_of_gitlab_follows_its_variables() {
        let job = |more: &[(&str, &str)]| {
            let all: Vec<(String, String)> = [
                ("GITLAB_CI", "true"),
                ("CI_API_V4_URL", "https://gitlab.example.com/api/v4"),
                ("CI_PROJECT_ID", "42"),
                ("CI_COMMIT_SHA", "c"),
                ("CI_JOB_TOKEN", "secret-token"),
            ]
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
            Job::detect(&|name| all.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone()))
        };
        let request = [("CI_PIPELINE_SOURCE", "merge_request_event"), ("CI_MERGE_REQUEST_IID", "3")];
        let event = job(&request).unwrap().event;
        assert_eq!(event, Event::Request { number: 3, head: "c".to_owned(), base: None });
        let train = [&request[..], &[("CI_MERGE_REQUEST_EVENT_TYPE", "merge_train")]].concat();
        assert_eq!(job(&train).unwrap().event, Event::Queue { number: Some(3), head: "c".to_owned(), base: None });
        assert_eq!(job(&[("CI_PIPELINE_SOURCE", "schedule")]).unwrap().event, Event::Other);
        assert!(job(&[("CI_PIPELINE_SOURCE", "merge_request_event")]).is_err());
        assert!(!format!("{:?}", job(&request)).contains("secret-token"));
    }

    #[test]
    fn process_outside_a_job_is_refused() {
        assert!(Job::detect(&|_| None).unwrap_err().message.contains("GitHub Actions or GitLab CI"));
    }
}

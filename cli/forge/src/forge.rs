//! The trait of a forge, and the values that it reads and writes.

use async_trait::async_trait;
use std::fmt;

/// The vendor of a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
}

impl Vendor {
    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
        }
    }

    /// The limit of a comment in characters, with room for a marker.
    ///
    /// GitHub refuses more than 65,536 characters, GitLab more than 1,000,000
    /// (<https://docs.gitlab.com/administration/instance_limits/>). A shorter comment of GitLab is easier to read.
    #[must_use]
    pub const fn comment_limit(self) -> usize {
        match self {
            Self::GitHub => 65_000,
            Self::GitLab => 250_000,
        }
    }

    /// The word for a request to merge.
    #[must_use]
    pub const fn request(self) -> &'static str {
        match self {
            Self::GitHub => "pull request",
            Self::GitLab => "merge request",
        }
    }

    /// The sign before the number of a request.
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::GitHub => '#',
            Self::GitLab => '!',
        }
    }
}

/// An account of a forge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// The number.
    pub id: u64,
    /// The name, without `@`. Forges compare names without case.
    pub name: String,
}

impl Account {
    /// True for an account of that name.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// True for the same account. The number decides, because names change. Only apps have names such as `plans[bot]`, so
    /// these decide, too. A deleted account has the number 0, and is the same as no account.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let is_same_app = self.name.ends_with("[bot]") && self.is_called(&other.name);
        (self.id == other.id && self.id != 0) || is_same_app
    }
}

/// The state of a request to merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// It can be merged.
    Open,
    /// It is merged.
    Merged,
    /// It was closed without a merge.
    Closed,
}

/// A request to merge: GitHub's pull request, GitLab's merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The number within the repository.
    pub number: u64,
    /// The digest of the last commit of its branch.
    pub head: String,
    /// The digest of a commit of the target branch without the changes of the request.
    pub base: String,
    /// The target branch.
    pub target: String,
    /// The account that opened it.
    pub author: Account,
    /// True if its branch is in another repository.
    pub is_fork: bool,
    /// Its state.
    pub state: RequestState,
    /// The digest of the commit that the merge put at the end of the target branch; `None` before the merge. It is a merge
    /// commit, the only commit of a squash, the last one of a rebase, or the head itself of a fast-forward. If the head
    /// arrived with another request, it is the merge of that request.
    pub merge: Option<String>,
    /// The digest of the only commit of a squash, if the forge names it: GitHub does not. A merge commit may follow it.
    pub squash: Option<String>,
}

/// A comment of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The number of the comment.
    pub id: u64,
    /// The account that wrote it.
    pub author: Account,
    /// The text in Markdown. Other accounts may have edited it.
    pub text: String,
}

/// A comment, or an approving review in force, which the forge proves to be unedited: its author wrote the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The account that wrote it.
    pub author: Account,
    /// The text in Markdown.
    pub text: String,
}

/// The comments and approving reviews with certain words. Only those whose authors surely wrote the text are statements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements {
    /// The unedited ones.
    pub unedited: Vec<Statement>,
    /// The authors and texts of the edited ones, which count for nothing: only messages name them.
    pub edited: Vec<(Account, String)>,
}

/// The access of an account to the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// None, or that of any reader.
    Read,
    /// It may push branches.
    Write,
    /// It may also change settings, such as the protection of branches.
    Maintain,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The plan can be applied.
    Success,
    /// The plan can be applied once it is approved.
    Waiting,
    /// The plan has errors, or another plan was reviewed.
    Failure,
}

/// The result of a check of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The digest of the commit.
    pub commit: String,
    /// The name of the check.
    pub name: String,
    /// The result.
    pub verdict: Verdict,
    /// The result in a sentence.
    pub title: String,
    /// Details in Markdown.
    pub summary: String,
    /// The job that reports it.
    pub run: Run,
}

/// The run of a job that reports a check. GitHub knows it by the token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The URL of the job's page.
    pub url: Option<String>,
    /// The number and the commit of its pipeline.
    pub pipeline: Option<(u64, String)>,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The number within the repository.
    pub number: u64,
    /// The account that opened it.
    pub author: Account,
    /// The text in Markdown.
    pub text: String,
    /// True until it is closed.
    pub is_open: bool,
}

/// A failed call of a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeError {
    /// The status of the answer; `None` without one.
    pub status: Option<u16>,
    /// The failure in a sentence. It has no secrets.
    pub message: String,
    /// Remedies.
    pub hints: Vec<String>,
}

impl ForgeError {
    /// True if the token may not make the call, or does not see the object.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self.status, Some(401 | 403 | 404))
    }
}

impl fmt::Display for ForgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ForgeError {}

/// The result of a call.
pub type Called<T> = Result<T, ForgeError>;

/// True if a text has these words, in small or capital letters.
pub(crate) fn has_words(text: &str, words: &str) -> bool {
    text.to_lowercase().contains(&words.to_lowercase())
}

/// A repository at a forge, with the rights of a token.
#[async_trait]
pub trait Forge: fmt::Debug + Send + Sync {
    /// The vendor.
    fn vendor(&self) -> Vendor;

    /// A name or a token with every secret of this forge hidden.
    fn redacted(&self, text: &str) -> String;

    /// The account of the token.
    async fn own_account(&self) -> Called<Account>;

    /// Reads a request.
    async fn request(&self, number: u64) -> Called<Request>;

    /// The merged requests that the forge lists for a commit. [`Request::merge`] tells whether the commit is their merge.
    /// The list may lack [`Request::base`].
    async fn merged_with(&self, commit: &str) -> Called<Vec<Request>>;

    /// The accounts of the authors and committers of a request's commits, as far as the forge knows them.
    async fn committers(&self, request: u64) -> Called<Vec<Account>>;

    /// All comments of a request, oldest first.
    async fn comments(&self, request: u64) -> Called<Vec<Comment>>;

    /// Adds a comment.
    async fn create_comment(&self, request: u64, text: &str) -> Called<()>;

    /// Replaces the text of a comment. Status 404 means that the comment was deleted.
    async fn update_comment(&self, request: u64, comment: u64, text: &str) -> Called<()>;

    /// The comments, and the approving reviews in force, whose texts have these words, in small or capital letters.
    async fn statements(&self, request: u64, words: &str) -> Called<Statements>;

    /// The access of an account to the repository.
    async fn access(&self, account: &Account) -> Called<Access>;

    /// True if an account belongs to a team or group, such as `acme/data`. A group that does not exist, or that the token
    /// does not see, is an error if its name has a slash; a name without one may be that of another account.
    async fn is_member(&self, group: &str, account: &Account) -> Called<bool>;

    /// Reports the result of a check. Returns false if the forge only took a commit status.
    async fn set_check(&self, check: &Check) -> Called<()>;

    /// All issues with a label, open and closed.
    async fn issues(&self, label: &str) -> Called<Vec<Issue>>;

    /// Opens an issue, and returns its number.
    async fn open_issue(&self, title: &str, text: &str, label: &str) -> Called<u64>;

    /// Replaces the text of an issue, and opens or closes it.
    async fn update_issue(&self, issue: u64, text: &str, is_open: bool) -> Called<()>;
}

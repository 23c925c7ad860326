//! Approval of plans: who approved the digest of a plan, and whether these accounts may.

use crate::code_owners::{CodeOwners, Owner};
use crate::forge::{Access, Account, Called, Forge, Request, Statement, Statements, Vendor};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Mutex;

/// The words before the digest in a comment or a review.
pub const COMMAND: &str = "terrace approve";

/// A plan that needs an approval.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The digest of the plan.
    pub digest: &'a str,
    /// The files of the repository that the plan is made of.
    pub paths: &'a [String],
}

/// The answer about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These accounts approved it.
    Approved(Vec<String>),
    /// An approval is missing, for this reason.
    Missing(String),
}

/// A source of approvals.
#[async_trait]
pub trait Approval: Send + Sync {
    /// Decides about a plan.
    ///
    /// # Errors
    /// When the forge cannot be asked.
    async fn decide(&self, candidate: Candidate<'_>) -> Called<Decision>;
}

/// Approval by the owners of the changed files: a comment or an approving review with the line `terrace approve DIGEST`.
///
/// An approval counts if its author may write to the repository, neither opened the request nor wrote a commit of it as
/// far as the forge knows, and owns a file of the plan. Each file needs the approval of an owner, and a file without owners the approval of any such account. Edited comments and
/// reviews do not count, because other accounts may edit them.
#[derive(Debug)]
pub struct OwnersApproval<'a> {
    forge: &'a dyn Forge,
    request: &'a Request,
    owners: CodeOwners,
    statements: Vec<Statement>,
    /// The authors and texts of statements that do not count, each with the reason.
    void: Vec<(Account, String, &'static str)>,
    /// The accounts of the request's commits.
    committers: Vec<Account>,
    /// The access of accounts, read once for all plans.
    access: Mutex<BTreeMap<Account, Access>>,
}

impl<'a> OwnersApproval<'a> {
    /// Reads the comments and reviews of a request. `owners` must be those of the target branch before the merge: the changes
    /// of the request itself do not count.
    ///
    /// # Errors
    /// When the forge does not return them.
    pub async fn read(forge: &'a dyn Forge, request: &'a Request, owners: CodeOwners) -> Called<Self> {
        let own = forge.own_account().await?;
        let Statements { unedited, edited } = forge.statements(request.number, COMMAND).await?;
        let (by_author, statements): (Vec<_>, Vec<_>) = unedited
            .into_iter()
            .filter(|statement| !statement.author.is_same(&own))
            .partition(|statement| statement.author.is_same(&request.author));
        let by_author =
            by_author.into_iter().map(|it| (it.author, it.text, "opened the request and cannot approve it"));
        let edited = edited.into_iter().filter(|(author, _)| !author.is_same(&own));
        let edited = edited.map(|(author, text)| (author, text, "approved it in an edited text, which does not count"));
        let void = by_author.chain(edited).collect();
        let committers = match statements.is_empty() {
            true => Vec::new(),
            false => forge.committers(request.number).await?,
        };
        Ok(Self { forge, request, owners, statements, void, committers, access: Mutex::default() })
    }

    /// The reasons why texts about a digest do not count.
    fn remarks(&self, digest: &str) -> Vec<String> {
        let void = self.void.iter().filter(|(_, text, _)| approves(text, digest));
        let void = void.map(|(author, _, why)| format!("{} {why}", author.name));
        let shortened = self.statements.iter().filter(|statement| approves_beginning(&statement.text, digest));
        let shortened = shortened
            .map(|statement| format!("{} approved a shortened digest: write all of it", statement.author.name));
        let remarks: BTreeSet<String> = void.chain(shortened).collect();
        remarks.into_iter().collect()
    }

    async fn access(&self, account: &Account) -> Called<Access> {
        let mut known = self.access.lock().await;
        if let Some(access) = known.get(account) {
            return Ok(*access);
        }
        let access = self.forge.access(account).await?;
        known.insert(account.clone(), access);
        Ok(access)
    }

    /// True if an account is one of the owners.
    async fn owns(&self, account: &Account, access: Access, owners: &[Owner], notes: &mut Vec<String>) -> bool {
        for owner in owners {
            let is_it = match owner {
                Owner::Role(role) => access >= *role,
                Owner::Email(address) => {
                    notes.push(format!("the forge does not show whose address {address} is"));
                    false
                }
                Owner::Name(name) if account.is_called(name) => true,
                // A group of GitLab may have a name without a slash.
                Owner::Name(name) if name.contains('/') || self.forge.vendor() == Vendor::GitLab => {
                    match self.forge.is_member(name, account).await {
                        Ok(is_member) => is_member,
                        Err(error) => {
                            notes.push(error.message);
                            false
                        }
                    }
                }
                Owner::Name(_) => false,
            };
            if is_it {
                return true;
            }
        }
        false
    }
}

#[async_trait]
impl Approval for OwnersApproval<'_> {
    async fn decide(&self, candidate: Candidate<'_>) -> Called<Decision> {
        let mut approvers: BTreeMap<Account, Access> = BTreeMap::new();
        let mut refused = Vec::new();
        for Statement { author: account, text } in &self.statements {
            if !approves(text, candidate.digest) || approvers.contains_key(account) {
                continue;
            }
            if self.committers.iter().any(|committer| committer.is_same(account)) {
                refused.push(format!("{} wrote a commit of the request", account.name));
                continue;
            }
            match self.access(account).await? {
                Access::Read => refused.push(format!("{} may not write to the repository", account.name)),
                access => drop(approvers.insert(account.clone(), access)),
            }
        }
        if approvers.is_empty() {
            refused.sort();
            refused.dedup();
            if refused.is_empty() {
                let author = &self.request.author.name;
                refused.push(format!("no account but the author {author} or terrace approved it yet"));
            }
            refused.extend(self.remarks(candidate.digest));
            return Ok(Decision::Missing(refused.join("; ")));
        }
        for path in candidate.paths {
            for owners in self.owners.owners(path) {
                let (mut is_approved, mut notes) = (false, Vec::new());
                for (account, access) in &approvers {
                    is_approved = is_approved || self.owns(account, *access, owners, &mut notes).await;
                }
                if !is_approved {
                    notes.sort();
                    notes.dedup();
                    notes.extend(self.remarks(candidate.digest));
                    let notes = notes.into_iter().map(|note| format!("; {note}")).collect::<String>();
                    let owners = owners.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    return Ok(Decision::Missing(format!(
                        "no owner of {path} approved it; its owners are {owners}{notes}"
                    )));
                }
            }
        }
        Ok(Decision::Approved(approvers.into_keys().map(|account| account.name).collect()))
    }
}

/// True if a text has the line `terrace approve DIGEST`, outside of quotes and blocks of code.
fn approves(text: &str, digest: &str) -> bool {
    approved(text).contains(&digest)
}

/// True if a text approves the beginning of a digest instead of all of it.
fn approves_beginning(text: &str, digest: &str) -> bool {
    /// The shortest beginning that no other digest is likely to have.
    const LEAST: usize = 7;
    let is_beginning = |words: &&str| words.len() >= LEAST && words.len() < digest.len() && digest.starts_with(words);
    approved(text).iter().any(|words| is_beginning(&words.trim_end_matches('…')))
}

/// The words after `terrace approve` in the lines of a text, outside of quotes and blocks of code.
fn approved(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open: Option<(char, usize)> = None;
    for line in text.lines() {
        let line_text = line.trim();
        let mark = ['`', '~'].into_iter().find_map(|mark| {
            let count = line_text.chars().take_while(|character| *character == mark).count();
            (count >= 3).then_some((mark, count))
        });
        match (open, mark) {
            (None, Some(_)) => open = mark,
            // A closing fence is as long as the opening one, and has no text.
            (Some((mark, least)), Some((same, count)))
                if mark == same && count >= least && line_text.chars().all(|character| character == mark) =>
            {
                open = None;
            }
            (Some(_), _) => {}
            (None, None) => {
                let is_code = line.starts_with("    ") || line.starts_with('\t');
                let words = line.trim().trim_matches('`').strip_prefix(COMMAND);
                found.extend(words.filter(|rest| !is_code && rest.starts_with(' ')).map(str::trim));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approval_is_a_separate_line() {
        let digest = "ab".repeat(32);
        for text in [
            format!("terrace approve {digest}"),
            format!("Looks good.\r\n\r\n`terrace approve {digest}`\r\nThanks"),
            format!("```\nx\n```\n  terrace approve   {digest}  "),
        ] {
            assert!(approves(&text, &digest), "{text}");
        }
        for text in [
            String::new(),
            "terrace approve".to_owned(),
            format!("terrace approve {}", &digest[..60]),
            format!("> terrace approve {digest}"),
            format!("please write terrace approve {digest}"),
            format!("terrace approve {digest} not"),
            format!("```\nterrace approve {digest}\n```"),
            format!("~~~\n```\nterrace approve {digest}\n~~~"),
            format!("````\n```text\nterrace approve {digest}\n```\n````"),
            format!("```\n```text\nterrace approve {digest}\n```"),
            format!("    terrace approve {digest}"),
            format!("terraceapprove{digest}"),
        ] {
            assert!(!approves(&text, &digest), "{text}");
        }
        for (text, is_beginning) in [
            (&digest[..12], true),
            (&digest[..6], false),
            (digest.as_str(), false),
            ("abababababac", false),
            ("", false),
        ] {
            assert_eq!(approves_beginning(&format!("terrace approve {text}"), &digest), is_beginning, "{text}");
        }
    }
}

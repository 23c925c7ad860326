//! Approval of plans: who approved the digest of a plan, and whether these accounts may.

use crate::code_owners::{CodeOwners, Owner};
use crate::forge::{Access, Account, Called, Forge, Request, Statement, Statements, Vendor};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Mutex;

/// The words before the digest in a comment or a review.
pub const COMMAND: &str = "terrace approve";

/// Most remarks about texts that do not count.
const MOST_REMARKS: usize = 10;

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

/// Approval by the owners of the changed files: a comment or an approving review with the visible line
/// `terrace approve DIGEST` ([`approved`] defines it).
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
        let others = self
            .statements
            .iter()
            .filter_map(|Statement { author, text }| Some(format!("{} {}", author.name, why_not(text, digest)?)));
        let remarks: BTreeSet<String> = void.chain(others).collect();
        remarks.into_iter().take(MOST_REMARKS).collect()
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

/// True if a text has the visible line `terrace approve DIGEST`.
fn approves(text: &str, digest: &str) -> bool {
    approved(text).contains(&digest)
}

/// The reason why a text that looks like an approval does not approve a digest.
fn why_not(text: &str, digest: &str) -> Option<String> {
    /// The shortest beginning that no other digest is likely to have.
    const LEAST: usize = 7;
    let words = approved(text);
    if words.contains(&digest) {
        return None;
    }
    let is_beginning = |words: &&str| {
        let words = words.trim_end_matches('…');
        words.len() >= LEAST && words.len() < digest.len() && digest.starts_with(words)
    };
    if words.iter().any(is_beginning) {
        return Some("approved a shortened digest: write all of it".to_owned());
    }
    if text.lines().any(|line| line.trim().strip_prefix(COMMAND).is_some_and(|rest| rest.trim() == digest)) {
        let message = "named the digest after HTML, a quote, code or a link, which can hide it: write another comment";
        return Some(message.to_owned());
    }
    if text.contains(digest) {
        return Some(format!("named the digest, but not in a separate line with only `{COMMAND} DIGEST`"));
    }
    let is_digest = |words: &&&str| words.len() == digest.len() && words.bytes().all(|byte| byte.is_ascii_hexdigit());
    let other = words.iter().rfind(is_digest)?;
    Some(format!("approved {}…, which is an older plan or one of another stack", other.get(..10)?))
}

/// The words after `terrace approve` in the visible lines of a text that have nothing else.
///
/// Forges do not show everything in a comment, and a reader must see an approval. So these lines do not count: those after
/// an HTML tag or comment (`<details>` among them), and those of a paragraph after a line with `[`, which may begin a
/// link with a title. Nor do quotes, and blocks of code: these show commands, unless the text has nothing but approvals, such
/// as a copy of the block in a report.
fn approved(text: &str) -> Vec<&str> {
    let (mut found, mut in_blocks) = (Vec::new(), Vec::new());
    let mut block: Option<Block> = None;
    let (mut has_other_words, mut is_hidden) = (false, false);
    for line in text.lines() {
        let words = line.trim();
        if let Some(Block { mark, least, is_plain }) = &block {
            match Block::begin(words) {
                // A closing fence is as long as the opening one, and has no text.
                Some(end) if end.mark == *mark && end.least >= *least && words.chars().all(|it| it == *mark) => {
                    block = None;
                }
                _ => match words.strip_prefix(COMMAND).filter(|rest| *is_plain && rest.starts_with(' ')) {
                    Some(rest) => in_blocks.push(rest.trim()),
                    None => has_other_words = has_other_words || !words.is_empty(),
                },
            }
            continue;
        }
        block = Block::begin(words);
        if block.is_some() || words.is_empty() {
            is_hidden = false;
            continue;
        }
        if has_html(words) {
            has_other_words = true;
            break;
        }
        let is_code = line.starts_with("    ") || line.starts_with('\t');
        let rest = words.trim_matches('`').strip_prefix(COMMAND).filter(|rest| !is_code && rest.starts_with(' '));
        is_hidden = is_hidden || words.contains('[') || words.starts_with('>');
        match rest.filter(|_| !is_hidden) {
            Some(rest) => found.push(rest.trim()),
            None => has_other_words = true,
        }
    }
    if !has_other_words && block.is_none() {
        found.extend(in_blocks);
    }
    found
}

/// A block of code, or a quote of GitLab between lines of `>>>`.
struct Block {
    mark: char,
    /// The length of the opening fence.
    least: usize,
    /// True for a block of plain text.
    is_plain: bool,
}

impl Block {
    /// The block that a line opens.
    fn begin(line: &str) -> Option<Self> {
        ['`', '~', '>'].into_iter().find_map(|mark| {
            let least = line.chars().take_while(|character| *character == mark).count();
            let language = line.get(least..)?.trim();
            let is_fence = least >= 3 && if mark == '>' { language.is_empty() } else { !language.contains('`') };
            is_fence.then_some(Self { mark, least, is_plain: mark != '>' && ["", "text"].contains(&language) })
        })
    }
}

/// True for a line with the beginning of an HTML tag or comment.
fn has_html(line: &str) -> bool {
    let begins =
        |rest: &str| rest.starts_with(|next: char| next.is_ascii_alphabetic() || matches!(next, '!' | '/' | '?'));
    line.split('<').skip(1).any(begins)
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
            // The block of a report.
            format!("```text\nterrace approve {digest}\n```\n"),
            format!("\n~~~\n\nterrace approve {digest}\n~~~"),
            format!("1 < 2\nterrace approve {digest}\n<!-- later -->"),
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
            format!("Write this:\n```\nterrace approve {digest}\n```"),
            format!("```text\nterrace approve {digest}\n"),
            format!("```math\nterrace approve {digest}\n```"),
            format!("- terrace approve {digest}"),
            format!("Terrace approve {digest}"),
            format!("> quoted\nterrace approve {digest}"),
            format!(">>>\nterrace approve {digest}\n>>>"),
            // Lines that a reader does not see.
            format!("<!--\nterrace approve {digest}\n-->"),
            format!("see [a](/x '\nterrace approve {digest}\n')"),
            format!("<!-- \n\nterrace approve {digest}\n\n-->\nLooks good"),
            format!("no <!-- text\nterrace approve {digest}\n-->"),
            format!("<details>\n\nterrace approve {digest}\n\n</details>"),
            format!("<!--\n```text\nterrace approve {digest}\n```\n-->"),
            format!("[a]: /x '\nterrace approve {digest}\n'"),
            format!("[a\nterrace approve {digest}\n]: /x"),
            format!("~~~\n```\nterrace approve {digest}\n~~~"),
            format!("````\n```text\nterrace approve {digest}\n```\n````"),
            format!("```\n```text\nterrace approve {digest}\n```"),
            format!("    terrace approve {digest}"),
            format!("terraceapprove{digest}"),
        ] {
            assert!(!approves(&text, &digest), "{text}");
        }
    }

    #[test]
    fn text_without_an_approval_of_the_digest_is_explained() {
        let digest = "ab".repeat(32);
        for (text, why) in [
            (format!("terrace approve {digest}"), None),
            (format!("terrace approve {}", &digest[..12]), Some("a shortened digest")),
            (format!("terrace approve {}…", &digest[..12]), Some("a shortened digest")),
            (format!("terrace approve {}", &digest[..6]), None),
            (format!("- terrace approve {digest}"), Some("a separate line")),
            (format!("Terrace approve {digest}"), Some("a separate line")),
            (format!("terrace approve {}", "cd".repeat(32)), Some("approved cdcdcdcdcd…")),
            ("terrace approve abababababac".to_owned(), None),
            (String::new(), None),
        ] {
            let found = why_not(&text, &digest);
            assert!(
                found.is_some() == why.is_some() && found.unwrap_or_default().contains(why.unwrap_or("")),
                "{text}"
            );
        }
    }
}

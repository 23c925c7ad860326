//! The commits that the merge of a request brought to its branch.
//!
//! Neither the last push nor the base of the request shows them: a push may have several merges, and the base may be old.
//! Names, times and messages of commits prove nothing, because their authors choose them. What nothing proves is an error.

use super::commits::Checkout;
use crate::failure::Failure;
use terrace_forge::{Request, Vendor};

/// The merge of a request.
#[derive(Debug)]
pub(super) struct Merge {
    /// The last commit of the target branch before the merge.
    pub(super) before: String,
    /// The commit that the merge put at the end of the target branch.
    pub(super) commit: String,
}

impl Merge {
    /// Finds the merge of a request by a merge commit, a squash, a rebase or a fast-forward. `end` is the commit of the
    /// target branch before the merge, if the job's push shows it: the commit before the push, or the merge of the request
    /// before this one.
    ///
    /// # Errors
    /// When the forge does not name the merge, the checkout does not have it, or nothing proves where it begins.
    pub(super) fn find(
        vendor: Vendor,
        checkout: &Checkout,
        request: &Request,
        end: Option<&str>,
    ) -> Result<Self, Failure> {
        let number = format!("{}{}", vendor.sign(), request.number);
        let named = request.merge.as_deref().ok_or_else(|| {
            Failure::new(format!("{} does not name the merge of {number}", vendor.name()))
                .hint("run the job again later")
        })?;
        let commit = checkout.commit(named)?;
        if !checkout.is_ancestor(&commit, "HEAD")? {
            return Err(Failure::new(format!("the checkout does not contain the merge {commit} of {number}"))
                .hint(format!("check out the branch `{}`", request.target)));
        }
        let parents = checkout.parents(&commit)?;
        let first = parents.first().ok_or_else(|| {
            Failure::new(format!("the clone does not have the parent of the commit `{commit}`"))
                .hint("clone the whole history: `fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` at GitLab")
        })?;
        let before = if commit == request.head {
            fast_forward(checkout, request, &number, end)?
        } else if !is_own(request, &parents) {
            return Err(Failure::new(format!(
                "{number} was merged together with another request: the merge {commit} has other commits, too"
            ))
            .hint("approve and apply the plans of the other request: it has the changes of both"));
        } else if parents.len() == 2 || request.squash.as_ref() == Some(&commit) {
            first.clone()
        } else if let Some(end) = end {
            end.to_owned()
        } else if is_whole(checkout, first, &commit, &request.head)? {
            first.clone()
        } else {
            return Err(Failure::new(format!(
                "nothing proves which commits the merge {commit} of {number} brought: it may be a squash, or the last commit of a rebase"
            ))
            .hint("run the job of the push again that merged it")
            .hint(match vendor {
                Vendor::GitHub => format!(
                    "after a squash of a branch that was up to date, fetch it: `git fetch origin refs/pull/{}/head`",
                    request.number
                ),
                Vendor::GitLab => "name no merge request, but run `terrace pr apply` in the job of that push".to_owned(),
            }));
        };
        Ok(Self { before, commit })
    }
}

/// False if the merge commit of a request has a branch with other commits, too. A forge also regards a request as merged if
/// its head arrives with another request, and names the merge of the latter.
/// <https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/incorporating-changes-from-a-pull-request/about-pull-request-merges#indirect-merges>
pub(super) fn is_own(request: &Request, parents: &[String]) -> bool {
    if request.merge.as_ref() == Some(&request.head) {
        return true;
    }
    match parents {
        [_, second] => *second == request.head || request.squash.as_ref() == Some(second),
        [_] => true,
        _ => false,
    }
}

/// The commit before a fast-forward.
fn fast_forward(checkout: &Checkout, request: &Request, number: &str, end: Option<&str>) -> Result<String, Failure> {
    if let Some(end) = end {
        return Ok(end.to_owned());
    }
    let before = checkout.merge_base(&checkout.commit(&request.base)?, &request.head)?;
    match before == request.head {
        false => Ok(before),
        true => Err(Failure::new(format!("nothing proves which commits the fast-forward of {number} brought"))
            .hint("run the job of the push again that merged it")),
    }
}

/// True if a commit has exactly the changes of a branch, each from the file's content where the branch began: it is not the
/// last one of a rebase, whose other changes came before it. False if the clone does not have the branch.
fn is_whole(checkout: &Checkout, parent: &str, commit: &str, head: &str) -> Result<bool, Failure> {
    let Some(head) = checkout.find(head)? else { return Ok(false) };
    let begin = checkout.merge_base(parent, &head)?;
    Ok(checkout.difference(&begin, &head)? == checkout.difference(parent, commit)?)
}

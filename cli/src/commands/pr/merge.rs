//! The commits that the merge of a request brought to its branch.
//!
//! Neither the last push nor the base of the request shows them: a push may have several merges, and the base may be old.

use super::commits::Checkout;
use super::publish::failure;
use crate::failure::Failure;
use terrace_forge::{Forge, Request};

/// The merge of a request.
#[derive(Debug)]
pub(super) struct Merge {
    /// The last commit of the target branch before the merge.
    pub(super) before: String,
    /// The commit that the merge put at the end of the target branch.
    pub(super) commit: String,
}

impl Merge {
    /// Finds the merge of a request by a merge commit, a squash, a rebase or a fast-forward.
    ///
    /// # Errors
    /// When the forge fails or does not name the merge, and when the checkout does not have it.
    pub(super) async fn find(forge: &dyn Forge, checkout: &Checkout, request: &Request) -> Result<Self, Failure> {
        let number = format!("{}{}", forge.vendor().sign(), request.number);
        let named = request.merge.as_deref().ok_or_else(|| {
            Failure::new(format!("{} does not name the merge of {number}", forge.vendor().name()))
                .hint("run the job again later")
        })?;
        let commit = checkout.commit(named)?;
        if !checkout.is_ancestor(&commit, "HEAD")? {
            return Err(Failure::new(format!("the checkout does not contain the merge {commit} of {number}"))
                .hint(format!("check out the branch `{}`", request.target)));
        }
        if commit == request.head {
            let before = checkout.merge_base(&checkout.commit(&request.base)?, &commit)?;
            return Ok(Self { before, commit });
        }
        let mut before = first_parent(checkout, &commit)?;
        if checkout.parents(&commit)?.len() == 1 {
            // A squash has another author time than the last commit of the request; a rebase keeps them.
            let mut left = forge.rebased(request.number).await.map_err(failure)?;
            let mut walked = commit.clone();
            while checkout.parents(&walked)?.len() == 1 {
                let authored = checkout.authored(&walked)?;
                // A rebase may leave out commits.
                let Some(position) = left.iter().rposition(|commit| *commit == authored) else { break };
                left.truncate(position);
                walked = first_parent(checkout, &walked)?;
                before.clone_from(&walked);
            }
        }
        Ok(Self { before, commit })
    }
}

fn first_parent(checkout: &Checkout, commit: &str) -> Result<String, Failure> {
    checkout.parents(commit)?.into_iter().next().ok_or_else(|| {
        Failure::new(format!("the clone does not have the parent of the commit `{commit}`"))
            .hint("clone the whole history: `fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` at GitLab")
    })
}

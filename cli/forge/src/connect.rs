//! Connects to a repository at a forge outside a job.

use crate::forge::{Forge, Vendor};
use crate::github::GitHub;
use crate::gitlab::{GitLab, TokenKind};
use secrecy::SecretString;
use std::sync::Arc;

/// A repository at the API of a URL: `OWNER/NAME` at GitHub, the path or number of a project at GitLab. Calls nothing.
///
/// # Errors
/// When the URL or the name is invalid.
pub fn connect(vendor: Vendor, url: &str, repository: &str, token: &SecretString) -> Result<Arc<dyn Forge>, String> {
    Ok(match vendor {
        Vendor::GitHub => Arc::new(GitHub::new(url, None, repository, token)?),
        Vendor::GitLab => Arc::new(GitLab::new(url, repository, TokenKind::Access, token.clone())?),
    })
}

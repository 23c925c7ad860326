//! Derives a version from Git. Compiled into the build script and, for its tests, into the crate.

/// Properties of the built commit in Git.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkout {
    /// The tags that point at the commit.
    pub(crate) tags: Vec<String>,
    /// The branch, if any.
    pub(crate) branch: Option<String>,
    /// Number of commits since the last release, or since the beginning.
    pub(crate) distance: Option<u32>,
    /// The short hash.
    pub(crate) commit: Option<String>,
}

/// The version: `v1.2.3` gives `1.2.3`, the branch `1.2.x` gives `1.2.0-dev.N+commit`, all else `0.0.0+commit`.
pub(crate) fn version(checkout: &Checkout) -> String {
    if let Some(tagged) = checkout.tags.iter().filter_map(|tag| tagged(tag)).max_by_key(|(order, _)| *order) {
        return tagged.1;
    }
    let commit = checkout.commit.as_deref().unwrap_or("unknown");
    match checkout.branch.as_deref().and_then(line) {
        Some((major, minor)) => format!("{major}.{minor}.0-dev.{}+{commit}", checkout.distance.unwrap_or(0)),
        None => format!("0.0.0+{commit}"),
    }
}

/// The version of a tag, and its position among others.
fn tagged(tag: &str) -> Option<((u64, u64, u64), String)> {
    let text = tag.strip_prefix('v')?;
    let mut parts = text.split('.').map(number);
    let order = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then(|| (order, text.to_owned()))
}

/// Major and minor of a release branch: `1.2.x`.
fn line(branch: &str) -> Option<(u64, u64)> {
    let (major, minor) = branch.strip_suffix(".x")?.split_once('.')?;
    Some((number(major)?, number(minor)?))
}

/// Parses a number of a version: digits, without leading zeros.
fn number(text: &str) -> Option<u64> {
    let is_plain = text == "0" || !text.starts_with('0');
    (is_plain && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout(tags: &[&str], branch: Option<&str>) -> Checkout {
        Checkout {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            branch: branch.map(str::to_owned),
            distance: Some(7),
            commit: Some("abc1234".to_owned()),
        }
    }

    #[test]
    fn tag_is_the_version() {
        assert_eq!(version(&checkout(&["v1.2.3"], Some("main"))), "1.2.3");
        assert_eq!(version(&checkout(&["nightly", "v1.2.9", "v1.2.10"], None)), "1.2.10");
    }

    #[test]
    fn release_branch_counts_its_commits() {
        assert_eq!(version(&checkout(&[], Some("1.2.x"))), "1.2.0-dev.7+abc1234");
        assert_eq!(version(&checkout(&["v1.2"], Some("0.10.x"))), "0.10.0-dev.7+abc1234");
    }

    #[test]
    fn other_commits_have_version_zero() {
        for branch in ["main", "1.x", "1.2.3.x", "01.2.x", "a.b.x", ".x"] {
            assert_eq!(version(&checkout(&["release", "v1", "v1.2.3-rc.1"], Some(branch))), "0.0.0+abc1234");
        }
        assert_eq!(version(&checkout(&[], None)), "0.0.0+abc1234");
    }

    #[test]
    fn version_without_git_is_unknown() {
        assert_eq!(version(&Checkout::default()), "0.0.0+unknown");
    }
}

//! The file CODEOWNERS: the accounts and groups that own paths.
//!
//! GitHub: <https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners>.
//! GitLab: <https://docs.gitlab.com/user/project/codeowners/reference/>. The last matching rule wins; at GitLab, the last one
//! of each section.

use crate::forge::{Access, Vendor};
use globset::{GlobBuilder, GlobMatcher};
use std::fmt;

/// The size limit of the file, in bytes. GitHub ignores a larger one.
pub const LARGEST: usize = 3 << 20;

/// The owner of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// An account or a group, without `@`: `jane`, `acme/data`.
    Name(String),
    /// All accounts with at least this access (GitLab's `@@maintainer`).
    Role(Access),
    /// An account by its address, which forges do not show.
    Email(String),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without `@`: a comment must not notify its owners.
            Self::Name(name) => f.write_str(name),
            Self::Role(Access::Maintain) => f.write_str("all maintainers"),
            Self::Role(_) => f.write_str("all developers"),
            Self::Email(address) => f.write_str(address),
        }
    }
}

/// The rules of a file.
#[derive(Debug, Clone, Default)]
pub struct CodeOwners {
    sections: Vec<Section>,
}

/// The rules of a section. GitHub has one section without a name.
#[derive(Debug, Clone, Default)]
struct Section {
    /// The name in small letters.
    name: String,
    is_optional: bool,
    default_owners: Vec<Owner>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    patterns: Vec<GlobMatcher>,
    owners: Vec<Owner>,
    /// True for GitLab's `!path`, which no later rule of the section includes again.
    is_exclusion: bool,
}

/// The paths of the file, in the order in which the vendor looks for it.
#[must_use]
pub const fn places(vendor: Vendor) -> [&'static str; 3] {
    match vendor {
        Vendor::GitHub => [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"],
        Vendor::GitLab => ["CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"],
    }
}

impl CodeOwners {
    /// Parses a file. As the vendors do, it skips lines with errors.
    #[must_use]
    pub fn parse(vendor: Vendor, text: &str) -> Self {
        let mut sections = vec![Section::default()];
        let mut current = 0;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if vendor == Vendor::GitLab
                && let Some(heading) = Section::heading(line)
            {
                // Sections with the same name are combined.
                current = match sections.iter().position(|section| section.name == heading.name) {
                    Some(position) => position,
                    None => {
                        sections.push(heading);
                        sections.len() - 1
                    }
                };
                continue;
            }
            let Some(section) = sections.get_mut(current) else { continue };
            section.rules.extend(Rule::parse(vendor, line, &section.default_owners));
        }
        Self { sections }
    }

    /// The owners of a path: one list for each section with a rule for it. Empty for a path without owners.
    #[must_use]
    pub fn owners(&self, path: &str) -> Vec<&[Owner]> {
        let required = self.sections.iter().filter(|section| !section.is_optional);
        required.filter_map(|section| section.owners(path)).filter(|owners| !owners.is_empty()).collect()
    }
}

impl Section {
    /// Parses `^[NAME][2] @owner`.
    fn heading(line: &str) -> Option<Self> {
        let (is_optional, rest) = match line.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (name, mut rest) = rest.strip_prefix('[')?.split_once(']')?;
        if let Some((_, after)) = rest.strip_prefix('[').and_then(|count| count.split_once(']')) {
            rest = after;
        }
        let default_owners = owners(Vendor::GitLab, rest.split_whitespace());
        Some(Self { name: name.trim().to_lowercase(), is_optional, default_owners, rules: Vec::new() })
    }

    fn owners(&self, path: &str) -> Option<&[Owner]> {
        let matching: Vec<&Rule> = self.rules.iter().filter(|rule| rule.matches(path)).collect();
        if matching.iter().any(|rule| rule.is_exclusion) {
            return None;
        }
        matching.last().map(|rule| rule.owners.as_slice())
    }
}

impl Rule {
    fn parse(vendor: Vendor, line: &str, default_owners: &[Owner]) -> Option<Self> {
        let (pattern, rest) = split_pattern(line);
        let (is_exclusion, pattern) = match pattern.strip_prefix('!') {
            Some(rest) if vendor == Vendor::GitLab => (true, rest.to_owned()),
            // GitHub has no exclusions and no ranges.
            Some(_) => return None,
            None => (false, pattern),
        };
        if vendor == Vendor::GitHub && pattern.contains(['[', ']']) {
            return None;
        }
        let words: Vec<&str> = rest.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        let mut owners = owners(vendor, words.iter().copied());
        if owners.is_empty() && !words.is_empty() {
            // The words name no account. GitHub skips the line; at GitLab no account can approve for it.
            if vendor == Vendor::GitHub {
                return None;
            }
            owners = words.into_iter().map(|word| Owner::Email(word.to_owned())).collect();
        } else if owners.is_empty() {
            owners = default_owners.to_vec();
        }
        Some(Self { patterns: globs(vendor, &pattern)?, owners, is_exclusion })
    }

    fn matches(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_match(path))
    }
}

/// The pattern of a line without its escapes of blanks and number signs, and the rest of the line.
fn split_pattern(line: &str) -> (String, &str) {
    let (mut pattern, mut is_escaped) = (String::new(), false);
    for (position, character) in line.char_indices() {
        match character {
            _ if is_escaped => {
                if !matches!(character, ' ' | '#') {
                    pattern.push('\\');
                }
                pattern.push(character);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            character if character.is_whitespace() => return (pattern, line.get(position..).unwrap_or_default()),
            character => pattern.push(character),
        }
    }
    (pattern, "")
}

fn owners<'a>(vendor: Vendor, words: impl Iterator<Item = &'a str>) -> Vec<Owner> {
    let owner = |word: &str| match word.strip_prefix("@@") {
        Some(role) if vendor == Vendor::GitLab => match role.to_lowercase().trim_end_matches('s') {
            "developer" => Some(Owner::Role(Access::Write)),
            "maintainer" | "owner" => Some(Owner::Role(Access::Maintain)),
            _ => None,
        },
        _ => match word.strip_prefix('@') {
            Some(name) if !name.is_empty() => Some(Owner::Name(name.to_owned())),
            Some(_) => None,
            None => word.contains('@').then(|| Owner::Email(word.to_owned())),
        },
    };
    words.filter_map(owner).collect()
}

/// The globs of a pattern: of the path itself, and of everything in a folder with this path.
fn globs(vendor: Vendor, pattern: &str) -> Option<Vec<GlobMatcher>> {
    let (is_folder, bare) = match pattern.strip_suffix('/') {
        Some(bare) => (true, bare),
        None => (false, pattern),
    };
    let bare_name = bare.trim_start_matches('/');
    if bare_name.is_empty() {
        // `/` alone is the whole repository.
        return is_folder.then(|| glob("**")).flatten().map(|all| vec![all]);
    }
    let is_anchored = match vendor {
        // As in .gitignore: a slash at the beginning or in the middle.
        Vendor::GitHub => bare.contains('/'),
        // GitLab: a path without a slash at the beginning matches at any depth.
        Vendor::GitLab => bare.starts_with('/'),
    };
    let path =
        if is_anchored || bare_name.starts_with("**/") { bare_name.to_owned() } else { format!("**/{bare_name}") };
    let within = format!("{path}/**");
    if is_folder {
        return Some(vec![glob(&within)?]);
    }
    // `docs/*` matches the files of the folder, not those of folders within.
    let is_flat = bare.contains('/') && bare.ends_with("/*");
    let mut all = vec![glob(&path)?];
    if !is_flat {
        all.push(glob(&within)?);
    }
    Some(all)
}

fn glob(pattern: &str) -> Option<GlobMatcher> {
    // Alternatives and ranges are not part of the syntax.
    let literal: String = pattern
        .chars()
        .flat_map(|character| match character {
            '{' | '}' | '[' | ']' => vec!['\\', character],
            character => vec![character],
        })
        .collect();
    let glob = GlobBuilder::new(&literal).literal_separator(true).backslash_escape(true).build().ok()?;
    Some(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(vendor: Vendor, text: &str, path: &str) -> String {
        let owners = CodeOwners::parse(vendor, text);
        let name = |owner: &Owner| match owner {
            Owner::Name(name) | Owner::Email(name) => name.clone(),
            Owner::Role(role) => format!("{role:?}"),
        };
        let lists = owners.owners(path).into_iter().map(|list| list.iter().map(name).collect::<Vec<_>>().join(","));
        lists.collect::<Vec<_>>().join(";")
    }

    /// The example of GitHub's page, with its explanations as expectations.
    #[test]
    fn last_match_of_github_wins() {
        let text = "*       @global-owner1 @global-owner2\n*.js    @js-owner #This is an inline comment.\n\
                    *.go docs@example.com\n*.txt @octo-org/octocats\n/build/logs/ @doctocat\ndocs/* docs-owner@example.com\n\
                    apps/ @octocat\n/docs/ @doctocat\n/scripts/ @doctocat @octocat\n**/logs @logs-owner\n\
                    /apps/ @octocat\n/apps/github\n/apps/github/doctocat @doctocat\n!secret @nobody\n[x] @nobody\n";
        for (path, owners) in [
            ("README.md", "global-owner1,global-owner2"),
            ("src/a.js", "js-owner"),
            ("a.go", "docs@example.com"),
            ("x/y.txt", "octo-org/octocats"),
            ("build/logs/a/b", "logs-owner"),
            ("x/build/logs/a", "logs-owner"),
            ("x/docs/a", "global-owner1,global-owner2"),
            ("docs/a/b", "doctocat"),
            ("x/apps/a", "octocat"),
            ("scripts/x", "doctocat,octocat"),
            ("apps/github", ""),
            ("apps/github/x", ""),
            ("apps/github/doctocat", "doctocat"),
            ("x", "global-owner1,global-owner2"),
            ("secret", "global-owner1,global-owner2"),
        ] {
            assert_eq!(owned(Vendor::GitHub, text, path), owners, "{path}");
        }
        assert_eq!(owned(Vendor::GitHub, "docs/* @a", "docs/x"), "a");
        assert_eq!(owned(Vendor::GitHub, "docs/* @a", "docs/x/y"), "", "not in folders within");
        assert_eq!(owned(Vendor::GitHub, "/a @a\n", "b/a"), "");
        assert_eq!(owned(Vendor::GitHub, "a{b,c} @a\n", "ab"), "", "no alternatives");
        assert_eq!(owned(Vendor::GitHub, "* @a", ".hidden/file"), "a");
        assert_eq!(owned(Vendor::GitHub, "* @a\n/prod/ team", "prod/x"), "a", "a line without a valid owner");
        assert_eq!(owned(Vendor::GitHub, "* @a\n/prod/ # none", "prod/x"), "", "a line without owners");
    }

    #[test]
    fn sections_of_gitlab_are_separate() {
        let text = "* @all\n/docs/ @docs\n[Data][2] @data\nproducts/\n/products/a/ @a @@maintainers\n^[Optional]\n* @nobody\n\
                    [data]\n!/products/x/\npath\\ with\\ blanks/ @blank\n";
        for (path, owners) in [
            ("README.md", "all"),
            ("docs/x", "docs"),
            ("products/b", "all;data"),
            ("deep/products/b", "all;data"),
            ("products/a/b", "all;a,Maintain"),
            ("products/x/y", "all"),
            ("path with blanks/x", "all;blank"),
        ] {
            assert_eq!(owned(Vendor::GitLab, text, path), owners, "{path}");
        }
        assert_eq!(owned(Vendor::GitLab, "internal/README.md @a", "x/internal/README.md"), "a");
        assert_eq!(owned(Vendor::GitLab, "/README.md @a", "x/README.md"), "");
        assert_eq!(owned(Vendor::GitLab, "\\#x @a", "#x"), "a");
        assert_eq!(owned(Vendor::GitLab, "* @a\n/prod/ team", "prod/x"), "team", "no account can approve");
    }
}

//! A folder of a Git repository, as users name it: `acme/orders`, `https://host/group/orders#subfolder`, `file:///…`.

use std::fmt;

/// The forge of names such as `acme/orders`.
const GITHUB: &str = "https://github.com/";

/// A folder of a Git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// URL of the repository, with the scheme `https` or `file`, without credentials.
    pub url: String,
    /// Folder in it with `/` between its parts; empty for the top folder.
    pub folder: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.folder.as_str() {
            "" => f.write_str(&self.url),
            folder => write!(f, "{}#{folder}", self.url),
        }
    }
}

/// A text that names no repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationError {
    /// The mistake, as a predicate. It does not repeat the text, which may hold a password.
    pub message: &'static str,
    /// The remedy.
    pub hint: &'static str,
}

impl Location {
    /// Parses `OWNER/REPOSITORY[/FOLDER]` of GitHub, or the URL of a repository with an optional `#FOLDER`.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        const EXPECTED: &str = "write `OWNER/REPOSITORY` of GitHub, or a URL such as \
                                `https://gitlab.example.com/data/orders` or `file:///srv/git/orders.git`";
        let wrong = |message| LocationError { message, hint: EXPECTED };
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong("has white space"));
        }
        let (url, folder) = match text.split_once("://") {
            Some((scheme, rest)) => {
                if !matches!(scheme, "https" | "file") {
                    return Err(wrong("has a scheme that terrace does not poll: expected `https` or `file`"));
                }
                let (place, folder) = rest.split_once('#').unwrap_or((rest, ""));
                let host = place.split('/').next().unwrap_or_default();
                if host.contains('@') || place.contains('?') {
                    return Err(LocationError {
                        message: "has credentials or a query",
                        hint: "remove them: the token belongs into the variable GITHUB_TOKEN or GITLAB_TOKEN",
                    });
                }
                let is_complete = match scheme {
                    "https" => place.split_once('/').is_some_and(|(host, path)| !host.is_empty() && !path.is_empty()),
                    _ => place.len() > 1 && place.starts_with('/'),
                };
                if !is_complete {
                    return Err(wrong("is an incomplete URL"));
                }
                (format!("{scheme}://{}", place.trim_end_matches('/')), folder)
            }
            None => {
                let mut parts = text.splitn(3, '/');
                let (Some(owner), Some(name)) = (parts.next(), parts.next()) else {
                    return Err(wrong("names no repository"));
                };
                if !is_name(owner) || !is_name(name) {
                    return Err(wrong("names no repository"));
                }
                (format!("{GITHUB}{owner}/{name}"), parts.next().unwrap_or_default())
            }
        };
        let folder = folder.trim_end_matches('/');
        if !folder.is_empty() && folder.split('/').any(|part| matches!(part, "" | "." | ".." | ".git")) {
            return Err(LocationError {
                message: "names a folder outside the repository",
                hint: "write the folder without `.` and `..`, relative to the top folder of the repository",
            });
        }
        Ok(Self { url, folder: folder.to_owned() })
    }

    /// Host and path of an `https` URL, without the ending `.git`; `None` for files.
    #[must_use]
    pub fn host_and_path(&self) -> Option<(&str, &str)> {
        let (host, path) = self.url.strip_prefix("https://")?.split_once('/')?;
        Some((host, path.strip_suffix(".git").unwrap_or(path)))
    }

    /// A path in the repository for a path in the folder.
    #[must_use]
    pub fn within(&self, path: &str) -> String {
        if self.folder.is_empty() { path.to_owned() } else { format!("{}/{path}", self.folder) }
    }
}

/// True for a name of a user or a repository at GitHub.
fn is_name(text: &str) -> bool {
    let is_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && !text.starts_with(['-', '.']) && text.chars().all(is_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls_lead_to_repositories() {
        for (text, url, folder) in [
            ("acme/orders", "https://github.com/acme/orders", ""),
            ("acme/orders/etl/daily", "https://github.com/acme/orders", "etl/daily"),
            ("https://gitlab.example.com/a/b/c.git", "https://gitlab.example.com/a/b/c.git", ""),
            ("https://github.com/acme/orders/#etl/", "https://github.com/acme/orders", "etl"),
            ("file:///srv/git/orders.git#etl", "file:///srv/git/orders.git", "etl"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!((location.url.as_str(), location.folder.as_str()), (url, folder), "{text}");
        }
        let location = Location::parse("https://gitlab.example.com/a/b/c.git#x").unwrap();
        assert_eq!(location.host_and_path(), Some(("gitlab.example.com", "a/b/c")));
        assert_eq!(location.within("Dockerfile"), "x/Dockerfile");
    }

    #[test]
    fn other_texts_are_refused_without_their_secrets() {
        for text in [
            "",
            "orders",
            "-x/orders",
            "acme/..",
            "acme/orders/../x",
            "file://",
            "file://host",
            "https://host",
            "ssh://git@host/x",
            "ext::sh",
            "git@host:x",
            "https:///x",
            "file:///x#/etc",
            "file:///x#a//b",
            "a b/c",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
        let error = Location::parse("https://user:hush@host/x").unwrap_err();
        assert!(!format!("{error:?}").contains("hush") && error.hint.contains("GITHUB_TOKEN"));
    }
}

//! Names of destinations, and addresses of their readers.
//!
//! `data/out`, `/srv/data`, `file:///srv/data`, `s3://bucket/prefix`, `gs://bucket/prefix`, `https://host/path`. Below
//! it, each sync has its own name, and below that the last part of each source folder: `data/committees` of `weekly` is
//! copied to `s3://bucket/prefix/weekly/committees/`.

use super::StorageError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use std::path::{Component, Path, PathBuf};

/// Characters that stay in a part of an address: the unreserved ones of RFC 3986.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A local folder.
    Folder(PathBuf),
    /// A bucket of S3, with a prefix of names.
    S3 {
        /// The bucket.
        bucket: String,
        /// Parts joined by `/`; may be empty.
        prefix: String,
    },
    /// A bucket of Google Cloud Storage, with a prefix of names.
    Gcs {
        /// The bucket.
        bucket: String,
        /// Parts joined by `/`; may be empty.
        prefix: String,
    },
    /// A web server that accepts `PUT` below this address, which ends in `/`.
    Web(Url),
}

impl Place {
    /// Parses a destination; relative folders are relative to the project.
    ///
    /// # Errors
    /// When it is not valid; the message contains no password.
    pub fn parse(text: &str, project: &Path) -> Result<Self, StorageError> {
        let wrong = |why: &str| {
            StorageError::invalid("destination", format!("`destination` {why}"))
                .hint("write a folder, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `https://HOST/PATH`")
        };
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(wrong("is empty or has control characters"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.strip_prefix("file:") {
                Some(path) => Ok(Self::Folder(folder(project, path))),
                None => Ok(Self::Folder(folder(project, text))),
            };
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let url = Url::parse(text).map_err(|error| wrong(&format!("is not an address: {error}")))?;
                let path = url.to_file_path().map_err(|()| wrong("names a folder on another machine"))?;
                Ok(Self::Folder(folder(project, &path.to_string_lossy())))
            }
            "s3" | "s3a" => bucket(rest).map(|(bucket, prefix)| Self::S3 { bucket, prefix }).map_err(wrong),
            "gs" | "gcs" => bucket(rest).map(|(bucket, prefix)| Self::Gcs { bucket, prefix }).map_err(wrong),
            "http" | "https" => web(text).map(Self::Web).map_err(|why| wrong(&why)),
            _ => Err(wrong("has an unsupported scheme")),
        }
    }

    /// Returns true if reads need no network.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Address at which programs can load the file with that key. For a folder it is the path, as dpp's `load_resource`
    /// expects. For S3 and Google Cloud Storage it is the address of the object, and not of its page in a console.
    #[must_use]
    pub fn address(&self, key: &str, endpoints: &Endpoints, public: Option<&str>) -> String {
        let encoded = encoded(key);
        match (public, self) {
            (Some(base), _) => format!("{}/{encoded}", base.trim_end_matches('/')),
            (None, Self::Folder(folder)) => folder.join(key).display().to_string(),
            (None, Self::S3 { bucket, prefix }) => {
                format!("{}/{}", endpoints.s3(), encoded_all(&[bucket, prefix, key]))
            }
            (None, Self::Gcs { bucket, prefix }) => {
                format!("{}/{}", endpoints.gcs(), encoded_all(&[bucket, prefix, key]))
            }
            (None, Self::Web(base)) => format!("{base}{encoded}"),
        }
    }

    /// The place, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::S3 { bucket, prefix } => format!("s3://{bucket}/{prefix}"),
            Self::Gcs { bucket, prefix } => format!("gs://{bucket}/{prefix}"),
            Self::Web(url) => url.to_string(),
        }
    }
}

/// Addresses of the storage services, without a slash at the end.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    /// Address of S3, if it is not Amazon's.
    pub s3: Option<String>,
    /// Region of S3.
    pub region: String,
    /// Address of Google Cloud Storage, if it is not Google's.
    pub gcs: Option<String>,
}

impl Endpoints {
    pub(super) fn s3(&self) -> String {
        let own = || format!("https://s3.{}.amazonaws.com", self.region);
        self.s3.as_deref().map_or_else(own, |endpoint| endpoint.trim_end_matches('/').to_owned())
    }

    pub(super) fn gcs(&self) -> String {
        let own = "https://storage.googleapis.com";
        self.gcs.as_deref().unwrap_or(own).trim_end_matches('/').to_owned()
    }
}

/// Returns true if traffic to this address could be intercepted: it is not encrypted, and leaves this machine.
#[must_use]
pub fn is_interceptable(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return true };
    let host = url.host_str().unwrap_or_default();
    let number = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let is_loopback = host == "localhost" || number.is_ok_and(|number| number.is_loopback());
    url.scheme() != "https" && !is_loopback
}

/// Encodes the parts of a key for an address, but not the slashes between them.
#[must_use]
pub fn encoded(key: &str) -> String {
    key.split('/').map(|part| utf8_percent_encode(part, PART).to_string()).collect::<Vec<_>>().join("/")
}

fn encoded_all(parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().filter(|part| !part.is_empty()).map(|part| encoded(part)).collect();
    parts.join("/")
}

fn folder(project: &Path, path: &str) -> PathBuf {
    let whole = project.join(path);
    let mut plain = PathBuf::new();
    for component in whole.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            other => plain.push(other),
        }
    }
    plain
}

fn bucket(rest: &str) -> Result<(String, String), &'static str> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if bucket.is_empty() || !bucket.chars().all(is_of_name) {
        return Err("has no valid name of a bucket");
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("has an empty part, `.` or `..`");
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

fn web(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user: use the setting `webToken` instead".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || !url.has_host() {
        return Err("has more than host, port and path".to_owned());
    }
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().push("");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        Place::parse(text, Path::new("/project")).map(|place| place.shown()).map_err(|error| error.to_string())
    }

    #[test]
    fn destinations_are_parsed() {
        for (text, place) in [
            ("out", "/project/out"),
            ("./a/../b/", "/project/b"),
            ("file:out", "/project/out"),
            ("file:///srv/a%20b", "/srv/a b"),
            ("/srv/data", "/srv/data"),
            ("s3://bucket", "s3://bucket/"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/a", "gs://bucket/a"),
            ("https://host/a", "https://host/a/"),
            ("http://127.0.0.1:80/a/", "http://127.0.0.1/a/"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(place), "{text}");
        }
    }

    #[test]
    fn invalid_destination_is_refused_without_its_password() {
        for text in
            ["", "s3://", "s3://a b", "s3://b/../c", "gs://b//c", "ftp://host", "file://host/a", "https://h/?a", "a\nb"]
        {
            assert!(parsed(text).is_err(), "{text}");
        }
        let error = parsed("https://me:hunter2@host/").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn addresses_of_files_are_encoded() {
        let endpoints = Endpoints { region: "eu-west-1".to_owned(), ..Endpoints::default() };
        let address = |text: &str, public| {
            Place::parse(text, Path::new("/project")).unwrap().address("n/a b#.csv", &endpoints, public)
        };
        assert_eq!(address("s3://b/p", None), "https://s3.eu-west-1.amazonaws.com/b/p/n/a%20b%23.csv");
        assert_eq!(address("gs://b", None), "https://storage.googleapis.com/b/n/a%20b%23.csv");
        assert_eq!(address("https://h/p", None), "https://h/p/n/a%20b%23.csv");
        assert_eq!(address("out", None), "/project/out/n/a b#.csv");
        assert_eq!(address("out", Some("https://cdn/")), "https://cdn/n/a%20b%23.csv");
    }

    #[test]
    fn unencrypted_remote_address_is_detected() {
        for (is_read, address) in [
            (true, "http://store.example.com"),
            (true, "http://localhost.example.com/"),
            (false, "https://store.example.com"),
            (false, "http://127.0.0.1:9000/a"),
            (false, "http://[::1]:9000/a"),
        ] {
            assert_eq!(is_interceptable(address), is_read, "{address}");
        }
    }
}

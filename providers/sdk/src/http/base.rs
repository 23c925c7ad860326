//! Base URLs. Paths are built from segments, so that no name and no id can change the target.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use std::fmt;

/// Unencoded characters in a part of a query.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL of a vendor's interface: `https://airbyte.example.com/api/public/v1`.
#[derive(Clone, PartialEq, Eq)]
pub struct Base(Url);

impl Base {
    /// Reads a configured URL; without a scheme, it is `https`.
    ///
    /// # Errors
    /// The reason, without the URL: it may contain a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err("not an `http` or `https` URL".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it contains a user, which belongs in its own settings".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it contains more than host, port and path".to_owned());
        }
        // A base always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
        }
        Ok(Self(url))
    }

    /// The base with a fixed path below it: `/api/public/v1`.
    #[must_use]
    pub fn below(&self, path: &'static str) -> Self {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/').filter(|segment| !segment.is_empty()));
        }
        Self(url)
    }

    /// The host with a non-default port: the key for the limit on concurrent requests.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The URL for messages, without a trailing slash; it contains no secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The URL of a path below the base: each `{…}` of the template takes a value.
    pub(super) fn at(&self, template: &str, values: &[String], query: &[(String, String)]) -> Result<Url, String> {
        let mut url = self.0.clone();
        let mut values = values.iter();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            for segment in template.split('/').filter(|segment| !segment.is_empty()) {
                if !segment.starts_with('{') {
                    segments.push(segment);
                    continue;
                }
                let value = values.next().ok_or_else(|| format!("no value for `{segment}` in the path"))?;
                // These segments change the path even if encoded.
                if matches!(value.as_str(), "" | "." | "..") {
                    return Err(format!("`{value}` is not valid for `{segment}` in a path"));
                }
                // URLs drop tabs and line breaks: the path would name another object.
                if value.chars().any(char::is_control) {
                    return Err(format!("{value:?} contains characters that are not valid for `{segment}` in a path"));
                }
                segments.push(value);
            }
        }
        if values.next().is_some() {
            return Err("more values than placeholders in the path".to_owned());
        }
        if !query.is_empty() {
            url.set_query(Some(&pairs(query.iter().map(|(name, value)| (name.as_str(), value.as_str())))));
        }
        Ok(url)
    }

    /// A URL from an answer, if it is on the same host.
    pub(super) fn follow(&self, text: &str) -> Result<Url, String> {
        let url = self.0.join(text).map_err(|_| "the next page has an invalid URL".to_owned())?;
        match url.origin() == self.0.origin() && url.username().is_empty() && url.password().is_none() {
            true => Ok(url),
            // Another host would receive the token.
            false => Err("the next page is on another host".to_owned()),
        }
    }
}

/// Names and values in the form of queries and forms.
pub(super) fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let part = |text| utf8_percent_encode(text, PART).to_string();
    pairs.map(|(name, value)| format!("{}={}", part(name), part(value))).collect::<Vec<_>>().join("&")
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base({})", self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(template: &str, values: &[&str], query: &[(&str, &str)]) -> Result<String, String> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Base::parse("https://host:8443/base/").unwrap().at(template, &values, &query).map(|url| url.to_string())
    }

    #[test]
    fn value_cannot_change_the_path() {
        assert_eq!(
            at("/v1/{id}/status", &["../../a?b#c/%2e"], &[("q", "a b&c=d+ü")]).as_deref(),
            Ok("https://host:8443/base/v1/..%2F..%2Fa%3Fb%23c%2F%252e/status?q=a%20b%26c%3Dd%2B%C3%BC")
        );
        for value in ["", ".", "..", "a\tb", ".\t.", "a\n", "a\r\nb", "\u{7f}"] {
            assert!(at("/v1/{id}", &[value], &[]).is_err(), "{value:?}");
        }
        assert!(at("/v1/{id}", &[], &[]).is_err());
        assert!(at("/v1", &["x"], &[]).is_err());
        assert_eq!(Base::parse("host:80").unwrap().below("/api/v1").shown(), "https://host:80/api/v1");
    }

    #[test]
    fn invalid_base_is_refused_without_its_text() {
        for text in ["", "ftp://host", "data:text/plain,x", "http://me:hunter2@host", "http://host/?token=hunter2"] {
            let why = Base::parse(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn next_page_must_be_on_the_same_host() {
        let base = Base::parse("http://host/api").unwrap();
        assert_eq!(base.follow("http://host/other?x=1").unwrap().as_str(), "http://host/other?x=1");
        assert_eq!(base.follow("/api/x?page=2").unwrap().as_str(), "http://host/api/x?page=2");
        for elsewhere in ["https://host/api", "http://host:81/api", "http://else/", "//else/x", "http://me@host/"] {
            assert!(base.follow(elsewhere).is_err(), "{elsewhere}");
        }
    }
}

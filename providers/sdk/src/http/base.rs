//! Where a vendor is. Paths are put together by segments, so that no name and no id can lead anywhere else.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use std::fmt;

/// What stays as it is in a part of a query.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL of a vendor's interface: `https://airbyte.example.com/api/public/v1`.
#[derive(Clone, PartialEq, Eq)]
pub struct Base(Url);

impl Base {
    /// Reads what a person wrote; `https` where no scheme is said.
    ///
    /// # Errors
    /// Why that is no base URL, in words that do not repeat it: somebody may have put a password in.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|error| format!("it is no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err("it is no URL of `http` or `https`".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user in it, which has settings of its own".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has more than host, port and path in it".to_owned());
        }
        // A base always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
        }
        Ok(Self(url))
    }

    /// The base with a path below it, of which nothing is a value: `/api/public/v1`.
    #[must_use]
    pub fn below(&self, path: &'static str) -> Self {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/').filter(|segment| !segment.is_empty()));
        }
        Self(url)
    }

    /// The host, with its port where it has one of its own: what the limit of calls at once holds for.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The URL as messages repeat it, without a slash at its end: it has no secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The URL of a path below it: each `{…}` of the template is a value, the others are as they are written.
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
                let value = values.next().ok_or_else(|| format!("there is no value for `{segment}` of its path"))?;
                // These lead elsewhere, however they are encoded.
                if matches!(value.as_str(), "" | "." | "..") {
                    return Err(format!("`{value}` cannot stand for `{segment}` in a path"));
                }
                // URLs leave tabs and line breaks out: another object would be meant.
                if value.chars().any(char::is_control) {
                    return Err(format!("{value:?} has characters that cannot stand for `{segment}` in a path"));
                }
                segments.push(value);
            }
        }
        if values.next().is_some() {
            return Err("there are more values than its path has places for".to_owned());
        }
        if !query.is_empty() {
            url.set_query(Some(&pairs(query.iter().map(|(name, value)| (name.as_str(), value.as_str())))));
        }
        Ok(url)
    }

    /// The URL that an answer names, where it is on the same host.
    pub(super) fn follow(&self, text: &str) -> Result<Url, String> {
        let url = self.0.join(text).map_err(|_| "what comes next is at no URL".to_owned())?;
        match url.origin() == self.0.origin() && url.username().is_empty() && url.password().is_none() {
            true => Ok(url),
            // Who asks there would take the token along.
            false => Err("what comes next is on another host".to_owned()),
        }
    }
}

/// Names and values as queries and forms hold them.
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
    fn no_value_leads_out_of_its_place() {
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
    fn what_is_no_base_is_refused_without_being_repeated() {
        for text in ["", "ftp://host", "data:text/plain,x", "http://me:hunter2@host", "http://host/?token=hunter2"] {
            let why = Base::parse(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_next_page_is_on_the_same_host_or_nowhere() {
        let base = Base::parse("http://host/api").unwrap();
        assert_eq!(base.follow("http://host/other?x=1").unwrap().as_str(), "http://host/other?x=1");
        assert_eq!(base.follow("/api/x?page=2").unwrap().as_str(), "http://host/api/x?page=2");
        for elsewhere in ["https://host/api", "http://host:81/api", "http://else/", "//else/x", "http://me@host/"] {
            assert!(base.follow(elsewhere).is_err(), "{elsewhere}");
        }
    }
}

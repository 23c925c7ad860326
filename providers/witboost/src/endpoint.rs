//! Base URLs of adapters. Paths are built from segments, so that tokens and ids cannot change the path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

/// Characters to encode in a part of an import id.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    /// Parses a URL from the settings or a component.
    ///
    /// # Errors
    /// The reason, without the URL itself, which may contain a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("the endpoint is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err("the endpoint is not a URL of `http` or `https`".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the endpoint contains a user: set `token` or `headers` of the instance instead".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the endpoint has a query or a fragment".to_owned());
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
        }
        Ok(Self(url))
    }

    /// The URL of a path below the base.
    pub(crate) fn at(&self, path: &[&str]) -> Url {
        let mut url = self.0.clone();
        // A base always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The import id of a component of the adapter, independent of the URL's spelling.
    pub(crate) fn id_of(&self, component: &str) -> String {
        let base = self.0.as_str().trim_end_matches('/');
        format!("{}/{}", utf8_percent_encode(base, PART), utf8_percent_encode(component, PART))
    }

    /// The URL in messages.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_change_the_path() {
        let endpoint = Endpoint::parse("https://host:8443/base/").unwrap();
        let url = endpoint.at(&["v1", "provision", "../../a?b#c/%2e", "status"]);
        assert_eq!(url.as_str(), "https://host:8443/base/v1/provision/..%2F..%2Fa%3Fb%23c%2F%252e/status");
        assert_eq!(Endpoint::parse("http://host:80").unwrap().at(&["v1"]).as_str(), "http://host/v1");
    }

    #[test]
    fn import_id_ignores_the_spelling_of_the_url() {
        let id = |text: &str| Endpoint::parse(text).unwrap().id_of("urn:a/b");
        assert_eq!(id("http://HOST:80/x/"), id("http://host/x"));
        assert_eq!(id("http://host/x"), "http%3A%2F%2Fhost%2Fx/urn%3Aa%2Fb");
    }

    #[test]
    fn invalid_endpoint_is_refused_without_its_text() {
        for text in ["host", "ftp://host", "data:text/plain,x", "http://me:hunter2@host", "http://host/?token=hunter2"]
        {
            let why = Endpoint::parse(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}

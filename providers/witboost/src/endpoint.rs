//! Where an adapter is. Paths are put together by segments, so that no token and no id can lead anywhere else.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

/// What stays as it is in a part of an import id.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    /// Reads what a person wrote.
    ///
    /// # Errors
    /// Why that is no adapter's URL, in words that do not repeat it: somebody may have put a password in.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("the endpoint is no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err("the endpoint is no URL of `http` or `https`".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the endpoint has a user in it: give `token` or `headers` of the instance instead".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the endpoint has more than host, port and path in it".to_owned());
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
        }
        Ok(Self(url))
    }

    /// The URL of a path below it.
    pub(crate) fn at(&self, path: &[&str]) -> Url {
        let mut url = self.0.clone();
        // A base always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The import id of a component behind it: the same however the endpoint is written.
    pub(crate) fn id_of(&self, component: &str) -> String {
        let base = self.0.as_str().trim_end_matches('/');
        format!("{}/{}", utf8_percent_encode(base, PART), utf8_percent_encode(component, PART))
    }

    /// How people know it.
    pub(crate) fn shown(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_path_leads_out_of_it() {
        let endpoint = Endpoint::parse("https://host:8443/base/").unwrap();
        let url = endpoint.at(&["v1", "provision", "../../a?b#c/%2e", "status"]);
        assert_eq!(url.as_str(), "https://host:8443/base/v1/provision/..%2F..%2Fa%3Fb%23c%2F%252e/status");
        assert_eq!(Endpoint::parse("http://host:80").unwrap().at(&["v1"]).as_str(), "http://host/v1");
    }

    #[test]
    fn one_adapter_has_one_id_however_it_is_written() {
        let id = |text: &str| Endpoint::parse(text).unwrap().id_of("urn:a/b");
        assert_eq!(id("http://HOST:80/x/"), id("http://host/x"));
        assert_eq!(id("http://host/x"), "http%3A%2F%2Fhost%2Fx/urn%3Aa%2Fb");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_without_being_repeated() {
        for text in ["host", "ftp://host", "data:text/plain,x", "http://me:hunter2@host", "http://host/?token=hunter2"]
        {
            let why = Endpoint::parse(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}

//! What the server itself asks of others by HTTP: keys of an issuer, a webhook.

use std::time::Duration;
pub(crate) use terrace_provider::http::in_words;

/// Whether a URL can be called.
///
/// # Errors
/// When it cannot, with the reason.
pub fn check_url(url: &str) -> Result<reqwest::Url, String> {
    let url: reqwest::Url = url.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme(), url.has_host()) {
        ("http" | "https", true) => Ok(url),
        _ => Err("it begins with neither `https://` nor `http://`".to_owned()),
    }
}

/// Whether what such a URL answers could be read and changed on the way: it is not encrypted, and leaves this machine.
#[must_use]
pub fn is_read_on_the_way(url: &str) -> bool {
    let is_here = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    check_url(url).is_ok_and(|url| url.scheme() == "http" && !url.host_str().is_some_and(is_here))
}

/// A client that waits that long for an answer.
///
/// # Errors
/// When there is nothing to encrypt with, in words.
pub(crate) fn client(patience: Duration) -> Result<reqwest::Client, String> {
    let client = terrace_provider::http::builder(None)?.timeout(patience).build();
    client.map_err(|error| in_words(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_this_machine_without_encryption_is_known() {
        for (is_read, url) in [
            (true, "http://issuer.example.com/keys"),
            (true, "HTTP://10.0.0.1"),
            (true, "http://localhost.example.com"),
            (false, "https://issuer.example.com/keys"),
            (false, "http://localhost:8080/realms/a"),
            (false, "http://127.0.0.1:1"),
            (false, "http://[::1]/"),
        ] {
            assert_eq!(is_read_on_the_way(url), is_read, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        for url in ["", "hooks", "ftp://a", "file:///etc/passwd", "https://"] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}

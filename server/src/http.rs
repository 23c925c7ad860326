//! HTTP client for the server's own calls: keys of an issuer, a webhook.

use std::time::Duration;
pub(crate) use terrace_provider::http::in_words;
pub use terrace_provider::http::is_exposed;

/// Parses a URL that the server can call.
///
/// # Errors
/// When the URL cannot be called, with the reason.
pub fn check_url(url: &str) -> Result<reqwest::Url, String> {
    let url: reqwest::Url = url.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme(), url.has_host()) {
        ("http" | "https", true) => Ok(url),
        _ => Err("it has to begin with `https://` or `http://`".to_owned()),
    }
}

/// Parses a URL whose answers are trusted, such as the keys of an issuer.
///
/// # Errors
/// When the URL cannot be called, or another machine could change its answers: it is `http://`, and not on this
/// machine.
pub fn check_trusted_url(url: &str) -> Result<reqwest::Url, String> {
    match is_exposed(url) {
        true => Err("it is `http://` to another machine: the network in between could forge answers".to_owned()),
        false => check_url(url),
    }
}

/// A client with this timeout.
///
/// # Errors
/// When TLS is not available, with the reason.
pub(crate) fn client(timeout: Duration) -> Result<reqwest::Client, String> {
    let client = terrace_provider::http::builder(None)?.timeout(timeout).build();
    client.map_err(|error| in_words(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unencrypted_url_of_another_machine_is_not_trusted() {
        for (is_trusted, url) in [
            (false, "http://issuer.example.com/keys"),
            (false, "ftp://issuer.example.com"),
            (true, "https://issuer.example.com/keys"),
            (true, "http://127.0.0.1:8080/realms/a"),
        ] {
            assert_eq!(check_trusted_url(url).is_ok(), is_trusted, "{url}");
        }
    }

    #[test]
    fn invalid_urls_are_refused() {
        for url in ["", "hooks", "ftp://a", "file:///etc/passwd", "https://"] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}

//! What the server itself asks of others by HTTP: keys of an issuer, a webhook.

use std::time::Duration;
pub(crate) use terrace_provider::http::in_words;
pub use terrace_provider::http::is_exposed;

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

/// Checks a URL whose answers are trusted, such as the keys of an issuer.
///
/// # Errors
/// When it cannot be called, or its answers could be changed on the way: it is `http://`, and leaves this machine.
pub fn check_trusted_url(url: &str) -> Result<reqwest::Url, String> {
    match is_exposed(url) {
        true => Err("it is `http://` to another machine: the network in between could answer".to_owned()),
        false => check_url(url),
    }
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
    fn answers_that_leave_this_machine_without_encryption_are_not_trusted() {
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
    fn what_cannot_be_called_is_refused() {
        for url in ["", "hooks", "ftp://a", "file:///etc/passwd", "https://"] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}

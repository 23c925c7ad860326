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
    fn what_cannot_be_called_is_refused() {
        for url in ["", "hooks", "ftp://a", "file:///etc/passwd", "https://"] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}

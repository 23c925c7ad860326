//! Checks of `http://` to another machine, where the network can read credentials and change answers.

use crate::{Attribute, AttributeType, Attributes, Path, ProviderError, Value};
use reqwest::Url;
use std::net::IpAddr;

/// The setting of an instance that allows credentials over `http://`.
pub const ALLOW_PLAIN_HTTP: &str = "allowPlainHttp";

/// The attribute of that setting, for the settings of a provider.
#[must_use]
pub fn allow_plain_http() -> Attribute {
    let doc = "Allow credentials over `http://` to other machines, in a network that you trust.";
    Attribute::new(ALLOW_PLAIN_HTTP, AttributeType::Bool, doc).default_value(false)
}

/// True if calls of a URL leave this machine without encryption.
#[must_use]
pub fn is_exposed(url: &str) -> bool {
    Url::parse(url.trim()).is_ok_and(|url| url.scheme() == "http" && !url.host_str().is_some_and(is_this_machine))
}

/// True if calls of a URL can only reach this machine.
#[must_use]
pub fn leads_to_this_machine(url: &str) -> bool {
    Url::parse(url.trim()).is_ok_and(|url| url.host_str().is_some_and(is_this_machine))
}

/// True if a host name can only mean this machine.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// True if the settings of an instance allow credentials over `http://`.
#[must_use]
pub fn is_plain_http_allowed(settings: &Attributes) -> bool {
    settings.get(ALLOW_PLAIN_HTTP).and_then(Value::as_bool) == Some(true)
}

/// Refuses credentials over `http://` to another machine, unless the settings of the instance allow it.
///
/// `at` is the setting with the URL, which the message does not repeat.
///
/// # Errors
/// When the network could read them.
pub fn check_credentials(url: &str, is_allowed: bool, at: Path) -> Result<(), ProviderError> {
    if is_allowed || !is_exposed(url) {
        return Ok(());
    }
    let message = format!("`{at}` is `http://` to another machine: credentials would be sent without encryption");
    let solution = format!("write `https://`, or allow it with `{ALLOW_PLAIN_HTTP}: true` in a network that you trust");
    Err(ProviderError::invalid(Some(at), message).solution(solution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_exposed_unless_it_is_encrypted_or_stays_here() {
        for (expected, url) in [
            (true, "http://issuer.example.com/keys"),
            (true, "HTTP://10.0.0.1"),
            (true, " http://h"),
            (true, "http://localhost.example.com"),
            (true, "http://127.0.0.1.example.com"),
            (true, "http://0.0.0.0:80"),
            (true, "http://user@h/"),
            (false, "https://issuer.example.com/keys"),
            (false, "http://localhost:8080/realms/a"),
            (false, "http://LocalHost"),
            (false, "http://127.0.0.1:1"),
            (false, "http://127.9.9.9"),
            (false, "http://[::1]/"),
            (false, "http://[::ffff:127.0.0.1]/"),
        ] {
            assert_eq!(is_exposed(url), expected, "{url}");
        }
    }

    #[test]
    fn credentials_are_sent_in_the_clear_only_if_settings_allow_it() {
        let none = Attributes::default();
        let allowed: Attributes = [(ALLOW_PLAIN_HTTP.to_owned(), Value::from(true))].into_iter().collect();
        let check = |url, settings: &Attributes| {
            check_credentials(url, is_plain_http_allowed(settings), Path::attribute("url"))
        };
        let error = check("http://h/x?token=hunter2", &none).unwrap_err();
        assert!(error.message.starts_with("`url` is `http://` to another machine"), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        for (url, settings) in
            [("http://h", &allowed), ("https://h", &none), ("http://127.0.0.1:1", &none), ("h", &none)]
        {
            assert!(check(url, settings).is_ok(), "{url}");
        }
    }
}

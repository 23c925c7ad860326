//! Removes secrets from addresses: `postgresql+psycopg2://user:password@host/database?password=…`.

use super::hidden::is_secret;

/// Placeholder for a secret.
pub(super) const HIDDEN: &str = "***";

/// Parts of an address.
struct Parts<'a> {
    scheme: &'a str,
    /// User and password.
    user: Option<&'a str>,
    /// Host, port and path.
    place: &'a str,
    query: Option<&'a str>,
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let authority = rest.find('/').unwrap_or(rest.len());
    let (user, place) = match rest.get(..authority)?.rfind('@') {
        Some(at) => (rest.get(..at), rest.get(at + 1..)?),
        None => (None, rest),
    };
    Some(Parts { scheme, user, place, query })
}

/// Replaces passwords of an address; other text stays unchanged.
pub(super) fn without_secrets(text: &str) -> String {
    let Some(Parts { scheme, user, place, query }) = parts(text) else { return text.to_owned() };
    let user = user.map(|user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}@"),
        None => format!("{user}@"),
    });
    format!("{scheme}://{}{place}{}", user.unwrap_or_default(), redact_query(query, |_| HIDDEN))
}

/// Target of an address, without user and driver.
pub(crate) fn address_target(text: &str) -> String {
    let Some(Parts { scheme, place, query, .. }) = parts(text) else { return text.to_owned() };
    let scheme = match scheme.split('+').next().unwrap_or(scheme) {
        "postgres" => "postgresql",
        scheme => scheme,
    };
    format!("{scheme}://{place}{}", redact_query(query, |_| ""))
}

/// Replaces secrets of a query.
fn redact_query(query: Option<&str>, instead: impl Fn(&str) -> &'static str) -> String {
    let Some(query) = query else { return String::new() };
    let redacted = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if is_secret(name) => format!("{name}={}", instead(value)),
        _ => pair.to_owned(),
    });
    format!("?{}", redacted.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passwords_are_removed() {
        for (address, without) in [
            ("postgresql://ada:s3:cr@t@db:5432/x?sslmode=require", "postgresql://ada:***@db:5432/x?sslmode=require"),
            ("postgresql:///x?user=ada&password=s3cret", "postgresql:///x?user=ada&password=***"),
            ("https://ada@host/a@b:c", "https://ada@host/a@b:c"),
            ("data/a.csv", "data/a.csv"),
        ] {
            assert_eq!(without_secrets(address), without);
        }
    }

    #[test]
    fn place_does_not_depend_on_user_and_driver() {
        for address in ["postgres://db/x", "postgresql+psycopg2://ada:1@db/x", "postgresql://ada:2@db/x"] {
            assert_eq!(address_target(address), "postgresql://db/x");
        }
        assert_ne!(address_target("postgresql://db/x?options=a"), address_target("postgresql://db/x?options=b"));
        assert_eq!(address_target("sqlite:////a/b.db"), "sqlite:////a/b.db");
    }
}

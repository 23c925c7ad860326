//! Headers with secrets.

use super::Failure;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

pub(super) fn basic(user: &str, password: &SecretString) -> SecretString {
    BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret())).into()
}

/// A header that `Debug` does not print.
pub(super) fn sensitive(secret: &SecretString, prefix: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose_secret()))
        .map_err(|_| Failure::Refused("the credentials contain characters that cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

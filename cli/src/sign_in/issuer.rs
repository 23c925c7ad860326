//! Addresses of an issuer: from the server's answer, or from the issuer's discovery document.

use super::answer::{self, Fields, text};
use super::store::SignIn;
use secrecy::SecretString;
use std::fmt;
use terrace_server::auth::SignInOffer;

/// Path of the discovery document (OpenID Connect Discovery 1.0, 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer, with the addresses of the device grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// The address that starts a sign-in (RFC 8628, 3.1).
    pub(crate) device_url: String,
    /// The address of tokens.
    pub(crate) token_url: String,
    /// The address that revokes tokens (RFC 7009), if the issuer has one.
    pub(crate) revocation_url: Option<String>,
}

/// Why a sign-in failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignInError {
    /// The user or the issuer refuses it.
    Refused(String),
    /// The code expired before the user entered it.
    Expired,
    /// The settings do not fit, or an answer is wrong.
    Invalid(String),
    /// A call had no answer.
    Unavailable(String),
}

impl fmt::Display for SignInError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the issuer refuses the sign-in: {why}"),
            Self::Expired => f.write_str("the code of the sign-in has expired"),
            Self::Invalid(why) => write!(f, "the sign-in is not possible: {why}"),
            Self::Unavailable(why) => write!(f, "the issuer cannot be reached: {why}"),
        }
    }
}

impl From<answer::NoFields> for SignInError {
    fn from(failure: answer::NoFields) -> Self {
        match failure {
            answer::NoFields::Unavailable(why) => Self::Unavailable(why),
            answer::NoFields::Invalid(why) => Self::Invalid(why),
        }
    }
}

impl Issuer {
    /// The issuer that a server names. Calls the issuer for its discovery document, unless the server names all addresses.
    ///
    /// # Errors
    /// When the document is missing or belongs to another issuer, or an address is not encrypted.
    pub(crate) async fn of(offer: &SignInOffer) -> Result<Self, SignInError> {
        if let (Some(device_url), Some(token_url)) = (&offer.device_authorization_url, &offer.token_url) {
            return Ok(Self { device_url: device_url.clone(), token_url: token_url.clone(), revocation_url: None });
        }
        let document = answer::read(&offer.issuer, DISCOVERY).await?;
        Self::of_document(&offer.issuer, &document)
    }

    fn of_document(issuer: &str, document: &Fields) -> Result<Self, SignInError> {
        // Another issuer's document would send the user to a foreign page (OpenID Connect Discovery 1.0, 4.3).
        let named = text(document, "issuer").unwrap_or_default();
        if named != issuer {
            let named: String = named.chars().filter(|character| !character.is_control()).take(200).collect();
            return Err(SignInError::Invalid(format!(
                "the discovery document of `{issuer}` belongs to the issuer `{named}`"
            )));
        }
        let address = |name: &str| {
            text(document, name).map(str::to_owned).ok_or_else(|| {
                SignInError::Invalid(format!("the issuer `{issuer}` has no device grant: it names no `{name}`"))
            })
        };
        Ok(Self {
            device_url: address("device_authorization_endpoint")?,
            token_url: address("token_endpoint")?,
            revocation_url: text(document, "revocation_endpoint").map(str::to_owned),
        })
    }
}

/// Revokes the tokens of a sign-in (RFC 7009). Returns false if the issuer has no such call.
///
/// # Errors
/// When the issuer does not do so.
pub(crate) async fn revoke(sign_in: &SignIn) -> Result<bool, SignInError> {
    let Some(url) = &sign_in.revocation_url else { return Ok(false) };
    let client_id: SecretString = sign_in.client_id.as_str().into();
    let mut form = vec![("client_id", &client_id), ("token", sign_in.refresh_token.as_ref().unwrap_or(&sign_in.token))];
    form.extend(sign_in.client_secret.as_ref().map(|secret| ("client_secret", secret)));
    match answer::post(url, &form).await {
        Ok(fields) => match answer::error(&fields) {
            Some((_, words)) => Err(SignInError::Refused(words)),
            None => Ok(true),
        },
        // The answer to a revocation has no body.
        Err(answer::NoFields::Invalid(_)) => Ok(true),
        Err(failure) => Err(failure.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(document: &serde_json::Value) -> Result<Issuer, SignInError> {
        Issuer::of_document("https://login.example.com", document.as_object().unwrap())
    }

    #[test]
    fn document_of_another_issuer_is_refused() {
        let mut document = json!({
            "issuer": "https://login.example.com",
            "device_authorization_endpoint": "https://login.example.com/device",
            "token_endpoint": "https://login.example.com/token",
        });
        assert_eq!(found(&document).unwrap().device_url, "https://login.example.com/device");
        for other in ["https://login.example.com/", "https://evil.example.com", ""] {
            document["issuer"] = other.into();
            assert!(matches!(found(&document), Err(SignInError::Invalid(_))), "{other}");
        }
    }

    #[test]
    fn issuer_without_device_grant_is_named() {
        let document = json!({"issuer": "https://login.example.com", "token_endpoint": "https://login.example.com/t"});
        let why = found(&document).unwrap_err().to_string();
        assert!(why.ends_with("has no device grant: it names no `device_authorization_endpoint`"), "{why}");
    }
}

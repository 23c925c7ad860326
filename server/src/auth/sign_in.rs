//! Sign-in of people by the device grant (RFC 8628): the issuer and its client, for the command line.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The issuer and the client with which people sign in. The server shows it to all callers, so it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInOffer {
    /// The issuer of tokens. Its discovery document (`/.well-known/openid-configuration`) has the addresses below, unless
    /// both are given.
    pub issuer: String,
    /// The id of the public client.
    pub client_id: String,
    /// The secret of a client that is public nevertheless, as Google's clients for devices are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_client_secret: Option<String>,
    /// The scopes to request.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The token that the server accepts.
    #[serde(default)]
    pub token: SignInToken,
    /// The address that starts a sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_authorization_url: Option<String>,
    /// The address of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
}

/// A token of an issuer that a server accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignInToken {
    /// The access token.
    #[default]
    Access,
    /// The ID token, for issuers whose access tokens are not JWTs, such as Google.
    Id,
}

//! Settings of authentication.

use super::github::GitHub;
use super::limits::Grant;
use super::oidc::Oidc;

/// Which callers are admitted.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Every caller on this machine: the default without configuration.
    #[default]
    ThisMachine,
    /// Every caller that can reach the server.
    AnyCaller,
    /// Callers with one of these tokens (RFC 6750).
    Tokens(Vec<Token>),
    /// Callers with a token that this issuer signed.
    Oidc(Oidc),
    /// Callers with a token of this application at GitHub.
    GitHub(GitHub),
}

impl Auth {
    /// Whether callers send tokens.
    #[must_use]
    pub const fn has_tokens(&self) -> bool {
        match self {
            Self::ThisMachine | Self::AnyCaller => false,
            Self::Tokens(_) | Self::Oidc(_) | Self::GitHub(_) => true,
        }
    }
}

/// A token of the configuration. Only its owner knows the token itself.
#[derive(Debug, Clone)]
pub struct Token {
    /// The name of the owner, which operations record.
    pub name: String,
    /// The SHA-256 of the token, in lower-case hexadecimal digits.
    pub sha256: String,
    /// The organisation of the owner.
    pub organisation: Option<String>,
    /// Its scopes and limits.
    pub grant: Grant,
    /// The fewest characters. The server refuses shorter tokens; a digest does not reveal the length.
    pub minimum_length: usize,
}

impl Token {
    /// The fewest characters that can hold 128 bits, at eight bits each.
    pub const MINIMUM_LENGTH: usize = 16;
    /// The characters of 128 random bits in base64url.
    pub(super) const ADVISED_LENGTH: usize = 22;
}

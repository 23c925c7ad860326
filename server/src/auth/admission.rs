//! Admission of callers by their tokens.

use super::github::GitHubCallers;
use super::limits::{Action, Principal, Resource};
use super::oidc::Issuer;
use super::pages;
use super::settings::{Auth, Token};
use super::sign_in::SignInOffer;
use crate::answer::{NO_TOKEN, Refusal};
use crate::outage_log::LogThrottle;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::digest::sha256;

/// The reason why a call under a foreign host name is refused.
pub(crate) const FOREIGN_HOST: &str = "it is addressed to a host name other than this machine's own";

/// Which callers are admitted, with the parts that only a running server needs.
pub(crate) enum Admission {
    ThisMachine,
    AnyCaller,
    /// Callers with one of these tokens.
    Tokens(Vec<KnownToken>),
    Oidc(Box<Issuer>),
    GitHub(Box<GitHubCallers>),
}

/// A token of the configuration, and its principal.
pub(crate) struct KnownToken {
    sha256: String,
    minimum_length: usize,
    principal: Arc<Principal>,
}

impl From<Token> for KnownToken {
    fn from(Token { name, sha256, organisation, grant, minimum_length }: Token) -> Self {
        let principal = Principal::new(name, vec![grant]).issued_by("token").of_organisation(organisation);
        Self { sha256, minimum_length, principal: Arc::new(principal) }
    }
}

impl Admission {
    /// Builds the admission from the settings.
    ///
    /// # Errors
    /// When the HTTP client for the issuer cannot be built.
    pub(crate) fn new(auth: Auth) -> Result<Self, String> {
        Ok(match auth {
            Auth::ThisMachine => Self::ThisMachine,
            Auth::AnyCaller => Self::AnyCaller,
            Auth::Tokens(tokens) => Self::Tokens(tokens.into_iter().map(KnownToken::from).collect()),
            Auth::Oidc(oidc) => Self::Oidc(Box::new(Issuer::new(oidc)?)),
            Auth::GitHub(github) => Self::GitHub(Box::new(GitHubCallers::new(github)?)),
        })
    }

    /// Whether answers without authentication may name stacks and environments to a caller with these headers. If any
    /// token has limits, only callers with an unlimited token may read all names.
    pub(crate) async fn shows_names(&self, headers: &HeaderMap) -> bool {
        let hides = match self {
            Self::ThisMachine | Self::AnyCaller => false,
            Self::Tokens(tokens) => tokens.iter().any(|token| !token.principal.sees_everything()),
            Self::Oidc(issuer) => issuer.hides(),
            Self::GitHub(callers) => callers.hides(),
        };
        !hides || self.admit(headers).await.is_ok_and(|principal| principal.sees_everything())
    }

    /// The issuer with which people sign in.
    pub(crate) fn sign_in_offer(&self) -> Option<&SignInOffer> {
        match self {
            Self::Oidc(issuer) => issuer.sign_in_offer(),
            Self::GitHub(callers) => Some(callers.sign_in_offer()),
            Self::ThisMachine | Self::AnyCaller | Self::Tokens(_) => None,
        }
    }

    /// Whether an issuer vouches for tokens.
    pub(crate) const fn has_issuer(&self) -> bool {
        matches!(self, Self::Oidc(_) | Self::GitHub(_))
    }

    /// Checks that the issuer of tokens answers.
    ///
    /// # Errors
    /// When it does not, with the reason for the log.
    pub(crate) async fn check_issuer(&self) -> Result<(), String> {
        match self {
            Self::ThisMachine | Self::AnyCaller | Self::Tokens(_) => Ok(()),
            Self::Oidc(issuer) => issuer.check().await,
            Self::GitHub(callers) => callers.check().await,
        }
    }

    /// Refuses calls that a page of another site may have sent.
    ///
    /// # Errors
    /// With the evidence.
    pub(super) fn check_site(&self, request: &Request) -> Result<(), Refusal> {
        match self {
            Self::ThisMachine | Self::AnyCaller if pages::is_cross_site(request) => {
                Err(Refusal::ForeignOrigin("a page of another site sends it"))
            }
            Self::ThisMachine if !pages::is_for_this_machine(request) => Err(Refusal::ForeignOrigin(FOREIGN_HOST)),
            Self::ThisMachine | Self::AnyCaller | Self::Tokens(_) | Self::Oidc(_) | Self::GitHub(_) => Ok(()),
        }
    }

    /// Checks that a caller with these headers may still read an operation of these stacks.
    ///
    /// # Errors
    /// When its token was removed, or does not allow that.
    pub(crate) async fn check_reader(&self, headers: &HeaderMap, stacks: &[StackId]) -> Result<(), Refusal> {
        let principal = self.admit(headers).await?;
        let may_read = principal.may(Action::Read, false, &[Resource::Any]) && principal.sees_all(stacks);
        match may_read {
            true => Ok(()),
            false => Err(Refusal::Limited { name: principal.name.clone().unwrap_or_else(|| "anonymous".to_owned()) }),
        }
    }

    /// The principal of a call with these headers.
    ///
    /// # Errors
    /// When its token is missing or unknown.
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Refusal> {
        match self {
            Self::ThisMachine | Self::AnyCaller => Ok(Arc::new(Principal::unlimited(None))),
            Self::Tokens(tokens) => {
                // The comparison uses digests: its duration reveals nothing about the token.
                let token = bearer_token(headers)?;
                let digest = sha256(token);
                let known = tokens.iter().find(|token| token.sha256 == digest);
                let known = known.ok_or(Refusal::Unknown(NO_TOKEN.into()))?;
                check_length(known, token.len())?;
                Ok(Arc::clone(&known.principal))
            }
            Self::Oidc(issuer) => issuer.admit(bearer_token(headers)?).await.map(Arc::new),
            Self::GitHub(callers) => callers.admit(bearer_token(headers)?).await,
        }
    }
}

/// How often the log warns of short tokens.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// Refuses a token below the minimum length, and warns of other short tokens.
fn check_length(token: &KnownToken, length: usize) -> Result<(), Refusal> {
    static SHORT: LazyLock<LogThrottle> = LazyLock::new(|| LogThrottle::new(WARN_EVERY));
    let (name, minimum) = (token.principal.name.as_deref().unwrap_or_default(), token.minimum_length);
    if length < minimum {
        tracing::warn!(
            name,
            length,
            minimum,
            "refused a token that is too short: replace it with `openssl rand -hex 32`"
        );
        return Err(Refusal::Unknown(format!("the token has fewer than {minimum} characters").into()));
    }
    if length < Token::ADVISED_LENGTH && SHORT.count().is_some() {
        tracing::warn!(name, length, "a token is short: replace it with 128 random bits, `openssl rand -hex 32`");
    }
    Ok(())
}

/// The token in the headers (RFC 6750).
fn bearer_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let credentials = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials = credentials.and_then(|credentials| credentials.trim().split_once(' '));
    let (_, token) = credentials
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .ok_or(Refusal::Unknown(NO_TOKEN.into()))?;
    Ok(token.trim())
}

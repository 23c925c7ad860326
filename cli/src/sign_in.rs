//! Sign-in to a server: a user permits terrace in a browser (OAuth 2.0 Device Authorization Grant, RFC 8628), and terrace
//! keeps the tokens in a private file.
//!
//! The server names its issuer and its client (`GET /api/v1/sign-in`), so that users configure nothing. `issuer` finds the
//! addresses of the issuer, `device` gets tokens, `store` keeps them, `source` renews them for calls.

mod answer;
mod device;
mod issuer;
mod source;
mod store;

pub(crate) use device::Grant;
pub(crate) use issuer::{Issuer, SignInError, revoke};
pub(crate) use source::SignInTokens;
pub(crate) use store::{SignIn, SignInFile};

use std::time::Duration;

/// Time limit of a call to an issuer.
const TIMEOUT: Duration = Duration::from_secs(30);

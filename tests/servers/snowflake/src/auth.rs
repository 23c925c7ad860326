//! Authentication: the three kinds of tokens of the SQL API.
//! <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating>

use axum::http::HeaderMap;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The credentials of users.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Users by token: programmatic access tokens and OAuth tokens.
    pub(crate) tokens: BTreeMap<(String, String), String>,
    /// Public keys of users in PKCS#1.
    pub(crate) keys: BTreeMap<String, Vec<u8>>,
}

/// A refusal: code and message.
pub(crate) type Refused = (&'static str, String);

impl Keys {
    /// The user of the request's token.
    pub(crate) fn user(&self, account: &str, headers: &HeaderMap) -> Result<String, Refused> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(token) = header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(("390101", "Authorization header not found in the request data.".to_owned()));
        };
        let kind = header("x-snowflake-authorization-token-type").unwrap_or("OAUTH");
        if kind == "KEYPAIR_JWT" {
            return self.user_of_jwt(account, token).ok_or(("390144", "JWT token is invalid.".to_owned()));
        }
        let found = self.tokens.get(&(kind.to_owned(), token.to_owned())).cloned();
        found.ok_or_else(|| match kind {
            "OAUTH" => ("390303", "Invalid OAuth access token.".to_owned()),
            _ => ("390144", "Programmatic access token is invalid.".to_owned()),
        })
    }

    fn user_of_jwt(&self, account: &str, token: &str) -> Option<String> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decoded = |part: &str| serde_json::from_slice::<Json>(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let (header, claims) = (decoded(header)?, decoded(claims)?);
        let subject = claims["sub"].as_str()?;
        let user = subject.strip_prefix(&format!("{account}."))?;
        let key = self.keys.get(user)?;
        let now = Timestamp::now().as_second();
        let (issued, expires) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let is_right = header["alg"] == "RS256"
            && claims["iss"] == format!("{subject}.SHA256:{}", fingerprint(key))
            && issued <= now + 60
            && expires > now
            && expires - issued <= 3600;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(signed.as_bytes(), &signature).ok()?;
        is_right.then(|| user.to_owned())
    }
}

/// The SHA-256 of a key in X.509 form, as base64.
fn fingerprint(pkcs1: &[u8]) -> String {
    let rsa = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = der(0x03, &[&[0], pkcs1].concat());
    BASE64_STANDARD.encode(digest(&SHA256, &der(0x30, &[&rsa, bits.as_slice()].concat())))
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(u8::try_from(length).unwrap()),
        0x80..0x100 => out.extend([0x81, u8::try_from(length).unwrap()]),
        _ => out.extend([0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 0xff).unwrap()]),
    }
    out.extend(content);
    out
}

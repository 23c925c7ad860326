//! The access token, renewed before it expires.

use super::key::LIFE;
use super::reply::Failure;
use crate::config::Proof;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::Mutex;

/// A key-pair token is renewed when it has less than this left, in seconds.
const SPARE: i64 = 5 * 60;

#[derive(Debug)]
pub(super) struct Tokens {
    proof: Proof,
    /// The token of a key, and its creation time.
    made: Mutex<Option<(SecretString, Timestamp)>>,
}

impl Tokens {
    pub(super) fn new(proof: Proof) -> Self {
        Self { proof, made: Mutex::new(None) }
    }

    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The token, and the name of its kind.
    pub(super) async fn current(&self) -> Result<(SecretString, &'static str), Failure> {
        let key = match &self.proof {
            Proof::Token(token, _) => return Ok((token.clone(), "PROGRAMMATIC_ACCESS_TOKEN")),
            Proof::OAuth(token) => return Ok((token.clone(), "OAUTH")),
            Proof::Key(key) => key,
        };
        let mut made = self.made.lock().await;
        let now = Timestamp::now();
        if let Some((token, at)) = &*made
            && (0..LIFE - SPARE).contains(&(now.as_second() - at.as_second()))
        {
            return Ok((token.clone(), "KEYPAIR_JWT"));
        }
        let token = key.token(now).map_err(Failure::Refused)?;
        *made = Some((token.clone(), now));
        Ok((token, "KEYPAIR_JWT"))
    }

    /// Drops the token if a new one can be created.
    pub(super) async fn renew(&self) -> bool {
        let is_key = matches!(self.proof, Proof::Key(_));
        if is_key {
            *self.made.lock().await = None;
        }
        is_key
    }
}

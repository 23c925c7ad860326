//! Fingerprints of secrets that the settings of an instance have: so another one is noticed, and nothing of it is kept.

use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use terrace_provider::ProviderError;

/// So many rounds that guessing a token takes long, and comparing one does not.
const ROUNDS: NonZeroU32 = match NonZeroU32::new(50_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};
const ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;

/// The fingerprint of a secret. Two of one secret differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    salt: String,
    digest: String,
}

impl Fingerprint {
    /// That of a secret.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub(crate) fn of(secret: &SecretString) -> Result<Self, ProviderError> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| ProviderError::bug("there is no randomness to be had"))?;
        let salt = hex(&salt);
        Ok(Self { digest: digest(&salt, secret), salt })
    }

    /// Whether it is that of a secret.
    pub(crate) fn is_of(&self, secret: &SecretString) -> bool {
        digest(&self.salt, secret) == self.digest
    }
}

fn digest(salt: &str, secret: &SecretString) -> String {
    let mut digest = [0; 32];
    pbkdf2::derive(ALGORITHM, ROUNDS, salt.as_bytes(), secret.expose_secret().as_bytes(), &mut digest);
    hex(&digest)
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_again_and_its_fingerprints_tell_nothing() {
        let [one, other] = ["glpat-1", "glpat-2"].map(SecretString::from);
        let (first, second) = (Fingerprint::of(&one).unwrap(), Fingerprint::of(&one).unwrap());
        assert_ne!(first, second);
        assert!(first.is_of(&one) && second.is_of(&one));
        assert!(!first.is_of(&other));
    }
}

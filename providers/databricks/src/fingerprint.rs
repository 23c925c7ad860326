//! Salted fingerprints of secrets in an instance's settings: they detect a changed secret without storing it.

use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use terrace_provider::ProviderError;

/// Rounds of key derivation: guessing a token takes long, one comparison does not.
const ROUNDS: NonZeroU32 = match NonZeroU32::new(50_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};
const ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;

/// The fingerprint of a secret. Two fingerprints of the same secret differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    salt: String,
    digest: String,
}

impl Fingerprint {
    /// Computes the fingerprint of a secret.
    ///
    /// # Errors
    /// If the machine cannot provide random bytes.
    pub(crate) fn of(secret: &SecretString) -> Result<Self, ProviderError> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| ProviderError::bug("cannot get random bytes"))?;
        let salt = hex(&salt);
        Ok(Self { digest: digest(&salt, secret), salt })
    }

    /// Returns true if the fingerprint belongs to the secret.
    pub(crate) fn is_of(&self, secret: &SecretString) -> bool {
        digest(&self.salt, secret) == self.digest
    }
}

fn digest(salt: &str, secret: &SecretString) -> String {
    let mut digest = [0; 32];
    pbkdf2::derive(ALGORITHM, ROUNDS, salt.as_bytes(), secret.expose_secret().as_bytes(), &mut digest);
    hex(&digest)
}

/// Encodes bytes as hexadecimal digits.
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
    fn fingerprint_matches_only_its_secret() {
        let [one, other] = ["glpat-1", "glpat-2"].map(SecretString::from);
        let (first, second) = (Fingerprint::of(&one).unwrap(), Fingerprint::of(&one).unwrap());
        assert_ne!(first, second);
        assert!(first.is_of(&one) && second.is_of(&one));
        assert!(!first.is_of(&other));
    }
}

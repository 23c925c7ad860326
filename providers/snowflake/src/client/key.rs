//! Key-pair authentication with signed tokens. <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating>

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use pkcs8::EncryptedPrivateKeyInfoRef;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use secrecy::SecretString;
use serde_json::json;
use std::fmt;
use std::sync::Arc;

/// Lifetime of a token in seconds; Snowflake allows an hour.
pub(super) const LIFETIME: i64 = 59 * 60;

/// A private key and its user. `Debug` does not print the key.
#[derive(Clone)]
pub(crate) struct Key {
    pair: Arc<KeyPair>,
    /// `ACCOUNT.USER`.
    subject: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(the private key of {})", self.subject)
    }
}

impl Key {
    /// Reads a private RSA key from PEM: PKCS#8, encrypted or not, or PKCS#1.
    ///
    /// # Errors
    /// The reason, without any part of the file.
    pub(crate) fn read(pem: &str, passphrase: Option<&str>, account: &str, user: &str) -> Result<Self, String> {
        let (label, der) = pem_block(pem).ok_or("the private key is not in PEM format")?;
        let no_key = |_| "the private key is not a usable RSA key (at least 2048 bits)".to_owned();
        let pair = match label.as_str() {
            "PRIVATE KEY" => KeyPair::from_pkcs8(&der).map_err(no_key)?,
            "RSA PRIVATE KEY" => KeyPair::from_der(&der).map_err(no_key)?,
            "ENCRYPTED PRIVATE KEY" => {
                let passphrase = passphrase.ok_or("the private key is encrypted: give `privateKeyPassphrase`")?;
                let encrypted = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
                    .map_err(|_| "the encrypted private key cannot be read")?;
                let opened =
                    encrypted.decrypt(passphrase).map_err(|_| "the passphrase does not open the private key")?;
                KeyPair::from_pkcs8(opened.as_bytes()).map_err(no_key)?
            }
            other => return Err(format!("the private key file holds a `{other}`")),
        };
        // The account without its region.
        let account = account.split('.').next().unwrap_or(account);
        Ok(Self { pair: Arc::new(pair), subject: format!("{}.{}", account.to_uppercase(), user.to_uppercase()) })
    }

    /// A token that is valid from now on.
    pub(super) fn token(&self, now: Timestamp) -> Result<SecretString, String> {
        let (issued, expires) = (now.as_second(), now.as_second() + LIFETIME);
        let issuer = format!("{}.SHA256:{}", self.subject, self.fingerprint());
        let claims = json!({"iss": issuer, "sub": self.subject, "iat": issued, "exp": expires});
        let part = |json: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "the private key cannot sign".to_owned())?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)).into())
    }

    /// The SHA-256 of the public key in X.509 form, as base64.
    fn fingerprint(&self) -> String {
        // AlgorithmIdentifier {rsaEncryption, NULL} of RFC 8017.
        const RSA: [u8; 15] =
            [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        let bits = der(0x03, &[&[0], self.pair.public_key().as_ref()].concat());
        BASE64_STANDARD.encode(digest(&SHA256, &der(0x30, &[&RSA, bits.as_slice()].concat())))
    }
}

/// The label and the content of the first PEM block.
fn pem_block(pem: &str) -> Option<(String, Vec<u8>)> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let text: String = body.split_whitespace().collect();
    Some((label.to_owned(), BASE64_STANDARD.decode(text).ok()?))
}

/// A DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let bytes: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut element = vec![tag];
    match bytes.as_slice() {
        [] => element.push(0),
        [short] if *short < 0x80 => element.push(*short),
        // At most eight bytes.
        long => {
            element.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(content);
    element
}

//! Client assertions, which replace a client secret (RFC 7523, section 2.2). terrace signs one with the key of a
//! certificate, or a trusted issuer writes one to a file.

use super::Failure;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The assertion type in the form.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Lifetime in seconds; each token request gets a new assertion.
const LIFETIME: i64 = 600;
/// Tolerated clock difference in seconds.
const SLACK: i64 = 60;

/// A client assertion, signed or read again for each token request.
#[derive(Clone)]
pub struct ClientAssertion(Arc<Source>);

enum Source {
    /// Signed by terrace.
    Signed { client: String, thumbprint: String, key: Box<RsaKeyPair> },
    /// Written by an issuer, who replaces it before it expires.
    File(PathBuf),
}

impl fmt::Debug for ClientAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.0 {
            Source::Signed { .. } => "(signed with a certificate)",
            Source::File(_) => "(a file)",
        })
    }
}

impl ClientAssertion {
    /// Signs for a client with the key of a certificate. One PEM file holds both; the first certificate is that of the
    /// key.
    ///
    /// # Errors
    /// The problem with the file, without any part of it.
    pub fn of_certificate(client: &str, file: &Path) -> Result<Self, String> {
        let pem = std::fs::read(file).map_err(|error| error.to_string())?;
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(|_| "it holds no certificate".to_owned())?;
        let key = match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            Ok(_) => return Err("its key is not an RSA key".to_owned()),
            Err(_) if pem.windows(9).any(|text| text == b"ENCRYPTED") => {
                return Err("its key is encrypted, which is not supported".to_owned());
            }
            Err(_) => return Err("it holds no private key".to_owned()),
        };
        let key = key.map_err(|error| format!("its RSA key cannot sign: {error}"))?;
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate));
        Ok(Self(Arc::new(Source::Signed { client: client.to_owned(), thumbprint, key: Box::new(key) })))
    }

    /// Reads the file for each token request: the issuer replaces it before it expires.
    #[must_use]
    pub fn of_file(file: PathBuf) -> Self {
        Self(Arc::new(Source::File(file)))
    }

    /// The fields of a token request to that URL.
    pub(super) fn fields(&self, audience: &str) -> Result<Vec<(String, SecretString)>, Failure> {
        let unauthorized = |message: String| Failure::Unauthorized { code: None, message };
        let text = match &*self.0 {
            Source::Signed { client, thumbprint, key } => signed(audience, client, thumbprint, key)
                .ok_or_else(|| unauthorized("the client assertion cannot be signed".to_owned()))?,
            Source::File(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    unauthorized(format!("the token of `{}` cannot be read: {error}", file.display()))
                })?;
                text.trim().to_owned()
            }
        };
        let field = |name: &str, value: SecretString| (name.to_owned(), value);
        Ok(vec![field("client_assertion_type", ASSERTION_TYPE.into()), field("client_assertion", text.into())])
    }
}

/// A signed assertion: <https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials>.
fn signed(audience: &str, client: &str, thumbprint: &str, key: &RsaKeyPair) -> Option<String> {
    let random = SystemRandom::new();
    let mut number = [0_u8; 16];
    random.fill(&mut number).ok()?;
    let now = Timestamp::now().as_second();
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint});
    let claims = json!({
        "aud": audience, "iss": client, "sub": client, "jti": BASE64_URL_SAFE_NO_PAD.encode(number),
        "nbf": now - SLACK, "exp": now + LIFETIME,
    });
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0_u8; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &random, text.as_bytes(), &mut signature).ok()?;
    Some(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use secrecy::ExposeSecret;

    /// A certificate with its key, from openssl.
    fn certificate_with_key() -> String {
        let words = "req -x509 -newkey rsa:2048 -nodes -keyout - -out - -subj /CN=terrace -days 2";
        let made = std::process::Command::new("openssl").args(words.split(' ')).output();
        let made = made.unwrap_or_else(|error| panic!("openssl, which makes the keys of this test: {error}"));
        String::from_utf8(made.stdout).unwrap()
    }

    fn temporary_file(text: &str) -> (std::path::PathBuf, PathGuard) {
        let path = std::env::temp_dir().join(format!("terrace-statement-{}", fastrand::u64(..)));
        std::fs::write(&path, text).unwrap();
        (path.clone(), PathGuard(path))
    }

    struct PathGuard(PathBuf);

    impl Drop for PathGuard {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn certificate_signs_for_one_audience_and_a_short_time() {
        let pem = certificate_with_key();
        let (path, _guard) = temporary_file(&pem);
        let fields = ClientAssertion::of_certificate("app", &path).unwrap().fields("https://login/t/token").unwrap();
        assert_eq!(fields[0].1.expose_secret(), ASSERTION_TYPE);
        let text = fields[1].1.expose_secret();
        let (content, signature) = text.rsplit_once('.').unwrap();
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        let (header, claims) = content.split_once('.').unwrap();
        let header: serde_json::Value = serde_json::from_slice(&decode(header)).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&decode(claims)).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(header["x5t#S256"], BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate)));
        assert_eq!((&header["alg"], &claims["aud"]), (&json!("PS256"), &json!("https://login/t/token")));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap() <= LIFETIME + SLACK);
        let Ok(PrivateKeyDer::Pkcs8(key)) = PrivateKeyDer::from_pem_slice(pem.as_bytes()) else { panic!("a key") };
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public().as_ref());
        public.verify(content.as_bytes(), &decode(signature)).unwrap();
    }

    #[test]
    fn assertion_file_is_read_for_each_token() {
        let (path, _guard) = temporary_file("one\n");
        let assertion = ClientAssertion::of_file(path.clone());
        let read = || assertion.fields("x").map(|fields| fields[1].1.expose_secret().to_owned());
        assert_eq!(read().unwrap(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(read().unwrap(), "two");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read(), Err(Failure::Unauthorized { message, .. }) if message.contains("cannot be read")));
    }

    #[test]
    fn invalid_key_file_is_refused_without_its_content() {
        let pem = certificate_with_key();
        let begin = pem.find("-----BEGIN CERT").unwrap();
        let certificate = pem.get(begin..).unwrap().split_inclusive("END CERTIFICATE-----").next().unwrap();
        for (text, expected) in [("hunter2", "it holds no certificate"), (certificate, "it holds no private key")] {
            let (path, _guard) = temporary_file(text);
            let why = ClientAssertion::of_certificate("app", &path).unwrap_err();
            assert!(why.contains(expected) && !why.contains("hunter2"), "{why}");
        }
        assert!(ClientAssertion::of_certificate("app", Path::new("/nowhere")).is_err());
    }
}

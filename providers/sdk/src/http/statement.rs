//! Statements by which a client proves itself instead of a secret (RFC 7523, section 2.2): signed with the key of a certificate,
//! or written by somebody whom the other side trusts, into a file.

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

/// What the form says that the statement is.
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long one is good for, in seconds: it is made when it is needed.
const LIFE: i64 = 600;
/// Clocks may be so many seconds apart.
const SLACK: i64 = 60;

/// A statement of a client, made or read anew whenever a token is asked for.
#[derive(Clone)]
pub struct Statement(Arc<Source>);

enum Source {
    /// Signed by us.
    Signed { client: String, thumbprint: String, key: Box<RsaKeyPair> },
    /// Written by somebody else, who writes another one before its end.
    File(PathBuf),
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.0 {
            Source::Signed { .. } => "(signed with a certificate)",
            Source::File(_) => "(a file)",
        })
    }
}

impl Statement {
    /// Signs in the name of a client with the key of a certificate. Both are in one file of PEM, the certificate of the key
    /// first among them.
    ///
    /// # Errors
    /// What is wrong with the file, in words that repeat nothing of it.
    pub fn of_certificate(client: &str, file: &Path) -> Result<Self, String> {
        let pem = std::fs::read(file).map_err(|error| error.to_string())?;
        let certificate =
            CertificateDer::from_pem_slice(&pem).map_err(|_| "there is no certificate in it".to_owned())?;
        let key = match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            Ok(_) => return Err("its key is none of RSA".to_owned()),
            Err(_) if pem.windows(9).any(|text| text == b"ENCRYPTED") => {
                return Err("its key is encrypted, and nothing says the password".to_owned());
            }
            Err(_) => return Err("there is no private key in it".to_owned()),
        };
        let key = key.map_err(|error| format!("its key is none of RSA that can sign: {error}"))?;
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate));
        Ok(Self(Arc::new(Source::Signed { client: client.to_owned(), thumbprint, key: Box::new(key) })))
    }

    /// Reads what a file says whenever it is needed: whoever issues it puts a new one there before the old one ends.
    #[must_use]
    pub fn of_file(file: PathBuf) -> Self {
        Self(Arc::new(Source::File(file)))
    }

    /// The fields of a request for a token at that URL.
    pub(super) fn fields(&self, audience: &str) -> Result<Vec<(String, SecretString)>, Failure> {
        let none = |message: String| Failure::Unauthorized { code: None, message };
        let text = match &*self.0 {
            Source::Signed { client, thumbprint, key } => signed(audience, client, thumbprint, key)
                .ok_or_else(|| none("the statement about who asks cannot be signed".to_owned()))?,
            Source::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| none(format!("the token of `{}` cannot be read: {error}", file.display())))?;
                text.trim().to_owned()
            }
        };
        let field = |name: &str, value: SecretString| (name.to_owned(), value);
        Ok(vec![field("client_assertion_type", KIND.into()), field("client_assertion", text.into())])
    }
}

/// A statement of ours: <https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials>.
fn signed(audience: &str, client: &str, thumbprint: &str, key: &RsaKeyPair) -> Option<String> {
    let random = SystemRandom::new();
    let mut number = [0_u8; 16];
    random.fill(&mut number).ok()?;
    let now = Timestamp::now().as_second();
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint});
    let claims = json!({
        "aud": audience, "iss": client, "sub": client, "jti": BASE64_URL_SAFE_NO_PAD.encode(number),
        "nbf": now - SLACK, "exp": now + LIFE,
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

    /// A certificate with its key, made by openssl.
    fn made() -> String {
        let words = "req -x509 -newkey rsa:2048 -nodes -keyout - -out - -subj /CN=terrace -days 2";
        let made = std::process::Command::new("openssl").args(words.split(' ')).output();
        let made = made.unwrap_or_else(|error| panic!("openssl, which makes the keys of this test: {error}"));
        String::from_utf8(made.stdout).unwrap()
    }

    fn written(text: &str) -> (std::path::PathBuf, PathGuard) {
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
    fn a_certificate_signs_for_one_place_and_a_short_time() {
        let pem = made();
        let (path, _guard) = written(&pem);
        let fields = Statement::of_certificate("app", &path).unwrap().fields("https://login/t/token").unwrap();
        assert_eq!(fields[0].1.expose_secret(), KIND);
        let text = fields[1].1.expose_secret();
        let (said, signature) = text.rsplit_once('.').unwrap();
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        let (header, claims) = said.split_once('.').unwrap();
        let header: serde_json::Value = serde_json::from_slice(&decode(header)).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&decode(claims)).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(header["x5t#S256"], BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate)));
        assert_eq!((&header["alg"], &claims["aud"]), (&json!("PS256"), &json!("https://login/t/token")));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap() <= LIFE + SLACK);
        let Ok(PrivateKeyDer::Pkcs8(key)) = PrivateKeyDer::from_pem_slice(pem.as_bytes()) else { panic!("a key") };
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public().as_ref());
        public.verify(said.as_bytes(), &decode(signature)).unwrap();
    }

    #[test]
    fn what_a_file_says_is_read_anew() {
        let (path, _guard) = written("one\n");
        let statement = Statement::of_file(path.clone());
        let said = || statement.fields("x").map(|fields| fields[1].1.expose_secret().to_owned());
        assert_eq!(said().unwrap(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(said().unwrap(), "two");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(said(), Err(Failure::Unauthorized { message, .. }) if message.contains("cannot be read")));
    }

    #[test]
    fn a_file_that_is_no_key_is_told_without_repeating_it() {
        let pem = made();
        let begin = pem.find("-----BEGIN CERT").unwrap();
        let certificate = pem.get(begin..).unwrap().split_inclusive("END CERTIFICATE-----").next().unwrap();
        for (text, says) in [("hunter2", "there is no certificate"), (certificate, "there is no private key")] {
            let (path, _guard) = written(text);
            let why = Statement::of_certificate("app", &path).unwrap_err();
            assert!(why.contains(says) && !why.contains("hunter2"), "{why}");
        }
        assert!(Statement::of_certificate("app", Path::new("/nowhere")).is_err());
    }
}

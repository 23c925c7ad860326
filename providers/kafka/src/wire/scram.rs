//! SCRAM (RFC 5802, RFC 7677) in Kafka's variant: no channel binding, names and passwords as UTF-8 without preparation.
//! Each side proves that it knows the password; neither sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Brokers use 4,096 to 16,384 iterations. The limit stops a hostile broker from wasting our time.
const MAX_ITERATIONS: u32 = 1 << 17;
/// The base64 form of "no channel binding".
const NO_BINDING: &str = "biws";

/// The hash of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// Hashes the password with the salt.
    fn salted(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.digest().output_len()];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }

    fn sign(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), message)
    }
}

/// The client's side before the first message of the server.
pub(super) struct Client {
    hash: Hash,
    bare: String,
    nonce: String,
}

/// Verifies the server's last message.
pub(super) struct Proof {
    key: hmac::Key,
    message: String,
}

impl Client {
    pub(super) fn new(hash: Hash, username: &str, nonce: &str) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        Self { hash, bare: format!("n={name},r={nonce}"), nonce: nonce.to_owned() }
    }

    /// Returns the first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Returns the answer to the server's first message, and the proof that the server's last message must satisfy.
    ///
    /// # Errors
    /// If the message is invalid.
    pub(super) fn answer(&self, received: &[u8], password: &str) -> Result<(String, Proof), String> {
        let received = std::str::from_utf8(received).map_err(|_| "its first message is not UTF-8".to_owned())?;
        let [nonce, salt, iterations] = ["r=", "s=", "i="].map(|name| {
            received
                .split(',')
                .find_map(|part| part.strip_prefix(name))
                .ok_or_else(|| format!("its first message has no `{name}`"))
        });
        let (nonce, salt, iterations) = (nonce?, salt?, iterations?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its nonce does not begin with ours".to_owned());
        }
        let salt = STANDARD.decode(salt).map_err(|_| "its salt is not base64".to_owned())?;
        let iterations = iterations
            .parse()
            .ok()
            .filter(|iterations: &NonZeroU32| iterations.get() <= MAX_ITERATIONS)
            .ok_or_else(|| format!("its number of iterations `{iterations}` is out of range"))?;
        let without_proof = format!("c={NO_BINDING},r={nonce}");
        let message = format!("{},{received},{without_proof}", self.bare);
        let salted = self.hash.salted(password, &salt, iterations);
        let client_key = self.hash.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let signature = self.hash.sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, signature)| key ^ signature).collect();
        let server_key = self.hash.sign(&salted, b"Server Key");
        let key = hmac::Key::new(self.hash.hmac(), server_key.as_ref());
        Ok((format!("{without_proof},p={}", STANDARD.encode(proof)), Proof { key, message }))
    }
}

impl Proof {
    /// Checks the server's last message.
    ///
    /// # Errors
    /// If the server cannot prove that it knows the password.
    pub(super) fn check(&self, received: &[u8]) -> Result<(), String> {
        let received = std::str::from_utf8(received).map_err(|_| "its last message is not UTF-8".to_owned())?;
        let part = |name: &str| received.split(',').find_map(|part| part.strip_prefix(name));
        if let Some(error) = part("e=") {
            return Err(format!("it reports {error}"));
        }
        let signature = part("v=").and_then(|signature| STANDARD.decode(signature).ok());
        let signature = signature.ok_or_else(|| "its last message has no signature".to_owned())?;
        hmac::verify(&self.key, self.message.as_bytes(), &signature)
            .map_err(|_| "it cannot prove that it knows the password".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn example_of_rfc_7677_is_reproduced() {
        let client = Client::new(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let received = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, proof) = client.answer(received, "pencil").unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert!(proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
        assert_eq!(proof.check(b"e=other-error"), Err("it reports other-error".to_owned()));
    }

    #[test]
    fn invalid_server_message_is_refused() {
        let client = Client::new(Hash::Sha512, "a=b,c", "abc");
        assert_eq!(client.first(), "n,,n=a=3Db=2Cc,r=abc");
        for received in [
            "r=abc,s=AAAA,i=4096",
            "r=xyzq,s=AAAA,i=4096",
            "r=abcd,s=!,i=4096",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=4000000000",
            "r=abcd,s=AAAA",
            "e=unknown-user",
            "",
        ] {
            assert!(client.answer(received.as_bytes(), "x").is_err(), "{received}");
        }
        assert!(client.answer(&[0xff, 0xfe], "x").is_err());
    }
}

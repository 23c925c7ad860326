//! SCRAM (RFC 5802, RFC 7677) as Kafka speaks it: without channel binding, names and passwords as UTF-8 without further
//! preparation. Each side proves that it knows the password, and neither sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Brokers take 4,096 up to 16,384; with many more a hostile one would keep us busy.
const MOST_ITERATIONS: u32 = 1 << 17;
/// Without channel binding, in base64.
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

    /// The password with the salt, hashed that often.
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

/// The side that is to be let in, before it heard anything.
pub(super) struct Client {
    hash: Hash,
    bare: String,
    nonce: String,
}

/// What the other side has to prove.
pub(super) struct Proof {
    key: hmac::Key,
    message: String,
}

impl Client {
    pub(super) fn new(hash: Hash, username: &str, nonce: &str) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        Self { hash, bare: format!("n={name},r={nonce}"), nonce: nonce.to_owned() }
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The answer to the first message of the other side, and what that has to prove next.
    ///
    /// # Errors
    /// When it is no such message.
    pub(super) fn answer(&self, heard: &[u8], password: &str) -> Result<(String, Proof), String> {
        let heard = std::str::from_utf8(heard).map_err(|_| "its first message is no text".to_owned())?;
        let [nonce, salt, iterations] = ["r=", "s=", "i="].map(|name| {
            heard
                .split(',')
                .find_map(|part| part.strip_prefix(name))
                .ok_or_else(|| format!("its first message has no `{name}`"))
        });
        let (nonce, salt, iterations) = (nonce?, salt?, iterations?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its nonce is not made of ours".to_owned());
        }
        let salt = STANDARD.decode(salt).map_err(|_| "its salt is no base64".to_owned())?;
        let iterations = iterations
            .parse()
            .ok()
            .filter(|iterations: &NonZeroU32| iterations.get() <= MOST_ITERATIONS)
            .ok_or_else(|| format!("it wants `{iterations}` iterations"))?;
        let without_proof = format!("c={NO_BINDING},r={nonce}");
        let message = format!("{},{heard},{without_proof}", self.bare);
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
    /// Checks the last message of the other side.
    ///
    /// # Errors
    /// When it does not know the password.
    pub(super) fn check(&self, heard: &[u8]) -> Result<(), String> {
        let heard = std::str::from_utf8(heard).map_err(|_| "its last message is no text".to_owned())?;
        let part = |name: &str| heard.split(',').find_map(|part| part.strip_prefix(name));
        if let Some(error) = part("e=") {
            return Err(format!("it says {error}"));
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
    fn the_example_of_the_specification_comes_out() {
        let client = Client::new(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let heard = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, proof) = client.answer(heard, "pencil").unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert!(proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
        assert_eq!(proof.check(b"e=other-error"), Err("it says other-error".to_owned()));
    }

    #[test]
    fn a_side_that_only_pretends_is_refused() {
        let client = Client::new(Hash::Sha512, "a=b,c", "abc");
        assert_eq!(client.first(), "n,,n=a=3Db=2Cc,r=abc");
        for heard in [
            "r=abc,s=AAAA,i=4096",
            "r=xyzq,s=AAAA,i=4096",
            "r=abcd,s=!,i=4096",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=4000000000",
            "r=abcd,s=AAAA",
            "e=unknown-user",
            "",
        ] {
            assert!(client.answer(heard.as_bytes(), "x").is_err(), "{heard}");
        }
        assert!(client.answer(&[0xff, 0xfe], "x").is_err());
    }
}

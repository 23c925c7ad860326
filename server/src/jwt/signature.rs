//! Verification of signatures with ring. `jsonwebtoken` has no cryptography without a feature. Of its two features, one
//! has an advisory (RUSTSEC-2023-0071), and the other adds a second C library beside ring.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::signature::{self as with, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use signature::{Error, Verifier};

/// The accepted algorithms: their private key is known only to the issuer.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(Verify::new(*algorithm, key)?)),
    // For creating and exporting keys, which this crate does not do.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs this verification for the process.
pub(super) fn install() {
    // No other code in the process installs one.
    let _ = PROVIDER.install_default();
}

#[derive(Clone, Copy)]
enum By {
    Rsa(&'static RsaParameters),
    Other(&'static dyn VerificationAlgorithm),
}

struct Verify {
    algorithm: Algorithm,
    by: By,
    key: DecodingKey,
}

impl Verify {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        let (family, by) = match algorithm {
            Algorithm::RS256 => (AlgorithmFamily::Rsa, By::Rsa(&with::RSA_PKCS1_2048_8192_SHA256)),
            Algorithm::RS384 => (AlgorithmFamily::Rsa, By::Rsa(&with::RSA_PKCS1_2048_8192_SHA384)),
            Algorithm::RS512 => (AlgorithmFamily::Rsa, By::Rsa(&with::RSA_PKCS1_2048_8192_SHA512)),
            Algorithm::PS256 => (AlgorithmFamily::Rsa, By::Rsa(&with::RSA_PSS_2048_8192_SHA256)),
            Algorithm::PS384 => (AlgorithmFamily::Rsa, By::Rsa(&with::RSA_PSS_2048_8192_SHA384)),
            Algorithm::PS512 => (AlgorithmFamily::Rsa, By::Rsa(&with::RSA_PSS_2048_8192_SHA512)),
            Algorithm::ES256 => (AlgorithmFamily::Ec, By::Other(&with::ECDSA_P256_SHA256_FIXED)),
            Algorithm::ES384 => (AlgorithmFamily::Ec, By::Other(&with::ECDSA_P384_SHA384_FIXED)),
            Algorithm::EdDSA => (AlgorithmFamily::Ed, By::Other(&with::ED25519)),
            _ => return Err(ErrorKind::InvalidAlgorithm.into()),
        };
        // Otherwise a key of another type would be read as one of this type.
        if key.family() != family {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        Ok(Self { algorithm, by, key: key.clone() })
    }
}

impl Verifier<Vec<u8>> for Verify {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let verified = match (self.key.kind(), self.by) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, By::Rsa(by)) => {
                RsaPublicKeyComponents { n, e }.verify(by, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(der), By::Rsa(by)) => {
                UnparsedPublicKey::new(by, der).verify(message, signature)
            }
            (DecodingKeyKind::SecretOrDer(der), By::Other(by)) => {
                UnparsedPublicKey::new(by, der).verify(message, signature)
            }
            (DecodingKeyKind::RsaModulusExponent { .. }, By::Other(_)) => return Err(Error::new()),
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for Verify {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

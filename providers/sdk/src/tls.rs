//! Encrypted connections to PostgreSQL, for the provider and for the state store, with `sslmode` and `sslrootcert` as
//! in `psql`. <https://www.postgresql.org/docs/current/libpq-ssl.html>
//!
//! `prefer` (the default) and `require` encrypt without a check of the certificate. `verify-ca` and `verify-full`
//! require a certificate of a known authority: of the file `sslrootcert`, or of this machine. `verify-full` also
//! requires the name of the host in it.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Checks of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// No check.
    Nothing,
    /// A known authority has signed it.
    Authority,
    /// A known authority has signed it, and it is for this host.
    Full,
}

/// TLS settings of a connection. `setting` is the name of the setting with the file of authorities, for messages.
///
/// # Errors
/// When the certificates of the authorities cannot be read.
pub fn client(verify: Verify, roots: Option<&Path>, setting: &str) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let authorities = match verify {
        Verify::Nothing => None,
        Verify::Authority | Verify::Full => {
            let roots = Arc::new(authorities(roots, setting)?);
            let known = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(known.map_err(|error| format!("no certificate can be verified: {error}"))?)
        }
    };
    let verifier = Verifier { provider: Arc::clone(&provider), authorities, verify };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// The certificate authorities of a file, or those of this machine.
fn authorities(file: Option<&Path>, setting: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            let refuse = |error: &dyn std::fmt::Display| format!("`{setting}` {}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refuse(&error))? {
                roots.add(certificate.map_err(|error| refuse(&error))?).map_err(|error| refuse(&error))?;
            }
            if roots.is_empty() {
                return Err(refuse(&"it holds no certificates"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(format!(
                    "this machine trusts no certificate authority: name a file of certificates with `{setting}`"
                ));
            }
        }
    }
    Ok(roots)
}

/// The meaning of an `sslmode` for the driver; `None` for an unknown mode.
pub fn mode(word: &str) -> Option<(&'static str, Verify)> {
    Some(match word {
        "disable" => ("disable", Verify::Nothing),
        "allow" | "prefer" => ("prefer", Verify::Nothing),
        "require" => ("require", Verify::Nothing),
        "verify-ca" => ("require", Verify::Authority),
        "verify-full" => ("require", Verify::Full),
        _ => return None,
    })
}

/// The default `sslmode` for a server with these names and addresses; sockets have neither. A connection that leaves
/// this machine must be encrypted.
#[must_use]
pub fn default_mode<'a>(hosts: impl IntoIterator<Item = &'a str>) -> &'static str {
    let is_here = |host: &str| {
        let address = host.parse::<std::net::IpAddr>();
        address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
    };
    if hosts.into_iter().all(is_here) { "prefer" } else { "require" }
}

/// Advice for an error of a server without TLS.
#[must_use]
pub fn advice(error: &str) -> Option<&'static str> {
    let is_plain = error.contains("server does not support TLS");
    is_plain.then_some(
        "set up TLS on the server; to send passwords and data unencrypted all the same, give `sslmode=disable`, or `sslmode=prefer` to encrypt where the server can",
    )
}

/// The file of `sslrootcert`; `None` means the authorities of this machine.
pub fn roots(value: &str) -> Option<PathBuf> {
    (value != "system").then(|| PathBuf::from(value))
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    verify: Verify,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        // The check of the name comes last.
        match authorities.verify_server_cert(certificate, intermediates, host, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.verify == Verify::Authority => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

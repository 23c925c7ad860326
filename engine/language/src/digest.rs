//! SHA-256 digests that identify texts, settings and plans.

use base16ct::lower::encode_string;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{self, BufWriter, Write};

/// Length of a digest in hexadecimal digits.
pub const DIGEST_DIGITS: usize = 64;

/// SHA-256 of bytes, as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    encode_string(&Sha256::digest(bytes))
}

/// SHA-256 of a value as JSON. The JSON is hashed in a stream, so it is never in memory as a whole.
///
/// # Errors
/// When the value cannot be serialised as JSON.
pub fn sha256_of_json(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = BufWriter::new(Sha256Writer::default());
    serde_json::to_writer(&mut text, value)?;
    let hash = text.into_inner().map_err(|error| serde_json::Error::io(error.into_error()))?;
    Ok(hash.finish())
}

/// A digest that is computed piece by piece.
#[derive(Debug, Default)]
pub struct Sha256Writer(Sha256);

impl Sha256Writer {
    /// Adds a piece.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces joined, equal to [`sha256`] of the joined bytes.
    #[must_use]
    pub fn finish(self) -> String {
        encode_string(&self.0.finalize())
    }
}

impl Write for Sha256Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sha256_matches_standard_example() {
        // FIPS 180-4, the example of "abc".
        assert_eq!(super::sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn json_digest_equals_digest_of_its_text() {
        let value = vec!["abc"; 10_000];
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(super::sha256_of_json(&value).unwrap(), super::sha256(text));
    }
}

//! The digest that texts, settings and plans are told apart by.

use base16ct::lower::encode_string;
use sha2::{Digest, Sha256};

/// SHA-256 of bytes, as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    encode_string(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-4, the example of "abc".
        assert_eq!(super::sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

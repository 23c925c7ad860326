//! Sealing sensitive values for rest: XChaCha20-Poly1305 under the state key, the key's id in front.

use base16ct::lower::encode_string;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use terrace_provider::Value;
use terrace_provider::value::wire::{Sealing, WireError, encode};

/// What belongs to a sealed text beside the key, so that a text of another use cannot be put in its place.
const PURPOSE: &[u8] = b"terrace sealed value v1";
const PLAIN: &str = "plain:";

/// How sensitive values are stored.
pub struct Seal {
    /// The key for new texts.
    current: Option<Key>,
    /// Keys that older texts may have been sealed with.
    previous: Vec<Key>,
    /// Without a key, store in the clear instead of refusing.
    is_plaintext_allowed: bool,
    /// Digests of what was found stored in the clear: to store it so again tells nobody anything new.
    found_in_clear: Mutex<HashSet<[u8; 32]>>,
    /// Something stored in the clear was opened.
    has_opened_clear: AtomicBool,
}

/// One state key.
#[derive(Clone)]
struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
    mac_key: [u8; 32],
    plan_key: [u8; 32],
}

/// How long the code of [`Seal::authenticate`] is: the id of the key, a colon and an HMAC in hexadecimal digits.
pub(crate) const CODE_LENGTH: usize = KEY_ID_LENGTH + 1 + 64;
const KEY_ID_LENGTH: usize = 8;

/// The id of the key that a sealed text or an authentication code names.
pub(crate) fn key_of(text: &str) -> Option<&str> {
    let (id, _) = text.split_once(':')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (id.len() == KEY_ID_LENGTH && id.bytes().all(is_digit)).then_some(id)
}

/// An authentication code proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unverified {
    /// It is of a key that is not configured.
    UnknownKey(String),
    /// It is of another text, or no code.
    OtherText,
}

/// A state key is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a state key is the base64 of 32 bytes; this one {0}")]
pub struct KeyError(String);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("key", &self.current.as_ref().map(|key| &key.id)).finish_non_exhaustive()
    }
}

impl Seal {
    /// Without a key: new sensitive values are refused, or stored in the clear when that was asked for.
    #[must_use]
    pub fn without_key(is_plaintext_allowed: bool) -> Self {
        Self {
            current: None,
            previous: Vec::new(),
            is_plaintext_allowed,
            found_in_clear: Mutex::default(),
            has_opened_clear: AtomicBool::new(false),
        }
    }

    /// With a key, as base64 of 32 bytes, and older keys for opening.
    ///
    /// # Errors
    /// When a key is not 32 bytes in base64.
    pub fn with_key(current: &str, previous: &[&str]) -> Result<Self, KeyError> {
        let previous = previous.iter().map(|text| Key::parse(text)).collect::<Result<_, _>>()?;
        let current = Some(Key::parse(current)?);
        Ok(Self { current, previous, ..Self::without_key(false) })
    }

    /// True when new sensitive values can be stored.
    #[must_use]
    pub fn can_store_new(&self) -> bool {
        self.current.is_some() || self.is_plaintext_allowed
    }

    /// True when a value can be stored: it is not sensitive, can be sealed, or is stored in the clear already. What is not
    /// known yet may turn out to be anything.
    #[must_use]
    pub fn can_store(&self, value: &Value) -> bool {
        self.can_store_new() || !value.has_sensitive() || (!value.has_unknown() && encode(value, self).is_ok())
    }

    /// True when something that was stored in the clear has been opened.
    #[must_use]
    pub fn has_opened_clear(&self) -> bool {
        self.has_opened_clear.load(Ordering::Relaxed)
    }

    /// True when stored sensitive values are sealed.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.current.is_some()
    }

    /// A keyed digest that tells a change of a value that is never stored. Without a key there is none.
    #[must_use]
    pub fn change_detector(&self, value: &[u8]) -> Option<String> {
        self.current.as_ref()?.change_detector(value)
    }

    /// The keyed digests that a value has under the keys of before.
    #[must_use]
    pub fn older_change_detectors(&self, value: &[u8]) -> Vec<String> {
        self.previous.iter().filter_map(|key| key.change_detector(value)).collect()
    }

    /// The code that proves to [`Seal::verify`] that a holder of the key wrote this text. Without a key there is none.
    pub(crate) fn authenticate(&self, parts: &[&[u8]]) -> Option<String> {
        let key = self.current.as_ref()?;
        Some(format!("{}:{}", key.id, encode_string(&key.plan_mac(parts)?.finalize().into_bytes())))
    }

    /// Checks a code under the key that it names: the present one, or one of before as long as that is configured.
    pub(crate) fn verify(&self, parts: &[&[u8]], code: &str) -> Result<(), Unverified> {
        let id = key_of(code).ok_or(Unverified::OtherText)?;
        let code = code.get(KEY_ID_LENGTH + 1..).ok_or(Unverified::OtherText)?;
        let key = self.current.iter().chain(&self.previous).find(|key| key.id == id);
        let key = key.ok_or_else(|| Unverified::UnknownKey(id.to_owned()))?;
        let mut bytes = [0_u8; 32];
        let code = base16ct::lower::decode(code, &mut bytes).map_err(|_| Unverified::OtherText)?;
        let mac = key.plan_mac(parts).ok_or(Unverified::OtherText)?;
        // Takes the same time whatever differs.
        mac.verify_slice(code).map_err(|_| Unverified::OtherText)
    }

    /// As it sealed when a key of before was the present one, for each of them.
    pub(crate) fn older(&self) -> impl Iterator<Item = Self> {
        self.previous.iter().map(|key| Self { current: Some(key.clone()), ..Self::without_key(false) })
    }

    fn found_in_clear(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.found_in_clear.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(clear: &[u8]) -> [u8; 32] {
    Sha256::digest(clear).into()
}

impl Key {
    fn change_detector(&self, value: &[u8]) -> Option<String> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.mac_key).ok()?;
        mac.update(value);
        Some(format!("{}:{}", self.id, BASE64.encode(mac.finalize().into_bytes())))
    }

    fn plan_mac(&self, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.plan_key).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        Some(mac)
    }

    fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64.decode(text.trim()).map_err(|_| KeyError("is not base64".to_owned()))?;
        let bytes: [u8; 32] =
            bytes.try_into().map_err(|bytes: Vec<u8>| KeyError(format!("has {} bytes", bytes.len())))?;
        let derive =
            |use_: &[u8]| -> [u8; 32] { Sha256::new().chain_update(use_).chain_update(bytes).finalize().into() };
        let id: String = encode_string(&derive(b"terrace key id")).chars().take(KEY_ID_LENGTH).collect();
        let cipher = XChaCha20Poly1305::new_from_slice(&derive(b"terrace sealing"))
            .map_err(|_| KeyError("cannot be used".to_owned()))?;
        Ok(Self { id, cipher, mac_key: derive(b"terrace change detector"), plan_key: derive(b"terrace plan file") })
    }
}

impl Sealing for Seal {
    fn seal(&self, clear: &[u8]) -> Result<String, WireError> {
        let Some(key) = &self.current else {
            if self.is_plaintext_allowed || self.found_in_clear().contains(&digest(clear)) {
                return Ok(format!("{PLAIN}{}", BASE64.encode(clear)));
            }
            return Err(WireError::NoKey);
        };
        let mut nonce = [0_u8; 24];
        getrandom::fill(&mut nonce).map_err(|error| WireError::CannotOpen(error.to_string()))?;
        let sealed = key
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: clear, aad: PURPOSE })
            .map_err(|_| WireError::CannotOpen("encryption failed".to_owned()))?;
        Ok(format!("{}:{}", key.id, BASE64.encode([nonce.as_slice(), &sealed].concat())))
    }

    fn open(&self, sealed: &str) -> Result<Vec<u8>, WireError> {
        let damaged = || WireError::CannotOpen("it is damaged".to_owned());
        if let Some(clear) = sealed.strip_prefix(PLAIN) {
            let clear = BASE64.decode(clear).map_err(|_| damaged())?;
            self.has_opened_clear.store(true, Ordering::Relaxed);
            if !self.can_store_new() {
                self.found_in_clear().insert(digest(&clear));
            }
            return Ok(clear);
        }
        let (id, text) = sealed.split_once(':').ok_or_else(damaged)?;
        let key = self.current.iter().chain(&self.previous).find(|key| key.id == id).ok_or_else(|| {
            WireError::CannotOpen(format!("it was sealed with state key {id}, which is not configured"))
        })?;
        let bytes = BASE64.decode(text).map_err(|_| damaged())?;
        let (nonce, body) = bytes.split_at_checked(24).ok_or_else(damaged)?;
        let nonce: [u8; 24] = nonce.try_into().map_err(|_| damaged())?;
        key.cipher.decrypt(&XNonce::from(nonce), Payload { msg: body, aad: PURPOSE }).map_err(|_| damaged())
    }
}

/// Opens only what is stored as it would be stored now: with the present key where there is one.
pub(crate) struct Present<'a>(pub(crate) &'a Seal);

impl Sealing for Present<'_> {
    fn seal(&self, clear: &[u8]) -> Result<String, WireError> {
        self.0.seal(clear)
    }

    fn open(&self, sealed: &str) -> Result<Vec<u8>, WireError> {
        let id = self.0.current.as_ref().map(|key| key.id.as_str());
        match sealed.split_once(':') {
            Some((by, _)) if id.is_some_and(|id| id != by) => {
                Err(WireError::CannotOpen("it is not sealed with the present key".to_owned()))
            }
            _ => self.0.open(sealed),
        }
    }
}

/// Opens nothing: what is sealed is seen as sensitive, without its value and without a key.
#[derive(Debug, Clone, Copy)]
pub struct Blind;

impl Sealing for Blind {
    fn seal(&self, _clear: &[u8]) -> Result<String, WireError> {
        Err(WireError::NoKey)
    }

    fn open(&self, _sealed: &str) -> Result<Vec<u8>, WireError> {
        Ok(b"null".to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "//////////////////////////////////////////8=";

    #[test]
    fn sealed_text_opens_with_its_key_only() {
        let seal = Seal::with_key(KEY, &[]).unwrap();
        let sealed = seal.seal(b"hunter2").unwrap();
        assert_eq!(seal.open(&sealed).unwrap(), b"hunter2");
        assert_ne!(sealed, seal.seal(b"hunter2").unwrap(), "the nonce differs each time");
        assert!(Seal::with_key(OTHER, &[]).unwrap().open(&sealed).is_err());
        assert_eq!(Seal::with_key(OTHER, &[KEY]).unwrap().open(&sealed).unwrap(), b"hunter2");
    }

    #[test]
    fn damaged_text_is_an_error() {
        let seal = Seal::with_key(KEY, &[]).unwrap();
        let sealed = seal.seal(b"hunter2").unwrap();
        let mut damaged = sealed.clone();
        damaged.replace_range(sealed.len() - 4..sealed.len() - 3, "_");
        for text in [damaged.as_str(), "", "x", "00000000:", &sealed[..20]] {
            assert!(seal.open(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_a_key_nothing_is_sealed_unless_asked_for() {
        assert!(matches!(Seal::without_key(false).seal(b"x"), Err(WireError::NoKey)));
        let plain = Seal::without_key(true);
        assert_eq!(plain.open(&plain.seal(b"x").unwrap()).unwrap(), b"x");
    }

    #[test]
    fn what_is_stored_in_the_clear_may_be_stored_so_again() {
        let stored = Seal::without_key(true).seal(b"x").unwrap();
        let seal = Seal::without_key(false);
        seal.open(&stored).unwrap();
        assert_eq!(seal.seal(b"x").unwrap(), stored);
        assert!(matches!(seal.seal(b"y"), Err(WireError::NoKey)));
    }

    #[test]
    fn a_key_is_32_bytes_in_base64() {
        assert!(Seal::with_key("", &[]).is_err());
        assert!(Seal::with_key("not base64!", &[]).is_err());
        assert!(Seal::with_key("AAAA", &[]).is_err());
    }
}

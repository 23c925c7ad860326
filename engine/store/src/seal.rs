//! Encryption of sensitive values at rest: XChaCha20-Poly1305 with the state key.
//!
//! A sealed text is `KEY:v2:BASE64`. Its place is authenticated: store, stack, address, part of the row, schema version
//! and position within. A text that is copied elsewhere cannot be opened. Older terraces wrote `KEY:BASE64`, which is
//! not bound to a place and opens anywhere, unless [`Seal::requiring_bound`] forbids it.

mod place;

pub use place::{Place, Placed, RowPart};

use crate::{Rows, StoreError};
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
use std::sync::{Mutex, PoisonError, RwLock};
use terrace_provider::Value;
use terrace_provider::value::wire::{Sealing, Spot, WireError, encode};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// The associated data of an older terrace, without a place.
const UNBOUND: &[u8] = b"terrace sealed value v1";
/// Prefix of a text that is bound to its place.
const BOUND: &str = "v2:";
const PLAIN: &str = "plain:";

/// Seals and opens sensitive values.
pub struct Seal {
    /// The key for new texts.
    current: Option<Key>,
    /// Keys of older texts.
    previous: Vec<Key>,
    /// Without a key, store values in the clear instead of refusing them; with a key, open values in the clear.
    is_plaintext_allowed: bool,
    /// Refuse texts that are not bound to their place.
    is_bound_required: bool,
    /// The store whose rows and requests are sealed and opened.
    store: RwLock<Binding>,
    /// Digests of values that were stored in the clear. Storing such a value in the clear again reveals nothing new.
    found_in_clear: Mutex<HashSet<[u8; 32]>>,
    /// Something stored in the clear was opened.
    has_opened_clear: AtomicBool,
}

/// The store of a seal.
#[derive(Clone, Copy, Default)]
struct Binding {
    store: Option<Uuid>,
    /// [`Seal::bind`] does not change it.
    is_pinned: bool,
}

/// A state key.
#[derive(Clone)]
struct Key {
    id: String,
    /// Overwrites its key when dropped.
    cipher: XChaCha20Poly1305,
    mac_key: Zeroizing<[u8; 32]>,
    plan_key: Zeroizing<[u8; 32]>,
}

/// Length of the code of [`Seal::authenticate`]: the id of the key, a colon and an HMAC in hexadecimal digits.
pub const CODE_LENGTH: usize = KEY_ID_LENGTH + 1 + 64;
const KEY_ID_LENGTH: usize = 8;

/// The id of the key in a sealed text or an authentication code.
pub fn key_of(text: &str) -> Option<&str> {
    let (id, _) = text.split_once(':')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (id.len() == KEY_ID_LENGTH && id.bytes().all(is_digit)).then_some(id)
}

/// Failures of verifying an authentication code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unverified {
    /// The code's key is not configured.
    UnknownKey(String),
    /// The code belongs to another text, or is not a code.
    Mismatch,
}

/// Error for a malformed state key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a state key is the base64 of 32 bytes; this one {0}")]
pub struct KeyError(String);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("key", &self.current.as_ref().map(|key| &key.id)).finish_non_exhaustive()
    }
}

impl Seal {
    /// Creates a seal without a key. It refuses new sensitive values, or stores them in the clear if that is allowed.
    #[must_use]
    pub fn without_key(is_plaintext_allowed: bool) -> Self {
        Self {
            current: None,
            previous: Vec::new(),
            is_plaintext_allowed,
            is_bound_required: false,
            store: RwLock::default(),
            found_in_clear: Mutex::default(),
            has_opened_clear: AtomicBool::new(false),
        }
    }

    /// Creates a seal with a key, as base64 of 32 bytes, and older keys for opening.
    ///
    /// # Errors
    /// When a key is not 32 bytes in base64.
    pub fn with_key(current: &str, previous: &[&str]) -> Result<Self, KeyError> {
        let previous = previous.iter().map(|text| Key::parse(text)).collect::<Result<_, _>>()?;
        let current = Some(Key::parse(current)?);
        Ok(Self { current, previous, ..Self::without_key(false) })
    }

    /// Also opens values in the clear; the next write seals them.
    #[must_use]
    pub fn accepting_clear(self, is_accepted: bool) -> Self {
        Self { is_plaintext_allowed: self.is_plaintext_allowed || is_accepted, ..self }
    }

    /// Refuses sealed texts of an older terrace, which are not bound to their place.
    #[must_use]
    pub fn requiring_bound(self, is_required: bool) -> Self {
        Self { is_bound_required: is_required, ..self }
    }

    /// Sets the store whose rows are sealed and opened, unless a store was pinned.
    pub fn bind(&self, store: Uuid) {
        let mut binding = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if !binding.is_pinned {
            binding.store = Some(store);
        }
    }

    /// Sets and pins the store whose rows are sealed and opened: a server also plans with empty stores.
    pub fn pin(&self, store: Uuid) {
        let mut binding = self.store.write().unwrap_or_else(PoisonError::into_inner);
        *binding = Binding { store: Some(store), is_pinned: true };
    }

    /// Sets the store whose rows are sealed and opened.
    ///
    /// # Errors
    /// When the store's identity cannot be read.
    pub async fn bind_to(&self, store: &(impl Rows + ?Sized)) -> Result<(), StoreError> {
        self.bind(store.identity().await?.id);
        Ok(())
    }

    /// The sealing of a place in the bound store.
    #[must_use]
    pub fn at<'a>(&'a self, place: Place<'a>) -> Placed<'a> {
        let Binding { store, .. } = *self.store.read().unwrap_or_else(PoisonError::into_inner);
        Placed { seal: self, store, place, is_only_current: false }
    }

    /// The sealing of a place in the given store.
    #[must_use]
    pub const fn at_store<'a>(&'a self, store: Uuid, place: Place<'a>) -> Placed<'a> {
        Placed { seal: self, store: Some(store), place, is_only_current: false }
    }

    /// Refuses an unmarked value of an attribute that the schema declares sensitive.
    ///
    /// # Errors
    /// When there is a key, and values in the clear are not accepted.
    pub(crate) fn check_marked(&self, place: &Place<'_>, spot: &Spot<'_>) -> Result<(), WireError> {
        match self.has_key() && !self.is_plaintext_allowed {
            true => Err(WireError::InClear(place.in_words(spot))),
            false => Ok(()),
        }
    }

    /// True when new sensitive values can be stored.
    #[must_use]
    pub fn can_store_new(&self) -> bool {
        self.current.is_some() || self.is_plaintext_allowed
    }

    /// True when a value can be stored: it is not sensitive, can be sealed, or is already stored in the clear. An
    /// unknown value may turn out to be any value.
    #[must_use]
    pub fn can_store(&self, value: &Value) -> bool {
        // Without a key the place is irrelevant.
        let nowhere = || self.at(Place::Plan { id: Uuid::nil() });
        self.can_store_new() || !value.has_sensitive() || (!value.has_unknown() && encode(value, &nowhere()).is_ok())
    }

    /// True when a value that was stored in the clear was opened.
    #[must_use]
    pub fn has_opened_clear(&self) -> bool {
        self.has_opened_clear.load(Ordering::Relaxed)
    }

    /// True when stored sensitive values are sealed.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.current.is_some()
    }

    /// A keyed digest that detects changes of a value that is never stored; `None` without a key.
    #[must_use]
    pub fn change_detector(&self, value: &[u8]) -> Option<String> {
        self.current.as_ref()?.change_detector(value)
    }

    /// The keyed digests of a value under the older keys.
    #[must_use]
    pub fn older_change_detectors(&self, value: &[u8]) -> Vec<String> {
        self.previous.iter().filter_map(|key| key.change_detector(value)).collect()
    }

    /// The authentication code that [`Seal::verify`] checks; `None` without a key.
    pub fn authenticate(&self, parts: &[&[u8]]) -> Option<String> {
        let key = self.current.as_ref()?;
        Some(format!("{}:{}", key.id, encode_string(&key.plan_mac(parts)?.finalize().into_bytes())))
    }

    /// Checks a code with the key that it names: the current one, or a configured older one.
    pub fn verify(&self, parts: &[&[u8]], code: &str) -> Result<(), Unverified> {
        let id = key_of(code).ok_or(Unverified::Mismatch)?;
        let code = code.get(KEY_ID_LENGTH + 1..).ok_or(Unverified::Mismatch)?;
        let key = self.current.iter().chain(&self.previous).find(|key| key.id == id);
        let key = key.ok_or_else(|| Unverified::UnknownKey(id.to_owned()))?;
        let mut bytes = [0_u8; 32];
        let code = base16ct::lower::decode(code, &mut bytes).map_err(|_| Unverified::Mismatch)?;
        let mac = key.plan_mac(parts).ok_or(Unverified::Mismatch)?;
        // Compares in constant time.
        mac.verify_slice(code).map_err(|_| Unverified::Mismatch)
    }

    /// Returns a seal for each older key, as if it were the current one.
    pub fn older(&self) -> impl Iterator<Item = Self> {
        self.previous.iter().map(|key| Self { current: Some(key.clone()), ..Self::without_key(false) })
    }

    /// Seals bytes for a place.
    fn seal(&self, place: impl FnOnce() -> Result<Vec<u8>, WireError>, clear: &[u8]) -> Result<String, WireError> {
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
            .encrypt(&XNonce::from(nonce), Payload { msg: clear, aad: &place()? })
            .map_err(|_| WireError::CannotOpen("encryption failed".to_owned()))?;
        Ok(format!("{}:{BOUND}{}", key.id, BASE64.encode([nonce.as_slice(), &sealed].concat())))
    }

    /// Opens a text of a place. `words` describes the place in errors.
    fn open(
        &self,
        place: impl FnOnce() -> Result<Vec<u8>, WireError>,
        words: impl Fn() -> String,
        sealed: &str,
        is_only_current: bool,
    ) -> Result<Vec<u8>, WireError> {
        let damaged = || WireError::CannotOpen(format!("{} is damaged", words()));
        if let Some(clear) = sealed.strip_prefix(PLAIN) {
            if self.has_key() && !self.is_plaintext_allowed {
                return Err(WireError::InClear(words()));
            }
            let clear = BASE64.decode(clear).map_err(|_| damaged())?;
            self.has_opened_clear.store(true, Ordering::Relaxed);
            if !self.can_store_new() {
                self.found_in_clear().insert(digest(&clear));
            }
            return Ok(clear);
        }
        let (id, text) = key_of(sealed).zip(sealed.split_once(':').map(|(_, text)| text)).ok_or_else(damaged)?;
        let keys = self.current.iter().chain(self.previous.iter().filter(|_| !is_only_current));
        let key = keys.into_iter().find(|key| key.id == id).ok_or_else(|| {
            WireError::CannotOpen(match is_only_current {
                true => "it is not sealed with the current key".to_owned(),
                false => format!("it was sealed with state key {id}, which is not configured"),
            })
        })?;
        let (text, aad) = match text.strip_prefix(BOUND) {
            Some(text) => (text, Some(place()?)),
            None if self.is_bound_required || is_only_current => return Err(WireError::Unbound(words())),
            None => (text, None),
        };
        let bytes = BASE64.decode(text).map_err(|_| damaged())?;
        let (nonce, body) = bytes.split_at_checked(24).ok_or_else(damaged)?;
        let nonce: [u8; 24] = nonce.try_into().map_err(|_| damaged())?;
        let payload = Payload { msg: body, aad: aad.as_deref().unwrap_or(UNBOUND) };
        key.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| {
            WireError::CannotOpen(match aad {
                Some(_) => format!("it is damaged, or was not sealed for {}", words()),
                None => format!("{} is damaged", words()),
            })
        })
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
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.mac_key.as_slice()).ok()?;
        mac.update(value);
        Some(format!("{}:{}", self.id, BASE64.encode(mac.finalize().into_bytes())))
    }

    fn plan_mac(&self, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.plan_key.as_slice()).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        Some(mac)
    }

    fn parse(text: &str) -> Result<Self, KeyError> {
        let mut bytes = BASE64.decode(text.trim()).map_err(|_| KeyError("is not base64".to_owned()))?;
        let read: Result<Zeroizing<[u8; 32]>, _> = bytes.as_slice().try_into().map(Zeroizing::new);
        let length = bytes.len();
        bytes.zeroize();
        let bytes = read.map_err(|_| KeyError(format!("has {length} bytes")))?;
        let derive = |use_: &[u8]| -> Zeroizing<[u8; 32]> {
            Zeroizing::new(Sha256::new().chain_update(use_).chain_update(bytes.as_slice()).finalize().into())
        };
        let id: String = encode_string(derive(b"terrace key id").as_slice()).chars().take(KEY_ID_LENGTH).collect();
        let cipher = XChaCha20Poly1305::new_from_slice(derive(b"terrace sealing").as_slice())
            .map_err(|_| KeyError("cannot be used".to_owned()))?;
        Ok(Self { id, cipher, mac_key: derive(b"terrace change detector"), plan_key: derive(b"terrace plan file") })
    }
}

/// Opens nothing: sealed values appear as sensitive without a value. Needs no key.
#[derive(Debug, Clone, Copy)]
pub struct Blind;

impl Sealing for Blind {
    fn seal(&self, _spot: &Spot<'_>, _clear: &[u8]) -> Result<String, WireError> {
        Err(WireError::NoKey)
    }

    fn open(&self, _spot: &Spot<'_>, _sealed: &str) -> Result<Vec<u8>, WireError> {
        Ok(b"null".to_vec())
    }
}

#[cfg(test)]
mod tests;

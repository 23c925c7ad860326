//! Conversion of user-chosen names to the letters that keys, folders and database names allow.
//!
//! One rule holds for all names: letters beyond ASCII are transliterated to Latin letters, and the result ends in the
//! first eight digits of the original's digest. `売上` and `賣上` are transliterated alike and stay distinct. A name in
//! ASCII keeps its letters.

use crate::digest::sha256;
use deunicode::deunicode_with_tofu;
use unicode_normalization::UnicodeNormalization;

/// Number of digest digits that keep transliterated names distinct.
const DIGITS: usize = 8;

/// The naming rule of a stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NamesRule {
    /// Drops characters beyond ASCII: the rule of states that were created under it.
    #[default]
    Ascii,
    /// Transliterates with [`distinct`].
    Latin,
}

impl NamesRule {
    /// True for [`NamesRule::Ascii`], which is not written to the state.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        *self == Self::Ascii
    }
}

/// Writes a text in the characters that `is_plain` accepts, joins its words with the separator, and appends the digest:
/// `Qualità 2` becomes `Qualita-2-6c1fd0c1`.
///
/// Composed and decomposed letters are the same text.
#[must_use]
pub fn distinct(text: &str, separator: char, is_plain: impl Fn(char) -> bool) -> String {
    let composed: String = text.nfc().collect();
    let latin = deunicode_with_tofu(&composed, "");
    let words = latin.split(|c| !is_plain(c)).filter(|word| !word.is_empty());
    let mut name: String =
        words.flat_map(|word| [word, separator.encode_utf8(&mut [0; 4])].map(str::to_owned)).collect();
    name.push_str(sha256(&composed).get(..DIGITS).unwrap_or_default());
    name
}

#[cfg(test)]
mod tests;

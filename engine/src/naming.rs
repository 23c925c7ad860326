//! Names that people choose, in the letters that keys, folders and names of databases are made of.
//!
//! One rule for all of them: letters beyond ASCII are written in Latin letters, and a part that had any ends in the first
//! eight digits of its digest. `売上` and `賣上` are written alike and stay two names; a part in ASCII stays as it was.

use crate::digest::sha256;
use deunicode::deunicode_with_tofu;
use unicode_normalization::UnicodeNormalization;

/// How many digits of a digest keep two names apart.
const DIGITS: usize = 8;

/// The rule that names of a stack follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NamesRule {
    /// Each character beyond ASCII counts as none: the rule that a state follows which was recorded by it.
    #[default]
    Ascii,
    /// [`distinct`].
    Latin,
}

impl NamesRule {
    /// True for [`NamesRule::Ascii`], which is not recorded.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        *self == Self::Ascii
    }
}

/// Writes a text in the characters that `is_plain` accepts, words joined by the separator, with its digest at the end:
/// `Qualità 2` as `Qualita-2-6c1fd0c1`.
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

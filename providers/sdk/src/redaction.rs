//! Redacts sensitive values in texts for people: errors, findings, progress reports.
//!
//! Providers need not redact: every session is wrapped, and the wrapper redacts the sensitive values of a call in all
//! texts of that call. A vendor's messages quote the request or parts of it, so each word of a sensitive text counts as
//! well. Keys of maps are names and stay visible.

use crate::{Attributes, ErrorKind, Object, ProviderError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::HashSet;

/// Replacement for a sensitive value.
const INSTEAD: &str = "(sensitive value)";
/// A shorter text is replaced only as a separate word: within other words, the replacement would reveal the text.
const SHORTEST_ANYWHERE: usize = 4;
/// A shorter word of a longer text reveals nothing.
const SHORTEST_WORD: usize = 4;

/// Characters that need no encoding in a URL.
const IN_URLS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The texts to redact.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    /// Whole texts and their lines, longest first.
    texts: Vec<Secret>,
    /// Words of those texts.
    words: HashSet<Secret>,
}

/// A text that `Debug` never prints.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(INSTEAD)
    }
}

impl std::borrow::Borrow<str> for Secret {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Redaction {
    /// Collects all values with a sensitive mark, and all values of attributes that the schema declares sensitive.
    #[must_use]
    pub fn of<'a>(schema: &Object, attributes: impl IntoIterator<Item = &'a Attributes>) -> Self {
        let mut texts = HashSet::new();
        for (name, value) in attributes.into_iter().flatten() {
            let is_secret = |attribute: &crate::Attribute| attribute.sensitive || attribute.write_only;
            value.visit_texts(schema.get(name).is_some_and(is_secret), &mut |text, is_marked| {
                if is_marked {
                    texts.extend(forms(&text));
                    texts.extend(decoded(&text).iter().flat_map(|part| forms(part)));
                }
            });
        }
        let parts = texts.iter().flat_map(|text| secret_parts(&text.0));
        let words = parts.flat_map(words).filter(|word| word.len() >= SHORTEST_WORD);
        let words = words.map(|word| Secret(word.to_owned())).collect();
        let mut texts: Vec<Secret> = texts.into_iter().collect();
        texts.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.0.cmp(&other.0)));
        Self { texts, words }
    }

    /// True if there is nothing to redact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text with all secrets redacted.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        let mut shown = vec![Part::Shown(text)];
        for Secret(secret) in &self.texts {
            shown = shown.into_iter().flat_map(|part| part.without(secret)).collect();
        }
        let parts = shown.into_iter().map(|part| match part {
            Part::Hidden => INSTEAD.to_owned(),
            Part::Shown(text) => self.without_words(text),
        });
        parts.collect()
    }

    /// The error with all secrets redacted. An import id with a secret in it is removed: a partial id is useless.
    #[must_use]
    pub fn error(&self, error: ProviderError) -> ProviderError {
        if self.is_empty() {
            return error;
        }
        let all = |texts: Vec<String>| texts.iter().map(|text| self.text(text)).collect();
        let kind = match error.kind {
            ErrorKind::AlreadyExists { import_id } => {
                ErrorKind::AlreadyExists { import_id: import_id.filter(|id| self.text(id) == *id) }
            }
            kind => kind,
        };
        ProviderError {
            kind,
            message: self.text(&error.message),
            vendor_code: error.vendor_code.map(|code| self.text(&code)),
            problems: all(error.problems),
            solutions: all(error.solutions),
            object: error.object,
        }
    }

    fn without_words(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((word, (before, after))) =
            words(rest).next().and_then(|word| Some((word, rest.split_once(word)?)))
        {
            shown.push_str(before);
            shown.push_str(if self.words.contains(word) { INSTEAD } else { word });
            rest = after;
        }
        shown.push_str(rest);
        shown
    }
}

/// A part of a text that is being redacted.
#[derive(Clone, Copy)]
enum Part<'t> {
    Shown(&'t str),
    Hidden,
}

impl<'t> Part<'t> {
    /// Splits the part at each occurrence of the secret.
    fn without(self, secret: &str) -> Vec<Self> {
        let Self::Shown(text) = self else { return vec![self] };
        let mut parts = Vec::new();
        let mut begin = 0;
        for (start, _) in text.match_indices(secret) {
            let end = start + secret.len();
            if start < begin || (secret.len() < SHORTEST_ANYWHERE && !stands_alone(text, start, end)) {
                continue;
            }
            parts.extend(text.get(begin..start).map(Self::Shown));
            parts.push(Self::Hidden);
            begin = end;
        }
        parts.extend(text.get(begin..).map(Self::Shown));
        parts
    }
}

/// True if no letter or digit touches the range.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|before| before.chars().next_back());
    let after = text.get(end..).and_then(|after| after.chars().next());
    ![before, after].into_iter().flatten().any(char::is_alphanumeric)
}

/// The words of a text, separated by spaces, quotes, slashes and similar characters.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@' | '$' | '!' | '%' | '#' | '~');
    text.split(move |c: char| !is_part(c)).map(|word| word.trim_matches(['.', '!'])).filter(|word| !word.is_empty())
}

/// The secret parts of a text. For a URL: without its scheme and the names of its parameters.
fn secret_parts(text: &str) -> Vec<&str> {
    let is_scheme =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:".contains(c));
    let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else { return vec![text] };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    // Splits user and host; only in a URL, because an `@` may be part of a word elsewhere.
    place.split('@').chain(values).collect()
}

/// The decoded form of percent-encoded parts of a URL, above all of its password. The receiver sees that form.
fn decoded(text: &str) -> Vec<String> {
    let parts = secret_parts(text).into_iter().flat_map(|part| part.split([':', '/']));
    let parts =
        parts.filter(|part| part.contains('%')).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned());
    parts.filter(|part| part.len() >= SHORTEST_WORD).collect()
}

/// The forms in which a message may quote a text: as it is, in JSON, in a URL, and each line alone (of a key, of a
/// certificate).
fn forms(text: &str) -> Vec<Secret> {
    let escaped = serde_json::Value::from(text).to_string();
    let encoded = utf8_percent_encode(text, IN_URLS).to_string();
    let parts = [text, escaped.trim_matches('"'), &encoded].into_iter().chain(text.lines());
    parts.filter(|part| !part.trim().is_empty()).map(|part| Secret(part.to_owned())).collect()
}

#[cfg(test)]
mod tests;

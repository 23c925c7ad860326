//! Decoding of maps with a fixed set of fields: stacks, blueprints, configuration.
//!
//! A [`Fields`] returns the fields of a map and remembers the requested names. It reports fields that are missing, have
//! the wrong type or are unknown. It continues after errors, so that one run reports them all.

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::{Located, Span};
use crate::yaml::{Entry, Node, typing_hint_for_key, typing_hint_for_value};
use terrace_provider::names::listed;

/// The code of errors about missing fields.
pub(crate) const MISSING_FIELD: &str = "missing_field";

/// The fields of a map.
#[derive(Debug)]
pub struct Fields<'n, 'd> {
    subject: &'static str,
    entries: &'n [Entry],
    span: Span,
    requested: Vec<&'static str>,
    unsupported: &'static [&'static str],
    foreign: &'static [(&'static str, &'static str)],
    /// Receives the errors.
    pub diagnostics: &'d mut Vec<Diagnostic>,
}

impl<'n, 'd> Fields<'n, 'd> {
    /// Opens a map. `subject` names it in messages, for example `a resource`. Reports any other node and returns
    /// `None`.
    pub fn open(node: &'n Node, subject: &'static str, diagnostics: &'d mut Vec<Diagnostic>) -> Option<Self> {
        match node.as_map() {
            Some(entries) => {
                let (requested, span) = (Vec::new(), node.span);
                Some(Self { subject, entries, span, requested, unsupported: &[], foreign: &[], diagnostics })
            }
            None => {
                diagnostics.push(wrong_type(subject, "a map", node));
                None
            }
        }
    }

    /// The place of the map.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Sets names of fields that exist elsewhere but are not supported here yet. Their error differs from an unknown
    /// field's.
    pub fn set_unsupported(&mut self, names: &'static [&'static str]) {
        self.unsupported = names;
    }

    /// Sets names of fields of other tools, each with the field to use instead.
    pub fn set_foreign(&mut self, fields: &'static [(&'static str, &'static str)]) {
        self.foreign = fields;
    }

    /// Returns the field; null counts as absent.
    pub fn optional(&mut self, name: &'static str) -> Option<&'n Entry> {
        self.requested.push(name);
        self.entries.iter().rev().find(|entry| entry.key == name && !entry.value.is_null())
    }

    /// Returns the field, and reports its absence.
    pub fn required(&mut self, name: &'static str) -> Option<&'n Entry> {
        let found = self.optional(name);
        if found.is_none() {
            let null = self.entries.iter().find(|entry| entry.key == name);
            let diagnostic = match null {
                Some(entry) => Diagnostic::error(MISSING_FIELD, format!("`{name}` of {} is empty", self.subject))
                    .at(entry.key_span)
                    .hint(format!("give `{name}` a value")),
                None => Diagnostic::error(MISSING_FIELD, format!("{} needs `{name}`", self.subject))
                    .at(self.heading())
                    .hint(format!("add `{name}:`")),
            };
            self.diagnostics.push(diagnostic);
        }
        found
    }

    /// The text of the field.
    pub fn text(&mut self, name: &'static str) -> Option<Located<String>> {
        let entry = self.optional(name)?;
        expect_text(entry, self.diagnostics)
    }

    /// The text of the field. Reports its absence.
    pub fn required_text(&mut self, name: &'static str) -> Option<Located<String>> {
        let entry = self.required(name)?;
        expect_text(entry, self.diagnostics)
    }

    /// The truth value of the field; false if it is absent.
    pub fn is_true(&mut self, name: &'static str) -> bool {
        let Some(entry) = self.optional(name) else { return false };
        entry.value.as_bool().unwrap_or_else(|| {
            let expected = "`true` or `false`";
            self.diagnostics.push(wrong_type(&format!("`{name}`"), expected, &entry.value));
            false
        })
    }

    /// The items of the field; empty if it is absent.
    pub fn list(&mut self, name: &'static str) -> &'n [Node] {
        let Some(entry) = self.optional(name) else { return &[] };
        entry.value.as_list().unwrap_or_else(|| {
            self.diagnostics.push(wrong_type(&format!("`{name}`"), "a list", &entry.value));
            &[]
        })
    }

    /// The texts of the field; empty if it is absent.
    pub fn texts(&mut self, name: &'static str) -> Vec<Located<String>> {
        let mut texts = Vec::new();
        for item in self.list(name) {
            match item.as_text() {
                Some(text) => texts.push(Located { value: text.to_owned(), span: item.span }),
                None => self.diagnostics.push(wrong_type(&format!("an item of `{name}`"), "text", item)),
            }
        }
        texts
    }

    /// The entries of the field; empty if it is absent.
    pub fn map(&mut self, name: &'static str) -> &'n [Entry] {
        self.map_expected(name, "a map")
    }

    /// The entries of the field; empty if it is absent. Errors show an example.
    pub fn map_such_as(&mut self, name: &'static str, example: &str) -> &'n [Entry] {
        self.map_expected(name, &format!("a map such as `{example}`"))
    }

    fn map_expected(&mut self, name: &'static str, expected: &str) -> &'n [Entry] {
        let Some(entry) = self.optional(name) else { return &[] };
        entry.value.as_map().unwrap_or_else(|| {
            self.diagnostics.push(wrong_type(&format!("`{name}`"), expected, &entry.value));
            &[]
        })
    }

    /// The value of the field's word, from pairs of words and values; `None` if the field is absent or has another
    /// word.
    pub fn word<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let entry = self.optional(name)?;
        let known = || alternatives(words.iter().map(|(word, _)| *word));
        // Quotes around `true` would not make it one of the words.
        let Some(text) = entry.value.as_text() else {
            let error = wrong_type(&format!("`{name}`"), &known(), &entry.value);
            self.diagnostics.push(error.hint(format!("write {}", known())));
            return None;
        };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known = known();
            self.diagnostics.push(
                Diagnostic::error("wrong_value", format!("`{name}` cannot be `{text}`: expected {known}"))
                    .at(entry.value.span)
                    .hint(format!("write {known}"))
                    .maybe_hint(did_you_mean(text, words.iter().map(|(word, _)| *word))),
            );
        }
        found
    }

    /// Reports every field that was not requested.
    pub fn finish(self) {
        // A caller may request a field twice, once for each form of its value.
        let mut known: Vec<&str> = Vec::new();
        for name in &self.requested {
            if !known.contains(name) {
                known.push(name);
            }
        }
        let is_present = |name: &&str| self.entries.iter().any(|entry| entry.key == **name);
        let absent: Vec<&str> = known.iter().copied().filter(|name| !is_present(name)).collect();
        for entry in self.entries {
            let name = entry.key.as_str();
            if self.requested.contains(&name) {
                continue;
            }
            let diagnostic = if self.unsupported.contains(&name) {
                Diagnostic::error("unsupported_field", format!("`{name}` of {} is not supported yet", self.subject))
                    .hint(format!("remove `{name}`"))
            } else {
                Diagnostic::error("unknown_field", format!("{} has no field `{name}`", self.subject))
                    .hint(format!("the fields are {}", listed(&known)))
                    .maybe_hint(did_you_mean(name, absent.iter().copied()))
                    .maybe_hint(typing_hint_for_key(name, self.requested.iter().copied()))
                    .maybe_hint(
                        self.foreign.iter().find(|(other, _)| *other == name).map(|(_, hint)| (*hint).to_owned()),
                    )
            };
            self.diagnostics.push(diagnostic.at(entry.key_span));
        }
    }

    /// A place for errors about the whole map: its first key, because a whole block is hard to read.
    fn heading(&self) -> Span {
        self.entries.first().map_or(self.span, |entry| entry.key_span)
    }
}

/// The text of an entry. Reports any other node.
pub fn expect_text(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<Located<String>> {
    if let Some(text) = entry.value.as_text() {
        return Some(Located { value: text.to_owned(), span: entry.value.span });
    }
    let mut diagnostic = wrong_type(&format!("`{}`", entry.key), "text", &entry.value);
    if !matches!(entry.value.kind_name(), "list" | "map" | "null") {
        diagnostic = diagnostic.hint("put the value in quotes");
    }
    diagnostics.push(diagnostic);
    None
}

/// The error `x is a list: expected text`.
#[must_use]
pub fn wrong_type(subject: &str, expected: &str, node: &Node) -> Diagnostic {
    Diagnostic::error("wrong_type", format!("{subject} is {}: expected {expected}", kind_in_words(node)))
        .at(node.span)
        .hint(typing_hint_for_value(node, expected).unwrap_or_else(|| format!("write {expected} here")))
}

/// The kind of a node for messages: `a list`, `text`, `empty`.
pub(crate) fn kind_in_words(node: &Node) -> String {
    match node.kind_name() {
        "null" => "empty".to_owned(),
        "text" => "text".to_owned(),
        kind => format!("a {kind}"),
    }
}

/// Alternatives within a sentence: "`a`, `b` or `c`". [`listed`] lists names that all exist.
#[must_use]
pub fn alternatives<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

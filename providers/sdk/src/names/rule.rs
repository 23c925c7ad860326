//! Name comparison of systems: resources with equal names, by the rule of their system, are the same object.

use crate::Value;
use std::borrow::Cow;

/// The rule by which a system compares a part of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameRule {
    /// Exact comparison.
    #[default]
    Exact,
    /// Ignores the case of ASCII letters.
    AsciiCaseless,
    /// Ignores case.
    Caseless,
    /// `.` and `_` are equal: Kafka cannot have both topics `a_b` and `a.b`.
    DotsAsUnderscores,
    /// A path: `a//b/`, `./a/b` and `a/c/../b` are `a/b`.
    Path,
    /// A name of several parts with dots between them. Ignores double quotes around a part.
    Qualified,
    /// One of several synonyms, each with its common form.
    Word(&'static [(&'static str, &'static str)]),
    /// A list of parts. Missing first parts have these defaults.
    Parts(&'static [&'static str]),
}

impl NameRule {
    /// True if two texts of one form are spellings of one name: a change from one to the other changes nothing. By the
    /// other rules, two such names only cannot exist at the same time.
    #[must_use]
    pub const fn is_of_spellings(self) -> bool {
        match self {
            Self::AsciiCaseless | Self::Caseless | Self::Path | Self::Qualified | Self::Parts(_) => true,
            Self::Exact | Self::DotsAsUnderscores | Self::Word(_) => false,
        }
    }

    /// The form of a text: equal names have equal forms.
    #[must_use]
    pub fn form(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Exact | Self::Parts(_) => text.into(),
            Self::AsciiCaseless => text.to_ascii_lowercase().into(),
            Self::Caseless => text.to_lowercase().into(),
            Self::DotsAsUnderscores => text.replace('.', "_").into(),
            Self::Path => path(text).into(),
            Self::Qualified => match parts(text) {
                Some(parts) => parts.join("\0").into(),
                None => text.into(),
            },
            Self::Word(words) => {
                words.iter().find(|(word, _)| *word == text).map_or_else(|| text.into(), |(_, same)| (*same).into())
            }
        }
    }

    /// The form of a value; a value that is not text stays the same.
    #[must_use]
    pub fn form_of(self, value: &Value) -> Value {
        match (self, value) {
            (Self::Exact, _) => value.clone(),
            (Self::Parts(first), Value::List(items)) if items.len() < first.len() => {
                let missing = first.iter().take(first.len() - items.len()).map(|part| Value::from(*part));
                missing.chain(items.iter().cloned()).collect::<Vec<_>>().into()
            }
            (_, Value::String(text)) => self.form(text).into_owned().into(),
            (_, Value::Sensitive(inner)) => Value::sensitive(self.form_of(inner.expose())),
            _ => value.clone(),
        }
    }
}

/// A path without redundant parts.
fn path(text: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        match (name, names.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => {
                names.pop();
            }
            ("..", None) if text.starts_with('/') => {}
            _ => names.push(name),
        }
    }
    let root = if text.starts_with('/') { "/" } else { "" };
    format!("{root}{}", names.join("/"))
}

/// The parts of `a."b.c"`; `None` if it is not such a name.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    let mut is_quoted = false;
    let mut is_whole = false;
    while let Some(letter) = letters.next() {
        let part = parts.last_mut()?;
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            '"' if is_quoted => (is_quoted, is_whole) = (false, true),
            '"' if part.is_empty() && !is_whole => is_quoted = true,
            '.' if !is_quoted => {
                is_whole = false;
                parts.push(String::new());
            }
            _ if is_whole => return None,
            _ => part.push(letter),
        }
    }
    (!is_quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_names_have_one_form() {
        const RELATIONS: NameRule = NameRule::Word(&[("view", "table")]);
        for (rule, one, other) in [
            (NameRule::AsciiCaseless, "Orders", "ORDERS"),
            (NameRule::Caseless, "Größe", "GRÖßE"),
            (NameRule::DotsAsUnderscores, "sales.orders", "sales_orders"),
            (NameRule::Path, "./a//b/", "a/c/../b"),
            (NameRule::Path, "/../a", "/a"),
            (NameRule::Qualified, r#"DB."S"."a.b""#, r#""DB".S."a.b""#),
            (NameRule::Qualified, r#""say ""hi""""#, r#""say ""hi""""#),
            (RELATIONS, "view", "table"),
        ] {
            assert_eq!(rule.form(one), rule.form(other), "{rule:?}: {one}, {other}");
        }
    }

    #[test]
    fn different_names_have_different_forms() {
        for (rule, one, other) in [
            (NameRule::Exact, "orders", "Orders"),
            (NameRule::AsciiCaseless, "größe", "GRÖSSE"),
            (NameRule::AsciiCaseless, "é", "É"),
            (NameRule::Path, "../a", "a"),
            (NameRule::Path, "/a", "a"),
            (NameRule::Qualified, r#""a.b""#, "a.b"),
            (NameRule::Qualified, "a.B", "a.b"),
        ] {
            assert_ne!(rule.form(one), rule.form(other), "{rule:?}: {one}, {other}");
        }
    }

    #[test]
    fn missing_part_is_the_default() {
        let rule = NameRule::Parts(&["public", ""]);
        let list = |parts: &[&str]| Value::List(parts.iter().map(|part| Value::from(*part)).collect());
        assert_eq!(rule.form_of(&list(&["orders"])), list(&["public", "orders"]));
        assert_eq!(rule.form_of(&list(&["s", "orders"])), list(&["s", "orders"]));
        let hidden = NameRule::AsciiCaseless.form_of(&Value::sensitive("A".into()));
        assert_eq!(hidden, Value::sensitive("a".into()));
    }

    proptest! {
        #[test]
        fn form_is_idempotent(text in "[a-zA-Z./_\"é]{0,12}") {
            for rule in [NameRule::AsciiCaseless, NameRule::Caseless, NameRule::DotsAsUnderscores, NameRule::Path] {
                let form = rule.form(&text).into_owned();
                prop_assert_eq!(rule.form(&form), form.as_str());
            }
        }

        #[test]
        fn case_makes_no_difference_in_caseless_names(text in "[a-zA-Z0-9 _]{0,12}") {
            let upper = text.to_ascii_uppercase();
            prop_assert_eq!(NameRule::AsciiCaseless.form(&text), NameRule::AsciiCaseless.form(&upper));
        }
    }
}

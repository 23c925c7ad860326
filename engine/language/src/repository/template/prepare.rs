//! Conversion of Nunjucks to the template language of minijinja, for the parts that differ in their spelling.
//!
//! | Nunjucks | minijinja |
//! |---|---|
//! | `r/ |-/g` | a variable that holds the regular expression |
//! | `x.length` | `x|length` |
//! | `===`, `!==`, `elseif` | `==`, `!=`, `elif` |
//! | `for item in list` | `for item in __items(list)` |
//! | `for key, value in map` | `for key, value in __pairs(map)` |
//! | `set name = value` | `set name = __limited((value))` |
//! | `[a, b]`, `{a: b}` | `__limited([a, b])`, `__limited({a: b})`: values whose text is that of JavaScript |
//!
//! Offsets in the converted text map back to the original.

use std::ops::Range;

/// The delimiters of an expression.
pub(in super::super) const EXPRESSION: (&str, &str) = ("${{", "}}");
/// The delimiters of a statement.
pub(in super::super) const STATEMENT: (&str, &str) = ("{%", "%}");
/// The delimiters of a comment.
pub(super) const COMMENT: (&str, &str) = ("{#", "#}");
/// The function that checks the size of a value that a template gives a name.
pub(super) const LIMITED: &str = "__limited";
/// The function that returns the items of a loop with one variable.
pub(super) const ITEMS: &str = "__items";
/// The function that makes pairs of a map.
pub(super) const PAIRS: &str = "__pairs";

/// A converted template.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// The template.
    pub(super) text: String,
    /// The regular expressions in it.
    pub(super) patterns: Vec<Pattern>,
    /// Names that `set` and `for` define, with their expressions.
    pub(super) aliases: Vec<(String, String)>,
    /// The expressions whose values are in the output, or repeat a part of the template.
    pub(super) reads: Vec<Range<usize>>,
    /// The expressions that decide on a part of the template.
    pub(super) conditions: Vec<Range<usize>>,
    /// The expressions, without delimiters.
    expressions: Vec<Range<usize>>,
    has_statements: bool,
    /// Offsets in `text` with those in the original, where the two begin to differ.
    anchors: Vec<(usize, usize)>,
}

/// A regular expression of a template: `r/pattern/flags`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The name of the variable that holds it.
    pub(super) name: String,
    /// The pattern, in the syntax of JavaScript.
    pub(super) pattern: String,
    /// The flags.
    pub(super) flags: String,
    /// The place in the original.
    pub(super) at: Range<usize>,
}

impl Prepared {
    /// Converts a template. A template with errors stays as it is: minijinja reports them.
    pub(super) fn new(text: &str) -> Self {
        let mut scanner = Scanner { text, at: 0, prepared: Self::default() };
        while scanner.copy_to_tag() {}
        scanner.prepared
    }

    /// The offset in the original.
    pub(super) fn original(&self, at: usize) -> usize {
        let position = self.anchors.partition_point(|(offset, _)| *offset <= at);
        match position.checked_sub(1).and_then(|position| self.anchors.get(position)) {
            Some((offset, original)) => original + (at - offset),
            None => at,
        }
    }

    /// The expression of a template that is nothing else.
    pub(super) fn only_expression(&self) -> Option<&str> {
        let [only] = self.expressions.as_slice() else { return None };
        let trimmed = self.text.trim();
        let length = only.len() + EXPRESSION.0.len() + EXPRESSION.1.len();
        let is_only = !self.has_statements && trimmed.len() == length && trimmed.starts_with(EXPRESSION.0);
        // Only a sign next to a delimiter is about white space: `${{ -1 }}` is a number.
        let inner = self.text.get(only.clone())?;
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
        Some(inner.strip_suffix(['-', '+']).unwrap_or(inner).trim()).filter(|_| is_only)
    }

    /// True without any expression or statement.
    pub(super) fn is_plain(&self) -> bool {
        self.expressions.is_empty() && !self.has_statements
    }
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    prepared: Prepared,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Copies that many bytes.
    fn copy(&mut self, length: usize) {
        let end = (self.at + length).min(self.text.len());
        self.prepared.text.push_str(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    /// Replaces that many bytes.
    fn replace(&mut self, length: usize, text: &str) {
        self.prepared.anchors.push((self.prepared.text.len(), self.at));
        self.prepared.text.push_str(text);
        self.at += length;
        self.prepared.anchors.push((self.prepared.text.len(), self.at));
    }

    /// Copies the text before the next tag, and the tag. False at the end of the text.
    fn copy_to_tag(&mut self) -> bool {
        let Some(brace) = self.rest().find('{') else {
            self.copy(self.rest().len());
            return false;
        };
        let is_expression = self.text.get(..self.at + brace).is_some_and(|before| before.ends_with('$'))
            && self.rest().get(brace..).is_some_and(|rest| rest.starts_with("{{"));
        let after = self.rest().get(brace..).unwrap_or_default();
        if is_expression {
            self.copy(brace + 2);
            let start = self.prepared.text.len();
            self.copy_tag(EXPRESSION.1);
            let end = self.prepared.text.len().saturating_sub(EXPRESSION.1.len());
            self.prepared.expressions.push(start..end.max(start));
            self.prepared.reads.push(start..end.max(start));
        } else if after.starts_with(STATEMENT.0) {
            self.copy(brace + STATEMENT.0.len());
            self.copy_statement();
        } else if after.starts_with(COMMENT.0) {
            let end = after.find(COMMENT.1).map_or(after.len(), |end| end + COMMENT.1.len());
            self.copy(brace + end);
        } else {
            self.copy(brace + 1);
        }
        true
    }

    fn copy_statement(&mut self) {
        self.prepared.has_statements = true;
        let rest = self.rest();
        let indent = rest.len() - rest.trim_start_matches(['-', '+']).trim_start().len();
        self.copy(indent);
        let keyword = word(self.rest());
        match keyword {
            "elseif" => self.replace(keyword.len(), "elif"),
            "raw" => {
                let end = self.rest().find("endraw").unwrap_or(self.rest().len());
                self.copy(end);
            }
            "for" => return self.copy_loop(),
            "set" => return self.copy_assignment(),
            _ => {}
        }
        if matches!(keyword, "if" | "elif") {
            self.copy(keyword.len());
        }
        let start = self.prepared.text.len();
        self.copy_until(STATEMENT.1);
        if matches!(keyword, "if" | "elif" | "elseif") {
            self.prepared.conditions.push(start..self.prepared.text.len());
        }
        self.copy_tag(STATEMENT.1);
    }

    /// A loop over items; one with two variables iterates over pairs.
    fn copy_loop(&mut self) {
        let rest = self.rest();
        let Some((head, _)) = near(rest).split_once(" in ").filter(|(head, _)| !head.contains(STATEMENT.1)) else {
            return self.copy_tag(STATEMENT.1);
        };
        let names = names(head.trim_start_matches("for"));
        self.copy(head.len() + " in ".len());
        let function = match names.len() {
            1 => Some(ITEMS),
            2 => Some(PAIRS),
            _ => None,
        };
        if let Some(function) = function {
            self.replace(0, &format!("{function}("));
        }
        let start = self.prepared.text.len();
        self.copy_until(STATEMENT.1);
        self.prepared.reads.push(start..self.prepared.text.len());
        self.define(names, start);
        if function.is_some() {
            self.replace(0, ")");
        }
        self.copy_tag(STATEMENT.1);
    }

    fn copy_assignment(&mut self) {
        let rest = self.rest();
        let Some((head, _)) = near(rest).split_once('=').filter(|(head, _)| !head.contains(STATEMENT.1)) else {
            // A block: its value is text of the template, unless a filter changes it.
            let is_filtered = near(rest).split(STATEMENT.1).next().is_some_and(|head| head.contains('|'));
            self.copy_until(STATEMENT.1);
            if is_filtered {
                self.replace(0, &format!("|{LIMITED}"));
            }
            return self.copy_tag(STATEMENT.1);
        };
        let names = names(head.trim_start_matches("set"));
        self.copy(head.len() + 1);
        let value = self.rest().trim_start();
        let is_empty = value.strip_prefix(['-', '+']).unwrap_or(value).starts_with(STATEMENT.1);
        if !is_empty {
            self.replace(0, &format!("{LIMITED}(("));
        }
        let start = self.prepared.text.len();
        self.copy_until(STATEMENT.1);
        self.define(names, start);
        if !is_empty {
            self.replace(0, "))");
        }
        self.copy_tag(STATEMENT.1);
    }

    fn define(&mut self, names: Vec<&str>, start: usize) {
        let expression = self.prepared.text.get(start..).unwrap_or_default().trim().to_owned();
        self.prepared.aliases.extend(names.into_iter().map(|name| (name.to_owned(), expression.clone())));
    }

    /// Copies the rest of a tag with its end.
    fn copy_tag(&mut self, close: &str) {
        self.copy_until(close);
        let sign = self.rest().starts_with(['-', '+']);
        self.copy(close.len() + usize::from(sign));
    }

    /// Copies the rest of a tag up to its end, which may begin with a sign for white space.
    fn copy_until(&mut self, close: &str) {
        let begin = self.at;
        // For each open bracket, true if it begins a list or a map.
        let mut brackets: Vec<bool> = Vec::new();
        while let Some(char) = self.rest().chars().next() {
            let rest = self.rest();
            let ended = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if brackets.is_empty() && (rest.starts_with(close) || ended.starts_with(close)) {
                return;
            }
            let before = self.text.get(..self.at).unwrap_or_default();
            let begins_word = !before.ends_with(is_of_word);
            match char {
                '"' | '\'' => self.copy_string(char),
                'r' if begins_word && rest.starts_with("r/") => self.replace_pattern(),
                '=' if rest.starts_with("===") => self.replace(3, "=="),
                '!' if rest.starts_with("!==") => self.replace(3, "!="),
                '.' if is_length(rest) && !before.ends_with("loop") => self.replace(".length".len(), "|length"),
                '(' | '[' | '{' => {
                    let is_value = char == '{' || char == '[' && begins_value(before.get(begin..).unwrap_or_default());
                    if is_value {
                        self.replace(0, &format!("{LIMITED}("));
                    }
                    brackets.push(is_value);
                    self.copy(1);
                }
                ')' | ']' | '}' => {
                    self.copy(1);
                    if brackets.pop() == Some(true) {
                        self.replace(0, ")");
                    }
                }
                char => self.copy(char.len_utf8()),
            }
        }
    }

    fn copy_string(&mut self, quote: char) {
        let mut is_escaped = false;
        let end = self.rest().char_indices().skip(1).find(|(_, char)| {
            let is_end = *char == quote && !is_escaped;
            is_escaped = *char == '\\' && !is_escaped;
            is_end
        });
        self.copy(end.map_or(self.rest().len(), |(at, _)| at + quote.len_utf8()));
    }

    /// Replaces a regular expression by its variable.
    fn replace_pattern(&mut self) {
        let rest = self.rest();
        let body = near(rest).get(2..).unwrap_or_default();
        let mut is_escaped = false;
        let end = body.char_indices().find(|(_, char)| {
            let is_end = *char == '/' && !is_escaped;
            is_escaped = *char == '\\' && !is_escaped;
            is_end
        });
        let Some((end, _)) = end else { return self.copy(2) };
        let flags = body.get(end + 1..).unwrap_or_default();
        let flags = flags.get(..flags.len() - flags.trim_start_matches(is_of_word).len()).unwrap_or_default();
        let length = 2 + end + 1 + flags.len();
        let name = format!("__regex{}", self.prepared.patterns.len());
        self.prepared.patterns.push(Pattern {
            name: name.clone(),
            pattern: body.get(..end).unwrap_or_default().to_owned(),
            flags: flags.to_owned(),
            at: self.at..self.at + length,
        });
        self.replace(length, &name);
    }
}

/// The beginning of a text: a search for a missing delimiter must not read the rest of the template again and again.
fn near(text: &str) -> &str {
    const BYTES: usize = 1_000;
    let end = (0..=BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// The names of a loop or an assignment.
fn names(head: &str) -> Vec<&str> {
    head.trim().trim_start_matches(['(', '[']).trim_end_matches([')', ']']).split(',').map(str::trim).collect()
}

fn word(text: &str) -> &str {
    text.get(..text.len() - text.trim_start_matches(is_of_word).len()).unwrap_or_default()
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// True if a bracket after this part of an expression begins a list; else it selects an item.
fn begins_value(before: &str) -> bool {
    const KEYWORDS: [&str; 8] = ["and", "elif", "else", "if", "in", "is", "not", "or"];
    let before = before.trim_end();
    let last = before.get(before.trim_end_matches(is_of_word).len()..).unwrap_or_default();
    match last {
        "" => !before.ends_with([')', ']', '}', '"', '\'']),
        word => KEYWORDS.contains(&word) && !before.strip_suffix(word).is_some_and(|rest| rest.ends_with('.')),
    }
}

/// True at `.length` as a property.
fn is_length(rest: &str) -> bool {
    let after = rest.strip_prefix(".length");
    after.is_some_and(|after| !after.starts_with(is_of_word) && !after.trim_start().starts_with('('))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(text: &str) -> String {
        Prepared::new(text).text
    }

    #[test]
    fn only_tags_are_converted() {
        assert_eq!(prepared("r/ /g === x.length"), "r/ /g === x.length");
        assert_eq!(prepared("${{ 'r/a/' }} {{ x.length }}"), "${{ 'r/a/' }} {{ x.length }}");
        assert_eq!(
            prepared("{# x.length #}{% raw %}${{ x.length }}{% endraw %}"),
            "{# x.length #}{% raw %}${{ x.length }}{% endraw %}"
        );
    }

    #[test]
    fn spellings_of_nunjucks_are_converted() {
        assert_eq!(prepared("${{ x | replace(r/ |-/g, '_') }}"), "${{ x | replace(__regex0, '_') }}");
        assert_eq!(prepared("{% if a.length === 0 %}{% elseif b !== c %}"), "{% if a|length == 0 %}{% elif b != c %}");
        assert_eq!(prepared("{%- for k, v in m -%}"), "{%- for k, v in __pairs(m )-%}");
        assert_eq!(prepared("{% for k in m if a else b %}"), "{% for k in __items(m if a else b )%}");
        assert_eq!(prepared("${{ loop.length }}"), "${{ loop.length }}");
        assert_eq!(prepared("${{ bar/2 }}"), "${{ bar/2 }}");
    }

    #[test]
    fn quotes_and_brackets_do_not_end_a_tag() {
        let text = r#"${{ "a\"}}" ~ {a: {b: 1}}.a.b }} after ${{ x.length }}"#;
        assert!(prepared(text).ends_with(" after ${{ x|length }}"), "{}", prepared(text));
    }

    #[test]
    fn offsets_map_to_the_original() {
        let text = "${{ a | replace(r/x/g, b) }} ${{ c.length }} end";
        let prepared = Prepared::new(text);
        for word in ["b)", "end", "c"] {
            let at = prepared.text.rfind(word).unwrap();
            assert_eq!(prepared.original(at), text.rfind(word).unwrap(), "{word}");
        }
        let [pattern] = prepared.patterns.as_slice() else { panic!("{prepared:?}") };
        assert_eq!(text.get(pattern.at.clone()), Some("r/x/g"));
    }

    #[test]
    fn names_keep_their_expressions() {
        let prepared =
            Prepared::new("{% set major = parameters.id.split('.')[2] %}{% for i in values.tags %}{% endfor %}");
        let expected =
            [("major", "parameters.id.split('.')[2]"), ("i", "values.tags")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(prepared.aliases, expected);
    }

    #[test]
    fn unclosed_tags_end_with_the_text() {
        for text in ["${{ a", "{% for a", "{% set x = 'a", "${{ r/a", "{# a", "${{ \"\\", "${", "{%", "{% for a, b in"]
        {
            assert!(prepared(text).starts_with(text.get(..2).unwrap()), "{text}");
        }
    }
}

//! Regular expressions of templates, converted from the syntax of JavaScript.

use super::prepare::Pattern;
use super::values::{LONGEST_TEXT, list, too_large};
use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// Maximum size of a compiled expression, in bytes.
const LARGEST: usize = 1 << 20;

/// A compiled regular expression.
#[derive(Debug)]
pub(super) struct Compiled {
    regex: Regex,
    is_global: bool,
}

impl Object for Compiled {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Compiled {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When the expression has an error, or uses a feature without a linear time: look-around and back references.
    pub(super) fn new(pattern: &Pattern) -> Result<Self, String> {
        let has = |flag: char| pattern.flags.contains(flag);
        if let Some(flag) = pattern.flags.chars().find(|flag| !"gimsuy".contains(*flag)) {
            return Err(format!("it has the unknown flag `{flag}`"));
        }
        let regex = RegexBuilder::new(&converted(&pattern.pattern))
            .case_insensitive(has('i'))
            .multi_line(has('m'))
            .dot_matches_new_line(has('s'))
            .size_limit(LARGEST)
            .dfa_size_limit(LARGEST)
            .build()
            .map_err(|error| match error {
                regex::Error::Syntax(text) => {
                    let last = text.lines().last().unwrap_or_default();
                    last.strip_prefix("error: ").unwrap_or(last).to_owned()
                }
                _ => "it is too large".to_owned(),
            })?;
        Ok(Self { regex, is_global: has('g') })
    }

    /// Replaces the first match, or all matches with the flag `g`.
    ///
    /// # Errors
    /// When the result is too long.
    pub(super) fn replace(&self, text: &str, replacement: &str) -> Result<String, Error> {
        let replacement = converted_replacement(replacement);
        let (mut result, mut last) = (String::new(), 0);
        for captures in self.regex.captures_iter(text).take(if self.is_global { usize::MAX } else { 1 }) {
            let Some(whole) = captures.get(0) else { continue };
            result.push_str(text.get(last..whole.start()).unwrap_or_default());
            captures.expand(&replacement, &mut result);
            if result.len() > LONGEST_TEXT {
                return Err(too_large());
            }
            last = whole.end();
        }
        result.push_str(text.get(last..).unwrap_or_default());
        Ok(result)
    }

    /// The parts between matches.
    pub(super) fn split<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.regex.split(text)
    }

    /// `text.match(expression)`: all matches with the flag `g`, else the first one and its groups. Null without a match.
    ///
    /// # Errors
    /// When the result is too large.
    pub(super) fn matches(&self, state: &State<'_, '_>, text: &str) -> Result<Value, Error> {
        if self.is_global {
            let all = self.regex.find_iter(text).map(|found| Value::from(found.as_str()));
            let all = list(state, all)?;
            return Ok(if all.len() == Some(0) { Value::from(()) } else { all });
        }
        let Some(captures) = self.regex.captures(text) else { return Ok(Value::from(())) };
        let groups = captures.iter().map(|group| group.map_or(Value::UNDEFINED, |group| Value::from(group.as_str())));
        list(state, groups)
    }
}

/// The expression in the syntax of Rust: classes cover ASCII only, and brackets and signs in a class are themselves.
fn converted(pattern: &str) -> String {
    let mut result = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut is_in_class = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('d') => result.push_str("[0-9]"),
                Some('D') => result.push_str("[^0-9]"),
                Some('w') => result.push_str("[0-9A-Za-z_]"),
                Some('W') => result.push_str("[^0-9A-Za-z_]"),
                Some('/') => result.push('/'),
                Some(escaped) => result.extend(['\\', escaped]),
                None => result.push('\\'),
            },
            '[' if is_in_class => result.push_str("\\["),
            '&' | '~' if is_in_class => result.extend(['\\', char]),
            '[' => {
                is_in_class = true;
                result.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    result.push('^');
                }
            }
            ']' => {
                is_in_class = false;
                result.push(']');
            }
            char => result.push(char),
        }
    }
    result
}

/// The replacement in the syntax of Rust: `$1` does not take the letters after it, and `$&` is the match.
fn converted_replacement(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '$' {
            result.push(char);
            continue;
        }
        match chars.peek().copied() {
            Some('$') => {
                chars.next();
                result.push_str("$$");
            }
            Some('&') => {
                chars.next();
                result.push_str("${0}");
            }
            Some('1'..='9') => {
                let digit = chars.next().unwrap_or_default();
                result.extend(['$', '{', digit, '}']);
            }
            Some('<') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|char| *char != '>').collect();
                result.push_str(&format!("${{{name}}}"));
            }
            _ => result.push_str("$$"),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(text: &str, pattern: &str, flags: &str, replacement: &str) -> String {
        let (pattern, flags) = (pattern.to_owned(), flags.to_owned());
        let compiled = Compiled::new(&Pattern { name: String::new(), pattern, flags, at: 0..0 }).unwrap();
        compiled.replace(text, replacement).unwrap()
    }

    #[test]
    fn replacement_follows_javascript() {
        assert_eq!(replace("a b c", " ", "", "-"), "a-b c");
        assert_eq!(replace("a b c", " ", "g", "-"), "a-b-c");
        assert_eq!(replace("A-b", "[a-z]", "gi", "<$&>"), "<A>-<b>");
        assert_eq!(replace("ab", "(a)(b)", "", "$2x$1"), "bxa");
        assert_eq!(replace("a[b/c&", r"[[\/&]", "g", "_"), "a_b_c_");
        assert_eq!(replace("é1 ٣", r"\w|\d", "g", "$"), "é$ ٣");
        assert_eq!(replace("a\tb", r"\t", "g", "  "), "a  b");
    }

    #[test]
    fn expression_without_linear_time_is_refused() {
        let pattern = |pattern: &str| Pattern {
            name: String::new(),
            pattern: pattern.to_owned(),
            flags: String::new(),
            at: 0..0,
        };
        assert!(Compiled::new(&pattern("a(?=b)")).unwrap_err().contains("look-around"));
        assert!(Compiled::new(&pattern(r"(a{1000}){1000}")).unwrap_err().contains("too large"));
        assert!(Compiled::new(&pattern("(")).is_err());
    }
}

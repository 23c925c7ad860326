//! Conversion of Nunjucks to the template language of minijinja, for the parts that differ in their spelling.
//!
//! | Nunjucks | minijinja |
//! |---|---|
//! | `r/ |-/g` | a variable that holds the regular expression |
//! | `x.length` | `x|length` |
//! | `===`, `!==`, `elseif` | `==`, `!=`, `elif` |
//! | `a == b`, and the other comparisons | `__compare("==", a, b)`, with the conversions of JavaScript |
//! | `a + b - c ~ d` | `__sum(a, "+", b, "-", c, "~", d)`, with the conversions of JavaScript |
//! | `a[b]` | `a[__index(b)]`: a negative number selects nothing |
//! | `for item in list` | `for item in __items(list)` |
//! | `for key, value in map` | `for key, value in __pairs(map)` |
//! | `set name = value` | `set name = __limited((value))` |
//! | `[a, b]`, `{a: b}` | `__limited([a, b])`, `__limited({a: b})`: values whose text is that of JavaScript |
//!
//! Offsets in the converted text map back to the original.

use super::assignments::Event;
use super::depth::{DEEPEST_BRACKETS, DEEPEST_EXPRESSION};
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

/// The function that compares two values.
pub(super) const COMPARE: &str = "__compare";
/// The function that adds, subtracts and joins values from left to right: Nunjucks compiles these operators to JavaScript
/// without brackets, so all of them have the same rank.
pub(super) const SUM: &str = "__sum";
/// The function that checks an index.
pub(super) const INDEX: &str = "__index";

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
    /// Loops, conditions, and the names that the template sets and reads. Ranges are those of the original.
    pub(super) events: Vec<Event>,
    /// The operator of a sum with which it exceeds the limit.
    pub(super) too_long: Option<Range<usize>>,
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
        let mut scanner = Scanner { text, at: 0, prepared: Self::default(), blocks: Vec::new() };
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
    /// The names of open blocks of `set`.
    blocks: Vec<Vec<Range<usize>>>,
}

/// A bracket in an expression, or the expression itself.
#[derive(Debug, Default)]
struct Level {
    /// The text before the closing bracket, and behind it.
    closing: (&'static str, &'static str),
    /// The beginning of the operand, in the converted text.
    operand: Option<usize>,
    is_comparison: bool,
    /// True behind two comparisons in a row, which stay those of minijinja: each conversion would copy the others again.
    is_chain: bool,
    /// The beginning of the first operand of a sum, in the converted text.
    sum: Option<usize>,
    /// The number of operators in the sum.
    operators: usize,
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
            // A sign right behind the delimiter is about white space.
            self.copy(usize::from(self.rest().starts_with(['-', '+'])));
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
        let event = match keyword {
            "if" => Some(Event::If),
            "elif" | "elseif" => Some(Event::Branch(false)),
            "else" => Some(Event::Branch(true)),
            "endif" => Some(Event::EndIf),
            "endfor" => Some(Event::EndLoop),
            "macro" => {
                let head = near(self.rest()).split(STATEMENT.1).next().unwrap_or_default();
                let names = head.split_once('(').map_or("", |(_, names)| names);
                let names = names.rsplit_once(')').map_or(names, |(names, _)| names).split(',');
                let names: Vec<&str> = names.map(|name| name.split('=').next().unwrap_or_default().trim()).collect();
                Some(Event::Macro(self.ranges(&names)))
            }
            "endmacro" => Some(Event::EndMacro),
            "endset" => {
                let names = self.blocks.pop().unwrap_or_default();
                self.prepared.events.extend(names.into_iter().map(Event::Set));
                None
            }
            _ => None,
        };
        self.prepared.events.extend(event);
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
        let variables = self.ranges(&names);
        self.prepared.events.push(Event::Loop(variables));
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
            let head = near(rest).split(STATEMENT.1).next().unwrap_or_default();
            let is_filtered = head.contains('|');
            let names = names(head.split('|').next().unwrap_or_default().trim_start_matches("set"));
            let names = self.ranges(&names);
            self.blocks.push(names);
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
        let targets = self.ranges(&names);
        self.prepared.events.extend(targets.into_iter().map(Event::Set));
        self.define(names, start);
        if !is_empty {
            self.replace(0, "))");
        }
        self.copy_tag(STATEMENT.1);
    }

    /// The ranges of parts of the original.
    fn ranges(&self, parts: &[&str]) -> Vec<Range<usize>> {
        let begin = self.text.as_ptr().addr();
        let range = |part: &&str| {
            let start = part.as_ptr().addr().saturating_sub(begin);
            start..start + part.len()
        };
        parts.iter().map(range).collect()
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
        let mut levels = vec![Level::default()];
        while let Some(char) = self.rest().chars().next() {
            let rest = self.rest();
            let ended = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if levels.len() == 1 && (rest.starts_with(close) || ended.starts_with(close)) {
                break;
            }
            let before = self.text.get(..self.at).unwrap_or_default();
            let begins_word = !before.ends_with(is_of_word);
            let is_space = char.is_whitespace();
            // A conversion moves the text within its brackets, so many levels would cost too much. `depth` refuses them.
            let is_converted = levels.len() <= DEEPEST_BRACKETS + 1;
            let Some(level) = levels.last_mut() else { break };
            let word = if begins_word { word(rest) } else { "" };
            let is_name = !before.trim_end().ends_with(['.', '|']);
            if word.is_empty() && matches!(char, ',' | ':') || is_name && OPERATORS.contains(&word) {
                self.end_operand(level);
                self.copy(char.len_utf8().max(word.len()));
                continue;
            }
            if !is_space {
                let at = self.prepared.text.len();
                level.operand.get_or_insert(at);
                level.sum.get_or_insert(at);
            }
            let is_operator = || !begins_value(before.get(begin..).unwrap_or_default());
            if is_name && word.starts_with(|first: char| !first.is_numeric()) {
                self.prepared.events.push(Event::Read(self.at..self.at + word.len()));
            }
            match char {
                '"' | '\'' => self.copy_string(char),
                'r' if begins_word && rest.starts_with("r/") => self.replace_pattern(),
                '=' if rest.starts_with("===") => self.replace(3, "=="),
                '!' if rest.starts_with("!==") => self.replace(3, "!="),
                '=' | '!' | '<' | '>' if !is_converted => self.copy(1),
                '=' if rest.starts_with("==") => self.compare(level, "=="),
                '!' if rest.starts_with("!=") => self.compare(level, "!="),
                '<' if rest.starts_with("<=") => self.compare(level, "<="),
                '>' if rest.starts_with(">=") => self.compare(level, ">="),
                '<' => self.compare(level, "<"),
                '>' => self.compare(level, ">"),
                '+' | '-' | '~' if is_converted && is_operator() => self.add(level, char),
                // The value of an argument begins behind its name.
                '=' => {
                    self.end_operand(level);
                    self.copy(1);
                }
                '.' if is_length(rest) && !before.ends_with("loop") => self.replace(".length".len(), "|length"),
                '(' | '[' | '{' => {
                    let is_value = char == '{' || char == '[' && begins_value(before.get(begin..).unwrap_or_default());
                    let is_index = char == '[' && !is_value && !is_literal_index(rest);
                    if is_value {
                        self.replace(0, &format!("{LIMITED}("));
                    }
                    self.copy(1);
                    if is_index {
                        self.replace(0, &format!("{INDEX}("));
                    }
                    let closing = (if is_index { ")" } else { "" }, if is_value { ")" } else { "" });
                    levels.push(Level { closing, ..Level::default() });
                }
                ')' | ']' | '}' => {
                    self.end_operand(level);
                    let (inside, behind) = level.closing;
                    if levels.len() > 1 {
                        levels.pop();
                        self.replace_if(inside);
                        self.copy(1);
                        self.replace_if(behind);
                    } else {
                        self.copy(1);
                    }
                }
                char => self.copy(char.len_utf8()),
            }
        }
        if let Some(level) = levels.last_mut() {
            self.end_operand(level);
        }
    }

    /// Adds a text that the original does not have.
    fn replace_if(&mut self, text: &str) {
        if !text.is_empty() {
            self.replace(0, text);
        }
    }

    /// Ends an operand, and the comparison that it belongs to.
    fn end_operand(&mut self, level: &mut Level) {
        (level.operand, level.is_chain) = (None, false);
        self.end_sum(level);
        if std::mem::take(&mut level.is_comparison) {
            self.replace(0, ")");
        }
    }

    /// Converts an operator of a sum, whose first operand is copied already.
    fn add(&mut self, level: &mut Level, operator: char) {
        level.operators += 1;
        if level.operators > DEEPEST_EXPRESSION {
            self.prepared.too_long.get_or_insert(self.at..self.at + 1);
        }
        if level.operators == 1 {
            self.insert(level.sum.unwrap_or(self.prepared.text.len()), &format!("{SUM}("));
        }
        self.replace(1, &format!(", \"{operator}\","));
    }

    /// Ends a sum.
    fn end_sum(&mut self, level: &mut Level) {
        level.sum = None;
        if std::mem::take(&mut level.operators) > 0 {
            self.replace(0, ")");
        }
    }

    /// Converts a comparison, whose first operand is copied already.
    fn compare(&mut self, level: &mut Level, operator: &str) {
        if level.is_comparison || level.is_chain {
            self.end_operand(level);
            level.is_chain = true;
            return self.copy(operator.len());
        }
        let operand = level.operand.unwrap_or(self.prepared.text.len());
        self.end_sum(level);
        self.insert(operand, &format!("{COMPARE}(\"{operator}\", "));
        self.replace(operator.len(), ",");
        *level = Level { operand: Some(operand), is_comparison: true, ..std::mem::take(level) };
    }

    /// Inserts a text that the original does not have into the copied text.
    fn insert(&mut self, at: usize, text: &str) {
        let original = self.prepared.original(at);
        let anchors = &mut self.prepared.anchors;
        let position = anchors.partition_point(|(offset, _)| *offset < at);
        anchors.iter_mut().skip(position).for_each(|(offset, _)| *offset += text.len());
        anchors.insert(position, (at + text.len(), original));
        anchors.insert(position, (at, original));
        self.prepared.text.insert_str(at, text);
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

/// The words around operands of comparisons.
const OPERATORS: [&str; 8] = ["and", "elif", "else", "if", "in", "is", "not", "or"];

/// True if a bracket has a name or a whole number as its index.
fn is_literal_index(rest: &str) -> bool {
    let index = near(rest).get(1..).unwrap_or_default().trim_start();
    let digits = index.trim_start_matches(|char: char| char.is_ascii_digit());
    index.starts_with(['"', '\'']) || digits.len() < index.len() && digits.trim_start().starts_with(']')
}

/// True if a bracket after this part of an expression begins a list; else it selects an item.
fn begins_value(before: &str) -> bool {
    let before = before.trim_end();
    let last = before.get(before.trim_end_matches(is_of_word).len()..).unwrap_or_default();
    match last {
        "" => !before.ends_with([')', ']', '}', '"', '\'']),
        word => OPERATORS.contains(&word) && !before.strip_suffix(word).is_some_and(|rest| rest.ends_with('.')),
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
    fn comparisons_become_calls() {
        assert_eq!(
            prepared("{% if a == 1 and not b.c != 'x' %}"),
            "{% if __compare(\"==\", a , 1 )and not __compare(\"!=\", b.c , 'x' )%}"
        );
        assert_eq!(
            prepared("${{ f(a <= b, c) if x|y > 1 else z }}"),
            "${{ f(__compare(\"<=\", a , b), c) if __compare(\">\", x|y , 1 )else z }}"
        );
        assert_eq!(prepared("${{- a == b -}}"), "${{- __compare(\"==\", a , b )-}}");
        assert_eq!(prepared("${{ a == b == c == d }}"), "${{ __compare(\"==\", a , b )== c == d }}");
        assert_eq!(
            prepared("${{ a[i - 1] }} ${{ a[0] }} ${{ a['b'] }}"),
            "${{ a[__index(__sum(i , \"-\", 1))] }} ${{ a[0] }} ${{ a['b'] }}"
        );
    }

    #[test]
    fn sums_become_calls() {
        for (template, expected) in [
            ("${{ a + b - c ~ d | upper }}", r#"${{ __sum(a , "+", b , "-", c , "~", d | upper )}}"#),
            ("${{ a ~ b == e + f }}", r#"${{ __compare("==", __sum(a , "~", b ), __sum(e , "+", f ))}}"#),
            (
                "${{ -a + (+1 - -b) if c + 1 else [d + 'x'] }}",
                r#"${{ __sum(-a , "+", (__sum(+1 , "-", -b)) )if __sum(c , "+", 1 )else __limited([__sum(d , "+", 'x')]) }}"#,
            ),
            (
                "${{ f(a=b + c, d == 1) + x.y }}",
                r#"${{ __sum(f(a=__sum(b , "+", c), __compare("==", d , 1)) , "+", x.y )}}"#,
            ),
            ("${{+ a +}} {%+ if a -%}", "${{+ a +}} {%+ if a -%}"),
        ] {
            assert_eq!(prepared(template), expected);
        }
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

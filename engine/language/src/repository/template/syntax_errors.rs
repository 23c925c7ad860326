//! Remedies for errors of syntax, and the block that an error at the end of a template is about.

use super::prepare::{COMMENT, EXPRESSION, STATEMENT};
use crate::diagnostic::did_you_mean;
use std::ops::Range;

/// The statements with a block.
const BLOCKS: [&str; 7] = ["call", "filter", "for", "if", "macro", "set", "with"];
/// The other statements, for hints.
const OTHERS: [&str; 4] = ["elif", "elseif", "else", "raw"];

/// An open block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open<'t> {
    /// Its keyword.
    pub(super) keyword: &'t str,
    /// The place of its tag.
    pub(super) at: Range<usize>,
}

/// The innermost block of a template that has no end.
pub(super) fn unclosed(text: &str) -> Option<Open<'_>> {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    while let Some(tag) = next_tag(text, at) {
        let inner = text.get(tag.start + STATEMENT.0.len()..tag.end)?;
        let inner = inner.trim_start_matches(['-', '+']).trim_start();
        let end = inner.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let keyword = inner.get(..end)?;
        at = tag.end;
        match keyword.strip_prefix("end") {
            Some(_) => drop(open.pop()),
            // A `set` with a value has no block.
            None if keyword == "set" && inner.contains('=') => {}
            None if keyword == "raw" => at += text.get(at..)?.find("endraw").unwrap_or(0),
            None if BLOCKS.contains(&keyword) => open.push(Open { keyword, at: tag }),
            None => {}
        }
    }
    open.pop()
}

/// The range of the next statement, with its delimiters.
fn next_tag(text: &str, mut at: usize) -> Option<Range<usize>> {
    loop {
        let start = at + text.get(at..)?.find('{')?;
        let rest = text.get(start..)?;
        if rest.starts_with(STATEMENT.0) {
            let end = rest.find(STATEMENT.1)? + STATEMENT.1.len();
            return Some(start..start + end);
        }
        let is_comment = rest.starts_with(COMMENT.0);
        at = start + if is_comment { rest.find(COMMENT.1)? } else { 1 };
    }
}

/// The remedy for an error of syntax. `before` is the text in front of it.
pub(super) fn hint(detail: &str, before: &str) -> Option<String> {
    if detail.starts_with("unexpected `}`") && detail.contains("end of variable block") {
        return Some(format!("close the expression with `{}`", EXPRESSION.1));
    }
    let statement = detail.strip_prefix("unknown statement ")?;
    let is_end = statement.strip_prefix("end").is_some_and(|block| BLOCKS.contains(&block));
    if !is_end {
        let ends: Vec<String> = BLOCKS.iter().map(|block| format!("end{block}")).collect();
        return did_you_mean(statement, BLOCKS.into_iter().chain(OTHERS).chain(ends.iter().map(String::as_str)));
    }
    Some(match unclosed(before) {
        Some(Open { keyword, .. }) => format!("close the innermost block first: `{{% end{keyword} %}}`"),
        None => "no block is open here: remove it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unclosed_block_is_the_innermost_one() {
        let found = |text: &str| unclosed(text).map(|open| text[open.at].to_owned());
        assert_eq!(found("{% if a %}{% for b in c %}{% endfor %}x"), Some("{% if a %}".to_owned()));
        assert_eq!(found("{%- macro f(x) -%}{% set a = 1 %}{# {% if %} #}"), Some("{%- macro f(x) -%}".to_owned()));
        assert_eq!(found("{% set a %}x"), Some("{% set a %}".to_owned()));
        for closed in ["{% if a %}{% endif %}", "{% raw %}{% if %}{% endraw %}", "{ {{ {", "{% if", ""] {
            assert_eq!(found(closed), None, "{closed}");
        }
    }
}

//! Which names a person may choose.
//!
//! A name ends up in addresses (`component/type.name["key"]`), in expressions (`resources.name`) and in folders, so
//! what would be ambiguous in one of them is refused here, once.

use super::Located;
use crate::address::SHARED;
use crate::diagnostic::Diagnostic;
use terrace_provider::path::is_identifier;

/// Words that an expression reads as something else.
const EXPRESSION_WORDS: [&str; 4] = ["true", "false", "null", "in"];

/// True for what a resource of a descriptor can be called.
#[must_use]
pub fn is_resource_name(name: &str) -> bool {
    is_identifier(name) && !EXPRESSION_WORDS.contains(&name)
}

/// Reports a name that cannot be one; `what` says of what: `a resource`.
pub(super) fn check(name: &Located<String>, what: &str, diagnostics: &mut Vec<Diagnostic>) {
    let text = name.value.as_str();
    if !is_identifier(text) {
        diagnostics.push(
            Diagnostic::error("illegal_name", format!("`{text}` cannot be the name of {what}"))
                .at(name.span)
                .hint("use letters (a-z, A-Z), digits, `_` and `-`, and begin with a letter or `_`"),
        );
    } else if EXPRESSION_WORDS.contains(&text) {
        diagnostics.push(
            Diagnostic::error("reserved_name", format!("`{text}` is a word of expressions and no name of {what}"))
                .at(name.span)
                .hint("choose another name"),
        );
    }
}

/// As [`check`], for a component of a stack.
pub(super) fn check_component(name: &Located<String>, diagnostics: &mut Vec<Diagnostic>) {
    check(name, "a component", diagnostics);
    if name.value == SHARED {
        diagnostics.push(reserved(name, "a component"));
    }
}

/// As [`check`], for what expressions read by a bare name: a variable, which may also come in as an environment
/// variable's name, or a local.
pub(super) fn check_bare(name: &Located<String>, what: &str, diagnostics: &mut Vec<Diagnostic>) {
    check(name, what, diagnostics);
    if is_identifier(&name.value) && name.value.contains('-') {
        diagnostics.push(
            Diagnostic::error("illegal_name", format!("`{}` cannot be the name of {what}", name.value))
                .at(name.span)
                .hint(format!("an expression would read a subtraction; use `{}`", name.value.replace('-', "_"))),
        );
    }
}

/// Reports what cannot be the name of a stack.
pub(super) fn check_stack(name: &Located<String>, diagnostics: &mut Vec<Diagnostic>) {
    let text = name.value.as_str();
    let is_legal = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && text.chars().all(is_stack_character);
    if !is_legal {
        diagnostics.push(
            Diagnostic::error("illegal_name", format!("`{text}` cannot be the name of a stack"))
                .at(name.span)
                .hint("use letters (a-z, A-Z), digits, `.`, `_` and `-`, and begin with a letter, a digit or `_`"),
        );
    } else if text == SHARED {
        diagnostics.push(reserved(name, "a stack"));
    }
}

/// True for what may stand in the name of a stack, and in the key of a component that another system named.
pub(super) fn is_stack_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn reserved(name: &Located<String>, what: &str) -> Diagnostic {
    Diagnostic::error(
        "reserved_name",
        format!("`{}` cannot be the name of {what}: shared resources have it", name.value),
    )
    .at(name.span)
    .hint("choose another name")
}

//! Checks of names that users choose.
//!
//! A name is part of addresses (`component/type.name["key"]`), of expressions (`resources.name`) and of folders. These
//! checks refuse names that would be ambiguous in any of them.

use crate::address::SHARED;
use crate::diagnostic::Diagnostic;
use crate::source::Located;
use terrace_provider::path::is_identifier;

/// Keywords of expressions.
const EXPRESSION_WORDS: [&str; 4] = ["true", "false", "null", "in"];

/// True if a resource can have this name.
#[must_use]
pub fn is_resource_name(name: &str) -> bool {
    is_identifier(name) && !EXPRESSION_WORDS.contains(&name)
}

/// Reports an illegal name. `kind` is the kind of thing in the message: `a resource`.
pub(super) fn check(name: &Located<String>, kind: &str, diagnostics: &mut Vec<Diagnostic>) {
    let text = name.value.as_str();
    if !is_identifier(text) {
        diagnostics.push(
            Diagnostic::error("illegal_name", format!("`{text}` cannot be the name of {kind}"))
                .at(name.span)
                .hint("use letters (a-z, A-Z), digits, `_` and `-`, and begin with a letter or `_`"),
        );
    } else if EXPRESSION_WORDS.contains(&text) {
        diagnostics.push(
            Diagnostic::error(
                "reserved_name",
                format!("`{text}` is a keyword of expressions and cannot be the name of {kind}"),
            )
            .at(name.span)
            .hint("choose another name"),
        );
    }
}

/// Like [`check`], for a component of a stack.
pub(super) fn check_component(name: &Located<String>, diagnostics: &mut Vec<Diagnostic>) {
    check(name, "a component", diagnostics);
    if name.value == SHARED {
        diagnostics.push(reserved(name, "a component"));
    }
}

/// Like [`check`], for a name that expressions read without brackets: a variable or a local. A variable may also come
/// from an environment variable.
pub(super) fn check_bare(name: &Located<String>, kind: &str, diagnostics: &mut Vec<Diagnostic>) {
    check(name, kind, diagnostics);
    if is_identifier(&name.value) && name.value.contains('-') {
        diagnostics.push(
            Diagnostic::error("illegal_name", format!("`{}` cannot be the name of {kind}", name.value))
                .at(name.span)
                .hint(format!("an expression would read `-` as subtraction: use `{}`", name.value.replace('-', "_"))),
        );
    }
}

/// Reports an illegal name of a stack.
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

/// True if the name of a stack, or a component's key from another system, may contain the character.
pub(super) fn is_stack_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn reserved(name: &Located<String>, kind: &str) -> Diagnostic {
    Diagnostic::error(
        "reserved_name",
        format!("`{}` cannot be the name of {kind} because shared resources use it", name.value),
    )
    .at(name.span)
    .hint("choose another name")
}

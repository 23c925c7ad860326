//! Declared changes of recorded objects: resources with a new address (`moved`), resources to drop from the state
//! (`forget`), and existing objects to record (`imports`).

use super::templates::template;
use crate::address::{Address, ComponentKey};
use crate::decode::Fields;
use crate::diagnostic::{Diagnostic, Severity};
use crate::expression::Template;
use crate::selector::{Selector, is_same_block};
use crate::source::{Located, Sources, Span};
use crate::yaml::Node;
use std::str::FromStr;

/// The declared changes of recorded objects.
#[derive(Debug, Clone, Default)]
pub struct Transitions {
    /// Resources with a new address.
    pub moved: Vec<Move>,
    /// Resources to drop from the state. Their objects stay.
    pub forget: Vec<Located<Selector>>,
    /// Existing objects to record as resources.
    pub imports: Vec<Import>,
    /// Components that own recorded objects under any key.
    pub identified: Vec<Identified>,
}

/// A component that an attribute of its objects identifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Its key.
    pub component: ComponentKey,
    /// The attribute with which its objects name it.
    pub attribute: &'static str,
    /// The value of the attribute.
    pub value: String,
}

/// The new address of a resource, of all its instances or of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The old address.
    pub from: Located<Selector>,
    /// The new address.
    pub to: Located<Selector>,
}

/// An existing object and the resource to record it as; with `forEach`, one for each item.
#[derive(Debug, Clone)]
pub struct Import {
    /// The items, if there are several objects.
    pub for_each: Option<Template>,
    /// The key of an item.
    pub key: Option<Template>,
    /// The address of the resource, as text.
    pub to: Template,
    /// The provider's id of the object.
    pub id: Template,
}

impl Transitions {
    /// Adds the transitions of another file of the same stack.
    pub(crate) fn extend(&mut self, other: Self) {
        self.moved.extend(other.moved);
        self.forget.extend(other.forget);
        self.imports.extend(other.imports);
        self.identified.extend(other.identified);
    }
}

impl Move {
    /// Returns the new address of a resource if it is affected.
    #[must_use]
    pub fn apply(&self, address: &Address) -> Option<Address> {
        match (&self.from.value, &self.to.value) {
            (Selector::Component(from), Selector::Component(to)) if *from == address.component => {
                Some(Address { component: to.clone(), ..address.clone() })
            }
            (Selector::Resource(from), Selector::Resource(to)) if is_same_block(from, address) => {
                match (&from.key, &to.key) {
                    (None, None) => Some(Address { key: address.key.clone(), ..to.clone() }),
                    (Some(_), _) => (from.key == address.key).then(|| to.clone()),
                    // The single resource becomes an instance.
                    (None, Some(_)) => address.key.is_none().then(|| to.clone()),
                }
            }
            _ => None,
        }
    }

    /// Returns the move within a component. Moves of a blueprint are relative to the component.
    #[must_use]
    pub fn within(&self, component: &ComponentKey) -> Self {
        let within = |selector: &Located<Selector>| match &selector.value {
            Selector::Resource(address) => Located {
                value: Selector::Resource(Address { component: component.clone(), ..address.clone() }),
                span: selector.span,
            },
            Selector::Component(_) => selector.clone(),
        };
        Self { from: within(&self.from), to: within(&self.to) }
    }
}

/// Reads `moved` of a stack.
pub(crate) fn read_moves(items: &[Node], diagnostics: &mut Vec<Diagnostic>) -> Vec<Move> {
    items.iter().filter_map(|item| read_move(item, diagnostics)).collect()
}

/// The diagnostic about moves in a part of a data product, which cannot declare any. Another value than a list may be a field of a
/// template.
pub(crate) fn check_no_moves(node: &Node, severity: Severity) -> Option<Diagnostic> {
    let entry = node.entry("moved").filter(|entry| entry.value.as_list().is_some())?;
    let message = "a data product cannot declare `moved`: only stacks and blueprints can";
    let hint = "move the rows in the state: `terrace state mv STACK:FROM TO`";
    Some(Diagnostic { severity, ..Diagnostic::error("unknown_field", message).at(entry.key_span).hint(hint) })
}

/// Reads `moved` of a blueprint: addresses in it are relative to the component.
pub(crate) fn read_own_moves(items: &[Node], diagnostics: &mut Vec<Diagnostic>) -> Vec<Move> {
    let moves = read_moves(items, diagnostics);
    for selector in moves.iter().flat_map(|moved| [&moved.from, &moved.to]) {
        if !selector.value.component().is_stack() {
            diagnostics.push(
                Diagnostic::error("wrong_value", format!("`{}` names a component", selector.value))
                    .at(selector.span)
                    .hint("write `type.name`: a blueprint can only move resources within its component"),
            );
        }
    }
    moves
}

fn read_move(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Move> {
    let mut fields = Fields::open(node, "an item of `moved`", diagnostics)?;
    let from = fields.required_text("from").and_then(|text| read_address::<Selector>(&text, fields.diagnostics));
    let to = fields.required_text("to").and_then(|text| read_address::<Selector>(&text, fields.diagnostics));
    fields.finish();
    let (from, to) = (from?, to?);
    let fault = match (&from.value, &to.value) {
        (one, other) if one == other => Some((format!("`{one}` moves to itself"), "remove this item")),
        (Selector::Component(_), Selector::Component(_)) => None,
        (Selector::Resource(one), Selector::Resource(other)) if one.is_shared() || other.is_shared() => {
            Some(("a shared resource has no name and cannot move".to_owned(), "remove this item"))
        }
        (Selector::Resource(one), Selector::Resource(other)) if one.ty != other.ty => {
            Some((format!("a `{}` cannot become a `{}`", one.ty, other.ty), "keep the type in the new address"))
        }
        (Selector::Resource(_), Selector::Resource(_)) => None,
        _ => Some((
            format!(
                "a component cannot become a resource, nor a resource a component: `{}`, `{}`",
                from.value, to.value
            ),
            "name two components (`a/` and `b/`) or two resources",
        )),
    };
    if let Some((message, hint)) = fault {
        diagnostics.push(Diagnostic::error("illegal_move", message).at(to.span).hint(hint));
        return None;
    }
    Some(Move { from, to })
}

/// Reads `forget`.
pub(crate) fn read_forgotten(fields: &mut Fields<'_, '_>) -> Vec<Located<Selector>> {
    let texts = fields.texts("forget");
    texts.iter().filter_map(|text| read_address(text, fields.diagnostics)).collect()
}

/// Reads `imports`.
pub(crate) fn read_imports(items: &[Node], sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Vec<Import> {
    items.iter().filter_map(|item| read_import(item, sources, diagnostics)).collect()
}

fn read_import(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Import> {
    let mut fields = Fields::open(node, "an item of `imports`", diagnostics)?;
    let for_each = template(&mut fields, "forEach", sources);
    let key = template(&mut fields, "key", sources);
    let text = fields.required_text("to");
    let to = template(&mut fields, "to", sources);
    fields.required("id");
    let id = template(&mut fields, "id", sources);
    fields.finish();
    if let (None, Some(key)) = (&for_each, &key) {
        diagnostics.push(
            Diagnostic::error("key_without_for_each", "`key` names the items of a `forEach`, which is missing")
                .at(key.span)
                .hint("remove `key`, or add `forEach:`"),
        );
        return None;
    }
    // Literal text is checked now, so that its errors appear together with the other errors of the file.
    let to =
        to.filter(|to| text.is_some_and(|text| !to.is_literal() || read_import_address(&text, diagnostics).is_some()));
    Some(Import { for_each, key, to: to?, id: id? })
}

/// The address that an import names.
pub(crate) fn read_import_address(text: &Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<Address> {
    read_address::<Address>(text, diagnostics).map(|address| address.value)
}

fn read_address<T: FromStr>(text: &Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<Located<T>>
where
    T::Err: std::fmt::Display,
{
    match text.value.parse() {
        Ok(value) => Some(Located { value, span: text.span }),
        Err(error) => {
            diagnostics.push(wrong_address(text.span, &error));
            None
        }
    }
}

fn wrong_address(span: Span, error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::error("wrong_value", error.to_string()).at(span).hint(
        "write `type.name`, `type.name[\"key\"]` for one instance, or `component/` for a whole component; put \
             `component/` before a resource of a component",
    )
}

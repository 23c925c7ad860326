//! `pickers` of the server: lists of remote objects for Witboost's forms.

use super::super::fields::read;
use crate::configuration::expand::attributes_of;
use std::time::Duration;
use terrace_engine::decode::{Fields, wrong_type};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::duration;
use terrace_engine::source::Located;
use terrace_engine::yaml::{Entry, Node};
use terrace_provider::Attributes;
use terrace_server::pickers::picker::Picker;

/// The longest use of a list.
const LONGEST_CACHE: Duration = Duration::from_secs(24 * 3600);

/// A picker. The server checks it against the providers.
#[derive(Debug, Clone)]
pub struct PickerConfiguration {
    /// Its name in paths.
    pub name: Located<String>,
    /// The environment; `None` for the only one.
    pub environment: Option<String>,
    /// The picker; its environment is empty.
    pub picker: Picker,
}

/// Reads the pickers by name.
pub(super) fn pickers(entries: &[Entry], diagnostics: &mut Vec<Diagnostic>) -> Vec<PickerConfiguration> {
    entries.iter().filter_map(|entry| picker(entry, diagnostics)).collect()
}

fn picker(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<PickerConfiguration> {
    let name = Located { value: entry.key.clone(), span: entry.key_span };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.is_empty() || !name.value.chars().all(is_name) {
        diagnostics.push(
            Diagnostic::error("illegal_name", format!("`{}` cannot be the name of a picker", name.value))
                .at(name.span)
                .hint("use letters, digits, `-`, `_` and `.`"),
        );
        return None;
    }
    let mut fields = Fields::open(&entry.value, "a picker", diagnostics)?;
    let text = |located: Option<Located<String>>| located.map(|located| located.value);
    let lookup = fields.required_text("lookup");
    let environment = text(fields.text("environment"));
    let provider = text(fields.text("provider"));
    let arguments = fields.optional("arguments").map(|entry| &entry.value);
    let arguments = arguments.and_then(|node| arguments_of(node, fields.diagnostics)).unwrap_or_default();
    let parameters = fields.texts("parameters").into_iter().map(|name| name.value).collect();
    let list = text(fields.text("list"));
    let id = text(fields.text("id")).unwrap_or_else(|| Picker::ID.to_owned());
    let value = text(fields.text("value")).unwrap_or_else(|| Picker::VALUE.to_owned());
    let cache = read(&mut fields, "cache", ("a duration from 1s to 24h", "5m"), |text| {
        duration::parse(text).ok().filter(|time| (Duration::from_secs(1)..=LONGEST_CACHE).contains(time))
    });
    fields.finish();
    let picker = Picker {
        environment: String::new(),
        lookup: lookup?.value,
        provider,
        arguments,
        parameters,
        list,
        id,
        value,
        cache: cache.unwrap_or(Picker::CACHE),
    };
    Some(PickerConfiguration { name, environment, picker })
}

fn arguments_of(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Attributes> {
    if node.as_map().is_none() {
        diagnostics.push(wrong_type("`arguments`", "a map", node));
        return None;
    }
    Some(attributes_of(node))
}

//! The variable `request` of blueprints: data that a caller sends along with a descriptor.

use super::Compiler;
use super::names::{LATEST, REQUEST};
use crate::address::ComponentKey;
use crate::blueprint::Blueprint;
use crate::decode::wrong_type;
use crate::descriptor::witboost::product_of;
use crate::descriptor::{Body, Component, Descriptor};
use crate::diagnostic::Diagnostic;
use crate::source::SourceId;
use crate::yaml::{DuplicateKeys, ParseOptions, parse_with};
use std::collections::BTreeSet;
use terrace_provider::Value;

impl Compiler<'_> {
    /// The value of `request`. The text is parsed only if a blueprint of a chosen component reads it: it is as large as
    /// a descriptor.
    ///
    /// # Errors
    /// When the text is not a data product.
    pub(super) fn request(
        &self,
        whole: &Descriptor,
        chosen: &BTreeSet<ComponentKey>,
    ) -> Result<Value, Vec<Diagnostic>> {
        let latest = match self.latest_enriched.filter(|_| self.reads_request(whole, chosen)) {
            Some(id) => self.latest(id)?,
            None => Value::Null,
        };
        Ok([(LATEST.to_owned(), latest)].into_iter().collect())
    }

    fn reads_request(&self, whole: &Descriptor, chosen: &BTreeSet<ComponentKey>) -> bool {
        let is_chosen = |component: &&Component| chosen.is_empty() || chosen.contains(&component.key);
        whole.components.iter().filter(is_chosen).any(|component| match &component.body {
            Body::Blueprint(wanted) => {
                self.library.choose(&component.key, wanted, component.span, self.templates).is_ok_and(reads)
            }
            Body::Resources(_) => false,
        })
    }

    /// Parses the data product, bare or wrapped like a descriptor; null for an empty text.
    fn latest(&self, id: SourceId) -> Result<Value, Vec<Diagnostic>> {
        let Some(source) = self.sources.get(id) else { return Ok(Value::Null) };
        // Duplicate keys with equal values only cause a warning, as in the descriptor: another system generates the
        // text.
        let options = ParseOptions { duplicate_keys: DuplicateKeys::WarnWhenEqual, ..ParseOptions::default() };
        let node = parse_with(id, &source.text, &options)?.node;
        if node.is_null() {
            return Ok(Value::Null);
        }
        let product = product_of(&node);
        match product.as_map() {
            Some(_) => Ok(product.to_value()),
            None => Err(vec![wrong_type("the last provisioned data product", "a map", product)]),
        }
    }
}

fn reads(blueprint: &Blueprint) -> bool {
    blueprint.reads(REQUEST, None)
}

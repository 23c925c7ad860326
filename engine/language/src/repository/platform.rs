//! Data of the platform that Git lacks: display names, the taxonomy, defaults of types, and versions of snapshots.
//!
//! These data select and change no resources of the built-in blueprints, so a plan is the same without them.

use crate::decode::{Fields, wrong_type};
use crate::diagnostic::Diagnostic;
use crate::yaml::Node;
use std::collections::BTreeMap;

/// The data of the platform: `platform:` in `terrace.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// Display names by user: `user:jane.roe_example.org`.
    pub users: BTreeMap<String, String>,
    /// The name of the taxonomy.
    pub taxonomy: Option<String>,
    /// Defaults by type of component: `outputport`.
    pub types: BTreeMap<String, TypeDefaults>,
    /// Versions of snapshots and releases by data product: `sales.orders.0`.
    pub versions: BTreeMap<String, String>,
}

/// The defaults of a type of component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeDefaults {
    /// Consumers may read the component.
    pub is_consumable: bool,
    /// The marketplace offers the component.
    pub is_shoppable: bool,
}

impl Platform {
    /// Reads the section.
    #[must_use]
    pub fn read(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut platform = Self::default();
        let Some(mut fields) = Fields::open(node, "`platform`", diagnostics) else { return platform };
        platform.users = texts(&mut fields, "users");
        platform.taxonomy = fields.text("taxonomy").map(|text| text.value);
        platform.versions = texts(&mut fields, "versions");
        for entry in fields.map("types") {
            if let Some(mut of_type) = Fields::open(&entry.value, "a type", fields.diagnostics) {
                let defaults = TypeDefaults {
                    is_consumable: of_type.is_true("consumable"),
                    is_shoppable: of_type.is_true("shoppable"),
                };
                of_type.finish();
                platform.types.insert(entry.key.clone(), defaults);
            }
        }
        fields.finish();
        platform
    }

    /// The defaults of a type. Without a setting, consumers read and find output ports; other types have no defaults.
    pub(super) fn defaults(&self, kind: &str) -> Option<TypeDefaults> {
        let of_output_port = TypeDefaults { is_consumable: true, is_shoppable: true };
        self.types.get(kind).copied().or_else(|| (kind == "outputport").then_some(of_output_port))
    }
}

fn texts(fields: &mut Fields<'_, '_>, name: &'static str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for entry in fields.map(name) {
        match entry.value.as_text() {
            Some(text) => drop(texts.insert(entry.key.clone(), text.to_owned())),
            None => fields.diagnostics.push(wrong_type(&format!("`{}`", entry.key), "text", &entry.value)),
        }
    }
    texts
}

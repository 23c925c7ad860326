//! Names that a state has recorded by the rule of earlier versions, which are kept: objects hang off them.

use super::Descriptor;
use crate::address::StackId;
use crate::naming::NamesRule;
use crate::store::{ComponentRow, Row, Selection, StateStore, StoreError};
use std::collections::BTreeMap;
use terrace_provider::Value;

/// The names of a stack and its components by [`NamesRule::Ascii`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerNames {
    /// The stack's name.
    pub stack: String,
    /// The components' keys, by the keys that they have now.
    pub keys: BTreeMap<String, String>,
    /// The attribute by which all objects of the stack name their folder, and its value. Several folders share one former
    /// name.
    pub folder: Option<(&'static str, String)>,
}

impl Descriptor {
    /// Takes the names under which the store has the stack already.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keep_recorded_names(&mut self, environment: &str, store: &dyn StateStore) -> Result<(), StoreError> {
        let Some(former) = &self.former else { return Ok(()) };
        let recorded = store.components(&StackId::new(self.stack.as_str(), environment)).await?;
        let is_by_rule = |row: &ComponentRow| row.ids.as_ref().is_none_or(|ids| !ids.names.is_ascii());
        let is_same = former.stack == self.stack;
        if recorded.iter().any(|row| self.is_of_product(row) && (is_by_rule(row) || !is_same)) {
            return Ok(());
        }
        let recorded = match is_same {
            true => recorded,
            false => {
                let stack = StackId::new(former.stack.as_str(), environment);
                if let Some(folder) = &former.folder
                    && !self.describes_all(folder, &store.rows(&stack, &Selection::All).await?)
                {
                    return Ok(());
                }
                store.components(&stack).await?
            }
        };
        if recorded.iter().any(|row| self.is_of_product(row)) {
            self.take_former_names(&recorded);
        }
        Ok(())
    }

    /// The rule to record: none where both give the same names.
    #[must_use]
    pub fn recorded_names(&self) -> NamesRule {
        if self.former.is_some() { self.names } else { NamesRule::Ascii }
    }

    /// True for a row of this data product. A stack without a product is known by its name alone.
    fn is_of_product(&self, row: &ComponentRow) -> bool {
        match self.product.get("id").and_then(Value::as_str) {
            Some(id) => row.ids.as_ref().is_some_and(|ids| ids.product == id),
            None => self.product.is_null(),
        }
    }

    /// True when every row names this folder and a component of this descriptor. Any other row belongs to another folder,
    /// and its object would be deleted as one that nothing declares.
    fn describes_all(&self, (attribute, folder): &(&str, String), rows: &[Row]) -> bool {
        rows.iter().all(|row| {
            let attributes: serde_json::Value = serde_json::from_str(&row.attributes).unwrap_or_default();
            let has = |name: &str, value: &str| attributes.get(name).and_then(serde_json::Value::as_str) == Some(value);
            has(attribute, folder) && self.transitions.identified.iter().any(|it| has(it.attribute, &it.value))
        })
    }

    fn take_former_names(&mut self, recorded: &[ComponentRow]) {
        let Some(former) = self.former.take() else { return };
        let is_recorded = |key: &String, id: Option<&String>| {
            let row = recorded.iter().find(|row| row.key == *key);
            row.is_some_and(|row| row.ids.as_ref().is_none_or(|ids| Some(&ids.component) == id))
        };
        // A new component keeps its new key.
        let ids: BTreeMap<&String, Option<&String>> =
            self.components.iter().map(|component| (&component.key, component.id.as_ref())).collect();
        let unlisted = self.unlisted.iter().map(|unlisted| (&unlisted.key, Some(&unlisted.id)));
        let keys: BTreeMap<String, String> = ids
            .into_iter()
            .chain(unlisted)
            .filter_map(|(key, id)| Some((key, former.keys.get(key)?, id)))
            .filter(|(_, former, id)| is_recorded(former, *id))
            .map(|(key, former, _)| (key.clone(), former.clone()))
            .collect();
        let rename = |key: &mut String| {
            if let Some(former) = keys.get(key) {
                former.clone_into(key);
            }
        };
        for component in &mut self.components {
            rename(&mut component.key);
            component.depends_on.iter_mut().filter_map(|dependency| dependency.key.as_mut()).for_each(rename);
        }
        self.target.iter_mut().for_each(rename);
        self.unlisted.iter_mut().for_each(|unlisted| rename(&mut unlisted.key));
        self.stack = former.stack;
        self.names = NamesRule::Ascii;
    }
}

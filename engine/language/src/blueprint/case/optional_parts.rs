//! Optional parts of a case: the access list, and the data that a coordinator sends with the descriptor.

use super::Case;
use crate::access::Access;
use crate::compile::names::{LATEST, REQUEST};
use crate::compile::{CompiledComponent, CompiledStack};
use crate::decode::{Fields, wrong_type};
use crate::diagnostic::Diagnostic;
use crate::source::{Located, SourceId, Sources};
use crate::yaml::Entry;

/// Reads `acl`: the principals and the further fields.
pub(super) fn access(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<Located<Access>> {
    let mut fields = Fields::open(&entry.value, "`acl` of a case", diagnostics)?;
    let principals = fields.texts("principals").into_iter().map(|principal| principal.value).collect();
    let further_fields: serde_json::Map<_, _> =
        fields.map("fields").iter().map(|field| (field.key.clone(), field.value.to_json())).collect();
    fields.finish();
    Some(Located { value: Access::new(principals, further_fields.into()), span: entry.key_span })
}

/// Reads `request`. The last provisioned data product becomes a separate source, as if a coordinator had sent it.
pub(super) fn latest_enriched(
    entry: &Entry,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<SourceId> {
    let mut fields = Fields::open(&entry.value, "`request` of a case", diagnostics)?;
    let latest = fields.optional(LATEST);
    fields.finish();
    let latest = &latest?.value;
    if latest.as_map().is_none() {
        diagnostics.push(wrong_type("the last provisioned data product", "a map", latest));
        return None;
    }
    Some(sources.add(format!("{}.{LATEST}", REQUEST), latest.to_json().to_string()))
}

impl Case {
    /// Grants the access of the case to its component.
    ///
    /// # Errors
    /// When the case has several components and selects none, or when the blueprint has no `acl`.
    pub fn grant(&self, stacks: &mut [CompiledStack]) -> Result<(), Diagnostic> {
        let Some(access) = &self.access else { return Ok(()) };
        let is_chosen = |component: &&mut CompiledComponent| {
            let names = [Some(component.key.as_str()), component.id.as_deref()];
            self.chosen.is_empty() || self.chosen.iter().any(|chosen| names.contains(&Some(chosen.as_str())))
        };
        let mut components = stacks.iter_mut().flat_map(|stack| &mut stack.components).filter(is_chosen);
        let (Some(component), None) = (components.next(), components.next()) else {
            let message = "`acl` applies to a single component";
            return Err(Diagnostic::error("wrong_value", message)
                .at(access.span)
                .hint("select the component with `component: KEY` next to `descriptor`"));
        };
        component
            .check_grants_access()
            .map_err(|message| Diagnostic::error("takes_no_access", message).at(access.span))?;
        component.grant(access.value.clone());
        Ok(())
    }
}

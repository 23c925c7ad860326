//! Collects the objects of a component's `acl` during the walk, so that providers read the grants of all of them at once.

use super::{ComponentPart, Walk, block_address};
use crate::external_grants::GrantTarget;
use crate::key::identity_key;
use std::collections::HashSet;
use std::ops::Range;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::graph::Block;
use terrace_provider::plan::with_defaults;
use terrace_provider::{Attributes, ResourceType, Value};

impl Walk<'_, '_> {
    /// Collects the objects to which a declaration grants access, if they are known. `planned` has its instances. A plan of only
    /// some of these instances collects nothing.
    pub(super) fn gather_grant_targets(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        planned: Range<usize>,
    ) {
        let planner = self.planner;
        let Some((schema, ty)) = planner.registry.resource_type(&declaration.ty.value) else { return };
        let Some(part) = self.parts.get(block.component) else { return };
        let is_grant = part.component.granted.as_ref().is_some_and(|granted| block.resource >= granted.begin);
        let can_read = planner.options.refresh && !planner.options.offline;
        if !is_grant
            || ty.grantee.is_empty()
            || !can_read
            || !self.targeting.has_whole_block(&block_address(part, declaration))
        {
            return;
        }
        let for_any = self.instance_for_any(part, declaration, schema.name);
        let for_any = for_any.zip(self.access_for_any(part, declaration, ty));
        let instances = self.changes.get(planned).unwrap_or_default().iter().filter_map(|change| {
            let attributes = &change.after.as_ref()?.attributes;
            Some((change.how.provider.clone(), ty.access_of(attributes)?))
        });
        let mut known = HashSet::new();
        let accesses = for_any.into_iter().chain(instances);
        let grant_targets =
            accesses.filter(|(provider, access)| known.insert((provider.clone(), identity_key(access))));
        let target = |(provider, access)| GrantTarget {
            block: block_address(part, declaration),
            provider,
            timeouts: declaration.lifecycle.timeouts(ty),
            place: planner.sources.place(declaration.name.span),
            access,
        };
        let grant_targets: Vec<GrantTarget> = grant_targets.map(target).collect();
        self.grant_targets.extend(grant_targets);
    }

    /// The object to which the declaration grants access, independent of the principal. `None` if it depends on the principal or on
    /// unknown values, or if `when` is false.
    fn access_for_any(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
    ) -> Option<Attributes> {
        let scope = self.scope(part, Some(&Value::Unknown));
        let functions = self.planner.functions;
        let is_enabled = declaration.when.as_ref().map(|when| when.evaluate(&scope, functions));
        if is_enabled.is_some_and(|is_enabled| !matches!(is_enabled, Ok(Value::Bool(true) | Value::Unknown))) {
            return None;
        }
        let Ok(Value::Map(config)) = declaration.config.evaluate(&scope, functions) else { return None };
        ty.access_of(&with_defaults(&ty.attributes, &config))
    }

    /// The provider instance of the declaration, independent of the principal.
    fn instance_for_any(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        provider: &str,
    ) -> Option<String> {
        let Some(template) = &declaration.provider else { return Some(provider.to_owned()) };
        let scope = self.scope(part, Some(&Value::Unknown));
        match template.evaluate(&scope, self.planner.functions) {
            Ok(Value::String(name)) => Some(name),
            _ => None,
        }
    }
}

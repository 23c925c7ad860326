//! Who is let in to what the `acl` of a component lets somebody in to: asked of the provider once a declaration is
//! planned, for everybody at once.

use super::{ComponentPart, Walk, block_address};
use crate::descriptor::ResourceDeclaration;
use crate::diagnostic::Diagnostic;
use crate::graph::Block;
use crate::plan::foreign::LetIn;
use std::collections::BTreeMap;
use std::ops::Range;
use terrace_provider::plan::with_defaults;
use terrace_provider::{Attributes, ResourceType, Value};

impl Walk<'_, '_> {
    /// Asks who else is let in, where that is known and can be told. `planned` are the instances of the declaration.
    pub(super) async fn ask_who_is_let_in(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        planned: Range<usize>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let planner = self.planner;
        let Some((schema, ty)) = planner.registry.resource_type(&declaration.ty.value) else { return };
        let Some(part) = self.parts.get(block.component) else { return };
        let is_grant = part.component.granted.as_ref().is_some_and(|granted| block.resource >= granted.begin);
        if !is_grant || ty.grantee.is_empty() || planner.options.offline || !planner.options.refresh {
            return;
        }
        let mut asked: BTreeMap<String, Vec<Attributes>> = BTreeMap::new();
        let anybody = self.instance_of_anybody(part, declaration, schema.name);
        let anybody = anybody.zip(self.access_of_anybody(part, declaration, ty));
        let instances = self.changes.get(planned).unwrap_or_default().iter().filter_map(|change| {
            let attributes = &change.after.as_ref()?.attributes;
            Some((change.provider.clone(), ty.access_of(attributes)?))
        });
        for (provider, access) in anybody.into_iter().chain(instances) {
            let accesses = asked.entry(provider).or_default();
            if !accesses.contains(&access) {
                accesses.push(access);
            }
        }
        let mut let_in = Vec::new();
        for (provider, accesses) in asked {
            let Ok(session) = planner.registry.session(&provider).await else { continue };
            match session.grantees(ty, &accesses).await {
                Ok(grantees) => let_in.extend(grantees.into_iter().map(|grantee| LetIn {
                    block: block_address(part, declaration),
                    provider: provider.clone(),
                    timeouts: declaration.lifecycle.timeouts(ty),
                    place: planner.sources.place(declaration.name.span),
                    grantee,
                })),
                Err(error) => {
                    let message = format!("who else has access to `{}` cannot be told: {error}", part.component.key);
                    let warning = Diagnostic::warning("access_not_read", message).at(declaration.name.span);
                    diagnostics.push(warning.maybe_hint(error.solutions.first().cloned()));
                }
            }
        }
        self.let_in.extend(let_in);
    }

    /// What the declaration lets somebody in to, whoever that is; nothing where that depends on who it is, or on what is
    /// not there yet.
    fn access_of_anybody(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
    ) -> Option<Attributes> {
        let scope = self.scope(part, Some(&Value::Unknown));
        let Ok(Value::Map(config)) = declaration.config.evaluate(&scope, self.planner.functions) else { return None };
        ty.access_of(&with_defaults(&ty.attributes, &config))
    }

    /// The instance that the declaration lives in, whoever it is for.
    fn instance_of_anybody(
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

//! The results of compilation.

use super::facts::{FactScope, WithFacts};
use super::names::{LOCALS, REQUEST};
use crate::access::Access;
use crate::address::{Address, ComponentKey, StackId};
use crate::descriptor::transitions::{Identified, Move};
use crate::descriptor::{Declarations, Dependency, ResourceDeclaration};
use crate::environment::Environment;
use crate::expression::Functions;
use crate::moves::Moves;
use crate::naming::NamesRule;
use crate::selector::Selector;
use crate::source::{Located, Span};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use terrace_provider::{Map, Value};

/// A stack ready for planning.
#[derive(Debug, Clone)]
pub struct CompiledStack {
    /// The stack.
    pub stack: StackId,
    /// The components, in the order of the descriptor.
    pub components: Vec<CompiledComponent>,
    /// The data product: `product` in expressions.
    pub product: Value,
    /// The data sent along with the descriptor: `request` in expressions of blueprints.
    pub request: Value,
    /// The values of the variables: `vars` in expressions.
    pub variables: Map,
    /// The values of the locals: `locals` in expressions.
    pub locals: Map,
    /// The declared changes of recorded objects: moves, forgets, imports.
    pub transitions: CompiledTransitions,
    /// The naming rule of the stack.
    pub names: NamesRule,
}

impl CompiledStack {
    /// The address of a shared resource that a component declares. `None` if its share key is known only while
    /// planning.
    #[must_use]
    pub fn shared_address(
        &self,
        component: &CompiledComponent,
        resource: &ResourceDeclaration,
        environment: &Environment,
        functions: &Functions,
    ) -> Option<Address> {
        let roots = [
            ("environment", Value::from(environment.name.as_str())),
            ("stack", Value::from(self.stack.name.as_str())),
            ("vars", Value::Map(self.variables.clone())),
            (LOCALS, Value::Map(component.locals.as_ref().unwrap_or(&self.locals).clone())),
        ];
        let facts = FactScope { roots: roots.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() };
        let more = [
            ("component", &component.value),
            ("product", &self.product),
            (REQUEST, &self.request),
            ("settings", &environment.settings),
        ];
        let scope = WithFacts { facts: &facts, more };
        let functions = functions.of_stack(self.names);
        let key = resource.shared.as_ref()?.evaluate(&scope, &functions).ok()?;
        Some(Address::shared(&resource.ty.value, key.as_str()?))
    }
}

/// The access that was granted to a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The principals.
    pub access: Access,
    /// Index of the first resource of `acl` among the declared resources.
    pub begin: usize,
}

/// A component ready for planning.
#[derive(Debug, Clone)]
pub struct CompiledComponent {
    /// Its key.
    pub key: ComponentKey,
    /// Its URN.
    pub id: Option<String>,
    /// The components that it depends on.
    pub depends_on: Vec<Dependency>,
    /// Its declarations; empty when the component was not chosen.
    pub declarations: Arc<Declarations>,
    /// The blueprint's declarations that grant access to principals.
    pub acl: Arc<Declarations>,
    /// The granted access, once known. The resources of `acl` are then part of the declarations.
    pub granted: Option<Granted>,
    /// `component` in expressions: as written, with the schema's defaults and its key.
    pub value: Value,
    /// The values of the blueprint's locals: `locals` in its expressions. `None` without a blueprint.
    pub locals: Option<Map>,
    /// `name version` of the blueprint that it was compiled with.
    pub blueprint: Option<String>,
    /// Resources of it that the blueprint renamed.
    pub moved: Vec<Move>,
    /// The place of the component.
    pub span: Span,
}

impl CompiledComponent {
    /// Checks that the component can grant access.
    ///
    /// # Errors
    /// When its blueprint has no `acl`. The error is a message.
    pub fn check_grants_access(&self) -> Result<(), String> {
        if !self.acl.resources.is_empty() {
            return Ok(());
        }
        let blueprint = self.blueprint.as_deref().unwrap_or("no blueprint");
        Err(format!("cannot grant access to `{}`: its blueprint, {blueprint}, has no `acl`", self.key))
    }

    /// Adds the resources of `acl` for these principals after the other declarations.
    pub fn grant(&mut self, access: Access) {
        let begin = self.declarations.resources.len();
        let mut declarations = Declarations::clone(&self.declarations);
        declarations.resources.extend(self.acl.resources.iter().cloned());
        self.declarations = Arc::new(declarations);
        self.granted = Some(Granted { access, begin });
    }

    /// The resources that grant access.
    pub fn grants(&self) -> impl Iterator<Item = &ResourceDeclaration> {
        let begin = self.granted.as_ref().map(|granted| granted.begin);
        begin.into_iter().flat_map(|begin| self.declarations.resources.iter().skip(begin))
    }

    /// True when the component has lookups.
    pub fn has_lookups(&self) -> bool {
        !self.declarations.data.is_empty()
    }
}

/// The positions of components by key, and by URN unless it equals another component's key.
pub(crate) fn by_name(components: &[CompiledComponent]) -> HashMap<&str, usize> {
    let named = components.iter().enumerate();
    let ids = named.clone().rev().filter_map(|(at, component)| Some((component.id.as_deref()?, at)));
    ids.chain(named.map(|(at, component)| (component.key.as_str(), at))).collect()
}

/// The declared changes of recorded objects.
#[derive(Debug, Clone, Default)]
pub struct CompiledTransitions {
    /// Resources with a new address.
    pub moves: Moves,
    /// Resources to drop from the state.
    pub forget: Vec<Located<Selector>>,
    /// Existing objects to import, by the address of their resource.
    pub imports: BTreeMap<Address, CompiledImport>,
    /// Components that own recorded objects under any key.
    pub identified: Vec<Identified>,
}

/// An import of an existing object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledImport {
    /// The provider's id of the object.
    pub id: String,
    /// Place of the address.
    pub span: Span,
    /// Place of the id.
    pub id_span: Span,
}

//! Lookups: answered while planning if possible, otherwise read during the apply.
//!
//! A lookup waits if its arguments are unknown, if a dependency changes, or if it finds an object that the plan creates, in any
//! stack of the run. In the last case the planned object gives the known part of the result.

use super::super::{Lookup, ReadReason};
use super::{ComponentPart, Prepared, Walk, block_address};
use crate::Change;
use crate::deadline;
use crate::lookup_dependencies::{LookupRequest, Question};
use crate::object_identity::{argument_keys, result_keys};
use crate::place::places;
use crate::resource::default_hint;
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_language::address::Address;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::graph::{Block, lookup_name, templates};
use terrace_provider::plan::with_defaults;
use terrace_provider::schema::Timeouts;
use terrace_provider::{
    AttributeType, Attributes, ErrorKind, Lookup as LookupSchema, Map, Path, ProviderError, Session, Value,
};

/// The argument of lookups by name.
const NAME: &str = "name";
/// The code of errors about lookups of missing objects.
const LOOKUP_FAILED: &str = "lookup_failed";
/// The code of errors about lookups without an answer.
pub(crate) const LOOKUP_UNANSWERED: &str = "lookup_unanswered";

impl Walk<'_, '_> {
    /// Plans one lookup.
    pub(super) async fn lookup(&mut self, block: Block, diagnostics: &mut Vec<Diagnostic>) {
        let Some(part) = self.parts.get(block.component).filter(|part| part.is_chosen) else { return };
        let component = part.component;
        let Some(declaration) = component.declarations.data.get(block.resource) else { return };
        if !self.is_read(part, &declaration.name.value) {
            // A partial plan skips lookups that it does not need.
            let name = declaration.name.value.clone();
            if let Some(part) = self.parts.get_mut(block.component) {
                part.data.insert(name, Value::Unknown);
            }
            return;
        }
        let planned = match self.defer_lookup(block, declaration) {
            true => None,
            false => self.plan_lookup(block, declaration, diagnostics).await,
        };
        let Some(part) = self.parts.get_mut(block.component) else { return };
        let value = planned.as_ref().map_or(Value::Unknown, |lookup| lookup.result.clone());
        part.data.insert(declaration.name.value.clone(), value);
        if let Some(lookup) = planned {
            part.lookups.insert(declaration.name.value.clone(), lookup);
        }
    }

    async fn plan_lookup(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Lookup> {
        let planner = self.planner;
        let Some((provider, schema)) = planner.registry.lookup(&declaration.ty.value) else {
            diagnostics.push(planner.registry.unknown_lookup(&declaration.ty.value).at(declaration.ty.span));
            return None;
        };
        let part = self.parts.get(block.component)?;
        let scope = self.scope(part, None);
        let instance = self.instance_name(declaration, provider.name, &scope, diagnostics)?;
        let session = self.session(&instance, declaration, diagnostics).await?;
        let template = Arc::new(declaration.config.clone());
        let prepared =
            self.prepare(part, declaration, schema.name, &schema.arguments, &template, &scope, diagnostics)?;
        let Prepared { config, deferred, mut depends_on, .. } = prepared;
        let arguments = with_defaults(&schema.arguments, &config);
        let is_late = declaration.depends_on.iter().any(|name| self.is_pending(part, &name.value));
        let part_key = part.component.key.clone();
        let address = Address::lookup(&part_key, schema.name, &declaration.name.value);
        let reads: Vec<String> = read_lookups(declaration).into_iter().collect();
        let is_waiting = reads.iter().any(|name| part.lookups.get(name).is_some_and(|lookup| lookup.reason.is_some()));
        let named = format!("{}:{address}", self.compiled.stack);
        let keys = argument_keys(planner.registry, &*session, schema, (&named, &instance), &arguments).await;
        let mut request = LookupRequest {
            stack: self.compiled.stack.clone(),
            component: part_key,
            address: address.clone(),
            block,
            types: schema.objects,
            keys,
            span: declaration.name.span,
            places: places(declaration.name.span, part.component.span, planner.sources),
            is_planned: false,
            failed: None,
        };
        let (result, reason) = if let Some(planned) = self.take_from_plan(&mut request, &mut depends_on) {
            (answer_of_plan(schema, &arguments, &planned), Some(ReadReason::Pending))
        } else if deferred.is_some() || is_waiting || planner.options.offline {
            (unknown_answer(schema, &arguments), Some(ReadReason::Unknown))
        } else if is_late {
            (unknown_answer(schema, &arguments), Some(ReadReason::Pending))
        } else {
            match self.run_lookup(&*session, schema, &instance, &arguments).await {
                Ok(result) => {
                    let found = answer(schema, &arguments, &result);
                    request.keys.extend(result_keys(planner.registry, schema, &instance, &found));
                    match self.take_from_plan(&mut request, &mut depends_on) {
                        Some(planned) => (answer_of_plan(schema, &arguments, &planned), Some(ReadReason::Pending)),
                        None => (found, None),
                    }
                }
                Err(error) => {
                    request.failed = Some(diagnostics.len());
                    self.lookups.register(request);
                    diagnostics.push(self.failed_lookup(block, declaration, &address, &error));
                    return None;
                }
            }
        };
        self.lookups.register(request);
        Some(Lookup {
            address,
            provider: instance,
            arguments,
            deferred,
            depends_on,
            reads,
            needed_by: Vec::new(),
            reason,
            result,
            place: planner.sources.place(declaration.name.span),
        })
    }

    /// True if a covered resource reads the lookup, directly or through other lookups.
    pub(super) fn is_read(&self, part: &ComponentPart<'_>, name: &str) -> bool {
        if self.targeting.is_whole() {
            return true;
        }
        let declarations = &part.component.declarations;
        let mut open = vec![name];
        let mut visited = BTreeSet::new();
        while let Some(name) = open.pop() {
            let is_planned = |declaration: &&ResourceDeclaration| {
                read_lookups(declaration).contains(name) && self.targeting.has_block(&block_address(part, declaration))
            };
            if declarations.resources.iter().any(|declaration| is_planned(&declaration)) {
                return true;
            }
            if visited.insert(name) {
                let readers = declarations.data.iter().filter(|lookup| read_lookups(lookup).contains(name));
                open.extend(readers.map(|lookup| lookup.name.value.as_str()));
            }
        }
        false
    }

    /// Makes a lookup, or returns its earlier result.
    async fn run_lookup(
        &mut self,
        session: &dyn Session,
        schema: &LookupSchema,
        instance: &str,
        arguments: &Attributes,
    ) -> Result<Attributes, ProviderError> {
        let text = Value::Map(arguments.clone()).to_revealed_json().to_string();
        let question = Question { instance: instance.to_owned(), lookup: schema.name, arguments: text };
        if let Some(answer) = self.lookups.answers().get(&question) {
            return answer.clone();
        }
        let timeout = Timeouts::default().read;
        let answer = deadline::call_reading(timeout, session.lookup(schema.name, arguments)).await;
        self.lookups.answers().insert(question, answer.clone());
        answer
    }

    fn failed_lookup(
        &self,
        block: Block,
        declaration: &ResourceDeclaration,
        address: &Address,
        error: &ProviderError,
    ) -> Diagnostic {
        let is_named = || {
            let schema = self.planner.registry.lookup(&declaration.ty.value).map(|(_, schema)| schema);
            schema.is_some_and(|schema| schema.arguments.get(NAME).is_some())
        };
        // The container of the object may be missing instead.
        let is_about_container = || {
            let config = declaration.config.outline();
            let arguments = config.as_map().into_iter().flatten().filter(|(argument, _)| *argument != NAME);
            arguments.filter_map(|(_, value)| value.as_str()).any(|text| error.message.contains(&format!("`{text}`")))
        };
        let at = match &error.kind {
            ErrorKind::InvalidInput { path: Some(path) } => declaration.config.span_at(path),
            ErrorKind::NotFound if is_named() && !is_about_container() => {
                declaration.config.span_at(&Path::attribute(NAME))
            }
            _ => declaration.name.span,
        };
        let component = self.parts.get(block.component).map(|part| part.component);
        let missing = component.into_iter().flat_map(|component| &component.depends_on);
        let missing: Vec<&str> = missing
            .filter_map(|dependency| dependency.key.as_deref())
            .filter(|key| !self.component_outputs.contains_key(*key))
            .collect();
        // A provider that is not configured has created nothing from here.
        let is_answer = matches!(error.kind, ErrorKind::NotFound | ErrorKind::NotConfigured);
        let code = if is_answer { LOOKUP_FAILED } else { LOOKUP_UNANSWERED };
        let diagnostic = Diagnostic::error(code, format!("{address} has no answer: {}", error.with_problems())).at(at);
        match (missing.as_slice(), error.hint()) {
            ([], Some(solution)) => diagnostic.hint(solution),
            ([], None) if error.kind == ErrorKind::NotFound => {
                diagnostic.hint("create it first; if this component creates it, add it to the lookup's `dependsOn`")
            }
            ([], None) => diagnostic.maybe_hint(default_hint(error, &declaration.ty.value, self.planner.registry)),
            (missing, _) => {
                let names = missing.join("`, `");
                let (are, them) = if missing.len() == 1 { ("is", "it") } else { ("are", "them") };
                diagnostic.hint(format!(
                    "`{names}`, which this component depends on, {are} not deployed: deploy {them} first, or in the same run"
                ))
            }
        }
    }

    /// True if the plan changes a resource of that name.
    fn is_pending(&self, part: &ComponentPart<'_>, name: &str) -> bool {
        match part.shared.get(name) {
            Some(shared) => shared.values().filter_map(|address| self.shared.change(address)).any(Change::is_change),
            None => {
                let range = part.changes.get(name).and_then(|range| self.changes.get(range.clone()));
                range.unwrap_or_default().iter().any(Change::is_change)
            }
        }
    }

    /// The planned attributes of the object that a lookup finds, if the plan creates or changes it in any stack; the first one of
    /// several. Makes the lookup depend on it.
    fn take_from_plan(&mut self, request: &mut LookupRequest, depends_on: &mut Vec<Address>) -> Option<Attributes> {
        let objects = self.lookups.take_from_plan((&request.stack, &request.component), request.types, &request.keys);
        let first = objects.first()?.attributes.clone();
        request.is_planned = true;
        let own = objects.iter().filter(|object| object.is_of(&request.stack));
        depends_on.extend(own.map(|object| object.address.clone()));
        depends_on.sort();
        depends_on.dedup();
        Some(first)
    }

    /// Adds the dependencies of the lookups that a resource reads.
    pub(super) fn lookup_dependencies(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        found: &mut BTreeSet<Address>,
    ) {
        for name in read_lookups(declaration) {
            found.extend(part.lookups.get(&name).into_iter().flat_map(|lookup| lookup.depends_on.iter().cloned()));
        }
    }
}

impl ComponentPart<'_> {
    /// The lookups of the component, each with its readers.
    pub(super) fn take_lookups(&mut self) -> Vec<Lookup> {
        let mut lookups: Vec<Lookup> = std::mem::take(&mut self.lookups).into_values().collect();
        lookups.sort_by(|left, right| left.address.cmp(&right.address));
        if lookups.is_empty() {
            return lookups;
        }
        for declaration in &self.component.declarations.resources {
            let read = read_lookups(declaration);
            for lookup in lookups.iter_mut().filter(|lookup| read.contains(&lookup.address.name)) {
                lookup.needed_by.push(declaration.name.value.clone());
            }
        }
        lookups
    }
}

fn read_lookups(declaration: &ResourceDeclaration) -> BTreeSet<String> {
    let references = templates(declaration).flat_map(|template| template.references());
    references.filter_map(lookup_name).map(ToOwned::to_owned).collect()
}

/// A result as expressions see it: all attributes of the schema. Marked sensitive if the schema or an argument is.
pub fn answer(schema: &LookupSchema, arguments: &Attributes, result: &Attributes) -> Value {
    let attribute = |attribute: &terrace_provider::Attribute| {
        let value = result.get(attribute.name).cloned().unwrap_or_default();
        let value = if attribute.sensitive && !value.is_null() { Value::sensitive(value) } else { value };
        (attribute.name.to_owned(), value)
    };
    let value = Value::Map(schema.result.0.iter().map(attribute).collect());
    // A result that was found by a secret may reveal it.
    if arguments.values().any(Value::has_sensitive) { Value::sensitive(value) } else { value }
}

/// The part of a planned value that the result's type has. Other attributes belong only to the resource.
fn in_type(value: &Value, ty: &AttributeType) -> Value {
    match (value, ty) {
        (Value::Map(entries), AttributeType::Object(object)) => {
            let known = entries.iter().filter_map(|(name, value)| Some((name, value, object.get(name)?)));
            known.map(|(name, value, attribute)| (name.clone(), in_type(value, &attribute.ty))).collect()
        }
        (Value::List(items), AttributeType::List(item)) => {
            Value::List(items.iter().map(|value| in_type(value, item)).collect())
        }
        _ => value.clone(),
    }
}

/// The result before the lookup: only the arguments are known.
fn unknown_answer(schema: &LookupSchema, arguments: &Attributes) -> Value {
    let known = schema.result.names().map(|name| {
        let given = arguments.get(name).filter(|_| schema.arguments.get(name).is_some());
        (name.to_owned(), given.cloned().unwrap_or(Value::Unknown))
    });
    answer(schema, arguments, &known.collect())
}

/// The known part of a result, from the planned object.
fn answer_of_plan(schema: &LookupSchema, arguments: &Attributes, planned: &Attributes) -> Value {
    let known: Map = schema
        .result
        .names()
        .map(|name| {
            // Arguments keep their spelling in the result.
            let argument = arguments.get(name).filter(|_| schema.arguments.get(name).is_some());
            let value = argument.or_else(|| planned.get(name)).filter(|value| !value.is_null());
            let ty = schema.result.get(name).map(|attribute| &attribute.ty);
            (name.to_owned(), value.zip(ty).map_or(Value::Unknown, |(value, ty)| in_type(value, ty)))
        })
        .collect();
    answer(schema, arguments, &known)
}

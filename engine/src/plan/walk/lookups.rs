//! Lookups: answered while planning where that can be, and otherwise read while the plan is applied.
//!
//! What waits: a lookup whose arguments are not known yet, one that comes after what the plan changes, and one that
//! looks at an object which the plan makes, be it for another stack of the run. That last one answers from the planned
//! object as far as it is known.

use super::super::{Lookup, ReadReason};
use super::{ComponentPart, Prepared, Walk, block_address};
use crate::address::Address;
use crate::deadline;
use crate::descriptor::ResourceDeclaration;
use crate::diagnostic::Diagnostic;
use crate::graph::{Block, lookup_name, templates};
use crate::plan::Change;
use crate::plan::lookup_dependencies::LookupRequest;
use crate::plan::object_identity::{keys_asked, keys_found};
use crate::plan::place::places;
use crate::plan::resource::usual_hint;
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_provider::plan::with_defaults;
use terrace_provider::schema::Timeouts;
use terrace_provider::{
    AttributeType, Attributes, ErrorKind, Lookup as LookupSchema, Map, Path, ProviderError, Session, Value,
};

/// What lookups by name are asked with.
const NAME: &str = "name";
/// The error on a lookup whose answer says that there is no such thing.
const LOOKUP_FAILED: &str = "lookup_failed";
/// The error on a lookup that has no answer at all.
pub(in crate::plan) const LOOKUP_UNANSWERED: &str = "lookup_unanswered";

impl Walk<'_, '_> {
    /// Plans one lookup.
    pub(super) async fn lookup(&mut self, block: Block, diagnostics: &mut Vec<Diagnostic>) {
        let Some(part) = self.parts.get(block.component).filter(|part| part.is_chosen) else { return };
        let component = part.component;
        let Some(declaration) = component.declarations.data.get(block.resource) else { return };
        if !self.is_read(part, &declaration.name.value) {
            // What a plan of a part does not use is not asked.
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
        let keys = keys_asked(planner.registry, &*session, schema, (&named, &instance), &arguments).await;
        let mut asked = LookupRequest {
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
        let (result, reason) = if let Some(planned) = self.take_from_plan(&mut asked, &mut depends_on) {
            (answer_of_plan(schema, &arguments, &planned), Some(ReadReason::Pending))
        } else if deferred.is_some() || is_waiting || planner.options.offline {
            (unknown_answer(schema, &arguments), Some(ReadReason::Unknown))
        } else if is_late {
            (unknown_answer(schema, &arguments), Some(ReadReason::Pending))
        } else {
            match self.ask(&*session, schema, &instance, &arguments).await {
                Ok(result) => {
                    let found = answer(schema, &arguments, &result);
                    asked.keys.extend(keys_found(planner.registry, schema, &instance, &found));
                    match self.take_from_plan(&mut asked, &mut depends_on) {
                        Some(planned) => (answer_of_plan(schema, &arguments, &planned), Some(ReadReason::Pending)),
                        None => (found, None),
                    }
                }
                Err(error) => {
                    asked.failed = Some(diagnostics.len());
                    self.looking.ask(asked);
                    diagnostics.push(self.failed_lookup(block, declaration, &address, &error));
                    return None;
                }
            }
        };
        self.looking.ask(asked);
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

    /// True when the plan is about anything that reads the lookup, be it by another one.
    pub(super) fn is_read(&self, part: &ComponentPart<'_>, name: &str) -> bool {
        if self.choice.is_whole() {
            return true;
        }
        let declarations = &part.component.declarations;
        let mut wanted = vec![name];
        let mut seen = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            let is_planned = |declaration: &&ResourceDeclaration| {
                read_lookups(declaration).contains(name) && self.choice.has_block(&block_address(part, declaration))
            };
            if declarations.resources.iter().any(|declaration| is_planned(&declaration)) {
                return true;
            }
            if seen.insert(name) {
                let readers = declarations.data.iter().filter(|lookup| read_lookups(lookup).contains(name));
                wanted.extend(readers.map(|lookup| lookup.name.value.as_str()));
            }
        }
        false
    }

    /// Asks a question that was not asked before.
    async fn ask(
        &mut self,
        session: &dyn Session,
        schema: &LookupSchema,
        instance: &str,
        arguments: &Attributes,
    ) -> Result<Attributes, ProviderError> {
        let question = Value::Map(arguments.clone()).to_revealed_json().to_string();
        let key = (instance.to_owned(), schema.name, question);
        if let Some(answer) = self.looking.answers().get(&key) {
            return answer.clone();
        }
        let timeout = Timeouts::default().read;
        let answer = deadline::reading(timeout, session.lookup(schema.name, arguments)).await;
        self.looking.answers().insert(key, answer.clone());
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
        // What it is looked for in may not be there either.
        let is_about_others = || {
            let config = declaration.config.outline();
            let others = config.as_map().into_iter().flatten().filter(|(argument, _)| *argument != NAME);
            others.filter_map(|(_, value)| value.as_str()).any(|text| error.message.contains(&format!("`{text}`")))
        };
        let at = match &error.kind {
            ErrorKind::InvalidInput { path: Some(path) } => declaration.config.span_at(path),
            ErrorKind::NotFound if is_named() && !is_about_others() => {
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
        // What nobody is configured to ask for was not made from here.
        let is_answer = matches!(error.kind, ErrorKind::NotFound | ErrorKind::NotConfigured);
        let code = if is_answer { LOOKUP_FAILED } else { LOOKUP_UNANSWERED };
        let diagnostic = Diagnostic::error(code, format!("{address} has no answer: {}", error.with_problems())).at(at);
        match (missing.as_slice(), error.solutions.first()) {
            ([], Some(solution)) => diagnostic.hint(solution.clone()),
            ([], None) if error.kind == ErrorKind::NotFound => {
                diagnostic.hint("make it first; what this component makes itself stands in `dependsOn` of the lookup")
            }
            ([], None) => diagnostic.maybe_hint(usual_hint(error, &declaration.ty.value, self.planner.registry)),
            (missing, _) => {
                let names = missing.join("`, `");
                let (are, them) = if missing.len() == 1 { ("is", "it") } else { ("are", "them") };
                diagnostic.hint(format!(
                    "`{names}`, which this component depends on, {are} not deployed: deploy {them} first, or in one run"
                ))
            }
        }
    }

    /// True when the plan does something about a resource of that name.
    fn is_pending(&self, part: &ComponentPart<'_>, name: &str) -> bool {
        match part.shared.get(name) {
            Some(shared) => shared.values().filter_map(|address| self.shared.change(address)).any(Change::is_change),
            None => {
                let range = part.changes.get(name).and_then(|range| self.changes.get(range.clone()));
                range.unwrap_or_default().iter().any(Change::is_change)
            }
        }
    }

    /// The object that a lookup looks at, as planned, when the plan makes it or makes it another one, be it for another
    /// stack; the first one of several. The lookup comes after what does.
    fn take_from_plan(&mut self, asked: &mut LookupRequest, depends_on: &mut Vec<Address>) -> Option<Attributes> {
        let made = self.looking.take_from_plan((&asked.stack, &asked.component), asked.types, &asked.keys);
        let first = made.first()?.attributes.clone();
        asked.is_planned = true;
        let own = made.iter().filter(|made| made.is_of(&asked.stack));
        depends_on.extend(own.map(|made| made.address.clone()));
        depends_on.sort();
        depends_on.dedup();
        Some(first)
    }

    /// What the resources that read lookups come after besides.
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
    /// The lookups of the component, each with what reads it.
    pub(super) fn take_lookups(&mut self) -> Vec<Lookup> {
        let mut lookups: Vec<Lookup> = std::mem::take(&mut self.lookups).into_values().collect();
        lookups.sort_by(|one, other| one.address.cmp(&other.address));
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

/// An answer as expressions see it: all that the schema names, marked where the schema or the question is sensitive.
pub(crate) fn answer(schema: &LookupSchema, arguments: &Attributes, result: &Attributes) -> Value {
    let attribute = |attribute: &terrace_provider::Attribute| {
        let value = result.get(attribute.name).cloned().unwrap_or_default();
        let value = if attribute.sensitive && !value.is_null() { Value::sensitive(value) } else { value };
        (attribute.name.to_owned(), value)
    };
    let value = Value::Map(schema.result.0.iter().map(attribute).collect());
    // What was found by a secret tells of it.
    if arguments.values().any(Value::has_sensitive) { Value::sensitive(value) } else { value }
}

/// What of a planned value the type of an answer knows: what only a resource is configured with is left out.
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

/// What is known of an answer when nothing is but the question.
fn unknown_answer(schema: &LookupSchema, arguments: &Attributes) -> Value {
    let known = schema.result.names().map(|name| {
        let given = arguments.get(name).filter(|_| schema.arguments.get(name).is_some());
        (name.to_owned(), given.cloned().unwrap_or(Value::Unknown))
    });
    answer(schema, arguments, &known.collect())
}

/// What is known of an answer from the object that is planned.
fn answer_of_plan(schema: &LookupSchema, arguments: &Attributes, planned: &Attributes) -> Value {
    let known: Map = schema
        .result
        .names()
        .map(|name| {
            // What it was asked by is answered as it was asked, however the plan writes it.
            let asked = arguments.get(name).filter(|_| schema.arguments.get(name).is_some());
            let value = asked.or_else(|| planned.get(name)).filter(|value| !value.is_null());
            let ty = schema.result.get(name).map(|attribute| &attribute.ty);
            (name.to_owned(), value.zip(ty).map_or(Value::Unknown, |(value, ty)| in_type(value, ty)))
        })
        .collect();
    answer(schema, arguments, &known)
}

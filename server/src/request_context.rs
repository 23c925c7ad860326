//! Context of a request, from its body: environment, descriptor and the components to act on.

use crate::answer::{Messages, Refusal, errors, warnings};
use crate::auth::{Action, Caller, Resource, Scope};
use crate::environments::{EnvironmentContext, Environments, NAME};
use crate::witboost::ProvisioningRequest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use terrace_engine::access::{Access, Grantees};
use terrace_engine::address::{ComponentKey, StackId, parse_with_stack};
use terrace_engine::compile::{CompiledComponent, CompiledStack, Compiler, Given, GivenValue, chosen, undeclared};
use terrace_engine::descriptor::{self, Descriptor, FrontEnd, MISSING_COMPONENTS, UNKNOWN_COMPONENT};
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_engine::digest::sha256;
use terrace_engine::expression::Functions;
use terrace_engine::plan::access::principals_without_access;
use terrace_engine::plan::failure::PlanFailure;
use terrace_engine::plan::ids::ids_of;
use terrace_engine::plan::options::{Consent, Options};
use terrace_engine::plan::planner::Planner;
use terrace_engine::plan::{NOT_SEARCHED, Origin};
use terrace_engine::recorded_names::keep_recorded_names;
use terrace_engine::registry::NO_SESSION;
use terrace_engine::seal::Seal;
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::store::{Ids, OrderKey, Selection, ServerStore, StateStore};
use terrace_provider::Value;
use uuid::Uuid;

/// The name of the text that may accompany it.
const LATEST: &str = "latestEnrichedDescriptor";

/// The field of a body with the descriptor.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    /// The hint if the descriptor has to name a component.
    naming: &'static str,
}

const DESCRIPTOR: Field =
    Field { name: NAME, naming: "name the component to act on, or send the data product as DATAPRODUCT_DESCRIPTOR" };
/// The field in a call that sets access.
const PROVISIONED: Field = Field {
    name: "provisionInfo.request",
    naming: "send the descriptor of the component: `dataProduct` and `componentIdToProvision`",
};

impl Field {
    fn of(self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// The refusal for these errors, at the field of the descriptor if it is known.
    fn refused(self, found: &[Diagnostic], sources: &Sources) -> Refusal {
        let mut errors = found.iter().filter(|found| found.is_error());
        // Errors about the target begin with its name.
        match errors.all(|error| error.message.starts_with(&format!("`{TARGET}`"))) {
            true => Refusal::text(&self.of(TARGET), found, sources),
            false => Refusal::text(self.name, found, sources),
        }
    }
}

/// The field of a descriptor that names the component to act on.
const TARGET: &str = "componentIdToProvision";

/// The reader of a descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requester<'c> {
    /// A caller that needs this action: its limits apply.
    Caller(&'c Caller, Action),
    /// A worker. The limits of its call were checked before it was queued.
    Worker,
}

impl Requester<'_> {
    /// Checks that the caller may act on these resources.
    ///
    /// # Errors
    /// When the caller may not.
    pub(crate) fn check(self, consents: bool, resources: &[Resource<'_>]) -> Result<(), Refusal> {
        match self {
            // Validation loses no data.
            Self::Caller(caller, action) => caller.check(action, consents && action != Action::Validate, resources),
            Self::Worker => Ok(()),
        }
    }

    /// The configured environments that an answer may name.
    fn environments(self, environments: &Environments) -> String {
        let mut names = environments.names();
        if let Self::Caller(caller, _) = self {
            names = caller.visible(names, |caller, name| caller.sees_environment(name));
        }
        format!("configured environments: {}", names.join(", "))
    }
}

/// The environment and domains that a descriptor names beside its stack. Blueprints name objects after them.
fn named_resource(descriptor: &Descriptor) -> Resource<'_> {
    let written = descriptor.product.get("domain").and_then(Value::as_str);
    let of_product = written.or_else(|| descriptor.derived.get("domain")?.as_str());
    // Catalogs name a domain directly or as an entity: `domain:finance`.
    let of_product = of_product.map(|domain| domain.strip_prefix("domain:").unwrap_or(domain));
    // `urn:dmb:cmp:DOMAIN:PRODUCT:MAJOR:NAME`
    let of_ids = descriptor.components.iter().filter_map(|component| component.id.as_deref());
    let of_ids = of_ids.filter_map(|id| id.strip_prefix("urn:dmb:cmp:")?.split(':').next());
    Resource::Named {
        environment: descriptor.environment.as_ref().map(|environment| environment.value.as_str()),
        domains: of_product.into_iter().chain(of_ids).collect(),
    }
}

/// The purpose of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Provision it: the whole descriptor must be valid.
    Provision,
    /// Remove it: only errors in its name matter.
    Remove,
}

/// Options that a caller sends beside the descriptor.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct RequestOptions {
    /// The environment; it overrides the one of the descriptor.
    pub(crate) environment: Option<String>,
    /// The components to act on, by key; empty for those of the descriptor.
    pub(crate) components: Vec<String>,
    /// Values of variables.
    pub(crate) variables: Map<String, Json>,
    /// The addresses whose data may be lost, in any stack or in the one before `:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow_data_loss: Vec<String>,
}

impl RequestOptions {
    /// All options in one text, for a digest: values may be secret.
    pub(crate) fn canonical_text(&self) -> String {
        match self.allow_data_loss.is_empty() {
            true => json!([self.environment, self.components, self.variables]),
            false => json!([self.environment, self.components, self.variables, self.allow_data_loss]),
        }
        .to_string()
    }

    /// The consent to the loss of data.
    fn consent(&self) -> Result<Consent, Refusal> {
        if self.allow_data_loss.is_empty() {
            return Ok(Consent::None);
        }
        let addresses: Result<_, _> = self.allow_data_loss.iter().map(|text| parse_with_stack(text)).collect();
        addresses.map(Consent::Addresses).map_err(|error| {
            Refusal::field(
                "allow_data_loss",
                format!("`allow_data_loss`: {error}"),
                "name resources as in the plan: `COMPONENT/TYPE.NAME`",
            )
        })
    }
}

/// The subject of a request.
pub(crate) struct RequestSubject {
    pub(crate) stack: StackId,
    pub(crate) order: OrderKey,
    /// The least scope of the caller.
    pub(crate) needed: Scope,
}

/// A descriptor that can be planned.
pub(crate) struct RequestContext<'a> {
    pub(crate) env: &'a EnvironmentContext,
    /// The functions of the environment, within the limits of the descriptor.
    functions: Functions,
    pub(crate) sources: Sources,
    pub(crate) stack: StackId,
    /// The components to act on; empty for all.
    pub(crate) components: BTreeSet<ComponentKey>,
    /// The consent to the loss of data.
    consent: Consent,
    /// The least scope of a caller for planning it.
    pub(crate) needed: Scope,
    /// IDs of components to remove that the compiled descriptor does not contain.
    named_ids: BTreeMap<(StackId, ComponentKey), Ids>,
    /// The errors that would prevent provisioning of the target, which this descriptor does not list.
    unlisted: Option<Refusal>,
    /// The compiled descriptor; `None` if it is to be removed and cannot be compiled.
    pub(crate) compiled: Option<CompiledStack>,
    /// Warnings, and errors that do not matter for a removal.
    pub(crate) warnings: Vec<Diagnostic>,
}

impl<'a> RequestContext<'a> {
    /// Reads a descriptor whose plan no user reviews. For provisioning, it must list components: without any, the plan
    /// would remove everything.
    ///
    /// # Errors
    /// When the descriptor is not valid for this purpose.
    pub(crate) async fn read(
        (environments, store): (&'a Environments, &dyn ServerStore),
        request: &ProvisioningRequest,
        purpose: Purpose,
        by: Requester<'_>,
    ) -> Result<Self, Refusal> {
        let context =
            Self::read_with_options((environments, store), request, &RequestOptions::default(), purpose, by).await?;
        let is_empty = |it: &CompiledStack| !it.product.is_null() && it.components.is_empty();
        match purpose == Purpose::Provision && context.compiled.as_ref().is_some_and(is_empty) {
            false => Ok(context),
            true => Err(Refusal::field(
                "descriptor.components",
                "the data product has no components to provision",
                "list its components; `/v1/unprovision` removes a data product",
            )),
        }
    }

    /// Reads a descriptor with its options.
    ///
    /// # Errors
    /// When it is not valid for this purpose.
    pub(crate) async fn read_with_options(
        from: (&'a Environments, &dyn ServerStore),
        request: &ProvisioningRequest,
        options: &RequestOptions,
        purpose: Purpose,
        by: Requester<'_>,
    ) -> Result<Self, Refusal> {
        Self::read_as(from, request, options, purpose, (DESCRIPTOR, by)).await
    }

    /// Reads the descriptor of a component whose access changes.
    ///
    /// # Errors
    /// When it is not valid.
    pub(crate) async fn read_provisioned(
        from: (&'a Environments, &dyn ServerStore),
        request: &ProvisioningRequest,
        by: Requester<'_>,
    ) -> Result<Self, Refusal> {
        Self::read_as(from, request, &RequestOptions::default(), Purpose::Provision, (PROVISIONED, by)).await
    }

    async fn read_as(
        (environments, store): (&'a Environments, &dyn ServerStore),
        request: &ProvisioningRequest,
        options: &RequestOptions,
        purpose: Purpose,
        (field, by): (Field, Requester<'_>),
    ) -> Result<Self, Refusal> {
        let mut sources = Sources::default();
        let (mut descriptor, mut warnings) = parse(environments, &mut sources, request, purpose, field)?;
        let env = match &options.environment {
            Some(name) => environment(environments, Some(name), "environment", by)?,
            None => environment_context(environments, &descriptor, &sources, field, by)?,
        };
        keep_recorded_names(&mut descriptor, &env.engine.environment.name, store).await?;
        let stack = StackId::new(descriptor.stack.as_str(), env.engine.environment.name.as_str());
        // This check comes before any answer that depends on the configuration or the state.
        let consents = request.remove_data || !options.allow_data_loss.is_empty();
        by.check(consents, &[Resource::Stack(&stack), named_resource(&descriptor)])?;
        // The rows of a component are enough to remove it.
        let all_ids = if purpose == Purpose::Remove { ids_of(&descriptor) } else { BTreeMap::new() };
        let unlisted = descriptor.unlisted.take().map(|unlisted| {
            descriptor.target = Some(unlisted.key);
            field.refused(&std::mem::take(&mut warnings), &sources)
        });
        let unlisted = match unlisted {
            Some(refusal) if !options.components.is_empty() => return Err(refusal),
            unlisted => unlisted,
        };
        // Diagnostics may refer to these texts and to those of the blueprints.
        let mut sources = env.sources.with_first_of(&sources);
        let latest = request.latest_enriched_descriptor.as_deref().filter(|text| !text.trim().is_empty());
        let latest = latest.map(|text| sources.add(LATEST, text));
        let components = match options.components.is_empty() {
            true => scope(&descriptor, request, field)?,
            false => chosen(&descriptor, &options.components.iter().cloned().collect())
                .map_err(|found| Refusal::text("components", &found, &sources))?,
        };
        let (variables, consent) = (given(&descriptor, &options.variables, &env.engine.seal)?, options.consent()?);
        let functions = env.engine.functions.bounded(environments.limits().clone());
        let compiler = Compiler {
            sources: &sources,
            functions: &functions,
            environment: &env.engine.environment,
            library: &env.library,
            templates: &env.templates,
            variables: &variables,
            latest_enriched: latest,
        };
        let (compiled, found) = compiler.compile(&descriptor, &components);
        warnings.extend(found);
        let is_valid = compiled.is_some() && !has_errors(&warnings);
        // This check also applies to a removal: the error is in the call, not in the content of a component.
        if warnings.iter().any(|found| found.is_error() && latest.is_some() && found.source() == latest) {
            return Err(Refusal::text(LATEST, &warnings, &sources));
        }
        if purpose == Purpose::Provision && !is_valid {
            return Err(field.refused(&warnings, &sources));
        }
        let compiled = compiled.filter(|_| is_valid);
        if let Some(why) = warnings.iter().find(|found| found.is_error() && compiled.is_none()) {
            let what = format!("skipped the search for unmanaged objects of {stack}");
            warnings.push(Diagnostic::warning(NOT_SEARCHED, format!("{what}: {}", why.message)));
        }
        // The compiled descriptor has the IDs of its components.
        let is_uncompiled =
            |key: &str| compiled.as_ref().is_none_or(|it| it.components.iter().all(|one| one.key != key));
        let is_selected = |key: &ComponentKey| components.is_empty() || components.contains(key);
        let named_ids = all_ids.into_iter().filter(|(key, _)| is_selected(key) && is_uncompiled(key));
        let named_ids = named_ids.map(|(key, ids)| ((stack.clone(), key), ids)).collect();
        let needed = needed(&descriptor);
        Ok(Self {
            env,
            functions,
            sources,
            stack,
            components,
            consent,
            needed,
            named_ids,
            unlisted,
            compiled,
            warnings,
        })
    }

    /// The subject of a request, even if the rest of its descriptor is invalid.
    ///
    /// # Errors
    /// When the subject cannot be determined.
    pub(crate) async fn read_subject(
        (environments, store): (&Environments, &dyn ServerStore),
        request: &ProvisioningRequest,
        by: Requester<'_>,
    ) -> Result<RequestSubject, Refusal> {
        let mut sources = Sources::default();
        let (mut descriptor, _) = parse(environments, &mut sources, request, Purpose::Provision, DESCRIPTOR)?;
        let env = environment_context(environments, &descriptor, &sources, DESCRIPTOR, by)?;
        keep_recorded_names(&mut descriptor, &env.engine.environment.name, store).await?;
        let stack = StackId::new(descriptor.stack.as_str(), env.engine.environment.name.as_str());
        by.check(false, &[Resource::Stack(&stack), named_resource(&descriptor)])?;
        scope(&descriptor, request, DESCRIPTOR)?;
        let needed = needed(&descriptor);
        Ok(RequestSubject { stack, order: descriptor.target.unwrap_or_default().into(), needed })
    }

    /// Checks that the state knows a component to remove that the descriptor does not list.
    ///
    /// # Errors
    /// When the state does not know it, or the store cannot be read.
    pub(crate) async fn check_known(&mut self, store: &dyn StateStore) -> Result<(), Refusal> {
        let Some(unlisted) = self.unlisted.take() else { return Ok(()) };
        let components = store.components(&self.stack).await?;
        let is_recorded = components.iter().any(|row| self.components.contains(&row.key));
        let its_rows = Selection::Components(self.components.clone());
        if is_recorded || !store.rows(&self.stack, &its_rows).await?.is_empty() { Ok(()) } else { Err(unlisted) }
    }

    /// The subject of the request.
    pub(crate) fn subject(&self) -> RequestSubject {
        let component = self.components.first().filter(|_| self.components.len() == 1).cloned();
        RequestSubject { stack: self.stack.clone(), order: component.unwrap_or_default().into(), needed: self.needed }
    }

    /// Checks that the component can grant access.
    ///
    /// # Errors
    /// When the blueprint of the component has no `acl`.
    pub(crate) fn check_grants_access(&self) -> Result<(), Refusal> {
        let components = self.compiled.iter().flat_map(|compiled| &compiled.components);
        let Some(component) = components.into_iter().find(|component| self.components.contains(&component.key)) else {
            return Ok(());
        };
        let Err(problem) = component.check_grants_access() else { return Ok(()) };
        let with_acl = self.env.library.iter().filter(|blueprint| !blueprint.acl.resources.is_empty());
        let names: Vec<&str> = with_acl.map(|blueprint| blueprint.name.value.as_str()).collect();
        let solution = match names.is_empty() {
            true => "add `acl` to a blueprint: none has it".to_owned(),
            false => format!("these blueprints have `acl`: {}", names.join(", ")),
        };
        Err(Refusal::field(PROVISIONED.name, problem, solution))
    }

    /// The principals that cannot get access to a component, with the reason: no resource of its `acl` can name them.
    pub(crate) fn principals_without_access<'p>(
        &'p self,
        component: &CompiledComponent,
        access: &'p Access,
    ) -> BTreeMap<&'p str, String> {
        principals_without_access(component, access, &self.env.engine.registry, &self.env.engine.functions)
    }

    /// The reasons if none of the requested principals gets access; `None` if one does, or the list is empty.
    pub(crate) fn why_no_access(&self, grantees: &Grantees) -> Option<String> {
        let Grantees { component, access } = grantees;
        let component = self.compiled.as_ref()?.components.iter().find(|one| one.key == *component)?;
        let without_access = self.principals_without_access(component, access);
        let is_no_one = !access.principals.is_empty() && without_access.len() == access.principals.len();
        let reasons = without_access.into_iter().map(|(principal, why)| format!("`{principal}` gets no access: {why}"));
        is_no_one.then(|| reasons.collect::<Vec<_>>().join("\n"))
    }

    /// Diagnostics without reading state or network.
    ///
    /// # Errors
    /// When planning fails.
    pub(crate) async fn validate(&self, empty_store: &dyn StateStore) -> Result<Vec<Diagnostic>, Refusal> {
        let mut found = self.warnings.clone();
        let Some(compiled) = &self.compiled else { return Ok(found) };
        let options = Options { refresh: false, offline: true, ..self.options(false) };
        let planner = self.planner(empty_store, &options);
        // This plan is discarded, so its origin does not matter.
        let computed = planner.plan(std::slice::from_ref(compiled), Origin::default()).await;
        found.extend(computed.map_err(|error| Refusal::Internal(error.to_string()))?.diagnostics);
        found.retain(|diagnostic| diagnostic.code != "known_too_late");
        Ok(found)
    }

    /// Errors and warnings of a plan against the state and remote systems, as `/v2/validate` reports them.
    ///
    /// # Errors
    /// When planning fails.
    pub(crate) async fn validate_remotely(&self, store: &dyn StateStore) -> Result<Messages, Refusal> {
        // Siblings that are not deployed yet count as planned.
        let options = Options { assumes_siblings: true, ..self.options(false) };
        let planner = self.planner(store, &options);
        let mut computed =
            planner.plan(self.compiled.as_slice(), self.origin()).await.map_err(|error| match error {
                PlanFailure::Store(error) => error.into(),
                other => Refusal::Internal(other.to_string()),
            })?;
        computed.plan.note_before(&self.warnings, &self.sources);
        Ok(Messages { errors: errors(&computed.diagnostics, &self.sources), warnings: warnings(&computed.plan.notes) })
    }

    /// Like `validate`, but returns a refusal. It leaves out errors of connections, which the operation reports.
    ///
    /// # Errors
    /// When the descriptor is not valid.
    pub(crate) async fn check(&self, empty_store: &dyn StateStore) -> Result<(), Refusal> {
        let mut found = self.validate(empty_store).await?;
        found.retain(|diagnostic| !NO_SESSION.contains(&diagnostic.code));
        if has_errors(&found) { Err(DESCRIPTOR.refused(&found, &self.sources)) } else { Ok(()) }
    }

    /// The origin of its plans.
    pub(crate) fn origin(&self) -> Origin {
        // The descriptor is the first text.
        let text = self.sources.get(SourceId::default()).map(|source| sha256(source.text.as_bytes()));
        Origin { descriptors: text.map(|digest| (NAME.to_owned(), digest)).into_iter().collect(), ..Origin::default() }
    }

    /// Options of a plan.
    pub(crate) fn options(&self, remove_data: bool) -> Options {
        let allow_data_loss = if self.env.is_data_loss_allowed { Consent::All } else { self.consent.clone() };
        let (components, named_ids) = (self.components.clone(), self.named_ids.clone());
        Options { components, named_ids, remove_data, allow_data_loss, ..Options::default() }
    }

    /// A planner with these options.
    pub(crate) fn planner<'p>(&'p self, store: &'p dyn StateStore, options: &'p Options) -> Planner<'p> {
        let now = (Timestamp::now(), Uuid::now_v7());
        Planner { functions: &self.functions, ..self.env.engine.planner(store, &self.sources, options, now) }
    }
}

/// The environment of a stack.
pub(crate) fn environment_of(stack: &StackId) -> &str {
    stack.environment.as_str()
}

/// The errors of a data product that does not list the target component.
const UNLISTED: [&str; 2] = [MISSING_COMPONENTS, UNKNOWN_COMPONENT];

/// The only descriptor of a request, and its diagnostics.
fn parse(
    environments: &Environments,
    sources: &mut Sources,
    request: &ProvisioningRequest,
    purpose: Purpose,
    field: Field,
) -> Result<(Descriptor, Vec<Diagnostic>), Refusal> {
    let id = sources.add(field.name, request.descriptor.as_str());
    let (descriptors, found) = descriptor::read(sources, &[id], &environments.limits().budget());
    let is_unlisted = purpose == Purpose::Remove
        && descriptors.iter().all(|descriptor| descriptor.unlisted.is_some())
        && found.iter().filter(|found| found.is_error()).all(|found| UNLISTED.contains(&found.code));
    if has_errors(&found) && !is_unlisted {
        return Err(field.refused(&found, sources));
    }
    match <[Descriptor; 1]>::try_from(descriptors) {
        Ok([descriptor]) if descriptor.front_end == FrontEnd::Stack && !environments.takes_stacks() => {
            Err(Refusal::field(
                field.name,
                "the descriptor is a plain stack, which may declare any resource: this server accepts data products only",
                "send a data product, or set `server: {stacks: true}` in terrace.yaml if every caller with the scope `apply` \
             may run any command that the server may run",
            ))
        }
        Ok([descriptor]) => Ok((descriptor, found)),
        Err(several) => {
            let problem = format!("the descriptor contains {} stacks", several.len());
            Err(Refusal::field(field.name, problem, "send one data product"))
        }
    }
}

/// The scope for planning a descriptor. A plain stack may contain commands that find and read its objects, and the
/// planner runs them.
fn needed(descriptor: &Descriptor) -> Scope {
    match descriptor.front_end {
        FrontEnd::Stack => Scope::Apply,
        _ => Scope::Plan,
    }
}

fn environment_context<'a>(
    environments: &'a Environments,
    descriptor: &Descriptor,
    sources: &Sources,
    field: Field,
    by: Requester<'_>,
) -> Result<&'a EnvironmentContext, Refusal> {
    let named = descriptor.environment.as_ref();
    let found = environment(environments, named.map(|named| named.value.as_str()), &field.of("environment"), by);
    found.map_err(|refusal| match named.and_then(|named| sources.place(named.span)) {
        Some(place) => refusal.at_place(&place),
        None => refusal,
    })
}

/// The environment that a field of the body names, or the only one if it names none.
///
/// # Errors
/// When it is outside the limits of the caller, configured or not; when it is not configured.
pub(crate) fn environment<'a>(
    environments: &'a Environments,
    named: Option<&str>,
    field: &str,
    by: Requester<'_>,
) -> Result<&'a EnvironmentContext, Refusal> {
    let Some(name) = named.or(environments.only()) else {
        return Err(Refusal::field(field, "the descriptor names no environment", by.environments(environments)));
    };
    by.check(false, &[Resource::Environment(name)])?;
    let unknown = || {
        let problem = format!("the environment `{name}` is not configured");
        Refusal::field(field, problem, by.environments(environments))
    };
    environments.get(name).ok_or_else(unknown)
}

/// The values of variables from a caller. The store keeps them until the plan is applied.
fn given(descriptor: &Descriptor, values: &Map<String, Json>, seal: &Seal) -> Result<BTreeMap<String, Given>, Refusal> {
    let wrong = undeclared(values.keys().map(String::as_str), std::slice::from_ref(descriptor));
    if !wrong.is_empty() {
        return Err(Refusal::text("variables", &wrong, &Sources::default()));
    }
    let mut sensitive = descriptor.variables.iter().filter(|declared| declared.is_sensitive);
    if let Some(declared) =
        sensitive.find(|declared| values.contains_key(&*declared.name.value) && !seal.can_store_new())
    {
        let field = format!("variables.{}", declared.name.value);
        let problem = format!("`{field}` is sensitive, and the server has no state key to seal it");
        return Err(Refusal::field(&field, problem, "start the server with a key: `terrace init --state-key`"));
    }
    let given = |(name, value): (&String, &Json)| {
        let given = Given { value: GivenValue::Value(value.clone().into()), by: format!("`variables.{name}`") };
        (name.clone(), given)
    };
    Ok(values.iter().map(given).collect())
}

/// The kinds of descriptors.
const KINDS: [&str; 3] = ["COMPONENT_DESCRIPTOR", "DATAPRODUCT_DESCRIPTOR", "DATAPRODUCT_DESCRIPTOR_WITH_RESULTS"];

/// The components to act on. The descriptor's text decides, not its declared kind; but the kind must be a known one.
fn scope(
    descriptor: &Descriptor,
    request: &ProvisioningRequest,
    field: Field,
) -> Result<BTreeSet<ComponentKey>, Refusal> {
    if let Some(kind) = request.descriptor_kind.as_deref().filter(|kind| !KINDS.contains(kind)) {
        let problem = format!("`{kind}` is not a kind of descriptor");
        return Err(Refusal::field("descriptorKind", problem, format!("send one of {}", KINDS.join(", "))));
    }
    match (&descriptor.target, request.descriptor_kind.as_deref()) {
        (Some(target), _) => Ok(BTreeSet::from([target.clone()])),
        (None, Some("COMPONENT_DESCRIPTOR")) => Err(Refusal::field(
            &field.of(TARGET),
            "a COMPONENT_DESCRIPTOR has no `componentIdToProvision`",
            field.naming,
        )),
        (None, None | Some("DATAPRODUCT_DESCRIPTOR")) => Ok(BTreeSet::new()),
        (None, Some(other)) => Err(Refusal::field(
            "descriptorKind",
            format!("`{other}` is not a kind that this call accepts"),
            "send COMPONENT_DESCRIPTOR or DATAPRODUCT_DESCRIPTOR",
        )),
    }
}

//! Plans one instance of a resource: turns prior object and configuration into one change.

use super::adoption::{self, NotAdoptable};
use super::failure::PlanFailure;
use super::planner::Planner;
use super::refresh::CANNOT_READ;
use super::remote_check::RemoteCheck;
use super::removed_data::lost_data;
use super::resource_input::ResourceInput;
use super::{
    After, Basis, Change, DataLossNote, Deferred, How, InDoubt, Why, contract, declared_import, ignored, inconsistent,
    newly_sensitive,
};
use crate::deadline;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, StackId};
use terrace_language::compile::CompiledImport;
use terrace_language::descriptor::{Adopt, Lifecycle};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::registry::Registry;
use terrace_language::source::Span;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attributes, ErrorKind, Found, Path, PlannedChange, ProposedChange, ProviderError, ResourceType, Session,
    Value,
};
use terrace_store::diff::{are_same, changed_from_recorded, is_same};
use terrace_store::marks;
use terrace_store::record::{self, Prior, found};
use terrace_store::{Generation, RowStatus};

/// Plans one instance. Adds the question to its system to `remote_checks`, for the caller to ask.
pub(crate) async fn plan<'d>(
    planner: &Planner<'_>,
    session: &Arc<dyn Session>,
    input: ResourceInput<'d, '_>,
    remote_checks: &mut Vec<RemoteCheck<'d>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Change>, PlanFailure> {
    let mut subject = Subject::of(planner, &**session, input);
    if !subject.check_instance(diagnostics) || !subject.find_object(diagnostics).await? {
        return Ok(None);
    }
    let mut proposal = subject.propose();
    let Some(planned) = subject.ask_provider(&proposal, diagnostics).await else { return Ok(None) };
    if !subject.check_planned(&proposal, &planned, diagnostics) {
        return Ok(None);
    }
    let decision = subject.decide(&mut proposal, &planned, diagnostics);
    remote_checks.extend(subject.remote_check(session, decision.action, &planned));
    if !subject.check_replacement(decision.action, &planned, diagnostics) {
        return Ok(None);
    }
    let data_loss = subject.data_loss(decision.action, &planned).await;
    if !subject.check_adoption(decision.action, data_loss.is_some(), diagnostics) {
        return Ok(None);
    }
    Ok(Some(subject.into_change(proposal, planned, decision, data_loss, diagnostics)))
}

/// The instance with its object, as far as it is known.
struct Subject<'p, 'd, 'a> {
    planner: &'p Planner<'p>,
    session: &'p dyn Session,
    input: ResourceInput<'d, 'a>,
    /// The address with its stack, for texts.
    address: String,
    generation: Generation,
    recorded_instance: Option<String>,
    moved_from: Option<Address>,
    drift: Vec<Path>,
    /// True if the recorded object no longer exists.
    is_gone: bool,
    prior: Option<Prior>,
    /// True if the object exists and has no row.
    is_adopted: bool,
    /// True if the import of the declaration adopts the object.
    is_imported: bool,
}

/// The inputs of the provider's plan.
struct Proposal {
    config: Attributes,
    deferred: Option<Deferred>,
    /// Digests of write-only attributes.
    write_only: BTreeMap<String, String>,
    changed_write_only: Vec<String>,
    /// The reason to replace the object in any case.
    forced: Option<Reason>,
}

struct Decision {
    action: Action,
    reason: Option<Reason>,
}

impl<'p, 'd, 'a> Subject<'p, 'd, 'a> {
    fn of(planner: &'p Planner<'p>, session: &'p dyn Session, mut input: ResourceInput<'d, 'a>) -> Self {
        let address = format!("{}:{}", input.stack, input.address);
        let row = input.row.take();
        let (generation, is_gone) = row.as_ref().map_or((0, false), |row| (row.opened.generation, row.is_gone));
        let recorded_instance = row.as_ref().map(|row| row.opened.provider.clone());
        let (moved_from, drift) =
            row.as_ref().map_or_else(Default::default, |row| (row.moved_from.clone(), row.drift.clone()));
        let prior = row.filter(|row| !row.is_gone).map(|row| row.opened.prior);
        let is_new = prior.is_none() && !is_gone && input.in_doubt.is_none();
        let is_imported = input.import.is_some() && is_new && !planner.options.offline;
        Self {
            planner,
            session,
            input,
            address,
            generation,
            recorded_instance,
            moved_from,
            drift,
            is_gone,
            prior,
            is_adopted: false,
            is_imported,
        }
    }

    /// The import that adopts the object.
    fn import(&self) -> Option<&CompiledImport> {
        self.input.import.as_ref().filter(|_| self.is_imported)
    }

    /// The place of an attribute in the descriptor.
    fn span_of(&self, path: Option<&Path>) -> Span {
        path.map_or(self.input.span, |path| self.input.template.span_at(path))
    }

    /// Refuses a resource whose object exists in another provider instance.
    fn check_instance(&self, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let provider = &self.input.provider;
        let Some(recorded) = self.recorded_instance.as_ref().filter(|recorded| *recorded != provider) else {
            return true;
        };
        let address = &self.address;
        diagnostics.push(
            Diagnostic::error(
                "other_instance",
                format!("{address} exists in provider instance `{recorded}`, but is declared in `{provider}`"),
            )
            .at(self.input.span)
            .about(address)
            .hint("an object cannot move between instances: give the new one another name, and remove this one"),
        );
        false
    }

    /// Looks for an object to adopt, if no row has one. Returns false if an object must not be adopted.
    async fn find_object(&mut self, diagnostics: &mut Vec<Diagnostic>) -> Result<bool, PlanFailure> {
        let input = &self.input;
        if let Some(import) = self.import() {
            let address = (input.stack, &input.address, input.provider.as_str());
            let found =
                declared_import::look_up(self.planner, self.session, input.ty, address, import, diagnostics).await?;
            let Some(found) = found else { return Ok(false) };
            self.prior = Some(as_declared(self.planner, self.session, input, &self.address, found).await);
            self.is_adopted = true;
        } else if self.prior.is_none() && input.adopt != Adopt::Never && !self.planner.options.offline {
            self.prior = find_existing(self.planner, self.session, input, &self.address, diagnostics).await;
            self.is_adopted = self.prior.is_some();
        }
        if let Some(found) = self.adopted_if_ours()
            && let Some(obstacle) = adoption::find_obstacle(self.planner, &self.input, found).await?
        {
            diagnostics.push(adoption::adoption_error(&self.input, &self.address, found, &obstacle));
            return Ok(false);
        }
        Ok(true)
    }

    /// The adopted object, if only own objects may be adopted.
    fn adopted_if_ours(&self) -> Option<&Prior> {
        self.prior.as_ref().filter(|_| self.is_adopted && self.input.adopt == Adopt::IfOurs)
    }

    fn propose(&mut self) -> Proposal {
        let input = &mut self.input;
        let prior = self.prior.as_ref();
        let settled = match ignored::settled(input.ty, &input.config, prior, &input.ignored) {
            Cow::Owned(settled) => Some(settled),
            Cow::Borrowed(_) => None,
        };
        let config = settled.unwrap_or_else(|| std::mem::take(&mut input.config));
        let deferred = input.deferred.take().filter(|_| config.values().any(Value::has_unknown));
        let write_only = write_only_detectors(self.planner, input.ty, &config);
        let changed_write_only = changed_not_ignored(prior, &write_only, &input.ignored);
        let is_requested = !self.is_adopted && self.planner.options.replaces(input.stack, &input.address);
        let forced = match prior.map(|prior| prior.status) {
            Some(RowStatus::Tainted) => Some(Reason::Tainted),
            Some(_) if is_requested => Some(Reason::Requested),
            // An object that is adopted now existed before its triggers changed.
            _ if !self.is_adopted && !input.triggered_by.is_empty() => Some(Reason::Triggered),
            _ => None,
        };
        Proposal { config, deferred, write_only, changed_write_only, forced }
    }

    /// Returns the provider's plan; `None` if it refuses.
    async fn ask_provider(&mut self, proposal: &Proposal, diagnostics: &mut Vec<Diagnostic>) -> Option<PlannedChange> {
        let input = &self.input;
        let is_destroyed_by_address = self.is_adopted && self.planner.options.by_address;
        let recorded = self.prior.as_mut().map(|prior| prior.take_recorded(&self.address));
        let proposed = ProposedChange {
            address: &self.address,
            prior: recorded.as_ref(),
            config: &proposal.config,
            must_replace: proposal.forced.is_some(),
            changed_write_only: &proposal.changed_write_only,
        };
        let planned = match self.session.plan(input.ty, &proposed).await {
            // A destroy removes the object even if its provider refuses to align it.
            Err(error) if is_destroyed_by_address && is_refusal(&error) => {
                let problems = error.with_problems();
                let message = format!("{} exists and differs from its description: {problems}", self.address);
                let warning = Diagnostic::warning(NOT_AS_DESCRIBED, message).at(input.span);
                diagnostics.push(warning.about(&self.address));
                Ok(from_schema(input.ty, &proposed))
            }
            planned => planned,
        };
        if let (Some(prior), Some(recorded)) = (self.prior.as_mut(), recorded) {
            prior.restore(recorded);
        }
        match planned {
            Ok(mut planned) => {
                marks::mark_derived(&input.ty.attributes, &proposal.config, &mut planned.planned);
                Some(planned)
            }
            Err(error) => {
                let path = match &error.kind {
                    ErrorKind::InvalidInput { path } => path.clone(),
                    _ => None,
                };
                let hint = error.hint().or_else(|| default_hint(&error, input.ty.name, self.planner.registry));
                // A destroy must not take an object that exists for a missing one.
                let code = if is_destroyed_by_address { CANNOT_READ } else { "cannot_plan" };
                let diagnostic = Diagnostic::error(code, error.with_problems()).at(self.span_of(path.as_ref()));
                diagnostics.push(diagnostic.maybe_hint(hint).about(&self.address).on(path));
                None
            }
        }
    }

    /// Checks the provider's promises. Returns false if the same replacement would be planned again and again.
    fn check_planned(&self, proposal: &Proposal, planned: &PlannedChange, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let Self { input, address, .. } = self;
        let is_replaced = proposal.forced.is_some() || !planned.replace_paths.is_empty();
        let recorded = self.prior.as_ref().filter(|_| !is_replaced).map(|prior| &prior.attributes);
        for breach in contract::planned_agrees_with_config(input.ty, &proposal.config, recorded, planned) {
            diagnostics.push(
                Diagnostic::error("provider_bug", format!("a fault of the provider of `{}`: {breach}", input.ty.name))
                    .at(input.span)
                    .about(address)
                    .hint("report this fault to the provider's author: the descriptor is right"),
            );
        }
        if proposal.forced.is_none()
            && let Some(error) =
                inconsistent::futile_replacement(self.planner.seal, address, self.prior.as_ref(), planned)
        {
            diagnostics.push(error.at(input.span));
            return false;
        }
        true
    }

    /// Decides the action. If nothing is sent, the digests of the last call stay.
    fn decide(&self, proposal: &mut Proposal, planned: &PlannedChange, diagnostics: &mut Vec<Diagnostic>) -> Decision {
        let (input, prior) = (&self.input, self.prior.as_ref());
        let Decision { action, reason } =
            decide(input.ty, prior, planned, proposal.forced.take(), self.is_adopted, &proposal.changed_write_only);
        if let (Action::NoOp, Some(prior)) = (action, prior) {
            let (now, recorded) = (&proposal.write_only, &prior.write_only);
            diagnostics.extend(undetectable_changes(now, recorded, input.span, &self.address));
            proposal.write_only.clone_from(&prior.write_only);
        }
        let reason = reason.or_else(|| self.is_imported.then_some(Reason::Imported));
        let reason = reason.or_else(|| self.is_gone.then_some(Reason::Gone)).or_else(|| {
            let repairs_drift = action == Action::Update && is_as_recorded(input.ty, prior, planned);
            repairs_drift.then_some(Reason::Drifted)
        });
        Decision { action, reason }
    }

    /// The question to the system about the planned values, if it has dry runs.
    fn remote_check(
        &self,
        session: &Arc<dyn Session>,
        action: Action,
        planned: &PlannedChange,
    ) -> Option<RemoteCheck<'d>> {
        let Self { input: ResourceInput { ty, template, span, .. }, .. } = self;
        if action == Action::NoOp || self.planner.options.offline {
            return None;
        }
        // Sends nothing.
        drop(session.validate_remote(ty, &planned.planned)?);
        Some(RemoteCheck {
            session: Arc::clone(session),
            ty,
            planned: planned.planned.clone(),
            address: self.address.clone(),
            template,
            span: *span,
        })
    }

    /// Reports the replacement of a protected object. Returns false for an import that would replace its object.
    fn check_replacement(&self, action: Action, planned: &PlannedChange, diagnostics: &mut Vec<Diagnostic>) -> bool {
        if !action.is_replace() {
            return true;
        }
        let prior = self.prior.as_ref();
        if let Some(import) = self.import() {
            diagnostics.push(declared_import::another_object(&self.address, import, prior, planned));
            return false;
        }
        if is_protected(&self.input.lifecycle, prior) {
            diagnostics.push(protected(&self.address, Some(self.input.span), "replaced"));
        }
        true
    }

    async fn data_loss(&self, action: Action, planned: &PlannedChange) -> Option<DataLossNote> {
        let input = &self.input;
        let place = (input.stack, &input.address);
        data_loss(self.planner, place, &input.provider, input.ty, action, self.prior.as_ref(), planned).await
    }

    /// Returns false if an object that may not be ours would be replaced or lose data.
    fn check_adoption(&self, action: Action, loses_data: bool, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let Some(found) = self.adopted_if_ours().filter(|_| loses_data || action.is_replace()) else { return true };
        let obstacle = if loses_data { NotAdoptable::DataLoss } else { NotAdoptable::Replaced };
        diagnostics.push(adoption::adoption_error(&self.input, &self.address, found, &obstacle));
        false
    }

    fn into_change(
        self,
        proposal: Proposal,
        planned: PlannedChange,
        decision: Decision,
        data_loss: Option<DataLossNote>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Change {
        let import_id = self.import().map(|import| import.id.clone());
        let Self { input, address, mut prior, is_adopted, .. } = self;
        let newly_sensitive = prior.as_mut().map(|prior| {
            let newly_sensitive = prior.hide(&planned.planned, is_adopted);
            // Values that a failed call sent may occur in computed attributes.
            marks::mark_derived(&input.ty.attributes, &proposal.config, &mut prior.attributes);
            newly_sensitive
        });
        let is_in_doubt = input.in_doubt.is_some();
        let change = Change {
            address: input.address,
            deposed: None,
            moved_from: self.moved_from,
            import_id,
            action: if is_in_doubt { Action::NoOp } else { decision.action },
            after: Some(After {
                attributes: planned.planned,
                private: planned.private,
                deferred: proposal.deferred,
                write_only: proposal.write_only,
                newly_sensitive: newly_sensitive.unwrap_or_default(),
            }),
            data_loss: data_loss.filter(|_| !is_in_doubt),
            in_doubt: input.in_doubt.map(InDoubt::Own),
            why: Why {
                because: if is_in_doubt || decision.action == Action::NoOp { Vec::new() } else { planned.because },
                triggered_by: match decision.reason {
                    Some(Reason::Triggered) => input.triggered_by,
                    _ => Vec::new(),
                },
                reason: decision.reason,
                replace_paths: planned.replace_paths,
                drift: self.drift,
            },
            basis: Basis {
                place: input.place,
                generation: self.generation,
                prior: prior.map(Box::new),
                ignored: input.ignored,
            },
            how: How {
                provider: input.provider,
                depends_on: input.depends_on,
                lifecycle: input.lifecycle,
                timeouts: input.timeouts,
                checks: Vec::new(),
            },
        };
        if change.changes_lifecycle() {
            diagnostics.push(
                Diagnostic::note(
                    "lifecycle_changed",
                    format!("the lifecycle of {} changes; apply records the new one", change.address),
                )
                .at(input.span)
                .about(&address),
            );
        }
        diagnostics.extend(newly_sensitive::note(&change, &address, input.span));
        change
    }
}

/// True if a provider refuses the change itself; false if it failed to query its system.
fn is_refusal(error: &ProviderError) -> bool {
    matches!(error.kind, ErrorKind::InvalidInput { .. } | ErrorKind::Failed)
}

fn decide(
    ty: &ResourceType,
    prior: Option<&Prior>,
    planned: &PlannedChange,
    forced: Option<Reason>,
    is_adopted: bool,
    changed_write_only: &[String],
) -> Decision {
    let Some(prior) = prior else { return Decision { action: Action::Create, reason: None } };
    let is_same =
        changed_write_only.is_empty() && changed_from_recorded(ty, &prior.attributes, &planned.planned).is_empty();
    let is_retained = prior.status == RowStatus::Retained;
    if forced.is_some() || !planned.replace_paths.is_empty() {
        // A difference explains the replacement better than a forced reason, except for the taint.
        let reason = forced.filter(|reason| *reason == Reason::Tainted || planned.replace_paths.is_empty());
        // The order of the two halves is decided once all changes are planned.
        return Decision { action: Action::Replace, reason: Some(reason.unwrap_or(Reason::CannotUpdate)) };
    }
    let reason = is_retained.then_some(Reason::Readopted);
    let action = match (is_same, is_adopted || is_retained) {
        (true, false) => Action::NoOp,
        (_, true) => Action::Adopt,
        (false, false) => Action::Update,
    };
    Decision { action, reason }
}

/// True if the change restores recorded values: it repairs drift and follows no edit.
fn is_as_recorded(ty: &ResourceType, prior: Option<&Prior>, planned: &PlannedChange) -> bool {
    let Some(recorded) = prior.and_then(|prior| prior.recorded.as_ref()) else { return false };
    changed_from_recorded(ty, recorded, &planned.planned)
        .iter()
        .all(|path| path.get(&planned.planned).is_some_and(Value::has_unknown))
}

/// Reads an imported object in the form of its declaration. An import knows only the id: it returns the content of a file as text,
/// also for a declaration that copies another file.
async fn as_declared(
    planner: &Planner<'_>,
    session: &dyn Session,
    input: &ResourceInput<'_, '_>,
    address: &str,
    imported: Prior,
) -> Prior {
    let ResourceInput { ty, config, .. } = input;
    let differs = |(name, value): (&String, &Value)| !is_same(imported.attributes.get(name), Some(value));
    let is_declared = ty.identity_of(&ty.with_identity(config)).is_some_and(|declared| {
        !declared.is_empty() && are_same(&ty.compared(&declared), &ty.compared(&imported.identity))
    });
    if !is_declared || !config.iter().any(differs) {
        return imported;
    }
    // Without an answer, the plan compares the imported form.
    let found = find_existing(planner, session, input, address, &mut Vec::new()).await;
    found.filter(|found| are_same(&found.identity, &imported.identity)).unwrap_or(imported)
}

/// Finds the object of that identity, if it exists and no row of the plan has it.
async fn find_existing(
    planner: &Planner<'_>,
    session: &dyn Session,
    input: &ResourceInput<'_, '_>,
    address: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Prior> {
    let ResourceInput { ty, config, timeouts, .. } = input;
    let planned = ty.with_identity(config);
    let identity = ty.identity_of(&planned)?;
    // An object without an identity has to be found by its address: an empty identity would match every object.
    let is_known = !config.values().any(Value::has_unknown);
    if identity.is_empty() && !(planner.options.by_address && is_known && !ty.state_only) {
        return None;
    }
    let attempt = Attempt {
        address: address.to_owned(),
        identity,
        planned,
        private: terrace_provider::Private::default(),
        prior: None,
        lost_call: None,
    };
    match deadline::call_reading(timeouts.read, session.find(ty, &attempt)).await {
        Ok(Found::Own(observed) | Found::Foreign(observed)) => Some(found(ty, observed)),
        Ok(unclear @ (Found::Pending(_) | Found::Unknown)) if planner.options.by_address => {
            diagnostics.push(unknown_existence(&unclear, address).at(input.span).about(address));
            None
        }
        Ok(Found::Absent | Found::NoEffect | Found::Pending(_) | Found::Unknown) => None,
        Err(error) => {
            let hint = error.hint().or_else(|| default_hint(&error, ty.name, planner.registry));
            let message = format!("cannot look for {address}: {}", error.with_problems());
            // If the containing object is missing or not configured, the object does not exist.
            let is_nowhere = matches!(error.kind, ErrorKind::NotFound | ErrorKind::NotConfigured);
            let code = if is_nowhere { "cannot_plan" } else { CANNOT_READ };
            let diagnostic = Diagnostic::error(code, message);
            let path = match &error.kind {
                ErrorKind::InvalidInput { path } => path.clone(),
                _ => None,
            };
            let at = path.as_ref().map_or(input.span, |path| input.template.span_at(path));
            diagnostics.push(diagnostic.at(at).about(address).maybe_hint(hint).on(path));
            None
        }
    }
}

/// Keyed digests of the known write-only attributes. A digest is empty without a state key, so that only the attribute's presence
/// is recorded.
pub(crate) fn write_only_detectors(
    planner: &Planner<'_>,
    ty: &ResourceType,
    config: &Attributes,
) -> BTreeMap<String, String> {
    ty.attributes
        .0
        .iter()
        .filter(|attribute| attribute.write_only)
        .filter_map(|attribute| {
            let value = config.get(attribute.name).filter(|value| !value.is_null() && !value.has_unknown())?;
            let clear = value.to_revealed_json().to_string();
            Some((attribute.name.to_owned(), planner.seal.change_detector(clear.as_bytes()).unwrap_or_default()))
        })
        .collect()
}

/// Warns that changes of write-only values cannot be detected without a state key, which their digests need.
fn undetectable_changes(
    now: &BTreeMap<String, String>,
    recorded: &BTreeMap<String, String>,
    span: Span,
    about: &str,
) -> Option<Diagnostic> {
    let is_unknown =
        |name: &&String| now.get(*name) == Some(&String::new()) && recorded.get(*name) == Some(&String::new());
    let names: Vec<String> = now.keys().filter(is_unknown).map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return None;
    }
    let message = format!("changes of {} cannot be detected without a state key: nothing is sent", names.join(", "));
    let warning = Diagnostic::warning("untold_change", message).at(span).about(about);
    Some(warning.hint("create a state key with `terrace init --state-key`: the next apply then sends the value"))
}

/// The write-only attributes whose digests differ from the recorded ones.
pub(crate) fn changed_write_only(prior: Option<&Prior>, detectors: &BTreeMap<String, String>) -> Vec<String> {
    let Some(prior) = prior else { return Vec::new() };
    let recorded = |name: &str| prior.write_only.get(name).map(String::as_str).unwrap_or_default();
    let changed = detectors.iter().filter(|(name, detector)| recorded(name) != detector.as_str());
    let gone = prior.write_only.keys().filter(|name| !detectors.contains_key(*name));
    changed.map(|(name, _)| name.clone()).chain(gone.cloned()).collect()
}

/// The changed write-only attributes that are not ignored.
fn changed_not_ignored(prior: Option<&Prior>, detectors: &BTreeMap<String, String>, ignored: &[Path]) -> Vec<String> {
    let mut changed = changed_write_only(prior, detectors);
    changed.retain(|name| !ignored::is_ignored(name, prior, ignored));
    changed
}

/// The write-only attributes that a planned change sends.
pub fn sent_write_only(change: &Change) -> Vec<String> {
    let detectors = change.after.as_ref().map(|after| &after.write_only);
    detectors
        .map(|detectors| changed_not_ignored(change.basis.prior.as_deref(), detectors, &change.basis.ignored))
        .unwrap_or_default()
}

/// True when the descriptor or the row protects the object from deletion.
pub(crate) fn is_protected(lifecycle: &Lifecycle, prior: Option<&Prior>) -> bool {
    lifecycle.prevent_destroy || prior.is_some_and(|prior| prior.lifecycle.prevent_destroy)
}

/// The default remedy for an error whose provider has none.
pub(crate) fn default_hint(error: &ProviderError, ty: &str, registry: &Registry) -> Option<String> {
    let of_type = registry.resource_type(ty).map(|(schema, _)| schema);
    let provider = of_type.or_else(|| registry.lookup(ty).map(|(schema, _)| schema))?.name;
    match &error.kind {
        ErrorKind::InvalidInput { .. } => {
            Some(format!("`terrace providers schema {provider}` shows what `{ty}` takes"))
        }
        ErrorKind::PermissionDenied => Some(format!(
            "grant this permission to the identity of the `{provider}` instance, or configure another identity"
        )),
        kind if kind.is_temporary() => Some("try again: the failure may be temporary".to_owned()),
        _ => None,
    }
}

/// The code of errors about protected objects.
pub(super) const PREVENT_DESTROY: &str = "prevent_destroy";

/// The error for a deletion that only the declaration forbids.
pub(super) fn declared_protected(address: &str, span: Span) -> Diagnostic {
    protected_error(address, Some(span), "deleted").hint("remove `preventDestroy` from its lifecycle, then try again")
}

fn protected_error(address: &str, span: Option<Span>, subject: &str) -> Diagnostic {
    let error = Diagnostic::error(PREVENT_DESTROY, format!("{address} is protected and would be {subject}"));
    span.map_or_else(|| error.clone(), |span| error.clone().at(span)).about(address)
}

/// The error for a protected object.
pub(crate) fn protected(address: &str, span: Option<Span>, subject: &str) -> Diagnostic {
    protected_error(address, span, subject).hint(format!(
        "remove `preventDestroy` from its lifecycle and apply, or run `terrace unprotect '{address}'` if nothing \
             declares it; then try again"
    ))
}

/// The data that a change would destroy, counted now.
async fn data_loss(
    planner: &Planner<'_>,
    place: (&StackId, &Address),
    provider: &str,
    ty: &ResourceType,
    action: Action,
    prior: Option<&Prior>,
    planned: &PlannedChange,
) -> Option<DataLossNote> {
    let holds_data = prior.is_some_and(|prior| ty.is_holding_data(&prior.attributes));
    let reasons = match (&planned.data_loss, action.is_replace() && holds_data) {
        (Some(loss), _) if action != Action::NoOp => loss.reasons.clone(),
        (_, true) => vec!["the object is deleted and created again".to_owned()],
        _ => return None,
    };
    let recorded = record::recorded(place.0, place.1, prior?);
    let loss = lost_data(planner, place, provider, ty, &recorded, reasons).await;
    let only_empty = loss.amount.as_ref().filter(|_| action.is_replace());
    let only_empty = only_empty.and_then(|_| ty.kept_unless_empty(&recorded.attributes));
    Some(DataLossNote { only_empty, ..loss })
}

/// The warning about an object to remove that differs from its description.
pub(super) const NOT_AS_DESCRIBED: &str = "not_as_described";

/// The diagnostic for an object whose existence is unknown, for now or always.
pub(super) fn unknown_existence(found: &Found, address: &str) -> Diagnostic {
    match found {
        Found::Pending(_) => {
            Diagnostic::error(CANNOT_READ, format!("{address} is being created, and its existence is not known yet"))
                .hint("wait until its creation has ended, then run this again")
        }
        _ => Diagnostic::warning(
            NOT_SEARCHED,
            format!("cannot find out whether {address} exists: its provider cannot look for it"),
        )
        .hint("if it exists, delete it in the target system"),
    }
}

/// The code of diagnostics about objects that were not looked for.
pub const NOT_SEARCHED: &str = "not_looked_for";

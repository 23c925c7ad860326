//! Planning one instance of a resource: prior object and configuration in, one change out.

use super::adoption::{Managed, NotAdoptable};
use super::compute::{PlanFailure, Planner};
use super::refresh::{CANNOT_READ, LoadedRow};
use super::removed_data::UNKNOWN_AMOUNT;
use super::{
    After, Change, DataLossNote, Deferred, Prior, adoption, contract, destroy_unmanaged, ignored, import, inconsistent,
    newly_sensitive,
};
use crate::action::{Action, Reason};
use crate::address::{Address, StackId};
use crate::compile::CompiledImport;
use crate::deadline;
use crate::descriptor::{Adopt, Lifecycle};
use crate::diagnostic::Diagnostic;
use crate::diff::changed_from_recorded;
use crate::expression::Template;
use crate::marks;
use crate::record;
use crate::registry::Registry;
use crate::source::{Place, Span};
use crate::store::RowStatus;
use std::collections::BTreeMap;
use terrace_provider::plan::from_schema;
use terrace_provider::schema::Timeouts;
use terrace_provider::{
    Attempt, Attributes, DataAmount, ErrorKind, Finding, Found, Observed, Path, PlannedChange, ProposedChange,
    ProviderError, ResourceType, Session, Severity, Value,
};

/// One instance to be planned.
pub(crate) struct ResourceInput<'a> {
    pub(crate) stack: &'a StackId,
    pub(crate) address: Address,
    pub(crate) ty: &'a ResourceType,
    pub(crate) provider: String,
    pub(crate) config: Attributes,
    pub(crate) deferred: Option<Deferred>,
    pub(crate) depends_on: Vec<Address>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) ignored: Vec<Path>,
    pub(crate) triggered_by: Vec<String>,
    pub(crate) adopt: Adopt,
    pub(crate) timeouts: Timeouts,
    pub(crate) template: &'a Template,
    pub(crate) span: Span,
    pub(crate) place: Option<Place>,
    pub(crate) row: Option<LoadedRow>,
    pub(crate) in_doubt: Option<String>,
    pub(crate) import: Option<CompiledImport>,
    pub(crate) managed: &'a Managed,
}

/// Plans one instance.
pub(crate) async fn plan(
    planner: &Planner<'_>,
    session: &dyn Session,
    mut wanted: ResourceInput<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Change>, PlanFailure> {
    let address_text = format!("{}:{}", wanted.stack, wanted.address);
    let generation = wanted.row.as_ref().map_or(0, |row| row.opened.generation);
    let is_gone = wanted.row.as_ref().is_some_and(|row| row.is_gone);
    let drift = wanted.row.as_ref().map(|row| row.drift.clone()).unwrap_or_default();
    let recorded_instance = wanted.row.as_ref().map(|row| row.opened.provider.clone());
    let moved_from = wanted.row.as_ref().and_then(|row| row.moved_from.clone());
    let mut prior = wanted.row.take().filter(|row| !row.is_gone).map(|row| row.opened.prior);
    if let Some(recorded) = &recorded_instance
        && *recorded != wanted.provider
    {
        diagnostics.push(
            Diagnostic::error(
                "other_instance",
                format!(
                    "{address_text} lives in provider instance `{recorded}`, and is to live in `{}`",
                    wanted.provider
                ),
            )
            .at(wanted.span)
            .about(&address_text)
            .hint("an object cannot move between instances: give the new one another name, and remove this one"),
        );
        return Ok(None);
    }
    let mut is_adopted = false;
    let can_ask = !planner.options.offline;
    let is_new = prior.is_none() && !is_gone && wanted.in_doubt.is_none();
    let import = wanted.import.as_ref().filter(|_| is_new && can_ask);
    if let Some(import) = import {
        let address = (wanted.stack, &wanted.address, wanted.provider.as_str());
        let Some(found) = import::look_up(planner, session, wanted.ty, address, import, diagnostics).await? else {
            return Ok(None);
        };
        prior = Some(found);
        is_adopted = true;
    } else if prior.is_none() && wanted.adopt != Adopt::Never && can_ask {
        prior = find_existing(planner, session, &wanted, &address_text, diagnostics).await;
        is_adopted = prior.is_some();
    }
    if let Some(found) = prior.as_ref().filter(|_| is_adopted && wanted.adopt == Adopt::IfOurs)
        && let Some(why) = adoption::why_not(planner, &wanted, found).await?
    {
        diagnostics.push(adoption::refused(&wanted, &address_text, found, &why));
        return Ok(None);
    }
    let config = ignored::settled(wanted.ty, &wanted.config, prior.as_ref(), &wanted.ignored);
    let deferred = wanted.deferred.take().filter(|_| config.values().any(Value::has_unknown));
    let mut write_only = write_only_detectors(planner, wanted.ty, &config);
    let changed_write_only = changed_and_counting(prior.as_ref(), &write_only, &wanted.ignored);
    let is_requested = !is_adopted && planner.options.replaces(wanted.stack, &wanted.address);
    let forced = match prior.as_ref().map(|prior| prior.status) {
        Some(RowStatus::Tainted) => Some(Reason::Tainted),
        Some(_) if is_requested => Some(Reason::Requested),
        // What is taken over now was there before whatever changes now.
        _ if !is_adopted && !wanted.triggered_by.is_empty() => Some(Reason::Triggered),
        _ => None,
    };
    let lent = prior.as_mut().map(|prior| prior.lend(&address_text));
    let proposed = ProposedChange {
        address: &address_text,
        prior: lent.as_ref(),
        config: &config,
        must_replace: forced.is_some(),
        changed_write_only: &changed_write_only,
    };
    let planned = match session.plan(wanted.ty, &proposed).await {
        // A reason against aligning an object is none against removing it.
        Err(error) if is_adopted && planner.options.by_address && is_refusal(&error) => {
            let told = format!("{address_text} is there, and not as described: {}", error.with_problems());
            let warning = Diagnostic::warning(destroy_unmanaged::NOT_AS_DESCRIBED, told).at(wanted.span);
            diagnostics.push(warning.about(&address_text));
            Ok(from_schema(wanted.ty, &proposed))
        }
        planned => planned,
    };
    if let (Some(prior), Some(lent)) = (prior.as_mut(), lent) {
        prior.take_back(lent);
    }
    let planned = match planned {
        Ok(mut planned) => {
            marks::spread(&wanted.ty.attributes, &config, &mut planned.planned);
            planned
        }
        Err(error) => {
            let path = match &error.kind {
                ErrorKind::InvalidInput { path } => path.clone(),
                _ => None,
            };
            let at = path.as_ref().map_or(wanted.span, |path| wanted.template.span_at(path));
            let hint =
                error.solutions.first().cloned().or_else(|| usual_hint(&error, wanted.ty.name, planner.registry));
            // What is there and was to be taken over is not said to be gone because of that.
            let code = if is_adopted && planner.options.by_address { CANNOT_READ } else { "cannot_plan" };
            let diagnostic = Diagnostic::error(code, error.with_problems()).at(at).maybe_hint(hint);
            diagnostics.push(diagnostic.about(address_text).on(path));
            return Ok(None);
        }
    };
    let is_replaced = forced.is_some() || !planned.replace_paths.is_empty();
    let recorded = prior.as_ref().filter(|_| !is_replaced).map(|prior| &prior.attributes);
    for breach in contract::planned_agrees_with_config(wanted.ty, &config, recorded, &planned) {
        diagnostics.push(
            Diagnostic::error("provider_bug", format!("a fault of the provider of `{}`: {breach}", wanted.ty.name))
                .at(wanted.span)
                .about(&address_text)
                .hint("this is for the provider's author to mend, not for yours"),
        );
    }
    if forced.is_none()
        && let Some(error) = inconsistent::replaced_in_vain(planner.seal, &address_text, prior.as_ref(), &planned)
    {
        diagnostics.push(error.at(wanted.span));
        return Ok(None);
    }
    let decision = decide(wanted.ty, prior.as_ref(), &planned, forced, is_adopted, &changed_write_only);
    if let (Action::NoOp, Some(prior)) = (decision.action, &prior) {
        diagnostics.extend(untold_write_only(&write_only, &prior.write_only, wanted.span, &address_text));
        // Nothing is sent, so what was sent last still stands.
        write_only.clone_from(&prior.write_only);
    }
    let findings = match decision.action {
        Action::NoOp => Vec::new(),
        _ if !can_ask => Vec::new(),
        _ => remote_findings(session, wanted.ty, &planned.planned).await,
    };
    for finding in findings {
        let at = finding.path.as_ref().map_or(wanted.span, |path| wanted.template.span_at(path));
        let found = Diagnostic::error("remote_finding", finding.message).at(at).about(&address_text);
        let found = Diagnostic { severity: finding.severity, ..found }.maybe_hint(finding.hint);
        diagnostics.push(found.on(finding.path));
    }
    if let Some(import) = import.filter(|_| decision.action.is_replace()) {
        diagnostics.push(import::another_object(&address_text, import, prior.as_ref(), &planned));
        return Ok(None);
    }
    let imported = import.map(|_| Reason::Imported);
    let reason = decision.reason.or(imported).or_else(|| is_gone.then_some(Reason::Gone)).or_else(|| {
        let is_mended = decision.action == Action::Update && is_as_recorded(wanted.ty, prior.as_ref(), &planned);
        is_mended.then_some(Reason::Drifted)
    });
    if decision.action.is_replace() && is_protected(&wanted.lifecycle, prior.as_ref()) {
        diagnostics.push(protected(&address_text, Some(wanted.span), "replaced"));
    }
    let data_loss = data_loss(
        planner,
        (wanted.stack, &wanted.address),
        &wanted.provider,
        wanted.ty,
        decision.action,
        prior.as_ref(),
        &planned,
    )
    .await;
    if let Some(found) = prior.as_ref().filter(|_| is_adopted && wanted.adopt == Adopt::IfOurs)
        && (data_loss.is_some() || decision.action.is_replace())
    {
        let why = if data_loss.is_some() { NotAdoptable::DataLoss } else { NotAdoptable::Replaced };
        diagnostics.push(adoption::refused(&wanted, &address_text, found, &why));
        return Ok(None);
    }
    let replace_paths = planned.replace_paths.clone();
    let newly_sensitive = prior.as_mut().map(|prior| {
        let newly_sensitive = prior.hide(&planned.planned, is_adopted);
        // What a call that failed half-way sent may be told already by what is computed.
        marks::spread(&wanted.ty.attributes, &config, &mut prior.attributes);
        newly_sensitive
    });
    let newly_sensitive = newly_sensitive.unwrap_or_default();
    let because = match (&wanted.in_doubt, decision.action) {
        (Some(_), _) | (None, Action::NoOp) => Vec::new(),
        (None, _) => planned.because,
    };
    let after = After { attributes: planned.planned, private: planned.private, deferred, write_only, newly_sensitive };
    let change = Change {
        address: wanted.address,
        deposed: None,
        moved_from,
        import_id: import.map(|import| import.id.clone()),
        action: if wanted.in_doubt.is_some() { Action::NoOp } else { decision.action },
        triggered_by: match reason {
            Some(Reason::Triggered) => wanted.triggered_by,
            _ => Vec::new(),
        },
        ignored: wanted.ignored,
        checks: Vec::new(),
        reason,
        because,
        place: wanted.place,
        provider: wanted.provider,
        generation,
        prior: prior.map(Box::new),
        after: Some(after),
        replace_paths,
        drift,
        depends_on: wanted.depends_on,
        lifecycle: wanted.lifecycle,
        timeouts: wanted.timeouts,
        data_loss: data_loss.filter(|_| wanted.in_doubt.is_none()),
        in_doubt: wanted.in_doubt,
        is_held_back: false,
    };
    if change.has_other_lifecycle() {
        diagnostics.push(
            Diagnostic::note(
                "lifecycle_changed",
                format!("the lifecycle of {} changes, which is recorded", change.address),
            )
            .at(wanted.span)
            .about(&address_text),
        );
    }
    diagnostics.extend(newly_sensitive::note(&change, &address_text, wanted.span));
    Ok(Some(change))
}

/// Whether a provider refuses the change itself, instead of failing to ask its system.
fn is_refusal(error: &ProviderError) -> bool {
    matches!(error.kind, ErrorKind::InvalidInput { .. } | ErrorKind::Failed)
}

struct Decision {
    action: Action,
    reason: Option<Reason>,
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
        // A difference says more than what forced the replacement beside it, but for the taint.
        let reason = forced.filter(|reason| *reason == Reason::Tainted || planned.replace_paths.is_empty());
        // Which half comes first is told once all is planned.
        return Decision { action: Action::Replace, reason: Some(reason.unwrap_or(Reason::CannotUpdate)) };
    }
    let reason = is_retained.then_some(Reason::TakenUp);
    let action = match (is_same, is_adopted || is_retained) {
        (true, false) => Action::NoOp,
        (_, true) => Action::Adopt,
        (false, false) => Action::Update,
    };
    Decision { action, reason }
}

/// True when the change leads back to what was recorded: it mends drift and follows no edit.
fn is_as_recorded(ty: &ResourceType, prior: Option<&Prior>, planned: &PlannedChange) -> bool {
    let Some(recorded) = prior.and_then(|prior| prior.recorded.as_ref()) else { return false };
    changed_from_recorded(ty, recorded, &planned.planned)
        .iter()
        .all(|path| path.get(&planned.planned).is_some_and(Value::has_unknown))
}

/// An object that nobody recorded, as it was found.
pub(crate) fn found(ty: &ResourceType, observed: Observed) -> Prior {
    Prior {
        status: RowStatus::Ready,
        attributes: record::storable(ty, &Attributes::default(), &observed),
        identity: observed.identity,
        recorded: None,
        private: observed.private,
        dependencies: Vec::new(),
        write_only: BTreeMap::new(),
        inconsistent: BTreeMap::new(),
        lifecycle: Lifecycle::default(),
    }
}

/// What the remote side says of planned values, where it has a dry run. One that does not answer in time says nothing.
async fn remote_findings(session: &dyn Session, ty: &ResourceType, planned: &Attributes) -> Vec<Finding> {
    let Some(dry_run) = session.validate_remote(ty, planned) else { return Vec::new() };
    let findings = tokio::time::timeout(ty.timeouts.read, dry_run).await;
    findings.unwrap_or_else(|_| {
        let message = format!("whether `{}` can be made so was not told within {:?}", ty.name, ty.timeouts.read);
        vec![Finding { severity: Severity::Warning, path: None, message, hint: None }]
    })
}

/// The object of that identity, when there is one that nobody recorded.
async fn find_existing(
    planner: &Planner<'_>,
    session: &dyn Session,
    wanted: &ResourceInput<'_>,
    address: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Prior> {
    let ResourceInput { ty, config, timeouts, .. } = wanted;
    let identity = ty.identity_of(config)?;
    // What has no name of its own cannot be recognised: nothing would be everything. Only its address tells it.
    let is_known = !config.values().any(Value::has_unknown);
    if identity.is_empty() && !(planner.options.by_address && is_known && !ty.state_only) {
        return None;
    }
    let attempt = Attempt {
        address: address.to_owned(),
        identity,
        planned: config.clone(),
        private: terrace_provider::Private::default(),
        prior: None,
        lost_call: None,
    };
    match deadline::reading(timeouts.read, session.find(ty, &attempt)).await {
        Ok(Found::Ours(observed) | Found::Strangers(observed)) => Some(found(ty, observed)),
        Ok(untold @ (Found::Pending(_) | Found::Unknown)) if planner.options.by_address => {
            diagnostics.push(destroy_unmanaged::untold(&untold, address).at(wanted.span).about(address));
            None
        }
        Ok(Found::Absent | Found::CameToNothing | Found::Pending(_) | Found::Unknown) => None,
        Err(error) => {
            let hint = error.solutions.first().cloned().or_else(|| usual_hint(&error, ty.name, planner.registry));
            let told = format!("{address} cannot be looked for: {}", error.with_problems());
            // Where what it would be in is not there or not configured, nor is it.
            let is_nowhere = matches!(error.kind, ErrorKind::NotFound | ErrorKind::NotConfigured);
            let code = if is_nowhere { "cannot_plan" } else { CANNOT_READ };
            let told = Diagnostic::error(code, told);
            let path = match &error.kind {
                ErrorKind::InvalidInput { path } => path.clone(),
                _ => None,
            };
            let at = path.as_ref().map_or(wanted.span, |path| wanted.template.span_at(path));
            diagnostics.push(told.at(at).about(address).maybe_hint(hint).on(path));
            None
        }
    }
}

/// A keyed digest of each write-only attribute that is configured and known; an empty one where there is no key, so that
/// only its presence is known.
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

/// Says that nobody can tell whether what is sent and never stored changed: without a key there is no digest of it.
fn untold_write_only(
    now: &BTreeMap<String, String>,
    recorded: &BTreeMap<String, String>,
    span: Span,
    about: &str,
) -> Option<Diagnostic> {
    let is_untold =
        |name: &&String| now.get(*name) == Some(&String::new()) && recorded.get(*name) == Some(&String::new());
    let names: Vec<String> = now.keys().filter(is_untold).map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return None;
    }
    let message =
        format!("whether {} changed cannot be told without a state key, so nothing is sent", names.join(", "));
    let warning = Diagnostic::warning("untold_change", message).at(span).about(about);
    Some(warning.hint("make a state key with `terrace init --state-key`: the next apply sends it then"))
}

/// The write-only attributes whose detectors differ from those that the object was made with.
pub(crate) fn changed_write_only(prior: Option<&Prior>, detectors: &BTreeMap<String, String>) -> Vec<String> {
    let Some(prior) = prior else { return Vec::new() };
    let recorded = |name: &str| prior.write_only.get(name).map(String::as_str).unwrap_or_default();
    let changed = detectors.iter().filter(|(name, detector)| recorded(name) != detector.as_str());
    let gone = prior.write_only.keys().filter(|name| !detectors.contains_key(*name));
    changed.map(|(name, _)| name.clone()).chain(gone.cloned()).collect()
}

/// Those of them that count: changes of ignored attributes do not.
fn changed_and_counting(prior: Option<&Prior>, detectors: &BTreeMap<String, String>, ignored: &[Path]) -> Vec<String> {
    let mut changed = changed_write_only(prior, detectors);
    changed.retain(|name| !ignored::is_ignored(name, prior, ignored));
    changed
}

/// The attributes that a planned change sends and nobody can read back: those whose detectors differ and count.
pub(crate) fn sent_unread(change: &Change) -> Vec<String> {
    let detectors = change.after.as_ref().map(|after| &after.write_only);
    detectors.map(|it| changed_and_counting(change.prior.as_deref(), it, &change.ignored)).unwrap_or_default()
}

/// True when the descriptor or the row protects the object from deletion.
pub(crate) fn is_protected(lifecycle: &Lifecycle, prior: Option<&Prior>) -> bool {
    lifecycle.prevent_destroy || prior.is_some_and(|prior| prior.lifecycle.prevent_destroy)
}

/// What helps against an error of which its provider does not say it.
pub(crate) fn usual_hint(error: &ProviderError, ty: &str, registry: &Registry) -> Option<String> {
    let of_type = registry.resource_type(ty).map(|(schema, _)| schema);
    let provider = of_type.or_else(|| registry.lookup(ty).map(|(schema, _)| schema))?.name;
    match &error.kind {
        ErrorKind::InvalidInput { .. } => {
            Some(format!("`terrace providers schema {provider}` shows what `{ty}` takes"))
        }
        ErrorKind::PermissionDenied => Some(format!(
            "let the identity that the instance of `{provider}` is configured with do this, or configure another"
        )),
        kind if kind.is_temporary() => Some("it may work the next time: try again".to_owned()),
        _ => None,
    }
}

/// The code of the errors about objects that may not be deleted.
pub(super) const PREVENT_DESTROY: &str = "prevent_destroy";

/// The error for an object that may not be deleted.
pub(crate) fn protected(address: &str, span: Option<Span>, what: &str) -> Diagnostic {
    let error = Diagnostic::error(PREVENT_DESTROY, format!("{address} is protected and would be {what}"));
    span.map_or_else(|| error.clone(), |span| error.clone().at(span)).about(address).hint(format!(
        "take `preventDestroy` out of its lifecycle and apply, or `terrace unprotect '{address}'` where nothing \
             declares it; then try again"
    ))
}

/// What data a change would destroy, counted now.
async fn data_loss(
    planner: &Planner<'_>,
    place: (&StackId, &Address),
    provider: &str,
    ty: &ResourceType,
    action: Action,
    prior: Option<&Prior>,
    planned: &PlannedChange,
) -> Option<DataLossNote> {
    let reasons = match (&planned.data_loss, action.is_replace() && ty.holds_data) {
        (Some(loss), _) if action != Action::NoOp => loss.reasons.clone(),
        (_, true) => vec!["the object is deleted and made anew".to_owned()],
        _ => return None,
    };
    let recorded = record::recorded(place.0, place.1, prior?);
    let loss = lost_data(planner, place, provider, ty, &recorded, reasons).await;
    let only_empty = loss.amount.as_ref().filter(|_| action.is_replace());
    let only_empty = only_empty.and_then(|_| ty.kept_unless_empty(&recorded.attributes));
    Some(DataLossNote { only_empty, ..loss })
}

/// The data of an object that goes for these reasons.
pub(crate) async fn lost_data(
    planner: &Planner<'_>,
    (stack, address): (&StackId, &Address),
    provider: &str,
    ty: &ResourceType,
    recorded: &terrace_provider::Recorded,
    reasons: Vec<String>,
) -> DataLossNote {
    let counted = match planner.registry.session(provider).await {
        Ok(session) => deadline::reading(ty.timeouts.read, session.count_data(ty, recorded)).await,
        Err(error) => Err(error),
    };
    let (amount, count) = match counted {
        Ok(DataAmount::Empty) => (None, None),
        Ok(DataAmount::Some { count, text }) => (Some(text), Some(count)),
        Ok(DataAmount::Unknown) | Err(_) => (Some(UNKNOWN_AMOUNT.to_owned()), None),
    };
    let is_allowed = planner.options.allow_data_loss.covers(stack, address);
    DataLossNote { reasons, amount, count, is_allowed, only_empty: None }
}

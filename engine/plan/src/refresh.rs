//! Recorded rows and their current objects: loads rows, reads objects in batches, and checks the intents of interrupted steps. It
//! writes nothing.

use super::deposed_key;
use super::failure::PlanFailure;
use super::finding::{Finding, find_outcome, in_present_form};
use super::loaded::{Loaded, LoadedRow, RowKey};
use super::managed::{Managed, Manager};
use super::outdated_row::upgrade;
use super::planner::Planner;
use super::targeting::Targeting;
use crate::deadline;
use futures_util::future::join_all;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use terrace_language::address::{Address, StackId};
use terrace_language::descriptor::Lifecycle;
use terrace_language::diagnostic::Diagnostic;
use terrace_provider::provider::READS_AT_ONCE;
use terrace_provider::wrap::{Limits, within};
use terrace_provider::{Observed, ProviderError, Recorded, ResourceType, Session};
use terrace_store::record::{self, Memory, Opened, Prior};
use terrace_store::{Intent, Read, Row, RowStatus, Selection, StepAction};

/// Number of objects in one batch, so that a provider that hangs delays that many reads and not a whole stack.
const CHUNK: usize = 256;

/// The error about an object that cannot be read.
pub(super) const CANNOT_READ: &str = "cannot_read";
/// The note about an interrupted step whose outcome is known.
pub(crate) const INTERRUPTED: &str = "interrupted_step";

/// Loads and refreshes rows.
pub(crate) async fn load(
    planner: &Planner<'_>,
    stack: &StackId,
    selection: &Selection,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Loaded, PlanFailure> {
    let mut loaded = rows(planner, stack, selection).await?;
    refresh_loaded(planner, stack, selection, &Targeting::default(), &mut loaded, diagnostics).await?;
    Ok(loaded)
}

/// Loads rows without reading their objects.
pub(crate) async fn rows(planner: &Planner<'_>, stack: &StackId, selection: &Selection) -> Result<Loaded, PlanFailure> {
    opened(planner, stack, planner.store.rows(stack, selection).await?)
}

/// Decrypts rows.
pub(crate) fn opened(planner: &Planner<'_>, stack: &StackId, recorded: Vec<Row>) -> Result<Loaded, PlanFailure> {
    let mut loaded = Loaded::default();
    let mut current = Vec::with_capacity(recorded.len());
    loaded.reads.reserve(recorded.len());
    for row in recorded {
        let address = row.address.clone();
        let sealed = |error| PlanFailure::Sealed { address: format!("{stack}:{address}"), error };
        let opened = record::open(row, planner.seal).map_err(sealed)?;
        if let Some((_, ty)) = planner.registry.resource_type(&address.ty) {
            record::check_marked(ty, &opened, planner.seal).map_err(sealed)?;
        }
        loaded.reads.push(read_of(&opened));
        let row = LoadedRow::new(opened);
        match row.opened.deposed.clone() {
            None => current.push((address, row)),
            Some(key) => loaded.depose(&address, key, row),
        }
    }
    // Rows come in order, so that the map is built in one pass.
    loaded.rows = current.into_iter().collect();
    Ok(loaded)
}

/// Upgrades rows to the present schema, checks open steps of the chosen resources, and reads objects.
pub(crate) async fn refresh_loaded(
    planner: &Planner<'_>,
    stack: &StackId,
    selection: &Selection,
    targeting: &Targeting,
    loaded: &mut Loaded,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    for row in loaded.all_mut() {
        upgrade(planner, &mut row.opened, diagnostics).await;
    }
    apply_open_intents(planner, stack, selection, targeting, loaded, diagnostics).await?;
    if planner.options.refresh {
        refresh(planner, stack, loaded, diagnostics).await;
    }
    Ok(())
}

fn read_of(opened: &Opened) -> Read {
    Read {
        stack: opened.stack.clone(),
        address: opened.address.clone(),
        deposed: opened.deposed.clone(),
        generation: opened.generation,
    }
}

/// Reads the objects of all rows, batched by instance and type.
async fn refresh(planner: &Planner<'_>, stack: &StackId, loaded: &mut Loaded, diagnostics: &mut Vec<Diagnostic>) {
    // By instance, type and time limit of a read.
    let mut batches: BTreeMap<(String, String, Duration), Vec<RowKey>> = BTreeMap::new();
    let mut of_instances: HashMap<String, usize> = HashMap::new();
    for (key, row) in loaded.certain() {
        let ty = planner.registry.resource_type(&key.0.ty).map(|(_, ty)| ty);
        if let Some(ty) = ty.filter(|ty| ty.readable && !ty.state_only) {
            let (instance, within) = (&row.opened.provider, recorded_lifecycle(row).timeouts(ty).read);
            *of_instances.entry(instance.clone()).or_default() += 1;
            batches.entry((instance.clone(), key.0.ty.clone(), within)).or_default().push(key);
        }
    }
    let reads = batches.iter().map(|((instance, ty, within), keys)| {
        let other_reads = of_instances.get(instance).map_or(0, |all| all.saturating_sub(keys.len()));
        let priors: Vec<Recorded> = keys
            .iter()
            .filter_map(|key| Some(record::recorded(stack, &key.0, &loaded.row(key)?.opened.prior)))
            .collect();
        read_batch(planner, instance, (ty, *within), priors, other_reads)
    });
    let answers = join_all(reads).await;
    for (((_, ty, _), keys), answers) in batches.iter().zip(answers) {
        let Some((_, ty)) = planner.registry.resource_type(ty) else { continue };
        // A plan without reads needs the session, too: wrong settings prevent it.
        let is_without_reads_possible = !answers.as_ref().is_err_and(|error| error.kind.is_about_settings());
        let answers = answers.unwrap_or_else(|error| all_failed(keys.len(), &error));
        for (key, answer) in keys.iter().zip(answers) {
            let Some(row) = loaded.row_mut(key) else { continue };
            match answer {
                Ok(observed) => row.take(ty, observed),
                Err(error) => diagnostics.push(cannot_read(stack, &key.0, &error, is_without_reads_possible)),
            }
        }
    }
}

/// Reads objects of the same instance and type. An error is that of an instance without a session.
async fn read_batch(
    planner: &Planner<'_>,
    instance: &str,
    (ty, within): (&str, Duration),
    priors: Vec<Recorded>,
    other_reads: usize,
) -> Result<Vec<Result<Option<Observed>, ProviderError>>, ProviderError> {
    let Some((_, ty)) = planner.registry.resource_type(ty) else { return Ok(Vec::new()) };
    let limits = planner.registry.limits(instance);
    let session = planner.registry.session(instance).await?;
    let mut answers = Vec::with_capacity(priors.len());
    let size = if ty.reads_lists { priors.len().max(1) } else { CHUNK.max(ty.reads_at_once) };
    for priors in priors.chunks(size) {
        let timeout = batch_timeout(limits, (ty, within), priors.len(), other_reads);
        answers.extend(read_chunk(&*session, ty, priors, timeout).await);
    }
    Ok(answers)
}

fn all_failed(count: usize, error: &ProviderError) -> Vec<Result<Option<Observed>, ProviderError>> {
    (0..count).map(|_| Err(error.clone())).collect()
}

/// The time limit for reading `count` objects of the same type. It allows for the reads that run at once, for the pauses of the limits,
/// and for the `other_reads` reads of other types that share the instance's slots.
fn batch_timeout(
    limits: Option<&Limits>,
    (ty, within): (&ResourceType, Duration),
    count: usize,
    other_reads: usize,
) -> Duration {
    let of_type = limits.and_then(|limits| limits.concurrency_of(ty.name)).unwrap_or(READS_AT_ONCE);
    let at_once = limits.map_or(READS_AT_ONCE, |limits| limits.concurrency).min(of_type).clamp(1, READS_AT_ONCE);
    let at_once = at_once.max(ty.reads_at_once);
    let count = count.saturating_add(other_reads);
    let rounds = u32::try_from(count.div_ceil(at_once)).unwrap_or(u32::MAX);
    let pause = limits.map(|limits| limits.pace(ty.name, count)).unwrap_or_default();
    within.saturating_mul(rounds).saturating_add(pause)
}

/// Reads objects of the same type within the time limit.
async fn read_chunk(
    session: &dyn Session,
    ty: &ResourceType,
    priors: &[Recorded],
    timeout: Duration,
) -> Vec<Result<Option<Observed>, ProviderError>> {
    match within(timeout, session.read_many(ty, priors)).await {
        Ok(answers) if answers.len() == priors.len() => answers,
        Ok(answers) => {
            // The answers cannot be matched to the objects.
            let message = format!("the provider returned {1} answers for {0} objects", priors.len(), answers.len());
            all_failed(priors.len(), &ProviderError::bug(message))
        }
        Err(latest) => {
            let late = |prior: &Recorded| Err(deadline::read_timeout_error(latest.of(&prior.address), timeout));
            priors.iter().map(late).collect()
        }
    }
}

/// The error about an object; its hint has the option of a plan without reads if that is possible.
fn cannot_read(
    stack: &StackId,
    address: &Address,
    error: &ProviderError,
    is_without_reads_possible: bool,
) -> Diagnostic {
    let without = is_without_reads_possible
        .then(|| "or use the recorded values: add `--refresh=false` to `plan`, `apply` or `destroy`".to_owned());
    let hints: Vec<String> = error.hint().into_iter().chain(without).collect();
    Diagnostic::error(CANNOT_READ, format!("{address} cannot be read: {error}"))
        .about(format!("{stack}:{address}"))
        .maybe_hint((!hints.is_empty()).then(|| hints.join("; ")))
}

/// Applies the outcomes of interrupted steps, which the next apply will record. Steps of a running operation are only noted.
async fn apply_open_intents(
    planner: &Planner<'_>,
    stack: &StackId,
    selection: &Selection,
    targeting: &Targeting,
    loaded: &mut Loaded,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    let managed = Managed::default();
    for open in planner.store.open_intents(stack, selection).await? {
        let open = open.after(planner.registry.ended_calls());
        let address = open.intent.row.address.clone();
        if !targeting.covers(&address) {
            continue;
        }
        if !open.is_orphaned {
            diagnostics.push(
                Diagnostic::note(
                    "operation_running",
                    format!("operation {} is working on {address}", open.intent.operation),
                )
                .about(format!("{stack}:{address}"))
                .hint("the plan shows the state as it was before that step"),
            );
            continue;
        }
        let key = (address.clone(), open.intent.row.deposed.clone());
        let recorded = loaded.row(&key).map(|row| &row.opened.prior);
        let (open, finding) = match in_present_form(planner.registry, planner.seal, open.clone()).await {
            Ok(open) => {
                let finding = find_outcome(planner.registry, planner.seal, &open, recorded).await;
                (open, finding)
            }
            Err(reason) => (open, Finding::InDoubt(reason)),
        };
        match finding {
            Finding::Object { attributes, observed, applied } => {
                if let Some(by) = current_manager(planner, &managed, &open.intent, loaded.row(&key), &observed).await? {
                    let finding = format!("the step took effect, and {by} manages the object now");
                    diagnostics.push(interrupted(stack, &open.intent, &finding));
                    continue;
                }
                diagnostics.push(interrupted(
                    stack,
                    &open.intent,
                    match applied.is_as_planned() {
                        true => "the step took effect; the next apply records this first",
                        false => "the object differs from the plan; the next apply records its current values",
                    },
                ));
                let mut opened = record::open(open.intent.row.clone(), planner.seal)
                    .map_err(|error| PlanFailure::Sealed { address: address.to_string(), error })?;
                let before = recorded.filter(|_| open.intent.action == StepAction::Update).map(Prior::memory);
                let Memory { lifecycle, write_only, inconsistent } =
                    applied.of(opened.prior.memory(), before.unwrap_or_default());
                opened.generation = loaded.rows.get(&address).map_or(0, |row| row.opened.generation);
                opened.prior = Prior {
                    status: RowStatus::Ready,
                    identity: observed.identity,
                    attributes,
                    private: observed.private,
                    lifecycle,
                    write_only,
                    inconsistent,
                    ..opened.prior
                };
                let before = loaded.rows.insert(address.clone(), LoadedRow::new(opened));
                if let Some(before) = before.filter(|_| open.intent.deposes) {
                    loaded.depose(&address, deposed_key(open.intent.operation), before);
                }
            }
            Finding::Nothing => {
                diagnostics.push(interrupted(stack, &open.intent, "the step did not take effect"));
                // The old object of a create-before-destroy replacement was not touched.
                if let Some(row) = loaded.row_mut(&key).filter(|_| !open.intent.deposes) {
                    row.is_gone = true;
                }
            }
            Finding::Unchanged => diagnostics.push(interrupted(stack, &open.intent, "the step did not take effect")),
            Finding::InDoubt(reason) | Finding::TooEarly(reason) if key.1.is_some() => {
                if let Some(deposed) = loaded.deposed.get_mut(&(address, key.1.unwrap_or_default())) {
                    deposed.in_doubt = Some(reason);
                }
            }
            Finding::InDoubt(reason) | Finding::TooEarly(reason) => {
                if !loaded.rows.contains_key(&address) {
                    let opened = record::open(open.intent.row, planner.seal)
                        .map_err(|error| PlanFailure::Sealed { address: format!("{stack}:{address}"), error })?;
                    loaded.attempts.insert(address.clone(), opened);
                }
                loaded.in_doubt.insert(address, reason);
            }
        }
    }
    Ok(())
}

/// The resource that records the step's object now; `None` if the step's own row has to.
async fn current_manager(
    planner: &Planner<'_>,
    managed: &Managed,
    intent: &Intent,
    recorded: Option<&LoadedRow>,
    observed: &Observed,
) -> Result<Option<Manager>, PlanFailure> {
    if recorded.is_some() || intent.prior_generation != 0 {
        return Ok(None);
    }
    managed.manager_of(planner, &intent.row.address.ty, &intent.row.provider, &observed.identity).await
}

fn interrupted(stack: &StackId, intent: &Intent, finding: &str) -> Diagnostic {
    let (operation, address) = (intent.operation, &intent.row.address);
    Diagnostic::note(
        INTERRUPTED,
        format!("operation {operation} was interrupted while it worked on {address}: {finding}"),
    )
    .about(format!("{stack}:{address}"))
}

/// The lifecycle settings of the row.
pub(crate) fn recorded_lifecycle(row: &LoadedRow) -> Lifecycle {
    row.opened.prior.lifecycle.clone()
}

#[cfg(test)]
mod tests;

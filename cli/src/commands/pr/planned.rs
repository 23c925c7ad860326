//! Plans a product in an environment, and compares the plan with the base.

use super::units::Unit;
use crate::args::{DataArguments, Global, PlanningArguments};
use crate::context::Context;
use crate::failure::Failure;
use crate::planning::{Base, Project, compile_commit, compile_sound};
use crate::ui::Ui;
use crate::wiring::store;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use terrace_engine::plan::{Note, Plan, file};
use terrace_engine::render::comparison::Comparison;
use terrace_engine::render::markdown::{Markdown, code, prose};
use terrace_engine::seal::Seal;
use terrace_engine::text::shell_word;
use terrace_forge::record::{Record, Reviewed, Writer};
use terrace_provider::Severity;
use terrace_state::Access;

/// The name of the base in a comparison: none, because the commit of a job has no name that the reader knows.
const BASE: &str = "";
/// The remark about a loss of data: the approval of the digest is the consent.
const CONSENT: &str = "needs an approval of this plan";
/// Most paths in the command of a comment.
const MOST_PATHS: usize = 6;
/// The longest message in a comment, in characters.
const LONGEST: usize = 600;
/// The beginning of a warning among the messages of a failure.
const WARNING: &str = "warning: ";
/// Most errors of a plan that failed, and most warnings.
const MOST_MESSAGES: usize = 20;

/// A product in an environment.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) unit: Unit,
    pub(super) environment: String,
}

impl Target {
    /// The stack: `sales.orders.0@prod`.
    pub(super) fn stack(&self) -> String {
        format!("{}@{}", self.unit.stack, self.environment)
    }

    /// The files as words of the command line.
    pub(super) fn files(&self) -> Vec<String> {
        self.unit.paths.iter().map(|path| path.display().to_string()).collect()
    }

    /// The command that shows the plan.
    pub(super) fn command(&self) -> String {
        self.command_of("plan")
    }

    /// A command of terrace about the product.
    pub(super) fn command_of(&self, verb: &str) -> String {
        let mut words: Vec<String> = self.files().iter().take(MOST_PATHS).map(|path| shell_word(path)).collect();
        if self.unit.paths.len() > MOST_PATHS {
            words.push("…".to_owned());
        }
        format!("terrace {verb} --env {} {}", shell_word(&self.environment), words.join(" "))
    }
}

/// A plan that can be shown, and applied by its digest.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) plan: Plan,
    pub(super) digest: String,
    pub(super) seal: Arc<Seal>,
    pub(super) comparison: Option<Comparison>,
    /// True if the plan follows the recovery of an interrupted run, which may have applied a part of the reviewed plan.
    pub(super) is_recovered: bool,
}

/// The plan of a target, or the messages of its failure.
pub(super) type Outcome = Result<Ready, Vec<String>>;

/// The base of a comparison, with the products that it has in each environment.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) base: Base,
    pub(super) units: BTreeMap<String, Vec<Unit>>,
}

/// The options of every plan. The approval of a digest is the consent to a loss of data.
pub(super) fn planning() -> PlanningArguments {
    let data = DataArguments { allow_data_loss: vec![String::new()], ..DataArguments::default() };
    PlanningArguments { refresh: true, data, ..PlanningArguments::default() }
}

/// Runs work in an environment, with messages that are remembered instead of printed.
///
/// # Errors
/// With the messages of the failure.
pub(super) async fn in_environment<T>(
    context: &Context<'_>,
    environment: &str,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<T, Failure>,
) -> Result<T, Vec<String>> {
    let global = Global { env: Some(environment.to_owned()), ..context.global.clone() };
    let ui = context.ui.silent();
    let context = Context { global: &global, ui: &ui, ..*context };
    work(&context).await.map_err(|failure| messages(&ui, &failure))
}

/// The messages of a failure: the errors of diagnostics, the failure itself, and the warnings, which may hold the cause.
/// Warnings begin with [`WARNING`].
pub(super) fn messages(ui: &Ui, failure: &Failure) -> Vec<String> {
    let with_hints =
        |message: &String| failure.hints.iter().fold(message.clone(), |text, hint| format!("{text}; hint: {hint}"));
    let notes = ui.remembered();
    let errors = errors_of(&notes).into_iter().chain(failure.message.as_ref().map(with_hints)).collect();
    with_warnings(errors, &notes)
}

/// Errors and the warnings among notes, at least one message.
fn with_warnings(errors: Vec<String>, notes: &[Note]) -> Vec<String> {
    let mut messages = limited(errors);
    if messages.is_empty() {
        messages.push("the plan failed without a message".to_owned());
    }
    messages.extend(limited(warnings_of(notes)));
    messages
}

/// The errors among notes, each with its place and its remedy.
pub(super) fn errors_of(notes: &[Note]) -> Vec<String> {
    notes.iter().filter(|note| note.severity == Severity::Error).map(line_of).collect()
}

/// The warnings among notes, as [`errors_of`], each once.
fn warnings_of(notes: &[Note]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let warnings = notes.iter().filter(|note| note.severity == Severity::Warning);
    let lines = warnings.map(|note| format!("{WARNING}{}", line_of(note)));
    lines.filter(|line| known.insert(line.clone())).collect()
}

fn line_of(note: &Note) -> String {
    let place = note.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
    let hint = note.hint.as_ref().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
    format!("{place}{}{hint}", note.message)
}

/// True for a warning among the messages of a failure.
pub(super) fn is_warning(message: &str) -> bool {
    message.starts_with(WARNING)
}

/// At most [`MOST_MESSAGES`] messages.
fn limited(mut all: Vec<String>) -> Vec<String> {
    if all.len() > MOST_MESSAGES {
        let more = all.len() - MOST_MESSAGES;
        all.truncate(MOST_MESSAGES);
        all.push(format!("… {more} more"));
    }
    all
}

/// Plans a target.
pub(super) async fn plan(context: &Context<'_>, target: &Target, before: Option<&Before>) -> Outcome {
    in_environment(context, &target.environment, async |context| {
        let planning = planning();
        let project = compile_sound(context, &target.unit.paths, &planning.choice, false).await?;
        let plan = plan_project(&project, &planning).await?;
        let seal = Arc::clone(&project.env_context.engine.seal);
        let digest = file::digest(&plan, &seal)?;
        let comparison = match before {
            Some(before) => compare(context, target, before, &plan).await,
            None => None,
        };
        Ok(Ready { plan, digest, seal, comparison, is_recovered: false })
    })
    .await
}

async fn plan_project(project: &Project, planning: &PlanningArguments) -> Result<Plan, Failure> {
    let store = store(&project.settings, Access::ReadOnly).await?;
    Ok(project.plan(store.as_ref(), planning).await?.plan)
}

/// Compares a plan with that of the base. `None` if the base cannot be planned: the request may repair it.
async fn compare(context: &Context<'_>, target: &Target, before: &Before, plan: &Plan) -> Option<Comparison> {
    let units = before.units.get(&target.environment)?;
    let base = &before.base;
    let Some(unit) = units.iter().find(|unit| unit.stack == target.unit.stack) else {
        return Some(Comparison::new(BASE, &base.commit, None, plan));
    };
    let paths: Vec<PathBuf> = unit.paths.iter().map(|path| base.files().join(path)).collect();
    let (ui, planning) = (context.ui.silent(), planning());
    let context = Context { ui: &ui, ..*context };
    let files = (target.unit.paths.as_slice(), paths.as_slice());
    let project = compile_commit(&context, files, &planning.choice, false, base).await.ok()?;
    let computed = plan_project(&project, &planning).await.ok().filter(|computed| !computed.is_errored)?;
    Some(Comparison::new(BASE, &base.commit, Some(&computed), plan))
}

impl Ready {
    /// True if the plan destroys or replaces objects or data.
    pub(super) fn is_destructive(&self) -> bool {
        self.removes_objects()
            || self.plan.changes().any(|(_, change)| change.is_change() && change.data_loss.is_some())
    }

    fn removes_objects(&self) -> bool {
        self.plan.changes().any(|(_, change)| change.is_change() && change.action.removes_object())
    }

    /// False if the digest leaves out sensitive values for lack of a state key.
    pub(super) fn is_covered(&self) -> bool {
        self.seal.can_store_new() || file::write(&self.plan, &Seal::without_key(false)).is_ok()
    }

    /// True if the result of a step is unknown, even after a recovery.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.plan.changes().any(|(_, change)| change.is_in_doubt())
    }

    /// True if the plan has this digest under the present key or an older one.
    pub(super) fn has_digest(&self, digest: &str) -> bool {
        file::has_digest(&self.plan, &self.seal, digest).unwrap_or(false)
    }

    /// The errors of the plan and its warnings; `None` if it can be applied.
    pub(super) fn errors(&self) -> Option<Vec<String>> {
        self.plan.is_errored.then(|| with_warnings(errors_of(&self.plan.notes), &self.plan.notes))
    }

    /// The counts of the plan in a sentence.
    pub(super) fn counts(&self) -> String {
        let counts = self.plan.counts();
        match (self.plan.is_errored, self.plan.has_changes()) {
            (true, _) => "errors".to_owned(),
            (false, false) => "no changes".to_owned(),
            (false, true) => {
                format!("{} to add, {} to change, {} to destroy", counts.add, counts.change, counts.destroy)
            }
        }
    }

    /// The entry of the record, authenticated by the state key if there is one.
    pub(super) fn reviewed(&self, target: &Target, record: &Record, writer: Writer<'_>) -> Reviewed {
        let reviewed = Reviewed { stack: target.stack(), digest: self.digest.clone(), code: None };
        let code = self.seal.change_detector(&reviewed.authenticated(record, writer));
        Reviewed { code, ..reviewed }
    }

    /// True if there is a state key: without one, any workflow of the repository could write a record.
    pub(super) fn has_key(&self) -> bool {
        self.seal.has_key()
    }

    /// True if the state key of the plan authenticates the entry of a record.
    pub(super) fn authenticates(&self, reviewed: &Reviewed, record: &Record, writer: Writer<'_>) -> bool {
        let text = reviewed.authenticated(record, writer);
        let Some(code) = &reviewed.code else { return false };
        self.seal.change_detector(&text).as_ref() == Some(code)
            || self.seal.older_change_detectors(&text).contains(code)
    }

    /// The reason why the plan needs an approval even if it is the reviewed one.
    pub(super) fn needs_approval(&self) -> Option<&'static str> {
        match (self.plan.has_changes(), self.is_destructive(), self.has_key()) {
            (false, _, _) => None,
            (true, true, _) if self.removes_objects() => Some("it destroys or replaces objects"),
            (true, true, _) => Some("it can destroy data"),
            (true, false, false) => Some("without a state key, nothing proves which plan was reviewed"),
            (true, false, true) => None,
        }
    }

    /// The plan in Markdown within a limit of characters, with the comparison.
    pub(super) fn markdown(&self, target: &Target, limit: usize) -> String {
        let comparison =
            self.comparison.as_ref().map(|comparison| format!("\n{}", comparison.markdown())).unwrap_or_default();
        let options = Markdown {
            max_chars: limit.saturating_sub(comparison.encode_utf16().count()).max(Markdown::LEAST_CHARS),
            max_bytes: Markdown::DEFAULT_BYTES,
            digest: &self.digest,
            command: &target.command(),
            consent: CONSENT,
        };
        format!("{}{comparison}\n", terrace_engine::render::markdown::plan(&self.plan, &options))
    }
}

/// The command that removes the objects of a stack without files, in Markdown.
pub(super) fn destroy(stack: &str) -> String {
    code(&format!("terrace destroy {}", shell_word(stack)), 240)
}

/// The section about a plan that failed.
pub(super) fn failed(stack: &str, messages: &[String]) -> String {
    let in_a_line = |message: &String| message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let lines: String = messages.iter().map(|it| format!("- {}\n", prose(&in_a_line(it), LONGEST))).collect();
    format!("### terrace plan: {} failed\n\n{lines}\n", code(stack, 120))
}

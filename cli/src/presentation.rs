//! Prints plans and drift in the requested form: the only caller of the engine's renderers.

use crate::args::{Detail, DriftFormat, PlanFormat};
use crate::failure::Failure;
use crate::report::remembered;
use crate::ui::Ui;
use jiff::Timestamp;
use terrace_engine::plan::{Plan, file};
use terrace_engine::render::{drift, human, json, markdown, stream};
use terrace_engine::seal::Seal;

/// The form of a plan's output.
pub(crate) struct PlanView {
    pub(crate) format: PlanFormat,
    pub(crate) detail: Detail,
    /// Limit of Markdown, in characters.
    pub(crate) max_chars: usize,
    /// The command that prints the whole plan.
    pub(crate) command: String,
}

impl PlanView {
    /// A view without limits.
    pub(crate) fn new(format: PlanFormat, detail: Detail) -> Self {
        let max_chars = markdown::Markdown::DEFAULT_CHARS;
        Self { format, detail, max_chars, command: "terrace plan".to_owned() }
    }
}

/// Prints a plan on standard output.
///
/// # Errors
/// When standard output cannot be written, or the plan has no digest.
pub(crate) fn print_plan(ui: &Ui, plan: &Plan, view: &PlanView, seal: &Seal) -> Result<(), Failure> {
    match view.format {
        PlanFormat::Human => ui.print(&human_plan(ui, plan, view.detail)),
        PlanFormat::Markdown => {
            let digest = file::digest(plan, seal)?;
            let options = markdown::Markdown {
                max_chars: view.max_chars,
                max_bytes: markdown::Markdown::DEFAULT_BYTES,
                digest: &digest,
                command: &view.command,
                consent: markdown::Markdown::CONSENT,
            };
            ui.print(&markdown::plan(plan, &options))
        }
        PlanFormat::Json => ui.print_json(&json::plan(plan, &file::digest(plan, seal)?)),
        PlanFormat::JsonStream => print_plan_lines(ui, plan),
    }
}

/// Prints the version and the plan, one JSON object a line.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print_plan_lines(ui: &Ui, plan: &Plan) -> Result<(), Failure> {
    let now = Timestamp::now();
    let version = stream::version(crate::version::VERSION, now);
    std::iter::once(version).chain(stream::plan(plan, now)).try_for_each(|line| ui.print(&format!("{line}\n")))
}

fn human_plan(ui: &Ui, plan: &Plan, detail: Detail) -> String {
    let detail = match detail {
        Detail::Summary => human::Detail::Summary,
        Detail::Compact => human::Detail::Compact,
        Detail::Full => human::Detail::Full,
    };
    human::plan(plan, &screen(ui, detail))
}

/// Wraps lines at the width of the terminal.
pub(crate) fn narrowed(ui: &Ui, lines: &str) -> String {
    const HANGING_INDENT: usize = 6;
    terrace_engine::text::narrowed(lines, ui.result_width().unwrap_or(0), HANGING_INDENT)
}

/// The same for sentences, whose continuation lines are not indented.
pub(crate) fn narrowed_sentence(ui: &Ui, sentence: &str) -> String {
    terrace_engine::text::narrowed(sentence, ui.result_width().unwrap_or(0), 0)
}

/// The properties of the terminal for results.
fn screen(ui: &Ui, detail: human::Detail) -> human::Human {
    human::Human { color: ui.is_result_colored(), width: ui.result_width().unwrap_or(0), detail }
}

/// Prints drift on standard output. With unreadable resources, an empty result is not printed: drift is unknown then.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print_drift(ui: &Ui, drift: &markdown::Drift<'_>, format: DriftFormat) -> Result<(), Failure> {
    match format {
        DriftFormat::Human if drift.uncertainty.is_some() && drift.items.is_empty() => Ok(()),
        DriftFormat::Human => {
            let screen = screen(ui, human::Detail::Compact);
            ui.print(&drift::human(drift.stacks, drift.items, &screen))
        }
        DriftFormat::Markdown => ui.print(&markdown::drift(drift)),
        DriftFormat::Json => {
            let mut json = drift::json(drift.items);
            if let Some(entries) = json.as_object_mut() {
                entries.insert("errored".to_owned(), drift.uncertainty.is_some().into());
                entries.insert("diagnostics".to_owned(), remembered(ui));
            }
            ui.print_json(&json)
        }
    }
}

//! Plans and drift in the form that was asked for: the one place that calls the engine's renderers.

use crate::args::{Detail, DriftFormat, PlanFormat};
use crate::failure::Failure;
use crate::report::remembered;
use crate::ui::Ui;
use jiff::Timestamp;
use terrace_engine::plan::{Plan, file};
use terrace_engine::render::{drift, human, json, markdown, stream};
use terrace_engine::seal::Seal;

/// How a plan is shown.
pub(crate) struct PlanView {
    pub(crate) format: PlanFormat,
    pub(crate) detail: Detail,
    /// The longest that markdown may become.
    pub(crate) max_chars: usize,
    /// The command that shows all of it.
    pub(crate) command: String,
}

impl PlanView {
    /// A view without limits.
    pub(crate) fn new(format: PlanFormat, detail: Detail) -> Self {
        let max_chars = markdown::Markdown::DEFAULT_CHARS;
        Self { format, detail, max_chars, command: "terrace plan".to_owned() }
    }
}

/// A plan on standard output.
///
/// # Errors
/// When standard output cannot be written, or the plan has no digest.
pub(crate) fn plan(ui: &Ui, plan: &Plan, view: &PlanView, seal: &Seal) -> Result<(), Failure> {
    match view.format {
        PlanFormat::Human => ui.print(&people(ui, plan, view.detail)),
        PlanFormat::Markdown => {
            let digest = file::digest(plan, seal)?;
            let options = markdown::Markdown {
                max_chars: view.max_chars,
                max_bytes: markdown::Markdown::DEFAULT_BYTES,
                digest: &digest,
                command: &view.command,
            };
            ui.print(&markdown::plan(plan, &options))
        }
        PlanFormat::Json => ui.print_json(&json::plan(plan, &file::digest(plan, seal)?)),
        PlanFormat::JsonStream => plan_lines(ui, plan),
    }
}

/// The version and the plan, one JSON object a line.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn plan_lines(ui: &Ui, plan: &Plan) -> Result<(), Failure> {
    let now = Timestamp::now();
    let version = stream::version(crate::version::VERSION, now);
    std::iter::once(version).chain(stream::plan(plan, now)).try_for_each(|line| ui.print(&format!("{line}\n")))
}

fn people(ui: &Ui, plan: &Plan, detail: Detail) -> String {
    let detail = match detail {
        Detail::Summary => human::Detail::Summary,
        Detail::Compact => human::Detail::Compact,
        Detail::Full => human::Detail::Full,
    };
    human::plan(plan, &screen(ui, detail))
}

/// Lines as the terminal that results go to has room for them.
pub(crate) fn narrowed(ui: &Ui, lines: &str) -> String {
    const HANGING: usize = 6;
    terrace_engine::render::narrowed(lines, ui.result_width().unwrap_or(0), HANGING)
}

/// The terminal that results go to.
fn screen(ui: &Ui, detail: human::Detail) -> human::Human {
    human::Human { color: ui.is_result_colored(), width: ui.result_width().unwrap_or(0), detail }
}

/// Drift on standard output. What is not whole has resources that could not be read: no drift is no finding then.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn drifted(ui: &Ui, drift: &markdown::Drift<'_>, format: DriftFormat) -> Result<(), Failure> {
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

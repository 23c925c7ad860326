//! Reports of diagnostics on standard error: the error, its line, and the remedy.
//!
//! A report shows only lines with an error, not their neighbours: the next line of a configuration may hold a secret.
//! Texts may come from untrusted files, so control characters never reach the terminal.

mod json;
mod source;

pub(crate) use json::{Form, print_failure_json, remembered, with_failure};

use crate::ui::Ui;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode, SourceSpan};
use owo_colors::OwoColorize;
use source::Text;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use terrace_engine::address::split_stack;
use terrace_engine::diagnostic::{Diagnostic, Label, Location};
use terrace_engine::plan::Note;
use terrace_engine::source::{SourceId, Sources, Span};
use terrace_engine::text::{GLUE, with_visible, with_whole_commands};
use terrace_provider::Severity;
use textwrap::{WordSeparator, WordSplitter};

/// Limit of reports: users correct the first errors first.
const LIMIT: usize = 50;
/// Diagnostics about each resource of a running or interrupted operation.
const OPERATION_CODES: [&str; 2] = ["operation_running", "interrupted_step"];
/// Limit of single reports for one operation, and of resources named in a combined report.
const MAX_NAMED: usize = 3;
/// Minimum width of a report.
const MIN_WIDTH: usize = 40;

/// Reports all diagnostics, errors last, next to the prompt.
pub(crate) fn report(ui: &Ui, sources: &Sources, diagnostics: &[Diagnostic]) {
    diagnostics.iter().for_each(|diagnostic| ui.remember(Note::of(diagnostic, sources)));
    let mut shown = combined(diagnostics.iter().filter(|diagnostic| diagnostic.is_error() || !ui.is_quiet).collect());
    shown.sort_by_key(|diagnostic| diagnostic.severity);
    let left_out = shown.len().saturating_sub(LIMIT);
    let theme = if ui.is_message_colored() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let mut texts = Texts { sources, known: BTreeMap::new() };
    for diagnostic in shown.iter().skip(left_out) {
        let rendered = render(diagnostic, &mut texts, theme.clone(), ui.message_width());
        ui.print_with_severity(diagnostic.severity, rendered.trim_end_matches('\n'));
        ui.print_message("");
    }
    if left_out > 0 {
        ui.print_message(&format!("… and {left_out} more"));
    }
}

/// Combines equal diagnostics about many resources of an operation.
fn combined(diagnostics: Vec<&Diagnostic>) -> Vec<Cow<'_, Diagnostic>> {
    let mut addresses: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for (kind, address) in diagnostics.iter().filter_map(|diagnostic| split_operation_diagnostic(diagnostic)) {
        addresses.entry(kind).or_default().push(address);
    }
    let (mut shown, mut reported) = (Vec::with_capacity(diagnostics.len()), BTreeSet::new());
    for diagnostic in diagnostics {
        let kind = split_operation_diagnostic(diagnostic).map(|it| it.0);
        let many = kind.and_then(|kind| Some((kind, addresses.get(&kind).filter(|all| all.len() > MAX_NAMED)?)));
        match many {
            None => shown.push(Cow::Borrowed(diagnostic)),
            Some((kind, all)) if reported.insert(kind) => {
                let OperationDiagnostic { stack, before, after, .. } = kind;
                let named = all.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
                let message = format!("{before}{} resources of {stack}, such as {named}{after}", all.len());
                shown.push(Cow::Owned(Diagnostic { message, address: None, ..diagnostic.clone() }));
            }
            // The first of them reports all.
            Some(_) => {}
        }
    }
    shown
}

/// A diagnostic without its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct OperationDiagnostic<'a> {
    code: &'static str,
    stack: &'a str,
    before: &'a str,
    after: &'a str,
}

/// The parts of a diagnostic about a resource of an operation, and its address.
fn split_operation_diagnostic(diagnostic: &Diagnostic) -> Option<(OperationDiagnostic<'_>, &str)> {
    let code = diagnostic.code;
    let (stack, address) = split_stack(diagnostic.address.as_deref()?).filter(|_| OPERATION_CODES.contains(&code))?;
    let (before, after) = diagnostic.message.split_once(address)?;
    Some((OperationDiagnostic { code, stack, before, after }, address))
}

fn render(diagnostic: &Diagnostic, texts: &mut Texts<'_>, theme: GraphicalTheme, width: usize) -> String {
    let width = width.max(MIN_WIDTH);
    let handler = GraphicalReportHandler::new_themed(theme.clone())
        .with_width(width)
        .with_context_lines(0)
        .with_links(false)
        // Breaks only at blanks: an option or a name that is broken at hyphens cannot be copied.
        .with_word_separator(WordSeparator::AsciiSpace)
        .with_word_splitter(WordSplitter::NoHyphenation)
        .with_break_words(false)
        .without_syntax_highlighting();
    let report = Report::new(diagnostic, texts);
    let mut rendered = String::new();
    if handler.render_report(&mut rendered, &report).is_err() {
        return format!("{}: {}", diagnostic.code, harmless(&diagnostic.message));
    }
    if let Some(hint) = &report.hint {
        rendered.push_str(&hint_lines(hint, &theme, width));
    }
    for place in &report.elsewhere {
        rendered.push('\n');
        // Writing to a string cannot fail.
        let _ = handler.render_report(&mut rendered, place);
    }
    rendered.replace(GLUE, " ")
}

/// The hint below a report, under the word that failures use. The renderer would print it as `help`.
fn hint_lines(hint: &str, theme: &GraphicalTheme, width: usize) -> String {
    let prefix = "  hint: ".style(theme.styles.help).to_string();
    let options = textwrap::Options::new(width.saturating_sub(2))
        .initial_indent(&prefix)
        .subsequent_indent("        ")
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(hint, options) + "\n"
}

/// Texts with lines for reports, each sanitised once.
struct Texts<'a> {
    sources: &'a Sources,
    known: BTreeMap<SourceId, Text>,
}

impl Texts<'_> {
    fn get(&mut self, id: SourceId) -> Option<Text> {
        if let Some(text) = self.known.get(&id) {
            return Some(text.clone());
        }
        let source = self.sources.get(id)?;
        let text = Text::new(source.name.clone(), &source.text);
        self.known.insert(id, text.clone());
        Some(text)
    }
}

/// A diagnostic in the form of miette.
#[derive(Debug)]
struct Report {
    severity: Option<Severity>,
    code: Option<&'static str>,
    message: String,
    hint: Option<String>,
    text: Option<Text>,
    labels: Vec<LabeledSpan>,
    /// Places in other texts.
    elsewhere: Vec<Report>,
}

impl Report {
    fn new(diagnostic: &Diagnostic, texts: &mut Texts<'_>) -> Self {
        let mut message = harmless(&diagnostic.message);
        if let Some(address) = &diagnostic.address
            && !message.contains(address.as_str())
        {
            message = format!("{}: {message}", harmless(address));
        }
        let mut report = Self {
            severity: Some(diagnostic.severity),
            code: Some(diagnostic.code),
            message,
            hint: diagnostic.hint.as_deref().map(harmless).map(|hint| with_whole_commands(&hint)),
            text: None,
            labels: Vec::new(),
            elsewhere: Vec::new(),
        };
        let main = diagnostic.labels.iter().find_map(|label| spanned(label).map(|span| span.source));
        report.text = main.and_then(|id| texts.get(id));
        for label in &diagnostic.labels {
            report.add(label, main, texts);
        }
        report
    }

    fn add(&mut self, label: &Label, main: Option<SourceId>, texts: &mut Texts<'_>) {
        let words = (!label.text.is_empty()).then(|| harmless(&label.text));
        let span = match &label.at {
            Location::Place(place) => {
                self.message.push_str(&format!("\nat {}", harmless(&place.to_string())));
                return;
            }
            Location::Span(span) => *span,
        };
        let is_shown = texts.sources.can_quote(span)
            && texts.get(span.source).is_some_and(|text| text.can_show(span.start as usize));
        if !is_shown {
            if let Some(place) = texts.sources.place(span) {
                self.message.push_str(&format!("\nat {}", harmless(&place.to_string())));
            }
            return;
        }
        if main == Some(span.source) {
            self.labels.push(LabeledSpan::new_with_span(words, first_line(span, self.text.as_ref())));
            return;
        }
        let text = texts.get(span.source);
        let marked = LabeledSpan::new_with_span(None, first_line(span, text.as_ref()));
        self.elsewhere.push(Self {
            severity: Some(Severity::Note),
            code: None,
            message: words.unwrap_or_else(|| "and here".to_owned()),
            hint: None,
            labels: vec![marked],
            text,
            elsewhere: Vec::new(),
        });
    }
}

fn spanned(label: &Label) -> Option<Span> {
    match &label.at {
        Location::Span(span) => Some(*span),
        Location::Place(_) => None,
    }
}

/// The part of a span in its first line, which identifies a block.
fn first_line(span: Span, text: Option<&Text>) -> SourceSpan {
    let (start, end) = (span.start as usize, span.end as usize);
    let end = text.map_or(end, |text| text.end_of_line(start).min(end)).max(start);
    SourceSpan::new(start.into(), end - start)
}

/// Removes invisible characters, and control characters except line breaks.
pub(crate) fn harmless(text: &str) -> String {
    let text = &with_visible(text);
    if !text.chars().any(|c| c.is_control() && c != '\n') {
        return text.clone().into_owned();
    }
    let escape = |c: char| match c {
        '\n' => vec!['\n'],
        c if c.is_control() => c.escape_default().collect(),
        c => vec![c],
    };
    text.chars().flat_map(escape).collect()
}

/// Sanitises a text for one line: names chosen by callers cannot begin a new line.
pub(crate) fn harmless_line(text: &str) -> String {
    harmless(text).replace('\n', "\\n")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        self.severity.map(|severity| match severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.text.as_ref().filter(|_| !self.labels.is_empty()).map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = _>>)
    }
}

#[cfg(test)]
mod tests;

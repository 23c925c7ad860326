//! The terminal: results on standard output, everything else on standard error, and questions.

use crate::args::{Color, Global};
use crate::failure::Failure;
use crate::variables::Variables;
use anstream::{AutoStream, ColorChoice};
use indicatif::MultiProgress;
use jiff::Timestamp;
use owo_colors::{OwoColorize, Style};
use serde_json::{Value as Json, json};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use terrace_engine::plan::Note;
use terrace_engine::text::{GLUE, flowed, narrowed, with_visible, with_whole_commands};
use terrace_provider::Severity;

/// Width of reports without a terminal or `COLUMNS`.
const WIDTH: usize = 100;

/// The word in front of a remedy.
const HINT: &str = "hint:";
/// Indent of continuation lines.
const HANGING: usize = HINT.len() + 1;

/// Maximum width of help.
const WIDEST_HELP: usize = 120;

/// The width of help. The parser itself does not read the width of a terminal.
pub(crate) fn help_width(variables: &Variables) -> usize {
    let terminal = columns_of(io::stdout()).or_else(|| columns_of(io::stderr()));
    terminal.or_else(|| columns(variables)).unwrap_or(WIDTH).min(WIDEST_HELP)
}

/// The value of `COLUMNS`.
fn columns(variables: &Variables) -> Option<usize> {
    variables.get("COLUMNS").and_then(|text| text.parse().ok()).filter(|columns| *columns > 0)
}

/// The width of a terminal; `None` if the stream is not a terminal or has no known width.
fn columns_of(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Lines broken between words: a terminal of that width would break them within words.
fn fitted(lines: &str, width: usize) -> String {
    lines.split('\n').map(|line| flowed(line, width, HANGING)).collect::<Vec<_>>().join("\n")
}

/// Options of output.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    choice: ColorChoice,
    is_asking_allowed: bool,
    /// True to show only results and errors.
    pub(crate) is_quiet: bool,
    /// True to print nothing on standard error.
    is_silent: bool,
    /// The value of `COLUMNS`.
    columns: Option<usize>,
    /// Diagnostics so far, for JSON results. Clones share the list.
    remembered: Arc<Mutex<Vec<Note>>>,
    /// True once a result was started.
    has_printed: Arc<AtomicBool>,
    /// True once the reader of standard output is gone.
    is_stdout_closed: Arc<AtomicBool>,
    /// True to print messages as lines of a JSON log. Clones share it.
    is_json: Arc<AtomicBool>,
    /// The bars on the terminal, which messages must not overwrite. Clones share them.
    bars: Arc<Mutex<Option<MultiProgress>>>,
}

impl Ui {
    /// The terminal with the options of the command line.
    pub(crate) fn new(global: &Global, variables: &Variables) -> Self {
        let choice = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            choice,
            is_asking_allowed: global.input,
            is_quiet: global.quiet,
            is_silent: false,
            columns: columns(variables),
            remembered: Arc::default(),
            has_printed: Arc::default(),
            is_stdout_closed: Arc::default(),
            is_json: Arc::default(),
            bars: Arc::default(),
        }
    }

    /// The terminal before options are known.
    pub(crate) fn plain() -> Self {
        Self {
            choice: ColorChoice::Auto,
            is_asking_allowed: false,
            is_quiet: false,
            is_silent: false,
            columns: None,
            remembered: Arc::default(),
            has_printed: Arc::default(),
            is_stdout_closed: Arc::default(),
            is_json: Arc::default(),
            bars: Arc::default(),
        }
    }

    /// The same terminal, which remembers its own diagnostics.
    pub(crate) fn separate(&self) -> Self {
        Self { remembered: Arc::default(), ..self.clone() }
    }

    /// The same terminal for work whose messages are not shown. It remembers its own diagnostics.
    pub(crate) fn silent(&self) -> Self {
        Self { is_silent: true, is_asking_allowed: false, ..self.separate() }
    }

    /// From now on prints messages as lines of JSON, like a server's log, for programs.
    pub(crate) fn print_messages_as_json(&self) {
        self.is_json.store(true, Ordering::Relaxed);
        hide_panics(self);
    }

    fn is_json(&self) -> bool {
        self.is_json.load(Ordering::Relaxed)
    }

    /// True if results are coloured.
    pub(crate) fn is_result_colored(&self) -> bool {
        is_colored(self.choice, &io::stdout())
    }

    /// True if messages are coloured.
    pub(crate) fn is_message_colored(&self) -> bool {
        !self.is_json() && is_colored(self.choice, &io::stderr())
    }

    /// True if messages go to a terminal.
    pub(crate) fn is_stderr_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// True if results go to a terminal.
    pub(crate) fn is_stdout_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// True if questions are possible.
    pub(crate) fn can_ask(&self) -> bool {
        self.is_asking_allowed && io::stdin().is_terminal()
    }

    /// The width of results; `None` without a terminal or `COLUMNS`: logs and files have no limit.
    pub(crate) fn result_width(&self) -> Option<usize> {
        self.width(io::stdout())
    }

    /// The width of messages.
    pub(crate) fn message_width(&self) -> usize {
        self.width(io::stderr()).unwrap_or(WIDTH)
    }

    fn width(&self, stream: impl AsFd) -> Option<usize> {
        columns_of(stream).or(self.columns)
    }

    /// Keeps a diagnostic for a JSON result.
    pub(crate) fn remember(&self, diagnostic: Note) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).push(diagnostic);
    }

    /// The diagnostics so far.
    pub(crate) fn remembered(&self) -> Vec<Note> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True once a result was started.
    pub(crate) fn has_printed(&self) -> bool {
        self.has_printed.load(Ordering::Relaxed)
    }

    /// True once the reader of results is gone.
    pub(crate) fn is_stdout_closed(&self) -> bool {
        self.is_stdout_closed.load(Ordering::Relaxed)
    }

    /// Prints a result, with invisible characters escaped. If the reader goes away, the command continues with the same
    /// exit code, and prints nothing more.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        self.print_raw(&with_visible(text))
    }

    /// Prints a result unchanged, for programs.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub(crate) fn print_raw(&self, text: &str) -> Result<(), Failure> {
        self.has_printed.store(true, Ordering::Relaxed);
        if self.is_stdout_closed() {
            return Ok(());
        }
        let mut stream = AutoStream::new(io::stdout().lock(), self.choice_of(&io::stdout()));
        let written = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_stdout_closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            written => written.map_err(|error| Failure::new(format!("standard output cannot be written: {error}"))),
        }
    }

    /// Prints a list. If it is empty, prints `nothing` on standard error.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub(crate) fn print_list(&self, lines: &str, nothing: &str) -> Result<(), Failure> {
        if lines.is_empty() {
            self.print_note(nothing);
        }
        self.print(lines)
    }

    /// As [`Ui::print_list`], for lines with columns: on a terminal they are broken between words.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub(crate) fn print_table(&self, lines: &str, nothing: &str) -> Result<(), Failure> {
        match columns_of(io::stdout()) {
            Some(width) => self.print_list(&fitted(lines, width), nothing),
            None => self.print_list(lines, nothing),
        }
    }

    /// Prints a result as indented JSON.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub(crate) fn print_json(&self, json: &serde_json::Value) -> Result<(), Failure> {
        self.print(&format!("{json:#}\n"))
    }

    /// Prints a message, unless the user wants only errors.
    pub(crate) fn print_note(&self, text: &str) {
        if !self.is_quiet {
            self.print_message(text);
        }
    }

    /// Prints a message in any case. On a terminal its lines are broken between words, but not within backticks.
    pub(crate) fn print_message(&self, text: &str) {
        let broken = |text: &str| match columns_of(io::stderr()) {
            Some(width) => fitted(text, width),
            None => narrowed(text, self.message_width(), HANGING),
        };
        let text = match self.is_json() {
            true => text.to_owned(),
            false => broken(&with_whole_commands(text)).replace(GLUE, " "),
        };
        self.print_with_severity(Severity::Note, &text);
    }

    /// Prints a message with a severity, and lines as they are.
    pub(crate) fn print_with_severity(&self, severity: Severity, text: &str) {
        if !self.is_json() {
            self.write(text);
        } else if !text.is_empty() {
            self.write(&line_of_log(severity, json!({"message": text})));
        }
    }

    /// Shows bars on the terminal, or none any more.
    pub(crate) fn set_bars(&self, bars: Option<MultiProgress>) {
        *self.bars.lock().unwrap_or_else(PoisonError::into_inner) = bars;
    }

    fn write(&self, text: &str) {
        if self.is_silent {
            return;
        }
        let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bars {
            Some(bars) => bars.suspend(|| self.write_line(text)),
            None => self.write_line(text),
        }
    }

    fn write_line(&self, text: &str) {
        let mut stream = AutoStream::new(io::stderr().lock(), self.choice_of(&io::stderr()));
        // Ignores errors: standard error may be closed.
        let _ = writeln!(stream, "{}", with_visible(text));
    }

    /// Prints a failure, unless it was reported before.
    pub(crate) fn fail(&self, failure: &Failure) {
        let Some(message) = &failure.message else { return };
        if self.is_json() {
            let fields = json!({"message": message, "hints": failure.hints});
            return self.write(&line_of_log(Severity::Error, fields));
        }
        self.print_message(&format!("{} {message}", "error:".style(self.message_style(Style::new().red().bold()))));
        self.print_hints(failure);
    }

    /// Prints the remedies of a failure, below an empty line.
    pub(crate) fn print_hints(&self, failure: &Failure) {
        if !failure.hints.is_empty() {
            self.print_message("");
        }
        for hint in &failure.hints {
            self.print_message(&format!("{} {hint}", HINT.style(self.message_style(Style::new().cyan().bold()))));
        }
    }

    /// Asks for consent: only `yes` is accepted. The hint is the remedy without a terminal.
    ///
    /// # Errors
    /// When there is no terminal, or the answer is not `yes`.
    pub(crate) fn confirm(&self, question: &str, hint: &str) -> Result<(), Failure> {
        if !self.can_ask() {
            return Err(Failure::new("there is no terminal to ask on, so nothing was changed").hint(hint));
        }
        // Standard error is not locked, so that signals can be reported during the question.
        match ask(question, &mut io::stdin().lock(), &mut io::stderr()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new("the answer was not `yes`, so nothing was changed")),
            Err(error) => Err(Failure::new(format!("the answer cannot be read: {error}"))),
        }
    }

    /// Asks for one of several words or their first letters; `None` at the end of input.
    ///
    /// # Errors
    /// When the answer cannot be read.
    pub(crate) fn choose<'a>(&self, question: &str, words: &[&'a str]) -> Result<Option<&'a str>, Failure> {
        choose(question, words, &mut io::stdin().lock(), &mut io::stderr())
            .map_err(|error| Failure::new(format!("the answer cannot be read: {error}")))
    }

    fn message_style(&self, style: Style) -> Style {
        if self.is_message_colored() { style } else { Style::new() }
    }

    fn choice_of(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        if is_colored(self.choice, stream) { ColorChoice::Always } else { ColorChoice::Never }
    }
}

fn is_colored(choice: ColorChoice, stream: &impl anstream::stream::RawStream) -> bool {
    let choice = if choice == ColorChoice::Auto { AutoStream::choice(stream) } else { choice };
    choice != ColorChoice::Never
}

/// Asks, and returns true for the answer `yes`.
fn ask(question: &str, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<bool> {
    write!(output, "\n{question}\n  Only 'yes' will be accepted.\n\n  Enter a value: ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    writeln!(output)?;
    Ok(answer.trim() == "yes")
}

/// Asks until the answer is one of the words or a first letter.
fn choose<'a>(
    question: &str,
    words: &[&'a str],
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> io::Result<Option<&'a str>> {
    write!(output, "\n{question}\n\n")?;
    loop {
        write!(output, "  Enter a value: ")?;
        output.flush()?;
        let mut answer = String::new();
        if input.read_line(&mut answer)? == 0 {
            writeln!(output)?;
            return Ok(None);
        }
        let answer = answer.trim().to_lowercase();
        let is_meant =
            |word: &&&str| **word == answer || word.chars().next().map(String::from).as_ref() == Some(&answer);
        if let Some(word) = words.iter().find(is_meant) {
            return Ok(Some(word));
        }
        writeln!(output, "  Only one of {} will be accepted.", words.join(", "))?;
    }
}

/// A number with its noun: `1 blueprint`, `2 blueprints`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A line in the form of a server's log.
fn line_of_log(severity: Severity, fields: Json) -> String {
    let level = match severity {
        Severity::Note => "INFO",
        Severity::Warning => "WARN",
        Severity::Error => "ERROR",
    };
    json!({"timestamp": Timestamp::now(), "level": level, "fields": fields, "target": env!("CARGO_PKG_NAME")})
        .to_string()
}

/// Reports a panic as a bug and hides its message, which may hold secrets.
pub(crate) fn hide_panics(ui: &Ui) {
    let ui = ui.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        let bug = Failure::new(format!("this is a bug of terrace{place}: please report what you did"));
        ui.fail(&bug.hint("completed steps are recorded; resolve interrupted ones with `terrace recover`"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn answer(text: &str) -> bool {
        let mut shown = Vec::new();
        let is_yes = ask("Apply?", &mut text.as_bytes(), &mut shown).unwrap();
        assert!(String::from_utf8(shown).unwrap().contains("Only 'yes' will be accepted."));
        is_yes
    }

    #[test]
    fn only_yes_is_consent() {
        assert!(answer("yes\n"));
        assert!(answer("  yes\r\n"));
        for text in ["", "\n", "y\n", "Yes\n", "YES\n", "no\n", "yes please\n", "no\nyes\n"] {
            assert!(!answer(text), "{text:?}");
        }
    }

    #[test]
    fn columns_sets_the_width_without_a_terminal() {
        let width = |columns: &str| {
            let variables = [("COLUMNS", columns)].into_iter().collect();
            Ui::new(&Global::default(), &variables).width(std::fs::File::open("/dev/null").unwrap())
        };
        assert_eq!((width("40"), width(""), width("0"), width("wide")), (Some(40), None, None, None));
    }

    #[test]
    fn lines_fit_a_terminal_by_whole_words() {
        let row = "terrace-01a21a8a-a37f-72dc-ab04-b034a05ced03-7xk2p  assigned  worker  -  12s\n";
        let broken = "terrace-01a21a8a-a37f-72dc-ab04-b034a05ced03-7xk2p\n      assigned  worker  -  12s\nshort\n";
        assert_eq!(fitted(&format!("{row}short\n"), 56), broken);
        assert_eq!(fitted(row, 120), row);
    }

    #[test]
    fn choice_is_repeated_until_a_word_or_its_first_letter() {
        let chosen =
            |text: &str| choose("What?", &["absent", "tainted"], &mut text.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(chosen("a\n"), Some("absent"));
        assert_eq!(chosen("maybe\n\n Tainted \n"), Some("tainted"));
        assert_eq!(chosen("yes\n"), None);
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn question_without_a_terminal_fails() {
        let failure = Ui::plain().confirm("Apply?", "review the plan, then pass `--auto-approve`").unwrap_err();
        assert_eq!(failure.exit, Exit::Error);
        assert_eq!(failure.hints, ["review the plan, then pass `--auto-approve`"]);
    }
}

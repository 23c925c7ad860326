//! Renders a plan for a terminal.

use super::attributes::{Style, body};
use super::headline::{self, DESTROYS_DATA};
use super::line::{FORCES, Line, Mark};
use super::paint::{Paint, Painter};
use super::totals::{deferred_sentence, details, is_listed, part, to_do, verdict};
use indexmap::IndexMap;
use std::collections::HashMap;
use terrace_language::action::Action;
use terrace_language::address::{Address, ComponentKey, SHARED};
use terrace_language::text::value::{Limits, SENSITIVE, SENSITIVE_CHANGED, SENSITIVE_NOW, brief, brief_change};
use terrace_language::text::{NARROWEST, cut_pair, cut_value, flowed, visible};
use terrace_plan::{Change, Lookup, Mode, OutputChange, OwnerChange, Part, Plan, ReadReason, StackPlan};
use terrace_provider::Value;

/// Options of the terminal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Human {
    /// True to print signs and headings in colour.
    pub color: bool,
    /// Width of a line in characters; 0 for no limit. Longer lines are cut, but addresses are not. Below [`NARROWEST`] lines are
    /// broken between words instead.
    pub width: usize,
    /// The amount of detail.
    pub detail: Detail,
}

/// The amount of detail of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// Counts and destructive changes.
    Summary,
    /// All changes; unchanged parts are counted.
    #[default]
    Compact,
    /// All attributes of all changes, uncut.
    Full,
}

impl Default for Human {
    fn default() -> Self {
        Self { color: false, width: 100, detail: Detail::default() }
    }
}

/// The width of lines that are broken later.
const BROKEN: usize = 100;
/// Notes start at this column at the latest.
const WIDEST_HEAD: usize = 54;
/// The minimum number of characters shown of a note.
const LEAST_NOTE: usize = 16;
/// Indentation of continuation lines.
const HANGING: usize = 4;
/// Spaces between an address and its note.
const GAP: usize = 3;

/// A plan for a terminal. Ends with a line break; without [`Plan::notes`].
#[must_use]
pub fn plan(plan: &Plan, options: &Human) -> String {
    let mut screen = Screen::new(options);
    for stack in &plan.stacks {
        screen.stack(plan, stack);
    }
    screen.ending(plan);
    screen.text
}

/// The changes of a plan within one component.
#[derive(Default)]
struct Section<'a> {
    is_removed: bool,
    changes: Vec<&'a Change>,
    lookups: Vec<&'a Lookup>,
    owners: Vec<&'a OwnerChange>,
}

/// Lines for a terminal of a given width.
pub(super) struct Screen {
    options: Human,
    /// The width of the terminal in characters; 0 for no limit.
    terminal: usize,
    pub(super) painter: Painter,
    pub(super) text: String,
}

impl Screen {
    pub(super) fn new(options: &Human) -> Self {
        let width = if (1..NARROWEST).contains(&options.width) { BROKEN } else { options.width };
        let terminal = options.width;
        let options = Human { width, ..*options };
        Self { options, terminal, painter: Painter { is_on: options.color }, text: String::new() }
    }

    fn stack(&mut self, plan: &Plan, stack: &StackPlan) {
        let name = format!("stack {}", visible(&stack.stack.to_string()));
        let note = plan.environment_note.as_ref().map(|note| format!("({})", visible(note))).unwrap_or_default();
        let painted = self.painter.paint(Paint::Bold, &name);
        let together = name.chars().count() + 2 + note.chars().count();
        if note.is_empty() {
            self.line(&painted);
        } else if self.terminal == 0 || together <= self.terminal {
            self.line(&format!("{painted}  {note}"));
        } else {
            self.line(&painted);
            flowed(&format!("  {note}"), self.terminal, 2).lines().for_each(|line| self.line(line));
        }
        self.text.push('\n');
        let is_brief = self.options.detail == Detail::Summary;
        let order: HashMap<&str, usize> =
            stack.components.iter().enumerate().map(|(at, component)| (component.key.as_str(), at + 1)).collect();
        let place = |key: &str| if key == SHARED { 0 } else { order.get(key).copied().unwrap_or(usize::MAX) };
        let mut sections: IndexMap<ComponentKey, Section<'_>> = IndexMap::new();
        for change in stack.changes.iter().filter(|change| self.is_shown(change)) {
            sections.entry(change.address.component.clone()).or_default().changes.push(change);
        }
        for lookup in stack.lookups.iter().filter(|lookup| !is_brief && lookup.reason.is_some()) {
            sections.entry(lookup.address.component.clone()).or_default().lookups.push(lookup);
        }
        for owner in stack.owners.iter().filter(|owner| !is_brief && owner.is_change()) {
            sections.entry(headline::owner_section(&stack.stack, owner)).or_default().owners.push(owner);
        }
        for component in &stack.components {
            if let Some(section) = sections.get_mut(&component.key) {
                section.is_removed =
                    matches!(plan.mode, Mode::Apply | Mode::Rollback) && component.part == Part::Removed;
            }
        }
        sections.sort_by(|left, _, right, _| place(left).cmp(&place(right)));
        for (key, section) in &sections {
            self.component(plan, stack, key, section);
        }
        if !is_brief {
            self.outputs(stack);
            self.deferred(stack);
        }
    }

    fn is_shown(&self, change: &Change) -> bool {
        match self.options.detail {
            Detail::Summary => is_destructive(change),
            Detail::Compact | Detail::Full => is_listed(change),
        }
    }

    fn component(&mut self, plan: &Plan, stack: &StackPlan, key: &ComponentKey, section: &Section<'_>) {
        if !key.is_stack() {
            let heading = self.painter.paint(Paint::Bold, &visible(key));
            self.line(&format!("  {heading}{}", if section.is_removed { "  (not described any more)" } else { "" }));
        }
        let heads: Vec<String> = section.changes.iter().map(|change| head(change)).collect();
        let width = |head: &String| Some(head.chars().count()).filter(|width| *width <= WIDEST_HEAD);
        // A narrow terminal has no room for columns.
        let column = heads.iter().filter_map(width).max().filter(|_| !self.is_narrow()).unwrap_or_default();
        for (change, head) in section.changes.iter().zip(heads) {
            self.change(plan, change, &head, column);
        }
        for lookup in &section.lookups {
            let sign = self.painter.sign(Action::Read.sign());
            let name = visible(&lookup.address.local().to_string()).into_owned();
            self.line(&format!("  {sign} {name}   {}", lookup.reason.map(ReadReason::text).unwrap_or_default()));
        }
        for owner in &section.owners {
            let sign = self.painter.sign(owner.action.sign());
            self.line(&format!("  {sign} {}", headline::owner_line(&stack.stack, owner)));
        }
        self.text.push('\n');
    }

    fn change(&mut self, plan: &Plan, change: &Change, head: &str, column: usize) {
        let sign = headline::sign(change);
        let note = headline::note(change, plan.mode);
        let danger = change.data_loss.as_ref().filter(|loss| loss.destroys()).map(|_| DESTROYS_DATA);
        let mut room = self.options.width.saturating_sub(2);
        if let Some(danger) = danger {
            room = room.saturating_sub(danger.chars().count() + GAP);
        }
        let gap = column.saturating_sub(head.chars().count()) + GAP;
        let text = if note.is_empty() { head.to_owned() } else { format!("{head}{}{note}", " ".repeat(gap)) };
        // An address is never cut. A note is, without enough room, unless a user has to resolve its step.
        let is_whole = change.in_doubt.is_some();
        let text = match is_whole {
            true => text,
            false => self.fit(&text, room.max(head.chars().count() + GAP + LEAST_NOTE)),
        };
        // Painted after the cut, because colours take no room.
        let text = match text.strip_prefix(sign) {
            Some(rest) => format!("{}{rest}", self.painter.sign(sign)),
            None => text,
        };
        let danger = danger.map(|danger| format!("   {}", self.painter.paint(Paint::Red, danger))).unwrap_or_default();
        let text = format!("  {text}{danger}");
        match is_whole {
            true => self.flowing(&text, 2 + HANGING),
            false => self.broken(&text, 2 + HANGING),
        }
        if self.options.detail == Detail::Summary {
            return;
        }
        if let Some(loss) = &change.data_loss {
            self.body_line(&Line::new(0, Mark::Danger, headline::loss(loss, headline::CONSENT)));
        }
        let style = if self.options.detail == Detail::Full { Style::FULL } else { Style::COMPACT };
        for line in body(change, style) {
            self.body_line(&line);
        }
    }

    pub(super) fn body_line(&mut self, line: &Line) {
        let indent = " ".repeat(6 + 4 * line.depth);
        if line.mark == Mark::Reason && self.options.detail != Detail::Full {
            let text = format!("{indent}{}", self.painter.paint(Paint::Faint, &line.text));
            self.flowing(&text, indent.len() + HANGING);
            return;
        }
        let sign = line.mark.sign();
        let suffix = if line.is_forcing { FORCES } else { "" };
        let taken = indent.len() + sign.map_or(0, |sign| sign.len() + 1) + suffix.len();
        let text = self.fit_value(line.mark, &line.text, taken);
        let text = match sign {
            Some(sign) => format!("{} {text}", self.painter.sign(sign)),
            None => self.painter.paint(Paint::Faint, &text),
        };
        let text = format!("{indent}{text}{}", self.painter.paint(Paint::Red, suffix));
        self.broken(&text, indent.len() + HANGING);
    }

    fn outputs(&mut self, stack: &StackPlan) {
        let changed: Vec<(&OutputChange, String)> = stack
            .outputs
            .iter()
            .filter(|output| output.is_change())
            .map(|output| (output, output_name(output)))
            .collect();
        if changed.is_empty() {
            return;
        }
        let heading = self.painter.paint(Paint::Bold, "outputs");
        self.line(&format!("  {heading}"));
        let width = changed.iter().map(|(_, name)| name.chars().count()).max().unwrap_or_default().min(WIDEST_HEAD);
        // A narrow terminal has no room for columns.
        let width = if self.is_narrow() { 0 } else { width };
        let limits = if self.options.detail == Detail::Full { Limits::NONE } else { Style::COMPACT.limits };
        for (output, name) in changed {
            let (mark, value) = output_difference(output, limits);
            let text = self.fit_value(mark, &format!("{name:<width$} = {value}"), 4);
            let sign = self.painter.sign(mark.sign().unwrap_or_default());
            self.line(&format!("  {sign} {text}"));
        }
        self.text.push('\n');
    }

    fn deferred(&mut self, stack: &StackPlan) {
        if stack.deferred.is_empty() {
            return;
        }
        let heading = self.painter.paint(Paint::Bold, "left for another apply");
        self.line(&format!("  {heading}"));
        let name = |address: &Address| visible(&address.to_string()).into_owned();
        let width = |address: &Address| Some(name(address).chars().count()).filter(|width| *width <= WIDEST_HEAD);
        let widths = stack.deferred.iter().filter_map(|deferred| width(&deferred.address));
        let column = widths.max().filter(|_| !self.is_narrow()).unwrap_or_default();
        for deferred in &stack.deferred {
            let head = name(&deferred.address);
            let text = format!("{head:<column$}{}{}", " ".repeat(GAP), visible(&deferred.text()));
            let room = self.options.width.saturating_sub(4).max(head.chars().count() + GAP + LEAST_NOTE);
            let text = self.fit(&text, room);
            self.line(&format!("    {text}"));
        }
        self.text.push('\n');
    }

    fn ending(&mut self, plan: &Plan) {
        self.consent(plan);
        let verdict_text = self.painter.paint(Paint::Bold, &verdict(plan));
        match plan.is_errored && !plan.has_changes() {
            true => self.sentence(&verdict_text),
            // Programs that know Terraform search for this line: it is broken only where it is wider than the screen of a person.
            false => self.broken(&verdict_text, 0),
        }
        if let Some(details) = details(plan) {
            self.sentence(&format!("({details})"));
        }
        if plan.stacks.len() > 1 {
            for stack in &plan.stacks {
                self.line(&format!("  {}: {}", visible(&stack.stack.to_string()), to_do(&stack.counts())));
            }
        }
        if let Some(part) = part(plan) {
            self.sentence(&part);
        }
        if let Some(left) = deferred_sentence(plan) {
            self.sentence(&left);
        }
        if plan.mode == Mode::RefreshOnly && plan.has_changes() && !plan.is_errored {
            self.sentence(
                "This is a refresh-only plan: apply records the objects as they are, and changes nothing else.",
            );
        }
        if plan.is_errored && plan.has_changes() {
            self.sentence("This plan has errors and cannot be applied.");
        }
    }

    /// Prints the options that allow the data loss.
    fn consent(&mut self, plan: &Plan) {
        let refused: Vec<_> = plan.refused_data_loss().collect();
        if refused.is_empty() {
            return;
        }
        let title = self.painter.paint(Paint::Red, "Data would be lost: this plan is refused.");
        self.sentence(&format!("{title} To allow it, pass:"));
        for (stack, change, loss) in refused {
            let amount = loss.amount.as_deref().map(visible).unwrap_or_default();
            let flag = format!("  --allow-data-loss={}", shell_quoted(&visible(&plan.consent_name(stack, change))));
            // A flag must not be cut; the text after it may.
            let room = self.options.width.saturating_sub(flag.chars().count() + GAP).max(16);
            self.line(&format!("{flag}   {}", self.fit(&format!("({amount})"), room)));
            if let Some(why) = &loss.only_empty {
                let text = flowed(&format!("    that is not enough: {}", visible(why)), self.terminal, HANGING);
                self.text.push_str(&text);
                self.text.push('\n');
            }
        }
        self.text.push('\n');
    }

    /// Prints a sentence, broken to the width of the terminal.
    pub(super) fn sentence(&mut self, text: &str) {
        let text = flowed(text, self.terminal, 0);
        self.text.push_str(&text);
        self.text.push('\n');
    }

    /// Prints a line of harmless text, broken if the terminal is narrow.
    pub(super) fn line(&mut self, text: &str) {
        let indent = text.len() - text.trim_start_matches(' ').len();
        self.broken(text, indent + HANGING);
    }

    /// The same with the given indentation of continuation lines.
    fn broken(&mut self, text: &str, hanging: usize) {
        let text = flowed(text, if self.is_narrow() { self.terminal } else { 0 }, hanging);
        self.text.push_str(&text);
        self.text.push('\n');
    }

    /// Prints a line that is broken on any terminal, except in full detail.
    fn flowing(&mut self, text: &str, hanging: usize) {
        let width = match self.options.detail {
            Detail::Full => 0,
            Detail::Summary | Detail::Compact if self.is_narrow() => self.terminal,
            Detail::Summary | Detail::Compact => self.options.width,
        };
        self.text.push_str(&flowed(text, width, hanging));
        self.text.push('\n');
    }

    /// True if lines are broken instead of cut.
    fn is_narrow(&self) -> bool {
        (1..NARROWEST).contains(&self.terminal) && self.options.detail != Detail::Full
    }

    /// Fits the text of a value into a line with `taken` used characters. If lines are broken, no word is longer than a line.
    fn fit_value(&self, mark: Mark, text: &str, taken: usize) -> String {
        let room = self.options.width.saturating_sub(taken);
        let text = match self.fit(text, room) {
            cut if mark == Mark::Change && cut != text => fit_change(text, room).unwrap_or(cut),
            cut => cut,
        };
        if !self.is_narrow() {
            return text;
        }
        let left = self.terminal.saturating_sub(taken);
        let (label, value) = text.split_once(" = ").unwrap_or(("", &text));
        let before = text.len() - value.len();
        // A single word is cut within its line if enough of it remains.
        if !value.contains(' ') && left >= label.chars().count() + LEAST_NOTE {
            return cut_value(&text, left).into_owned();
        }
        let widest = self.terminal - (taken + HANGING).min(self.terminal / 2);
        let value = value.split(' ').map(|word| cut_value(word, widest)).collect::<Vec<_>>().join(" ");
        format!("{}{value}", text.get(..before).unwrap_or_default())
    }

    fn fit(&self, text: &str, room: usize) -> String {
        if self.options.width == 0 || self.options.detail == Detail::Full {
            return text.to_owned();
        }
        cut_value(text, room.max(1)).into_owned()
    }
}

/// The sign and the address.
fn head(change: &Change) -> String {
    let deposed = change.deposed.as_ref().map(|key| format!(" (deposed object {})", visible(key))).unwrap_or_default();
    let address = change.address.local().to_string();
    format!("{} {}{deposed}", headline::sign(change), visible(&address))
}

/// True for changes that every form shows.
pub(crate) fn is_destructive(change: &Change) -> bool {
    change.action.removes_object() || change.data_loss.is_some() || change.is_in_doubt()
}

/// Fits `label = before → after` into the room with a part of both values; `None` if the room is too small.
fn fit_change(text: &str, room: usize) -> Option<String> {
    let (label, change) = text.split_once(" = ")?;
    let (before, after) = change.split_once(" → ")?;
    let room = room.checked_sub(label.chars().count() + " = ".len() + " → ".chars().count())?;
    let (before, after) = (room >= 2 * LEAST_NOTE).then(|| cut_pair(before, after, room))?;
    Some(format!("{label} = {before} → {after}"))
}

/// `component/name`, or the name alone for an output of the stack.
pub(crate) fn output_name(output: &OutputChange) -> String {
    visible(&output.component.qualified(&output.name).to_string()).into_owned()
}

/// The mark and the text of an output's change.
pub(crate) fn output_difference(output: &OutputChange, limits: Limits) -> (Mark, String) {
    let is_sensitive = |side: &Option<Value>| matches!(side, Some(Value::Sensitive(_)));
    let is_hidden = is_sensitive(&output.before) || is_sensitive(&output.after);
    let text = |value: &Value| if is_hidden { SENSITIVE.to_owned() } else { brief(value, limits) };
    match (&output.before, &output.after) {
        _ if output.is_newly_sensitive => (Mark::Change, SENSITIVE_NOW.to_owned()),
        (Some(_), Some(_)) if is_hidden => (Mark::Change, SENSITIVE_CHANGED.to_owned()),
        (Some(before), Some(after)) => {
            let (before, after) = brief_change(before, after, limits);
            (Mark::Change, format!("{before} → {after}"))
        }
        (None, Some(after)) => (Mark::Add, text(after)),
        (Some(before), None) => (Mark::Remove, text(before)),
        (None, None) => (Mark::Plain, String::new()),
    }
}

/// A word for a shell, quoted if necessary.
fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '@' | ':');
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

//! The texts of comments and checks.

use super::planned::{Outcome, Ready, Target, destroy, failed};
use super::preview::Previewed;
use std::collections::{BTreeMap, BTreeSet};
use terrace_engine::render::markdown::{Markdown, code, prose};
use terrace_forge::comment::{append, length, within};
use terrace_forge::record::{Kind, Record, Writer, marker};
use terrace_forge::{Request, Vendor, Verdict};

/// The promise about plans that need no approval.
const APPLIES: &str = "The merge applies exactly these plans.";
/// The beginning of the heading of a comment.
const HEADING: &str = "## terrace: ";
/// Most changed files in a sentence.
const SHOWN_FILES: usize = 10;
/// The longest name in a table, in characters.
const WIDEST: usize = 120;
/// The longest message, in characters.
const LONGEST: usize = 600;
/// The room of the head without the rows of plans.
const FRAME: usize = 8_000;
/// The room behind the head, for the numbers of lines and plans without room.
const REST: usize = 1_000;
/// The longest plan, in characters.
const LARGEST_PLAN: usize = 60_000;

/// The comment of a request and the result of its check.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) verdict: Verdict,
    pub(super) title: String,
}

/// Further content of a comment.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) vendor: Vendor,
    /// The job.
    pub(super) writer: Writer<'a>,
    pub(super) request: u64,
    /// The planned commit of the request.
    pub(super) commit: &'a str,
    /// The stacks without files, each true if the state may have objects of it.
    pub(super) removed: &'a BTreeMap<String, bool>,
    pub(super) failures: &'a [(String, Vec<String>)],
    pub(super) notes: &'a [String],
    /// The folder of the plan files.
    pub(super) folder: String,
}

/// A number with its noun and the verb after it: `1 plan has`, `2 plans have`.
pub(super) fn counted(number: usize, noun: &str, (one, several): (&str, &str)) -> String {
    match number {
        1 => format!("1 {noun} {one}"),
        number => format!("{number} {noun}s {several}"),
    }
}

/// The comment with the plans of a request.
pub(super) fn plans(facts: &Facts<'_>, plans: &[(Target, Outcome)]) -> Page {
    let limit = facts.vendor.comment_limit();
    let (head, verdict, title) = head(facts, plans, limit);
    let per_plan = limit.saturating_sub(length(&head) + 500) / plans.len().max(1);
    let per_plan = per_plan.clamp(Markdown::LEAST_CHARS, LARGEST_PLAN);
    let sections: Vec<String> = plans
        .iter()
        .map(|(target, outcome)| match outcome {
            Ok(ready) => ready.markdown(target, per_plan),
            Err(messages) => failed(&target.stack(), messages),
        })
        .collect();
    let folder = &facts.folder;
    let text = within(limit, &head, &sections, |count| {
        let plans = counted(count, "plan", ("has", "have"));
        format!("\n{plans} no room here. The artifact {} of the job has every plan.\n", code(folder, WIDEST))
    });
    Page { text, verdict, title }
}

/// The marker, the record, the table and remarks: at most `limit` characters without [`REST`].
fn head(facts: &Facts<'_>, plans: &[(Target, Outcome)], limit: usize) -> (String, Verdict, String) {
    let (record, rows) = record(facts, plans, limit.saturating_sub(FRAME));
    let short = facts.commit.get(..10).unwrap_or(facts.commit);
    let mut text = format!(
        "{}\n{}\n{HEADING}plans of {}\n\n",
        marker(Kind::Plan, facts.writer.name),
        record.to_line(),
        code(short, WIDEST)
    );
    let sound = || plans.iter().filter_map(|(target, outcome)| Some((target, outcome.as_ref().ok()?)));
    let awaiting = || sound().filter(|(_, ready)| !ready.plan.is_errored && ready.needs_approval().is_some());
    let is_failed = |outcome: &Outcome| outcome.as_ref().map_or(true, |ready| ready.plan.is_errored);
    let errors = plans.iter().filter(|(_, outcome)| is_failed(outcome)).count() + facts.failures.len();
    let waiting: Vec<(&Target, &Ready)> = awaiting().filter(|(_, ready)| ready.is_covered()).collect();
    let excluded = awaiting().count() - waiting.len();
    let changes = sound().filter(|(_, ready)| ready.plan.has_changes()).count();
    let mut lines: Vec<String> = Vec::new();
    if plans.is_empty() && facts.failures.is_empty() && facts.removed.is_empty() {
        text.push_str("The request changes no product.\n\n");
    }
    if !plans.is_empty() {
        text.push_str("| stack | plan | digest |\n|---|---|---|\n");
        rows.iter().for_each(|row| text.push_str(row));
        if plans.len() > rows.len() {
            let more = counted(plans.len() - rows.len(), "more plan", ("is", "are"));
            text.push_str(&format!(
                "\n**{more} too many for one comment: the merge does not apply plans without a row here.** Split the request, or plan parts of \
                 the repository with `terrace pr plan PATH --name NAME`.\n"
            ));
        }
        text.push('\n');
        if errors + waiting.len() + excluded == 0 && plans.len() == rows.len() {
            text.push_str(&format!("{APPLIES}\n\n"));
        }
    }
    lines.extend(unreadable(facts.failures));
    if sound().any(|(_, ready)| ready.plan.has_changes() && !ready.has_key()) {
        lines.push(
            "- Without a state key, nothing proves which plan was reviewed: so each plan needs an approval. Set \
             `TERRACE_STATE_KEY` in the jobs.\n"
                .to_owned(),
        );
    }
    if sound().any(|(_, ready)| !ready.is_covered()) {
        lines.push(
            "- Plans with sensitive values need a state key: without it their digest does not cover these values, and the merge does not \
             apply them.\n"
                .to_owned(),
        );
    }
    if !waiting.is_empty() {
        let which = match waiting.iter().all(|(_, ready)| ready.is_destructive()) {
            true => "Plans that destroy or replace objects, or can destroy data, need an approval.",
            false => "These plans need an approval.",
        };
        lines.push(format!("\n**{which}** An owner of the files writes as a comment:\n\n"));
        lines.extend(waiting.iter().map(|(target, ready)| {
            format!("- for {}: `terrace approve {}`\n", code(&target.stack(), WIDEST), ready.digest)
        }));
        lines.push("\n".to_owned());
    }
    lines.extend(facts.removed.iter().map(|(stack, has_objects)| {
        let objects = match has_objects {
            true => format!("Its objects stay until {} removes them.", destroy(stack)),
            false => "The state has no objects of it.".to_owned(),
        };
        format!("- {} has no files any more. {objects}\n", code(stack, WIDEST))
    }));
    lines.extend(facts.notes.iter().map(|note| format!("- {}\n", prose(note, LONGEST))));
    // The plans need room, too.
    let room = (length(&text) + FRAME).min(limit.saturating_sub(REST));
    let omitted = append(room, &mut text, lines);
    if omitted > 0 {
        text.push_str(&format!("- {} no room here.\n", counted(omitted, "more line", ("has", "have"))));
    }
    text.push('\n');
    let without_environment =
        |stack: &String| stack.rsplit_once('@').map_or(stack.clone(), |(name, _)| name.to_owned());
    let removed = facts.removed.keys().map(without_environment).collect::<BTreeSet<_>>().len();
    let title = match (plans.len(), errors, waiting.len()) {
        (_, 0, 0) if excluded > 0 => format!("{excluded} of {} plans need a state key", plans.len()),
        (0, 0, _) => match removed {
            0 => "no changed product".to_owned(),
            count => counted(count, "product", ("has no files any more", "have no files any more")),
        },
        (_, 0, 0) => format!("{} of {} plans have changes", changes, plans.len()),
        (_, 0, count) if waiting.iter().all(|(_, ready)| ready.is_destructive()) => {
            format!("{count} of {} plans need an approval, because they can destroy objects or data", plans.len())
        }
        (_, 0, count) if waiting.iter().all(|(_, ready)| !ready.has_key() && !ready.is_destructive()) => {
            format!("{count} of {} plans need an approval, because the job has no state key", plans.len())
        }
        (_, 0, count) => format!("{count} of {} plans need an approval", plans.len()),
        (_, count, _) => format!("{} errors", counted(count, "plan", ("has", "have"))),
    };
    let verdict = match (errors, waiting.len() + excluded) {
        (0, 0) => Verdict::Success,
        (0, _) => Verdict::Waiting,
        _ => Verdict::Failure,
    };
    (text, verdict, title)
}

/// The page of plans whose comment the forge refused. The merge reads the reviewed digests in the comment.
pub(super) fn without_comment(page: Page) -> Page {
    const REFUSED: &str = "**The comment could not be written, so the merge applies none of these plans without an approval.** Give the \
                           token the missing permission, and run the job again.";
    match page.text.contains(APPLIES) {
        true => Page {
            text: page.text.replacen(APPLIES, REFUSED, 1),
            verdict: Verdict::Waiting,
            title: format!("{}, but the comment could not be written", page.title),
        },
        false => page,
    }
}

/// The lines about environments whose products cannot be read.
fn unreadable(failures: &[(String, Vec<String>)]) -> impl Iterator<Item = String> {
    failures.iter().flat_map(|(environment, messages)| {
        let name = format!("- **The products of {} cannot be read:**\n", code(environment, WIDEST));
        let messages = messages.iter().map(|message| format!("  - {}\n", prose(message, LONGEST)));
        std::iter::once(name).chain(messages)
    })
}

/// The record and the rows of the table: as many plans as have room in `limit` characters.
fn record(facts: &Facts<'_>, plans: &[(Target, Outcome)], limit: usize) -> (Record, Vec<String>) {
    let mut record = Record { request: facts.request, commit: facts.commit.to_owned(), plans: Vec::new() };
    let (mut rows, mut used) = (Vec::new(), 0);
    for (target, outcome) in plans {
        let (counts, digest) = match outcome {
            Ok(ready) if ready.plan.is_errored => (ready.counts(), "-".to_owned()),
            Ok(ready) => (ready.counts(), code(&ready.digest, WIDEST)),
            Err(_) => ("failed".to_owned(), "-".to_owned()),
        };
        let row = format!("| {} | {counts} | {digest} |\n", code(&target.stack(), WIDEST));
        let ready = outcome.as_ref().ok().filter(|ready| !ready.plan.is_errored && ready.is_covered());
        let known = record.plans.len();
        let entry = ready.map(|ready| ready.reviewed(target, &record, facts.writer));
        record.plans.extend(entry);
        used += length(&row);
        if used + record.to_line().len() > limit {
            record.plans.truncate(known);
            break;
        }
        rows.push(row);
    }
    (record, rows)
}

/// The comment about a request that cannot be planned. It has no digests: the merge applies nothing without an approval. The
/// request may be untrusted, so nothing in the messages is Markdown.
pub(super) fn failure(vendor: Vendor, name: &str, commit: &str, messages: &[String]) -> String {
    let short = commit.get(..10).unwrap_or(commit);
    let mut text = format!(
        "{}\n\n{HEADING}no plans of {}\n\n**The request cannot be planned.** Plans of older commits do not count any more: without \
         a plan, the merge applies nothing.\n\n",
        marker(Kind::Plan, name),
        code(short, WIDEST)
    );
    let lines = messages.iter().map(|message| format!("- {}\n", quoted(message)));
    let omitted = append(vendor.comment_limit().saturating_sub(REST), &mut text, lines);
    if omitted > 0 {
        text.push_str(&format!("- {} no room here\n", counted(omitted, "more message", ("has", "have"))));
    }
    text
}

/// A message about an untrusted request. A code span disables links.
pub(super) fn quoted(message: &str) -> String {
    code(&message.replace('`', "'"), LONGEST)
}

/// The comment about an untrusted request.
pub(super) fn untrusted(facts: &Facts<'_>, reason: &str, previewed: &Previewed) -> String {
    let Previewed { plans, messages, unused, errors: _ } = previewed;
    let short = facts.commit.get(..10).unwrap_or(facts.commit);
    let mut head = format!(
        "{}\n\n{HEADING}preview of {}\n\n**This request is untrusted: {}.** terrace compared its descriptors with those of the target \
         branch. It used the configuration, the blueprints and the policies of the target branch, and no credentials.\n\n\
         Not checked:\n\n- the state and the remote objects: the plan after the merge may have other changes\n\
         - lookups, commands, variables and secrets: their values are unknown\n- whether names and values are accepted by the \
         remote systems\n- changes of `terrace.yaml`, blueprints and pipeline specs in this request\n\n\
         The merge applies nothing of this request without an approval of its plan.\n\n",
        marker(Kind::Plan, facts.writer.name),
        code(short, WIDEST),
        prose(reason, LONGEST)
    );
    if !unused.is_empty() {
        let names = unused.iter().take(SHOWN_FILES).map(|path| code(path, WIDEST)).collect::<Vec<_>>().join(", ");
        let more = unused.len().saturating_sub(SHOWN_FILES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        head.push_str(&format!(
            "**This request changes configuration or blueprints, which this preview does not use: {names}{more}.** After the merge, they \
             may change the plans of all products.\n\n"
        ));
    }
    let line = |message: &String| format!("- {}\n", quoted(message));
    let lines = messages.iter().chain(facts.notes).map(line);
    let limit = facts.vendor.comment_limit();
    let omitted = append(limit / 2, &mut head, lines);
    if omitted > 0 {
        head.push_str(&format!("- {} no room here\n", counted(omitted, "more message", ("has", "have"))));
    }
    if plans.is_empty() && messages.is_empty() {
        head.push_str(match unused.is_empty() {
            true => "The request changes no product.\n",
            false => "The request changes no file of a product.\n",
        });
    }
    let sections: Vec<String> =
        plans.iter().map(|(stack, text)| format!("\n### {}\n\n{text}\n", code(stack, WIDEST))).collect();
    within(limit, &head, &sections, |count| format!("\n{} no room here.\n", counted(count, "preview", ("has", "have"))))
}

/// The state of a plan after the merge.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) stack: String,
    /// The outcome in a sentence, in Markdown.
    pub(super) outcome: String,
    pub(super) end: End,
    /// A new plan or messages, in Markdown.
    pub(super) details: String,
}

/// The outcome of a plan that a job applied, and that of a later job about the same plan.
const APPLIED: [&str; 2] = ["applied", "applied by an earlier job"];

impl Applied {
    /// Keeps the outcome of an earlier job, whose report this one replaces: the request must show the plans that it applied.
    pub(super) fn keep(&mut self, report: &str) {
        let stack = code(&self.stack, WIDEST);
        let [now, earlier] = APPLIED;
        let is_applied = |line: &str| [now, earlier].iter().any(|outcome| line == format!("| {stack} | {outcome} |"));
        if self.end == End::Unchanged && report.lines().any(is_applied) {
            (self.outcome, self.end) = (earlier.to_owned(), End::Earlier);
        }
    }
}

/// An outcome without its Markdown, for the log.
pub(super) fn without_markup(outcome: &str) -> String {
    let mut text = String::with_capacity(outcome.len());
    let mut characters = outcome.chars();
    while let Some(character) = characters.next() {
        match character {
            // An escaped character stands for itself.
            '\\' => text.extend(characters.next()),
            '*' | '`' => {}
            character => text.push(character),
        }
    }
    text.replace("&lt;", "<").replace("&amp;", "&")
}

/// The end of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// It was applied.
    Applied,
    /// It has no changes, because an earlier job of the request applied it.
    Earlier,
    /// It has no changes.
    Unchanged,
    /// Some of its steps were done.
    Partly,
    /// It was not applied.
    Left,
}

impl End {
    /// True if steps are left to do.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Partly | Self::Left)
    }
}

/// The ends of plans in a phrase: `5 plans: 2 applied, 2 without changes, 1 not applied`.
pub(super) fn ends(outcomes: &[Applied]) -> String {
    let count = |end: End| outcomes.iter().filter(|it| it.end == end).count();
    let words = [
        (End::Applied, "applied"),
        (End::Earlier, "applied earlier"),
        (End::Unchanged, "without changes"),
        (End::Partly, "applied in part"),
        (End::Left, "not applied"),
    ];
    let parts: Vec<(usize, &str)> =
        words.into_iter().map(|(end, word)| (count(end), word)).filter(|(count, _)| *count > 0).collect();
    let plans = |count: usize| format!("{count} plan{}", if count == 1 { "" } else { "s" });
    match parts.as_slice() {
        [] => "no plans".to_owned(),
        [(count, word)] => format!("{} {word}", plans(*count)),
        several => {
            let several: Vec<String> = several.iter().map(|(count, word)| format!("{count} {word}")).collect();
            format!("{}: {}", plans(outcomes.len()), several.join(", "))
        }
    }
}

/// True for a comment about this commit of a request.
pub(super) fn is_of(text: &str, commit: &str) -> bool {
    let heading = text.lines().find(|line| line.starts_with(HEADING)).unwrap_or_default();
    heading.ends_with(&code(commit.get(..10).unwrap_or(commit), WIDEST))
}

/// The comment of a job that replaced the comment of a newer commit, whose text it does not know.
pub(super) fn outdated(name: &str, newest: &str) -> String {
    format!(
        "{}\n\n{HEADING}outdated\n\nA job of an older commit wrote this comment. If it stays, run the job of {} again.\n",
        marker(Kind::Plan, name),
        code(newest, WIDEST)
    )
}

/// The comment about the apply of a merged request.
///
/// `failures` are the environments whose products cannot be read, with the messages.
pub(super) fn applied(
    vendor: Vendor,
    name: &str,
    request: &Request,
    outcomes: &[Applied],
    (failures, notes): (&[(String, Vec<String>)], &[String]),
) -> String {
    let is_any_left = outcomes.iter().any(|outcome| outcome.end.is_open());
    let verdict = match outcomes {
        [] if !failures.is_empty() => "nothing is applied, because products cannot be read".to_owned(),
        [] => "nothing to apply".to_owned(),
        outcomes => ends(outcomes),
    };
    let mut head = format!("{}\n\n## terrace: {verdict}\n\n", marker(Kind::Apply, name));
    if is_any_left || !failures.is_empty() {
        let sign = vendor.sign();
        head.push_str(&format!(
            "After an approval, run the job again. After a new commit, run `terrace pr apply --request {}` for {sign}{}.\n\n",
            request.number, request.number
        ));
    }
    let limit = vendor.comment_limit();
    let mut lines = Vec::new();
    if !outcomes.is_empty() {
        head.push_str("| stack | outcome |\n|---|---|\n");
        let row = |outcome: &Applied| format!("| {} | {} |\n", code(&outcome.stack, WIDEST), outcome.outcome);
        // The rows of plans that are not applied come first: they have room in any comment.
        let (left, done): (Vec<&Applied>, Vec<&Applied>) = outcomes.iter().partition(|it| it.end.is_open());
        lines.extend(left.into_iter().chain(done).map(row));
        lines.push("\n".to_owned());
    }
    lines.extend(unreadable(failures));
    lines.extend(notes.iter().map(|note| format!("- {}\n", prose(note, LONGEST))));
    let omitted = append(limit.saturating_sub(REST), &mut head, lines);
    if omitted > 0 {
        let lines = counted(omitted, "more line", ("has", "have"));
        head.push_str(&format!("\n{lines} no room here: see the log of the job.\n"));
    }
    let sections: Vec<String> =
        outcomes.iter().map(|outcome| outcome.details.clone()).filter(|it| !it.is_empty()).collect();
    within(limit, &head, &sections, |count| {
        format!("\n{} no room here: see the log of the job.\n", counted(count, "text", ("has", "have")))
    })
}

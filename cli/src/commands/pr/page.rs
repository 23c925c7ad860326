//! The texts of comments and checks.

use super::planned::{Outcome, Target, failed};
use std::collections::BTreeSet;
use terrace_engine::render::markdown::{Markdown, code, prose};
use terrace_forge::comment::{length, within};
use terrace_forge::record::{Kind, Record, Reviewed, marker};
use terrace_forge::{Request, Vendor, Verdict};

/// The longest name in a table, in characters.
const WIDEST: usize = 120;
/// The longest message, in characters.
const LONGEST: usize = 600;
/// The room that one plan takes in the table and in the record, in characters.
const ROW: usize = 520;
/// The room of everything else in the head.
const FRAME: usize = 8_000;
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
    /// The name of the job.
    pub(super) name: &'a str,
    pub(super) request: u64,
    /// The planned commit of the request.
    pub(super) commit: &'a str,
    pub(super) removed: &'a BTreeSet<String>,
    pub(super) failures: &'a [(String, Vec<String>)],
    pub(super) notes: &'a [String],
    /// The folder of the plan files.
    pub(super) folder: String,
}

/// The comment with the plans of a request.
pub(super) fn plans(facts: &Facts<'_>, plans: &[(Target, Outcome)]) -> Page {
    let limit = facts.vendor.comment_limit();
    let room = limit.saturating_sub(FRAME) / ROW;
    let (head, verdict, title) = head(facts, plans, room);
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
        format!("\n{count} plans have no room here. The artifact {} of the job has every plan.\n", code(folder, WIDEST))
    });
    Page { text, verdict, title }
}

fn head(facts: &Facts<'_>, plans: &[(Target, Outcome)], room: usize) -> (String, Verdict, String) {
    let mut record = Record { request: facts.request, commit: facts.commit.to_owned(), plans: Vec::new() };
    let reviewed: Vec<Reviewed> = plans
        .iter()
        .take(room)
        .filter_map(|(target, outcome)| {
            let ready = outcome.as_ref().ok().filter(|ready| !ready.plan.is_errored && ready.is_covered())?;
            Some(ready.reviewed(target, &record))
        })
        .collect();
    record.plans = reviewed;
    let short = facts.commit.get(..10).unwrap_or(facts.commit);
    let mut text = format!(
        "{}\n{}\n## terrace: plans of {}\n\n",
        marker(Kind::Plan, facts.name),
        record.to_line(),
        code(short, WIDEST)
    );
    let is_failed = |outcome: &Outcome| outcome.as_ref().map_or(true, |ready| ready.plan.is_errored);
    let errors = plans.iter().filter(|(_, outcome)| is_failed(outcome)).count() + facts.failures.len();
    let destructive: Vec<&(Target, Outcome)> = plans
        .iter()
        .filter(|(_, outcome)| outcome.as_ref().is_ok_and(|ready| !ready.plan.is_errored && ready.is_destructive()))
        .collect();
    let changes =
        plans.iter().filter(|(_, outcome)| outcome.as_ref().is_ok_and(|ready| ready.plan.has_changes())).count();
    if plans.is_empty() && facts.failures.is_empty() {
        text.push_str("The request changes no product.\n\n");
    }
    if !plans.is_empty() {
        text.push_str("| stack | plan | digest |\n|---|---|---|\n");
        for (target, outcome) in plans.iter().take(room) {
            let (counts, digest) = match outcome {
                Ok(ready) if ready.plan.is_errored => (ready.counts(), "-".to_owned()),
                Ok(ready) => (ready.counts(), code(&ready.digest, WIDEST)),
                Err(_) => ("failed".to_owned(), "-".to_owned()),
            };
            text.push_str(&format!("| {} | {counts} | {digest} |\n", code(&target.stack(), WIDEST)));
        }
        if plans.len() > room {
            let more = plans.len() - room;
            text.push_str(&format!(
                "\n**{more} more plans are too many for one comment: the merge does not apply them.** Split the request, or plan parts of \
                 the repository with `terrace pr plan PATH --name NAME`.\n"
            ));
        }
        text.push_str("\nThe merge applies exactly these plans.\n\n");
    }
    if !destructive.is_empty() {
        text.push_str("**Plans that destroy or replace objects need an approval.** An owner of the files writes as a comment:\n\n");
        for (target, outcome) in destructive.iter().take(room.min(20)) {
            if let Ok(ready) = outcome {
                text.push_str(&format!(
                    "- for {}: `terrace approve {}`\n",
                    code(&target.stack(), WIDEST),
                    ready.digest
                ));
            }
        }
        text.push('\n');
    }
    for stack in facts.removed.iter().take(20) {
        text.push_str(&format!(
            "- {} has no files any more. Its objects stay until `terrace destroy` removes them.\n",
            code(stack, WIDEST)
        ));
    }
    for (environment, messages) in facts.failures.iter().take(5) {
        text.push_str(&format!("- **The products of {} cannot be read:**\n", code(environment, WIDEST)));
        messages.iter().take(10).for_each(|message| text.push_str(&format!("  - {}\n", prose(message, LONGEST))));
    }
    let uncovered = plans.iter().filter(|(_, outcome)| outcome.as_ref().is_ok_and(|ready| !ready.is_covered())).count();
    if uncovered > 0 {
        text.push_str(
            "- Plans with sensitive values need a state key: without it their digest does not cover these values, and the merge does not apply \
             them.\n",
        );
    }
    facts.notes.iter().take(10).for_each(|note| text.push_str(&format!("- {}\n", prose(note, LONGEST))));
    text.push('\n');
    let title = match (plans.len(), errors, destructive.len()) {
        (0, 0, _) => "no changed product".to_owned(),
        (_, 0, 0) => format!("{} of {} plans have changes", changes, plans.len()),
        (_, 0, count) => format!("{count} of {} plans need an approval, because they destroy objects", plans.len()),
        (_, count, _) => format!("{count} plans have errors"),
    };
    let verdict = match (errors, destructive.len()) {
        (0, 0) => Verdict::Success,
        (0, _) => Verdict::Waiting,
        _ => Verdict::Failure,
    };
    (text, verdict, title)
}

/// The comment about an untrusted request.
pub(super) fn untrusted(facts: &Facts<'_>, reason: &str, plans: &[(String, String)], messages: &[String]) -> String {
    let short = facts.commit.get(..10).unwrap_or(facts.commit);
    let mut head = format!(
        "{}\n\n## terrace: preview of {}\n\n**This request is untrusted: {}.** terrace compared its descriptors with those of the target \
         branch. It used the configuration, the blueprints and the policies of the target branch, and no credentials.\n\n\
         Not checked:\n\n- the state and the remote objects: the plan after the merge may have other changes\n\
         - lookups, commands, variables and secrets: their values are unknown\n- whether names and values are accepted by the \
         remote systems\n- changes of `terrace.yaml`, blueprints and pipeline specs in this request\n\n\
         The merge applies nothing of this request without an approval of its plan.\n\n",
        marker(Kind::Plan, facts.name),
        code(short, WIDEST),
        prose(reason, LONGEST)
    );
    for message in messages.iter().chain(facts.notes).take(30) {
        // A code span disables links.
        head.push_str(&format!("- {}\n", code(&message.replace('`', "'"), LONGEST)));
    }
    if plans.is_empty() && messages.is_empty() {
        head.push_str("The request changes no product.\n");
    }
    let sections: Vec<String> =
        plans.iter().map(|(stack, text)| format!("\n### {}\n\n{text}\n", code(stack, WIDEST))).collect();
    within(facts.vendor.comment_limit(), &head, &sections, |count| format!("\n{count} previews have no room here.\n"))
}

/// The state of a plan after the merge.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) stack: String,
    /// The outcome in a sentence, in Markdown.
    pub(super) outcome: String,
    /// True if nothing is left to do.
    pub(super) is_done: bool,
    /// A new plan or messages, in Markdown.
    pub(super) details: String,
}

/// The comment about the apply of a merged request.
pub(super) fn applied(vendor: Vendor, name: &str, request: &Request, outcomes: &[Applied], notes: &[String]) -> String {
    let left = outcomes.iter().filter(|outcome| !outcome.is_done).count();
    let verdict = match (outcomes.len(), left) {
        (0, _) => "nothing to apply".to_owned(),
        (all, 0) => format!("{all} of {all} plans are applied"),
        (all, left) => format!("{left} of {all} plans are not applied"),
    };
    let mut head = format!("{}\n\n## terrace: {verdict}\n\n", marker(Kind::Apply, name));
    if !outcomes.is_empty() {
        head.push_str("| stack | outcome |\n|---|---|\n");
        for outcome in outcomes.iter().take(150) {
            head.push_str(&format!("| {} | {} |\n", code(&outcome.stack, WIDEST), outcome.outcome));
        }
        head.push('\n');
    }
    if left > 0 {
        let sign = vendor.sign();
        head.push_str(&format!(
            "After an approval, run the job again, or `terrace pr apply --request {}` for {sign}{}.\n\n",
            request.number, request.number
        ));
    }
    notes.iter().take(10).for_each(|note| head.push_str(&format!("- {}\n", prose(note, LONGEST))));
    let sections: Vec<String> =
        outcomes.iter().map(|outcome| outcome.details.clone()).filter(|it| !it.is_empty()).collect();
    within(vendor.comment_limit(), &head, &sections, |count| {
        format!("\n{count} texts have no room here: see the log of the job.\n")
    })
}

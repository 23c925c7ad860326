//! The end of a run, in words: summary, retained objects and outputs.

use crate::failure::Exit;
use crate::report::harmless;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use terrace_engine::action::{Action, Reason};
use terrace_engine::address::{Address, StackId};
use terrace_engine::apply::Report;
use terrace_engine::plan::{Plan, row_stack};
use terrace_engine::text::shell_word;
use terrace_provider::Value;

/// The exit code of a run.
pub(super) fn exit(report: &Report) -> Exit {
    let is_whole = !has_failures(report) && report.still_owned.is_empty();
    match (report.is_interrupted, is_whole) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Done,
        (false, false) => Exit::PartlyApplied,
    }
}

const fn has_failures(report: &Report) -> bool {
    !report.failed.is_empty() || !report.blocked.is_empty()
}

/// The last line, in terraform's words, which tools recognise.
pub(super) fn summary(report: &Report, is_destroy: bool) -> String {
    let (added, changed, destroyed) = report.counts();
    let is_whole = exit(report) == Exit::Done;
    let imported = match report.imported() {
        0 => String::new(),
        count => format!("{count} imported, "),
    };
    match (is_whole, is_destroy) {
        (true, true) => format!("Destroy complete! Resources: {destroyed} destroyed."),
        (true, false) => {
            format!("Apply complete! Resources: {imported}{added} added, {changed} changed, {destroyed} destroyed.")
        }
        (false, _) => {
            let done = if is_destroy { "Destroyed" } else { "Applied" };
            let what = match (report.is_interrupted, has_failures(report)) {
                (true, _) => "Interrupted".to_owned(),
                (false, true) => format!("{done} with failures"),
                (false, false) => format!("{done} in part"),
            };
            format!(
                "{what}. Resources: {imported}{added} added, {changed} changed, {destroyed} destroyed. ({})",
                report.summary()
            )
        }
    }
}

/// A retained object: addresses are unique within a stack.
pub(super) type Retained<'a> = (StackId, &'a Address);

/// The list of retained objects, so that users know that they still exist.
pub(super) fn retained(
    report: &Report,
    kept_in_any_case: &HashSet<Retained<'_>>,
    kept_unless_empty: &HashMap<Retained<'_>, String>,
) -> String {
    let (in_any_case, unless_asked): (BTreeSet<_>, BTreeSet<_>) = report
        .done
        .iter()
        .filter(|done| done.action == Action::Retain)
        .map(|done| (done.stack.clone(), &done.address))
        .partition(|retained| kept_in_any_case.contains(retained));
    let shared = in_any_case.first().map(|(stack, _)| shell_word(&stack.to_string())).unwrap_or_default();
    let in_shared = format!("Retained, with their data (`terrace destroy {shared} --remove-data` removes them)");
    let list = |title: &str, kept: BTreeSet<Retained<'_>>| match kept.is_empty() {
        true => String::new(),
        false => {
            let kept: String = kept
                .iter()
                .map(|retained @ (stack, address)| match kept_unless_empty.get(retained) {
                    Some(why) => format!("  o {stack}:{address}\n      {why}\n"),
                    None => format!("  o {stack}:{address}\n"),
                })
                .collect();
            format!("\n{title}:\n{kept}")
        }
    };
    list("Retained, with their data (`--remove-data` removes them)", unless_asked) + &list(&in_shared, in_any_case)
}

/// Objects that stay when their last owner leaves, independent of options. They have no owner afterwards, and are removed
/// separately.
pub(super) fn kept_in_any_case(plan: &Plan) -> HashSet<Retained<'_>> {
    let kept = plan.changes().filter(|(_, change)| change.why.reason == Some(Reason::RetainedAtLastRelease));
    kept.map(|(plan, change)| (row_stack(&plan.stack, &change.address), &change.address)).collect()
}

/// Public outputs.
pub(super) fn public_outputs(plan: &Plan, report: &Report) -> String {
    let mut text = String::new();
    for stack in &plan.stacks {
        for output in stack.outputs.iter().filter(|output| output.is_public && output.after.is_some()) {
            let values = report.outputs.get(&(stack.stack.clone(), output.component.clone()));
            if let Some(value) = values.and_then(|values| values.get(&output.name)) {
                let name = output.component.qualified(&output.name).to_string();
                let of = if plan.stacks.len() > 1 { format!("{}:", stack.stack) } else { String::new() };
                append(&mut text, &format!("  {of}{name} = {}\n", format_value(value)));
            }
        }
    }
    if text.is_empty() { text } else { format!("\nOutputs:\n{text}") }
}

/// A value on one line, as JSON except for hidden values.
pub(in crate::commands) fn format_value(value: &Value) -> String {
    match value {
        Value::Sensitive(_) => "(sensitive value)".to_owned(),
        Value::Unknown => "(not known)".to_owned(),
        Value::List(items) if value.has_sensitive() => {
            format!("[{}]", items.iter().map(format_value).collect::<Vec<_>>().join(","))
        }
        Value::Map(entries) if value.has_sensitive() => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}:{}", format_value(&Value::from(key.as_str())), format_value(value))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
        value => harmless(&value.to_json_text()),
    }
}

/// Writing to a string cannot fail.
pub(super) fn append(text: &mut String, more: &str) {
    let _ = text.write_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_engine::address::ComponentKey;
    use terrace_engine::apply::{Done, Failed};
    use terrace_engine::store::Ownership;

    fn address() -> Address {
        "local_value.a".parse().unwrap()
    }

    fn done(action: Action) -> Done {
        Done { stack: StackId::new("demo", "local"), address: address(), action, is_aligned: false }
    }

    #[test]
    fn summary_has_the_words_of_terraform() {
        let report = Report { done: vec![done(Action::Create), done(Action::Replace)], ..Report::default() };
        assert_eq!(summary(&report, false), "Apply complete! Resources: 2 added, 0 changed, 1 destroyed.");
        let report = Report { done: vec![done(Action::Delete)], ..Report::default() };
        assert_eq!(summary(&report, true), "Destroy complete! Resources: 1 destroyed.");
    }

    #[test]
    fn failures_and_interruptions_have_different_exit_codes() {
        let failed = Failed {
            stack: StackId::new("demo", "local"),
            address: address(),
            action: Action::Create,
            error: "no".to_owned(),
            problems: Vec::new(),
            solutions: Vec::new(),
        };
        let report = Report { failed: vec![failed], ..Report::default() };
        assert_eq!(exit(&report), Exit::PartlyApplied);
        assert!(!summary(&report, false).contains("complete"));
        assert_eq!(exit(&Report { is_interrupted: true, ..report }), Exit::Interrupted);
    }

    #[test]
    fn still_owned_object_means_partly_applied() {
        let ownership =
            Ownership { address: address(), stack: StackId::new("demo", "local"), component: ComponentKey::STACK };
        let report = Report { still_owned: vec![ownership], ..Report::default() };
        assert_eq!(exit(&report), Exit::PartlyApplied);
        assert!(summary(&report, true).starts_with("Destroyed in part. "));
        assert!(summary(&report, true).ends_with("(0 done, 1 still owned)"));
    }

    #[test]
    fn retained_objects_are_listed() {
        let report = Report { done: vec![done(Action::Retain)], ..Report::default() };
        let (stack, address) = (StackId::new("demo", "local"), address());
        let removable = retained(&report, &HashSet::new(), &HashMap::new());
        assert!(removable.contains("o demo@local:local_value.a") && !removable.contains("terrace destroy"));
        assert!(
            retained(&report, &HashSet::from([(stack.clone(), &address)]), &HashMap::new())
                .contains("`terrace destroy demo@local --remove-data`")
        );
        assert_eq!(retained(&Report::default(), &HashSet::new(), &HashMap::new()), "");
    }

    #[test]
    fn sensitive_values_are_not_shown() {
        let secret = || Value::sensitive(Value::from("hunter2"));
        assert_eq!(format_value(&secret()), "(sensitive value)");
        let nested: Value =
            [("n".to_owned(), Value::Null), ("t".to_owned(), Value::List(vec![secret()]))].into_iter().collect();
        assert_eq!(format_value(&nested), r#"{"n":null,"t":[(sensitive value)]}"#);
    }
}

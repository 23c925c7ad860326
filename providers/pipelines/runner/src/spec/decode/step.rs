//! Decodes a step of a pipeline.

use super::{Reporter, find};
use crate::spec::model::{Step, StepKind};
use crate::spec::yaml::{kind_name, map_to_json};
use terrace_provider::names::closest;
use terrace_yaml::{Node, NodeKind};

/// Keys of a step: pipeline-spec.schema.json of dpp, and `flow`, `code` and `runner`, which its resolver reads.
const STEP_KEYS: [&str; 7] = ["run", "flow", "parameters", "cache", "code", "runner", "validate"];

/// Reads a step; returns nothing if it has an error.
pub(super) fn read(item: &Node, number: usize, reporter: &mut Reporter<'_>) -> Option<Step> {
    let Some(entries) = item.as_map() else {
        let message = format!("a step is {}: expected a map with `run` or `flow`", kind_name(item));
        let hint = item.as_text().map(|text| format!("did you mean `- run: {text}`?"));
        reporter.error("wrong_type", item.span, message, hint);
        return None;
    };
    let named = find(entries, "run").or_else(|| find(entries, "flow"));
    if let (Some((_, name)), Some(text)) = (&mut reporter.step, named.and_then(|entry| entry.value.as_text())) {
        text.clone_into(name);
    }
    reporter.check_keys(entries, &STEP_KEYS);
    let code = reporter.text(entries, "code");
    if let (Some(run), Some(flow)) = (find(entries, "run"), find(entries, "flow")) {
        let message = "a step has both `run` and `flow`: expected one of them".to_owned();
        let second = if run.key_span.start > flow.key_span.start { run } else { flow };
        reporter.error(
            "run_and_flow",
            second.key_span,
            message,
            Some("remove one of the two, or write two steps".to_owned()),
        );
        return None;
    }
    let Some(entry) = named else {
        let is_reported = entries.iter().any(|entry| closest(&entry.key, ["run", "flow"]).is_some());
        if !is_reported {
            let hint = match code {
                Some(_) => "give the code a name: `run: NAME`",
                None => "add `run: PROCESSOR`, or `flow: MODULE`",
            };
            let message = "a step needs `run` or `flow`".to_owned();
            reporter.error("missing_key", item.span, message, Some(hint.to_owned()));
        }
        return None;
    };
    let Some(name) = entry.value.as_text().filter(|name| !name.trim().is_empty()) else {
        reporter.wrong_type(&entry.key, "the name of a processor or module", &entry.value);
        return None;
    };
    let parameters = match find(entries, "parameters").map(|entry| &entry.value) {
        None => serde_json::Map::new(),
        Some(node) => match &node.kind {
            NodeKind::Map(entries) => map_to_json(entries),
            _ => {
                reporter.wrong_type("parameters", "a map", node);
                serde_json::Map::new()
            }
        },
    };
    let kind = match code {
        Some(code) => StepKind::Code(code),
        None if entry.key == "flow" => StepKind::Flow,
        None => StepKind::Processor,
    };
    Some(Step {
        number,
        name: name.to_owned(),
        at: item.span.into(),
        kind,
        parameters,
        is_cached: reporter.flag(entries, "cache"),
        is_validated: reporter.flag(entries, "validate"),
        runner: reporter.text(entries, "runner"),
        wrapper: None,
    })
}

//! The results of a validation: phases, their components and their problems.
//!
//! The platform publishes no description of this answer. Its fields are those that the vendor's own client reads, and
//! unknown ones are ignored: <https://github.com/agile-lab-dev/witboost-ai-toolkit>. `input` and `validatedDescriptor` repeat
//! parts of the descriptor, so terrace never shows them.

use super::client::shortened;
use serde_json::Value as Json;

/// The state of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Without errors.
    Passed,
    /// With problems that do not prevent a deployment.
    Warning,
    /// With errors.
    Failed,
}

impl State {
    /// The word for people and for JSON.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// The result of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phase {
    /// Its name, such as `COMPONENT_VALIDATION_PHASE`.
    pub(super) name: String,
    /// Its state.
    pub(super) state: State,
    /// The id of the component, if the result names one.
    pub(super) component: Option<String>,
    /// Its problems.
    pub(super) problems: Vec<Problem>,
}

/// A problem.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Problem {
    /// The message.
    pub(super) message: String,
    /// The field of the descriptor, such as `components[0].specific.tables`.
    pub(super) field: Option<String>,
    /// Lines and columns of the descriptor that was sent, both from 1.
    pub(super) positions: Vec<(usize, usize)>,
    /// Remedies.
    pub(super) solutions: Vec<String>,
}

/// Reads an answer: `{httpStatus, body: {results}}` or `{results}`.
///
/// # Errors
/// When its status is not a success, or it has no results; with the message of the answer, if it has one.
pub(super) fn read(answer: &Json) -> Result<Vec<Phase>, String> {
    let body = answer.get("body").unwrap_or(answer);
    let message = ["userMessage", "message", "error"].into_iter().find_map(|name| body.get(name)?.as_str());
    if let Some(status) = answer.get("httpStatus")
        && !status.as_u64().is_some_and(|status| (200..300).contains(&status))
    {
        let because = message.map(|text| format!(": {}", shortened(text))).unwrap_or_default();
        return Err(format!("its status is {}{because}", shortened(&status.to_string())));
    }
    let Some(results) = body.get("results").and_then(Json::as_array) else {
        return Err(message.map_or_else(|| "the answer has no results".to_owned(), shortened));
    };
    match results.as_slice() {
        [] => Err("Witboost validated nothing".to_owned()),
        results => Ok(results.iter().map(phase).collect()),
    }
}

fn phase(result: &Json) -> Phase {
    let text = |name: &str| result.get(name).and_then(Json::as_str);
    let errors = result.get("errors").filter(|errors| !errors.is_null());
    let mut problems = errors.map(problems).unwrap_or_default();
    let state = match text("status").unwrap_or_default().to_ascii_uppercase().as_str() {
        "PASSED" | "OK" | "SUCCESS" | "SKIPPED" => State::Passed,
        "COMPLETED" if problems.is_empty() => State::Passed,
        "WARNING" | "GRACE" => State::Warning,
        _ => State::Failed,
    };
    if state == State::Failed && problems.is_empty() {
        let message = "Witboost gives no reason".to_owned();
        problems.push(Problem { message, ..Problem::default() });
    }
    let named = ["componentId", "component", "componentIdToProvision"].into_iter().find_map(text);
    let component = named.map(str::to_owned).or_else(|| text("validatedDescriptor").and_then(provisioned_component));
    Phase { name: shortened(text("validationPhaseKind").unwrap_or("VALIDATION")), state, component, problems }
}

/// The component that a wrapped descriptor names.
fn provisioned_component(descriptor: &str) -> Option<String> {
    let line = descriptor.lines().find_map(|line| line.strip_prefix("componentIdToProvision:"))?;
    let id = line.trim().trim_matches(['"', '\'']);
    (!id.is_empty()).then(|| id.to_owned())
}

/// The problems in `errors`: a list, or an object with a list and common fields.
fn problems(errors: &Json) -> Vec<Problem> {
    if let Some(list) = errors.as_array() {
        return list.iter().filter_map(|error| problem(error, errors)).collect();
    }
    let list = errors.get("errors").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let found: Vec<Problem> = list.iter().filter_map(|error| problem(error, errors)).collect();
    if !found.is_empty() {
        return found;
    }
    let more = texts(errors, "problems");
    let found: Vec<Problem> = more.into_iter().filter_map(|text| problem(&Json::String(text), errors)).collect();
    if found.is_empty() { problem(errors, &Json::Null).into_iter().collect() } else { found }
}

/// A problem; `common` has the fields that it lacks.
fn problem(error: &Json, common: &Json) -> Option<Problem> {
    let text = |name: &str| error.get(name).and_then(Json::as_str).filter(|text| !text.trim().is_empty());
    let found = error.as_str().or_else(|| ["userMessage", "message", "error"].into_iter().find_map(text))?;
    let (message, positions) = split_positions(found);
    let field = [error, common].into_iter().find_map(|json| json.get("inputErrorField")?.as_str());
    let own = texts(error, "solutions");
    let solutions = if own.is_empty() { texts(common, "solutions") } else { own };
    let field = field.map(str::trim).filter(|field| !field.is_empty()).map(str::to_owned);
    (!message.is_empty()).then_some(Problem { message, field, positions, solutions })
}

/// The texts of a list, in the object or in its `moreInfo`.
fn texts(json: &Json, name: &str) -> Vec<String> {
    let list = json.get("moreInfo").and_then(|more| more.get(name)).or_else(|| json.get(name));
    let texts = list.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    texts.map(shortened).filter(|text| !text.is_empty()).collect()
}

/// Separates lines such as `descriptor:12:3`, which policies append, from a message.
fn split_positions(text: &str) -> (String, Vec<(usize, usize)>) {
    let position = |line: &str| {
        let (line, column) = line.trim().strip_prefix("descriptor:")?.split_once(':')?;
        Some((line.parse().ok()?, column.parse().ok()?))
    };
    let positions = text.lines().filter_map(position).collect();
    let rest: Vec<&str> = text.lines().filter(|line| position(line).is_none() && !line.trim().is_empty()).collect();
    (shortened(&rest.join(" ")), positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn one(result: Json) -> Phase {
        read(&json!({"httpStatus": 200, "body": {"results": [result]}})).unwrap().remove(0)
    }

    fn problem(message: &str) -> Problem {
        Problem { message: message.to_owned(), ..Problem::default() }
    }

    #[test]
    fn status_and_errors_decide_the_state_of_a_phase() {
        for (status, errors, state) in [
            ("PASSED", json!(null), State::Passed),
            ("ok", json!(null), State::Passed),
            ("COMPLETED", json!({"errors": []}), State::Passed),
            ("COMPLETED", json!({"errors": ["no"]}), State::Failed),
            ("WARNING", json!({"errors": ["no"]}), State::Warning),
            ("FAILED", json!(null), State::Failed),
            ("", json!(null), State::Failed),
            ("SOMETHING_NEW", json!(null), State::Failed),
        ] {
            let phase = one(json!({"validationPhaseKind": "X", "status": status, "errors": errors}));
            assert_eq!(phase.state, state, "{status} {errors}");
            assert_eq!(phase.problems.is_empty(), state == State::Passed, "{status} {errors}");
        }
    }

    #[test]
    fn errors_are_read_in_every_form() {
        let solved = |message: &str, field: &str| Problem {
            field: Some(field.to_owned()),
            solutions: vec!["do".to_owned()],
            ..problem(message)
        };
        for (errors, expected) in [
            (json!(["a", {"message": "b"}]), vec![problem("a"), problem("b")]),
            (json!({"errors": ["a", "b"]}), vec![problem("a"), problem("b")]),
            (json!({"userMessage": "a"}), vec![problem("a")]),
            (
                json!({"errors": ["a"], "inputErrorField": "x.y", "moreInfo": {"problems": ["z"], "solutions": ["do"]}}),
                vec![solved("a", "x.y")],
            ),
            (
                json!({"errors": [], "userMessage": "u", "inputErrorField": "x", "moreInfo": {"problems": ["a", "b"], "solutions": ["do"]}}),
                vec![solved("a", "x"), solved("b", "x")],
            ),
            (
                json!({"errors": [{"userMessage": "a", "inputErrorField": "y", "moreInfo": {"solutions": ["do"]}}]}),
                vec![solved("a", "y")],
            ),
            (
                json!({"errors": ["conflicting values\n    descriptor:12:3\n descriptor:40:1\n"]}),
                vec![Problem { positions: vec![(12, 3), (40, 1)], ..problem("conflicting values") }],
            ),
            (json!({"errors": [1, null, "", {}]}), vec![problem("Witboost gives no reason")]),
            (json!("text"), vec![problem("text")]),
        ] {
            let phase = one(json!({"validationPhaseKind": "X", "status": "FAILED", "errors": errors}));
            assert_eq!(phase.problems, expected, "{errors}");
        }
    }

    #[test]
    fn component_is_named_by_the_result_or_its_descriptor() {
        let id = "urn:dmb:cmp:a:b:0:c";
        for result in [
            json!({"componentId": id}),
            json!({"validatedDescriptor": format!("dataProduct: {{}}\ncomponentIdToProvision: \"{id}\"\n")}),
        ] {
            assert_eq!(one(result).component.as_deref(), Some(id));
        }
        assert_eq!(one(json!({"validatedDescriptor": "id: x"})).component, None);
    }

    #[test]
    fn answer_without_results_is_an_error() {
        for (answer, message) in [
            (json!({"body": {"message": "no"}}), "no"),
            (json!({"results": []}), "Witboost validated nothing"),
            (json!([]), "the answer has no results"),
            (json!(null), "the answer has no results"),
            (json!({"httpStatus": 500, "body": {"message": "no", "results": [{}]}}), "its status is 500: no"),
            (json!({"httpStatus": "x", "body": {"results": [{}]}}), "its status is \"x\""),
        ] {
            assert_eq!(read(&answer), Err(message.to_owned()), "{answer}");
        }
    }
}

//! Parses the error bodies of adapters (status 400 and 500) in all their formats.

use terrace_provider::Value;

/// Maximum length of a text.
const MAX_TEXT_CHARS: usize = 2000;

/// The problems and solutions of an error answer. Leaves out the input that some adapters repeat: it is the whole
/// descriptor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The main message.
    pub(crate) message: Option<String>,
    /// The single problems.
    pub(crate) problems: Vec<String>,
    /// Suggested solutions.
    pub(crate) solutions: Vec<String>,
}

impl Problem {
    /// Parses the body of an error.
    pub(crate) fn read(text: &str) -> Self {
        let Some(body) = Value::from_json_text(text.trim()).filter(|body| body.as_map().is_some()) else {
            let text = truncated(text.trim());
            // The HTML page of a proxy does not help users.
            let is_page = text.starts_with('<');
            return Self { message: (!is_page && !text.is_empty()).then_some(text), ..Self::default() };
        };
        let field = body.get("inputErrorField").and_then(Value::as_str).filter(|field| !field.is_empty());
        let messages = ["userMessage", "error", "message", "detail"].map(|name| body.get(name));
        // `error` is a string, or `{errors: […]}` in validations.
        let nested = body.get("error").and_then(|error| error.get("errors"));
        let more = body.get("moreInfo");
        let mut problems = texts(body.get("errors"));
        problems.extend(texts(nested));
        problems.extend(texts(more.and_then(|more| more.get("problems"))));
        let mut message =
            messages.into_iter().flatten().filter_map(Value::as_str).map(truncated).find(|text| !text.is_empty());
        if message.is_none() && !problems.is_empty() {
            message = Some(problems.remove(0));
        }
        if let (Some(message), Some(field)) = (&mut message, field) {
            message.push_str(&format!(" (at `{}`)", truncated(field)));
        }
        let mut seen: Vec<String> = message.iter().cloned().collect();
        problems.retain(|problem| {
            let is_new = !seen.contains(problem);
            seen.push(problem.clone());
            is_new
        });
        Self { message, problems, solutions: texts(more.and_then(|more| more.get("solutions"))) }
    }
}

/// Converts a string, a list of strings, or any other JSON into texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| match value.as_str() {
        Some(text) => truncated(text.trim()),
        None => truncated(&value.to_json_text()),
    };
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) => items.iter().map(text).filter(|text| !text.is_empty()).collect(),
        Some(one) => vec![text(one)],
    }
}

fn truncated(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, Vec<String>, Vec<String>) {
        let Problem { message, problems, solutions } = Problem::read(text);
        (message, problems, solutions)
    }

    #[test]
    fn all_error_formats_are_parsed() {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let whole = r#"{"errors": ["a", "b"], "userMessage": "it is wrong", "input": "hunter2", "inputErrorField": "x.y",
                        "moreInfo": {"problems": ["b", "c"], "solutions": ["do d"]}, "new": 1}"#;
        assert_eq!(parsed(whole), (Some("it is wrong (at `x.y`)".to_owned()), own(&["a", "b", "c"]), own(&["do d"])));
        assert_eq!(parsed(r#"{"errors": ["a", "b"]}"#), (Some("a".to_owned()), own(&["b"]), own(&[])));
        assert_eq!(parsed(r#"{"error": "broken"}"#), (Some("broken".to_owned()), own(&[]), own(&[])));
        let nested = r#"{"error": {"errors": [{"field": 1}]}}"#;
        assert_eq!(parsed(nested), (Some(r#"{"field":1}"#.to_owned()), own(&[]), own(&[])));
        assert_eq!(parsed("not supported"), (Some("not supported".to_owned()), own(&[]), own(&[])));
        assert_eq!(parsed("<html>gateway</html>"), (None, own(&[]), own(&[])));
        assert_eq!(parsed(""), (None, own(&[]), own(&[])));
    }
}

//! Parses error answers: problems of RFC 9457, distinguished by their titles, and messages of the Config API.
//! <https://reference.airbyte.com/reference/errors>

use serde_json::Value as Json;
use terrace_provider::http::{ParsedError, Reply, Vendor};
use terrace_provider::{ErrorKind, Path};

/// Airbyte in error messages.
pub(crate) const AIRBYTE: Vendor = Vendor {
    name: "Airbyte",
    parse_error,
    had_no_effect: |reply| title(&reply.json_or_null()) == "try-again-later",
    reach: "check `url` of the instance, and that this machine can connect to it",
    sign_in: "check `token`, `clientId` and `clientSecret`, or `username` and `password` of the instance",
};

fn title(problem: &Json) -> &str {
    problem.get("title").and_then(Json::as_str).unwrap_or_default()
}

/// Returns true if the answer reports a missing object. The API's description documents 400, servers return 404.
pub(crate) fn is_missing(reply: &Reply) -> bool {
    matches!(reply.status, 404 | 410) || title(&reply.json_or_null()) == "resource-not-found"
}

fn parse_error(reply: &Reply) -> ParsedError {
    let problem = reply.json_or_null();
    let at = |path: &str| problem.pointer(path).and_then(Json::as_str).filter(|text| !text.is_empty());
    let title = title(&problem);
    let resource = at("/data/resourceType");
    let detail = at("/data/message").or_else(|| at("/detail")).or_else(|| at("/message"));
    let message = match (detail, resource, at("/data/resourceId")) {
        (Some(detail), Some(kind), Some(id)) => Some(format!("{} ({kind} `{id}`)", detail.trim_end_matches('.'))),
        (detail, ..) => detail.map(str::to_owned),
    };
    let invalid = |path: Option<Path>| Some(ErrorKind::InvalidInput { path });
    let kind = match (title, resource) {
        ("resource-not-found", Some("workspace")) => invalid(Some(Path::attribute("workspaceId"))),
        ("resource-not-found", _) => Some(ErrorKind::NotFound),
        ("try-again-later", _) => Some(ErrorKind::Transient),
        ("state-conflict", _) => Some(ErrorKind::Failed),
        (title, _) if title.starts_with("cron-validation") => invalid(Some(Path::attribute("schedule").key("cron"))),
        _ => None,
    };
    let problems = problem.get("validationErrors").and_then(Json::as_array).into_iter().flatten();
    let problems = problems.filter_map(|it| {
        let text = |name: &str| it.get(name).and_then(Json::as_str);
        Some(format!("{}: {}", text("propertyPath")?, text("message")?))
    });
    let code = Some(title).filter(|title| !title.is_empty()).map(str::to_owned);
    ParsedError { code, message, kind, problems: problems.collect(), solutions: Vec::new() }
}

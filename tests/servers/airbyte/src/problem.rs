//! Airbyte's errors: RFC 9457, with the cases of its `api-problems.yaml`.

use serde_json::{Value as Json, json};

/// An error response.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) body: Json,
}

pub(crate) type Outcome<T> = Result<T, Problem>;

fn problem(status: u16, title: &str, detail: &str, data: Json) -> Problem {
    let kind = format!("https://reference.airbyte.com/reference/errors#{title}");
    Problem { status, body: json!({"status": status, "type": kind, "title": title, "detail": detail, "data": data}) }
}

pub(crate) fn bad_request(message: impl Into<String>) -> Problem {
    problem(400, "bad-request", "The body of the request contains invalid inputs", json!({"message": message.into()}))
}

pub(crate) fn not_found(kind: &str, id: &str) -> Problem {
    let data = json!({"resourceType": kind, "resourceId": id});
    problem(404, "resource-not-found", "The requested resource could not be found.", data)
}

pub(crate) fn unprocessable(message: impl Into<String>) -> Problem {
    let detail = "The body of the request was not understood.";
    problem(422, "unprocessable-entity", detail, json!({"message": message.into()}))
}

pub(crate) fn cron(title: &str, detail: &str, expression: &str) -> Problem {
    problem(400, &format!("cron-validation/{title}"), detail, json!({"cronExpression": expression}))
}

pub(crate) fn unauthorized() -> Problem {
    problem(401, "invalid-api-key", "The provided API key is invalid.", json!({"message": "the token is not known"}))
}

pub(crate) fn forbidden() -> Problem {
    let message = "User does not have the required workspace permissions: [WORKSPACE_EDITOR]";
    problem(403, "forbidden", "You don't have permission to access this resource.", json!({"message": message}))
}

pub(crate) fn too_many() -> Problem {
    problem(429, "too-many-requests", "Too many requests.", json!({}))
}

pub(crate) fn try_again() -> Problem {
    problem(409, "try-again-later", "The resource is busy; please try again later.", json!({}))
}

pub(crate) fn method_not_allowed() -> Problem {
    problem(405, "method-not-allowed", "There is no such call.", json!({}))
}

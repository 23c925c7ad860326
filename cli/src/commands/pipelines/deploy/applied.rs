//! Results of `terrace apply` for a deployment.

use crate::commands::run::DATA_LOSS;
use crate::failure::Exit;
use serde_json::Value;
use terrace_pipelines::deployment::deployer::ApplyRequest;
use terrace_pipelines::deployment::program::{Ended, Problem, ProblemKind};

/// The state key of the environment.
const STATE_KEY: &str = "TERRACE_STATE_KEY";
/// Values of a stack's variables.
const VARIABLES: &str = "TERRACE_VAR_";

/// True for a variable of terrace that an apply keeps. The others belong to the deploying process.
pub(super) fn is_kept(name: &str) -> bool {
    name == STATE_KEY || name.starts_with(VARIABLES)
}

/// The result of an apply, by its exit code.
///
/// # Errors
/// When the descriptor was not applied completely.
pub(super) fn result(
    request: &ApplyRequest<'_>,
    ended: &Ended,
    redacted: impl Fn(&str) -> String,
) -> Result<(), Problem> {
    let is = |exit: Exit| ended.status.code() == Some(i32::from(exit.code()));
    if is(Exit::Done) {
        return Ok(());
    }
    let name = request.descriptor;
    let why = redacted(&error_of(ended));
    let correct = || format!("correct it in {}", request.deployment.operations);
    let retry = "then deploy the commit again with `terrace pipelines deploy --retry COMMIT`";
    Err(if is(Exit::PartlyApplied) {
        Problem::of_commit(format!("{name} is applied in part: {why}")).hint(format!("{}, {retry}", correct()))
    } else if is(Exit::Refused) && why.starts_with(DATA_LOSS) {
        let folder = request.folder.display();
        let apply = format!("terrace --chdir {folder} --env {} apply {name}", request.environment);
        Problem::of_commit(format!("{name} is not applied: {why}"))
            .hint(format!("{}, or consent by `{apply} --allow-data-loss=ADDRESS`; {retry}", correct()))
    } else if is(Exit::Refused) {
        Problem::later(format!("{name} cannot be applied now: {why}"))
    } else if is(Exit::Interrupted) {
        Problem::later(format!("the apply of {name} was stopped"))
    } else if ended.status.code().is_none() {
        // The cause may be the commit, such as a step that needs too much memory.
        Problem::later(format!("the apply of {name} was killed ({})", ended.status)).with_kind(ProblemKind::Limited)
    } else {
        Problem::later(format!("{name} cannot be applied: {why}")).with_kind(ProblemKind::Limited).hint(correct())
    })
}

/// The errors of the lines of `terrace apply --json`, or else the last line of the log.
fn error_of(ended: &Ended) -> String {
    let text = String::from_utf8_lossy(&ended.stdout);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let error = |line: Value| {
        let diagnostic = line.get("diagnostic")?;
        let field = |name: &str| diagnostic.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let summary = field("summary").filter(|_| field("severity") == Some("error"))?;
        let details = field("detail").into_iter().flat_map(str::lines).map(str::trim);
        let text =
            std::iter::once(summary).chain(details.filter(|line| !line.is_empty())).collect::<Vec<_>>().join("; ");
        Some(field("address").map_or_else(|| text.clone(), |address| format!("{address}: {text}")))
    };
    let errors: Vec<String> = lines.filter_map(error).collect();
    match errors.is_empty() {
        true => super::last_line(&String::from_utf8_lossy(&ended.stderr)).to_owned(),
        false => errors.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::ExitStatus;
    use terrace_pipelines::deployment::location::Location;
    use terrace_pipelines::deployment::{Author, Deployment};

    fn location(name: &str) -> Location {
        Location::parse(&format!("file:///srv/{name}.git")).unwrap()
    }

    /// The problem of an apply with these lines, whose status has the form of `wait`.
    fn problem(status: i32, lines: &[Value], log: &str) -> Problem {
        let deployment = Deployment {
            app: location("app"),
            operations: location("operations"),
            image: None,
            timeout: None,
            retries: None,
            author: Author::default(),
            actions: Vec::new(),
        };
        let request = ApplyRequest {
            deployment: &deployment,
            environment: "staging",
            descriptor: "stack.yaml",
            folder: Path::new("/copy"),
        };
        let stdout = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        let ended = Ended { status: ExitStatus::from_raw(status), stdout, stderr: log.as_bytes().to_vec() };
        result(&request, &ended, |text| text.replace("hush", "(redacted)")).unwrap_err()
    }

    fn error(summary: &str) -> Value {
        json!({"type": "diagnostic", "diagnostic": {"severity": "error", "summary": summary, "detail": ""}})
    }

    #[test]
    fn exit_codes_have_their_effect_on_the_deployment() {
        let exit = |code: i32| code << 8;
        for (status, lines, kind, message) in [
            (exit(1), vec![error("no domain")], ProblemKind::Limited, "stack.yaml cannot be applied: no domain"),
            (exit(3), vec![error("disk full")], ProblemKind::Commit, "stack.yaml is applied in part: disk full"),
            (exit(4), vec![error("a lease is held")], ProblemKind::Later, "cannot be applied now: a lease is held"),
            (
                exit(4),
                vec![error("data would be lost\n  a")],
                ProblemKind::Commit,
                "is not applied: data would be lost",
            ),
            (exit(130), vec![], ProblemKind::Later, "was stopped"),
            (9, vec![], ProblemKind::Limited, "was killed"),
        ] {
            let found = problem(status, &lines, "");
            assert_eq!(found.kind, kind, "{found:?}");
            assert!(found.message.contains(message), "{found:?}");
        }
    }

    #[test]
    fn reasons_have_addresses_and_details_and_no_token() {
        let warning = json!({"diagnostic": {"severity": "warning", "summary": "old"}});
        let failed = json!({"diagnostic": {"severity": "error", "summary": "it failed", "detail": "line 1\nhush\n", "address": "a.b"}});
        let found = problem(3 << 8, &[warning, failed, error("another")], "");
        assert_eq!(found.message, "stack.yaml is applied in part: a.b: it failed; line 1; (redacted)\nanother");
        assert!(problem(1 << 8, &[], "begin\nthe last line\n").message.ends_with(": the last line"));
        assert!(
            problem(4 << 8, &[error(DATA_LOSS)], "").hints[0]
                .contains("terrace --chdir /copy --env staging apply stack.yaml")
        );
    }
}

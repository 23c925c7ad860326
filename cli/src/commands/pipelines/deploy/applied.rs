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
    } else if is(Exit::Interrupted) || ended.status.code().is_none() {
        Problem::later(format!("the apply of {name} was stopped"))
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

//! The process that plans an untrusted request: no variables, no state, no keys, no network, no written file.
//!
//! It runs in the folder with the files of the request. Its argument is the folder with the files of the target branch, which
//! has the configuration and the blueprints. Both trees are planned against an empty state, and compared.

use super::scope::{environments, unread_values};
use super::units::{self, Unit};
use crate::args::{Global, PrPreviewArguments};
use crate::configuration::FILE_NAME;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::{Copied, compile_untrusted};
use crate::variables::Variables;
use crate::wiring::blueprint_folders;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use terrace_engine::plan::Plan;
use terrace_engine::render::comparison::{Comparison, Status};
use terrace_engine::render::markdown::code;

/// Most links in a message.
pub(super) const SHOWN_LINKS: usize = 10;
/// The limit of processor time, in seconds.
const PROCESSOR_TIME: u64 = 240;
/// The limit of memory, in bytes.
const MEMORY: u64 = 8 << 30;
/// The size limit of the request, in bytes.
const LARGEST_REQUEST: u64 = 64 << 20;
/// Most changes of a stack in a comment.
const MOST_ROWS: usize = 200;
/// The longest name in a table, in characters.
const WIDEST: usize = 120;

/// The request of a preview.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The folders with products.
    pub(super) folders: Vec<PathBuf>,
    /// The environment; `None` for all.
    pub(super) environment: Option<String>,
    /// The changed files.
    pub(super) changed: BTreeSet<String>,
    /// The root of the checkout, for other repositories of data products.
    pub(super) checkout: PathBuf,
}

/// The result of a preview.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Previewed {
    /// The changes of each stack in Markdown, by its name.
    pub(super) plans: Vec<(String, String)>,
    /// Messages as plain text.
    pub(super) messages: Vec<String>,
    /// The number of messages that are errors.
    pub(super) errors: usize,
    /// The changed configurations and blueprints, which have no effect here.
    pub(super) unused: Vec<String>,
}

/// Plans the request of standard input, and prints the result as JSON.
///
/// # Errors
/// When the request cannot be read.
pub(super) async fn run(context: &Context<'_>, arguments: &PrPreviewArguments) -> Result<Exit, Failure> {
    limit();
    let mut text = Vec::new();
    let read = std::io::stdin().lock().take(LARGEST_REQUEST).read_to_end(&mut text);
    let request: Option<Request> = read.ok().and_then(|_| serde_json::from_slice(&text).ok());
    let request = request.ok_or_else(|| Failure::new("standard input has no request for a preview"))?;
    let variables = Variables::isolated();
    let context = Context { variables: &variables, ..*context };
    let result = preview(&context, &request, &arguments.base).await;
    let json = serde_json::to_string(&result).map_err(|error| Failure::new(error.to_string()))?;
    context.ui.print_raw(&json).map(|()| Exit::Done)
}

/// Limits this process. A limit that the system refuses is not essential: the variables are gone already.
fn limit() {
    for (resource, most) in
        [(Resource::Fsize, 0), (Resource::Core, 0), (Resource::Cpu, PROCESSOR_TIME), (Resource::As, MEMORY)]
    {
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
}

async fn preview(context: &Context<'_>, request: &Request, base: &Path) -> Previewed {
    let mut result = Previewed::default();
    let global = Global { env: request.environment.clone(), ..context.global.clone() };
    let all = Context { global: &global, ..*context };
    let environments = match environments(&all, &[]) {
        Ok(environments) => environments,
        Err(failure) => {
            result.messages = super::planned::messages(context.ui, &failure);
            result.errors = 1;
            return result;
        }
    };
    // The configuration of the request has no effect here, and neither have its blueprints.
    let is_configuration = |path: &str| Path::new(path).file_name().is_some_and(|name| name == FILE_NAME);
    let folders: Vec<PathBuf> = all.settings(None).map(|it| blueprint_folders(&it).collect()).unwrap_or_default();
    let is_blueprint = |path: &str| folders.iter().any(|folder| base.join(path).starts_with(folder));
    let is_unused = |path: &&String| is_configuration(path) || is_blueprint(path);
    result.messages.extend(unread_values(&all, &request.folders, &request.changed).unwrap_or_default());
    result.unused = request.changed.iter().filter(is_unused).cloned().collect();
    let changed: BTreeSet<String> = request.changed.iter().filter(|path| !is_configuration(path)).cloned().collect();
    let head_files = Copied { from: base, files: Path::new("."), checkout: &request.checkout };
    let base_files = Copied { files: base, ..head_files };
    for environment in &environments {
        let found = super::planned::in_environment(context, environment, async |context| {
            let head = units::find(context, Path::new(""), &request.folders, Some(head_files))?;
            let before = units::find(context, base, &request.folders, Some(base_files))?;
            Ok((head, before))
        });
        let (head, before) = match found.await {
            Ok(found) => found,
            Err(messages) => {
                result.messages.push(format!("the products of {environment} cannot be read: {}", messages.join("; ")));
                result.errors += 1;
                continue;
            }
        };
        // A stack may name an environment that the configuration does not have.
        let is_unknown =
            |unit: &Unit| request.environment.is_none() && !environments.iter().any(|name| unit.is_in(name));
        let is_here = |unit: &Unit| unit.is_in(environment) || is_unknown(unit);
        let is_touched = |unit: &Unit| is_here(unit) && unit.is_touched_by(&changed, environment);
        let touched: BTreeSet<&String> =
            head.iter().chain(&before).filter(|unit| is_touched(unit)).map(|unit| &unit.stack).collect();
        for stack in touched {
            let of = |units: &[Unit]| units.iter().find(|unit| unit.stack == *stack).cloned();
            let (head, before) = (of(&head), of(&before));
            if head.iter().chain(&before).any(|unit| unit.is_of_specs()) {
                result.messages.push(format!("{stack} has pipeline specs, which are not checked"));
                continue;
            }
            let name = format!("{stack}@{environment}");
            if head.is_none() {
                let destroy = super::planned::destroy(&name);
                let text = format!("The request removes its files. Its objects stay until {destroy} removes them.\n");
                result.plans.push((name, text));
                continue;
            }
            match compared(context, environment, (head.as_ref(), head_files), (before.as_ref(), base_files)).await {
                Ok(text) => result.plans.push((name, text)),
                Err(messages) => {
                    result.messages.push(format!("{name}: {}", messages.join("; ")));
                    result.errors += 1;
                }
            }
        }
    }
    result
}

/// The folder of files without `.`: messages name the paths of the repository.
fn clean(folder: &Path) -> &Path {
    if folder == Path::new(".") { Path::new("") } else { folder }
}

/// The changes between two versions of a product, in Markdown.
async fn compared(
    context: &Context<'_>,
    environment: &str,
    (head, head_files): (Option<&Unit>, Copied<'_>),
    (before, base_files): (Option<&Unit>, Copied<'_>),
) -> Result<String, Vec<String>> {
    let plan = async |unit: Option<&Unit>, copied: Copied<'_>| -> Result<Option<Plan>, Vec<String>> {
        let Some(unit) = unit else { return Ok(None) };
        let paths: Vec<PathBuf> = unit.paths.iter().map(|path| clean(copied.files).join(path)).collect();
        super::planned::in_environment(context, environment, async |context| {
            let project = compile_untrusted(context, &paths, copied)?;
            Ok(Some(project.plan_empty(&super::planned::planning()).await?.plan))
        })
        .await
    };
    let Some(head) = plan(head, head_files).await? else { return Ok("No change of a resource.\n".to_owned()) };
    let errors = super::planned::errors_of(&head.notes);
    if head.is_errored && !errors.is_empty() {
        return Err(errors);
    }
    // A base that cannot be planned is compared as if it had nothing.
    let before = plan(before, base_files).await.ok().flatten();
    let comparison = Comparison::new("", "", before.as_ref(), &head);
    let changes: Vec<_> = comparison.changes.iter().filter(|change| change.status != Status::Pending).collect();
    if changes.is_empty() {
        return Ok("No change of a resource.\n".to_owned());
    }
    let mut text = "| component | resource | |\n|---|---|---|\n".to_owned();
    for change in changes.iter().take(MOST_ROWS) {
        let component = if change.component.is_stack() { change.stack.clone() } else { change.component.to_string() };
        text.push_str(&format!(
            "| {} | {} | {} |\n",
            code(&component, WIDEST),
            code(&change.address, WIDEST),
            change.status.word()
        ));
    }
    if changes.len() > MOST_ROWS {
        text.push_str(&format!("\n… and {} more changes\n", changes.len() - MOST_ROWS));
    }
    Ok(text)
}

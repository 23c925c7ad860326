//! The preview of an untrusted request.
//!
//! terrace reads the files of both commits from Git as data, into a temporary folder without links, and plans them in a
//! separate process: without environment variables, without a token, with limits on time and memory, and unable to write a
//! file. The configuration, the blueprints and the policies are those of the target branch.

use super::commits::Checkout;
use super::page::{self, Facts, Page};
use super::preview::{Previewed, Request, SHOWN_LINKS};
use super::publish::inert;
use super::scope;
use crate::args::PrPlanArguments;
use crate::configuration::FILE_NAME;
use crate::context::Context;
use crate::failure::Failure;
use crate::planning::Copied;
use crate::planning::tree::difference;
use crate::settings::chosen_environment;
use crate::wiring::{forbid_dumps, guard_program};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use terrace_forge::record::Writer;
use terrace_forge::{Job, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The time limit of a preview.
const LONGEST: Duration = Duration::from_secs(300);
/// The size limit of its result, in bytes.
const LARGEST: u64 = 64 << 20;

/// The comment of an untrusted request.
///
/// # Errors
/// When the clone lacks a commit, or the preview cannot be started. A failed preview is part of the comment.
pub(super) async fn page(
    context: &Context<'_>,
    arguments: &PrPlanArguments,
    checkout: &Checkout,
    (head, base): (&str, Option<&str>),
    (job, number, reason): (&Job, u64, &str),
) -> Result<Page, Failure> {
    forbid_dumps();
    let base = base.ok_or_else(|| Failure::new("the job does not name the commit of the target branch"))?;
    let (base, head_commit) = (checkout.commit(base)?, checkout.commit(head)?);
    // The merge result, if it is checked out: it has the newest files of the target branch, too.
    let checked_out = checkout.commit("HEAD")?;
    let tip = match checkout.parents(&checked_out)?.get(1) == Some(&head_commit) {
        true => checked_out,
        false => head_commit.clone(),
    };
    let begin = checkout.merge_base(&base, &head_commit)?;
    let folders = scope::folders(checkout, &arguments.scope.paths, &[&base, &tip])?;
    let folder =
        tempfile::tempdir().map_err(|error| Failure::new(format!("no temporary folder can be made: {error}")))?;
    let (base_folder, head_folder) = (folder.path().join("base"), folder.path().join("head"));
    for folder in [&base_folder, &head_folder] {
        std::fs::create_dir(folder).map_err(|error| Failure::new(format!("a folder cannot be made: {error}")))?;
    }
    checkout.write(&checkout.entries(&base)?, &base_folder)?;
    let configuration = base_folder.join(FILE_NAME);
    if !configuration.exists() {
        std::fs::write(&configuration, "")
            .map_err(|error| Failure::new(format!("a file cannot be written: {error}")))?;
    }
    let mut notes: Vec<String> = Vec::new();
    let previewed = match written(checkout, (&begin, &head_commit, &tip), &head_folder) {
        Ok((changed, left_out)) => {
            let links: Vec<&str> = left_out.iter().filter(|path| changed.contains(*path)).map(String::as_str).collect();
            if !links.is_empty() {
                let names = links.iter().take(SHOWN_LINKS).copied().collect::<Vec<_>>().join(", ");
                notes.push(format!(
                    "not read, because they are links, submodules, too large or not named in UTF-8: {names}"
                ));
            }
            let environment = chosen_environment(context.global, context.variables);
            let request = Request { folders, environment, changed, checkout: scope::here() };
            preview(&request, &base_folder, &head_folder).await
        }
        // The request has too much of something: reviewers must see this.
        Err(failure) => Err(failure.message.unwrap_or_default()),
    };
    let mut previewed =
        previewed.unwrap_or_else(|why| Previewed { messages: vec![why], errors: 1, ..Previewed::default() });
    let copied = Copied { from: &base_folder, files: &head_folder, checkout: Path::new(".") };
    let texts = previewed.plans.iter_mut().map(|(_, text)| text).chain(&mut previewed.messages);
    texts.for_each(|text| *text = copied.readable(text));
    for (stack, _) in &previewed.plans {
        context.ui.print(&format!("{}\n", inert(&format!("preview {stack}: no errors"))))?;
    }
    for message in previewed.messages.iter().chain(&notes) {
        context.ui.print(&format!("preview: {}\n", inert(&page::quoted(message))))?;
    }
    if !previewed.unused.is_empty() {
        let unused = format!("preview: changed, but not used: {}", previewed.unused.join(", "));
        context.ui.print(&format!("{}\n", inert(&unused)))?;
    }
    let facts = Facts {
        vendor: job.vendor,
        writer: Writer { repository: &job.repository, name: &arguments.scope.name },
        request: number,
        commit: head,
        removed: &BTreeMap::new(),
        failures: &[],
        notes: &notes,
        folder: arguments.out.display().to_string(),
    };
    let text = page::untrusted(&facts, reason, &previewed);
    let result = match previewed.errors {
        0 => "preview without state and secrets".to_owned(),
        1 => "preview with 1 error".to_owned(),
        count => format!("preview with {count} errors"),
    };
    Ok(Page { text, verdict: Verdict::Waiting, title: format!("an untrusted request: {result}") })
}

/// Writes the files of the request, and returns its changed paths and the paths that are left out.
///
/// Whole trees are listed and compared here. `git diff-tree` would keep all differences in memory, and a small repository can
/// have endlessly many.
fn written(
    checkout: &Checkout,
    (begin, head, tip): (&str, &str, &str),
    folder: &Path,
) -> Result<(BTreeSet<String>, Vec<String>), Failure> {
    let files = checkout.entries(head)?;
    let changed = difference(&checkout.entries(begin)?, &files);
    let left_out = match tip == head {
        true => checkout.write(&files, folder)?,
        false => checkout.write(&checkout.entries(tip)?, folder)?,
    };
    Ok((changed, left_out))
}

/// Runs the preview in its own process.
async fn preview(request: &Request, base: &Path, head: &Path) -> Result<Previewed, String> {
    let program = guard_program().map(|guard| guard.program).ok_or("the path of this program is unknown")?;
    let mut command = tokio::process::Command::new(program);
    command.env_clear().current_dir(head).kill_on_drop(true);
    command.args(["--quiet", "--input=false", "--color=never", "--state", "sqlite:state.db", "--config"]);
    command.arg(base.join(FILE_NAME)).args(["pr", "preview"]).arg(base);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let failed = |error: std::io::Error| format!("the preview cannot be run: {error}");
    let mut child = command.spawn().map_err(failed)?;
    let input = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let work = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A preview that ends early has no result.
                let _ = stdin.write_all(&input).await;
            }
        };
        let read = async {
            let mut result = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(LARGEST).read_to_end(&mut result).await.map_err(failed)?;
            }
            Ok::<_, String>(result)
        };
        let ((), result) = tokio::join!(write, read);
        let status = child.wait().await.map_err(failed)?;
        Ok::<_, String>((result?, status))
    };
    let (result, status) = tokio::time::timeout(LONGEST, work)
        .await
        .map_err(|_| format!("the preview took longer than {} seconds", LONGEST.as_secs()))??;
    serde_json::from_slice(&result)
        .map_err(|_| format!("the preview ended without a result ({status}): it exceeded a limit"))
}

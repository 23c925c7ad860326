//! `terrace plan`: shows the changes of an apply, and may save the plan.

use super::run::consent_options;
use crate::args::{Global, PlanArguments, PlanFormat, PlanningArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::{Base, Removal, command, compile_base, compile_sound};
use crate::presentation;
use crate::report::{report, with_failure};
use crate::version::VERSION;
use crate::wiring::{EnvironmentContext, store};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::{Note, Plan, file};
use terrace_engine::render::comparison::Comparison;
use terrace_engine::render::json::{self, errored};
use terrace_engine::render::markdown::Markdown;
use terrace_engine::render::stream;
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::text::shell_word;
use terrace_provider::Severity;
use terrace_state::Access;

/// A plan with its inputs.
struct Planned {
    computed: Computed,
    sources: Sources,
    env_context: EnvironmentContext,
    /// The command that computes the plan again.
    command: String,
    /// The comparison with the plan of a commit.
    comparison: Option<Comparison>,
}

/// Plans, shows the plan and saves it.
///
/// # Errors
/// When the plan cannot be computed. A plan with errors is shown, and the command fails.
pub(super) async fn run(context: &Context<'_>, arguments: &PlanArguments) -> Result<Exit, Failure> {
    if arguments.all_environments {
        return run_all(context, arguments).await;
    }
    let (exit, document) = run_one(context, arguments, arguments.max_chars as usize).await;
    if let Some(document) = document {
        context.ui.print_json(&document)?;
    }
    if let (Err(_), Some(path)) = (&exit, &arguments.out) {
        warn_of_older_plan(context, path);
    }
    exit
}

/// Plans for each environment of the configuration. A failure in an environment does not stop the plans of the others.
async fn run_all(context: &Context<'_>, arguments: &PlanArguments) -> Result<Exit, Failure> {
    if let Some(name) = &context.global.env {
        return Err(Failure::new(format!("`--all-environments` and `--env {name}` exclude each other"))
            .hint("leave one of the two out"));
    }
    let settings = context.settings(arguments.files.first().map(Path::new))?;
    if !settings.configuration.has_environments() {
        return Err(Failure::new("`--all-environments`: terrace.yaml has no environments")
            .hint("add `environments:` to terrace.yaml, or plan one environment with `--env`"));
    }
    let environments: Vec<String> =
        settings.configuration.environment_names().into_iter().map(ToOwned::to_owned).collect();
    // All plans are one comment.
    let max_chars = (arguments.max_chars as usize / environments.len().max(1)).max(Markdown::LEAST_CHARS);
    let (mut result, mut documents) = (Ok(Exit::Done), Vec::new());
    for name in &environments {
        let global = Global { env: Some(name.clone()), ..context.global.clone() };
        let ui = context.ui.separate();
        let context = Context { global: &global, ui: &ui, ..*context };
        if matches!(format(arguments), PlanFormat::Human | PlanFormat::Markdown) {
            let mark = if format(arguments) == PlanFormat::Markdown { "## " } else { "" };
            ui.print(&format!("{mark}Environment {name}\n\n"))?;
        } else if format(arguments) == PlanFormat::JsonStream {
            ui.print(&format!("{}\n", stream::environment(name, Timestamp::now())))?;
        }
        let (exit, document) = run_one(&context, arguments, max_chars).await;
        documents.extend(document.map(|document| json!({"environment": name, "plan": document})));
        match exit {
            Ok(Exit::Done) => {}
            Ok(exit) => result = result.map(|_| exit),
            Err(failure) => {
                ui.fail(&failure);
                result = Err(Failure::reported(failure.exit));
            }
        }
        if matches!(format(arguments), PlanFormat::Human | PlanFormat::Markdown) {
            ui.print("\n")?;
        }
    }
    if format(arguments) == PlanFormat::Json {
        context.ui.print_json(&json!({ "environments": documents }))?;
    }
    result
}

/// Plans for one environment, and shows the plan. Returns the document of `--json` instead of printing it.
async fn run_one(
    context: &Context<'_>,
    arguments: &PlanArguments,
    max_chars: usize,
) -> (Result<Exit, Failure>, Option<Json>) {
    match planned(context, arguments).await {
        Ok(planned) => {
            let mut document = None;
            let exit = show(context, arguments, &planned, max_chars, &mut document);
            leak(planned.computed);
            (exit, document)
        }
        Err(failure) => {
            let is_json = format(arguments) == PlanFormat::Json;
            let document = is_json.then(|| errored(VERSION, with_failure(context.ui, &failure)));
            (Err(failure), document)
        }
    }
}

/// Warns after a failed plan that the file still holds an older plan.
fn warn_of_older_plan(context: &Context<'_>, path: &Path) {
    if path.is_file() && check_is_free(path).is_ok() {
        let shown = path.display();
        context.ui.print_message(&format!("`{shown}` was not written: it still holds an older plan"));
    }
}

/// Keeps the memory of a plan until the process ends: freeing 10,000 resources takes a tenth of the planning time.
fn leak<T>(large: T) {
    std::mem::forget(large);
}

fn format(arguments: &PlanArguments) -> PlanFormat {
    if arguments.json { PlanFormat::Json } else { arguments.format }
}

async fn planned(context: &Context<'_>, arguments: &PlanArguments) -> Result<Planned, Failure> {
    if let Some(path) = &arguments.out {
        check_is_free(path)?;
    }
    let (planning, files) = (&arguments.planning, &arguments.files);
    if arguments.destroy {
        let removal = Removal::read(context, files, &planning.choice, planning.plaintext_secrets).await?;
        let store = store(&removal.settings, Access::ReadOnly).await?;
        let computed = removal.plan(store.as_ref(), planning).await?;
        let command = command(context.global, &removal.settings, arguments, &BTreeSet::new());
        let (sources, env_context) = (removal.sources, removal.env_context);
        return Ok(Planned { computed, sources, env_context, command, comparison: None });
    }
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let base = arguments.against.as_ref().map(|reference| Base::read(&files, reference)).transpose()?;
    let project = compile_sound(context, &files, &planning.choice, planning.plaintext_secrets).await?;
    let store = store(&project.settings, Access::ReadOnly).await?;
    let computed = project.plan(store.as_ref(), planning).await?;
    let command = command(context.global, &project.settings, arguments, &project.open_variables());
    let comparison = match &base {
        Some(base) => compare(context, planning, (&files, base), &computed.plan).await,
        None => None,
    };
    leak(project.stacks);
    Ok(Planned { computed, sources: project.sources, env_context: project.env_context, command, comparison })
}

/// Compares a plan with that of a commit. `None`, with a message, if the commit cannot be planned: a branch may repair it.
async fn compare(
    context: &Context<'_>,
    planning: &PlanningArguments,
    (files, base): (&[PathBuf], &Base),
    plan: &Plan,
) -> Option<Comparison> {
    let ui = context.ui.silent();
    let silent = Context { ui: &ui, ..*context };
    let computed = match plan_base(&silent, planning, files, base).await {
        Ok(computed) if computed.as_ref().is_none_or(|computed| !computed.plan.is_errored) => computed,
        failed => {
            let failure = failed.err().and_then(|failure| failure.message);
            let remembered = ui.remembered().into_iter().find(|note| note.severity == Severity::Error);
            let with_place = |note: Note| match &note.place {
                Some(place) => format!("{}: {}", base.readable(&place.to_string()), note.message),
                None => note.message,
            };
            let reason = failure.or_else(|| remembered.map(with_place)).unwrap_or_default();
            context.ui.print_message(&format!(
                "warning: the plan is not compared with `{}`, which cannot be planned: {reason}",
                base.reference
            ));
            return None;
        }
    };
    let base_plan = computed.as_ref().map(|computed| &computed.plan);
    Some(Comparison::new(&base.reference, &base.commit, base_plan, plan))
}

async fn plan_base(
    context: &Context<'_>,
    planning: &PlanningArguments,
    files: &[PathBuf],
    base: &Base,
) -> Result<Option<Computed>, Failure> {
    let project = compile_base(context, files, &planning.choice, planning.plaintext_secrets, base).await?;
    let Some(project) = project else { return Ok(None) };
    let store = store(&project.settings, Access::ReadOnly).await?;
    project.plan(store.as_ref(), planning).await.map(Some)
}

/// Shows a plan. The document of `--json` is returned in `document`.
fn show(
    context: &Context<'_>,
    arguments: &PlanArguments,
    planned: &Planned,
    max_chars: usize,
    document: &mut Option<Json>,
) -> Result<Exit, Failure> {
    let plan = &planned.computed.plan;
    let seal = &planned.env_context.engine.seal;
    let comparison = planned.comparison.as_ref();
    let table = comparison.map(|comparison| format!("\n{}", comparison.markdown())).unwrap_or_default();
    let max_chars = max_chars.saturating_sub(table.chars().count()).max(Markdown::LEAST_CHARS);
    let view = presentation::PlanView {
        format: format(arguments),
        detail: arguments.detail,
        max_chars,
        command: planned.command.clone(),
    };
    match (format(arguments), comparison) {
        (PlanFormat::Json, _) => {
            let mut plan = json::plan(plan, &file::digest(plan, seal)?);
            if let (Some(facts), Some(comparison)) = (plan.get_mut("terrace").and_then(Json::as_object_mut), comparison)
            {
                facts.insert("against".to_owned(), comparison.json());
            }
            *document = Some(plan);
        }
        (form, comparison) => {
            presentation::print_plan(context.ui, plan, &view, seal)?;
            match (form, comparison) {
                (PlanFormat::Human, Some(comparison)) => {
                    context.ui.print(&format!("\n{}", comparison.human(context.ui.result_width())))?
                }
                (PlanFormat::Markdown, Some(_)) => context.ui.print(&table)?,
                _ => {}
            }
        }
    }
    report(context.ui, &planned.sources, &planned.computed.diagnostics);
    if plan.is_errored {
        return Err(Failure::reported(Exit::Error));
    }
    if let Some(path) = &arguments.out {
        save(plan, path, &planned.env_context)?;
        context.ui.print_note(&saved(plan, path, &planned.env_context.engine.seal)?);
        context.ui.print_note(&digest(plan, &planned.env_context.engine.seal)?);
    }
    let has_changes = plan.has_changes();
    Ok(if arguments.detailed_exitcode && has_changes { Exit::Changes } else { Exit::Done })
}

/// A plan may only overwrite an older plan: `--out` could name the descriptor by mistake.
pub(super) fn check_is_free(path: &Path) -> Result<(), Failure> {
    check_is_like(path, file::BEGINNING, ("saved plan", "a plan"))
}

/// As [`check_is_free`], for files with another beginning.
pub(super) fn check_is_like(path: &Path, beginning: &str, (what, one): (&str, &str)) -> Result<(), Failure> {
    use std::io::Read;
    let shown = path.display();
    let is_like = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return check_folder(path),
        // Opening a pipe would block.
        Ok(there) if there.is_file() => std::fs::File::open(path).is_ok_and(|file| {
            let mut found = String::new();
            let read = file.take(beginning.len() as u64).read_to_string(&mut found);
            read.is_ok() && found == beginning
        }),
        _ => false,
    };
    if is_like {
        return Ok(());
    }
    Err(Failure::new(format!("`--out {shown}`: `{shown}` exists and is no {what}"))
        .hint(format!("name a new file, or {one} to replace")))
}

fn check_folder(path: &Path) -> Result<(), Failure> {
    let folder = folder_of(path);
    if folder.is_dir() {
        return Ok(());
    }
    let (file, folder) = (path.display(), folder.display());
    Err(Failure::new(format!("`--out {file}`: there is no folder `{folder}`")).hint("create the folder first"))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes a plan file. It may hold confidential data, so only its owner can read it.
pub(super) fn save(plan: &Plan, path: &Path, env_context: &EnvironmentContext) -> Result<(), Failure> {
    let text = file::write(plan, &env_context.engine.seal)?;
    // Another process may have written the file during planning.
    check_is_free(path)?;
    write_private(path, &text)
        .map_err(|error| Failure::new(format!("the plan cannot be saved as `{}`: {error}", path.display())))
}

/// The note about a saved plan: the command that applies it, or why terrace would refuse it. Without a state key, the
/// command has the digest.
///
/// # Errors
/// When the digest cannot be computed.
pub(super) fn saved(plan: &Plan, path: &Path, seal: &Seal) -> Result<String, Failure> {
    let file = shell_word(&path.display().to_string());
    Ok(match consent_options(plan) {
        None if seal.has_key() => format!("saved the plan: `terrace apply {file}` applies exactly this plan"),
        None => format!(
            "saved the plan: `terrace apply {file} --plan-digest {}` applies exactly this plan",
            file::digest(plan, seal)?
        ),
        Some(options) => format!(
            "saved the plan: `terrace apply {file}` refuses it, because data would be lost; to consent, plan again with \
             `{options}`, or everywhere with `--allow-data-loss`"
        ),
    })
}

/// The line with a plan's digest.
pub(super) fn digest(plan: &Plan, seal: &Seal) -> Result<String, Failure> {
    Ok(format!("Plan digest `{}`, for `terrace apply --plan-digest`", file::digest(plan, seal)?))
}

/// Replaces a file atomically by a file that only its owner can read. A link stays and leads to the new file.
pub(super) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let write = || {
        let path = if path.is_symlink() { Cow::Owned(path.canonicalize()?) } else { Cow::Borrowed(path) };
        let mut temporary = tempfile::NamedTempFile::new_in(folder_of(&path))?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(&path).map(drop).map_err(|error| error.error)
    };
    write().map_err(without_path)
}

/// The error without the temporary path, which means nothing to the user.
fn without_path(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        ErrorKind::NotFound => std::io::Error::new(ErrorKind::NotFound, "there is no such folder"),
        kind if error.get_ref().is_some() => kind.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_overwrites_only_plans() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(check_is_free(&path), Ok(()));
        std::fs::write(&path, format!("{}1}}", file::BEGINNING)).unwrap();
        assert_eq!(check_is_free(&path), Ok(()));
        for text in [&b"kind: Stack\n"[..], b"", b"\xff\xfe", b"{\"terrace"] {
            std::fs::write(&path, text).unwrap();
            let failure = check_is_free(&path).unwrap_err();
            assert!(failure.message.unwrap().contains("is no saved plan"));
        }
        assert!(check_is_free(folder.path()).is_err());
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(check_is_free(&pipe).is_err(), "without waiting for a writer");
        let (nowhere, link) = (folder.path().join("nowhere"), folder.path().join("link"));
        std::os::unix::fs::symlink("none/file", &nowhere).unwrap();
        assert!(check_is_free(&nowhere).is_err());
        std::fs::write(&path, file::BEGINNING).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert_eq!(check_is_free(&link), Ok(()));
        write_private(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert!(check_is_free(&folder.path().join("none/file")).unwrap_err().message.unwrap().contains("no folder"));
    }

    #[test]
    fn write_error_has_no_temporary_path() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_private(&folder.path().join("none/plan"), "x").unwrap_err();
        assert!(!error.to_string().contains("tmp"), "{error}");
    }
}

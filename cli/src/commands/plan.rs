//! `terrace plan`: shows what applying would do, and may save it.

use super::Context;
use crate::args::{PlanArguments, PlanFormat};
use crate::failure::{Exit, Failure};
use crate::planning::{Removal, compile};
use crate::presentation;
use crate::report::report;
use crate::wiring::{World, store};
use std::path::{Path, PathBuf};
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::{Plan, file};
use terrace_engine::source::Sources;
use terrace_state::Access;

/// Plans.
///
/// # Errors
/// When it cannot be planned; a plan with errors is shown, and ends with an error.
pub(super) async fn run(context: &Context<'_>, arguments: &PlanArguments) -> Result<Exit, Failure> {
    // A saved plan names the state that it is of, so that state has to be there.
    let access = if arguments.out.is_some() { Access::ReadWrite } else { Access::ReadOnly };
    if arguments.destroy {
        let (planning, files) = (&arguments.planning, &arguments.files);
        let removal = Removal::read(context, files, &planning.choice, planning.plaintext_secrets)?;
        let store = store(&removal.settings, access).await?;
        let computed = removal.plan(store.as_ref(), planning).await?;
        return show(context, arguments, &computed, &removal.sources, &removal.world);
    }
    let files: Vec<PathBuf> = arguments.files.iter().map(PathBuf::from).collect();
    let project = compile(context, &files, &arguments.planning.choice, arguments.planning.plaintext_secrets)?;
    let store = store(&project.settings, access).await?;
    let computed = project.plan(store.as_ref(), &arguments.planning).await?;
    show(context, arguments, &computed, &project.sources, &project.world)
}

fn show(
    context: &Context<'_>,
    arguments: &PlanArguments,
    computed: &Computed,
    sources: &Sources,
    world: &World,
) -> Result<Exit, Failure> {
    let plan = &computed.plan;
    let format = if arguments.json { PlanFormat::Json } else { arguments.format };
    presentation::plan(
        context.ui,
        plan,
        &presentation::PlanView {
            format,
            detail: arguments.detail,
            max_chars: arguments.max_chars,
            command: format!("terrace plan {}", arguments.files.join(" ")),
        },
        &world.seal,
    )?;
    report(context.ui, sources, &computed.diagnostics);
    if plan.is_errored {
        return Err(Failure::told(Exit::Error));
    }
    if let Some(path) = &arguments.out {
        save(plan, path, world)?;
        context.ui.say(&format!("saved the plan: `terrace apply {}` applies exactly that", path.display()));
    }
    let has_changes = plan.has_changes();
    Ok(if arguments.detailed_exitcode && has_changes { Exit::Changes } else { Exit::Done })
}

/// Writes a plan file. It may hold what people call confidential, so only its owner can read it.
fn save(plan: &Plan, path: &Path, world: &World) -> Result<(), Failure> {
    let text = file::write(plan, &world.seal)?;
    write_private(path, &text)
        .map_err(|error| Failure::new(format!("the plan cannot be saved as `{}`: {error}", path.display())))
}

/// Writes a file that only its owner can read, and replaces the one that was there as a whole.
pub(super) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map(drop).map_err(|error| error.error)
}

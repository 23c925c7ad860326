//! `terrace pipelines image`: builds the `Dockerfile` of the project for runs in a cluster.

use super::project::instance_here;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use terrace_pipelines::deployment::build::Builder;
use terrace_pipelines::deployment::program::{Problem, ProblemKind};
use terrace_pipelines::folder_image::Build;
use terrace_provider_pipelines::settings::{image_repository, records};

/// Builds and pushes the image, and prints its name with the digest.
///
/// # Errors
/// When the setting `imageRepository` is missing or wrong, the build fails, or the registry refuses the image.
pub(super) async fn run(context: &Context<'_>, signals: &Signals) -> Result<Exit, Failure> {
    let instance = instance_here(context)?;
    let repository = image_repository(&instance)?.ok_or_else(|| {
        Failure::new("the provider `pipelines` has no setting `imageRepository`")
            .hint("write the repository of a registry that your nodes pull from: `imageRepository: registry.example.com/orders`")
    })?;
    let builder = Builder::find(std::env::var_os("PATH").as_deref()).map_err(failure)?;
    let project = instance.project_folder.canonicalize();
    let project = project.map_err(|error| Failure::new(format!("the project folder: {error}")))?;
    let records = records(&instance);
    let build = Build::begin(&project, &records).map_err(failure)?;
    signals.begin_changes();
    context.ui.print_note(&format!("building an image for {repository}, which takes up to some minutes"));
    let built = build.publish(repository, &builder, &signals.cancel).await.map_err(failure)?;
    context.ui.print(&format!("{built}\n"))?;
    Ok(Exit::Done)
}

fn failure(problem: Problem) -> Failure {
    let exit = if problem.kind == ProblemKind::Cancelled { Exit::Interrupted } else { Exit::Error };
    let failure = Failure { exit, ..Failure::new(harmless(&problem.message)) };
    problem.hints.into_iter().fold(failure, Failure::hint)
}

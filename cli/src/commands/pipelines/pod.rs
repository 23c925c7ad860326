//! The part of the executor `kubernetes` that runs in pods.

use super::databases::pod_pages;
use super::pod_site;
use super::shell::become_shell;
use crate::args::PodWork;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use std::io;
use std::path::Path;
use terrace_pipelines::executor::pod::{self, PodExit, PodPaths};
use terrace_pipelines::storage::pod::{self as sync, PodCopyExit, PodCopyPaths};

/// The usual shell of images.
const BASH: &str = "/bin/bash";

/// Does the work of a pod.
///
/// # Errors
/// When files of the pod cannot be read or written, or an environment cannot be created.
pub(super) async fn run(work: PodWork, signals: &Signals) -> Result<Exit, Failure> {
    let (paths, failed) = (PodPaths::default(), |error: io::Error| Failure::new(format!("the pod: {error}")));
    match work {
        PodWork::Run => {
            // Before any step runs.
            pod::protect().map_err(failed)?;
            // A signal stops the steps, and the pod reports that.
            signals.begin_changes();
            Ok(match pod::run(&paths, io::stdout(), &signals.cancel).await.map_err(failed)? {
                PodExit::Succeeded => Exit::Done,
                PodExit::Failed => Exit::PartlyApplied,
                PodExit::Broken => Exit::Error,
                PodExit::Terminated => Exit::Interrupted,
            })
        }
        PodWork::Results => pod::write_results(&paths, io::stdout()).map_err(failed).map(|()| Exit::Done),
        PodWork::Shell { name, command } => {
            let (folder, variables) = pod::step_environment(&paths).map_err(failed)?;
            let shell = if Path::new(BASH).exists() { BASH } else { "/bin/sh" };
            // The shell would read other characters as instructions.
            let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
            Err(become_shell(shell, (&folder, &variables), &format!("{name}:\\w$ "), &command))
        }
        PodWork::Site => {
            signals.begin_changes();
            pod_site::serve(&signals.cancel).await
        }
        PodWork::Pages(arguments) => {
            signals.begin_changes();
            pod_pages::serve(arguments, &signals.cancel).await
        }
        PodWork::Sync => {
            signals.begin_changes();
            let copied = sync::run(&PodCopyPaths::default(), io::stdout(), &signals.cancel).await;
            Ok(match copied.map_err(failed)? {
                PodCopyExit::Copied => Exit::Done,
                PodCopyExit::Failed => Exit::PartlyApplied,
                PodCopyExit::Terminated => Exit::Interrupted,
            })
        }
        PodWork::Environments { folder } => {
            let created = pod::create_image_environments(&folder).await;
            created
                .map(|()| Exit::Done)
                .map_err(|error| error.hint().into_iter().fold(Failure::new(error.to_string()), Failure::hint))
        }
    }
}

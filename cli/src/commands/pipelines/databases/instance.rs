//! The databases of a provider instance.

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::wiring;
use terrace_pipelines::database::{DatabaseError, DatabaseErrorKind, ProjectDatabases};
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::settings::project_databases;

/// The databases of an instance: those on this machine, each with its guard process, and those in its cluster. Ends those
/// that have expired.
///
/// # Errors
/// When a setting cannot work.
pub(crate) async fn all_databases_of(
    context: &Context<'_>,
    instance: &InstanceSettings,
) -> Result<ProjectDatabases, Failure> {
    let mut databases = project_databases(instance, wiring::guard_program())?;
    databases.here = databases.here.with_lock_timeout(context.global.lock_timeout());
    databases.guard_all().await;
    Ok(databases)
}

/// The failure of a command for an error of a database.
pub(crate) fn failure(error: DatabaseError) -> Failure {
    let message = error.facts.iter().fold(error.message, |text, fact| format!("{text}\n  {fact}"));
    let exit = match error.kind {
        DatabaseErrorKind::InUse => Exit::Refused,
        DatabaseErrorKind::Cancelled => Exit::Interrupted,
        DatabaseErrorKind::Missing
        | DatabaseErrorKind::AlreadyExists
        | DatabaseErrorKind::Unreachable
        | DatabaseErrorKind::Invalid
        | DatabaseErrorKind::Failed => Exit::Error,
    };
    let failure = Failure { exit, ..Failure::new(message) };
    error.hint.into_iter().fold(failure, Failure::hint)
}

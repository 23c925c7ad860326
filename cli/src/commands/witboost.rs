//! `terrace witboost`: registers `terrace serve` at the platform, and has it validate descriptors.
//!
//! Read in this order: `client` (calls of the platform), `registrations` (template ids of an environment), `register`,
//! `status`, `validate` and `verdict` (the results of a validation).

mod client;
mod register;
mod registrations;
mod status;
mod validate;
mod verdict;

use crate::args::WitboostCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Runs a command of the group.
///
/// # Errors
/// When the command fails.
pub(super) async fn run(context: &Context<'_>, command: WitboostCommand) -> Result<Exit, Failure> {
    match command {
        WitboostCommand::Register(arguments) => register::run(context, &arguments).await,
        WitboostCommand::Status(arguments) => status::run(context, arguments.format).await,
        WitboostCommand::Unregister(arguments) => status::unregister(context, arguments.format),
        WitboostCommand::Validate(arguments) => validate::run(context, &arguments).await,
    }
}

//! Commands with machine output, and its form. Failures are printed in the same form.

use super::{
    AclCommand, BlueprintsCommand, Command, DatabasesCommand, DriftFormat, LeasesCommand, OperationsCommand,
    OutputFormat, PipelinesCommand, PlanFormat, ProvidersCommand, StacksCommand, StateCommand, WitboostCommand,
};
use crate::report::Form;

impl Command {
    /// The form of machine output; `None` if the result is for people.
    pub(crate) fn form(&self) -> Option<Form> {
        let is_json = match self {
            Self::Apply(arguments) => return arguments.run.format.is_json().then_some(Form::Stream),
            Self::Destroy(arguments) => return arguments.run.format.is_json().then_some(Form::Stream),
            Self::Acl(AclCommand::Set(arguments)) => return arguments.run.format.is_json().then_some(Form::Stream),
            Self::Acl(AclCommand::Show(arguments)) => arguments.format.is_json(),
            Self::Plan(arguments) => match arguments.format {
                PlanFormat::JsonStream => return Some(Form::Stream),
                PlanFormat::Json => true,
                PlanFormat::Human | PlanFormat::Markdown => arguments.json,
            },
            Self::Reverse(arguments) => arguments.format.is_json(),
            Self::Validate(arguments) => arguments.format.is_json(),
            Self::Drift(arguments) => arguments.form() == DriftFormat::Json,
            Self::Show(arguments) => arguments.format.is_json(),
            Self::Output(arguments) => arguments.json || arguments.format == OutputFormat::Json,
            Self::Recover(arguments) => arguments.format.is_json(),
            Self::Version(arguments) => arguments.format.is_json(),
            Self::Stacks(arguments) => match &arguments.command {
                Some(StacksCommand::List(format)) => format.is_json(),
                None => arguments.format.is_json(),
            },
            Self::Leases(arguments) => match &arguments.command {
                Some(LeasesCommand::List(format)) => format.is_json(),
                None => arguments.format.is_json(),
            },
            Self::State(command) => match command {
                StateCommand::List { format, .. }
                | StateCommand::Show { format, .. }
                | StateCommand::Migrate { format, .. }
                | StateCommand::History { format, .. } => format.is_json(),
                StateCommand::Rollback(arguments) => {
                    return arguments.run.format.is_json().then_some(Form::Stream);
                }
                _ => false,
            },
            Self::Operations(arguments) => match &arguments.command {
                Some(OperationsCommand::List { format, .. } | OperationsCommand::Show { format, .. }) => {
                    format.is_json()
                }
                Some(OperationsCommand::Logs { .. } | OperationsCommand::Cancel { .. }) => false,
                None => arguments.format.is_json(),
            },
            Self::Blueprints(arguments) => match &arguments.command {
                Some(BlueprintsCommand::List(format) | BlueprintsCommand::Check { format, .. }) => format.is_json(),
                Some(_) => false,
                None => arguments.format.is_json(),
            },
            Self::Providers(arguments) => match &arguments.command {
                Some(ProvidersCommand::List(format) | ProvidersCommand::Schema { format, .. }) => format.is_json(),
                None => arguments.format.is_json(),
            },
            Self::Doctor(arguments) => arguments.format.is_json(),
            Self::Witboost(command) => match command {
                WitboostCommand::Register(arguments) => arguments.format.is_json(),
                WitboostCommand::Status(arguments) | WitboostCommand::Unregister(arguments) => {
                    arguments.format.is_json()
                }
                WitboostCommand::Validate(arguments) => arguments.format.is_json(),
            },
            Self::Pipelines(command) => match command {
                PipelinesCommand::Run(arguments) => arguments.format.is_json(),
                PipelinesCommand::List(arguments) => arguments.format.is_json(),
                PipelinesCommand::Runs(arguments) => arguments.format.is_json(),
                PipelinesCommand::Schedules(arguments) => arguments.format.is_json(),
                PipelinesCommand::Deploy(arguments) => arguments.format.is_json(),
                PipelinesCommand::Pods(arguments) => arguments.format.is_json(),
                PipelinesCommand::Databases(arguments) => match &arguments.command {
                    Some(DatabasesCommand::List(list)) => list.format.is_json(),
                    Some(DatabasesCommand::Show { format, .. }) => format.is_json(),
                    Some(_) => false,
                    None => arguments.list.format.is_json(),
                },
                PipelinesCommand::Image
                | PipelinesCommand::Chart(_)
                | PipelinesCommand::Logs(_)
                | PipelinesCommand::Cancel(_)
                | PipelinesCommand::Login(_)
                | PipelinesCommand::Logout(_)
                | PipelinesCommand::Ssh(_)
                | PipelinesCommand::Init(_)
                | PipelinesCommand::Worker(_)
                | PipelinesCommand::Pod(_) => false,
            },
            Self::Audit(_)
            | Self::Console(_)
            | Self::Fmt(_)
            | Self::Import(_)
            | Self::Taint(_)
            | Self::Untaint(_)
            | Self::Unprotect(_)
            | Self::Init(_)
            | Self::Graph(_)
            | Self::Unlock(_)
            | Self::Operator(_)
            | Self::RoleMapper(_)
            | Self::Serve(_)
            | Self::Completion(_)
            | Self::Man(_)
            | Self::Descriptor(_)
            | Self::Pr(_)
            | Self::Terraform => false,
        };
        is_json.then_some(Form::Document)
    }
}

//! `terrace operator`: plans and applies the stacks of a cluster.

use crate::args::{OperatorArguments, OperatorCommand};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::logging;
use crate::signals::Signals;
use secrecy::SecretString;
use terrace_operator::{Operator, OperatorError, ServerSettings, stack};
use uuid::Uuid;

/// The variable with the token of the operator.
const TOKEN: &str = "TERRACE_OPERATOR_TOKEN";

/// Works until shutdown, or prints the definitions of the custom resources.
///
/// # Errors
/// Without a cluster, without the definitions or the rights in it, or with an invalid setting.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: OperatorArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let OperatorArguments { command, server, ca_file, allow_plain_http, namespace, lease_namespace } = arguments;
    if let Some(OperatorCommand::Crds) = command {
        return context.ui.print_raw(stack::DEFINITIONS).map(|()| Exit::Done);
    }
    let settings = context.settings(None)?;
    let configured = settings.server(context.ui)?;
    logging::serve(context, &configured.log, Vec::new())?;
    let token = context.variables.get(TOKEN).map(SecretString::from);
    let operator = Operator {
        server: ServerSettings { url: server.clone(), token, ca_file, allow_plain_http },
        namespace,
        lease_namespace,
        // The lease tells two processes with one name apart.
        name: format!("{} {}", settings.actor, Uuid::now_v7()),
    };
    signals.begin_changes();
    context.ui.print_message(&format!("working through the server at {server}"));
    operator.run(signals.cancel.clone()).await.map(|()| Exit::Done).map_err(failure)
}

fn failure(error: OperatorError) -> Failure {
    let hint = match error {
        OperatorError::NoCluster(_) => "set KUBECONFIG, or run in a pod with a service account",
        OperatorError::NoLease(_) => "grant the rights of docs/operator.md",
        OperatorError::NoStacks(_) => {
            "install the definitions with `terrace operator crds | kubectl apply --server-side -f -`, and grant the \
             rights of docs/operator.md"
        }
        OperatorError::Server(_) => {
            "check `--server` and `--ca-file`; use `--allow-plain-http` only in a network that you trust"
        }
    };
    Failure::new(error.to_string()).hint(hint)
}

//! `terrace operator`: plans and applies the stacks of a cluster, and ends databases of pipelines whose lifetime is over.

mod lifetimes;

use crate::args::{OperatorArguments, OperatorCommand};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::logging;
use crate::signals::Signals;
use crate::variables;
use secrecy::SecretString;
use terrace_operator::definitions::DEFINITIONS;
use terrace_operator::{Operator, OperatorError, ServerSettings};
use terrace_provider::http::Base;
use uuid::Uuid;

/// The variable with the token of the operator.
pub(super) const TOKEN: &str = "TERRACE_OPERATOR_TOKEN";

/// The token of the operator.
///
/// # Errors
/// When the variable has no token.
pub(super) fn token(context: &Context<'_>) -> Result<Option<SecretString>, Failure> {
    let Some(text) = context.variables.get(TOKEN) else { return Ok(None) };
    variables::token(text).map(Some).ok_or_else(|| {
        Failure::new(format!("{TOKEN} is not a token: it is empty, or has other characters than visible ASCII"))
            .hint("copy the token of `server.auth` on one line and without quotes")
    })
}

/// Works until shutdown, or prints the definitions of the custom resources.
///
/// # Errors
/// Without a cluster, without the definitions or the rights in it, or with an invalid setting.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: OperatorArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let OperatorArguments {
        command,
        server,
        ca_file,
        allow_plain_http,
        bind,
        namespace,
        lease_namespace,
        expire_databases,
    } = arguments;
    if let Some(OperatorCommand::Crds) = command {
        return context.ui.print_raw(DEFINITIONS).map(|()| Exit::Done);
    }
    let settings = context.settings(None)?;
    let configured = settings.server(context.ui)?;
    logging::serve(context, &configured.log, Vec::new())?;
    let token = token(context)?;
    let databases = lifetimes::databases(context.variables, &expire_databases)?;
    let operator = Operator {
        server: ServerSettings { url: server.clone(), token, ca_file, allow_plain_http },
        namespace,
        lease_namespace,
        bind,
        // Identifies the process in the Lease.
        name: format!("{} {}", settings.actor, Uuid::now_v7()),
    };
    signals.begin_changes();
    // The operator reports an invalid URL, which may contain a password.
    if let Ok(base) = Base::parse(&server) {
        context.ui.print_message(&format!("working through the server at {}", base.shown()));
    }
    let stop = signals.cancel.child_token();
    let run = async {
        let ended = operator.run(stop.clone()).await;
        stop.cancel();
        ended
    };
    let (ended, ()) = tokio::join!(run, lifetimes::end_expired(databases, stop.clone()));
    ended.map(|()| Exit::Done).map_err(failure)
}

fn failure(error: OperatorError) -> Failure {
    let hint = match error {
        OperatorError::NoCluster(_) => {
            "set KUBECONFIG to a kubeconfig with a current context, or run in a pod with a service account"
        }
        OperatorError::NoListener(_) => "choose another address with `--bind`",
        OperatorError::NoLease(_) => "grant the rights of docs/operator.md",
        OperatorError::OtherOperator(_) => {
            "uninstall one of them, or give each one its own namespace (`--namespace`, in the chart `watchNamespace`)"
        }
        OperatorError::NoStacks(_) => {
            "install the definitions with `terrace operator crds | kubectl apply --server-side --force-conflicts -f -`, \
             and grant the rights of docs/operator.md"
        }
        OperatorError::OtherDefinitions(_) => {
            "install those of this operator with \
             `terrace operator crds | kubectl apply --server-side --force-conflicts -f -`"
        }
        OperatorError::Server(_) => {
            "check `--server` and `--ca-file`; use `--allow-plain-http` only in a network that you trust"
        }
    };
    Failure::new(error.to_string()).hint(hint)
}

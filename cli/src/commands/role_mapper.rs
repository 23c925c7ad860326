//! `terrace role-mapper`: manages roles of Hasura, with their root fields and members, and selects the role of a
//! request.

mod variables;

use super::serve::{reload, warn_of_plain_tokens};
use crate::args::RoleMapperArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::logging;
use crate::signals::Signals;
use crate::telemetry::Telemetry;
use crate::wiring::role_store;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use terrace_role_mapper::RoleMapper;
use terrace_server::auth::Auth;
use variables::Configuration;

/// Default address: reachable from this machine only.
const BIND: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8092));

/// Serves until shutdown.
///
/// # Errors
/// When a variable is wrong or missing, the state cannot be opened, or the address is not available.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &RoleMapperArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let Configuration { bind, settings: mapper_settings } = variables::read(context.variables)?;
    let bind = arguments.bind.or(bind).unwrap_or(BIND);
    check_address(bind, &mapper_settings.auth)?;
    if let Some(certificate) = &mapper_settings.certificate {
        certificate.read().map_err(|error| {
            Failure::new(error.to_string())
                .hint("ROLE_MAPPER_TLS_CERT and ROLE_MAPPER_TLS_KEY name two PEM files: the chain and its key")
        })?;
    }
    let telemetry = Telemetry::start(context.variables)?;
    let configured = settings.server(context.ui)?;
    let audit = logging::audit(&configured.audit.log, &settings.project_folder)?;
    let log = logging::serve(context, &configured.log, telemetry.layers().into_iter().chain(audit).collect())?;
    warn_of_plain_tokens(bind, &mapper_settings.auth, mapper_settings.certificate.is_some());
    let certificate = mapper_settings.certificate.clone();
    let store = role_store(&settings).await?;
    let listener = TcpListener::bind(bind).map_err(|error| {
        Failure::new(format!("cannot listen on {bind}: {error}")).hint("choose another address with `--bind`")
    })?;
    let address = listener.local_addr().unwrap_or(bind);
    let scheme = if mapper_settings.certificate.is_some() { "https" } else { "http" };
    let mapper = RoleMapper::new(store, mapper_settings).map_err(|why| {
        Failure::new(format!("the variables ROLE_MAPPER_* are invalid: {why}")).hint("`docs/role-mapper.md` lists them")
    })?;
    signals.begin_changes();
    let hangup = signals.on_hangup();
    context.ui.print_message(&format!("serving on {scheme}://{address}, state {}", settings.state));
    let reloading = async {
        loop {
            hangup.notified().await;
            reload(context, &log);
            certificate.as_ref().inspect(|certificate| certificate.reload.notify_one());
        }
    };
    let served = tokio::select! {
        served = mapper.serve(listener, signals.cancel.clone()) => served,
        () = reloading => Ok(()),
    };
    telemetry.end().await;
    served.map_err(|error| Failure::new(error.to_string()))?;
    Ok(Exit::Done)
}

/// Callers that write roles can grant any access. Other machines may call only with a token.
fn check_address(address: SocketAddr, auth: &Auth) -> Result<(), Failure> {
    if address.ip().is_loopback() || matches!(auth, Auth::Tokens(_)) {
        return Ok(());
    }
    Err(Failure::new(format!("`{address}` is reachable from other machines, and calls need no token"))
        .hint("set ROLE_MAPPER_TOKEN, and `roleMapper.token` of the provider `hasura` to the same value, or bind to 127.0.0.1"))
}

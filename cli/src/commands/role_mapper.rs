//! `terrace role-mapper`: which root fields of Hasura a role has, who has it, and which role a request gets.

mod variables;

use super::Context;
use super::serve::{read_again, warn_of_plain_tokens};
use crate::args::RoleMapperArguments;
use crate::failure::{Exit, Failure};
use crate::logging;
use crate::signals::Signals;
use crate::telemetry::Telemetry;
use crate::wiring::role_store;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use terrace_role_mapper::RoleMapper;
use terrace_server::auth::Auth;
use variables::Said;

/// Where connections are taken by default: by this machine alone.
const BIND: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8092));

/// Serves until it is told to stop.
///
/// # Errors
/// When a variable is wrong or missing, the state cannot be opened, or connections cannot be taken.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &RoleMapperArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let Said { bind, settings: said } = variables::read(context.variables)?;
    let bind = arguments.bind.or(bind).unwrap_or(BIND);
    check_address(bind, &said.auth)?;
    if let Some(certificate) = &said.certificate {
        certificate.read().map_err(|error| {
            Failure::new(error.to_string())
                .hint("ROLE_MAPPER_TLS_CERT and ROLE_MAPPER_TLS_KEY name two files of PEM: the chain, and its key")
        })?;
    }
    let telemetry = Telemetry::start(context.variables)?;
    let configured = settings.server(context.ui)?;
    let audit = logging::audit(&configured.audit.log, &settings.project_folder)?;
    let log = logging::serve(context, &configured.log, telemetry.layers().into_iter().chain(audit).collect())?;
    warn_of_plain_tokens(bind, &said.auth, said.certificate.is_some());
    let certificate = said.certificate.clone();
    let store = role_store(&settings).await?;
    let listener = TcpListener::bind(bind).map_err(|error| {
        Failure::new(format!("connections to {bind} cannot be taken: {error}"))
            .hint("choose another address with `--bind`")
    })?;
    let address = listener.local_addr().unwrap_or(bind);
    let scheme = if said.certificate.is_some() { "https" } else { "http" };
    let mapper = RoleMapper::new(store, said).map_err(|why| {
        Failure::new(format!("the role mapper cannot be as the variables ROLE_MAPPER_* say: {why}"))
            .hint("`docs/role-mapper.md` lists them")
    })?;
    signals.begin_changes();
    let again = signals.on_hangup();
    context.ui.tell(&format!("serving on {scheme}://{address}, state {}", settings.state));
    let reading = async {
        loop {
            again.notified().await;
            read_again(context, &log);
            certificate.as_ref().inspect(|certificate| certificate.again.notify_one());
        }
    };
    let served = tokio::select! {
        served = mapper.serve(listener, signals.cancel.clone()) => served,
        () = reading => Ok(()),
    };
    telemetry.end().await;
    served.map_err(|error| Failure::new(error.to_string()))?;
    Ok(Exit::Done)
}

/// Who can write roles can let everybody in: others than this machine only when they need a token.
fn check_address(address: SocketAddr, auth: &Auth) -> Result<(), Failure> {
    if address.ip().is_loopback() || matches!(auth, Auth::Tokens(_)) {
        return Ok(());
    }
    Err(Failure::new(format!("`{address}` lets others than this machine call, and no token is asked for"))
        .hint("set ROLE_MAPPER_TOKEN, which the provider `hasura` sends as `roleMapper.token`, or bind to 127.0.0.1"))
}

//! Static sites beside the server: at an address of their own, for their pages may run programs in browsers.

use crate::args::ServeArguments;
use crate::commands::Context;
use crate::failure::Failure;
use crate::settings::Settings;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::settings::shelf;
use terrace_provider_pipelines::site::{Page, Published, Shelf, Site as Rendered, is_name};
use terrace_server::embed::EmbeddedRoutes;
use terrace_server::sites::{File, Site, Sites};
use terrace_server::tls::Certificate;
use terrace_server::{ConnectionLimits, ServeError};
use tokio_util::sync::CancellationToken;

/// Where they are shown by default: to this machine alone.
const BIND: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8093));
/// Nobody sends anything along.
const BODY_LIMIT: usize = 4_096;
/// How long a reader who is being answered is waited for in the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Sites with the address that they are shown at.
pub(super) struct Opened {
    listener: TcpListener,
    beside: EmbeddedRoutes,
    sites: Sites,
}

/// Takes the address of sites, where they are to be shown.
///
/// # Errors
/// When others than this machine could read them and nobody said so, or the address is taken.
pub(super) fn opened(
    context: &Context<'_>,
    settings: &Settings,
    instance: &InstanceSettings,
    arguments: &ServeArguments,
    certificate: Option<&Certificate>,
    connections: &ConnectionLimits,
) -> Result<Option<Opened>, Failure> {
    let configured = settings.configuration.server.sites.as_ref();
    if configured.is_none() && arguments.sites.is_none() {
        return Ok(None);
    }
    let bind = arguments.sites.or(configured.and_then(|sites| sites.bind)).unwrap_or(BIND);
    let is_public = configured.is_some_and(|sites| sites.is_public);
    if !bind.ip().is_loopback() && !is_public {
        return Err(Failure::new(format!(
            "`{bind}` shows sites to others than this machine, and sites ask for no token"
        ))
        .hint("say that everybody may read them with `server: {sites: {public: true}}`, or bind to 127.0.0.1"));
    }
    let listener = TcpListener::bind(bind).map_err(|error| {
        Failure::new(format!("connections to {bind} cannot be taken: {error}"))
            .hint("choose another address with `--sites`")
    })?;
    if let Ok(address) = listener.local_addr() {
        let scheme = if certificate.is_some() { "https" } else { "http" };
        context.ui.tell(&format!("sites on {scheme}://{address}/sites/"));
    }
    let beside = EmbeddedRoutes {
        certificate: certificate.cloned(),
        connections: connections.for_side_listener(),
        body_limit: BODY_LIMIT,
        drain: DRAIN,
        broken: Sites::broken,
    };
    let sites = Sites::new(Arc::new(Recorded { shelf: shelf(instance), read: Mutex::default() }), is_public);
    Ok(Some(Opened { listener, beside, sites }))
}

/// Shows sites as long as the server runs; it ends only when it cannot go on.
pub(super) async fn shown(opened: Option<Opened>, stop: CancellationToken) -> ServeError {
    if let Some(Opened { listener, beside, sites }) = opened
        && let Err(error) = beside.serve(listener, sites.routes(), stop).await
    {
        return error;
    }
    std::future::pending().await
}

/// Sites as the provider records them. What was read of one is kept as long as its record is the same file.
struct Recorded {
    shelf: Shelf,
    read: Mutex<HashMap<String, (SystemTime, Arc<Site>)>>,
}

impl terrace_server::sites::Shelf for Recorded {
    fn site(&self, name: &str) -> io::Result<Option<Arc<Site>>> {
        if !is_name(name) {
            return Ok(None);
        }
        let changed = changed(&self.shelf.record(name))?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(changed) = changed else {
            read.remove(name);
            return Ok(None);
        };
        if let Some((when, site)) = read.get(name)
            && *when == changed
        {
            return Ok(Some(Arc::clone(site)));
        }
        let Some(published) = self.shelf.published(name).map_err(io::Error::other)? else { return Ok(None) };
        let site = Arc::new(site(published));
        read.insert(name.to_owned(), (changed, Arc::clone(&site)));
        Ok(Some(site))
    }
}

/// When a record was written; nothing where there is none.
fn changed(record: &Path) -> io::Result<Option<SystemTime>> {
    match fs::metadata(record).and_then(|metadata| metadata.modified()) {
        Ok(changed) => Ok(Some(changed)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn site(published: Published) -> Site {
    let Published { folder, site } = published;
    let file = |(path, page): (String, Page)| {
        let content_type = Rendered::content_type(&path);
        (path, File { size: page.size, sha256: page.sha256, content_type })
    };
    Site {
        folder,
        files: site.files.into_iter().map(file).collect(),
        error_document: site.plan.error_document,
        cache_control: site.plan.cache_control,
    }
}

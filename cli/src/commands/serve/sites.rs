//! Static sites of the server. They have their own address, because their pages may run programs in browsers.

use crate::args::ServeArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::settings::Settings;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fs, io};
use terrace_pipelines::site::{Page, Published, Site as Rendered, SiteStore, is_name};
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::settings::site_store;
use terrace_server::embed::EmbeddedRoutes;
use terrace_server::sites::{File, Site, Sites};
use terrace_server::tls::Certificate;
use terrace_server::{ConnectionLimits, ServeError};
use tokio_util::sync::CancellationToken;

/// Default address: reachable from this machine only.
const BIND: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8093));
/// Requests have no body.
const BODY_LIMIT: usize = 4_096;
/// Grace period for running answers at shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// Sites and their listener.
pub(super) struct OpenedSites {
    listener: TcpListener,
    routes: EmbeddedRoutes,
    sites: Sites,
}

/// Opens the address of sites, if they are to be served.
///
/// # Errors
/// When other machines could read sites that are not public, or the address is not available.
pub(super) fn open(
    context: &Context<'_>,
    settings: &Settings,
    instance: &InstanceSettings,
    arguments: &ServeArguments,
    certificate: Option<&Certificate>,
    connections: &ConnectionLimits,
) -> Result<Option<OpenedSites>, Failure> {
    let configured = settings.configuration.server.sites.as_ref();
    if configured.is_none() && arguments.sites.is_none() {
        return Ok(None);
    }
    let bind = arguments.sites.or(configured.and_then(|sites| sites.bind)).unwrap_or(BIND);
    let is_public = configured.is_some_and(|sites| sites.is_public);
    if !bind.ip().is_loopback() && !is_public {
        return Err(Failure::new(format!("`{bind}` is reachable from other machines, and sites need no token"))
            .hint("make them public with `server: {sites: {public: true}}`, or bind to 127.0.0.1"));
    }
    let listener = TcpListener::bind(bind).map_err(|error| {
        Failure::new(format!("cannot listen on {bind}: {error}")).hint("choose another address with `--sites`")
    })?;
    if let Ok(address) = listener.local_addr() {
        let scheme = if certificate.is_some() { "https" } else { "http" };
        context.ui.print_message(&format!("sites on {scheme}://{address}/sites/"));
    }
    let routes = EmbeddedRoutes {
        certificate: certificate.cloned(),
        connections: connections.for_side_listener(),
        body_limit: BODY_LIMIT,
        drain: DRAIN,
        on_panic: Sites::panic_response,
    };
    let sites =
        Sites::new(Arc::new(PublishedSites { site_store: site_store(instance), cache: Mutex::default() }), is_public);
    Ok(Some(OpenedSites { listener, routes, sites }))
}

/// Serves sites as long as the server runs. Returns only after an error.
pub(super) async fn serve(opened: Option<OpenedSites>, stop: CancellationToken) -> ServeError {
    if let Some(OpenedSites { listener, routes, sites }) = opened
        && let Err(error) = routes.serve(listener, sites.routes(), stop).await
    {
        return error;
    }
    std::future::pending().await
}

/// Published sites of the provider. A site is cached until its record changes.
struct PublishedSites {
    site_store: SiteStore,
    cache: Mutex<HashMap<String, (SystemTime, Arc<Site>)>>,
}

impl terrace_server::sites::SiteSource for PublishedSites {
    fn site(&self, name: &str) -> io::Result<Option<Arc<Site>>> {
        if !is_name(name) {
            return Ok(None);
        }
        let changed = changed(&self.site_store.record(name))?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(changed) = changed else {
            cache.remove(name);
            return Ok(None);
        };
        if let Some((when, site)) = cache.get(name)
            && *when == changed
        {
            return Ok(Some(Arc::clone(site)));
        }
        let Some(published) = self.site_store.published(name).map_err(io::Error::other)? else { return Ok(None) };
        let site = Arc::new(site(published));
        cache.insert(name.to_owned(), (changed, Arc::clone(&site)));
        Ok(Some(site))
    }
}

/// The modification time of a record; `None` if it does not exist.
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
        (path, File { size: page.size, tag: page.sha256, content_type })
    };
    Site {
        folder,
        files: site.files.into_iter().map(file).collect(),
        error_document: site.plan.error_document,
        cache_control: site.plan.cache_control,
        live: None,
    }
}

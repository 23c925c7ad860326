//! The server of a static site in a pod.

use crate::failure::{Exit, Failure};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;
use terrace_pipelines::site::pod::{PORT, PodSite, PodSitePaths};
use terrace_server::ConnectionLimits;
use terrace_server::embed::EmbeddedRoutes;
use terrace_server::sites::{File, LiveFolder, Site, Sites};
use tokio_util::sync::CancellationToken;

/// Requests have no body.
const BODY_LIMIT: usize = 4_096;
/// Time in which the cluster still sends requests to a pod that it ends.
const LEAVING: Duration = Duration::from_secs(5);
/// Grace period for running answers at shutdown.
const DRAIN: Duration = Duration::from_secs(15);

/// Serves the site of the pod until a signal.
///
/// # Errors
/// When its files cannot be read, or the server cannot accept connections.
pub(super) async fn serve(stop: &CancellationToken) -> Result<Exit, Failure> {
    let paths = PodSitePaths::default();
    let failed = |error: io::Error| Failure::new(format!("the pod: {error}"));
    let opened = tokio::task::spawn_blocking(move || {
        let (site, folder) = PodSite::open(&paths)?;
        Ok(site_of(site, folder, paths))
    });
    let site = opened.await.map_err(io::Error::other).and_then(|opened| opened).map_err(failed)?;
    let listener = listen().map_err(failed)?;
    let connections = ConnectionLimits::default();
    let routes = EmbeddedRoutes {
        certificate: None,
        // All requests may come from a single proxy.
        connections: ConnectionLimits { max_per_address: connections.max, ..connections },
        body_limit: BODY_LIMIT,
        drain: DRAIN,
        on_panic: Sites::panic_response,
    };
    let (end, ended) = (CancellationToken::new(), stop.clone());
    let ending = end.clone();
    tokio::spawn(async move {
        ended.cancelled().await;
        tokio::time::sleep(LEAVING).await;
        ending.cancel();
    });
    let served = routes.serve(listener, Sites::single(site).routes(), end).await;
    served.map(|()| Exit::Done).map_err(|error| Failure::new(format!("the pod: {error}")))
}

/// Listens at the port of pods. A cluster may have no addresses of IPv6.
///
/// # Errors
/// When another process listens there.
pub(super) fn listen() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))
}

fn site_of(site: PodSite, folder: std::path::PathBuf, paths: PodSitePaths) -> Site {
    let file = |(path, page): (String, terrace_pipelines::site::Page)| {
        let content_type = PodSite::content_type(&path);
        (path, File { size: page.size, tag: page.sha256, content_type })
    };
    Site {
        folder,
        files: site.files.into_iter().map(file).collect(),
        error_document: site.error_document,
        cache_control: site.cache_control,
        live: site.claim_folder.map(|path| LiveFolder {
            volume: paths.claim,
            path,
            is_shown: PodSite::is_shown,
            content_type: PodSite::content_type,
        }),
    }
}

//! Static sites below `/sites/NAME/`, at an address of their own.
//!
//! A page may contain any content and run programs in the user's browser. At the address of the API, browsers would
//! give it the rights of the API's own pages; at another address they keep the two apart.
//!
//! Only recorded files of a site are served: paths are looked up in the record, not in the file system (`path`). A site in a
//! cluster may also show the present files of a folder, within bounds (`live`). `answer` builds the answer with a file.

mod answer;
mod live;
mod path;

use crate::auth::is_for_this_machine;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use path::SitePath;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

pub use live::LiveFolder;

/// Name of the only site of an address, which no path contains.
const ONLY: &str = "site";
/// The path of the sites.
const PREFIX: &str = "/sites/";

/// A rendered site.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// The folder that has its files.
    pub folder: PathBuf,
    /// Its files, by path.
    pub files: HashMap<String, File>,
    /// The page for unknown paths; empty if the site has none.
    pub error_document: String,
    /// The header `Cache-Control` of its files.
    pub cache_control: String,
    /// A folder whose present files the site shows, too; recorded files take precedence.
    pub live: Option<LiveFolder>,
}

/// A file of a site.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// The size in bytes.
    pub size: u64,
    /// Text of its strong `ETag`, such as the hash of its content in hexadecimal digits.
    pub tag: String,
    /// The media type.
    pub content_type: String,
}

/// Access to the recorded sites.
pub trait SiteSource: Send + Sync {
    /// The current version of the site with that name. It may block.
    ///
    /// # Errors
    /// When it cannot be read.
    fn site(&self, name: &str) -> io::Result<Option<Arc<Site>>>;
}

/// A file that a call asks for.
struct Requested {
    file: File,
    /// The open file; nothing for a recorded file.
    opened: Option<fs::File>,
}

impl Site {
    /// The file with that path.
    async fn file(&self, key: &str) -> Result<Option<Requested>, Response> {
        if let Some(file) = self.files.get(key) {
            return Ok(Some(Requested { file: file.clone(), opened: None }));
        }
        let Some(live) = &self.live else { return Ok(None) };
        let found = live.open(key).await.map_err(|error| {
            tracing::error!(%error, key, "cannot read a file of a site");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot show this page now")
        })?;
        Ok(found.map(|(file, opened)| Requested { file, opened: Some(opened) }))
    }
}

/// The served sites.
#[derive(Clone)]
pub struct Sites {
    source: Arc<dyn SiteSource>,
    is_public: bool,
    /// The address has one site, at its root.
    is_single: bool,
}

/// The only site of an address.
struct OnlySite(Arc<Site>);

impl SiteSource for OnlySite {
    fn site(&self, _: &str) -> io::Result<Option<Arc<Site>>> {
        Ok(Some(Arc::clone(&self.0)))
    }
}

impl Sites {
    /// The sites of a shelf. Sites that are not public are served only to this machine, under one of its own host
    /// names.
    #[must_use]
    pub fn new(source: Arc<dyn SiteSource>, is_public: bool) -> Self {
        Self { source, is_public, is_single: false }
    }

    /// One public site, at the root of its address.
    #[must_use]
    pub fn single(site: Site) -> Self {
        Self { source: Arc::new(OnlySite(Arc::new(site))), is_public: true, is_single: true }
    }

    /// The routes.
    pub fn routes(self) -> Router {
        if self.is_single {
            return Router::new().fallback(show).with_state(self);
        }
        let routes = Router::new().route("/sites/{*path}", any(show)).fallback(|| async { not_found() });
        routes.with_state(self)
    }

    /// The answer of a page whose handler panicked.
    #[must_use]
    pub fn panic_response() -> Response {
        plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot show this page now")
    }

    async fn site(&self, name: &str) -> Result<Option<Arc<Site>>, Response> {
        let (source, name) = (Arc::clone(&self.source), name.to_owned());
        let read = tokio::task::spawn_blocking(move || source.site(&name))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|error| {
            tracing::error!(%error, "cannot read a site");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot show this site now")
        })
    }
}

async fn show(State(sites): State<Sites>, request: Request) -> Response {
    let is_local = is_for_this_machine(&request);
    let (head, _) = request.into_parts();
    match respond(&sites, &head, is_local).await {
        Ok(response) | Err(response) => guarded(response, sites.is_public),
    }
}

async fn respond(sites: &Sites, head: &Parts, is_local: bool) -> Result<Response, Response> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let refused = plain(StatusCode::METHOD_NOT_ALLOWED, "sites are read-only");
        return Err(([(header::ALLOW, HeaderValue::from_static("GET, HEAD"))], refused).into_response());
    }
    if !sites.is_public && !is_local {
        let why = "the host name is not this machine's own: set `server.sites.public`";
        return Err(plain(StatusCode::FORBIDDEN, why));
    }
    let path = head.uri.path();
    let requested = match sites.is_single {
        true => path.starts_with('/').then(|| SitePath::of(&format!("{ONLY}{path}"))).flatten(),
        false => path.strip_prefix(PREFIX).and_then(SitePath::of),
    };
    let requested = requested.ok_or_else(not_found)?;
    let site = sites.site(&requested.name).await?.ok_or_else(not_found)?;
    // Relative to the path of the call: a proxy may have removed a prefix.
    let redirect = |folder: &str| {
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let name = folder.rsplit('/').next().unwrap_or_default();
        answer::redirect(&format!("./{}/{query}", path::encoded(name)))
    };
    if requested.is_bare {
        return Ok(redirect(&requested.name));
    }
    if let Some(file) = site.file(&requested.key).await? {
        return Ok(answer::file(&site, &requested.key, file, head, StatusCode::OK).await);
    }
    if !requested.is_folder && site.file(&format!("{}/{}", requested.key, path::INDEX)).await?.is_some() {
        return Ok(redirect(&requested.key));
    }
    match site.file(&site.error_document).await? {
        Some(file) => Ok(answer::file(&site, &site.error_document, file, head, StatusCode::NOT_FOUND).await),
        None => Err(not_found()),
    }
}

/// Adds the common headers of every answer.
fn guarded(mut response: Response, is_public: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_public {
        // Pages of other sites must not read private sites.
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    }
    response
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "page not found")
}

fn plain(status: StatusCode, text: &str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")],
        format!("{text}\n"),
    )
        .into_response()
}

#[cfg(test)]
mod tests;

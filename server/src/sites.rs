//! Static sites, below `/sites/NAME/`, at an address of their own.
//!
//! A page is whatever somebody rendered of data from anywhere, and may run programs in a reader's browser. At the address of
//! the API these would be let in as the API's own pages are; at another one browsers keep them apart.
//!
//! Only files that a site is recorded to have are handed out: what a path means is looked up there and not in the file
//! system (`path`). How a file is answered is in `answer`.

mod answer;
mod path;

use crate::auth::is_to_this_machine;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use path::SitePath;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Where sites are.
const BELOW: &str = "/sites/";

/// A site, as it was rendered.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// The folder that has its files.
    pub folder: PathBuf,
    /// What it has, by paths.
    pub files: HashMap<String, File>,
    /// The page for what is not there, where the site has one.
    pub error_document: String,
    /// What readers may keep, as the header `Cache-Control`.
    pub cache_control: String,
}

/// A file of a site.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// In bytes.
    pub size: u64,
    /// Of its content, in hexadecimal digits.
    pub sha256: String,
    /// What it is.
    pub content_type: String,
}

/// Where sites are recorded.
pub trait Shelf: Send + Sync {
    /// The site of that name, as it is shown now. It is asked where it may block.
    ///
    /// # Errors
    /// When it cannot be read.
    fn site(&self, name: &str) -> io::Result<Option<Arc<Site>>>;
}

/// Sites that are shown.
#[derive(Clone)]
pub struct Sites {
    shelf: Arc<dyn Shelf>,
    is_public: bool,
}

impl Sites {
    /// The sites of a shelf. Those that are not public are shown to readers on this machine alone, who call it by a name of
    /// its own.
    #[must_use]
    pub fn new(shelf: Arc<dyn Shelf>, is_public: bool) -> Self {
        Self { shelf, is_public }
    }

    /// The routes.
    pub fn routes(self) -> Router {
        let routes = Router::new().route("/sites/{*path}", any(show)).fallback(|| async { nothing() });
        routes.with_state(self)
    }

    /// The answer of a page that a mistake in the program ended.
    #[must_use]
    pub fn broken() -> Response {
        plain(StatusCode::INTERNAL_SERVER_ERROR, "this page cannot be shown now")
    }

    async fn site(&self, name: &str) -> Result<Option<Arc<Site>>, Response> {
        let (shelf, name) = (Arc::clone(&self.shelf), name.to_owned());
        let read = tokio::task::spawn_blocking(move || shelf.site(&name))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|error| {
            tracing::error!(%error, "a site cannot be shown");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "this site cannot be shown now")
        })
    }
}

async fn show(State(sites): State<Sites>, request: Request) -> Response {
    let is_here = is_to_this_machine(&request);
    let (head, _) = request.into_parts();
    match found(&sites, &head, is_here).await {
        Ok(response) | Err(response) => guarded(response, sites.is_public),
    }
}

async fn found(sites: &Sites, head: &Parts, is_here: bool) -> Result<Response, Response> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let refused = plain(StatusCode::METHOD_NOT_ALLOWED, "sites are only read");
        return Err(([(header::ALLOW, HeaderValue::from_static("GET, HEAD"))], refused).into_response());
    }
    if !sites.is_public && !is_here {
        let why = "it is sent to a name that is not this machine's own: set `server.sites.public`";
        return Err(plain(StatusCode::FORBIDDEN, why));
    }
    let asked = head.uri.path().strip_prefix(BELOW).and_then(SitePath::of).ok_or_else(nothing)?;
    let site = sites.site(&asked.name).await?.ok_or_else(nothing)?;
    // Relative to the path of the call, from which a proxy may have taken a prefix.
    let redirect = |folder: &str| {
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let name = folder.rsplit('/').next().unwrap_or_default();
        answer::elsewhere(&format!("./{}/{query}", path::encoded(name)))
    };
    if asked.is_bare {
        return Ok(redirect(&asked.name));
    }
    if let Some(file) = site.files.get(&asked.key) {
        return Ok(answer::file(&site, &asked.key, file, head, StatusCode::OK).await);
    }
    if !asked.is_folder && site.files.contains_key(&format!("{}/{}", asked.key, path::INDEX)) {
        return Ok(redirect(&asked.key));
    }
    match site.files.get(&site.error_document) {
        Some(file) => Ok(answer::file(&site, &site.error_document, file, head, StatusCode::NOT_FOUND).await),
        None => Err(nothing()),
    }
}

/// What holds for every answer.
fn guarded(mut response: Response, is_public: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_public {
        // Pages of others do not get to see what only this machine may.
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    }
    response
}

fn nothing() -> Response {
    plain(StatusCode::NOT_FOUND, "there is no such page")
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

//! Answers with a file of a site: whole, partial or not modified (RFC 9110).

use super::{File, Requested, Site, not_found};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use headers::{ETag, HeaderMap, HeaderMapExt, IfNoneMatch, IfRange, Range};
use std::fs;
use std::io::{self, SeekFrom};
use std::ops::Bound;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Answers with a file, or with 304 if the browser has it.
pub(super) async fn file(site: &Site, key: &str, file: Requested, call: &Parts, status: StatusCode) -> Response {
    let Requested { file, opened } = file;
    let tag = format!("\"{}\"", file.tag);
    let Ok(etag) = tag.parse::<ETag>() else { return not_found() };
    let (method, call) = (&call.method, &call.headers);
    let mut head = HeaderMap::new();
    head.typed_insert(etag.clone());
    insert(&mut head, header::CACHE_CONTROL, &site.cache_control);
    let is_found = status == StatusCode::OK;
    if is_found && call.typed_get::<IfNoneMatch>().is_some_and(|had| !had.precondition_passes(&etag)) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    insert(&mut head, header::CONTENT_TYPE, &file.content_type);
    head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let (status, first, length) = match part(call, &etag, file.size).filter(|_| is_found) {
        None => (status, 0, file.size),
        Some(Some((first, last))) => {
            insert(&mut head, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", file.size));
            (StatusCode::PARTIAL_CONTENT, first, last.saturating_sub(first).saturating_add(1))
        }
        Some(None) => {
            let mut refused = HeaderMap::new();
            insert(&mut refused, header::CONTENT_RANGE, &format!("bytes */{}", file.size));
            return (StatusCode::RANGE_NOT_SATISFIABLE, refused).into_response();
        }
    };
    head.insert(header::CONTENT_LENGTH, length.into());
    if *method == Method::HEAD {
        return (status, head).into_response();
    }
    let opened = match opened {
        Some(opened) => Ok(opened),
        None => open(site, key, &file).await,
    };
    match seek(opened, first).await {
        Ok(opened) => (status, head, Body::from_stream(ReaderStream::new(opened.take(length)))).into_response(),
        Err(error) => {
            tracing::error!(%error, key, "a file of a site differs from its record");
            super::plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot show this page now")
        }
    }
}

/// Redirects to the location of a page.
pub(super) fn redirect(location: &str) -> Response {
    let mut head = HeaderMap::new();
    insert(&mut head, header::LOCATION, location);
    (StatusCode::PERMANENT_REDIRECT, head).into_response()
}

/// The requested range: `None` for the whole file, `Some(None)` for an unsatisfiable range. A request for several
/// ranges gets the whole file, which RFC 9110 allows.
fn part(call: &HeaderMap, etag: &ETag, size: u64) -> Option<Option<(u64, u64)>> {
    let range = call.typed_get::<Range>()?;
    if call.contains_key(header::IF_RANGE) {
        // An unreadable `If-Range` counts as another version.
        let has_changed = |had: IfRange| had.is_modified(Some(etag), None);
        if call.typed_get::<IfRange>().is_none_or(has_changed) {
            return None;
        }
    }
    let mut parts = range.satisfiable_ranges(size);
    let (first, second) = (parts.next(), parts.next());
    if second.is_some() {
        return None;
    }
    let within = first.and_then(|(from, to)| {
        let last = size.checked_sub(1)?;
        let from = match from {
            Bound::Included(from) => from,
            Bound::Excluded(before) => before.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let to = match to {
            Bound::Included(to) => to.min(last),
            Bound::Excluded(after) => after.checked_sub(1)?.min(last),
            Bound::Unbounded => last,
        };
        (from <= to).then_some((from, to))
    });
    Some(within)
}

/// Opens a file of a site. Links cannot lead out of its folder.
async fn open(site: &Site, key: &str, file: &File) -> io::Result<fs::File> {
    let (folder, key, size) = (site.folder.clone(), key.to_owned(), file.size);
    let opened = tokio::task::spawn_blocking(move || {
        let opened = Dir::open_ambient_dir(folder, ambient_authority())?.open(key)?.into_std();
        let metadata = opened.metadata()?;
        match metadata.is_file() && metadata.len() == size {
            true => Ok(opened),
            false => Err(io::Error::other("its size differs from the record")),
        }
    });
    opened.await.map_err(io::Error::other)?
}

async fn seek(opened: io::Result<fs::File>, first: u64) -> io::Result<tokio::fs::File> {
    let mut opened = tokio::fs::File::from_std(opened?);
    opened.seek(SeekFrom::Start(first)).await?;
    Ok(opened)
}

fn insert(head: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        head.insert(name, value);
    }
}

//! A bucket of S3 in memory: objects, uploads in parts, and faults of parts and of the list of uploads on demand. It checks no
//! signatures, and loses the connection at the first abort of each upload.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_test_listening::{ANY, Listening, decode, lock, lost, pairs};

/// The bucket; the server has no other one.
pub(crate) const BUCKET: &str = "published";

/// What happens to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It is stored.
    Stored,
    /// It has no answer.
    Waits,
    /// It is refused.
    Refused,
}

/// How the list of uploads is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum UploadList {
    /// Page by page.
    #[default]
    Paged,
    /// With the first page each time.
    Repeated,
    /// It is refused.
    Refused,
}

#[derive(Default)]
struct Content {
    objects: BTreeMap<String, Vec<u8>>,
    /// Name of the object and parts of each upload, by its id.
    uploads: BTreeMap<String, (String, BTreeMap<u32, Vec<u8>>)>,
    /// Ids of the uploads whose first abort was lost with its connection.
    lost_aborts: BTreeSet<String>,
    second_part: Option<Part>,
    upload_list: UploadList,
    /// Number of second parts that arrived.
    second_parts: usize,
    number: usize,
}

/// The server, which ends on drop.
pub(crate) struct BucketStandIn {
    content: Arc<Mutex<Content>>,
    pub(crate) url: String,
    _listening: Listening,
}

impl BucketStandIn {
    pub(crate) fn start() -> Self {
        let content = Arc::<Mutex<Content>>::default();
        let listening = Listening::new();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&content));
        let url = listening.on(ANY, |_| routes);
        Self { content, url, _listening: listening }
    }

    /// Content of an object.
    pub(crate) fn object(&self, name: &str) -> Option<Vec<u8>> {
        lock(&self.content).objects.get(name).cloned()
    }

    /// Names of the objects of unfinished uploads.
    pub(crate) fn uploads(&self) -> Vec<String> {
        lock(&self.content).uploads.values().map(|(name, _)| name.clone()).collect()
    }

    /// Begins an upload, as another program does.
    pub(crate) fn begin_upload(&self, name: &str) {
        lock(&self.content).begin(name);
    }

    /// Decides about the second part of each upload.
    pub(crate) fn set_second_part(&self, part: Part) {
        lock(&self.content).second_part = Some(part);
    }

    /// Decides about the list of uploads.
    pub(crate) fn set_upload_list(&self, list: UploadList) {
        lock(&self.content).upload_list = list;
    }

    /// Waits until a second part arrives after this call.
    pub(crate) async fn second_part(&self) {
        let before = lock(&self.content).second_parts;
        let waiting = async {
            while lock(&self.content).second_parts == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
    }
}

impl Content {
    fn begin(&mut self, name: &str) -> String {
        self.number += 1;
        let id = format!("upload-{}", self.number);
        self.uploads.insert(id.clone(), (name.to_owned(), BTreeMap::new()));
        id
    }

    fn listed(&self, prefix: &str) -> String {
        let of = self.objects.iter().filter(|(name, _)| name.starts_with(prefix));
        let objects = of.map(|(name, bytes)| {
            let (size, tag) = (bytes.len(), tag(bytes));
            format!(
                "<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{tag}</ETag>\
                 <Size>{size}</Size></Contents>"
            )
        });
        let objects: String = objects.collect();
        format!("<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>")
    }

    /// A page has one upload, so that the list has several pages.
    fn listed_uploads(&self, prefix: &str, after: &str) -> String {
        let mut of = self.uploads.iter().filter(|(id, (name, _))| name.starts_with(prefix) && id.as_str() > after);
        let shown = of.next().map(|(id, (name, _))| {
            format!(
                "<NextKeyMarker>{name}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>\
                 <Upload><Key>{name}</Key><UploadId>{id}</UploadId></Upload>"
            )
        });
        let (shown, is_truncated) = (shown.unwrap_or_default(), of.next().is_some());
        format!(
            "<ListMultipartUploadsResult>{shown}<IsTruncated>{is_truncated}</IsTruncated></ListMultipartUploadsResult>"
        )
    }
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", base16ct::lower::encode_string(&Sha256::digest(bytes)))
}

async fn answer(State(content): State<Arc<Mutex<Content>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = decode(head.uri.path());
    let query: BTreeMap<String, String> = pairs(head.uri.query().unwrap_or_default()).collect();
    let of = |name: &str| query.get(name).cloned().unwrap_or_default();
    let part: Option<u32> = query.get("partNumber").and_then(|number| number.parse().ok());
    if part == Some(2) {
        let fate = {
            let mut content = lock(&content);
            content.second_parts += 1;
            content.second_part.unwrap_or(Part::Stored)
        };
        match fate {
            Part::Stored => {}
            Part::Waits => std::future::pending().await,
            Part::Refused => return StatusCode::FORBIDDEN.into_response(),
        }
    }
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let mut content = lock(&content);
    let Some(name) = path.strip_prefix(&format!("/{BUCKET}")).map(|name| name.trim_start_matches('/').to_owned())
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let id = query.get("uploadId").cloned();
    match (&head.method, id, part) {
        (&Method::GET, None, _) if query.contains_key("list-type") => content.listed(&of("prefix")).into_response(),
        (&Method::GET, None, _) if query.contains_key("uploads") => match content.upload_list {
            UploadList::Paged => content.listed_uploads(&of("prefix"), &of("upload-id-marker")).into_response(),
            UploadList::Repeated => content.listed_uploads(&of("prefix"), "").into_response(),
            UploadList::Refused => StatusCode::FORBIDDEN.into_response(),
        },
        (&Method::POST, None, _) if query.contains_key("uploads") => {
            let id = content.begin(&name);
            format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>")
                .into_response()
        }
        (&Method::PUT, Some(id), Some(part)) => match content.uploads.get_mut(&id) {
            Some((_, parts)) => {
                let tag = tag(&bytes);
                parts.insert(part, bytes.to_vec());
                [(header::ETAG, tag)].into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (&Method::POST, Some(id), _) => match content.uploads.remove(&id) {
            Some((name, parts)) => {
                let whole = parts.into_values().flatten().collect::<Vec<u8>>();
                let tag = tag(&whole);
                content.objects.insert(name, whole);
                format!("<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>")
                    .into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (&Method::DELETE, Some(id), _) if content.lost_aborts.insert(id.clone()) => lost(),
        (&Method::DELETE, Some(id), _) => match content.uploads.remove(&id) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (&Method::PUT, None, _) => {
            let tag = tag(&bytes);
            content.objects.insert(name, bytes.to_vec());
            [(header::ETAG, tag)].into_response()
        }
        (&Method::GET, None, _) => match content.objects.get(&name) {
            Some(bytes) => {
                let modified = (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT".to_owned());
                ([(header::ETAG, tag(bytes)), modified], bytes.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

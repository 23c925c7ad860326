//! Cache of the streams of sources. To list them, Airbyte runs a connector, which takes seconds to minutes. So answers
//! are cached for a while, few sources are queried at once, and waiting is limited.

use crate::airbyte::Airbyte;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{ErrorKind, ProviderError};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

/// Lifetime of an answer.
const CACHE_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Maximum number of concurrent queries: each runs a container on the server.
const MAX_CONCURRENT: usize = 2;
/// Maximum number of cached answers.
const MAX_ENTRIES: usize = 64;
/// Maximum wait for the streams of a source: a little less than the timeout of a lookup.
pub(crate) const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(55);

type Streams = Arc<OnceCell<Arc<Vec<Json>>>>;

/// The cached streams.
#[derive(Debug)]
pub(crate) struct Discovery {
    cells: Mutex<BTreeMap<String, (Instant, Streams)>>,
    permits: Semaphore,
}

impl Discovery {
    pub(crate) fn new() -> Self {
        Self { cells: Mutex::default(), permits: Semaphore::new(MAX_CONCURRENT) }
    }

    /// Returns the streams of a source in the API's format.
    ///
    /// # Errors
    /// If Airbyte refuses the request, or does not answer in time.
    pub(crate) async fn streams(&self, airbyte: &Airbyte<'_>, source: &str) -> Result<Arc<Vec<Json>>, ProviderError> {
        let cell = self.cell(source);
        let fetch = || async {
            let _permit = self.permits.acquire().await.map_err(|_| ProviderError::bug("the session was closed"))?;
            let request = Request::get("/streams", &[]).query("sourceId", source).timeout(DISCOVERY_TIMEOUT);
            let purpose = Purpose::read(format!("list the streams of the source `{source}`"));
            // Errors are not cached: a source may be created later.
            let answer = airbyte.read_optional(&request, &purpose).await?.ok_or_else(|| {
                ProviderError::new(ErrorKind::NotFound, format!("source `{source}` not found"))
                    .solution("plan again: the source was deleted meanwhile, or does not exist yet")
            })?;
            Ok::<_, ProviderError>(Arc::new(answer.as_array().cloned().unwrap_or_default()))
        };
        cell.get_or_try_init(fetch).await.cloned()
    }

    /// Drops the cached streams of a changed source.
    pub(crate) fn forget(&self, source: &str) {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }

    /// Returns the cache cell of a source.
    fn cell(&self, source: &str) -> Streams {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|_, (since, _)| since.elapsed() < CACHE_LIFETIME);
        if let Some((_, cell)) = cells.get(source) {
            return Arc::clone(cell);
        }
        while cells.len() >= MAX_ENTRIES {
            let Some(oldest) = cells.iter().min_by_key(|(_, (since, _))| *since).map(|(name, _)| name.clone()) else {
                break;
            };
            cells.remove(&oldest);
        }
        let cell = Streams::default();
        cells.insert(source.to_owned(), (Instant::now(), Arc::clone(&cell)));
        cell
    }
}

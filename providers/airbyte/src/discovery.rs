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
const FRESH: Duration = Duration::from_secs(5 * 60);
/// Maximum number of concurrent queries: each runs a container on the server.
const AT_ONCE: usize = 2;
/// Maximum number of cached answers.
const MOST: usize = 64;
/// Maximum wait for the streams of a source: a little less than the timeout of a lookup.
pub(crate) const PATIENCE: Duration = Duration::from_secs(55);

type Streams = Arc<OnceCell<Arc<Vec<Json>>>>;

/// The cached streams.
#[derive(Debug)]
pub(crate) struct Discovery {
    known: Mutex<BTreeMap<String, (Instant, Streams)>>,
    at_once: Semaphore,
}

impl Discovery {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), at_once: Semaphore::new(AT_ONCE) }
    }

    /// Returns the streams of a source in the API's format.
    ///
    /// # Errors
    /// If Airbyte refuses the request, or does not answer in time.
    pub(crate) async fn streams(&self, airbyte: &Airbyte<'_>, source: &str) -> Result<Arc<Vec<Json>>, ProviderError> {
        let cell = self.cell(source);
        let ask = || async {
            let _permit = self.at_once.acquire().await.map_err(|_| ProviderError::bug("the session was closed"))?;
            let request = Request::get("/streams", &[]).query("sourceId", source).timeout(PATIENCE);
            let purpose = Purpose::look(format!("list the streams of the source `{source}`"));
            // Errors are not cached: a source may be created later.
            let answer = airbyte.ask_about(&request, &purpose).await?.ok_or_else(|| {
                ProviderError::new(ErrorKind::NotFound, format!("source `{source}` not found"))
                    .solution("plan again: the source was deleted meanwhile, or does not exist yet")
            })?;
            Ok::<_, ProviderError>(Arc::new(answer.as_array().cloned().unwrap_or_default()))
        };
        cell.get_or_try_init(ask).await.cloned()
    }

    /// Drops the cached streams of a changed source.
    pub(crate) fn forget(&self, source: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }

    /// Returns the cache cell of a source.
    fn cell(&self, source: &str) -> Streams {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (since, _)| since.elapsed() < FRESH);
        if let Some((_, cell)) = known.get(source) {
            return Arc::clone(cell);
        }
        while known.len() >= MOST {
            let Some(oldest) = known.iter().min_by_key(|(_, (since, _))| *since).map(|(name, _)| name.clone()) else {
                break;
            };
            known.remove(&oldest);
        }
        let cell = Streams::default();
        known.insert(source.to_owned(), (Instant::now(), Arc::clone(&cell)));
        cell
    }
}

//! The streams that sources have. Airbyte runs a connector to tell, which takes seconds to minutes: so each source is asked
//! about once for a while, few at once, and nobody waits for long.

use crate::airbyte::Airbyte;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{ErrorKind, ProviderError};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// So many sources are asked about at once: each is a container on the other side.
const AT_ONCE: usize = 2;
/// So many answers are kept.
const MOST: usize = 64;
/// How long the streams of a source are waited for: a little less than a lookup may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(55);

type Streams = Arc<OnceCell<Arc<Vec<Json>>>>;

/// What was told of streams lately.
#[derive(Debug)]
pub(crate) struct Discovery {
    known: Mutex<BTreeMap<String, (Instant, Streams)>>,
    at_once: Semaphore,
}

impl Discovery {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), at_once: Semaphore::new(AT_ONCE) }
    }

    /// The streams of a source, as Airbyte tells them.
    ///
    /// # Errors
    /// What Airbyte says against it, or that it does not tell in time.
    pub(crate) async fn streams(&self, airbyte: &Airbyte<'_>, source: &str) -> Result<Arc<Vec<Json>>, ProviderError> {
        let cell = self.cell(source);
        let ask = || async {
            let _permit = self.at_once.acquire().await.map_err(|_| ProviderError::bug("the session was closed"))?;
            let request = Request::get("/streams", &[]).query("sourceId", source).timeout(PATIENCE);
            let purpose = Purpose::look(format!("tell the streams of the source `{source}`"));
            // An error is not kept: a source that is not there yet is asked about again.
            let told = airbyte.ask_about(&request, &purpose).await?.ok_or_else(|| {
                ProviderError::new(ErrorKind::NotFound, format!("there is no source `{source}`"))
                    .solution("plan again: it was deleted meanwhile, or is not there yet")
            })?;
            Ok::<_, ProviderError>(Arc::new(told.as_array().cloned().unwrap_or_default()))
        };
        cell.get_or_try_init(ask).await.cloned()
    }

    /// Forgets a source: it was changed.
    pub(crate) fn forget(&self, source: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }

    /// Where the answer about a source is, or will be.
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

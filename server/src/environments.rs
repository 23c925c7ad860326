//! Environments of a server: the engine's inputs for each. The caller builds them from configuration and providers.

use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_engine::blueprint::Library;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::engine::Engine;
use terrace_engine::limits::Limits;
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::store::{StateStore, StoreError};

/// The name of the request's text in diagnostics.
pub(crate) const NAME: &str = "descriptor";

/// Everything that the engine needs for one environment.
pub struct EnvironmentContext {
    /// The engine.
    pub engine: Engine,
    /// The blueprint by template id.
    pub templates: Templates,
    /// The blueprints.
    pub library: Library,
    /// The texts of the blueprints, after the one of [`sources`]. Diagnostics refer to them.
    pub sources: Sources,
    /// Whether changes may destroy data without consent for each call.
    pub is_data_loss_allowed: bool,
    /// Whether `/v1/validate` also reads remote systems.
    pub is_validated_remotely: bool,
}

/// The initial texts of an environment. The first one stands for the descriptors of later calls.
#[must_use]
pub fn sources() -> Sources {
    let mut sources = Sources::default();
    sources.add(NAME, "");
    sources
}

/// The environments that a server serves.
#[derive(Clone)]
pub struct Environments {
    contexts: Arc<BTreeMap<String, EnvironmentContext>>,
    /// Seals the bodies of requests, which may concern several environments.
    queue: Arc<Seal>,
    /// Whether a caller may declare any resource of any provider, not only those of blueprints.
    takes_stacks: bool,
    limits: Limits,
}

impl Environments {
    /// Creates the environments with the key of the queue. `takes_stacks` is for callers that are trusted with every
    /// resource of every provider.
    #[must_use]
    pub fn new(contexts: BTreeMap<String, EnvironmentContext>, queue: Arc<Seal>, takes_stacks: bool) -> Self {
        Self { contexts: Arc::new(contexts), queue, takes_stacks, limits: Limits::default() }
    }

    /// Binds all keys to the identity of this store: they seal and open only its rows and requests.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn pin_to(&self, store: &dyn StateStore) -> Result<(), StoreError> {
        let id = store.identity().await?.id;
        self.contexts.values().map(|context| &context.engine.seal).chain([&self.queue]).for_each(|seal| seal.pin(id));
        Ok(())
    }

    /// The same environments with these limits for descriptors.
    pub(crate) fn within(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// The limits of descriptors.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether callers may send plain stacks.
    pub(crate) const fn takes_stacks(&self) -> bool {
        self.takes_stacks
    }

    /// The context of an environment.
    pub(crate) fn get(&self, environment: &str) -> Option<&EnvironmentContext> {
        self.contexts.get(environment)
    }

    /// The names of all environments, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.contexts.keys().map(String::as_str).collect()
    }

    /// The seal of the requests.
    pub(crate) fn seal(&self) -> &Seal {
        &self.queue
    }

    /// The name of the environment, if there is exactly one.
    pub(crate) fn only(&self) -> Option<&str> {
        match self.names().as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }
}

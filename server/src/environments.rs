//! The environments of a server: what the engine needs for each, put together by the caller from configuration and providers.

use crate::request_context::NAME;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_engine::blueprint::Library;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::expression::Functions;
use terrace_engine::limits::Limits;
use terrace_engine::plan::compute::Environment;
use terrace_engine::registry::Registry;
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::store::{StateStore, StoreError};

/// All that the engine needs in one environment.
pub struct World {
    /// The configured instances of providers.
    pub registry: Arc<Registry>,
    /// Functions of expressions.
    pub functions: Arc<Functions>,
    /// Seals what is recorded.
    pub seal: Arc<Seal>,
    /// The environment.
    pub environment: Environment,
    /// The blueprint by template id.
    pub templates: Templates,
    /// The blueprints.
    pub library: Library,
    /// The texts of the blueprints, behind that of [`sources`]: what is wrong points into them.
    pub sources: Sources,
    /// The version of terrace that plans say made them.
    pub version: &'static str,
    /// Changes may destroy data without being asked for each time.
    pub is_data_loss_allowed: bool,
    /// `/v1/validate` asks remote systems, too.
    pub is_validated_remotely: bool,
}

/// The texts of a world, before any of its blueprints is read: the first one stands for the descriptors that come.
#[must_use]
pub fn sources() -> Sources {
    let mut sources = Sources::default();
    sources.add(NAME, "");
    sources
}

/// The environments that a server works in.
#[derive(Clone)]
pub struct Environments {
    worlds: Arc<BTreeMap<String, World>>,
    /// Seals the bodies of requests, which may be about several environments.
    queue: Arc<Seal>,
    /// A caller may declare any resource of any provider, not only what blueprints make of data products.
    takes_stacks: bool,
    limits: Limits,
}

impl Environments {
    /// Those environments, with the key of the queue; `takes_stacks` where callers are trusted with every resource of every
    /// provider.
    #[must_use]
    pub fn new(worlds: BTreeMap<String, World>, queue: Arc<Seal>, takes_stacks: bool) -> Self {
        Self { worlds: Arc::new(worlds), queue, takes_stacks, limits: Limits::default() }
    }

    /// Names the only store whose rows and requests all keys seal and open.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(crate) async fn pin_to(&self, store: &dyn StateStore) -> Result<(), StoreError> {
        let id = store.identity().await?.id;
        self.worlds.values().map(|world| &world.seal).chain([&self.queue]).for_each(|seal| seal.pin(id));
        Ok(())
    }

    /// The same environments for descriptors that have to keep to these limits.
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

    /// The world of an environment.
    pub(crate) fn get(&self, environment: &str) -> Option<&World> {
        self.worlds.get(environment)
    }

    /// The names of all, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.worlds.keys().map(String::as_str).collect()
    }

    /// What requests are sealed with.
    pub(crate) fn seal(&self) -> &Seal {
        &self.queue
    }

    /// The only one, where there is but one.
    pub(crate) fn only(&self) -> Option<&str> {
        match self.names().as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }
}

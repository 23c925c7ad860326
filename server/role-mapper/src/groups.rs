//! Groups of a user: from a claim of the token, from Microsoft Graph, or from both.

mod graph;

use graph::Graph;
pub use graph::GraphSettings;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_server::jwt::claim;
use tokio::time::Instant;

/// The most users in the cache.
const MOST_CACHED: usize = 10_000;

/// Why the groups of a user are unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupsError {
    /// The user does not exist.
    UnknownUser(String),
    /// The source is not available.
    Unavailable(String),
}

/// The groups of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserGroups {
    /// Their names.
    pub(crate) names: BTreeSet<String>,
    /// True if the token omits the groups because there are too many, and no other source is configured.
    pub(crate) are_omitted: bool,
}

/// The sources of groups.
pub(crate) struct Groups {
    claim: Option<String>,
    graph: Option<(Graph, Cache)>,
}

impl Groups {
    /// Creates the sources: a claim, and Graph if it is configured.
    ///
    /// # Errors
    /// When the settings of Graph are invalid, with the reason.
    pub(crate) fn new(claim: Option<String>, graph: Option<GraphSettings>) -> Result<Self, String> {
        let graph = graph.map(|settings| {
            let cache = Cache::new(settings.cache_time, MOST_CACHED);
            Graph::new(settings).map(|graph| (graph, cache))
        });
        Ok(Self { claim, graph: graph.transpose()? })
    }

    /// The names of a user's groups, by the claims of the token.
    ///
    /// # Errors
    /// When the groups cannot be read.
    pub(crate) async fn of(&self, claims: &Map<String, Json>) -> Result<UserGroups, GroupsError> {
        let mut names = self.claim.as_deref().and_then(|path| claim(claims, path)).map(listed).unwrap_or_default();
        let Some((graph, cache)) = &self.graph else {
            let are_omitted = self.claim.as_deref().is_some_and(|name| are_omitted(claims, name));
            return Ok(UserGroups { names, are_omitted });
        };
        let user = graph.user(claims)?;
        names.extend(cache.get(&user, || graph.groups(&user)).await?.iter().cloned());
        Ok(UserGroups { names, are_omitted: false })
    }
}

/// Whether a token omits a claim because it would be too long. Entra then names another source, or states only that
/// groups exist (<https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>).
fn are_omitted(claims: &Map<String, Json>, name: &str) -> bool {
    let is_elsewhere = claims.get("_claim_names").is_some_and(|names| names.get(name).is_some());
    let is_counted = claims.get("hasgroups").is_some_and(|has| has == true || has == "true");
    claim(claims, name).is_none() && (is_elsewhere || is_counted)
}

/// A list of names, or one name.
fn listed(value: &Json) -> BTreeSet<String> {
    match value {
        Json::Array(list) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        Json::String(one) => [one.clone()].into(),
        _ => BTreeSet::new(),
    }
}

type Names = Arc<BTreeSet<String>>;
/// The entry of one user. It is locked during a query, so that further callers wait for the same answer.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Names)>>>;

/// A cache of groups for a limited time.
struct Cache {
    ttl: Duration,
    most: usize,
    slots: Mutex<BTreeMap<String, Slot>>,
}

impl Cache {
    fn new(ttl: Duration, most: usize) -> Self {
        Self { ttl, most, slots: Mutex::default() }
    }

    fn slot(&self, user: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(user) {
            return Arc::clone(slot);
        }
        if slots.len() >= self.most {
            slots.retain(|_, slot| {
                slot.try_lock().is_ok_and(|cached| cached.as_ref().is_some_and(|it| self.is_fresh(it.0)))
            });
        }
        if slots.len() >= self.most {
            slots.clear();
        }
        Arc::clone(slots.entry(user.to_owned()).or_default())
    }

    fn is_fresh(&self, since: Instant) -> bool {
        since.elapsed() < self.ttl
    }

    async fn get<F>(&self, user: &str, fetch: impl FnOnce() -> F) -> Result<Names, GroupsError>
    where
        F: Future<Output = Result<BTreeSet<String>, GroupsError>>,
    {
        let slot = self.slot(user);
        let mut cached = slot.lock().await;
        if let Some((since, names)) = &*cached
            && self.is_fresh(*since)
        {
            return Ok(Arc::clone(names));
        }
        // Errors are not cached: the source may be available again.
        let names = Arc::new(fetch().await?);
        *cached = Some((Instant::now(), Arc::clone(&names)));
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn groups_are_cached_and_fetched_once() {
        let (cache, fetches) = (Cache::new(Duration::from_secs(60), 2), AtomicUsize::new(0));
        let get = |user: &'static str| {
            cache.get(user, || async {
                fetches.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(BTreeSet::from(["dev".to_owned()]))
            })
        };
        let (first, second) = tokio::join!(get("ada"), get("ada"));
        assert_eq!((first, fetches.load(Ordering::SeqCst)), (second, 1));
        tokio::time::advance(Duration::from_secs(58)).await;
        get("ada").await.unwrap();
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        get("ada").await.unwrap();
        assert_eq!(fetches.load(Ordering::SeqCst), 2);
        for user in ["eve", "bob", "sam", "kim"] {
            get(user).await.unwrap();
            assert!(cache.slots.lock().unwrap().len() <= 2);
        }
    }

    #[tokio::test]
    async fn errors_are_not_cached() {
        let cache = Cache::new(Duration::from_secs(60), 2);
        let unavailable = || async { Err(GroupsError::Unavailable("away".to_owned())) };
        assert!(cache.get("ada", unavailable).await.is_err());
        let found = cache.get("ada", || async { Ok(BTreeSet::new()) }).await;
        assert_eq!(found.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn omitted_groups_of_a_token_are_noticed() {
        let groups = Groups::new(Some("groups".to_owned()), None).unwrap();
        for (claims, names, are_omitted) in [
            (serde_json::json!({"groups": ["a"]}), &["a"][..], false),
            (serde_json::json!({}), &[], false),
            (serde_json::json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}}), &[], true),
            (serde_json::json!({"_claim_names": {"roles": "src1"}}), &[], false),
            (serde_json::json!({"hasgroups": true}), &[], true),
            (serde_json::json!({"hasgroups": "true"}), &[], true),
        ] {
            let found = groups.of(claims.as_object().unwrap()).await.unwrap();
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(found, UserGroups { names, are_omitted }, "{claims}");
        }
    }

    #[test]
    fn claim_is_a_list_or_one_name() {
        assert_eq!(listed(&serde_json::json!(["a b", 7, "c"])), ["a b".to_owned(), "c".to_owned()].into());
        assert_eq!(listed(&serde_json::json!("a b")), ["a b".to_owned()].into());
        assert!(listed(&serde_json::json!({"a": 1})).is_empty());
    }
}

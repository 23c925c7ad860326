//! Other operators of the whole cluster: of several, in different namespaces, the one with the oldest Lease works.
//!
//! A Lease excludes only processes of its own namespace, and each installation has its own state. An operator looks for older
//! Leases of its name in all namespaces. A Lease is in use if its holder renews it.

use crate::leader::{DURATION, PAUSE, TIMEOUT};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The pause between looks at other Leases after the start.
const INTERVAL: Duration = Duration::from_secs(10);

/// Watches the older Leases of the same name.
pub(crate) struct OtherOperators {
    leases: Api<Lease>,
    name: String,
    namespace: String,
    /// The versions of the older Leases at the last look, by namespace.
    seen: BTreeMap<String, String>,
}

/// The older Leases at one look.
#[derive(Debug, PartialEq, Eq)]
enum Older {
    /// No older Lease has a holder.
    None,
    /// An older Lease has a holder, which may have ended.
    Held,
    /// The Lease of this namespace was renewed since the look before.
    Renewed(String),
}

impl OtherOperators {
    /// For the Lease of an operator.
    pub(crate) fn new(client: Client, name: String, namespace: String) -> Self {
        Self { leases: Api::all(client), name, namespace, seen: BTreeMap::new() }
    }

    /// The namespace of an older Lease in use.
    pub(crate) async fn find_older(&mut self) -> Option<String> {
        let begun = Instant::now();
        loop {
            match self.look().await {
                Older::Renewed(namespace) => return Some(namespace),
                Older::Held if begun.elapsed() < DURATION => tokio::time::sleep(PAUSE).await,
                Older::None | Older::Held => return None,
            }
        }
    }

    /// Waits for an older Lease in use, and returns its namespace.
    pub(crate) async fn wait_for_older(&mut self) -> String {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Older::Renewed(namespace) = self.look().await {
                return namespace;
            }
        }
    }

    async fn look(&mut self) -> Older {
        let named = ListParams::default().fields(&format!("metadata.name={}", self.name));
        let why = match tokio::time::timeout(TIMEOUT, self.leases.list(&named)).await {
            Ok(Ok(found)) => return older(&found.items, &self.namespace, &mut self.seen),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        // An outage, or rights of an older chart: the operator works without this look.
        tracing::debug!(error = why, "the leases of other namespaces cannot be listed");
        Older::None
    }
}

/// Compares the Leases of all namespaces with that of an operator, and notes their versions.
fn older(leases: &[Lease], own_namespace: &str, seen: &mut BTreeMap<String, String>) -> Older {
    // The cluster names the time of a creation in whole seconds.
    let age = |lease: &Lease| (lease.creation_timestamp(), lease.namespace());
    let own = leases.iter().find(|lease| lease.namespace().as_deref() == Some(own_namespace)).map(age);
    let is_held = |lease: &&Lease| {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder.is_some_and(|holder| !holder.is_empty())
    };
    let held = leases.iter().filter(is_held).filter(|lease| own.as_ref().is_some_and(|own| age(lease) < *own));
    let versions = |lease: &Lease| Some((lease.namespace()?, lease.resource_version()?));
    let found: BTreeMap<String, String> = held.filter_map(versions).collect();
    let before = std::mem::replace(seen, found);
    let is_renewed =
        |(namespace, version): &(&String, &String)| before.get(*namespace).is_some_and(|before| before != *version);
    match seen.iter().find(is_renewed) {
        Some((namespace, _)) => Older::Renewed(namespace.clone()),
        None if seen.is_empty() => Older::None,
        None => Older::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lease(namespace: &str, created: &str, version: &str, holder: &str) -> Lease {
        let metadata = json!({"name": "terrace-operator", "namespace": namespace, "creationTimestamp": created,
            "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"holderIdentity": holder}})).unwrap()
    }

    fn looked(own: &str, looks: &[&[Lease]]) -> Vec<Older> {
        let mut seen = BTreeMap::new();
        looks.iter().map(|leases| older(leases, own, &mut seen)).collect()
    }

    const EARLY: &str = "2026-11-01T10:00:00Z";
    const LATE: &str = "2026-11-01T10:00:01Z";

    #[test]
    fn renewed_older_lease_is_found_and_a_younger_one_is_not() {
        let first = [lease("a", LATE, "1", "x"), lease("b", EARLY, "2", "y")];
        let second = [lease("a", LATE, "3", "x"), lease("b", EARLY, "4", "y")];
        assert_eq!(looked("a", &[&first, &second]), [Older::Held, Older::Renewed("b".to_owned())]);
        assert_eq!(looked("b", &[&first, &second]), [Older::None, Older::None]);
    }

    #[test]
    fn of_leases_of_the_same_second_the_namespace_decides() {
        let first = [lease("a", EARLY, "1", "x"), lease("b", EARLY, "2", "y")];
        let second = [lease("a", EARLY, "3", "x"), lease("b", EARLY, "4", "y")];
        assert_eq!(looked("a", &[&first, &second]), [Older::None, Older::None]);
        assert_eq!(looked("b", &[&first, &second]), [Older::Held, Older::Renewed("a".to_owned())]);
    }

    #[test]
    fn abandoned_and_released_leases_do_not_count() {
        let own = lease("a", LATE, "1", "x");
        let abandoned = [own.clone(), lease("b", EARLY, "2", "y")];
        assert_eq!(looked("a", &[&abandoned, &abandoned, &abandoned]), [Older::Held, Older::Held, Older::Held]);
        let released = [own, lease("b", EARLY, "3", "")];
        assert_eq!(looked("a", &[&abandoned, &released]), [Older::Held, Older::None]);
    }
}

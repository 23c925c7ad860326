//! Other operators of the whole cluster: of several, in different namespaces, the one with the oldest Lease works.
//!
//! A Lease excludes only processes of the same namespace, and each installation has another state. An operator looks for older
//! Leases of its name in all namespaces. A Lease is in use if its holder renews it.

use crate::leader::{PAUSE, TIMEOUT};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;
use terrace_provider::error::with_causes;
use tokio::time::Instant;

/// The pause between looks at other Leases after the start.
const INTERVAL: Duration = Duration::from_secs(10);
/// The longest time without a renewal of a Lease in use: another process of its installation takes it earlier.
const TAKEOVER: Duration = Duration::from_secs(30);

/// Watches the older Leases of the same name.
pub(crate) struct OtherOperators {
    leases: Api<Lease>,
    name: String,
    namespace: String,
    /// The versions of the older Leases at the last look, by namespace.
    seen: BTreeMap<String, String>,
    /// True after the cluster refused the list, which is logged once.
    is_refused: bool,
}

/// The older Leases at one look.
#[derive(Debug, PartialEq, Eq)]
enum Older {
    /// No older Lease has a holder, or the cluster does not let this operator list them.
    None,
    /// An older Lease has a holder, which may have ended. Or the cluster does not answer.
    Held,
    /// The Lease of this namespace was renewed since the look before.
    Renewed(String),
}

impl OtherOperators {
    /// For the Lease of an operator.
    pub(crate) fn new(client: Client, name: String, namespace: String) -> Self {
        Self { leases: Api::all(client), name, namespace, seen: BTreeMap::new(), is_refused: false }
    }

    /// The namespace of an older Lease in use.
    pub(crate) async fn find_older(&mut self) -> Option<String> {
        let begun = Instant::now();
        loop {
            match self.look().await {
                Older::Renewed(namespace) => return Some(namespace),
                Older::Held if begun.elapsed() < TAKEOVER => tokio::time::sleep(PAUSE).await,
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
        match tokio::time::timeout(TIMEOUT, self.leases.list(&named)).await {
            Ok(Ok(found)) => older(&found.items, &self.namespace, &mut self.seen),
            // The rights are those of an older chart.
            Ok(Err(kube::Error::Api(answer))) if answer.code == 403 => {
                if !std::mem::replace(&mut self.is_refused, true) {
                    let error = &answer.message;
                    tracing::warn!(
                        error,
                        "other operators of the cluster cannot be found: update the rights of the chart"
                    );
                }
                Older::None
            }
            Ok(Err(error)) => {
                tracing::debug!(error = with_causes(&error), "other operators of the cluster cannot be listed now");
                Older::Held
            }
            Err(_) => Older::Held,
        }
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
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    fn lease(namespace: &str, created: &str, version: &str, holder: &str) -> Lease {
        let metadata = json!({"name": "terrace-operator", "namespace": namespace, "creationTimestamp": created,
            "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"holderIdentity": holder}})).unwrap()
    }

    fn looked(own: &str, looks: &[&[Lease]]) -> Vec<Older> {
        let mut seen = BTreeMap::new();
        looks.iter().map(|leases| older(leases, own, &mut seen)).collect()
    }

    /// Operators of a cluster that gives these answers, and then the last one again.
    async fn with_answers(answers: Vec<(u16, serde_json::Value)>) -> OtherOperators {
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let answer = async move || {
            let mut answers = answers.lock().unwrap();
            let next = answers.pop_front().unwrap();
            if answers.is_empty() {
                answers.push_back(next.clone());
            }
            (axum::http::StatusCode::from_u16(next.0).unwrap(), axum::Json(next.1))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = Client::try_from(kube::Config::new(url)).unwrap();
        OtherOperators::new(client, "terrace-operator".to_owned(), "a".to_owned())
    }

    fn refusal(code: u16) -> (u16, serde_json::Value) {
        (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": code}))
    }

    fn listed(leases: &[Lease]) -> (u16, serde_json::Value) {
        (200, json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": {}, "items": leases}))
    }

    #[tokio::test]
    async fn failed_list_does_not_hide_an_older_operator() {
        let first = listed(&[lease("a", LATE, "1", "x"), lease("b", EARLY, "2", "y")]);
        let second = listed(&[lease("a", LATE, "3", "x"), lease("b", EARLY, "4", "y")]);
        let mut others = with_answers(vec![refusal(500), first, second]).await;
        assert_eq!(others.find_older().await.as_deref(), Some("b"));
    }

    #[tokio::test]
    async fn operator_without_the_right_works() {
        assert_eq!(with_answers(vec![refusal(403)]).await.find_older().await, None);
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

//! Creates, changes and removes a port. Each call fails once before and once after its effect, and the next run reaches
//! the same end as a run without faults.

use crate::harness::{BINDING, Instance, PERMISSION, ROLE, SOURCE, TABLE, permission, source, stand_in, table};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, Found, ProviderError, Recorded};
use terrace_test_hasura::{Fault, Mapper, StandIn};

/// The objects of a port in order; on the second call with other names and members.
fn port(second: bool) -> Vec<(&'static str, Json)> {
    let prefix = if second { "b_" } else { "a_" };
    let mut permitted = permission("s", "ORDERS", "port_role");
    permitted["allowAggregations"] = second.into();
    let users = if second { json!(["user:ada"]) } else { json!(["user:ada", "user:eve"]) };
    vec![
        (SOURCE, source("s")),
        (TABLE, table("s", "ORDERS", prefix)),
        (PERMISSION, permitted),
        (ROLE, json!({"roleId": "port_role", "componentId": "urn:port", "rootFields": [format!("{prefix}select")]})),
        (BINDING, json!({"roleId": "port_role", "users": users, "groups": ["group:dev"]})),
    ]
}

/// Acts like the engine after an error: searches if the outcome is unknown, and continues.
async fn settle(
    instance: &Instance,
    (ty, config): (&str, &Json),
    prior: Option<&Recorded>,
    error: &ProviderError,
) -> Option<Recorded> {
    if !matches!(error.kind, ErrorKind::Ambiguous | ErrorKind::Failed) {
        return None;
    }
    match instance.find(ty, config, prior, true).await.unwrap() {
        Found::Own(observed) => {
            let planned = prior.map(|prior| prior.attributes.clone()).unwrap_or_default();
            Some(crate::harness::recorded(&planned, observed))
        }
        Found::Absent => None,
        other => panic!("{ty}: {other:?}"),
    }
}

/// Creates or changes the port, with retries after failures; returns the number of runs.
async fn apply(instance: &Instance, rows: &mut [Option<Recorded>], wanted: &[(&'static str, Json)]) -> usize {
    for run in 1..=3 {
        let mut is_done = true;
        for (index, (ty, config)) in wanted.iter().enumerate() {
            let now = match rows[index].clone() {
                Some(row) => match instance.read(ty, &row).await {
                    Ok(read) => read,
                    Err(error) => {
                        assert!(error.kind.is_temporary() || error.kind == ErrorKind::Failed, "{error}");
                        is_done = false;
                        break;
                    }
                },
                None => None,
            };
            let done = match &now {
                None => instance.create(ty, config).await,
                Some(row) if instance.changes(ty, row, config).await.is_empty() => Ok(row.clone()),
                Some(row) => instance.update(ty, row, config).await,
            };
            match done {
                Ok(row) => rows[index] = Some(row),
                Err(error) => {
                    if let Some(row) = settle(instance, (ty, config), now.as_ref(), &error).await {
                        rows[index] = Some(row);
                    }
                    is_done = false;
                    break;
                }
            }
        }
        if is_done {
            return run;
        }
    }
    panic!("three runs are not enough");
}

async fn remove(instance: &Instance, rows: &mut [Option<Recorded>], wanted: &[(&'static str, Json)]) {
    for _ in 1..=3 {
        let mut is_done = true;
        for index in (0..rows.len()).rev() {
            let Some(row) = rows[index].clone() else { continue };
            match instance.delete(wanted[index].0, &row).await {
                Ok(()) => rows[index] = None,
                Err(_) => {
                    is_done = false;
                    break;
                }
            }
        }
        if is_done {
            return;
        }
    }
    panic!("three runs are not enough");
}

/// The whole life of a port: the state after each part.
async fn lifecycle(stand_in: &StandIn) -> [Vec<String>; 3] {
    let instance = Instance::of(stand_in).await;
    let mut rows: Vec<Option<Recorded>> = vec![None; 5];
    let mut ends = Vec::new();
    for second in [false, true] {
        let wanted = port(second);
        apply(&instance, &mut rows, &wanted).await;
        stand_in.faults().by_number.retain(|_, _| true);
        for (index, (ty, config)) in wanted.iter().enumerate() {
            let row = rows[index].clone().unwrap();
            // A pending fault may hit this read.
            if let Ok(Some(read)) = instance.read(ty, &row).await {
                assert_eq!(instance.changes(ty, &read, config).await, [] as [String; 0], "{ty}");
            }
        }
        ends.push(stand_in.inventory());
    }
    remove(&instance, &mut rows, &port(true)).await;
    ends.push(stand_in.inventory());
    ends.try_into().unwrap()
}

#[tokio::test]
async fn any_failed_call_leads_to_the_same_end() {
    for mapper in [Mapper::Extended, Mapper::Old] {
        let without_faults = stand_in(mapper);
        let expected = lifecycle(&without_faults).await;
        let count = without_faults.count();
        assert!(count > 30, "{count}");
        let gone = match mapper {
            Mapper::Extended => 0,
            // It cannot remove roles: the remaining role has no members.
            Mapper::Old => 2,
        };
        assert_eq!(expected[2].len(), gone, "{:?}", expected[2]);
        let cases = (1..=count).flat_map(|number| [(number, Fault::Fails), (number, Fault::LostAfter)]);
        // Most of a life is a pause before a retry.
        let lives = stream::iter(cases).for_each_concurrent(16, async |(number, fault)| {
            let stand_in = stand_in(mapper);
            stand_in.faults().by_number.insert(number, fault);
            let ends = lifecycle(&stand_in).await;
            assert_eq!(ends, expected, "call {number} of {count}, {fault:?}, {mapper:?}");
        });
        lives.await;
    }
}

/// All answers are lost, so that only a read determines the outcome.
#[tokio::test]
async fn write_with_lost_answers_is_found_by_a_read() {
    for (line, after) in [("bulk", true), ("PUT /v1/roles", true), ("PUT /v1/user_roles", true), ("bulk", false)] {
        let without_faults = stand_in(Mapper::Extended);
        let expected = lifecycle(&without_faults).await;
        let stand_in = stand_in(Mapper::Extended);
        let fault = if after { Fault::LostAfter } else { Fault::LostBefore };
        stand_in.faults().by_text = (0..5).map(|_| (line.to_owned(), fault)).collect();
        assert_eq!(lifecycle(&stand_in).await, expected, "{line}");
    }
}

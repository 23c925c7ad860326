//! Behaviours of plans.

use super::bench::Bench;
use super::{Behaviour, Checked, Verdict};
use crate::Value;

/// Each is about `plan` alone, over objects that are there or not.
pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour { name: "a second plan is empty", check: |bench| Box::pin(second_plan_is_empty(bench)) },
    Behaviour { name: "planning twice gives the same plan", check: |bench| Box::pin(planning_is_repeatable(bench)) },
    Behaviour { name: "unknown values can be planned", check: |bench| Box::pin(unknown_values_can_be_planned(bench)) },
    Behaviour { name: "planning changes nothing", check: |bench| Box::pin(planning_changes_nothing(bench)) },
];

async fn second_plan_is_empty(bench: &Bench<'_>) -> Checked {
    let config = &bench.fixture.config;
    let created = bench.create(config).await?;
    bench.expect_no_change(&created, config).await?;
    if bench.is_readable() {
        let read = bench.read_present(&created).await?;
        bench.expect_no_change(&read, config).await.map_err(|problem| format!("after reading, {problem}"))?;
    }
    Ok(Verdict::Shown)
}

async fn planning_is_repeatable(bench: &Bench<'_>) -> Checked {
    let config = &bench.fixture.config;
    let (first, second) = (bench.plan(None, config).await?, bench.plan(None, config).await?);
    if first == second { Ok(Verdict::Shown) } else { Err("two plans of one configuration differ".to_owned()) }
}

async fn unknown_values_can_be_planned(bench: &Bench<'_>) -> Checked {
    for name in bench.fixture.config.keys() {
        let mut config = bench.fixture.config.clone();
        config.insert(name.clone(), Value::Unknown);
        let planned = bench.plan(None, &config).await.map_err(|problem| format!("with `{name}` unknown, {problem}"))?;
        if planned.planned.get(name).is_none_or(|value| !value.is_unknown()) {
            return Err(format!("the plan pretends to know `{name}`"));
        }
    }
    Ok(Verdict::Shown)
}

async fn planning_changes_nothing(bench: &Bench<'_>) -> Checked {
    if !bench.is_readable() {
        return Ok(Verdict::NotApplicable("objects of this fixture are not readable"));
    }
    let created = bench.create(&bench.fixture.config).await?;
    let before = bench.read_present(&created).await?;
    for config in [&bench.fixture.update, &bench.fixture.replace].into_iter().flatten() {
        bench.plan(Some(&before), config).await?;
    }
    let after = bench.read_present(&created).await?;
    if before.attributes == after.attributes {
        Ok(Verdict::Shown)
    } else {
        Err("planning changed the object".to_owned())
    }
}

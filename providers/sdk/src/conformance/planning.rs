//! Behaviours of plans.

use super::Verdict;
use super::behaviour::{Behaviour, Checked};
use super::bench::Bench;
use crate::{Attributes, Value};

/// Behaviours of `plan` alone, with and without an existing object.
pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour { name: "a second plan is empty", check: |bench| Box::pin(second_plan_is_empty(bench)) },
    Behaviour { name: "planning twice gives the same plan", check: |bench| Box::pin(planning_is_repeatable(bench)) },
    Behaviour { name: "unknown values can be planned", check: |bench| Box::pin(unknown_values_can_be_planned(bench)) },
    Behaviour {
        name: "a value derived from a secret is sensitive",
        check: |bench| Box::pin(secrets_stay_secret(bench)),
    },
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
            return Err(format!("the plan has a known value for `{name}`"));
        }
    }
    Ok(Verdict::Shown)
}

/// Marks the whole identity as sensitive: no value that the provider derives from it, such as an id or a path, may
/// reveal it.
async fn secrets_stay_secret(bench: &Bench<'_>) -> Checked {
    let mut config = bench.fixture.config.clone();
    let mut names = Vec::new();
    for name in bench.ty.identity {
        let Some(value) = config.get_mut(*name) else { continue };
        names.extend(value.as_str().map(str::to_owned));
        *value = Value::sensitive(std::mem::take(value));
    }
    if names.is_empty() {
        return Ok(Verdict::NotApplicable("no text of the configuration names the object"));
    }
    let check = |what: &str, attributes: &Attributes| {
        // The engine marks configured values, so a call may return them.
        let derived = attributes.iter().filter(|(name, _)| !config.contains_key(*name));
        let revealing = derived.map(|(name, value)| (name, value.to_json().to_string()));
        let mut revealing = revealing.filter(|(_, shown)| names.iter().any(|secret| shown.contains(secret.as_str())));
        revealing.next().map_or(Ok(()), |(name, _)| {
            Err(format!("{what} reveals in `{name}` the object's identity, which is sensitive here"))
        })
    };
    let plan = bench.plan(None, &config).await?;
    check("the plan", &plan.planned)?;
    let created = bench.create_planned(&plan).await?;
    check("create", &created.attributes)?;
    if bench.is_readable() {
        check("read", &bench.read_present(&created).await?.attributes)?;
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

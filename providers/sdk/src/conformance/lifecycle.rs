//! Behaviours of objects from creation to deletion.

use super::behaviour::{Behaviour, Checked};
use super::bench::{Bench, failed, paths};
use super::{Verdict, contract};
use crate::DataAmount;

/// In the order in which a provider implements them.
pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour { name: "a created object reads as returned", check: |bench| Box::pin(created_reads_same(bench)) },
    Behaviour { name: "read_many and read agree", check: |bench| Box::pin(many_reads(bench)) },
    Behaviour { name: "an update happens in place", check: |bench| Box::pin(update_in_place(bench)) },
    Behaviour { name: "a replacement is planned and works", check: |bench| Box::pin(replacement(bench)) },
    Behaviour { name: "a second delete succeeds", check: |bench| Box::pin(delete_twice(bench)) },
    Behaviour { name: "a removed object cannot be read", check: |bench| Box::pin(removed_cannot_be_read(bench)) },
    Behaviour { name: "drift is found and repaired", check: |bench| Box::pin(drift_is_repaired(bench)) },
    Behaviour { name: "data is counted", check: |bench| Box::pin(data_is_counted(bench)) },
];

async fn created_reads_same(bench: &Bench<'_>) -> Checked {
    let created = bench.create(&bench.fixture.config).await?;
    if !bench.is_readable() {
        return Ok(Verdict::Shown);
    }
    let read = bench.read_present(&created).await?;
    match contract::first_change(bench.ty, &created.attributes, &read.attributes) {
        Some(change) => Err(format!("reading differs from what create returned: {change}")),
        None => Ok(Verdict::Shown),
    }
}

async fn many_reads(bench: &Bench<'_>) -> Checked {
    if !bench.is_readable() {
        return Ok(Verdict::NotApplicable("objects of this fixture are not readable"));
    }
    let created = bench.create(&bench.fixture.config).await?;
    let single = bench.session.read(bench.ty, &created).await.map_err(|error| failed("read", &error))?;
    let many = bench.session.read_many(bench.ty, &[created.clone(), created]).await;
    if many.len() != 2 {
        return Err(format!("two reads got {} answers", many.len()));
    }
    for answer in many {
        if answer.map_err(|error| failed("read_many", &error))? != single {
            return Err("read_many and read differ".to_owned());
        }
    }
    Ok(Verdict::Shown)
}

async fn update_in_place(bench: &Bench<'_>) -> Checked {
    let Some(config) = &bench.fixture.update else {
        return Ok(Verdict::NotApplicable("the fixture has no configuration that updates"));
    };
    let created = bench.create(&bench.fixture.config).await?;
    let updated = bench.update(&created, config).await?;
    if let Some(name) =
        bench.ty.identity.iter().find(|name| created.identity.get(**name) != updated.identity.get(**name))
    {
        return Err(format!("the update changed the identity `{name}`"));
    }
    let read = if bench.is_readable() { bench.read_present(&updated).await? } else { updated };
    bench.expect_no_change(&read, config).await?;
    Ok(Verdict::Shown)
}

async fn replacement(bench: &Bench<'_>) -> Checked {
    let Some(config) = &bench.fixture.replace else {
        return Ok(Verdict::NotApplicable("the fixture has no configuration that replaces"));
    };
    let created = bench.create(&bench.fixture.config).await?;
    let plan = bench.plan(Some(&created), config).await?;
    if plan.replace_paths.is_empty() {
        return Err("the plan does not replace".to_owned());
    }
    if let Some(path) = plan
        .replace_paths
        .iter()
        .find(|path| path.first_key().is_none_or(|name| bench.ty.attributes.get(name).is_none()))
    {
        return Err(format!("the plan replaces because of `{path}`, which is not in the schema (of {})", paths(&plan)));
    }
    bench.delete(&created).await?;
    bench.begin_operation();
    let replaced = bench.create_planned(&plan).await?;
    let read = if bench.is_readable() { bench.read_present(&replaced).await? } else { replaced };
    bench.expect_no_change(&read, config).await?;
    Ok(Verdict::Shown)
}

async fn delete_twice(bench: &Bench<'_>) -> Checked {
    let created = bench.create(&bench.fixture.config).await?;
    bench.delete(&created).await?;
    if bench.is_readable() && bench.read(&created).await?.is_some() {
        return Err("a deleted object can still be read".to_owned());
    }
    bench.delete(&created).await.map_err(|problem| format!("the second time, {problem}"))?;
    Ok(Verdict::Shown)
}

async fn removed_cannot_be_read(bench: &Bench<'_>) -> Checked {
    let Some(remove) = &bench.fixture.remove else {
        return Ok(Verdict::NotApplicable("the fixture cannot remove the object"));
    };
    let created = bench.create(&bench.fixture.config).await?;
    remove(created.clone()).await;
    match bench.read(&created).await? {
        Some(_) => Err("a removed object can still be read".to_owned()),
        None => Ok(Verdict::Shown),
    }
}

async fn drift_is_repaired(bench: &Bench<'_>) -> Checked {
    let Some(tamper) = &bench.fixture.tamper else {
        return Ok(Verdict::NotApplicable("the fixture cannot tamper with the object"));
    };
    let config = &bench.fixture.config;
    let created = bench.create(config).await?;
    tamper(created.clone()).await;
    let drifted = bench.read_present(&created).await?;
    if contract::first_change(bench.ty, &created.attributes, &drifted.attributes).is_none() {
        return Err("reading a changed object shows no difference".to_owned());
    }
    let plan = bench.plan(Some(&drifted), config).await?;
    if contract::is_no_change(bench.ty, &drifted, &plan) {
        return Err("the plan does not repair a changed object".to_owned());
    }
    let repaired = if plan.replace_paths.is_empty() {
        bench.update(&drifted, config).await?
    } else {
        bench.delete(&drifted).await?;
        bench.begin_operation();
        bench.create_planned(&plan).await?
    };
    let read = bench.read_present(&repaired).await?;
    bench.expect_no_change(&read, config).await?;
    Ok(Verdict::Shown)
}

async fn data_is_counted(bench: &Bench<'_>) -> Checked {
    if !bench.ty.holds_data {
        return Ok(Verdict::NotApplicable("the type holds no data"));
    }
    let created = bench.create(&bench.fixture.config).await?;
    let count =
        async || bench.session.count_data(bench.ty, &created).await.map_err(|error| failed("count_data", &error));
    if let DataAmount::Some { text, .. } = count().await? {
        return Err(format!("a new object counts as holding {text}"));
    }
    let Some(fill) = &bench.fixture.fill else { return Ok(Verdict::Shown) };
    fill(created.clone()).await;
    match count().await? {
        DataAmount::Empty => Err("an object with data counts as empty".to_owned()),
        DataAmount::Some { count: 0, text } => Err(format!("an object with {text} has a count of 0")),
        DataAmount::Some { .. } | DataAmount::Unknown => Ok(Verdict::Shown),
    }
}

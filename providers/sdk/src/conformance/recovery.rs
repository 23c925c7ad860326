//! Behaviours after a crash, and with objects that the provider did not create.

use super::behaviour::{Behaviour, Checked};
use super::bench::{Bench, DELETE, failed};
use super::{Verdict, contract};
use crate::plan::PlannedChange;
use crate::{Attempt, ErrorKind, Found, LostCall, Planned};

/// In the order: no object, the provider's object, another owner's object.
pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour { name: "a lost call without effect is recognised", check: |bench| Box::pin(lost_without_effect(bench)) },
    Behaviour { name: "a lost create is found", check: |bench| Box::pin(lost_create(bench)) },
    Behaviour { name: "a lost delete is recognised", check: |bench| Box::pin(lost_delete(bench)) },
    Behaviour { name: "another owner's object is not taken", check: |bench| Box::pin(foreign_object(bench)) },
    Behaviour { name: "an import reads the same object", check: |bench| Box::pin(import(bench)) },
];

const NOT_FINDABLE: &str = "an object of this fixture cannot be found";
const IN_STATE_ONLY: &str = "the type exists in state only";

fn reason_to_skip(bench: &Bench<'_>) -> Option<Verdict> {
    if bench.ty.state_only {
        return Some(Verdict::NotApplicable(IN_STATE_ONLY));
    }
    (!bench.fixture.is_findable).then_some(Verdict::NotApplicable(NOT_FINDABLE))
}

async fn find(bench: &Bench<'_>, attempt: &Attempt) -> Result<Found, String> {
    let found = bench.session.find(bench.ty, attempt).await.map_err(|error| failed("find", &error))?;
    if let Found::Own(observed) | Found::Foreign(observed) = &found {
        bench.check_observed("find", None, observed)?;
    }
    Ok(found)
}

async fn lost_without_effect(bench: &Bench<'_>) -> Checked {
    if let Some(skipped) = reason_to_skip(bench) {
        return Ok(skipped);
    }
    let plan = bench.plan(None, &bench.fixture.config).await?;
    match find(bench, &bench.attempt(&plan, None, true)).await? {
        Found::Absent | Found::NoEffect => Ok(Verdict::Shown),
        other => Err(format!("no object was created, but find returned {other:?}")),
    }
}

async fn lost_create(bench: &Bench<'_>) -> Checked {
    if let Some(skipped) = reason_to_skip(bench) {
        return Ok(skipped);
    }
    let config = &bench.fixture.config;
    let plan = bench.plan(None, config).await?;
    let created = bench.create_planned(&plan).await?;
    let found = match find(bench, &bench.attempt(&plan, None, true)).await? {
        Found::Own(found) => found,
        other => return Err(format!("the object was created, but find returned {other:?}")),
    };
    let recorded = bench.record(&plan.planned, &found);
    if recorded.identity != created.identity {
        return Err("find and create returned different identities".to_owned());
    }
    bench.expect_no_change(&recorded, config).await?;
    Ok(Verdict::Shown)
}

async fn lost_delete(bench: &Bench<'_>) -> Checked {
    if let Some(skipped) = reason_to_skip(bench) {
        return Ok(skipped);
    }
    let created = bench.create(&bench.fixture.config).await?;
    let attempt = bench.attempt(&PlannedChange::default(), Some(&created), true);
    // The step of `delete`: a provider may identify its calls by their steps.
    let lost_call = attempt.lost_call.clone().map(|lost| LostCall { step: DELETE.to_owned(), ..lost });
    let attempt = Attempt { identity: created.identity.clone(), lost_call, ..attempt };
    match find(bench, &attempt).await? {
        Found::Own(_) => {}
        other => return Err(format!("before the delete took effect, find returned {other:?}")),
    }
    bench.delete(&created).await?;
    match find(bench, &attempt).await? {
        Found::Absent => Ok(Verdict::Shown),
        other => Err(format!("after the delete took effect, find returned {other:?}")),
    }
}

async fn foreign_object(bench: &Bench<'_>) -> Checked {
    if let Some(skipped) = reason_to_skip(bench) {
        return Ok(skipped);
    }
    if !bench.fixture.is_adoptable {
        return Ok(Verdict::NotApplicable("the provider cannot tell whether an object exists"));
    }
    let plan = bench.plan(None, &bench.fixture.config).await?;
    match find(bench, &bench.attempt(&plan, None, false)).await? {
        Found::Absent => {}
        other => return Err(format!("no object exists to adopt, but find returned {other:?}")),
    }
    bench.create_planned(&plan).await?;
    match find(bench, &bench.attempt(&plan, None, false)).await? {
        Found::Foreign(_) => {}
        other => return Err(format!("an object exists to adopt, but find returned {other:?}")),
    }
    if bench.ty.identity.is_empty() || bench.ty.identity_of(&plan.planned).is_none() {
        return Ok(Verdict::Shown);
    }
    let again = Planned { attributes: plan.planned, private: plan.private };
    match bench.session.create(bench.ty, &bench.call("again"), &again).await {
        Err(error) if matches!(error.kind, ErrorKind::AlreadyExists { .. }) => Ok(Verdict::Shown),
        Err(error) => Err(failed("creating over an existing object", &error)),
        Ok(_) => Err("creating over an existing object succeeded".to_owned()),
    }
}

async fn import(bench: &Bench<'_>) -> Checked {
    if !bench.fixture.is_importable {
        return Ok(Verdict::NotApplicable("objects of this type cannot be imported"));
    }
    let created = bench.create(&bench.fixture.config).await?;
    let Some(id) = created.text("id") else { return Err("the object has no `id` for the import".to_owned()) };
    let imported = bench.session.import(bench.ty, id).await.map_err(|error| failed("import", &error))?;
    let Some(imported) = imported else { return Err(format!("importing `{id}` found nothing")) };
    contract::check_observed(bench.ty, None, &imported).map_err(|problem| format!("import returned {problem}"))?;
    if imported.identity != created.identity {
        return Err("import and create returned different identities".to_owned());
    }
    bench.delete(&created).await?;
    match bench.session.import(bench.ty, id).await.map_err(|error| failed("importing a deleted object", &error))? {
        None => Ok(Verdict::Shown),
        Some(_) => Err(format!("importing `{id}` found a deleted object")),
    }
}

//! Reads many objects at once: tables with one set of statements per schema that has several of them, grants with one
//! statement per role.

use super::{SnowflakeSession, Target};
use crate::client::Rows;
use crate::object::{Kind, grant, role_grant, schema_of, table};
use std::collections::HashMap;
use terrace_provider::attributes::text;
use terrace_provider::{Observed, ProviderError, Recorded, ResourceType, Session as _};

/// Below this number of tables, each is read alone: a table takes as many statements as a schema.
pub(super) const MIN_BATCH: usize = 3;

type Read = Result<Option<Observed>, ProviderError>;

/// Reads tables; the answers have the order of `priors`.
pub(super) async fn tables(session: &SnowflakeSession, ty: &ResourceType, priors: &[Recorded]) -> Vec<Read> {
    let targets: Vec<Result<Target, ProviderError>> = priors.iter().map(|prior| Target::recorded(ty, prior)).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for target in targets.iter().flatten() {
        *counts.entry(schema_of(&target.identity)).or_default() += 1;
    }
    let mut schemas: HashMap<String, Result<Option<table::Schema>, ProviderError>> = HashMap::new();
    let mut answers = Vec::with_capacity(priors.len());
    for (target, prior) in targets.into_iter().zip(priors) {
        answers.push(match target {
            Ok(target) => one_table(session, ty, prior, &target, &counts, &mut schemas).await,
            Err(error) => Err(error),
        });
    }
    answers
}

async fn one_table(
    session: &SnowflakeSession,
    ty: &ResourceType,
    prior: &Recorded,
    target: &Target,
    counts: &HashMap<String, usize>,
    schemas: &mut HashMap<String, Result<Option<table::Schema>, ProviderError>>,
) -> Read {
    let schema = schema_of(&target.identity);
    if counts.get(&schema).is_none_or(|count| *count < MIN_BATCH) {
        return session.read(ty, prior).await;
    }
    let statements = session.reading(&prior.address)?;
    if !schemas.contains_key(&schema) {
        let read = table::Schema::read(&statements, &target.identity).await;
        schemas.insert(schema.clone(), read);
    }
    match schemas.get(&schema) {
        Some(Ok(Some(tables))) => {
            let observation = tables.table(&statements, &target.identity, &prior.attributes).await?;
            Ok(observation.map(|observation| target.observed(&observation, &prior.attributes, prior.private.clone())))
        }
        Some(Err(error)) => Err(error.clone()),
        // The schema has too many rows for a batch.
        Some(Ok(None)) | None => session.read(ty, prior).await,
    }
}

/// Reads grants and role members; the answers have the order of `priors`.
pub(super) async fn grants(session: &SnowflakeSession, ty: &ResourceType, priors: &[Recorded]) -> Vec<Read> {
    let mut roles: HashMap<String, Result<Option<Rows>, ProviderError>> = HashMap::new();
    let mut answers = Vec::with_capacity(priors.len());
    for prior in priors {
        answers.push(match Target::recorded(ty, prior) {
            Ok(target) => one_grant(session, prior, &target, &mut roles).await,
            Err(error) => Err(error),
        });
    }
    answers
}

async fn one_grant(
    session: &SnowflakeSession,
    prior: &Recorded,
    target: &Target,
    roles: &mut HashMap<String, Result<Option<Rows>, ProviderError>>,
) -> Read {
    let (is_role_grant, role) = (target.kind == Kind::RoleGrant, text(&target.identity, "role"));
    if !roles.contains_key(&role) {
        let show_statement =
            if is_role_grant { role_grant::show_statement(&role) } else { grant::show_statement(&role) };
        let rows = session.reading(&prior.address)?.read_optional(&show_statement).await;
        roles.insert(role.clone(), rows);
    }
    let rows = match roles.get(&role) {
        Some(Ok(rows)) => rows.as_ref(),
        Some(Err(error)) => return Err(error.clone()),
        None => None,
    };
    let observation = rows.and_then(|rows| match is_role_grant {
        true => role_grant::of_rows(rows, &target.identity),
        false => grant::of_rows(rows, &target.identity, Some(&prior.attributes)),
    });
    Ok(observation.map(|observation| target.observed(&observation, &prior.attributes, prior.private.clone())))
}

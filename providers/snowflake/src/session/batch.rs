//! Many tables at once: by the statements of their schemas where a schema has several of them.

use super::{SnowflakeSession, Target};
use crate::object::{schema_of, table};
use std::collections::HashMap;
use terrace_provider::{Observed, ProviderError, Recorded, ResourceType, Session as _};

/// So few tables are asked about one by one: each takes as many statements as a whole schema.
pub(super) const FEW: usize = 3;

type Read = Result<Option<Observed>, ProviderError>;

/// Reads tables; the answers are in the order of the questions.
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
            Ok(target) => one(session, ty, prior, &target, &counts, &mut schemas).await,
            Err(error) => Err(error),
        });
    }
    answers
}

async fn one(
    session: &SnowflakeSession,
    ty: &ResourceType,
    prior: &Recorded,
    target: &Target,
    counts: &HashMap<String, usize>,
    schemas: &mut HashMap<String, Result<Option<table::Schema>, ProviderError>>,
) -> Read {
    let schema = schema_of(&target.identity);
    if counts.get(&schema).is_none_or(|count| *count < FEW) {
        return session.read(ty, prior).await;
    }
    let statements = session.reading(&prior.address)?;
    if !schemas.contains_key(&schema) {
        let read = table::Schema::read(&statements, &target.identity).await;
        schemas.insert(schema.clone(), read);
    }
    match schemas.get(&schema) {
        Some(Ok(Some(tables))) => {
            let seen = tables.table(&statements, &target.identity, &prior.attributes).await?;
            Ok(seen.map(|seen| target.observed(&seen, &prior.attributes, prior.private.clone())))
        }
        Some(Err(error)) => Err(error.clone()),
        // There are more things than it tells of.
        Some(Ok(None)) | None => session.read(ty, prior).await,
    }
}

//! Reads: objects, many at once; amounts of data; effects of a change on other objects.

use super::{PostgresSession, observed};
use crate::error::Failure;
use crate::kind::{Kind, Target};
use crate::observation::{Observation, ReadRequest};
use crate::private::Memory;
use crate::server::Client;
use crate::table::RestoredObjects;
use crate::{database, grant, index, membership, namespace, role, table, view};
use std::collections::BTreeMap;
use terrace_provider::{
    Attributes, DataAmount, ErrorKind, Finding, Observed, Path, ProviderError, Recorded, ResourceType, Severity,
};

/// Reads objects of one kind over one connection.
pub(super) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let Some(first) = wanted.first() else { return Ok(Vec::new()) };
    match first.target.kind {
        Kind::Database => database::observe(client, wanted).await,
        Kind::Schema => namespace::observe(client, wanted).await,
        Kind::Table => table::observe(client, wanted).await,
        kind @ (Kind::View | Kind::MaterializedView) => view::observe(client, kind, wanted).await,
        Kind::Index => index::observe(client, wanted).await,
        Kind::Role => role::observe(client, wanted).await,
        Kind::Membership => membership::observe(client, wanted).await,
        Kind::Grant => grant::observe(client, wanted).await,
    }
}

impl PostgresSession {
    /// Reads objects of one kind and one database.
    pub(super) async fn observe(&self, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
        let database = wanted.first().and_then(|wanted| wanted.target.database());
        let client = self.server.client(database).await?;
        observe(&client, wanted).await
    }

    /// Reads recorded objects, with few queries per database: one per type, and one per kind of object for grants.
    pub(super) async fn read_all(
        &self,
        ty: &ResourceType,
        priors: &[Recorded],
    ) -> Vec<Result<Option<Observed>, ProviderError>> {
        let mut answers: Vec<Result<Option<Observed>, ProviderError>> = priors.iter().map(|_| Ok(None)).collect();
        let mut groups: BTreeMap<Option<String>, Vec<(usize, ReadRequest)>> = BTreeMap::new();
        for (at, prior) in priors.iter().enumerate() {
            match Self::recorded(ty, prior) {
                Ok(target) => {
                    let group = groups.entry(target.database().map(str::to_owned)).or_default();
                    let memory = Memory::read(&prior.private);
                    group.push((at, ReadRequest { target, like: Some(prior.attributes.clone()), memory }));
                }
                Err(error) => put(&mut answers, at, Err(error)),
            }
        }
        for group in groups.into_values() {
            let (places, wanted): (Vec<usize>, Vec<ReadRequest>) = group.into_iter().unzip();
            match self.observe(&wanted).await {
                Ok(observation) => {
                    for ((at, wanted), observation) in places.into_iter().zip(&wanted).zip(observation) {
                        let answer = observation.inspect(|observation| self.cache_table(&wanted.target, observation));
                        let answer =
                            answer.map(|observation| observed(ty, &wanted.target, observation, wanted.like.as_ref()));
                        put(&mut answers, at, Ok(answer));
                    }
                }
                // The objects of a dropped database are gone, too.
                Err(failure) if failure.is_missing_database() && is_in_database(&wanted) => {}
                Err(failure) => {
                    let Some(first) = wanted.first() else { continue };
                    let error = self.cannot_read(failure, &first.target);
                    places.into_iter().for_each(|at| put(&mut answers, at, Err(error.clone())));
                }
            }
        }
        answers
    }

    /// The amount of data in an object.
    pub(super) async fn count(&self, target: &Target) -> Result<DataAmount, Failure> {
        match target.kind {
            Kind::Database => database::count(&self.server.client(Some(target.own_name())).await?).await,
            Kind::Table => table::count(&self.server.client(target.database()).await?, target).await,
            _ => Ok(DataAmount::Empty),
        }
    }

    /// Reports the objects that a change of a table drops and restores, and errors that the server would return.
    pub(super) async fn check_table(&self, ty: &ResourceType, planned: &Attributes, is_change: bool) -> Vec<Finding> {
        let Ok(target) = Target::of(ty, planned) else { return Vec::new() };
        let recent = self.recent(&target);
        let (prior, memory) = recent.as_ref().map(|(prior, memory)| (prior, memory)).unzip();
        let memory = memory.cloned().unwrap_or_default();
        let checked = async {
            let client = self.server.client(target.database()).await?;
            let unknown = table::unknown_types(&client, planned).await?;
            if !is_change || !unknown.is_empty() {
                return Ok((unknown, RestoredObjects::default()));
            }
            let restored = table::dependents_of_change(&client, &target, (prior, planned), &memory).await?;
            Ok((unknown, restored))
        };
        let columns = Path::attribute("columns");
        match checked.await {
            Ok((unknown, restored)) => {
                let unknown = unknown.into_iter().map(|(index, ty)| Finding {
                    severity: Severity::Error,
                    path: Some(columns.index(index).key("type")),
                    message: format!("the database has no type `{ty}`"),
                    hint: Some("write another type, or create the type or its extension first".to_owned()),
                });
                let note = |message: String| Finding {
                    severity: Severity::Note,
                    path: Some(columns.clone()),
                    message,
                    hint: None,
                };
                let (shown, RestoredObjects { views, others }) = (target.shown(), restored);
                let views = views.map(|views| {
                    note(format!("the change of {shown} drops these views and recreates them afterwards: {views}"))
                });
                let others = (!others.is_empty()).then(|| {
                    note(format!("the change of {shown} drops and restores these objects: {}", others.join(", ")))
                });
                unknown.chain(views).chain(others).collect()
            }
            Err(Failure::Refused(error)) => {
                let message = match error.problems.first() {
                    Some(problem) => format!("{}; {problem}", error.message),
                    None => error.message.clone(),
                };
                let hint = error.hint();
                let path = match error.kind {
                    ErrorKind::InvalidInput { path: Some(path) } => path,
                    _ => columns,
                };
                vec![Finding { severity: Severity::Error, path: Some(path), message, hint }]
            }
            // Other errors appear in the apply.
            Err(_) => Vec::new(),
        }
    }
}

impl PostgresSession {
    /// Warns of a missing column of an index, which the same apply may add. Notes properties of an index that `columns`
    /// do not describe.
    pub(super) async fn check_index(&self, ty: &ResourceType, planned: &Attributes) -> Vec<Finding> {
        let Ok(target) = Target::of(ty, planned) else { return Vec::new() };
        let checked = async {
            let client = self.server.client(target.database()).await?;
            let beyond = index::beyond_columns(&client, &target, planned).await?;
            Ok::<_, Failure>((index::missing_column(&client, &target, planned).await?, beyond))
        };
        let Ok((missing, beyond)) = checked.await else { return Vec::new() };
        let missing = missing.and_then(|error| {
            let hint = error.hint();
            let ErrorKind::InvalidInput { path } = error.kind else { return None };
            let message = format!("{}; {}", error.message, error.problems.join("; "));
            Some(Finding { severity: Severity::Warning, path, message, hint })
        });
        let note = (!beyond.is_empty()).then(|| Finding {
            severity: Severity::Note,
            path: Some(Path::attribute("columns")),
            message: format!(
                "{} has properties that `columns` does not describe: {}",
                target.shown(),
                beyond.join("; ")
            ),
            hint: Some("describe it with `parts` and `include` to manage all of it".to_owned()),
        });
        missing.into_iter().chain(note).collect()
    }
}

fn is_in_database(wanted: &[ReadRequest]) -> bool {
    wanted.first().is_some_and(|wanted| wanted.target.database().is_some())
}

fn put<T>(answers: &mut [T], at: usize, answer: T) {
    if let Some(slot) = answers.get_mut(at) {
        *slot = answer;
    }
}

//! What only looks: objects, many at once; how much they hold; what a change would go through.

use super::{PostgresSession, observed};
use crate::error::Failure;
use crate::kind::{Kind, Target};
use crate::private::Memory;
use crate::seen::{Seen, Wanted};
use crate::server::Client;
use crate::{database, grant, index, membership, namespace, role, table, view};
use std::collections::BTreeMap;
use terrace_provider::{
    Attributes, DataAmount, Finding, Observed, Path, ProviderError, Recorded, ResourceType, Severity,
};

/// Reads objects of one kind over one connection.
pub(super) async fn observe(client: &Client, wanted: &[Wanted]) -> Result<Vec<Option<Seen>>, Failure> {
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
    pub(super) async fn observe(&self, wanted: &[Wanted]) -> Result<Vec<Option<Seen>>, Failure> {
        let database = wanted.first().and_then(|wanted| wanted.target.database());
        let client = self.server.client(database).await?;
        observe(&client, wanted).await
    }

    /// Reads recorded objects: those of a database by as many queries as their kind takes, one for all but grants.
    pub(super) async fn read_all(
        &self,
        ty: &ResourceType,
        priors: &[Recorded],
    ) -> Vec<Result<Option<Observed>, ProviderError>> {
        let mut answers: Vec<Result<Option<Observed>, ProviderError>> = priors.iter().map(|_| Ok(None)).collect();
        let mut groups: BTreeMap<Option<String>, Vec<(usize, Wanted)>> = BTreeMap::new();
        for (at, prior) in priors.iter().enumerate() {
            match Self::recorded(ty, prior) {
                Ok(target) => {
                    let group = groups.entry(target.database().map(str::to_owned)).or_default();
                    let memory = Memory::read(&prior.private);
                    group.push((at, Wanted { target, like: Some(prior.attributes.clone()), memory }));
                }
                Err(error) => put(&mut answers, at, Err(error)),
            }
        }
        for group in groups.into_values() {
            let (places, wanted): (Vec<usize>, Vec<Wanted>) = group.into_iter().unzip();
            match self.observe(&wanted).await {
                Ok(seen) => {
                    for ((at, wanted), seen) in places.into_iter().zip(&wanted).zip(seen) {
                        let answer = seen.inspect(|seen| self.remember(&wanted.target, seen));
                        let answer = answer.map(|seen| observed(ty, &wanted.target, seen, wanted.like.as_ref()));
                        put(&mut answers, at, Ok(answer));
                    }
                }
                // What was in a database that is gone is gone with it.
                Err(failure) if failure.is_no_database() && is_in_database(&wanted) => {}
                Err(failure) => {
                    let Some(first) = wanted.first() else { continue };
                    let error = self.cannot_read(failure, &first.target);
                    places.into_iter().for_each(|at| put(&mut answers, at, Err(error.clone())));
                }
            }
        }
        answers
    }

    /// How much an object holds.
    pub(super) async fn count(&self, target: &Target) -> Result<DataAmount, Failure> {
        match target.kind {
            Kind::Database => database::count(&self.server.client(Some(target.own_name())).await?).await,
            Kind::Table => table::count(&self.server.client(target.database()).await?, target).await,
            _ => Ok(DataAmount::Empty),
        }
    }

    /// Names the views that a change of a table drops and makes again.
    pub(super) async fn views_in_the_way(&self, ty: &ResourceType, planned: &Attributes) -> Vec<Finding> {
        let Ok(target) = Target::of(ty, planned) else { return Vec::new() };
        let views = async {
            let client = self.server.client(target.database()).await?;
            table::dependents_of_change(&client, &target, planned, &Memory::default()).await
        };
        let finding =
            |severity, message, hint| vec![Finding { severity, path: Some(Path::attribute("columns")), message, hint }];
        match views.await {
            Ok(Some(views)) => finding(
                Severity::Note,
                format!("these views are dropped and made again within the change of {}: {views}", target.shown()),
                None,
            ),
            Ok(None) => Vec::new(),
            Err(Failure::Refused(error)) => {
                let message = match error.problems.first() {
                    Some(problem) => format!("{}; {problem}", error.message),
                    None => error.message.clone(),
                };
                finding(Severity::Error, message, error.solutions.first().cloned())
            }
            // What cannot be told now is told when it is done.
            Err(_) => Vec::new(),
        }
    }
}

fn is_in_database(wanted: &[Wanted]) -> bool {
    wanted.first().is_some_and(|wanted| wanted.target.database().is_some())
}

fn put<T>(answers: &mut [T], at: usize, answer: T) {
    if let Some(slot) = answers.get_mut(at) {
        *slot = answer;
    }
}

//! Outcomes of lost calls, and objects to adopt.

use super::{PostgresSession, observed, reading};
use crate::error::Failure;
use crate::kind::{Kind, Target};
use crate::mark::CallName;
use crate::observation::{Observation, ReadRequest};
use crate::private::Memory;
use crate::server::{Client, first, query};
use crate::{grant, index, membership, table, view};
use terrace_provider::renames::exchanges_names;
use terrace_provider::{Attempt, Attributes, Found, Observed, ProviderError, ResourceType};

/// The state of a transaction.
enum Outcome {
    Committed,
    RolledBack,
    Running,
    Unknown,
}

impl PostgresSession {
    pub(super) async fn find_attempt(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let identity = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&attempt.planned));
        let Some(identity) = identity else { return Ok(Found::Unknown) };
        let target = Target::of(ty, &identity)?;
        if let Some(found) = self.find_renamed(ty, &target, attempt).await? {
            return Ok(found);
        }
        match self.find_object(ty, &target, attempt).await {
            Ok(found) => Ok(found),
            Err(failure) if failure.is_missing_database() && target.database().is_some() => Ok(Found::Absent),
            Err(failure) => Err(self.cannot_read(failure, &target)),
        }
    }

    /// Finds the table of a lost update under its new name.
    async fn find_renamed(
        &self,
        ty: &ResourceType,
        target: &Target,
        attempt: &Attempt,
    ) -> Result<Option<Found>, ProviderError> {
        let Some(prior) = attempt.prior.as_ref().filter(|_| target.kind == Kind::Table) else { return Ok(None) };
        let Some(identity) = ty.identity_of(&attempt.planned) else { return Ok(None) };
        let renamed = Target::of(ty, &identity)?;
        if renamed == *target {
            return Ok(None);
        }
        let is_same = |found: &Observed| found.attributes.get("oid") == prior.attributes.get("oid");
        match self.find_object(ty, &renamed, attempt).await {
            Ok(Found::Own(found)) if is_same(&found) => Ok(Some(Found::Own(found))),
            Ok(Found::Pending(why)) => Ok(Some(Found::Pending(why))),
            Ok(_) => Ok(None),
            Err(failure) => Err(self.cannot_read(failure, &renamed)),
        }
    }

    async fn find_object(&self, ty: &ResourceType, target: &Target, attempt: &Attempt) -> Result<Found, Failure> {
        let lost = CallName::lost(attempt);
        // Checked first: a call that has ended by now has had its effect.
        if let Some(call) = &lost
            && self.is_running(call).await?
        {
            return Ok(Found::Pending("its connection to the server is still active".to_owned()));
        }
        let like: &Attributes = match &attempt.prior {
            Some(prior) if attempt.planned.is_empty() => &prior.attributes,
            _ => &attempt.planned,
        };
        let journal_entry = lost.as_ref().and_then(|call| self.journal_entry(call, attempt));
        let memory = match (&attempt.prior, &journal_entry) {
            (Some(prior), _) => Memory::read(&prior.private),
            (None, Some(journal_entry)) => journal_entry.clone(),
            (None, None) => Memory::read(&attempt.private),
        };
        let memory = memory.settled();
        let wanted = ReadRequest { target: target.clone(), like: Some(like.clone()), memory };
        let Some(mut observation) = self.observe(std::slice::from_ref(&wanted)).await?.into_iter().flatten().next()
        else {
            return Ok(Found::Absent);
        };
        let is_own = match (&lost, &attempt.prior) {
            // Only the transaction shows whether an exchange of names took effect.
            (Some(_), Some(prior)) => {
                match journal_entry.as_ref().and_then(|it| it.begun.as_ref()?.transaction.clone()) {
                    Some(transaction) => self.transaction_outcome(&transaction).await?,
                    // The call never reached its commit.
                    None if exchanges_names(&prior.attributes, &attempt.planned) => Outcome::RolledBack,
                    None => Outcome::Committed,
                }
            }
            (Some(call), None) => self.creation_outcome(target, &observation, call, journal_entry.as_ref()).await?,
            (None, _) => Outcome::RolledBack,
        };
        if let (Outcome::Committed, None) = (&is_own, &attempt.prior) {
            // The object is the server's form of the plan.
            let client = self.server.client(target.database()).await?;
            let mut memory = server_memory(&client, target, like).await?;
            // The server no longer knows the earlier privileges.
            memory.preexisting.clone_from(&wanted.memory.preexisting);
            let wanted = ReadRequest { memory, ..wanted };
            let again = reading::observe(&client, std::slice::from_ref(&wanted)).await?;
            observation = again.into_iter().flatten().next().unwrap_or(observation);
        }
        self.cache_table(target, &observation);
        Ok(match is_own {
            Outcome::RolledBack if attempt.prior.is_some() && lost.is_some() => Found::NoEffect,
            Outcome::Committed => Found::Own(observed(ty, target, observation, Some(like))),
            Outcome::RolledBack => {
                self.keep_preexisting(target, &mut observation, like).await?;
                Found::Foreign(observed(ty, target, observation, Some(like)))
            }
            Outcome::Running => Found::Pending("its transaction is still open".to_owned()),
            Outcome::Unknown => Found::Unknown,
        })
    }

    /// The record of a call before it could take effect, from this process or from the journal.
    fn journal_entry(&self, call: &CallName, attempt: &Attempt) -> Option<Memory> {
        let journalled = || Some(Memory::read(&attempt.private)).filter(|journal_entry| journal_entry.is_of(call));
        self.marks.of(call).or_else(journalled)
    }

    /// Whether the lost call created the object.
    async fn creation_outcome(
        &self,
        target: &Target,
        observation: &Observation,
        call: &CallName,
        journal_entry: Option<&Memory>,
    ) -> Result<Outcome, Failure> {
        let is = |mark: String| match observation.mark.as_ref() == Some(&mark) {
            true => Outcome::Committed,
            false => Outcome::RolledBack,
        };
        if target.kind.has_row_type() {
            return Ok(is(call.mark()));
        }
        if target.kind == Kind::Database {
            return Ok(is(call.object_id().to_string()));
        }
        match journal_entry.and_then(|journal_entry| journal_entry.begun.as_ref()) {
            // The call ended before it could take effect.
            None => Ok(Outcome::RolledBack),
            Some(begun) => match &begun.transaction {
                Some(transaction) => self.transaction_outcome(transaction).await,
                // No object existed before the call began.
                None => Ok(Outcome::Committed),
            },
        }
    }

    async fn transaction_outcome(&self, transaction: &str) -> Result<Outcome, Failure> {
        let client = self.server.client(None).await?;
        let sql = "SELECT pg_xact_status($1::text::xid8)";
        let rows = match query(&client, sql, &[&transaction]).await {
            Ok(rows) => rows,
            // A server after a restore from a backup may not know the transaction yet.
            Err(Failure::Server { error, .. }) if error.as_db_error().is_some() => return Ok(Outcome::Unknown),
            Err(failure) => return Err(failure),
        };
        let status: Option<String> = first::<Option<String>>(&rows)?.flatten();
        Ok(match status.as_deref() {
            Some("committed") => Outcome::Committed,
            Some("aborted") => Outcome::RolledBack,
            Some(_) => Outcome::Running,
            None => Outcome::Unknown,
        })
    }

    /// True while a connection works for a call.
    async fn is_running(&self, call: &CallName) -> Result<bool, Failure> {
        let client = self.server.client(None).await?;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let rows = query(&client, sql, &[&call.application()]).await?;
        Ok(first::<i64>(&rows)?.is_some_and(|count| count > 0))
    }

    /// Records privileges of other origin, so that they stay when the adopted object is deleted.
    async fn keep_preexisting(
        &self,
        target: &Target,
        observation: &mut Observation,
        like: &Attributes,
    ) -> Result<(), Failure> {
        match target.kind {
            Kind::Membership => membership::preexists(&mut observation.memory),
            Kind::Grant => {
                let client = self.server.client(target.database()).await?;
                observation.memory.preexisting = grant::preexisting(&client, target, like).await?;
                // Earlier privileges that are not configured are not part of the object.
                let memory = observation.memory.clone();
                let wanted = ReadRequest { target: target.clone(), like: Some(like.clone()), memory };
                let again = reading::observe(&client, std::slice::from_ref(&wanted)).await?;
                *observation = again.into_iter().flatten().next().unwrap_or_else(|| observation.clone());
            }
            _ => {}
        }
        Ok(())
    }
}

/// The server's texts for an object that was created as planned.
async fn server_memory(client: &Client, target: &Target, planned: &Attributes) -> Result<Memory, Failure> {
    let mut memory = Memory::default();
    match target.kind {
        Kind::Table => table::learn(client, target, planned, &mut memory).await?,
        Kind::View | Kind::MaterializedView => view::learn(client, target, planned, &mut memory).await?,
        Kind::Index => index::learn(client, target, planned, &mut memory).await?,
        _ => {}
    }
    Ok(memory)
}

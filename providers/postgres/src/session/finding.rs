//! Outcomes of lost calls, and objects to adopt.

use super::{PostgresSession, observed, reading};
use crate::error::Failure;
use crate::kind::{Kind, Target};
use crate::mark::CallName;
use crate::private::Memory;
use crate::seen::{Seen, Wanted};
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
    pub(super) async fn found(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let identity = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&attempt.planned));
        let Some(identity) = identity else { return Ok(Found::Unknown) };
        let target = Target::of(ty, &identity)?;
        if let Some(found) = self.found_renamed(ty, &target, attempt).await? {
            return Ok(found);
        }
        match self.look_for(ty, &target, attempt).await {
            Ok(found) => Ok(found),
            Err(failure) if failure.is_no_database() && target.database().is_some() => Ok(Found::Absent),
            Err(failure) => Err(self.cannot_read(failure, &target)),
        }
    }

    /// Finds the table of a lost update under its new name.
    async fn found_renamed(
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
        match self.look_for(ty, &renamed, attempt).await {
            Ok(Found::Ours(found)) if is_same(&found) => Ok(Some(Found::Ours(found))),
            Ok(Found::Pending(why)) => Ok(Some(Found::Pending(why))),
            Ok(_) => Ok(None),
            Err(failure) => Err(self.cannot_read(failure, &renamed)),
        }
    }

    async fn look_for(&self, ty: &ResourceType, target: &Target, attempt: &Attempt) -> Result<Found, Failure> {
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
        let beginning = lost.as_ref().and_then(|call| self.beginning(call, attempt));
        let memory = match (&attempt.prior, &beginning) {
            (Some(prior), _) => Memory::read(&prior.private),
            (None, Some(beginning)) => beginning.clone(),
            (None, None) => Memory::read(&attempt.private),
        };
        let memory = memory.settled();
        let wanted = Wanted { target: target.clone(), like: Some(like.clone()), memory };
        let Some(mut seen) = self.observe(std::slice::from_ref(&wanted)).await?.into_iter().flatten().next() else {
            return Ok(Found::Absent);
        };
        let is_ours = match (&lost, &attempt.prior) {
            // Only the transaction shows whether an exchange of names took effect.
            (Some(_), Some(prior)) => match beginning.as_ref().and_then(|it| it.begun.as_ref()?.transaction.clone()) {
                Some(transaction) => self.became(&transaction).await?,
                // The call never reached its commit.
                None if exchanges_names(&prior.attributes, &attempt.planned) => Outcome::RolledBack,
                None => Outcome::Committed,
            },
            (Some(call), None) => self.made_by(target, &seen, call, beginning.as_ref()).await?,
            (None, _) => Outcome::RolledBack,
        };
        if let (Outcome::Committed, None) = (&is_ours, &attempt.prior) {
            // The object is the server's form of the plan.
            let client = self.server.client(target.database()).await?;
            let mut memory = learned(&client, target, like).await?;
            // The server no longer knows the earlier privileges.
            memory.preexisting.clone_from(&wanted.memory.preexisting);
            let wanted = Wanted { memory, ..wanted };
            let again = reading::observe(&client, std::slice::from_ref(&wanted)).await?;
            seen = again.into_iter().flatten().next().unwrap_or(seen);
        }
        self.remember(target, &seen);
        Ok(match is_ours {
            Outcome::RolledBack if attempt.prior.is_some() && lost.is_some() => Found::CameToNothing,
            Outcome::Committed => Found::Ours(observed(ty, target, seen, Some(like))),
            Outcome::RolledBack => {
                self.respect(target, &mut seen, like).await?;
                Found::Strangers(observed(ty, target, seen, Some(like)))
            }
            Outcome::Running => Found::Pending("its transaction is still open".to_owned()),
            Outcome::Unknown => Found::Unknown,
        })
    }

    /// The record of a call before it could take effect, from this process or from the journal.
    fn beginning(&self, call: &CallName, attempt: &Attempt) -> Option<Memory> {
        let journalled = || Some(Memory::read(&attempt.private)).filter(|beginning| beginning.is_of(call));
        self.marks.of(call).or_else(journalled)
    }

    /// Whether the lost call created the object.
    async fn made_by(
        &self,
        target: &Target,
        seen: &Seen,
        call: &CallName,
        beginning: Option<&Memory>,
    ) -> Result<Outcome, Failure> {
        let is = |mark: String| match seen.mark.as_ref() == Some(&mark) {
            true => Outcome::Committed,
            false => Outcome::RolledBack,
        };
        if target.kind.has_row_type() {
            return Ok(is(call.mark()));
        }
        if target.kind == Kind::Database {
            return Ok(is(call.object_id().to_string()));
        }
        match beginning.and_then(|beginning| beginning.begun.as_ref()) {
            // The call ended before it could take effect.
            None => Ok(Outcome::RolledBack),
            Some(begun) => match &begun.transaction {
                Some(transaction) => self.became(transaction).await,
                // No object existed before the call began.
                None => Ok(Outcome::Committed),
            },
        }
    }

    async fn became(&self, transaction: &str) -> Result<Outcome, Failure> {
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
    async fn respect(&self, target: &Target, seen: &mut Seen, like: &Attributes) -> Result<(), Failure> {
        match target.kind {
            Kind::Membership => membership::preexists(&mut seen.memory),
            Kind::Grant => {
                let client = self.server.client(target.database()).await?;
                seen.memory.preexisting = grant::preexisting(&client, target, like).await?;
                // Earlier privileges that are not configured are not part of the object.
                let memory = seen.memory.clone();
                let wanted = Wanted { target: target.clone(), like: Some(like.clone()), memory };
                let again = reading::observe(&client, std::slice::from_ref(&wanted)).await?;
                *seen = again.into_iter().flatten().next().unwrap_or_else(|| seen.clone());
            }
            _ => {}
        }
        Ok(())
    }
}

/// The server's texts for an object that was created as planned.
async fn learned(client: &Client, target: &Target, planned: &Attributes) -> Result<Memory, Failure> {
    let mut memory = Memory::default();
    match target.kind {
        Kind::Table => table::learn(client, target, planned, &mut memory).await?,
        Kind::View | Kind::MaterializedView => view::learn(client, target, planned, &mut memory).await?,
        Kind::Index => index::learn(client, target, planned, &mut memory).await?,
        _ => {}
    }
    Ok(memory)
}

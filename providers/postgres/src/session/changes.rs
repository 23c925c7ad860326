//! Calls that change objects: each in one transaction, except where PostgreSQL requires none.

use super::reading::observe;
use super::{PostgresSession, observed};
use crate::attributes::flag;
use crate::error::Failure;
use crate::kind::{Kind, Target};
use crate::mark::{Begun, CallName};
use crate::observation::{Observation, ReadRequest};
use crate::operation::Operation;
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, Work, first, query};
use crate::table::Updated;
use crate::{database, grant, identifier, index, membership, namespace, role, table, view};
use terrace_provider::{
    Attributes, Call, ErrorKind, Observed, Partial, Path, Planned, ProviderError, Recorded, ResourceType, Value,
};

impl PostgresSession {
    /// Creates an object.
    pub(super) async fn create_object(
        &self,
        ty: &ResourceType,
        call: &Call,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let planned = &planned.attributes;
        let target = Target::of(ty, planned)?;
        let result = match needs_no_transaction(&target, planned) {
            true => self.create_outside_transaction(ty, &target, call, planned).await,
            false => self.create_in_transaction(&target, call, planned).await,
        };
        match result {
            Ok(observation) => {
                self.cache_table(&target, &observation);
                Ok(observed(ty, &target, observation, Some(planned)))
            }
            Err(failure) => Err(self.explain(failure, Operation::Create, &target, planned).await),
        }
    }

    async fn create_in_transaction(
        &self,
        target: &Target,
        call: &Call,
        planned: &Attributes,
    ) -> Result<Observation, Failure> {
        let name = CallName::of(call);
        let work = self.server.work(target.database(), &name, call.timeout, target.schema()).await?;
        let mut memory = Memory::default();
        let result = async {
            match target.kind {
                Kind::Table => table::create(&work, planned, &name.mark()).await?,
                Kind::View | Kind::MaterializedView => {
                    view::create(&work, target, planned, &name.mark(), &mut memory).await?;
                }
                Kind::Index => {
                    work.run(&index::creation(target, planned)?).await?;
                    index::learn(work.reader().await?, target, planned, &mut memory).await?;
                }
                Kind::Schema => namespace::create(&work, target, planned).await?,
                Kind::Role => role::create(&work, target, planned).await?,
                Kind::Membership => {
                    refuse_existing(&work, target).await?;
                    membership::put(&work, target, planned, true).await?;
                }
                Kind::Grant => {
                    grant::check_planned(planned)?;
                    memory.preexisting = grant::preexisting(work.reader().await?, target, planned).await?;
                    if grant::is_whole(planned, &memory.preexisting) {
                        return Err(already_exists(target).into());
                    }
                    grant::put(&work, target, (None, planned), &memory).await?;
                }
                Kind::Database => return Err(Failure::bug("a database cannot be created in a transaction")),
            }
            let observation = self.read_back(&work, target, planned, &mut memory).await?;
            if !target.kind.has_row_type() {
                self.journal(&work, call, &name, &memory).await?;
            }
            Ok(observation)
        };
        let result = result.await;
        self.end(work, result).await
    }

    /// The object at the end of a transaction.
    async fn read_back(
        &self,
        work: &Work,
        target: &Target,
        planned: &Attributes,
        memory: &mut Memory,
    ) -> Result<Observation, Failure> {
        let wanted = ReadRequest { target: target.clone(), like: Some(planned.clone()), memory: memory.clone() };
        let client = work.reader().await?;
        let observation = match target.kind {
            Kind::Table => table::read_created(client, &wanted).await?,
            _ => observe(client, std::slice::from_ref(&wanted)).await?.into_iter().flatten().next(),
        };
        let observation =
            observation.ok_or_else(|| Failure::bug(format!("{} does not exist after its creation", target.shown())))?;
        memory.clone_from(&observation.memory);
        Ok(observation)
    }

    /// Journals the transaction of a call before it can take effect.
    async fn journal(&self, work: &Work, call: &Call, name: &CallName, memory: &Memory) -> Result<(), Failure> {
        let rows = query(work.client().await?, "SELECT pg_current_xact_id()::text", &[]).await?;
        let transaction = first(&rows)?;
        self.begin(call, Begun { call: name.clone(), transaction }, memory).await
    }

    async fn begin(&self, call: &Call, begun: Begun, memory: &Memory) -> Result<(), Failure> {
        let journal_entry = memory.journal_entry(begun);
        let private = Some(journal_entry.to_private());
        call.progress.partial(Partial { private, ..Partial::default() }).await?;
        self.marks.put(journal_entry);
        Ok(())
    }

    async fn end<T>(&self, work: Work, done: Result<T, Failure>) -> Result<T, Failure> {
        match done {
            Ok(done) => work.commit().await.map(|()| done),
            Err(failure) => {
                work.roll_back().await;
                Err(failure)
            }
        }
    }

    /// Creates an object outside of a transaction.
    async fn create_outside_transaction(
        &self,
        ty: &ResourceType,
        target: &Target,
        call: &Call,
        planned: &Attributes,
    ) -> Result<Observation, Failure> {
        let name = CallName::of(call);
        let client = self.server.client(target.database()).await?;
        let wanted = ReadRequest { target: target.clone(), like: Some(planned.clone()), memory: Memory::default() };
        if observe(&client, std::slice::from_ref(&wanted)).await?.iter().any(Option::is_some) {
            return Err(already_exists(target).into());
        }
        let scripts = match target.kind {
            Kind::Database => database::creation(&client, target, planned, &name).await?,
            _ => {
                self.begin(call, Begun { call: name.clone(), transaction: None }, &Memory::default()).await?;
                vec![index::creation(target, planned)?]
            }
        };
        let stopped = self.run_outside_transaction(client, &name, call, target.schema(), &scripts).await.err();
        let left = self.read_remaining(target, planned).await;
        let with_object = |failure: Failure, left: Observation| {
            let error = self.failed(failure, Operation::Create, target, planned);
            let error = error.with_object(observed(ty, target, left, Some(planned)));
            Failure::from(ProviderError { kind: ErrorKind::Failed, ..error })
        };
        match (stopped, left) {
            (None, Ok(Some(observation))) => Ok(observation),
            (None, Ok(None)) => Err(Failure::bug(format!("{} does not exist after its creation", target.shown()))),
            (None, Err(failure)) => Err(failure.after_possible_creation()),
            // `find` determines the outcome once the connection has ended.
            (Some(Stopped { done: 0, failure: failure @ Failure::InDoubt(_) }), _) => Err(failure),
            // A failed concurrent creation leaves an unusable index.
            (Some(Stopped { done: 0, failure }), left)
                if target.kind == Kind::Index && !failure.is_duplicate_object() =>
            {
                Err(match left {
                    Ok(Some(left)) => with_object(failure, left),
                    Ok(None) => failure,
                    Err(_) => failure.after_possible_creation(),
                })
            }
            (Some(Stopped { done: 0, failure }), _) => Err(failure),
            (Some(Stopped { failure, .. }), Ok(Some(left))) => Err(with_object(failure, left)),
            (Some(Stopped { failure, .. }), _) => Err(failure.after_possible_creation()),
        }
    }

    /// The object after a creation outside of a transaction, complete or failed.
    async fn read_remaining(&self, target: &Target, planned: &Attributes) -> Result<Option<Observation>, Failure> {
        let client = self.server.client(target.database()).await?;
        let mut memory = Memory::default();
        if target.kind == Kind::Index {
            index::learn(&client, target, planned, &mut memory).await?;
        }
        let wanted = ReadRequest { target: target.clone(), like: Some(planned.clone()), memory };
        Ok(observe(&client, std::slice::from_ref(&wanted)).await?.into_iter().flatten().next())
    }

    /// Runs statements one by one, on a connection that shows the name of its call.
    async fn run_outside_transaction(
        &self,
        client: Client,
        name: &CallName,
        call: &Call,
        schema: Option<&str>,
        scripts: &[Script],
    ) -> Result<(), Stopped> {
        let path = schema.map(|schema| format!("; SET search_path = {}, public, pg_temp", identifier::quote(schema)));
        let begin = format!(
            "SET application_name = {}; SET statement_timeout = {}{}",
            identifier::literal(&name.application()),
            call.timeout.as_millis().clamp(1, 2_147_483_647),
            path.unwrap_or_default()
        );
        let client = deadpool_postgres::Object::take(client);
        client.batch_execute(&begin).await.map_err(|error| Stopped { done: 0, failure: error.into() })?;
        let done = one_by_one(&client, scripts).await;
        // From here on, `find` sees that the call has ended.
        client.batch_execute("RESET application_name").await.ok();
        done
    }

    /// Changes an object.
    pub(super) async fn change(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let old = Self::recorded(ty, prior)?;
        // A table may be renamed.
        let target = if old.kind == Kind::Table { Target::of(ty, &planned.attributes)? } else { old.clone() };
        match self.update_in_transaction((&old, &target), call, prior, planned).await {
            Ok(observation) => {
                self.cache_table(&target, &observation);
                Ok(observed(ty, &target, observation, Some(&planned.attributes)))
            }
            Err(failure) if failure.is_undefined_object() => {
                Err(self.explain(failure, Operation::Update, &target, &planned.attributes).await)
            }
            Err(failure) => Err(self.failed(failure, Operation::Update, &target, &planned.attributes)),
        }
    }

    async fn update_in_transaction(
        &self,
        (old, target): (&Target, &Target),
        call: &Call,
        prior: &Recorded,
        wanted: &Planned,
    ) -> Result<Observation, Failure> {
        let (name, planned) = (CallName::of(call), &wanted.attributes);
        let both = (&prior.attributes, planned);
        let work = self.server.work(target.database(), &name, call.timeout, target.schema()).await?;
        let mut memory = Memory::read(&prior.private).settled();
        let report = |text: &str| call.progress.message(text);
        let changed = async {
            match target.kind {
                Kind::Table => {
                    let updated = table::update(&work, (old, target), both, &mut memory, &report).await?;
                    if updated == Updated::NamesExchanged {
                        self.journal(&work, call, &name, &memory).await?;
                    }
                }
                Kind::View | Kind::MaterializedView => view::update(&work, target, both, &mut memory, &report).await?,
                // Only the mode of the next creation can differ.
                Kind::Index => {}
                Kind::Schema | Kind::Database => namespace::update(&work, target, both).await?,
                Kind::Role => {
                    let forgets_password = Memory::read(&wanted.private).forgets_password;
                    role::update(&work, target, both, forgets_password).await?;
                }
                Kind::Membership => membership::put(&work, target, planned, false).await?,
                Kind::Grant => grant::put(&work, target, (Some(both.0), planned), &memory).await?,
            }
            let observation = self.read_back(&work, target, planned, &mut memory).await?;
            // Another table may have taken the name while the change waited for a lock.
            if let (Kind::Table, Some(oid)) = (target.kind, observation.attributes.get("oid").and_then(Value::as_int)) {
                table::check_same_table(oid, target, both.0)?;
            }
            Ok(observation)
        };
        let changed = changed.await;
        self.end(work, changed).await
    }

    /// Deletes an object.
    pub(super) async fn remove(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let target = Self::recorded(ty, prior)?;
        let removed = match needs_no_transaction(&target, &prior.attributes) {
            true => self.delete_outside_transaction(&target, call, &prior.attributes).await,
            false => self.delete_in_transaction(&target, call, prior).await,
        };
        match removed {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_missing_database() && target.database().is_some() => Ok(()),
            Err(failure) => Err(self.failed(failure, Operation::Delete, &target, &prior.attributes)),
        }
    }

    async fn delete_in_transaction(&self, target: &Target, call: &Call, prior: &Recorded) -> Result<(), Failure> {
        let work = self.server.work(target.database(), &CallName::of(call), call.timeout, None).await?;
        let memory = Memory::read(&prior.private);
        let removed = async {
            match target.kind {
                Kind::Table => table::delete(&work, target, &prior.attributes).await,
                Kind::View | Kind::MaterializedView => view::delete(&work, target).await,
                Kind::Index => {
                    // If its schema is gone, the index is gone, too.
                    let wanted = ReadRequest::all_attributes(target.clone());
                    let client = work.reader().await?;
                    match observe(client, std::slice::from_ref(&wanted)).await?.iter().any(Option::is_some) {
                        true => work.execute(&index::deletion(target, &prior.attributes)).await,
                        false => Ok(()),
                    }
                }
                Kind::Schema | Kind::Role => {
                    let word = target.kind.word().to_uppercase();
                    work.execute(&format!("DROP {word} IF EXISTS {}", target.sql())).await
                }
                Kind::Membership => membership::delete(&work, target, &memory).await,
                Kind::Grant => grant::delete(&work, target, &prior.attributes, &memory).await,
                Kind::Database => Err(Failure::bug("a database cannot be dropped in a transaction")),
            }
        };
        let removed = removed.await;
        self.end(work, removed).await
    }

    async fn delete_outside_transaction(
        &self,
        target: &Target,
        call: &Call,
        prior: &Attributes,
    ) -> Result<(), Failure> {
        let client = self.server.client(target.database()).await?;
        let wanted = ReadRequest::all_attributes(target.clone());
        if observe(&client, std::slice::from_ref(&wanted)).await?.iter().all(Option::is_none) {
            return Ok(());
        }
        let script = match target.kind {
            Kind::Database => {
                self.server.close_pool(target.own_name());
                Script::of(format!("DROP DATABASE IF EXISTS {}", target.sql()))
            }
            _ => Script::of(index::deletion(target, prior)),
        };
        let name = CallName::of(call);
        let dropped = self.run_outside_transaction(client, &name, call, None, std::slice::from_ref(&script)).await;
        dropped.map_err(|stopped| stopped.failure)
    }

    /// The error of a creation, with details from the server.
    async fn explain(
        &self,
        failure: Failure,
        operation: Operation,
        target: &Target,
        planned: &Attributes,
    ) -> ProviderError {
        if failure.is_duplicate_object() {
            let wanted = ReadRequest::all_attributes(target.clone());
            let present = self.observe(std::slice::from_ref(&wanted)).await;
            if present.is_ok_and(|observation| observation.iter().any(Option::is_some)) {
                return already_exists(target);
            }
        }
        if failure.is_undefined_object()
            && let Ok(client) = self.server.client(target.database()).await
        {
            let explained = match target.kind {
                Kind::View | Kind::MaterializedView => view::explain(&client, planned).await,
                Kind::Index => index::explain(&client, target, planned).await,
                _ => Ok(None),
            };
            if let Ok(Some(error)) = explained {
                return error;
            }
            let mut path = failure.unplaced().and_then(|message| named_in(message, planned));
            if target.kind == Kind::Table && failure.unplaced().is_some() {
                path = table::missing(&client, target, planned).await.ok().flatten().or(path);
            }
            if let Some(path) = path {
                let error = self.failed(failure, operation, target, planned);
                return ProviderError { kind: ErrorKind::InvalidInput { path: Some(path) }, ..error };
            }
        }
        self.failed(failure, operation, target, planned)
    }
}

/// Statements outside of a transaction that stopped, with the number of completed ones.
struct Stopped {
    done: usize,
    failure: Failure,
}

/// Runs statements outside of a transaction. If an answer is lost, the effect of that statement is unknown.
async fn one_by_one(client: &deadpool_postgres::ClientWrapper, scripts: &[Script]) -> Result<(), Stopped> {
    for (done, script) in scripts.iter().enumerate() {
        client.batch_execute(script.text()).await.map_err(|error| {
            let failure = match Failure::of_commit(error) {
                Failure::Server { error, .. } => {
                    let position = error.as_db_error().and_then(|error| error.position());
                    let position = match position {
                        Some(tokio_postgres::error::ErrorPosition::Original(at)) => usize::try_from(*at).ok(),
                        _ => None,
                    };
                    Failure::Server { at: script.place(position), error }
                }
                failure => failure,
            };
            Stopped { done, failure }
        })?;
    }
    Ok(())
}

/// The attribute whose value a message quotes.
fn named_in(message: &str, planned: &Attributes) -> Option<Path> {
    let is_named = |(name, value): &(&String, &Value)| {
        let Some(text) = value.as_str().filter(|_| name.as_str() != "database") else { return false };
        let whole = identifier::parts(text).map(|parts| parts.join("."));
        std::iter::once(text).chain(whole.as_deref()).any(|text| message.contains(&format!("\"{text}\"")))
    };
    planned.iter().find(is_named).map(|(name, _)| Path::attribute(name))
}

/// True for operations that PostgreSQL allows only outside of transactions.
fn needs_no_transaction(target: &Target, attributes: &Attributes) -> bool {
    match target.kind {
        Kind::Database => true,
        Kind::Index => flag(attributes, "concurrently"),
        _ => false,
    }
}

fn already_exists(target: &Target) -> ProviderError {
    let kind = ErrorKind::AlreadyExists { import_id: Some(target.id()) };
    ProviderError::new(kind, format!("{} is there already", target.shown()))
}

async fn refuse_existing(work: &Work, target: &Target) -> Result<(), Failure> {
    let wanted = ReadRequest::all_attributes(target.clone());
    match observe(work.reader().await?, std::slice::from_ref(&wanted)).await?.iter().any(Option::is_some) {
        true => Err(already_exists(target).into()),
        false => Ok(()),
    }
}

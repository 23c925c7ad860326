//! The session: maps calls of each type to functions and transactions, and converts errors.

mod changes;
mod find;
mod reading;

use crate::config::DATABASE;
use crate::error::{Context, Failure};
use crate::kind::{Kind, Target};
use crate::mark::Marks;
use crate::observation::{Observation, ReadRequest};
use crate::operation::Operation;
use crate::private::Memory;
use crate::rights::{missing, statement};
use crate::server::Server;
use crate::{database, grant, index, lookup, membership, namespace, role, table, unexpressed, view};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use terrace_provider::plan::from_schema;
use terrace_provider::provider::{Batch, DryRun, probe_by_import};
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, Found, Grantee, Map, MissingRight, Observed, Planned, PlannedChange, Probe,
    ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Value,
};

/// One configured instance: a server with one user.
pub(crate) struct PostgresSession {
    server: Server,
    marks: Marks,
    /// The last known state of tables, in the spelling of their plans: lookups answer in that spelling.
    recent: Mutex<HashMap<Vec<String>, (Attributes, Memory)>>,
}

/// Number of tables in that cache.
const RECENT: usize = 10_000;

impl PostgresSession {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, marks: Marks::default(), recent: Mutex::default() }
    }

    /// The current work, for errors.
    fn context(&self, operation: Operation, target: &Target, attributes: &Attributes) -> Context<'_> {
        Context {
            server: &self.server,
            operation,
            object: target.shown(),
            database: target.database().unwrap_or(&self.server.config.database).to_owned(),
            right: statement(operation, target, attributes, &self.server.config.user()),
        }
    }

    /// Caches the state of a table.
    fn cache_table(&self, target: &Target, observation: &Observation) {
        if target.kind == Kind::Table {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() >= RECENT {
                recent.clear();
            }
            recent.insert(target.names.clone(), (observation.attributes.clone(), observation.memory.clone()));
        }
    }

    /// The last known state of a table.
    fn recent(&self, target: &Target) -> Option<(Attributes, Memory)> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(&target.names).filter(|_| target.kind == Kind::Table).cloned()
    }

    /// The request of a lookup, in the spelling of the plan if this session changed the table.
    fn lookup_request(&self, target: Target) -> ReadRequest {
        match self.recent(&target) {
            Some((like, memory)) => ReadRequest { target, like: Some(like), memory },
            None => ReadRequest::all_attributes(target),
        }
    }

    fn failed(
        &self,
        failure: Failure,
        operation: Operation,
        target: &Target,
        attributes: &Attributes,
    ) -> ProviderError {
        failure.into_error(&self.context(operation, target, attributes))
    }

    fn cannot_read(&self, failure: Failure, target: &Target) -> ProviderError {
        self.failed(failure, Operation::Read, target, &Attributes::default())
    }

    /// The object of a row.
    fn recorded(ty: &ResourceType, prior: &Recorded) -> Result<Target, ProviderError> {
        Target::of(ty, if prior.identity.is_empty() { &prior.attributes } else { &prior.identity })
    }
}

/// An object for the engine.
fn observed(ty: &ResourceType, target: &Target, observation: Observation, configured: Option<&Attributes>) -> Observed {
    let empty = Attributes::default();
    let mut attributes = target.own_attributes(ty, configured.unwrap_or(&empty));
    let mut all = Attributes::default();
    // In the order of the schema.
    for attribute in &ty.attributes.0 {
        let value =
            observation.attributes.get(attribute.name).cloned().or_else(|| attributes.shift_remove(attribute.name));
        if let Some(value) = value {
            all.insert(attribute.name.to_owned(), value);
        }
    }
    let memory = observation.memory.settled();
    Observed { identity: target.identity(ty), attributes: all, private: memory.to_private() }
}

#[async_trait]
impl Session for PostgresSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let mut answers = self.read_all(ty, std::slice::from_ref(prior)).await;
        answers.pop().unwrap_or(Ok(None))
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        Some(Box::pin(self.read_all(ty, priors)))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let kind = Kind::of(ty)?;
        let renamed = if kind == Kind::Table { table::renamed(change) } else { None };
        let change = &ProposedChange { prior: renamed.as_ref().or(change.prior), ..change.clone() };
        let mut planned = from_schema(ty, change);
        if ty.identity_of(&planned.planned).is_some() {
            let target = Target::of(ty, &planned.planned)?;
            planned.planned.extend(
                target
                    .own_attributes(ty, &planned.planned)
                    .into_iter()
                    .filter(|(name, _)| !ty.identity.contains(&name.as_str())),
            );
        }
        let is_known = !change.config.values().any(Value::has_unknown);
        match kind {
            Kind::Table => return table::plan(change, planned),
            Kind::Index => return index::plan(change, planned),
            Kind::View | Kind::MaterializedView => view::check_planned(&planned.planned)?,
            Kind::Database => database::plan(change, &planned)?,
            Kind::Schema if is_known => namespace::check_planned(&planned.planned)?,
            Kind::Role => role::plan(change, &mut planned)?,
            Kind::Grant if is_known => grant::check_planned(&planned.planned)?,
            _ => {}
        }
        Ok(planned)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        self.create_object(ty, call, planned).await
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.change(ty, call, prior, planned).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        self.remove(ty, call, prior).await
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        self.find_attempt(ty, attempt).await
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let target = Target::of_id(ty, id)?;
        let wanted = ReadRequest::all_attributes(target.clone());
        match self.observe(std::slice::from_ref(&wanted)).await {
            Ok(observation) => {
                Ok(observation.into_iter().flatten().next().map(|observation| observed(ty, &target, observation, None)))
            }
            Err(failure) if failure.is_missing_database() && target.database().is_some() => Ok(None),
            Err(failure) => Err(self.cannot_read(failure, &target)),
        }
    }

    async fn unexpressed(&self, ty: &ResourceType, imported: &Observed) -> Result<Vec<String>, ProviderError> {
        let target = Target::of(ty, &imported.identity)?;
        let found = async {
            let client = self.server.client(target.database()).await?;
            unexpressed::of(&client, &target).await
        };
        found.await.map_err(|failure| self.cannot_read(failure, &target))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        // Only an existing table has a known `oid`: a new one has no dependents.
        let is_change = planned.get("oid").is_some_and(|oid| !oid.is_unknown());
        let is_table = ty.name == "postgres_table" && !planned.get("columns").is_some_and(Value::has_unknown);
        let is_checkable = is_table && (is_change || table::has_other_types(planned));
        if ty.name == "postgres_index" {
            let is_known = |name: &&str| !planned.get(*name).is_some_and(Value::has_unknown);
            let parts = ["database", "schema", "name", "table", "columns", "parts", "include"];
            return parts.iter().all(is_known).then(|| Box::pin(self.check_index(ty, planned)) as DryRun<'a>);
        }
        is_checkable.then(|| Box::pin(self.check_table(ty, planned, is_change)) as DryRun<'a>)
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        let target = lookup::target(name, arguments)?;
        let wanted = self.lookup_request(target.clone());
        lookup::answer(&self.server, &wanted, arguments).await.map_err(|failure| self.cannot_read(failure, &target))
    }

    async fn grantees(&self, ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        let role = |access: &Attributes| access.get("role").and_then(Value::as_str).map(str::to_owned);
        let roles: Vec<String> = accesses.iter().filter_map(role).collect();
        let Some(first) = roles.first() else { return Ok(Vec::new()) };
        let all = async {
            let client = self.server.client(None).await?;
            membership::members(&client, &roles.iter().map(String::as_str).collect::<Vec<_>>()).await
        };
        let target = Target { kind: Kind::Role, names: vec![first.clone()] };
        let members = all.await.map_err(|failure| self.cannot_read(failure, &target))?;
        let grantee = |(role, member, admin): (String, String, bool)| {
            let names = [("role", role.clone()), ("member", member.clone())];
            let names: Attributes = names.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            let target = Target::of(ty, &names)?;
            let attributes = Map::from_iter([("admin".to_owned(), admin.into())]);
            let observation = Observation::plain(attributes, &ReadRequest::all_attributes(target.clone()));
            let grant = observed(ty, &target, observation, None);
            Ok(Grantee { principal: member, privilege: format!("role {role}"), grant })
        };
        members.into_iter().map(grantee).collect()
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        probe_by_import(self, schema, "postgres_database", "terrace_doctor")
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        let database = &self.server.config.database;
        let rights = async { missing(&self.server.client(None).await?, database != DATABASE).await };
        let target = Target { kind: Kind::Database, names: vec![database.clone()] };
        rights.await.map(Some).map_err(|failure| self.cannot_read(failure, &target))
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let target = Self::recorded(ty, prior)?;
        match self.count(&target).await {
            Ok(amount) => Ok(amount),
            Err(failure) if failure.is_missing_database() => Ok(DataAmount::Empty),
            // A user without read access may still be asked for consent.
            Err(failure) if failure.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) => {
                Ok(DataAmount::Unknown)
            }
            Err(failure) => Err(self.cannot_read(failure, &target)),
        }
    }
}

//! Batches: records of one kind are written many at a time.
//!
//! The batch collects records until one needs to see an earlier one: the same row, step or component again, or a write
//! that is done singly. Then, and at the end, it writes all collected records.

use super::columns;
use super::error::Failure;
use super::lock::Stacks;
use super::request;
use super::rows::{self, Change, ExpectedChange, RowKey};
use super::session::{Parameters, Session};
use crate::beacon::Beacon;
use crate::columns::ReadColumns;
use crate::{misuse, rules, values};
use jiff::Timestamp;
use std::borrow::Cow;
use std::collections::HashSet;
use terrace_store::address::{ComponentKey, StackId};
use terrace_store::{ComponentRow, Generation, Intent, Lease, OwnerRow, ResealedRequest, Row};
use uuid::Uuid;

/// The most records in one statement.
const MOST: usize = 2_000;
/// The most bytes of texts in one statement: a slow connection must transfer them before the deadline of the statement.
const MOST_BYTES: usize = 4 << 20;

/// The outcome of a step.
pub(super) struct Ended<'a> {
    /// The ID and the number of the operation.
    pub(super) operation: (Uuid, i64),
    pub(super) step: u32,
    pub(super) stack: i64,
    pub(super) address: String,
    pub(super) action: String,
    pub(super) result: &'static str,
    pub(super) message: Option<&'a str>,
}

/// A line of a log.
pub(super) struct LogEntry<'a> {
    pub(super) operation: i64,
    pub(super) level: &'a str,
    pub(super) phase: &'a str,
    pub(super) message: &'a str,
}

/// The collected records.
#[derive(Default)]
pub(super) struct Batch<'a> {
    changes: Vec<ExpectedChange<'a>>,
    reseals: Vec<(RowKey, &'a Row)>,
    intents: Vec<(i64, &'a Intent)>,
    ended: Vec<Ended<'a>>,
    lines: Vec<LogEntry<'a>>,
    components: Vec<(i64, &'a ComponentRow, Uuid)>,
    component_reseals: Vec<(i64, u64, &'a str)>,
    request_reseals: Vec<&'a ResealedRequest>,
    owners: Vec<(i64, &'a OwnerRow)>,
    keys: HashSet<RecordKey>,
    bytes: usize,
}

/// The key of a collected record.
#[derive(PartialEq, Eq, Hash)]
enum RecordKey {
    Row(i64, String),
    Version(i64, String, Generation),
    Step(i64, u32),
    Component(i64, ComponentKey),
    ComponentVersion(i64, u64),
    Request(Uuid),
    Owner(i64, String, ComponentKey),
}

/// The target of a batch.
pub(super) struct Target<'a> {
    pub(super) session: &'a Session,
    pub(super) stacks: &'a Stacks,
    pub(super) leases: &'a [Lease],
    pub(super) now: Timestamp,
}

impl<'a> Batch<'a> {
    /// Makes room for a record: writes the batch if it is full, or has the same key already.
    async fn make_room(&mut self, target: &Target<'_>, key: RecordKey, bytes: usize) -> Result<(), Failure> {
        if self.keys.contains(&key) || self.keys.len() >= MOST || self.bytes.saturating_add(bytes) > MOST_BYTES {
            self.flush(target).await?;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.keys.insert(key);
        Ok(())
    }

    pub(super) async fn change(&mut self, target: &Target<'_>, change: ExpectedChange<'a>) -> Result<(), Failure> {
        // Reseals come first.
        if !self.reseals.is_empty() {
            self.flush(target).await?;
        }
        let bytes = match change.change {
            Change::Put(row) => weight(row),
            Change::Remove => 0,
        };
        // Deposed objects share the generations of their address with the current one.
        self.make_room(target, RecordKey::Row(change.name.number, change.name.text.clone()), bytes).await?;
        self.changes.push(change);
        Ok(())
    }

    pub(super) async fn reseal(&mut self, target: &Target<'_>, name: RowKey, row: &'a Row) -> Result<(), Failure> {
        if !self.changes.is_empty() {
            self.flush(target).await?;
        }
        let key = RecordKey::Version(name.number, name.text.clone(), row.generation);
        self.make_room(target, key, weight(row)).await?;
        self.reseals.push((name, row));
        Ok(())
    }

    pub(super) async fn intent(
        &mut self,
        target: &Target<'_>,
        operation: i64,
        intent: &'a Intent,
    ) -> Result<(), Failure> {
        self.make_room(target, RecordKey::Step(operation, intent.step), weight(&intent.row)).await?;
        self.intents.push((operation, intent));
        Ok(())
    }

    pub(super) async fn ended(&mut self, target: &Target<'_>, ended: Ended<'a>) -> Result<(), Failure> {
        self.make_room(target, RecordKey::Step(ended.operation.1, ended.step), ended.message.map_or(0, str::len))
            .await?;
        self.ended.push(ended);
        Ok(())
    }

    pub(super) async fn line(&mut self, target: &Target<'_>, line: LogEntry<'a>) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(line.message.len());
        if self.lines.len() >= MOST || self.bytes > MOST_BYTES {
            self.flush(target).await?;
        }
        self.lines.push(line);
        Ok(())
    }

    pub(super) async fn component(
        &mut self,
        target: &Target<'_>,
        of: &StackId,
        component: &'a ComponentRow,
        operation: Uuid,
    ) -> Result<(), Failure> {
        let stack = target.stacks.number(of)?;
        self.make_room(target, RecordKey::Component(stack, component.key.clone()), component.outputs.as_str().len())
            .await?;
        self.components.push((stack, component, operation));
        Ok(())
    }

    pub(super) async fn reseal_component(
        &mut self,
        target: &Target<'_>,
        of: &StackId,
        version: u64,
        outputs: &'a str,
    ) -> Result<(), Failure> {
        let stack = target.stacks.number(of)?;
        self.make_room(target, RecordKey::ComponentVersion(stack, version), outputs.len()).await?;
        self.component_reseals.push((stack, version, outputs));
        Ok(())
    }

    pub(super) async fn reseal_request(
        &mut self,
        target: &Target<'_>,
        request: &'a ResealedRequest,
    ) -> Result<(), Failure> {
        self.make_room(target, RecordKey::Request(request.operation), request.body.expose().len()).await?;
        self.request_reseals.push(request);
        Ok(())
    }

    pub(super) async fn owner(&mut self, target: &Target<'_>, owner: &'a OwnerRow) -> Result<(), Failure> {
        let stack = target.stacks.number(&owner.ownership.stack)?;
        let (address, component) = (owner.ownership.address.to_string(), owner.ownership.component.clone());
        self.make_room(target, RecordKey::Owner(stack, address, component), owner.declaration.as_str().len()).await?;
        self.owners.push((stack, owner));
        Ok(())
    }

    /// Writes the whole batch.
    pub(super) async fn flush(&mut self, target: &Target<'_>) -> Result<(), Failure> {
        let lines = self.flush_without_log(target).await?;
        log(target, &lines, false).await
    }

    /// Writes the whole batch as the last statements of the transaction.
    pub(super) async fn flush_last(&mut self, target: &Target<'_>) -> Result<(), Failure> {
        let lines = self.flush_without_log(target).await?;
        log(target, &lines, true).await
    }

    /// Writes everything except lines of logs.
    async fn flush_without_log(&mut self, target: &Target<'_>) -> Result<Vec<LogEntry<'a>>, Failure> {
        let batch = std::mem::take(self);
        batch.open(target).await?;
        batch.close(target).await?;
        rows::change(target.session, &batch.changes, target.now).await?;
        rows::reseal(target.session, &batch.reseals).await?;
        batch.record_components(target).await?;
        batch.reseal_components(target).await?;
        request::reseal(target.session, &batch.request_reseals).await?;
        batch.put_owners(target).await?;
        Ok(batch.lines)
    }

    async fn open(&self, target: &Target<'_>) -> Result<(), Failure> {
        if self.intents.is_empty() {
            return Ok(());
        }
        let now = columns::time(target.now);
        let rows = || self.intents.iter().map(|(_, intent)| &intent.row);
        let operations: Vec<i64> = self.intents.iter().map(|(operation, _)| *operation).collect();
        let steps: Vec<_> = self.intents.iter().map(|(_, intent)| i64::from(intent.step)).collect();
        let stacks = rows().map(|row| target.stacks.number(&row.stack)).collect::<Result<Vec<_>, _>>()?;
        let addresses = rows().map(|row| values::address(&row.address)).collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<_> = addresses.iter().map(|text| columns::text(text)).collect();
        let actions = self.intents.iter().map(|(_, intent)| values::word(&intent.action));
        let actions = actions.collect::<Result<Vec<_>, _>>()?;
        let sql = "INSERT INTO step (started_at, operation, step, stack, address, action)
                   SELECT $1::timestamptz, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
                   ON CONFLICT DO NOTHING RETURNING operation, step";
        let opened: HashSet<(i64, u32)> = target
            .session
            .list(sql, &[&now, &operations, &steps, &stacks, &addresses, &actions], |columns| {
                Ok((columns.take()?, columns.count()?))
            })
            .await?
            .into_iter()
            .collect();
        if let Some((_, twice)) = self.intents.iter().find(|(operation, it)| !opened.contains(&(*operation, it.step))) {
            return Err(Failure::misuse(misuse::opened_twice(twice.operation, twice.step)));
        }

        let text = |of: fn(&Row) -> &str| rows().map(|row| columns::text(of(row))).collect::<Vec<Cow<'_, str>>>();
        let deposed: Vec<_> = rows().map(|row| columns::text(values::deposed(row.deposed.as_deref()))).collect();
        let leases: Vec<_> =
            rows().map(|row| rules::covering_lease(target.leases, row).map(|lease| lease.id.as_str())).collect();
        let prior: Vec<_> = self.intents.iter().map(|(_, it)| columns::integer(it.prior_generation)).collect();
        let deposes: Vec<_> = self.intents.iter().map(|(_, it)| it.deposes).collect();
        let timeouts: Vec<_> = self.intents.iter().map(|(_, it)| values::microseconds(it.timeout)).collect();
        let settle: Vec<_> = self.intents.iter().map(|(_, it)| values::microseconds(it.settle)).collect();
        let statuses = rows().map(|row| values::word(&row.status)).collect::<Result<Vec<_>, _>>()?;
        let provider_versions: Vec<_> = rows().map(|row| row.provider_version.as_deref().map(columns::text)).collect();
        let schema_versions: Vec<_> = rows().map(|row| i64::from(row.schema_version)).collect();
        let private: Vec<_> = rows().map(|row| row.private.as_slice()).collect();
        let dependencies = rows().map(|row| values::list(&row.dependencies)).collect::<Result<Vec<_>, _>>()?;
        let dependencies: Vec<_> = dependencies.iter().map(|list| columns::text(list)).collect();
        let own = Beacon::own();
        let sql = "INSERT INTO intent (started_at, operation, step, stack, component, address, deposed, action, lease,
                                       prior_generation, deposes, timeout, settle, status, provider, provider_version,
                                       schema_version, identity, attributes, private, dependencies, lifecycle,
                                       boot, network_namespace, beacon)
                   SELECT $1::timestamptz, operation, step, stack, component, address, deposed, action, lease, prior_generation,
                          deposes, timeout, settle, status, provider, provider_version, schema_version, identity,
                          attributes, private, dependencies, lifecycle, $23::text, $24::bigint, $25::text
                   FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                               $8::text[], $9::text[], $10::bigint[], $11::boolean[], $12::bigint[], $13::bigint[],
                               $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[], $19::text[],
                               $20::bytea[], $21::text[], $22::text[]) WITH ORDINALITY
                        AS given (operation, step, stack, component, address, deposed, action, lease,
                                  prior_generation, deposes, timeout, settle, status, provider, provider_version,
                                  schema_version, identity, attributes, private, dependencies, lifecycle, position)
                   ORDER BY position";
        target
            .session
            .execute(
                sql,
                &[
                    &now,
                    &operations,
                    &steps,
                    &stacks,
                    &text(|row| &row.address.component),
                    &addresses,
                    &deposed,
                    &actions,
                    &leases,
                    &prior,
                    &deposes,
                    &timeouts,
                    &settle,
                    &statuses,
                    &text(|row| &row.provider),
                    &provider_versions,
                    &schema_versions,
                    &text(|row| row.identity.as_str()),
                    &text(|row| row.attributes.as_str()),
                    &private,
                    &dependencies,
                    &text(|row| &row.lifecycle),
                    &own.map(|own| &own.boot),
                    &own.map(|own| own.network.cast_signed()),
                    &own.map(|own| &own.name),
                ],
            )
            .await?;
        Ok(())
    }

    async fn close(&self, target: &Target<'_>) -> Result<(), Failure> {
        if self.ended.is_empty() {
            return Ok(());
        }
        let operations: Vec<_> = self.ended.iter().map(|ended| ended.operation.1).collect();
        let steps: Vec<_> = self.ended.iter().map(|ended| i64::from(ended.step)).collect();
        let stacks: Vec<_> = self.ended.iter().map(|ended| ended.stack).collect();
        let addresses: Vec<_> = self.ended.iter().map(|ended| columns::text(&ended.address)).collect();
        let actions: Vec<_> = self.ended.iter().map(|ended| ended.action.as_str()).collect();
        let results: Vec<_> = self.ended.iter().map(|ended| ended.result).collect();
        let messages: Vec<_> = self.ended.iter().map(|ended| ended.message.map(columns::text)).collect();
        let sql = "INSERT INTO step (started_at, ended_at, operation, step, stack, address, action, result, message)
                   SELECT $1::timestamptz, $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                                                $7::text[], $8::text[])
                   ON CONFLICT (operation, step) DO UPDATE SET result = excluded.result, message = excluded.message,
                                                               ended_at = excluded.ended_at
                   WHERE step.result IS NULL RETURNING operation, step";
        let now = columns::time(target.now);
        let closed: HashSet<(i64, u32)> = target
            .session
            .list(sql, &[&now, &operations, &steps, &stacks, &addresses, &actions, &results, &messages], |columns| {
                Ok((columns.take()?, columns.count()?))
            })
            .await?
            .into_iter()
            .collect();
        if let Some(late) = self.ended.iter().find(|ended| !closed.contains(&(ended.operation.1, ended.step))) {
            return Err(Failure::misuse(misuse::not_open(late.operation.0, late.step)));
        }
        let sql = "DELETE FROM intent USING unnest($1::bigint[], $2::bigint[]) AS ended (operation, step)
                   WHERE intent.operation = ended.operation AND intent.step = ended.step";
        target.session.execute(sql, &[&operations, &steps]).await?;
        Ok(())
    }

    /// An unchanged component gets no new version.
    async fn record_components(&self, target: &Target<'_>) -> Result<(), Failure> {
        if self.components.is_empty() {
            return Ok(());
        }
        let components = || self.components.iter().map(|(_, component, _)| *component);
        let stacks: Vec<_> = self.components.iter().map(|(stack, ..)| *stack).collect();
        let operations: Vec<_> = self.components.iter().map(|(.., operation)| *operation).collect();
        let keys: Vec<_> = components().map(|component| columns::text(&component.key)).collect();
        let depends_on =
            components().map(|component| values::list(&component.depends_on)).collect::<Result<Vec<_>, _>>()?;
        let depends_on: Vec<_> = depends_on.iter().map(|list| columns::text(list)).collect();
        let outputs: Vec<_> = components().map(|component| columns::text(component.outputs.as_str())).collect();
        let blueprints: Vec<_> =
            components().map(|component| component.blueprint.as_deref().map(columns::text)).collect();
        let reads = components().map(|component| values::list(&component.reads)).collect::<Result<Vec<_>, _>>()?;
        let reads: Vec<_> = reads.iter().map(|list| columns::text(list)).collect();
        let access =
            components().map(|component| values::access(component.access.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let principals: Vec<_> = access.iter().map(|(list, _)| list.as_deref().map(columns::text)).collect();
        let fields: Vec<_> = access.iter().map(|(_, fields)| fields.as_deref().map(columns::text)).collect();
        let ids = components().map(|component| values::ids(component.ids.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<_> = ids.iter().map(|ids| ids.as_deref().map(columns::text)).collect();
        let sql = "WITH given AS (
                       SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                                            $8::text[], $9::text[], $10::text[], $11::uuid[]) WITH ORDINALITY
                              AS given (stack, key, depends_on, outputs, blueprint, reads, principals, access_fields,
                                        ids, operation, position)
                   ), changed AS (
                       INSERT INTO component (stack, key, depends_on, outputs, blueprint, reads, principals,
                                              access_fields, ids)
                       SELECT stack, key, depends_on, outputs, blueprint, reads, principals, access_fields, ids
                       FROM given
                       ON CONFLICT (stack, key)
                       DO UPDATE SET depends_on = excluded.depends_on, outputs = excluded.outputs,
                                     blueprint = excluded.blueprint, reads = excluded.reads,
                                     principals = excluded.principals, access_fields = excluded.access_fields,
                                     ids = excluded.ids
                       WHERE (component.depends_on, component.outputs, component.blueprint, component.reads,
                              component.principals, component.access_fields, component.ids)
                             IS DISTINCT FROM
                             (excluded.depends_on, excluded.outputs, excluded.blueprint, excluded.reads,
                              excluded.principals, excluded.access_fields, excluded.ids)
                       RETURNING stack, key
                   )
                   INSERT INTO component_version (stack, key, generation, written_at, operation, depends_on, outputs,
                                                  blueprint, reads, principals, access_fields, ids)
                   SELECT stack, key, (SELECT coalesce(max(generation), 0) + 1 FROM component_version AS known
                                       WHERE known.stack = given.stack AND known.key = given.key),
                          $1::timestamptz, operation, depends_on, outputs, blueprint, reads, principals, access_fields,
                          ids
                   FROM given JOIN changed USING (stack, key) ORDER BY position";
        let now = columns::time(target.now);
        let parameters: Parameters<'_> = &[
            &now,
            &stacks,
            &keys,
            &depends_on,
            &outputs,
            &blueprints,
            &reads,
            &principals,
            &fields,
            &ids,
            &operations,
        ];
        target.session.execute(sql, parameters).await?;
        Ok(())
    }

    async fn reseal_components(&self, target: &Target<'_>) -> Result<(), Failure> {
        if self.component_reseals.is_empty() {
            return Ok(());
        }
        let stacks: Vec<_> = self.component_reseals.iter().map(|(stack, ..)| *stack).collect();
        let versions: Vec<_> = self.component_reseals.iter().map(|(_, it, _)| columns::integer(*it)).collect();
        let outputs: Vec<_> = self.component_reseals.iter().map(|(.., outputs)| columns::text(outputs)).collect();
        let sql = "UPDATE component_version SET outputs = given.outputs
                   FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS given (stack, id, outputs)
                   WHERE component_version.stack = given.stack AND component_version.id = given.id
                     AND component_version.outputs IS NOT NULL";
        target.session.execute(sql, &[&stacks, &versions, &outputs]).await?;
        Ok(())
    }

    async fn put_owners(&self, target: &Target<'_>) -> Result<(), Failure> {
        if self.owners.is_empty() {
            return Ok(());
        }
        let owned = || self.owners.iter().map(|(_, owner)| &owner.ownership);
        let stacks: Vec<_> = self.owners.iter().map(|(stack, _)| *stack).collect();
        let environments: Vec<_> = owned().map(|it| columns::text(&it.stack.environment)).collect();
        let addresses = owned().map(|it| values::address(&it.address)).collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<_> = addresses.iter().map(|text| columns::text(text)).collect();
        let components: Vec<_> = owned().map(|it| columns::text(&it.component)).collect();
        let declarations: Vec<_> = self.owners.iter().map(|(_, it)| columns::text(it.declaration.as_str())).collect();
        let sql = "INSERT INTO owner (environment, address, stack, component, declaration)
                   SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
                   ON CONFLICT (environment, address, stack, component)
                   DO UPDATE SET declaration = excluded.declaration";
        target.session.execute(sql, &[&environments, &addresses, &stacks, &components, &declarations]).await?;
        Ok(())
    }
}

/// Writes lines of logs, with the commit if they are the last statement.
async fn log(target: &Target<'_>, lines: &[LogEntry<'_>], is_last: bool) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    let operations: Vec<_> = lines.iter().map(|line| line.operation).collect();
    let levels: Vec<_> = lines.iter().map(|line| columns::text(line.level)).collect();
    let phases: Vec<_> = lines.iter().map(|line| columns::text(line.phase)).collect();
    let messages: Vec<_> = lines.iter().map(|line| columns::text(line.message)).collect();
    let sql = "INSERT INTO log (at, operation, level, phase, message)
               SELECT $1::timestamptz, operation, level, phase, message
               FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
                    AS given (operation, level, phase, message, position)
               ORDER BY position";
    let now = columns::time(target.now);
    let parameters: Parameters<'_> = &[&now, &operations, &levels, &phases, &messages];
    target.session.write(sql, parameters, is_last).await
}

fn weight(row: &Row) -> usize {
    row.identity.as_str().len() + row.attributes.as_str().len() + row.private.len() + row.lifecycle.len()
}

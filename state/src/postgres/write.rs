//! Single changes of the state: moves, forgotten rows, removed owners.
//!
//! These are rare, and read earlier writes of the same commit. Frequent records go through `batch`.

use super::columns;
use super::error::Failure;
use super::lock::Stacks;
use super::rows::{self, Change, ExpectedChange, RowKey};
use super::session::Session;
use crate::columns::ReadColumns;
use crate::{misuse, rules, values};
use jiff::Timestamp;
use terrace_store::address::{Address, ComponentKey, StackId};
use terrace_store::{Generation, Ownership, RowStatus, StackRead, StoreError};
use uuid::Uuid;

/// Writes under the locks of a commit.
pub(super) struct Writer<'a> {
    pub(super) session: &'a Session,
    pub(super) stacks: &'a Stacks,
    pub(super) now: Timestamp,
}

impl Writer<'_> {
    fn name(&self, of: &StackId, address: &Address, deposed: Option<&str>) -> Result<RowKey, Failure> {
        RowKey::new(self.stacks, of, address, deposed)
    }

    pub(super) async fn forget(&self, operation: Uuid, name: &RowKey, expected: Generation) -> Result<(), Failure> {
        let dependencies = rows::expected(self.session, name, expected).await?.dependencies;
        let inherited = rules::inherited(dependencies, &name.stack);
        let removal = ExpectedChange { name: name.clone(), change: Change::Remove, expected, operation };
        rows::change(self.session, &[removal], self.now).await?;
        let block = rules::all_instances(&name.address);
        let current = self.name(&name.stack, &name.address, None)?;
        let is_left = rows::current(self.session, &current).await?.is_some()
            || !rows::deposed(self.session, name).await?.is_empty();
        // A shared object is not an instance of a block.
        let is_single = rules::is_shared(&name.stack) || name.address.key.is_none();
        let are_left = is_single || rows::has_instances(self.session, &self.name(&name.stack, &block, None)?).await?;
        for (gone, _) in [(&name.address, is_left), (&block, are_left)].into_iter().filter(|(_, is_left)| !is_left) {
            for stack in &self.dependent_stacks(&name.stack) {
                let gone = self.name(stack, gone, None)?;
                rows::redirect_dependents(self.session, self.stacks, &gone, &inherited).await?;
            }
        }
        Ok(())
    }

    /// The stacks whose rows may depend on rows of this one. Rows of all stacks of an environment may depend on its
    /// shared rows.
    fn dependent_stacks(&self, stack: &StackId) -> Vec<StackId> {
        match rules::is_shared(stack) {
            true => self.stacks.of_environment(&stack.environment),
            false => vec![stack.clone()],
        }
    }

    /// The version stays in the history of the address. Only the current row gets another key.
    pub(super) async fn depose(
        &self,
        of: &StackId,
        address: &Address,
        key: &str,
        expected: Generation,
    ) -> Result<(), Failure> {
        let (before, after) = (self.name(of, address, None)?, self.name(of, address, Some(key))?);
        let needed = rows::expected(self.session, &before, expected).await?.dependencies;
        rows::depose(self.session, &before, &after).await?;
        let updates = [(&before, needed.clone(), Vec::new()), (&after, Vec::new(), needed)];
        rows::update_dependents(self.session, &updates).await
    }

    pub(super) async fn rename(
        &self,
        operation: Uuid,
        of: &StackId,
        (from, to): (&Address, &Address),
        expected: Generation,
    ) -> Result<(), Failure> {
        let (source, target) = (self.name(of, from, None)?, self.name(of, to, None)?);
        rows::expected(self.session, &source, expected).await?;
        if rows::current(self.session, &target).await?.is_some() {
            return Err(StoreError::Occupied { stack: of.clone(), address: to.clone() }.into());
        }
        self.move_row(operation, &source, &target).await?;
        for stack in self.dependent_stacks(of) {
            let from = self.name(&stack, from, None)?;
            rows::redirect_dependents(self.session, self.stacks, &from, std::slice::from_ref(to)).await?;
        }
        for key in rows::deposed(self.session, &source).await? {
            self.move_row(operation, &self.name(of, from, Some(&key))?, &self.name(of, to, Some(&key))?).await?;
        }
        if rules::is_shared(of) {
            let (environment, from, to) =
                (columns::text(&of.environment), columns::text(&source.text), columns::text(&target.text));
            // An owner of both rows becomes one owner.
            let sql = "DELETE FROM owner WHERE environment = $1 AND address = $3
                          AND (stack, component) IN (SELECT stack, component FROM owner AS other
                                                     WHERE other.environment = $1 AND other.address = $2)";
            self.session.execute(sql, &[&environment, &from, &to]).await?;
            let sql = "UPDATE owner SET address = $3 WHERE environment = $1 AND address = $2";
            self.session.execute(sql, &[&environment, &from, &to]).await?;
        }
        Ok(())
    }

    /// Moves a row to another key.
    async fn move_row(&self, operation: Uuid, source: &RowKey, target: &RowKey) -> Result<(), Failure> {
        let Some(current) = rows::current(self.session, source).await? else { return Ok(()) };
        let row = rows::content(self.session, current.version, target).await?;
        let (gone, made) = (source.clone(), target.clone());
        let changes = [
            ExpectedChange { name: gone, change: Change::Remove, expected: current.generation, operation },
            ExpectedChange { name: made, change: Change::Put(&row), expected: 0, operation },
        ];
        rows::change(self.session, &changes, self.now).await
    }

    pub(super) async fn follow(&self, of: &StackId, block: &Address, to: &Address) -> Result<(), Failure> {
        let name = self.name(of, block, None)?;
        let is_left = rows::has_instances(self.session, &name).await?;
        rows::redirect_dependents(self.session, self.stacks, &name, &rules::after_move(block, to, is_left)).await
    }

    /// The readers are otherwise unchanged, so that no new version is written.
    pub(super) async fn follow_reads(
        &self,
        of: &StackId,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> Result<(), Failure> {
        let read = |component: &ComponentKey| StackRead { stack: of.clone(), component: component.clone() };
        let (from, to) = (read(from), read(to));
        let readers: Vec<(i64, String, Vec<StackRead>)> = self
            .session
            .list("SELECT stack, key, reads FROM component WHERE reads <> '[]'", &[], |columns| {
                Ok((columns.take()?, columns.text()?, columns.list()?))
            })
            .await?;
        for (stack, key, reads) in readers {
            let Some(reads) = rules::reads_after_move(reads, &from, &to) else { continue };
            let reads = values::list(&reads)?;
            let (key, reads) = (columns::text(&key), columns::text(&reads));
            let sql = "UPDATE component SET reads = $3 WHERE stack = $1 AND key = $2";
            self.session.execute(sql, &[&stack, &key, &reads]).await?;
            let sql = "UPDATE component_version SET reads = $3
                       WHERE id = (SELECT max(id) FROM component_version WHERE stack = $1 AND key = $2)";
            self.session.execute(sql, &[&stack, &key, &reads]).await?;
        }
        Ok(())
    }

    pub(super) async fn drop_component(&self, operation: Uuid, of: &StackId, key: &str) -> Result<(), Failure> {
        let (stack, name) = (self.stacks.number(of)?, columns::text(key));
        let sql = "SELECT 1 FROM resource JOIN version ON version.id = resource.version
                   WHERE resource.stack = $1 AND component = $2 AND status <> $3 LIMIT 1";
        let retained = values::word(&RowStatus::Retained)?;
        if self.session.exists(sql, &[&stack, &name, &retained]).await? {
            return Err(Failure::misuse(misuse::still_in_use(of, key)));
        }
        let sql = "WITH gone AS (DELETE FROM component WHERE stack = $1 AND key = $2 RETURNING key)
                   INSERT INTO component_version (stack, key, generation, written_at, operation)
                   SELECT $1::bigint, key, (SELECT coalesce(max(generation), 0) + 1 FROM component_version AS known
                                    WHERE known.stack = $1 AND known.key = $2),
                          $3::timestamptz, $4::uuid
                   FROM gone";
        self.session.execute(sql, &[&stack, &name, &columns::time(self.now), &operation]).await?;
        Ok(())
    }

    pub(super) async fn drop_owner(&self, ownership: &Ownership, may_be_last: bool) -> Result<(), Failure> {
        // All owners of the row are locked: of two that leave at the same time, the second one sees that the first has
        // left.
        let sql = "DELETE FROM owner
                   WHERE environment = $1 AND address = $2 AND stack = $3 AND component = $4
                     AND ($5::boolean OR EXISTS (SELECT 1 FROM owner AS other
                                        WHERE other.environment = $1 AND other.address = $2
                                          AND (other.stack, other.component) <> ($3::bigint, $4::text)))";
        let (stack, address) = (self.stacks.number(&ownership.stack)?, values::address(&ownership.address)?);
        let environment = columns::text(&ownership.stack.environment);
        let (address, component) = (columns::text(&address), columns::text(&ownership.component));
        self.session.execute(sql, &[&environment, &address, &stack, &component, &may_be_last]).await?;
        Ok(())
    }
}

/// Writes an unchanged value: this fails on a standby, on a full disk, and without write permission.
pub(super) async fn check_writable(session: &Session) -> Result<(), Failure> {
    session.execute("UPDATE store SET made_at = made_at", &[]).await?;
    Ok(())
}

//! The behaviours of every store, as tests that run with any store.
//!
//! [`store_contract!`](crate::store_contract) expands to one test for each behaviour. It takes an async function that
//! creates a [`Fixture`]. A crate that uses it needs tokio with its macros.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "this is a suite of tests")]

pub mod audit;
#[cfg(feature = "postgres")]
pub mod cluster;
pub mod concurrency;
pub mod endings;
pub mod journal;
pub mod leases;
pub mod plans;
#[cfg(feature = "postgres")]
pub mod proxy;
pub mod requests;
pub mod roles;
pub mod rows;
pub mod stacks;

use crate::clock::ManualClock;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::{
    Acquired, Claimant, Generation, Intent, Lease, LeaseRequest, NewOperation, Record, Row, RowStatus, Selection,
    ServerStore, StepAction, StoreError, Write,
};
use uuid::Uuid;

/// Opens the store of a fixture again.
pub type Reopen =
    Box<dyn Fn(Arc<ManualClock>) -> Pin<Box<dyn Future<Output = Arc<dyn ServerStore>> + Send>> + Send + Sync>;

/// A new, empty store and its clock.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn ServerStore>,
    /// Its clock, which stands still until a test moves it.
    pub clock: Arc<ManualClock>,
    /// Opens the store again; `None` for stores that end with their last user.
    pub reopen: Option<Reopen>,
}

/// Expands to one test for each behaviour of a store. Takes the path of an async function that creates a [`Fixture`].
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract! { @tests $make;
            rows::a_row_need_not_say_which_version_of_its_provider_wrote_it
            rows::a_put_row_is_read_back_whole
            rows::an_update_raises_the_generation
            rows::generations_go_on_after_a_deletion
            rows::a_stale_write_refuses_the_whole_commit
            rows::an_address_that_is_too_long_is_refused
            rows::a_refused_commit_leaves_no_trace_of_any_record
            rows::selections_pick_components_and_addresses
            rows::rows_are_sorted_by_address
            rows::retained_rows_are_found_in_all_stacks_of_an_environment
            rows::a_deposed_row_lives_beside_its_successor
            rows::a_row_that_is_deposed_keeps_its_generation_and_its_place_in_history
            rows::history_tells_the_versions_newest_first
            rows::a_moved_row_takes_its_dependents_along
            rows::what_comes_after_all_instances_follows_those_that_moved
            rows::what_comes_after_a_forgotten_row_comes_after_what_that_came_after
            rows::an_address_is_depended_on_until_its_last_object_is_forgotten
            rows::a_forgotten_shared_row_is_forgotten_in_all_stacks_of_its_environment
            rows::what_comes_after_a_moved_shared_row_follows_it_in_all_stacks_of_its_environment
            rows::deposed_objects_move_along
            rows::a_version_is_sealed_anew
            rows::a_moved_row_is_sealed_anew
            rows::a_move_goes_nowhere_where_something_is
            rows::a_put_stamps_time_and_operation
            rows::odd_texts_and_bytes_survive
            stacks::only_stacks_of_which_something_is_recorded_are_listed
            stacks::a_stack_stays_known_when_its_last_row_goes
            stacks::components_are_recorded_and_forgotten
            stacks::components_have_a_history
            stacks::what_a_component_was_described_by_is_recorded
            stacks::what_is_said_of_access_is_recorded
            stacks::who_reads_a_component_reads_where_its_objects_went
            stacks::a_component_with_objects_is_not_forgotten
            stacks::owners_are_added_once_and_dropped
            stacks::an_owner_declares_anew
            stacks::the_last_owner_stays_unless_it_may_go
            stacks::owners_of_other_environments_are_others
            stacks::owners_follow_a_moved_shared_row
            stacks::a_snapshot_holds_everything_of_a_stack
            leases::a_free_component_is_granted
            leases::leases_are_granted_all_or_none
            leases::leases_are_granted_in_sorted_order
            leases::second_run_of_an_operation_gets_a_new_lease
            leases::second_run_of_an_operation_orphans_open_steps
            leases::an_expired_lease_is_taken_over_with_a_higher_fence
            leases::a_released_lease_still_raises_the_fence
            leases::a_writer_with_an_old_fence_is_refused
            leases::a_late_writer_whom_nobody_followed_still_records
            leases::a_late_writer_opens_no_step
            leases::a_released_lease_writes_nothing
            leases::renewing_keeps_others_out
            leases::a_lost_lease_is_not_renewed
            leases::a_broken_lease_is_lost
            journal::an_intent_is_open_until_its_outcome
            journal::a_partial_result_is_kept_with_its_intent
            journal::an_intent_is_orphaned_when_its_lease_ends
            journal::an_intent_of_a_holder_at_work_is_not_orphaned
            journal::an_intent_is_orphaned_once_its_lease_is_taken_over
            journal::a_holder_that_lost_its_lease_may_still_be_at_work
            journal::open_intents_are_selected_and_oldest_first
            journal::an_outcome_without_an_intent_opens_and_closes
            journal::a_step_is_closed_once
            journal::an_operation_is_recorded_from_begin_to_end
            journal::an_operation_without_leases_is_abandoned
            journal::an_operation_may_have_its_leases_before_it_begins
            journal::operations_are_listed_newest_first
            journal::operations_are_listed_as_they_are_asked_for
            journal::operations_that_have_not_ended_are_told
            journal::operations_are_found_by_how_their_ids_begin
            journal::a_log_keeps_its_order
            journal::an_operation_that_never_began_writes_nothing
            journal::a_running_operation_is_asked_to_stop
            journal::what_is_old_is_pruned
            journal::what_was_abandoned_is_pruned_unless_a_step_is_open
            endings::an_operation_ends_once
            endings::an_operation_of_no_request_ends_without_its_leases
            endings::the_operation_of_a_request_ends_with_the_request
            endings::the_operation_of_a_request_is_abandoned_where_nobody_works_on_the_request
            plans::a_plan_is_spent_once
            plans::a_stale_plan_lists_every_row_that_moved
            plans::a_refused_plan_is_not_spent
            plans::absent_rows_are_generation_zero
            plans::a_plan_stands_on_components
            requests::a_request_is_queued_claimed_and_finished
            requests::the_same_request_is_queued_once
            requests::what_was_asked_of_the_whole_stack_meanwhile_is_asked_again
            requests::a_request_names_the_one_that_it_comes_after
            requests::requests_of_a_component_run_in_order
            requests::a_claim_that_is_not_kept_is_taken_over
            requests::claim_that_expires_counts_as_death_of_its_claimant
            requests::claim_that_is_given_back_counts_no_death
            requests::claims_of_orderly_shutdown_are_free_and_count_no_death
            requests::claimant_that_comes_back_after_outage_is_no_death
            requests::deaths_of_finished_request_are_forgotten
            requests::what_can_wait_goes_last
            requests::so_many_requests_wait_and_no_more
            requests::a_request_of_a_known_key_is_the_one_that_had_it_first
            requests::each_key_of_the_same_request_is_known_once_it_ended
            requests::what_is_asked_is_stored_under_another_key
            requests::what_was_asked_under_an_older_key_is_known
            requests::requests_that_ended_are_pruned
            requests::a_queued_request_that_is_asked_to_stop_ends
            requests::a_request_that_was_left_is_asked_to_stop
            requests::a_request_that_is_given_back_is_had_again_later
            requests::a_request_that_was_given_back_is_not_overtaken_by_all_that_come_later
            requests::a_request_that_was_given_back_goes_before_what_can_wait
            requests::a_request_that_was_given_back_and_is_asked_to_stop_ends
            requests::caller_may_have_so_many_requests_waiting
            requests::caller_has_so_many_requests_at_work
            audit::chain_of_entries_is_verified
            audit::concurrent_writers_make_one_chain
            audit::pruned_log_stays_verifiable
            audit::long_log_is_pruned_in_batches
            audit::entries_are_read_in_pages
            requests::a_request_is_asked_to_stop_between_two_tries
            concurrency::commits_of_many_tasks_all_land
            concurrency::of_two_writers_one_is_stale
            concurrency::what_was_committed_outlives_the_store
        }
    };
    (@tests $make:path; $($module:ident :: $name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::contract::$module::$name($make().await).await;
            }
        )+
    };
}

/// The initial time of the fixtures' clocks.
#[must_use]
pub fn start_of_time() -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap()
}

/// A process with that name. Equal names are the same process.
#[must_use]
pub fn claimant(name: &str) -> Claimant {
    let id = name.bytes().fold(0, |id: u128, byte| id.wrapping_mul(257).wrapping_add(byte.into()));
    Claimant { id: Uuid::from_u128(id), name: name.to_owned() }
}

fn demo() -> StackId {
    StackId::new("demo", "local")
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn forget(text: &str, expected: Generation) -> Write {
    Write::Forget { stack: demo(), address: address(text), deposed: None, expected }
}

fn row(text: &str) -> Row {
    Row {
        stack: demo(),
        address: address(text),
        deposed: None,
        status: RowStatus::Ready,
        generation: 0,
        provider: "local".to_owned(),
        provider_version: Some("1.2.3".to_owned()),
        schema_version: 1,
        identity: format!(r#"{{"name":"{}"}}"#, address(text).name),
        attributes: r#"{"size":1}"#.to_owned(),
        private: vec![0, 1, 255],
        dependencies: Vec::new(),
        lifecycle: "{}".to_owned(),
        updated_at: Timestamp::UNIX_EPOCH,
        operation: Uuid::nil(),
    }
}

fn depending(text: &str, on: &[&str]) -> Row {
    Row { dependencies: on.iter().map(|text| address(text)).collect(), ..row(text) }
}

fn put(row: Row, expected: Generation) -> Write {
    Write::Put { row: Box::new(row), expected }
}

fn delete(text: &str, expected: Generation) -> Write {
    Write::Delete { stack: demo(), address: address(text), deposed: None, expected }
}

fn rename(from: &str, to: &str, expected: Generation) -> Write {
    Write::Move { stack: demo(), from: address(from), to: address(to), expected }
}

fn intent(operation: Uuid, step: u32, row: Row) -> Intent {
    Intent {
        operation,
        step,
        action: StepAction::Create,
        row,
        prior_generation: 0,
        deposes: false,
        timeout: Duration::from_secs(600),
        settle: Duration::from_secs(30),
    }
}

fn addresses(texts: &[&str]) -> Selection {
    Selection::Addresses(texts.iter().map(|text| address(text)).collect())
}

fn components(keys: &[&str]) -> BTreeSet<(StackId, String)> {
    keys.iter().map(|key| (demo(), (*key).to_owned())).collect()
}

impl Fixture {
    async fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.write_as(Uuid::now_v7(), writes).await
    }

    async fn write_as(&self, operation: Uuid, writes: Vec<Write>) -> Result<(), StoreError> {
        let records: Vec<Record> = writes.into_iter().map(|write| Record::Write { operation, write }).collect();
        self.store.commit(&[], records).await
    }

    async fn row(&self, text: &str) -> Option<Row> {
        let rows = self.store.rows(&demo(), &addresses(&[text])).await.unwrap();
        rows.into_iter().find(|row| row.deposed.is_none())
    }

    async fn generation(&self, text: &str) -> Generation {
        self.row(text).await.map_or(0, |row| row.generation)
    }

    async fn names(&self, selection: &Selection) -> Vec<String> {
        let rows = self.store.rows(&demo(), selection).await.unwrap();
        rows.iter().map(|row| row.address.to_string()).collect()
    }

    async fn begin(&self) -> Uuid {
        let id = Uuid::now_v7();
        let operation = NewOperation { id, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
        self.store.begin(&operation).await.unwrap();
        id
    }

    async fn acquire(&self, operation: Uuid, keys: &[&str]) -> Acquired {
        let request = LeaseRequest {
            components: components(keys),
            operation,
            holder: "jane@host".to_owned(),
            term: Duration::from_secs(30),
        };
        self.store.acquire(&request).await.unwrap()
    }

    async fn granted(&self, operation: Uuid, keys: &[&str]) -> Vec<Lease> {
        match self.acquire(operation, keys).await {
            Acquired::Granted(leases) => leases,
            Acquired::Held(held) => {
                let holders: Vec<_> = held.iter().map(|lease| &lease.component).collect();
                assert!(holders.is_empty(), "held by other operations: {holders:?}");
                Vec::new()
            }
        }
    }
}

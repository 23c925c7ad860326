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
mod fixture;
pub mod journal;
pub mod leases;
pub mod plans;
#[cfg(feature = "postgres")]
pub mod proxy;
pub mod requests;
pub mod roles;
pub mod rows;
pub mod stacks;

pub use fixture::{Fixture, Reopen, claimant, start_of_time};

/// Expands to one test for each behaviour of a store. Takes the path of an async function that creates a [`Fixture`].
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract! { @tests $make;
            rows::row_may_lack_the_version_of_its_provider
            rows::row_is_read_back_as_written
            rows::update_raises_the_generation
            rows::generations_continue_after_a_deletion
            rows::stale_write_refuses_the_whole_commit
            rows::too_long_address_is_refused
            rows::refused_commit_leaves_no_record
            rows::selections_pick_components_and_addresses
            rows::rows_are_sorted_by_address
            rows::retained_rows_are_found_in_all_stacks_of_an_environment
            rows::deposed_row_exists_beside_its_successor
            rows::deposing_keeps_generation_and_history
            rows::history_has_the_newest_version_first
            rows::dependents_follow_a_moved_row
            rows::dependents_of_all_instances_follow_moved_ones
            rows::dependents_inherit_dependencies_of_a_forgotten_row
            rows::dependency_stays_until_the_last_object_is_forgotten
            rows::forgotten_shared_row_is_no_dependency_in_any_stack
            rows::dependents_in_all_stacks_follow_a_moved_shared_row
            rows::deposed_objects_move_with_their_address
            rows::version_is_resealed
            rows::moved_row_is_resealed
            rows::move_to_an_occupied_address_is_refused
            rows::put_stamps_time_and_operation
            rows::odd_texts_and_bytes_survive_a_round_trip
            stacks::only_stacks_with_content_are_listed
            stacks::stack_stays_known_without_rows
            stacks::components_are_recorded_and_dropped
            stacks::components_have_a_history
            stacks::ids_of_a_component_are_recorded
            stacks::access_of_a_component_is_recorded
            stacks::readers_follow_moved_objects_of_a_component
            stacks::component_with_objects_cannot_be_dropped
            stacks::adding_and_dropping_owners_is_idempotent
            stacks::owner_can_change_its_declaration
            stacks::last_owner_stays_unless_it_may_leave
            stacks::owners_are_separate_by_environment
            stacks::owners_follow_a_moved_shared_row
            stacks::snapshot_has_everything_of_a_stack
            leases::free_component_is_granted
            leases::leases_are_granted_all_or_none
            leases::leases_are_granted_in_sorted_order
            leases::second_run_of_an_operation_gets_a_new_lease
            leases::second_run_of_an_operation_orphans_open_steps
            leases::expired_lease_is_granted_with_a_higher_fence
            leases::released_lease_still_raises_the_fence
            leases::writer_with_an_old_fence_is_refused
            leases::expired_lease_may_record_without_a_successor
            leases::expired_lease_cannot_open_steps
            leases::released_lease_cannot_write
            leases::renewal_keeps_other_operations_out
            leases::lost_lease_cannot_be_renewed
            leases::broken_lease_is_lost
            journal::intent_is_open_until_its_outcome
            journal::partial_result_is_stored_with_its_intent
            journal::intent_is_orphaned_when_its_lease_ends
            journal::intent_under_a_live_lease_is_not_orphaned
            journal::intent_is_orphaned_when_its_lease_is_granted_again
            journal::lost_lease_does_not_prove_a_dead_holder
            journal::open_intents_are_selected_and_oldest_first
            journal::outcome_without_an_intent_opens_and_closes
            journal::step_is_closed_once
            journal::operation_is_recorded_from_begin_to_end
            journal::operation_without_leases_is_abandoned
            journal::operation_may_take_leases_before_it_begins
            journal::operations_are_listed_newest_first
            journal::operations_are_listed_by_filter
            journal::unended_operations_are_listed
            journal::operations_are_found_by_a_range_of_ids
            journal::log_keeps_its_order
            journal::unknown_operation_cannot_write
            journal::running_operation_is_cancelled
            journal::old_versions_and_operations_are_pruned
            journal::abandoned_operation_without_open_steps_is_pruned
            endings::operation_ends_once
            endings::operation_without_a_request_ends_without_its_leases
            endings::operation_of_a_request_ends_with_the_request
            endings::operation_of_an_unclaimed_request_is_abandoned
            plans::plan_is_spent_once
            plans::stale_plan_lists_every_changed_row
            plans::refused_plan_is_not_spent
            plans::absent_rows_are_generation_zero
            plans::plan_is_stale_after_a_component_changed
            requests::request_is_queued_claimed_and_finished
            requests::equal_request_is_queued_once
            requests::request_is_queued_again_after_one_for_the_stack
            requests::queued_request_names_its_predecessor
            requests::requests_of_a_component_run_in_order
            requests::expired_claim_is_claimed_again
            requests::expired_claim_counts_as_death_of_its_claimant
            requests::released_claim_counts_no_death
            requests::claims_released_at_shutdown_count_no_death
            requests::claimant_back_after_an_outage_is_no_death
            requests::deaths_of_a_finished_request_are_forgotten
            requests::low_priority_request_runs_last
            requests::full_queue_refuses_requests
            requests::known_idempotency_key_returns_its_first_request
            requests::all_keys_of_an_equal_request_stay_known
            requests::open_requests_are_resealed
            requests::request_is_found_by_a_digest_under_an_older_key
            requests::ended_requests_are_pruned
            requests::cancelled_queued_request_ends_at_once
            requests::cancelled_request_of_a_dead_worker_is_claimed_again
            requests::released_request_is_claimed_after_its_back_off
            requests::released_request_is_not_overtaken_by_later_ones
            requests::released_request_runs_before_low_priority_ones
            requests::cancelled_released_request_ends_if_it_has_no_steps
            requests::caller_has_a_maximum_of_waiting_requests
            requests::caller_has_a_maximum_of_running_requests
            audit::chain_of_entries_is_verified
            audit::event_is_recorded_once
            audit::concurrent_writers_make_one_chain
            audit::pruned_log_stays_verifiable
            audit::long_log_is_pruned_in_batches
            audit::entries_are_read_in_pages
            requests::request_is_cancelled_between_two_attempts
            concurrency::concurrent_commits_are_all_recorded
            concurrency::one_of_two_concurrent_writers_is_stale
            concurrency::commits_outlive_the_store
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

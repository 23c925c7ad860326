//! Each call of a run fails once before and once after its effect; then the next run ends where a run without faults does.

use super::World;
use std::time::Duration;
use terrace_test_airbyte::Fault;

/// One call after the other: the number of a call says what it is.
const APPLY: [&str; 5] = ["apply", super::PRODUCT, "--auto-approve", "--parallelism", "1"];

/// Applies with a fault, again where that failed, and looks whether all is as it should be.
fn run(number: usize, fault: Fault, expected: &[String]) {
    let world = World::new();
    world.stand_in.reset_count();
    world.stand_in.faults().by_number.insert(number, fault);
    let ran = world.run(APPLY);
    if ran.code != 0 {
        world.apply().done();
    }
    world.assert_settled();
    assert_eq!(world.stand_in.inventory(), expected, "call {number}, {fault:?}");
    // Nothing is there without a row.
    world.run(["destroy", super::PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0], "call {number}, {fault:?}");
}

#[test]
fn whatever_call_fails_before_or_after_its_effect_the_next_run_ends_alike() {
    let calm = World::new();
    calm.stand_in.reset_count();
    let _ = calm.stand_in.take_seen();
    calm.run(APPLY).done();
    let expected = calm.stand_in.inventory();
    let seen = calm.stand_in.take_seen();
    assert_eq!(seen.len(), calm.stand_in.count());
    assert_eq!(seen.iter().filter(|it| it.is_write()).count(), 3);
    for call in &seen {
        // A write whose request is lost leaves its step in doubt for minutes: the provider's own tests let that happen.
        let before = if call.is_write() { Fault::Status(500) } else { Fault::LostBefore };
        run(call.number, before, &expected);
        run(call.number, Fault::LostAfter, &expected);
    }
}

#[test]
fn a_storm_of_refusals_is_waited_for() {
    let world = World::new();
    for number in 1..=20 {
        world.stand_in.faults().by_number.insert(number, Fault::TooMany(Some(Duration::from_secs(1))));
    }
    world.apply().done();
    world.assert_settled();
    assert_eq!(world.stand_in.inventory(), super::MADE);
}

//! Each call of a run fails once before and once after its effect; the next run then ends like one without faults.

use super::World;
use std::time::Duration;
use terrace_test_airbyte::Fault;

/// One call at a time: the number of a call identifies it.
const APPLY: [&str; 5] = ["apply", super::PRODUCT, "--auto-approve", "--parallelism", "1"];

/// Applies with a fault, again after a failure, and checks the result.
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
    // Every object has a row.
    world.run(["destroy", super::PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0], "call {number}, {fault:?}");
}

#[test]
fn next_run_ends_alike_after_any_failed_call() {
    let calm = World::new();
    calm.stand_in.reset_count();
    let _ = calm.stand_in.take_calls();
    calm.run(APPLY).done();
    let expected = calm.stand_in.inventory();
    let calls = calm.stand_in.take_calls();
    assert_eq!(calls.len(), calm.stand_in.count());
    assert_eq!(calls.iter().filter(|it| it.is_write()).count(), 3);
    for call in &calls {
        // A lost write leaves its step in doubt for minutes: the provider's own tests cover that.
        let before = if call.is_write() { Fault::Status(500) } else { Fault::LostBefore };
        run(call.number, before, &expected);
        run(call.number, Fault::LostAfter, &expected);
    }
}

#[test]
fn many_rate_limit_responses_are_waited_for() {
    let world = World::new();
    for number in 1..=20 {
        world.stand_in.faults().by_number.insert(number, Fault::TooMany(Some(Duration::from_secs(1))));
    }
    world.apply().done();
    world.assert_settled();
    assert_eq!(world.stand_in.inventory(), super::MADE);
}

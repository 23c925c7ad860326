//! Each call of a run fails once before and once after its effect; then the next run ends where a run without faults does.

use super::{STACK, World};
use terrace_test_azure::Fault;

/// One call after the other: the number of a call says what it is.
const APPLY: [&str; 5] = ["apply", STACK, "--auto-approve", "--parallelism", "1"];

/// Applies with a fault, again where that failed, and looks whether all is as it should be.
fn run(number: usize, fault: Fault, expected: &[String], lives: &[String], left: &[String]) {
    let world = World::new();
    world.azure.reset_count();
    world.azure.faults().by_number.insert(number, fault);
    let ran = world.run(APPLY);
    if ran.code != 0 {
        world.apply().done();
    }
    world.assert_settled();
    let what = format!("call {number}, {fault:?}: {ran}");
    assert_eq!(world.azure.inventory(), expected, "{what}");
    assert_eq!(world.stand_in.inventory(), lives, "{what}");
    let puts = world.azure.take_writes();
    let puts = puts.iter().filter(|it| it.starts_with("PUT") && it.ends_with("/workspaces/sales_shop_0")).count();
    assert!((1..=2).contains(&puts), "{what}");
    // Nothing is there without a row, and nothing goes that stays.
    world.run(["destroy", STACK, "--auto-approve"]).done();
    assert_eq!(world.azure.inventory(), left, "{what}");
}

#[test]
fn whatever_call_fails_before_or_after_its_effect_the_next_run_ends_alike() {
    let calm = World::new();
    calm.azure.reset_count();
    let _ = calm.azure.take_seen();
    calm.run(APPLY).done();
    let (expected, lives) = (calm.azure.inventory(), calm.stand_in.inventory());
    let seen = calm.azure.take_seen();
    assert_eq!(seen.len(), calm.azure.count());
    calm.run(["destroy", STACK, "--auto-approve"]).done();
    let left = calm.azure.inventory();
    let is_write = |it: &&terrace_test_azure::Seen| it.is_write() && !it.path.contains("/oauth2/");
    assert_eq!(seen.iter().filter(is_write).count(), 5);
    for call in &seen {
        run(call.number, Fault::LostBefore, &expected, &lives, &left);
        run(call.number, Fault::LostAfter, &expected, &lives, &left);
    }
}

#[test]
fn a_storm_of_refusals_is_waited_for() {
    let world = World::new();
    for number in 1..=20 {
        world.azure.faults().by_number.insert(number, Fault::TooMany(Some(1)));
    }
    world.apply().done();
    world.assert_settled();
    let seen = world.azure.take_seen();
    assert_eq!(seen.iter().filter(|it| it.status == 429).count(), 20);
}

//! Each call of a run fails once before and once after its effect; the next run then ends like one without faults.

use super::{STACK, World};
use terrace_test_azure::Fault;

/// One call at a time: the number of a call identifies it.
const APPLY: [&str; 5] = ["apply", STACK, "--auto-approve", "--parallelism", "1"];

/// Applies with a fault, again after a failure, and checks the result.
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
    // Every object has a row, and destroy keeps retained objects.
    world.run(["destroy", STACK, "--auto-approve"]).done();
    assert_eq!(world.azure.inventory(), left, "{what}");
}

#[test]
fn next_run_ends_alike_after_any_failed_call() {
    let calm = World::new();
    calm.azure.reset_count();
    let _ = calm.azure.take_calls();
    calm.run(APPLY).done();
    let (expected, lives) = (calm.azure.inventory(), calm.stand_in.inventory());
    let calls = calm.azure.take_calls();
    assert_eq!(calls.len(), calm.azure.count());
    calm.run(["destroy", STACK, "--auto-approve"]).done();
    let left = calm.azure.inventory();
    let is_write = |it: &&terrace_test_azure::ReceivedCall| it.is_write() && !it.path.contains("/oauth2/");
    assert_eq!(calls.iter().filter(is_write).count(), 5);
    for call in &calls {
        run(call.number, Fault::LostBefore, &expected, &lives, &left);
        run(call.number, Fault::LostAfter, &expected, &lives, &left);
    }
}

#[test]
fn many_rate_limit_responses_are_waited_for() {
    let world = World::new();
    for number in 1..=20 {
        world.azure.faults().by_number.insert(number, Fault::TooMany(Some(1)));
    }
    world.apply().done();
    world.assert_settled();
    let calls = world.azure.take_calls();
    assert_eq!(calls.iter().filter(|it| it.status == 429).count(), 20);
}

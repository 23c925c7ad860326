//! Each statement of a run fails once before and once after its effect; then the next run ends where a run without faults does.

use super::World;
use terrace_test_snowflake::Fault;

/// The names of everything, without times.
fn ended(world: &World) -> Vec<String> {
    world.stand_in.inventory()
}

#[test]
fn whatever_statement_fails_before_or_after_its_effect_the_next_run_ends_alike() {
    let calm = World::new();
    calm.stand_in.reset_count();
    calm.apply().done();
    let (expected, statements) = (ended(&calm), calm.stand_in.count());
    assert!(statements > 50, "{statements}");
    // One that works, then each of them twice. Answers that never come are for what changes something: questions are asked
    // again by whoever asks.
    let writes: Vec<usize> = calm.stand_in.take_seen().iter().filter(|it| it.is_write()).map(|it| it.number).collect();
    for number in 1..=statements {
        for fault in [Fault::LostBefore, Fault::LostAfter] {
            let world = World::new();
            world.stand_in.reset_count();
            world.stand_in.faults().by_number.insert(number, fault);
            let ran = world.apply();
            if ran.code != 0 {
                world.apply().done();
            }
            world.assert_settled();
            assert_eq!(ended(&world), expected, "statement {number}, {fault:?}");
        }
    }
    for number in writes {
        for fault in [Fault::LostForGood, Fault::Fails] {
            let world = World::new();
            world.stand_in.reset_count();
            world.stand_in.faults().by_number.insert(number, fault);
            let ran = world.apply();
            if ran.code != 0 {
                world.apply().done();
            }
            world.assert_settled();
            assert_eq!(ended(&world), expected, "statement {number}, {fault:?}");
        }
    }
}

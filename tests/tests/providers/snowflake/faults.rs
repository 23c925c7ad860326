//! Each statement of a run fails once before and once after its effect. The next run ends as a run without faults.

use super::{PRODUCT, World};
use terrace_test_snowflake::Fault;
use terrace_tests::print_note;

/// If set, all statements fail, and not only the changing ones. That takes many more runs.
const ALL: &str = "TERRACE_ALL_FAULTS";

/// Creates the product with fewer columns, so that its runs are short.
fn world() -> World {
    let world = World::with("");
    let text = world.project.read(PRODUCT);
    let (mut kept, mut columns) = (Vec::new(), 0);
    for line in text.lines() {
        let is_column = line.trim_start().starts_with("- name: ") && line.starts_with("        ");
        let is_end = !line.starts_with("        ");
        columns = match (is_column, is_end) {
            (true, _) => columns + 1,
            (_, true) => 0,
            _ => columns,
        };
        if columns <= 2 {
            kept.push(line);
        }
    }
    world.project.write(PRODUCT, kept.join("\n"));
    world
}

/// Applies with a fault, applies again after a failure, and checks the result.
fn run(number: usize, fault: Fault, expected: &[String]) {
    let world = world();
    world.stand_in.reset_count();
    world.stand_in.faults().by_number.insert(number, fault);
    let ran = world.apply();
    if ran.code != 0 {
        world.apply().done();
    }
    world.assert_settled();
    assert_eq!(world.stand_in.inventory(), expected, "statement {number}, {fault:?}");
}

#[test]
fn next_run_ends_alike_after_any_failed_statement() {
    let calm = world();
    calm.stand_in.reset_count();
    let _ = calm.stand_in.take_calls();
    calm.apply().done();
    let expected = calm.stand_in.inventory();
    let calls = calm.stand_in.take_calls();
    assert_eq!(calls.len(), calm.stand_in.count());
    let writes: Vec<usize> = calls.iter().filter(|it| it.is_write()).map(|it| it.number).collect();
    assert!(writes.len() >= 10, "{writes:?}");
    // The statement fails without an effect, or it has an effect and its response is lost.
    for number in &writes {
        run(*number, Fault::Fails, &expected);
        run(*number, Fault::LostForGood, &expected);
    }
    if std::env::var_os(ALL).is_none() {
        print_note(&format!(
            "skipped: {} statements that only ask did not fail ({ALL}=1 lets them)",
            calls.len() - writes.len()
        ));
        return;
    }
    for number in 1..=calls.len() {
        run(number, Fault::LostBefore, &expected);
        run(number, Fault::LostAfter, &expected);
    }
}

//! Changes that a plan did not finish, for people: why, and what to do.

use std::collections::BTreeSet;
use terrace_engine::apply::{Failed, Report};
use terrace_engine::plan::Plan;

/// What was not made.
pub(super) struct Unfinished {
    /// Of each why it was not.
    pub(super) why: Vec<String>,
    /// What nobody knows of whether it was made before: no step failed of that, and everything else waits for it.
    pub(super) doubts: Vec<String>,
}

impl Unfinished {
    pub(super) fn of(plan: &Plan, report: &Report) -> Self {
        let doubted = plan.changes().filter(|(_, change)| change.is_doubted());
        let doubted: BTreeSet<_> =
            doubted.map(|(stack, change)| (change.stack(&stack.stack), change.address.clone())).collect();
        let (mut why, mut doubts) = (Vec::new(), Vec::new());
        why.extend(report.failed.iter().map(|it| failed(plan, it)));
        for it in &report.blocked {
            let line = format!("{}:{}: {}", it.stack, it.address, it.because);
            if !doubted.contains(&(it.stack.clone(), it.address.clone())) {
                why.push(line);
                continue;
            }
            let line = helped(line, &["`terrace recover` finds out, or asks".to_owned()]);
            doubts.push(line.clone());
            why.push(line);
        }
        why.extend(report.still_owned.iter().map(|it| format!("{} is still there: all its owners left", it.address)));
        Self { why, doubts }
    }
}

/// So many failures are told as the result of an operation, which is asked for again and again.
const MOST: usize = 100;

/// The first of those, one a line, and the others, which the log is to tell.
pub(super) fn first_of(mut why: Vec<String>) -> (String, Vec<String>) {
    let others = if why.len() > MOST { why.split_off(MOST) } else { Vec::new() };
    why.extend((!others.is_empty()).then(|| format!("and {} more, which the log tells", others.len())));
    (why.join("\n"), others)
}

fn failed(plan: &Plan, it: &Failed) -> String {
    let place = plan.place_of(&it.stack, &it.address);
    let declared = place.map(|place| format!(" (declared at {place})")).unwrap_or_default();
    helped(format!("{}:{}: {}{declared}", it.stack, it.address, it.reason()), &it.solutions)
}

/// A problem with what to do about it.
fn helped(problem: String, solutions: &[String]) -> String {
    match solutions {
        [] => problem,
        solutions => format!("{problem} ({})", solutions.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_tells_the_first_failures_and_how_many_more_there_are() {
        let why = |count: usize| first_of((0..count).map(|number| format!("f{number}")).collect());
        assert_eq!(why(2), ("f0\nf1".to_owned(), Vec::new()));
        assert_eq!(why(MOST).0.lines().count(), MOST);
        let (told, others) = why(MOST + 3);
        assert!(told.ends_with("f99\nand 3 more, which the log tells"), "{told}");
        assert_eq!(others, ["f100", "f101", "f102"]);
    }
}

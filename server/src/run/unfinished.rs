//! Changes that a plan did not finish, for people: why, and what to do.

use std::collections::BTreeSet;
use terrace_engine::apply::{Failed, Report};
use terrace_engine::plan::Plan;

/// Changes that were not made.
pub(super) struct Unfinished {
    /// The reason for each.
    pub(super) why: Vec<String>,
    /// Objects whose earlier step is in doubt. None of their steps failed, but everything else waits for them.
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
            let line = helped(line, &["`terrace recover` resolves it, or asks".to_owned()]);
            doubts.push(line.clone());
            why.push(line);
        }
        why.extend(report.still_owned.iter().map(|it| format!("{} still exists: all its owners left", it.address)));
        Self { why, doubts }
    }
}

/// The most failures in the result of an operation, which callers read repeatedly.
const MOST: usize = 100;

/// The first failures as lines, and the rest, which belong into the log.
pub(super) fn first_of(mut why: Vec<String>) -> (String, Vec<String>) {
    let others = if why.len() > MOST { why.split_off(MOST) } else { Vec::new() };
    why.extend((!others.is_empty()).then(|| format!("and {} more: see the log", others.len())));
    (why.join("\n"), others)
}

fn failed(plan: &Plan, it: &Failed) -> String {
    let place = plan.place_of(&it.stack, &it.address);
    let declared = place.map(|place| format!(" (declared at {place})")).unwrap_or_default();
    helped(format!("{}:{}: {}{declared}", it.stack, it.address, it.reason()), &it.solutions)
}

/// A problem with its hints.
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
    fn result_has_the_first_failures_and_counts_the_rest() {
        let why = |count: usize| first_of((0..count).map(|number| format!("f{number}")).collect());
        assert_eq!(why(2), ("f0\nf1".to_owned(), Vec::new()));
        assert_eq!(why(MOST).0.lines().count(), MOST);
        let (result, others) = why(MOST + 3);
        assert!(result.ends_with("f99\nand 3 more: see the log"), "{result}");
        assert_eq!(others, ["f100", "f101", "f102"]);
    }
}

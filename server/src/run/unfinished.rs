//! Changes that a plan did not finish, for people: why, and what to do.

use std::collections::BTreeSet;
use terrace_engine::apply::{Failed, Report};
use terrace_engine::plan::Plan;

/// Changes that were not made.
pub(super) struct Unfinished {
    /// The reason for each.
    pub(super) why: Vec<String>,
    /// Objects whose earlier step is in doubt. None of their steps failed, but everything else waits for them.
    pub(super) in_doubt: Vec<String>,
}

impl Unfinished {
    pub(super) fn of(plan: &Plan, report: &Report) -> Self {
        let in_doubt_addresses = plan.changes().filter(|(_, change)| change.is_in_doubt());
        let in_doubt_addresses: BTreeSet<_> =
            in_doubt_addresses.map(|(stack, change)| (change.stack(&stack.stack), change.address.clone())).collect();
        let (mut why, mut in_doubt) = (Vec::new(), Vec::new());
        why.extend(report.failed.iter().map(|it| failed(plan, it)));
        for it in &report.blocked {
            let line = format!("{}:{}: {}", it.stack, it.address, it.reason);
            if !in_doubt_addresses.contains(&(it.stack.clone(), it.address.clone())) {
                why.push(line);
                continue;
            }
            let line = with_hints(line, &["resolve it with `terrace recover`".to_owned()]);
            in_doubt.push(line.clone());
            why.push(line);
        }
        why.extend(report.still_owned.iter().map(|it| format!("{} still exists: all its owners left", it.address)));
        Self { why, in_doubt }
    }
}

/// The most failures in the result of an operation, which callers read repeatedly.
const MOST: usize = 100;

/// The first failures as lines, and the rest, which belong into the log.
pub(super) fn split_reasons(mut why: Vec<String>) -> (String, Vec<String>) {
    let rest = if why.len() > MOST { why.split_off(MOST) } else { Vec::new() };
    why.extend((!rest.is_empty()).then(|| format!("and {} more: see the log", rest.len())));
    (why.join("\n"), rest)
}

fn failed(plan: &Plan, it: &Failed) -> String {
    let place = plan.place_of(&it.stack, &it.address);
    let declared = place.map(|place| format!(" (declared at {place})")).unwrap_or_default();
    with_hints(format!("{}:{}: {}{declared}", it.stack, it.address, it.reason()), &it.solutions)
}

/// A problem with its hints.
fn with_hints(problem: String, solutions: &[String]) -> String {
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
        let why = |count: usize| split_reasons((0..count).map(|number| format!("f{number}")).collect());
        assert_eq!(why(2), ("f0\nf1".to_owned(), Vec::new()));
        assert_eq!(why(MOST).0.lines().count(), MOST);
        let (result, rest) = why(MOST + 3);
        assert!(result.ends_with("f99\nand 3 more: see the log"), "{result}");
        assert_eq!(rest, ["f100", "f101", "f102"]);
    }
}

//! A trial: applies a random stack and edits of it, each with interruptions and then to the end. Finally destroys it in
//! the same way.

use crate::stack::Stack;
use crate::terrace::{Disturbance, Terrace, folder, write};
use crate::world;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const APPLY: [&str; 4] = ["apply", "stack.yaml", "--auto-approve", "-q"];
const DESTROY: [&str; 4] = ["destroy", "stack.yaml", "--auto-approve", "-q"];
const FAULTS: [&str; 4] = ["dies-before", "dies-after", "fails-before", "fails-after"];

/// Numbers of trials, runs and effects.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) trials: usize,
    /// Runs with a planned interruption.
    pub(crate) disturbed: usize,
    /// Interrupted runs.
    pub(crate) interrupted: usize,
    /// Created, changed and deleted objects.
    pub(crate) effects: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.trials += other.trials;
        self.disturbed += other.disturbed;
        self.interrupted += other.interrupted;
        self.effects += other.effects;
    }

    /// Counts the lines of the log of the commands.
    pub(crate) fn count_effects(&mut self, folder: &Path) {
        self.effects = std::fs::read_to_string(folder.join("log")).map_or(0, |log| log.lines().count());
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { trials, disturbed, interrupted, effects } = self;
        write!(f, "{trials} trials, {interrupted} of {disturbed} runs interrupted, {effects} effects")
    }
}

struct Trial {
    rng: Rng,
    seed: u64,
    terrace: Terrace,
    counts: Counts,
    /// Duration of an uninterrupted run.
    typical: Duration,
}

/// Runs a trial.
///
/// # Panics
/// With the seed and the folder, which is kept, if an effect was lost, duplicated or left behind.
pub(crate) fn run(binary: &Path, seed: u64) -> Counts {
    let terrace = Terrace { binary: binary.to_owned(), folder: folder(&seed.to_string()) };
    let counts = Counts { trials: 1, ..Counts::default() };
    let mut trial = Trial { rng: Rng::with_seed(seed), seed, terrace, counts, typical: Duration::from_millis(150) };
    let mut stack = Stack::random(&mut trial.rng);
    for _ in 0..trial.rng.usize(2..=3) {
        write(&trial.terrace.folder, "stack.yaml", &stack.text());
        trial.finish(&APPLY, &stack.objects());
        stack = stack.edited(&mut trial.rng);
    }
    trial.finish(&DESTROY, &BTreeMap::new());
    trial.counts.count_effects(&trial.terrace.folder);
    std::fs::remove_dir_all(&trial.terrace.folder).expect("the folder of a trial can be removed");
    trial.counts
}

impl Trial {
    /// Runs with one or two interruptions, then to the end, and checks the result.
    fn finish(&mut self, arguments: &[&str], expected: &BTreeMap<String, String>) {
        for _ in 0..self.rng.usize(1..=2) {
            self.disturb(arguments);
        }
        let begin = Instant::now();
        let ended = self.terrace.run(arguments);
        self.typical = begin.elapsed();
        self.check(ended.code == Some(0), || format!("the last run failed: {ended}"));
        check_end(&self.terrace, self.seed, expected);
    }

    fn disturb(&mut self, arguments: &[&str]) {
        let disturbance = match self.rng.bool() {
            true => {
                let most = u64::try_from(self.typical.as_micros()).unwrap_or(u64::MAX);
                Disturbance::Kill(Duration::from_micros(self.rng.u64(0..most.max(1))))
            }
            false => {
                let how = self.rng.choice(FAULTS).unwrap_or_default();
                Disturbance::Commit(how, self.rng.usize(1..=14))
            }
        };
        let ended = self.terrace.disturbed(arguments, Some(disturbance));
        self.counts.disturbed += 1;
        let is_refused =
            ended.code == Some(1) && matches!(disturbance, Disturbance::Commit(how, _) if how.starts_with("fails"));
        self.counts.interrupted += usize::from(ended.code != Some(0));
        let is_expected = matches!(ended.code, None | Some(0)) || is_refused;
        self.check(is_expected, || format!("{disturbance:?} ended with {ended}"));
    }

    #[track_caller]
    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        assert!(holds, "seed {}, folder {}: {}", self.seed, self.terrace.folder.display(), what());
    }
}

/// Checks that objects and rows are as described, no lease remains, and the second plan is empty.
///
/// # Panics
/// With the seed and the folder if a check fails.
#[track_caller]
pub(crate) fn check_end(terrace: &Terrace, seed: u64, expected: &BTreeMap<String, String>) {
    let check = |holds: bool, what: &dyn Fn() -> String| {
        assert!(holds, "seed {seed}, folder {}: {}", terrace.folder.display(), what());
    };
    match world::objects(&terrace.folder) {
        Ok(found) => check(found == *expected, &|| format!("found {found:?}, expected {expected:?}")),
        Err(fault) => check(false, &|| fault.clone()),
    }
    let listed = terrace.run(&["state", "list"]);
    let rows = listed.stdout.lines().count();
    check(rows == expected.len() && !listed.stdout.contains('('), &|| format!("recorded: {listed}"));
    let leases = terrace.run(&["leases", "list"]);
    check(leases.stdout.is_empty(), &|| format!("leases are left: {leases}"));
    if !expected.is_empty() {
        let plan = terrace.run(&["plan", "stack.yaml", "--detailed-exitcode"]);
        check(plan.code == Some(0), &|| format!("the second plan is not empty: {plan}"));
    }
}

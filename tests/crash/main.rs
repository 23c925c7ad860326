//! Kills applies of random stacks at random moments and finishes them: no orphan, no duplicate, nothing lost, an empty
//! second plan. Then does the same with a server whose state fails repeatedly, within one process.
//!
//! `crash TERRACE [TRIALS [SEED [KIND]]]`: TERRACE is a binary with the feature `fault-points`; trial N of a run has the
//! seed SEED + N; KIND is `kills` or `outages`, both by default. The log of the commands proves their effects, not the output
//! of terrace.
#![expect(clippy::print_stdout, clippy::expect_used, clippy::panic, reason = "a suite that people watch")]

mod disk;
mod server;
mod stack;
mod terrace;
mod trial;
mod world;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use trial::Counts;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let binary = PathBuf::from(arguments.next().expect("usage: crash TERRACE [TRIALS [SEED [KIND]]]"));
    let binary = binary.canonicalize().expect("the binary is there");
    let number = |text: Option<String>, default| text.map_or(default, |text| text.parse().expect("a number"));
    let trials = number(arguments.next(), 1_000);
    let seed = number(arguments.next(), 1);
    let kind = arguments.next();
    let is_chosen = |name: &str| kind.as_deref().is_none_or(|kind| kind == name);

    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    if is_chosen("kills") {
        let total = many("kills", trials, seed, processors, |seed| trial::run(&binary, seed));
        assert!(total.interrupted * 3 > total.disturbed, "too few runs were interrupted: the trials prove little");
    }
    if is_chosen("outages") {
        // A server in an outage mostly waits, so that more of them can run at once.
        let total = many("outages", trials, seed, 20 * processors, |seed| server::run(&binary, seed));
        assert!(total.interrupted * 3 > total.disturbed, "too few requests met an outage: the trials prove little");
        disk::run(&binary);
    }
}

/// Runs trials of consecutive seeds, several at once. Ends the process if one fails.
#[expect(clippy::exit, reason = "the end of the suite")]
fn many(name: &str, trials: u64, seed: u64, at_once: usize, run: impl Fn(u64) -> Counts + Sync) -> Counts {
    let begin = Instant::now();
    let (next, total) = (AtomicU64::new(seed), Mutex::new(Counts::default()));
    let work = || {
        loop {
            let own = next.fetch_add(1, Ordering::SeqCst);
            if own >= seed + trials {
                break;
            }
            let counts = run(own);
            let mut total = total.lock().expect("no worker panics while it counts");
            total.add(counts);
            if total.trials % 50 == 0 {
                println!("{name}: {total}, {} s", begin.elapsed().as_secs());
            }
        }
    };
    let failed = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).filter(Result::is_err).count()
    });
    let total = total.into_inner().expect("the workers ended");
    println!("{name}: {total}, {} s", begin.elapsed().as_secs());
    if failed > 0 {
        println!("{failed} workers failed: their seeds and folders are above");
        std::process::exit(1);
    }
    total
}

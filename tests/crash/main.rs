//! Random stacks, killed at random moments, then finished: no orphan, no double, nothing lost, second plan empty.
//!
//! `crash TERRACE [TRIALS [SEED]]`: TERRACE is a binary with the feature `fault-points`; trial number N of a run has the
//! seed SEED + N. What a provider did is judged by its own log, not by what terrace says.
#![expect(clippy::print_stdout, clippy::expect_used, clippy::panic, reason = "a suite that people watch")]

mod disk;
mod stack;
mod terrace;
mod trial;
mod world;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use trial::Counts;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let binary = PathBuf::from(arguments.next().expect("usage: crash TERRACE [TRIALS [SEED]]"));
    let binary = binary.canonicalize().expect("the binary is there");
    let number = |text: Option<String>, default| text.map_or(default, |text| text.parse().expect("a number"));
    let trials = number(arguments.next(), 1_000);
    let seed = number(arguments.next(), 1);

    let begin = Instant::now();
    let next = Arc::new(AtomicU64::new(seed));
    let total = Arc::new(Mutex::new(Counts::default()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let handles: Vec<_> = (0..workers)
        .map(|_| {
            let (binary, next, total) = (binary.clone(), Arc::clone(&next), Arc::clone(&total));
            std::thread::spawn(move || {
                loop {
                    let own = next.fetch_add(1, Ordering::SeqCst);
                    if own >= seed + trials {
                        break;
                    }
                    let counts = trial::run(&binary, own);
                    let mut total = total.lock().expect("no worker panics while it counts");
                    total.add(counts);
                    if total.trials % 50 == 0 {
                        println!("{total}, {} s", begin.elapsed().as_secs());
                    }
                }
            })
        })
        .collect();
    let failed = handles.into_iter().map(std::thread::JoinHandle::join).filter(Result::is_err).count();
    let total = total.lock().expect("the workers ended");
    println!("{total}, {} s", begin.elapsed().as_secs());
    if failed > 0 {
        println!("{failed} trials failed: their seeds and folders are above");
        std::process::exit(1);
    }
    assert!(total.cut_off * 3 > total.disturbed, "too few runs were cut off: the trials prove little");
    disk::run(&binary);
}

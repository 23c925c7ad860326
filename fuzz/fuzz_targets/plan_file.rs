//! Fuzzes plan files: reads, renders, writes and reads them again.
#![no_main]

#[path = "../exercise.rs"]
mod exercise;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    exercise::plan_file(body);
});

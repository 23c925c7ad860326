//! A provider outside of the workspace: built against the crates as they are, offline, with a binary of its own.

use std::path::Path;
use std::process::Command;
use terrace_tests::{binary, repository};

#[test]
fn the_example_of_a_provider_is_built_and_passes_its_own_tests() {
    let example = repository().join("examples/provider");
    // The versions of the workspace, which are built already; cargo drops what the example does not need.
    std::fs::copy(repository().join("Cargo.lock"), example.join("Cargo.lock")).unwrap();
    let target = binary().ancestors().nth(2).map(Path::to_owned).unwrap();
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["test", "--offline", "--quiet", "--manifest-path"])
        .arg(example.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", target)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let passed: u32 = told.split(" passed").filter_map(|part| part.rsplit(' ').next()?.parse::<u32>().ok()).sum();
    assert!(passed >= 7, "its tests did not run:\n{told}");
}

//! Reads the version from Git: a build without Git, or outside a checkout, has version `0.0.0+unknown`.

#[path = "src/version/derive.rs"]
mod derive;

use derive::{Checkout, version};
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Half of the time of `terrace version` in a debug build is 550,000 relocations. Tests start it thousands of times.
    let linux = std::env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|os| os == "linux");
    if linux && std::env::var_os("PROFILE").is_some_and(|profile| profile == "debug") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
    println!("cargo::rerun-if-changed=src/version/derive.rs");
    // In a linked work tree HEAD and the refs lie in different folders.
    for path in ["HEAD", "refs", "packed-refs"].into_iter().filter_map(|name| git(&["rev-parse", "--git-path", name])) {
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let checkout = checkout();
    println!("cargo::rustc-env=TERRACE_BUILD_VERSION={}", version(&checkout));
    println!("cargo::rustc-env=TERRACE_BUILD_COMMIT={}", checkout.commit.unwrap_or_default());
}

fn checkout() -> Checkout {
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    let release = git(&["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]);
    let range = release.map_or("HEAD".to_owned(), |tag| format!("{tag}..HEAD"));
    Checkout {
        tags: git(&["tag", "--points-at", "HEAD"]).map(lines).unwrap_or_default(),
        branch: git(&["symbolic-ref", "--short", "--quiet", "HEAD"]),
        distance: git(&["rev-list", "--count", &range]).and_then(|count| count.parse().ok()),
        commit: git(&["rev-parse", "--short=7", "HEAD"]),
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

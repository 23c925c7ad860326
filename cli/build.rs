//! Tells the version from Git: a build without Git, or outside a checkout, has version `0.0.0+unknown`. Has a release put
//! side by side what everyday commands call.

#![expect(clippy::disallowed_methods, reason = "Cargo tells a build script what it needs in variables")]

#[path = "src/version/derive.rs"]
mod derive;

use derive::{Checkout, version};
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/version/derive.rs");
    // In a linked work tree HEAD and the refs lie in different folders.
    for path in ["HEAD", "refs", "packed-refs"].into_iter().filter_map(|name| git(&["rev-parse", "--git-path", name])) {
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    order_functions();
    let checkout = checkout();
    println!("cargo::rustc-env=TERRACE_BUILD_VERSION={}", version(&checkout));
    println!("cargo::rustc-env=TERRACE_BUILD_COMMIT={}", checkout.commit.unwrap_or_default());
}

/// Has the linker put those functions side by side that everyday commands call (`order.txt`, by `tests/scale/order`): what
/// is never called is then not in memory for being their neighbour. Where the linker cannot, or a name is of another
/// compiler, things are where they would be without.
fn order_functions() {
    println!("cargo::rerun-if-changed=order.txt");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let order = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("order.txt");
    if !is_release || !order.exists() {
        return;
    }
    let arguments =
        [format!("-Wl,--symbol-ordering-file={}", order.display()), "-Wl,--no-warn-symbol-ordering".to_owned()];
    if links_with(&arguments) {
        for argument in arguments {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}

/// Whether the linker of this build knows these arguments: only LLVM's does.
fn links_with(arguments: &[String]) -> bool {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let program = Path::new(&variable("OUT_DIR")).join("probe");
    let source = program.with_extension("rs");
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--crate-type", "bin", "--target", &variable("TARGET"), "-o"]).arg(&program).arg(&source);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    compiler.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    compiler.args(arguments.iter().map(|argument| format!("-Clink-arg={argument}")));
    fs::write(&source, "fn main() {}").is_ok() && compiler.output().is_ok_and(|output| output.status.success())
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

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
///
/// A script that is inserted into the linker's own and not a list of symbols: the name of a function holds a hash of each
/// crate that it is about, which another version of any dependency changes, and only a script takes patterns.
fn order_functions() {
    println!("cargo::rerun-if-changed=order.txt");
    // By the folder, for `PROFILE` says so of each profile that inherits from it, and the linker takes minutes for it where
    // code is not linked as a whole.
    let out = env::var("OUT_DIR").unwrap_or_default();
    let is_release = Path::new(&out).iter().any(|part| part == "release");
    let Ok(names) = fs::read_to_string("order.txt") else { return };
    if !is_release {
        return;
    }
    let sections: String = names.lines().map(|name| format!("    *(.text.{name})\n")).collect();
    let script = Path::new(&out).join("order.ld");
    let text = format!("SECTIONS {{\n  .text.often : {{\n{sections}  }}\n}}\nINSERT BEFORE .text;\n");
    let argument = format!("-Wl,-T,{}", script.display());
    if fs::write(&script, text).is_ok() && links_with(&argument) {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

/// Whether the linker of this build takes this argument: that of another system does not.
fn links_with(argument: &str) -> bool {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let program = Path::new(&variable("OUT_DIR")).join("probe");
    let source = program.with_extension("rs");
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--crate-type", "bin", "--target", &variable("TARGET"), "-o"]).arg(&program).arg(&source);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    compiler.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    compiler.arg(format!("-Clink-arg={argument}"));
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

//! Helpers for tests of the binary: its path, temporary folders, complete results of commands.
#![expect(clippy::expect_used, clippy::panic, reason = "this crate is tests: what fails here fails a test")]

mod hostile;
pub mod issuer;
mod peer;
mod project;
mod ran;
mod running;
pub mod served;
mod terminal;

pub use hostile::{HOSTILE, first_error_at, hostile};
pub use peer::Peer;
pub use project::Project;
pub use ran::Ran;
pub use running::{Running, until};
pub use terminal::Terminal;

use std::path::{Path, PathBuf};

/// The path of the binary. Cargo builds it two folders above the test executable.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("the path of the test executable");
    let name = format!("terrace{}", std::env::consts::EXE_SUFFIX);
    let path = own.ancestors().nth(2).expect("the folder of the profile").join(name);
    assert!(
        path.is_file(),
        "the binary `{}` does not exist: run `cargo test --workspace`, or `cargo build -p terrace` first",
        path.display()
    );
    path
}

/// The folder of the repository.
///
/// # Panics
/// When this crate is not in a repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie within the repository")
}

/// A file of the folder `shared` next to the repository. Prints a note if it does not exist.
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = repository().parent()?.join("shared").join(path);
    if found.exists() {
        return Some(found);
    }
    print_note(&format!("skipped: there is no `../shared/{path}`"));
    None
}

/// Prints a note into the test's output.
#[expect(clippy::print_stderr, reason = "a skipped test prints a note")]
pub fn print_note(text: &str) {
    eprintln!("{text}");
}

/// Compares the complete result of a command with a snapshot: exit code, standard output, standard error.
#[macro_export]
macro_rules! snapshot {
    ($ran:expr, @$expected:literal) => {{
        let ran = $ran;
        ran.filters().bind(|| insta::assert_snapshot!(ran.to_string(), @$expected));
    }};
}

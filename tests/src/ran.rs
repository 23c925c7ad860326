//! The complete result of a command.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    folder: PathBuf,
}

impl Ran {
    pub(crate) fn new(code: Option<i32>, stdout: String, stderr: String, folder: &Path) -> Self {
        Self { code: code.unwrap_or(-1), stdout, stderr, folder: folder.to_owned() }
    }

    /// Checks the exit code.
    ///
    /// # Panics
    /// When it differs.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "the exit code differs:\n{self}");
        self
    }

    /// Checks that the exit code is 0.
    ///
    /// # Panics
    /// When it differs.
    #[track_caller]
    pub fn done(self) -> Self {
        self.with_code(0)
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{self}"))
    }

    /// Checks that standard output or standard error contains a text.
    ///
    /// # Panics
    /// When neither does.
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is missing in the output:\n{self}");
        self
    }

    /// Filters for parts that differ between runs.
    #[must_use]
    pub fn filters(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        // Output may contain the real path of the folder.
        let real = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        for folder in [&real, &self.folder] {
            settings.add_filter(&escaped(&folder.display().to_string()), "[folder]");
        }
        settings.add_filter(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[uuid]");
        settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]");
        settings.add_filter(r"\d\d:\d\d:\d\d UTC", "[time]");
        settings.add_filter(r"after \d+(\.\d+)?m?s", "after [duration]");
        settings.add_filter(r"tester@\S+ \(pid \d+\)", "[person]");
        // A missing state gets another id in each plan, and the digest covers it.
        settings.add_filter(r"(Plan digest `|--plan-digest )[0-9a-f]{64}", "$1[digest]");
        settings.add_filter(r"\(\d+\.\d+\.\d+[^)]*\)", "[version]");
        settings.add_filter(r"(# provider = \S+) \d+\.\d+\.\d+", "$1 [version]");
        settings
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit: {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// A regular expression that matches the text.
fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") };
    text.chars().map(escape).collect()
}

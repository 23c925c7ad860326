//! Choice of the Python interpreter for environments.

use crate::spec::processor::Api;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// Timeout of the query for a version.
const LONGEST: Duration = Duration::from_secs(20);
/// Code that prints the version and the path, and checks that environments can be created.
const PROBE: &str = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable); import ensurepip, venv";

/// A suitable Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// `3.11`.
    pub version: String,
    /// The program.
    pub program: PathBuf,
}

/// A Python that is missing or not suitable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsuitableInterpreter {
    /// Name of the program.
    pub name: String,
    /// Reason why it is not suitable.
    pub reason: String,
}

impl fmt::Display for UnsuitableInterpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.reason)
    }
}

/// Versions for a release, the best tested one first.
const fn versions(api: Api) -> &'static [&'static str] {
    match api {
        Api::One => &["3.11", "3.10", "3.9"],
        Api::Two => &["3.11", "3.12", "3.10", "3.9"],
    }
}

/// Returns the interpreter in the settings, or else the first suitable one.
///
/// # Errors
/// When none is suitable: the candidates that were tried.
pub async fn find(api: Api, named: Option<&str>) -> Result<Interpreter, Vec<UnsuitableInterpreter>> {
    let names: Vec<String> = match named {
        Some(name) => vec![name.to_owned()],
        None => versions(api)
            .iter()
            .map(|version| format!("python{version}"))
            .chain(["python3", "python"].map(str::to_owned))
            .collect(),
    };
    let mut tried = Vec::new();
    for name in names {
        match probe(&name, api).await {
            Ok(interpreter) => return Ok(interpreter),
            Err(reason) => tried.push(UnsuitableInterpreter { name, reason }),
        }
    }
    Err(tried)
}

async fn probe(name: &str, api: Api) -> Result<Interpreter, String> {
    let mut command = super::install::command(name);
    command.args(["-c", PROBE]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(LONGEST, command.output()).await {
        Err(_) => return Err(format!("did not respond within {} s", LONGEST.as_secs())),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Err("does not exist".to_owned()),
        Ok(Err(error)) => return Err(format!("cannot be started: {error}")),
        Ok(Ok(output)) => output,
    };
    let output_text = String::from_utf8_lossy(&output.stdout);
    let mut lines = output_text.lines();
    let (version, program) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if version.is_empty() {
        // A shim for a version that is not installed prints to standard error.
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("failed: {}", complaint.lines().next().unwrap_or("no output")));
    }
    if !versions(api).contains(&version) {
        return Err(format!("is {version}: expected one of {}", versions(api).join(", ")));
    }
    if !output.status.success() {
        return Err(format!("is {version} without `venv`: `apt-get install python{version}-venv`"));
    }
    Ok(Interpreter { version: version.to_owned(), program: PathBuf::from(program) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tried_interpreters_are_reported() {
        let tried = find(Api::One, Some("/nowhere/python")).await.unwrap_err();
        assert_eq!(tried[0].to_string(), "`/nowhere/python` does not exist");
        let folder = tempfile::tempdir().unwrap();
        let young = folder.path().join("python3.13");
        std::fs::write(&young, "#!/bin/sh\necho 3.13; echo /usr/bin/python3.13\n").unwrap();
        std::fs::set_permissions(&young, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let young = young.display().to_string();
        let tried = find(Api::Two, Some(&young)).await.unwrap_err();
        assert_eq!(tried[0].to_string(), format!("`{young}` is 3.13: expected one of 3.11, 3.12, 3.10, 3.9"));
        let tried = find(Api::Two, Some("true")).await.unwrap_err();
        assert_eq!(tried[0].to_string(), "`true` failed: no output");
    }
}

//! Which Python environments are made with.

use crate::spec::processor::Api;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// How long a Python may take to say which it is.
const LONGEST: Duration = Duration::from_secs(20);
/// What it is asked: its version, where it is, and whether it can make environments.
const QUESTION: &str =
    "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable); import ensurepip, venv";

/// A Python that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// `3.11`.
    pub version: String,
    /// The program.
    pub program: PathBuf,
}

/// A Python that does not fit, or is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// As it was called.
    pub name: String,
    /// What came of it.
    pub why: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.why)
    }
}

/// The versions that a release runs on, the best tried one first.
const fn versions(api: Api) -> &'static [&'static str] {
    match api {
        Api::One => &["3.11", "3.10", "3.9"],
        Api::Two => &["3.11", "3.12", "3.10", "3.9"],
    }
}

/// The interpreter that the settings name, else the first that fits.
///
/// # Errors
/// When none does: what was tried.
pub async fn find(api: Api, named: Option<&str>) -> Result<Interpreter, Vec<Tried>> {
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
        match ask(&name, api).await {
            Ok(interpreter) => return Ok(interpreter),
            Err(why) => tried.push(Tried { name, why }),
        }
    }
    Err(tried)
}

async fn ask(name: &str, api: Api) -> Result<Interpreter, String> {
    let mut command = super::install::command(name);
    command.args(["-c", QUESTION]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(LONGEST, command.output()).await {
        Err(_) => return Err(format!("did not answer within {} s", LONGEST.as_secs())),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Err("is not there".to_owned()),
        Ok(Err(error)) => return Err(format!("cannot be started: {error}")),
        Ok(Ok(output)) => output,
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let mut lines = said.lines();
    let (version, program) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if version.is_empty() {
        // A shim of a version that is not installed answers on standard error.
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("says: {}", complaint.lines().next().unwrap_or("nothing")));
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
    async fn what_was_tried_is_told() {
        let tried = find(Api::One, Some("/nowhere/python")).await.unwrap_err();
        assert_eq!(tried[0].to_string(), "`/nowhere/python` is not there");
        let folder = tempfile::tempdir().unwrap();
        let young = folder.path().join("python3.13");
        std::fs::write(&young, "#!/bin/sh\necho 3.13; echo /usr/bin/python3.13\n").unwrap();
        std::fs::set_permissions(&young, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let young = young.display().to_string();
        let tried = find(Api::Two, Some(&young)).await.unwrap_err();
        assert_eq!(tried[0].to_string(), format!("`{young}` is 3.13: expected one of 3.11, 3.12, 3.10, 3.9"));
        let tried = find(Api::Two, Some("true")).await.unwrap_err();
        assert_eq!(tried[0].to_string(), "`true` says: nothing");
    }
}

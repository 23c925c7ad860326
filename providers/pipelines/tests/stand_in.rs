//! Environments without network access: Python without packages, and a stand-in of dpp that speaks its stream.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use terrace_pipelines::environment::Recipe;
use terrace_pipelines::run::POSTGRES_DRIVER;
use terrace_pipelines::spec::processor::Api;

/// Creates the environments of both releases in a folder of caches, for SQLite and for PostgreSQL.
pub(crate) fn create(caches: &Path) {
    let (version, python) = python();
    let kinds = [Api::One, Api::Two].into_iter().flat_map(|api| [(api, ""), (api, POSTGRES_DRIVER)]);
    for (api, requirement) in kinds {
        let recipe = Recipe::new(api, None, vec![requirement.to_owned()]);
        let folder = caches.join("terrace/pipelines").join(recipe.key());
        let packages = folder.join("lib").join(format!("python{version}")).join("site-packages");
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(&packages).unwrap();
        std::os::unix::fs::symlink(&python, folder.join("bin/python")).unwrap();
        let home = python.parent().unwrap().display();
        fs::write(folder.join("pyvenv.cfg"), format!("home = {home}\ninclude-system-site-packages = false\n")).unwrap();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|it| it.join("providers/pipelines").is_dir());
        copy(&own.unwrap().join("providers/pipelines/tests/stand_in"), &packages);
        let completion =
            format!(r#"{{"format": 1, "release": "{api}", "python": "{version}", "interpreter": "stand-in"}}"#);
        fs::write(folder.join("terrace-environment.json"), completion).unwrap();
    }
}

/// Version and path of the machine's Python, without shims.
fn python() -> (String, PathBuf) {
    let probe = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.base_prefix); print(sys.executable)";
    let output = Command::new("python3").args(["-c", probe]).output().unwrap();
    let output_text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = output_text.lines().collect();
    let own = Path::new(lines[1]).join("bin").join(format!("python{}", lines[0]));
    let program = if own.exists() { own } else { PathBuf::from(lines[2]) };
    (lines[0].to_owned(), program.canonicalize().unwrap())
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

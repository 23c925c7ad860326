//! Files that descriptors cannot read, write or delete.

use crate::{Path as AttributePath, ProviderError};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// File systems that show processes and the kernel as files, including the environment and the open files of this
/// process.
const SYSTEM: [&str; 2] = ["/proc", "/sys"];
/// The longest chain of symbolic links that is followed (as in Linux).
const MOST_LINKS: usize = 40;
/// Entry limit of protected trees. Above it, every file with several names counts as protected.
const MOST_ENTRIES: usize = 100_000;

/// A set of protected files. The default protects only the files of the system.
#[derive(Debug, Clone, Default)]
pub struct ProtectedFiles(Arc<Rules>);

#[derive(Debug, Clone, Default)]
struct Rules {
    rules: Vec<Rule>,
    exceptions: Vec<Place>,
    markers: Vec<(Marker, &'static str)>,
}

/// Bytes at a fixed offset that identify a file in any folder, such as a saved plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The offset of the bytes.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'static [u8],
}

/// The reason for a refused path, as a description of the file: `the state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtectedFile(pub &'static str);

#[derive(Debug, Clone)]
struct Rule {
    kind: Kind,
    place: Place,
    description: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One file.
    File,
    /// A file, and its neighbours whose names begin with its name and then `-` or `.`: `state.db-wal`.
    Family,
    /// A folder and its direct entries, without the content of its subfolders.
    Entries,
    /// Everything below a folder.
    Tree,
}

/// A path without links.
#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    /// In lower case: some file systems ignore the case of names.
    folded: PathBuf,
}

impl Place {
    fn of(path: &Path) -> Self {
        let path = resolved(path);
        Self { folded: folded(&path), path }
    }

    fn with_suffix(&self, suffix: &str) -> Self {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        let path = PathBuf::from(path);
        Self { folded: folded(&path), path }
    }
}

impl ProtectedFiles {
    fn with(mut self, kind: Kind, path: &Path, description: &'static str) -> Self {
        Arc::make_mut(&mut self.0).rules.push(Rule { kind, place: Place::of(path), description });
        self
    }

    /// Protects one file, which need not exist yet.
    #[must_use]
    pub fn file(self, path: &Path, description: &'static str) -> Self {
        self.with(Kind::File, path, description)
    }

    /// Protects a file with its journals and copies: all neighbours whose names begin with its name and then `-` or
    /// `.`.
    #[must_use]
    pub fn family(self, path: &Path, description: &'static str) -> Self {
        self.with(Kind::Family, path, description)
    }

    /// Protects a folder and its direct entries, but not the content of its subfolders.
    #[must_use]
    pub fn entries(self, folder: &Path, description: &'static str) -> Self {
        self.with(Kind::Entries, folder, description)
    }

    /// Protects everything below a folder.
    #[must_use]
    pub fn tree(self, folder: &Path, description: &'static str) -> Self {
        self.with(Kind::Tree, folder, description)
    }

    /// Allows a file with its journals in a protected folder.
    #[must_use]
    pub fn except(mut self, path: &Path) -> Self {
        Arc::make_mut(&mut self.0).exceptions.push(Place::of(path));
        self
    }

    /// Protects files in any folder by their content.
    #[must_use]
    pub fn marker(mut self, marker: Marker, description: &'static str) -> Self {
        Arc::make_mut(&mut self.0).markers.push((marker, description));
        self
    }

    /// Checks a local path before a file is opened, written or deleted there. The path may be absolute or relative to
    /// the working directory, and the file need not exist. Symbolic and hard links count as their target.
    ///
    /// # Errors
    /// When the file is protected.
    pub fn check(&self, path: &Path) -> Result<(), ProtectedFile> {
        self.check_with_suffixes(path, &[])
    }

    /// Checks a path like [`ProtectedFiles::check`], and the neighbour files that a program creates: the path with each
    /// of these suffixes.
    ///
    /// # Errors
    /// When one of the files is protected.
    pub fn check_with_suffixes(&self, path: &Path, suffixes: &[&str]) -> Result<(), ProtectedFile> {
        let place = Place::of(path);
        let neighbours = suffixes.iter().map(|suffix| self.by_path(&place.with_suffix(suffix)));
        if let Some(description) = std::iter::once(self.by_path(&place)).chain(neighbours).flatten().next() {
            return Err(ProtectedFile(description));
        }
        let Ok(metadata) = fs::metadata(&place.path) else { return Ok(()) };
        if metadata.is_file() {
            let found = self.by_identity(&metadata).or_else(|| self.by_content(&place.path, &metadata));
            return found.map_or(Ok(()), |description| Err(ProtectedFile(description)));
        }
        Ok(())
    }

    /// Checks a folder before its permissions change or it is deleted: it must not be protected, or hold a protected
    /// file.
    ///
    /// # Errors
    /// When the folder is protected or holds a protected file.
    pub fn check_folder(&self, path: &Path) -> Result<(), ProtectedFile> {
        self.check(path)?;
        let place = Place::of(path);
        let holds = |rule: &&Rule| rule.place.folded.starts_with(&place.folded);
        self.0.rules.iter().find(holds).map_or(Ok(()), |rule| Err(ProtectedFile(rule.description)))
    }

    fn by_path(&self, place: &Place) -> Option<&'static str> {
        if SYSTEM.iter().any(|system| place.path.starts_with(system)) {
            return Some("a file of the operating system");
        }
        let (mut folder_rule, mut file_rule) = (None, None);
        for rule in &self.0.rules {
            let own = &rule.place.folded;
            match rule.kind {
                Kind::File if place.folded == *own => file_rule = Some(rule.description),
                Kind::Family if is_of_family(&place.folded, own) => file_rule = Some(rule.description),
                Kind::Entries if place.folded == *own || place.folded.parent() == Some(own) => {
                    folder_rule = folder_rule.or(Some(rule.description));
                }
                Kind::Tree if place.folded.starts_with(own) => folder_rule = Some(rule.description),
                _ => {}
            }
        }
        let is_open = || self.0.exceptions.iter().any(|open| is_of_family(&place.folded, &open.folded));
        file_rule.or_else(|| folder_rule.filter(|_| !is_open()))
    }

    /// Finds a protected file under another name: a hard link, or another mount of its folder.
    fn by_identity(&self, found: &Metadata) -> Option<&'static str> {
        let is_same = |path: &Path| fs::metadata(path).is_ok_and(|own| is_same_file(&own, found));
        let direct = self.0.rules.iter().find(|rule| match rule.kind {
            Kind::File | Kind::Family => is_same(&rule.place.path),
            Kind::Entries | Kind::Tree => false,
        });
        if direct.is_some() || links(found) < 2 {
            return direct.map(|rule| rule.description);
        }
        let within = self.0.rules.iter().find(|rule| self.holds(rule, found));
        within.map(|rule| rule.description)
    }

    /// True if a file with several names has one of them under this rule.
    fn holds(&self, rule: &Rule, found: &Metadata) -> bool {
        let top = match rule.kind {
            Kind::File => return false,
            Kind::Family => rule.place.path.parent().unwrap_or(&rule.place.path),
            Kind::Entries | Kind::Tree => &rule.place.path,
        };
        let (mut folders, mut count) = (vec![top.to_owned()], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                count += 1;
                if count > MOST_ENTRIES {
                    return true;
                }
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() && rule.kind == Kind::Tree {
                    folders.push(entry.path());
                } else if is_same_file(&metadata, found) && self.by_path(&Place::of(&entry.path())).is_some() {
                    return true;
                }
            }
        }
        false
    }

    fn by_content(&self, path: &Path, found: &Metadata) -> Option<&'static str> {
        if self.0.markers.iter().all(|(marker, _)| found.len() < marker.end()) {
            return None;
        }
        let mut file = File::open(path).ok()?;
        let mut has = |marker: &Marker| {
            let mut bytes = vec![0; marker.bytes.len()];
            file.seek(SeekFrom::Start(marker.offset)).and_then(|_| file.read_exact(&mut bytes)).is_ok()
                && bytes == marker.bytes
        };
        self.0.markers.iter().find(|(marker, _)| has(marker)).map(|(_, description)| *description)
    }
}

impl Marker {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }
}

impl ProtectedFile {
    /// The error of an attribute that names the file.
    #[must_use]
    pub fn at(self, attribute: &str, shown: &str) -> ProviderError {
        let message = format!("`{attribute}` is `{shown}`: this is {}, which no descriptor may use", self.0);
        ProviderError::invalid(Some(AttributePath::attribute(attribute)), message)
            .solution("choose another path in the project folder")
    }
}

/// True for the file itself, and for neighbours whose names continue with `-` or `.`.
fn is_of_family(path: &Path, own: &Path) -> bool {
    if path == own {
        return true;
    }
    let (Some(name), Some(first)) = (path.file_name(), own.file_name()) else { return false };
    let rest = name.as_encoded_bytes().strip_prefix(first.as_encoded_bytes());
    path.parent() == own.parent() && rest.is_some_and(|rest| matches!(rest.first(), Some(b'-' | b'.')))
}

fn folded(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().to_lowercase())
}

/// The path without links, `.` and `..` in its existing part; the rest stays as written. A dangling link counts as its
/// target.
fn resolved(path: &Path) -> PathBuf {
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..MOST_LINKS {
        let (existing, rest) = existing(&path);
        let mut rest = rest.into_iter();
        let Some(next) = rest.next() else { return existing };
        let link = existing.join(&next);
        match fs::read_link(&link) {
            Ok(target) => path = rest.fold(existing.join(target), |path, name| path.join(name)),
            Err(_) => return rest.fold(link, |path, name| stepped(path, &name)),
        }
    }
    path
}

/// The canonical form of the existing part of a path, and the names after that part.
fn existing(path: &Path) -> (PathBuf, Vec<OsString>) {
    let mut rest = Vec::new();
    let mut here = path;
    loop {
        match here.canonicalize() {
            Ok(canonical) => {
                rest.reverse();
                return (canonical, rest);
            }
            // A folder without access counts as missing: files in it cannot be opened either.
            Err(error) if error.kind() != ErrorKind::InvalidInput => {}
            Err(_) => return (path.to_owned(), Vec::new()),
        }
        let (Some(above), Some(last)) = (here.parent(), here.components().next_back()) else {
            return (path.to_owned(), Vec::new());
        };
        rest.push(last.as_os_str().to_owned());
        here = above;
    }
}

fn stepped(mut path: PathBuf, name: &OsString) -> PathBuf {
    match Path::new(name).components().next() {
        Some(Component::ParentDir) => {
            path.pop();
        }
        Some(Component::CurDir) | None => {}
        Some(_) => path.push(name),
    }
    path
}

#[cfg(unix)]
fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    one.is_file() && one.dev() == other.dev() && one.ino() == other.ino()
}

#[cfg(unix)]
fn links(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
fn is_same_file(_: &Metadata, _: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn links(_: &Metadata) -> u64 {
    1
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Project {
        folder: tempfile::TempDir,
        files: ProtectedFiles,
    }

    fn project() -> Project {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at(".terrace/local/files")).unwrap();
        fs::create_dir_all(at(".terrace/pipelines/runs")).unwrap();
        for file in [".terrace/state.db", ".terrace/pipelines/runs/log", "keys.txt", "free.txt"] {
            fs::write(at(file), file).unwrap();
        }
        let plan = Marker { offset: 1, bytes: b"plan" };
        let files = ProtectedFiles::default()
            .family(&at(".terrace/state.db"), "the state")
            .file(&at("keys.txt"), "a key file")
            .entries(&at(".terrace"), "a file of terrace")
            .tree(&at(".terrace/pipelines"), "a record")
            .except(&at(".terrace/pipelines/database.db"))
            .marker(plan, "a plan");
        Project { files, folder }
    }

    impl Project {
        fn at(&self, path: &str) -> PathBuf {
            self.folder.path().join(path)
        }

        #[track_caller]
        fn is_refused(&self, path: &str, description: &'static str) {
            assert_eq!(self.files.check(&self.at(path)), Err(ProtectedFile(description)), "{path}");
        }

        #[track_caller]
        fn is_open(&self, path: &str) {
            assert_eq!(self.files.check(&self.at(path)), Ok(()), "{path}");
        }
    }

    #[test]
    fn protected_file_is_refused_with_any_spelling_of_its_path() {
        let project = project();
        for path in ["keys.txt", "./a/../keys.txt", "KEYS.txt", ".terrace/../keys.txt", ".terrace/none/../../keys.txt"]
        {
            project.is_refused(path, "a key file");
        }
        for path in [".terrace/state.db", ".terrace/state.db-wal", ".terrace/state.db.saved-1", ".TERRACE/State.DB"] {
            project.is_refused(path, "the state");
        }
        for path in [".terrace/other", ".terrace", ".terrace/local"] {
            project.is_refused(path, "a file of terrace");
        }
        project.is_refused(".terrace/pipelines/runs/log", "a record");
        for path in ["free.txt", "keys.txt2", ".terrace/local/files/a.json", ".terrace2", "keys"] {
            project.is_open(path);
        }
        project.is_open(".terrace/pipelines/database.db-wal");
    }

    #[test]
    fn protected_file_is_refused_behind_links() {
        let project = project();
        symlink("keys.txt", project.at("link")).unwrap();
        symlink("link", project.at("link-to-link")).unwrap();
        symlink(".terrace", project.at("folder")).unwrap();
        symlink(".terrace/state.db-journal", project.at("dangling")).unwrap();
        fs::hard_link(project.at("keys.txt"), project.at("hard")).unwrap();
        fs::hard_link(project.at(".terrace/pipelines/runs/log"), project.at("hard-record")).unwrap();
        for path in ["link", "link-to-link", "hard"] {
            project.is_refused(path, "a key file");
        }
        project.is_refused("folder/state.db", "the state");
        project.is_refused("folder/state.db-shm", "the state");
        project.is_refused("dangling", "the state");
        project.is_refused("hard-record", "a record");
        symlink("circle", project.at("circle")).unwrap();
        project.is_open("circle");
    }

    #[test]
    fn hard_link_to_journal_of_state_is_refused() {
        let project = project();
        fs::write(project.at(".terrace/state.db-wal"), "log").unwrap();
        fs::hard_link(project.at(".terrace/state.db-wal"), project.at("hard")).unwrap();
        project.is_refused("hard", "the state");
    }

    #[test]
    fn system_files_are_refused_without_any_rule() {
        let files = ProtectedFiles::default();
        for path in ["/proc/self/environ", "/proc/../proc/1/environ", "/sys/kernel"] {
            assert_eq!(files.check(Path::new(path)), Err(ProtectedFile("a file of the operating system")), "{path}");
        }
        let project = project();
        let through = Path::new("/proc/self/root").join(project.at("keys.txt").strip_prefix("/").unwrap());
        assert_eq!(project.files.check(&through), Err(ProtectedFile("a key file")));
        let open = File::open(project.at("keys.txt")).unwrap();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&open);
        let through = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
        assert_eq!(project.files.check(&through), Err(ProtectedFile("a key file")));
    }

    #[test]
    fn file_with_marker_is_refused_in_any_folder() {
        let project = project();
        fs::write(project.at("saved"), "{plan}").unwrap();
        fs::write(project.at("short"), "{pla").unwrap();
        project.is_refused("saved", "a plan");
        project.is_open("short");
    }

    #[test]
    fn folder_that_holds_a_protected_file_is_refused() {
        let project = project();
        let check = |path: &str| project.files.check_folder(&project.at(path)).is_err();
        assert!(check(".") && check(".terrace") && check(".terrace/pipelines/runs"));
        assert!(!check(".terrace/local/files") && !check("none"));
    }

    #[test]
    fn file_is_refused_if_its_journal_would_be_protected() {
        let project = project();
        let files = project.files.clone().file(&project.at("a.db-wal"), "a log");
        assert_eq!(files.check_with_suffixes(&project.at("a.db"), &["-shm", "-wal"]), Err(ProtectedFile("a log")));
        assert_eq!(files.check_with_suffixes(&project.at("b.db"), &["-shm", "-wal"]), Ok(()));
    }

    #[test]
    fn error_names_attribute_and_file() {
        let project = project();
        let error = project.files.check(&project.at("keys.txt")).unwrap_err().at("path", "keys.txt");
        assert_eq!(error.message, "`path` is `keys.txt`: this is a key file, which no descriptor may use");
    }
}

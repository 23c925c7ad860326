use super::*;

fn project() -> (tempfile::TempDir, Project) {
    let folder = tempfile::tempdir().unwrap();
    let project = Project::open(folder.path(), ProtectedFiles::default()).unwrap();
    (folder, project)
}

#[track_caller]
fn is_refused(project: &Project, text: &str, expected: &str) {
    let found = project.path("path", text).and_then(|path| project.entry(&path).map(|_| ()));
    let error = found.expect_err(text);
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(terrace_provider::Path::attribute("path")) }, "{text}");
    assert!(error.message.contains(expected), "{text}: {error}");
}

#[test]
fn path_has_one_normal_form() {
    let (folder, project) = project();
    for text in ["a/b", "./a/./b", "a//b", "a/c/../b", "a/b/"] {
        assert_eq!(project.path("path", text).unwrap().display(), "a/b", "{text}");
    }
    let absolute = folder.path().canonicalize().unwrap().join("a/b");
    assert_eq!(project.path("path", absolute.to_str().unwrap()).unwrap().display(), "a/b");
}

#[test]
fn paths_that_leave_the_project_folder_are_refused() {
    let (_folder, project) = project();
    for text in ["..", "../x", "a/../../x", "/etc/passwd", "/"] {
        is_refused(&project, text, "leads out of the project folder");
    }
    is_refused(&project, "", "expected a path");
    is_refused(&project, "a\0b", "expected a path");
    is_refused(&project, ".", "below the project folder");
    is_refused(&project, "a/..", "below the project folder");
}

#[test]
fn link_is_followed_only_inside_the_project_folder() {
    let (folder, project) = project();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
    std::os::unix::fs::symlink("../..", folder.path().join("up")).unwrap();
    is_refused(&project, "out/x", "a symbolic link leads out");
    is_refused(&project, "up/x", "a symbolic link leads out");
    assert!(project.entry_with_parents(&project.path("path", "out/deep/x").unwrap()).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);

    std::fs::create_dir_all(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("alias")).unwrap();
    let entry = project.entry_with_parents(&project.path("path", "alias/new/x").unwrap()).unwrap();
    assert_eq!(entry.name, "x");
    assert!(folder.path().join("real/new").is_dir());
}

#[test]
fn file_in_place_of_a_parent_folder_is_refused() {
    let (folder, project) = project();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let path = project.path("path", "file/x").unwrap();
    // The plan may remove the file first.
    assert!(project.entry(&path).unwrap().is_none());
    let error = project.entry_with_parents(&path).map(|_| ()).unwrap_err();
    assert!(error.message.contains("a part of this path"), "{error}");
}

#[test]
fn missing_folder_has_no_entry() {
    let (_folder, project) = project();
    assert!(project.entry(&project.path("path", "a/b").unwrap()).unwrap().is_none());
    assert!(project.entry(&project.path("path", "b").unwrap()).unwrap().is_some());
}

#[test]
fn missing_project_folder_is_an_error() {
    let error = Project::open(Path::new("/nonexistent/project"), ProtectedFiles::default()).unwrap_err();
    assert!(error.message.contains("/nonexistent/project"), "{error}");
}

use super::*;

const STACK: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\n";

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn refused(files: &[(&str, &[u8])], name: &str) -> String {
    let folder = folder(files);
    let files = files_of(&folder.path().join(name));
    files.and_then(|files| text_of(&files[0])).err().unwrap().message
}

#[test]
fn folder_stands_for_its_yaml_files_without_configuration() {
    let folder = folder(&[
        ("b.yml", STACK.as_bytes()),
        ("a.yaml", STACK.as_bytes()),
        ("terrace.yaml", b"state: x"),
        ("notes.txt", b"x"),
    ]);
    let files = files_of(folder.path()).unwrap();
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.yaml", "b.yml"]);
}

#[test]
fn unreadable_file_is_reported_with_its_path() {
    assert!(refused(&[], "none.yaml").contains("none.yaml"));
    assert!(refused(&[("a.txt", b"x")], "").contains("has no descriptor"));
    assert!(refused(&[("a.yaml", b" \n\n")], "a.yaml").contains("is empty"));
    assert!(refused(&[("a.yaml", b"a: b\nc: \xff\n")], "a.yaml").contains("not UTF-8: see line 2"));
}

#[test]
fn saved_plan_is_recognised_and_cannot_be_combined() {
    let folder = folder(&[("p.yaml", b"{\"terrace_plan\":1,"), ("s.yaml", STACK.as_bytes())]);
    let path = |name: &str| folder.path().join(name);
    assert!(matches!(named(&[path("p.yaml")], &Ui::plain()), Ok(Named::Plan(_))));
    assert!(matches!(named(&[path("s.yaml")], &Ui::plain()), Ok(Named::Descriptors(_))));
    assert!(named(&[path("p.yaml"), path("s.yaml")], &Ui::plain()).is_err());
    assert!(Input::read(&[path("p.yaml")], &Ui::plain()).is_err());
}

#[test]
fn flag_has_priority_over_file_and_environment() {
    let folder = folder(&[("v.yaml", b"a: 1\nb: 2\n")]);
    let choice = ChoiceArguments {
        variables: vec!["a=flag".to_owned(), "d=x=y".to_owned()],
        variable_files: vec![folder.path().join("v.yaml")],
        ..ChoiceArguments::default()
    };
    let variables =
        [("TERRACE_VAR_a", "env"), ("TERRACE_VAR_b", "env"), ("TERRACE_VAR_c", "env")].into_iter().collect();
    let given = given_variables(&choice, &variables, &Ui::plain()).unwrap();
    let in_words = |(name, given): (&String, &Given)| format!("{name}: {:?} of {}", given.value, given.by);
    let file = folder.path().join("v.yaml").display().to_string();
    assert_eq!(
        given.values.iter().map(in_words).collect::<Vec<_>>(),
        [
            "a: Text(\"flag\") of `--var a`".to_owned(),
            format!("b: Value(2) of `{file}`"),
            "c: Text(\"env\") of the environment variable `TERRACE_VAR_c`".to_owned(),
            "d: Text(\"x=y\") of `--var d`".to_owned(),
        ]
    );
    assert_eq!(given.explicit_names, ["a", "b", "a", "d"]);
    let wrong = ChoiceArguments { variables: vec!["a".to_owned()], ..ChoiceArguments::default() };
    assert!(given_variables(&wrong, &Variables::default(), &Ui::plain()).is_err());
}

#[test]
fn file_named_twice_is_read_once() {
    let folder = folder(&[("a.yaml", STACK.as_bytes())]);
    let path = folder.path().join("a.yaml");
    let again = folder.path().join("../").join(folder.path().file_name().unwrap()).join("a.yaml");
    let input = Input::read(&[path.clone(), path, again, folder.path().to_owned()], &Ui::plain()).unwrap();
    assert_eq!((input.descriptors.len(), input.diagnostics.len(), input.digests.len()), (1, 0, 1));
}

#[test]
fn missing_file_of_variables_gets_a_hint() {
    let choice = ChoiceArguments { variable_files: vec![PathBuf::from("none.yaml")], ..ChoiceArguments::default() };
    let ui = Ui::plain();
    assert!(given_variables(&choice, &Variables::default(), &ui).is_err());
    assert!(ui.remembered()[0].hint.as_deref().unwrap().contains("--var-file"));
}

// Only Linux reports opened files in this way.
#[cfg(target_os = "linux")]
#[test]
fn folder_of_specs_is_searched_once() {
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
    let folder =
        folder(&[("pipeline-spec.yaml", b"x: {pipeline: [{run: noise}]}\n"), ("stack.yaml", STACK.as_bytes())]);
    let deep = folder.path().join("deep");
    std::fs::create_dir(&deep).unwrap();
    let watch = init(CreateFlags::NONBLOCK).unwrap();
    // Without `CLOSE_NOWRITE`, two equal events in a row would be merged.
    add_watch(&watch, &deep, WatchFlags::OPEN | WatchFlags::CLOSE_NOWRITE).unwrap();
    let named = named(&[folder.path().to_owned()], &Ui::plain()).unwrap();
    let Named::Descriptors(input) = named else { panic!("expected descriptors") };
    assert_eq!((input.descriptors.len(), input.folders.len()), (1, 1));
    let mut room = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(&watch, &mut room);
    let mut opened = 0;
    while let Ok(event) = events.next() {
        opened += usize::from(event.events().contains(ReadFlags::OPEN));
    }
    assert_eq!(opened, 1);
}

const ENTITY: &str = "kind: System\nmetadata: {name: sales.orders.0}\nspec: {mesh: {name: Orders}}\n";

#[test]
fn specs_have_priority_over_an_entity_in_their_folder() {
    let folder = folder(&[
        ("pipeline-spec.yaml", b"x: {pipeline: [{run: noise}]}\n"),
        ("catalog-info.yaml", ENTITY.as_bytes()),
        ("stack.yaml", STACK.as_bytes()),
    ]);
    let Ok(Named::Descriptors(input)) = named(&[folder.path().to_owned()], &Ui::plain()) else {
        panic!("expected descriptors")
    };
    assert_eq!((input.descriptors.len(), input.folders.len(), input.repositories.len()), (1, 1, 0));
    let warning = input.diagnostics.iter().find(|diagnostic| diagnostic.code == "skipped_entity").unwrap();
    assert!(warning.message.contains("catalog-info.yaml") && !warning.is_error(), "{warning:?}");
    let catalog = folder.path().join("catalog-info.yaml");
    let Ok(Named::Descriptors(input)) = named(&[catalog], &Ui::plain()) else { panic!("expected a repository") };
    assert_eq!((input.folders.len(), input.repositories.len()), (0, 1));
}

#[test]
fn folder_with_an_entity_and_a_descriptor_fails() {
    for text in [STACK, "kind: dataproduct\nid: urn:dmb:dp:sales:orders:0\n"] {
        let folder = folder(&[("catalog-info.yaml", ENTITY.as_bytes()), ("other.yaml", text.as_bytes())]);
        let ui = Ui::plain();
        assert!(named(&[folder.path().to_owned()], &ui).is_err());
        let message = ui.remembered()[0].message.clone();
        assert!(message.contains("catalog-info.yaml") && message.contains("other.yaml"), "{message}");
        assert!(named(&[folder.path().join("other.yaml")], &Ui::plain()).is_ok());
    }
    // Other files do not matter.
    let folder = folder(&[("catalog-info.yaml", ENTITY.as_bytes()), ("mkdocs.yml", b"site_name: x\n")]);
    assert!(named(&[folder.path().to_owned()], &Ui::plain()).is_ok());
}

/// The error of a folder with an entity in `folder`, which the closure changes.
#[cfg(unix)]
fn changed_repository(change: impl Fn(&Path)) -> Option<String> {
    let root = folder(&[("catalog-info.yaml", ENTITY.as_bytes())]);
    let inner = root.path().join("raw");
    std::fs::create_dir_all(inner.join("environments/dev")).unwrap();
    std::fs::write(inner.join("catalog-info.yaml"), ENTITY.replace("orders.0", "orders.0.raw")).unwrap();
    change(&inner);
    let repository = match Repository::at(root.path()) {
        Ok(repository) => repository.unwrap(),
        Err(diagnostic) => {
            let _ = std::fs::set_permissions(&inner, std::os::unix::fs::PermissionsExt::from_mode(0o700));
            return Some(diagnostic.message);
        }
    };
    let (mut sources, mut found) = (Sources::default(), Vec::new());
    repositories::load(&[repository], &[], "dev", &mut sources, &mut found);
    for folder in ["", "environments", "environments/dev"] {
        // The folder is removed at the end.
        let _ = std::fs::set_permissions(inner.join(folder), std::os::unix::fs::PermissionsExt::from_mode(0o700));
    }
    found.into_iter().find(Diagnostic::is_error).map(|diagnostic| diagnostic.message)
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_read_are_not_absent() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    assert_eq!(changed_repository(|_| {}), None);
    let values = "environments/dev/configurations.yaml";
    let found = |change: &dyn Fn(&Path)| changed_repository(change).unwrap_or_default();
    let message = found(&|inner| symlink("missing", inner.join(values)).unwrap());
    assert!(message.contains(values) && message.contains("cannot be read"), "{message}");
    let message = found(&|inner| symlink("configurations.yaml", inner.join(values)).unwrap());
    assert!(message.contains(values) && message.contains("cannot be read"), "{message}");
    let message = found(&|inner| std::fs::create_dir(inner.join(values)).unwrap());
    assert!(message.contains(values) && message.contains("is not a file"), "{message}");
    let message = found(&|inner| {
        std::fs::remove_dir_all(inner.join("environments")).unwrap();
        std::fs::write(inner.join("environments"), "x").unwrap();
    });
    assert!(message.contains("environments") && message.contains("cannot be read"), "{message}");
    let message = found(&|inner| {
        std::fs::remove_file(inner.join("catalog-info.yaml")).unwrap();
        symlink("missing", inner.join("catalog-info.yaml")).unwrap();
    });
    assert!(message.contains("raw/catalog-info.yaml"), "{message}");
    for unreadable in ["", "environments", "environments/dev"] {
        let is_readable = std::cell::Cell::new(false);
        let message = found(&|inner| {
            std::fs::write(inner.join(values), "specific: {}\n").unwrap();
            let path = inner.join(unreadable);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o0)).unwrap();
            // The superuser reads everything.
            is_readable.set(std::fs::read_dir(&path).is_ok());
        });
        assert!(is_readable.get() || message.contains("permission denied"), "{unreadable}: {message}");
    }
}

#[cfg(unix)]
#[test]
fn other_spellings_of_file_names_are_errors() {
    let renamed = |from: &str, to: &str| {
        changed_repository(|inner| {
            std::fs::write(inner.join("parameters.yaml"), "parameters: {}\n").unwrap();
            std::fs::write(inner.join("environments/dev/configurations.yaml"), "specific: {}\n").unwrap();
            std::fs::rename(inner.join(from), inner.join(to)).unwrap();
        })
    };
    for (from, to) in [
        ("catalog-info.yaml", "catalog-info.yml"),
        ("catalog-info.yaml", "Catalog-Info.yaml"),
        ("catalog-info.yaml", "catalog_info.yaml"),
        ("catalog-info.yaml", "catalog-inof.yaml"),
        ("parameters.yaml", "parameters.yml"),
        ("parameters.yaml", "parameter.yaml"),
        ("environments/dev/configurations.yaml", "environments/dev/configuration.yaml"),
        ("environments/dev/configurations.yaml", "environments/dev/configurations.yml"),
        ("environments", "environment"),
    ] {
        let message = renamed(from, to).unwrap_or_default();
        assert!(message.contains(&format!("raw/{to}")) && message.contains("must be"), "{to}: {message}");
    }
    assert_eq!(renamed("parameters.yaml", "settings.yaml"), None);
    // Both spellings: one of them is not read.
    let both = changed_repository(|inner| std::fs::write(inner.join("catalog-info.yml"), ENTITY).unwrap());
    assert!(both.unwrap_or_default().contains("raw/catalog-info.yml"));
}

#[cfg(unix)]
#[test]
fn pipes_and_folders_in_place_of_files_are_errors() {
    for file in ["catalog-info.yaml", "parameters.yaml", "environments/dev/configurations.yaml"] {
        for is_pipe in [true, false] {
            let message = changed_repository(|inner| {
                let path = inner.join(file);
                let _ = std::fs::remove_file(&path);
                match is_pipe {
                    true => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
                    false => std::fs::create_dir(&path).unwrap(),
                }
            });
            let message = message.unwrap_or_default();
            assert!(message.contains(file) && message.contains("is not a file"), "{file} {is_pipe}: {message}");
        }
    }
}

#[cfg(unix)]
#[test]
fn folder_below_the_deepest_one_is_an_error() {
    let deep =
        |depth: usize| changed_repository(|inner| std::fs::create_dir_all(inner.join("a/".repeat(depth))).unwrap());
    assert_eq!(deep(15), None);
    assert!(deep(16).unwrap_or_default().contains("folders deep"));
}

#[cfg(unix)]
#[test]
fn entities_in_skipped_folders_are_errors() {
    use std::os::unix::fs::symlink;
    for name in ["target", "releases", "skeleton", "edit-skeleton", "node_modules", "environments"] {
        let message = changed_repository(|inner| std::fs::rename(inner, inner.with_file_name(name)).unwrap());
        assert!(message.is_some_and(|message| message.contains(&format!("{name}/catalog-info.yaml"))), "{name}");
    }
    let other = folder(&[("catalog-info.yaml", ENTITY.as_bytes())]);
    let message = changed_repository(|inner| symlink(other.path(), inner.join("linked")).unwrap()).unwrap();
    assert!(message.contains("linked/catalog-info.yaml") && message.contains("a link"), "{message}");
    // Links within the repository hide nothing, also in circles.
    let links = |inner: &Path| {
        symlink("../raw", inner.join("same")).unwrap();
        symlink("..", inner.join("all")).unwrap();
        symlink("missing", inner.join("nothing")).unwrap();
    };
    assert_eq!(changed_repository(links), None);
}

#[test]
fn templates_and_releases_are_skipped_with_a_warning() {
    let root = folder(&[("catalog-info.yaml", ENTITY.as_bytes()), ("template.yaml", b"kind: Template\n")]);
    for copy in ["skeleton", "releases/1.0.0", "releases/v2"] {
        std::fs::create_dir_all(root.path().join(copy)).unwrap();
        std::fs::write(root.path().join(copy).join("catalog-info.yaml"), ENTITY).unwrap();
    }
    let repository = Repository::at(root.path()).unwrap().unwrap();
    let (mut sources, mut found) = (Sources::default(), Vec::new());
    let loaded = repositories::load(&[repository], &[], "dev", &mut sources, &mut found);
    assert_eq!(loaded.entities.len(), 1);
    let codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["skipped_entity"; 2]);
    assert!(!has_errors(&found), "{found:?}");
}

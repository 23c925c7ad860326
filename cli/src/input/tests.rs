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

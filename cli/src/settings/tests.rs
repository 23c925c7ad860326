use super::*;

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new(configuration: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        if let Some(text) = configuration {
            std::fs::write(folder.path().join("terrace.yaml"), text).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn resolve(&self, global: &Global, variables: &[(&str, &str)]) -> Result<Settings, Failure> {
        let variables = variables.iter().copied().collect();
        let (providers, anchor) = (Providers::built_in(), self.path("deep/stack.yaml"));
        Settings::resolve(global, &variables, &providers, Some(&anchor), &Ui::plain())
    }
}

fn sqlite(path: PathBuf) -> StoreUrl {
    StoreUrl::Sqlite(path)
}

#[test]
fn flag_has_priority_over_other_sources_of_the_state() {
    let project = Project::new(Some("state: sqlite:file.db\n"));
    let variable = [("TERRACE_STATE", "sqlite:variable.db")];
    let flag = Global { state: Some("sqlite:flag.db".to_owned()), ..Global::default() };
    let here = std::env::current_dir().unwrap();
    assert_eq!(project.resolve(&flag, &variable).unwrap().state, sqlite(here.join("flag.db")));
    assert_eq!(project.resolve(&Global::default(), &variable).unwrap().state, sqlite(here.join("variable.db")));
    assert_eq!(project.resolve(&Global::default(), &[]).unwrap().state, sqlite(project.path("file.db")));
    let bare = Project::new(None);
    let settings = bare.resolve(&Global::default(), &[]).unwrap();
    assert_eq!(settings.state, sqlite(bare.path("deep/.terrace/state.db")));
}

#[test]
fn project_folder_is_that_of_configuration_or_descriptor() {
    let configured = Project::new(Some(""));
    assert_eq!(configured.resolve(&Global::default(), &[]).unwrap().project_folder, configured.path(""));
    let bare = Project::new(None);
    assert_eq!(bare.resolve(&Global::default(), &[]).unwrap().project_folder, bare.path("deep"));
}

#[test]
fn flag_has_priority_over_other_sources_of_the_environment() {
    let project = Project::new(Some("environments: {a: , b: , c: , local: }\n"));
    let variable = [("TERRACE_ENV", "b")];
    let flag = Global { env: Some("a".to_owned()), ..Global::default() };
    let name = |settings: &Settings, described: Option<&str>| {
        settings.environment(described.map(EnvironmentRef::word), &Ui::plain()).unwrap().name
    };
    assert_eq!(name(&project.resolve(&flag, &variable).unwrap(), Some("c")), "a");
    assert_eq!(name(&project.resolve(&Global::default(), &variable).unwrap(), Some("c")), "b");
    let plain = project.resolve(&Global::default(), &[]).unwrap();
    assert_eq!(name(&plain, Some("c")), "c");
    assert_eq!(name(&plain, None), "local");
}

#[test]
fn unknown_environment_is_an_error_with_known_ones() {
    let project = Project::new(Some("environments: {a: , b: }\n"));
    let settings = project.resolve(&Global::default(), &[]).unwrap();
    let failure = settings.environment(Some(EnvironmentRef::word("production")), &Ui::plain()).unwrap_err();
    assert_eq!(
        failure.hints,
        ["configured are: `a`, `b`; pass one with `--env NAME`, or describe `production` in terrace.yaml"]
    );
    let bare = Project::new(None).resolve(&Global::default(), &[]).unwrap();
    let failure = bare.environment(Some(EnvironmentRef::word("production")), &Ui::plain()).unwrap_err();
    assert!(failure.hints[0].contains("--env local"), "{failure:?}");
}

#[test]
fn invalid_state_is_reported_with_its_origin() {
    let project = Project::new(None);
    let failure = project.resolve(&Global::default(), &[("TERRACE_STATE", "state.db")]).unwrap_err();
    assert!(failure.message.unwrap().starts_with("TERRACE_STATE: "));
}

#[test]
fn invalid_configuration_is_an_error() {
    let project = Project::new(Some("stat: x\n"));
    assert_eq!(project.resolve(&Global::default(), &[]).unwrap_err(), Failure::reported(Exit::Error));
    let missing = Global { config: Some("/nowhere/terrace.yaml".into()), ..Global::default() };
    assert!(project.resolve(&missing, &[]).unwrap_err().message.unwrap().contains("/nowhere/terrace.yaml"));
}

#[test]
fn environment_of_a_descriptor_is_reported_with_its_place() {
    let project = Project::new(Some("environments: {production: , local: }\n"));
    let settings = project.resolve(&Global::default(), &[]).unwrap();
    let (ui, mut sources) = (Ui::plain(), Sources::default());
    let id = sources.add("dp.yaml", "environment: prodction\n");
    let named = Located { value: "prodction".to_owned(), span: Span::new(id, 13, 22) };
    let failure = settings.environment(Some(EnvironmentRef::described(&named, &sources)), &ui).unwrap_err();
    assert_eq!(failure, Failure::reported(Exit::Error));
    let reported = ui.remembered();
    assert_eq!(reported[0].place.as_ref().unwrap().to_string(), "dp.yaml:1:14");
    assert_eq!(
        reported[0].hint.as_deref().unwrap(),
        "did you mean `production`? configured are: `production`, `local`"
    );
}

#[test]
fn empty_environment_name_is_refused() {
    let global = Global { env: Some(String::new()), ..Global::default() };
    let failure = Project::new(None).resolve(&global, &[]).unwrap_err();
    assert_eq!(failure.message.as_deref(), Some("`--env` names no environment"));
}

#[test]
fn passwords_in_valid_and_invalid_states_are_hidden() {
    let resolved = |text: &str| {
        let global = Global { state: Some(text.to_owned()), ..Global::default() };
        Project::new(None).resolve(&global, &[])
    };
    let settings = resolved("postgres://jane:hunter2@db/terrace").unwrap();
    assert_eq!(settings.state.to_string(), "postgres://jane@db/terrace");
    assert!(!format!("{:?}", settings.state).contains("hunter2"));
    let reported = format!("{:?}", resolved("mysql://jane:hunter2@db/terrace").unwrap_err());
    assert!(
        reported.contains("--state: `mysql://…` is not a state") && reported.contains("postgres://USER@HOST"),
        "{reported}"
    );
    assert!(!reported.contains("hunter2"), "{reported}");
}

#[test]
fn user_without_a_name_has_a_number() {
    assert!(actor(&Variables::default()).starts_with("uid "), "{}", actor(&Variables::default()));
    assert!(actor(&[("LOGNAME", "jane")].into_iter().collect()).starts_with("jane@"));
}

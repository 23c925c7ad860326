use std::path::Path;
use std::process::{Command, Output};

const STACK: &str = r#"apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: shop}
components:
  flags:
    blueprint: flags
    specific: {application: shop, flags: {new-cart: true, old-search: false}}
"#;

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stack.yaml"), STACK).unwrap();
        Self(folder)
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_terrace-kv"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TERRACE_")) {
            command.env_remove(name);
        }
        command.args(words.split_whitespace()).current_dir(self.0.path()).env("NO_COLOR", "1").output().unwrap()
    }

    /// Runs a command, checks its exit code, and returns its output.
    #[track_caller]
    fn run_expecting(&self, code: i32, words: &str) -> String {
        let output = self.run(words);
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{words}\n{stdout}\n{stderr}");
        stdout + &stderr
    }

    fn entry(&self, key: &str) -> Option<String> {
        std::fs::read_to_string(self.0.path().join(format!("kv/{key}.json"))).ok()
    }

    fn edit(&self, old: &str, new: &str) {
        let path = self.0.path().join("stack.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old));
        std::fs::write(path, text.replace(old, new)).unwrap();
    }
}

#[test]
fn stack_is_planned_applied_checked_for_drift_and_destroyed() {
    let project = Project::new();
    let plan = project.run_expecting(2, "plan stack.yaml --detailed-exitcode");
    assert!(plan.contains("+ kv_entry.flag[\"new-cart\"]") && plan.contains("2 to add"), "{plan}");
    assert!(!Path::new(&project.0.path().join("kv")).exists(), "the plan created objects");

    project.run_expecting(0, "apply stack.yaml --auto-approve");
    assert!(project.entry("shop.new-cart").unwrap().contains(r#""value": "on""#));
    project.run_expecting(0, "plan stack.yaml --detailed-exitcode");

    // An entry is edited outside terrace: drift reports it, apply repairs it.
    std::fs::write(project.0.path().join("kv/shop.old-search.json"), r#"{"value": "on", "revision": 9}"#).unwrap();
    let drift = project.run_expecting(2, "drift stack.yaml");
    assert!(drift.contains("kv_entry.flag[\"old-search\"]") && drift.contains("value"), "{drift}");
    project.run_expecting(0, "apply stack.yaml --auto-approve");
    assert!(project.entry("shop.old-search").unwrap().contains(r#""value": "off""#));

    // A change, through a plan in a file.
    project.edit("new-cart: true", "new-cart: false");
    let planned = project.run_expecting(0, "plan stack.yaml --out plan.json");
    let digest = planned.split('`').find(|word| word.len() == 64).unwrap();
    project.run_expecting(0, &format!("apply plan.json --plan-digest {digest}"));
    assert!(project.entry("shop.new-cart").unwrap().contains(r#""revision": 2"#));

    project.run_expecting(0, "destroy stack.yaml --auto-approve");
    assert_eq!((project.entry("shop.new-cart"), project.entry("shop.old-search")), (None, None));
}

#[test]
fn existing_entry_is_not_adopted_silently() {
    let project = Project::new();
    std::fs::create_dir(project.0.path().join("kv")).unwrap();
    std::fs::write(project.0.path().join("kv/shop.new-cart.json"), r#"{"value": "mine"}"#).unwrap();
    let output = project.run_expecting(3, "apply stack.yaml --auto-approve");
    assert!(output.contains("the entry `shop.new-cart` exists already"), "{output}");
    assert!(project.entry("shop.new-cart").unwrap().contains("mine"));
}

#[test]
fn invalid_key_is_reported_with_its_place() {
    let project = Project::new();
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: s}\nresources:\n\
                 - {type: kv_entry, name: e, config: {key: a/b, value: x}}\n";
    std::fs::write(project.0.path().join("stack.yaml"), stack).unwrap();
    let output = project.run_expecting(1, "apply stack.yaml --auto-approve");
    assert!(output.contains("`a/b` is not a valid key") && output.contains("stack.yaml:5:"), "{output}");
}

#[test]
fn blueprint_passes_its_checks_and_tests() {
    let project = Project::new();
    let checked = project.run_expecting(0, "blueprints check");
    assert!(checked.ends_with(" blueprints checked\n") && checked.lines().count() == 1, "{checked}");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("blueprints");
    assert_eq!(project.run_expecting(0, &format!("blueprints test {}", tests.display())), "2 tests passed\n");
    assert!(project.run_expecting(0, "providers schema kv").contains("kv_entry: An entry of the store."));
}

//! What makes a pipeline dirty, and what does not.

use super::*;
use crate::spec;
use std::fs;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("clean.py", "from common import words\n");
        folder.write("common.py", "words = 1\n");
        folder.write("in/datapackage.json", r#"{"resources": [{"path": "a.csv"}]}"#);
        folder.write("in/a.csv", "id\n1\n");
        folder.write("unrelated.py", "");
        folder.spec("data");
        folder
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn spec(&self, out: &str) {
        let text = format!(
            "x:\n  title: T\n  dependencies: [{{pipeline: ./y}}]\n  pipeline:\n  - run: load_resource\n    parameters: \
             {{url: in/datapackage.json, resource: .*}}\n  - run: clean\n  - run: dump_to_path\n    parameters: \
             {{out-path: {out}}}\ny: {{pipeline: [{{run: load_metadata}}]}}\n"
        );
        self.write("pipeline-spec.yaml", &text);
    }

    fn fingerprint(&self, made: Option<&str>) -> Fingerprint {
        let specs = spec::read(self.0.path()).unwrap();
        assert_eq!(specs.problems, []);
        let recipe = Recipe::new(spec::processor::Api::Two, None, Vec::new());
        Fingerprint::of(&specs.root, &specs.pipelines[0], &recipe, |_| made.map(str::to_owned)).unwrap()
    }
}

#[test]
fn an_unchanged_pipeline_is_clean() {
    let folder = Folder::new();
    let before = folder.fingerprint(Some("a"));
    folder.write("unrelated.py", "changed");
    assert_eq!(folder.fingerprint(Some("a")).reasons(&before), Vec::<String>::new());
}

#[test]
fn the_reason_names_the_step_the_file_and_the_pipeline() {
    let folder = Folder::new();
    let before = folder.fingerprint(Some("a"));
    let reasons = |made| folder.fingerprint(made).reasons(&before);
    folder.spec("other");
    assert_eq!(reasons(Some("a")), ["the spec changed: step 3 (`dump_to_path`)"]);
    folder.spec("data");
    folder.write("common.py", "words = 2\n");
    assert_eq!(reasons(Some("a")), ["the code changed: `common.py`"]);
    folder.write("common.py", "words = 1\n");
    folder.write("in/a.csv", "id\n2\n");
    assert_eq!(reasons(Some("a")), ["the data changed: `in/a.csv`"]);
    fs::remove_file(folder.0.path().join("in/a.csv")).unwrap();
    assert_eq!(reasons(Some("a")), ["the data changed: `in/a.csv` went"]);
    folder.write("in/a.csv", "id\n1\n");
    assert_eq!(reasons(Some("b")), ["`./y` made other data"]);
}

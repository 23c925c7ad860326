//! Changes that make a pipeline dirty, and those that do not.

use super::*;
use crate::spec;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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

    fn fingerprint(&self, last_result: Option<&str>) -> Fingerprint {
        let specs = spec::read(self.0.path()).unwrap();
        assert_eq!(specs.problems, []);
        let recipe = Recipe::new(spec::processor::Api::Two, None, Vec::new());
        let scope = FingerprintInputs {
            project: &specs.root,
            root: &specs.root,
            pipeline: &specs.pipelines[0],
            modules: &[],
            image: None,
            claim: None,
        };
        let key = Key::ensure(self.0.path()).unwrap();
        Fingerprint::of(scope, &recipe, Some(&key), |_| last_result.map(str::to_owned), |_| None).unwrap()
    }

    /// Reasons after a change of a file, for a pipeline whose processor has this text.
    fn reasons_after_change(&self, processor: &str, file: &str) -> Vec<String> {
        self.write("clean.py", processor);
        self.write(file, "x = 1\n");
        let before = self.fingerprint(None);
        self.write(file, "x = 2\n");
        self.fingerprint(None).reasons(&before)
    }
}

#[test]
fn unchanged_pipeline_is_clean() {
    let folder = Folder::new();
    let before = folder.fingerprint(Some("a"));
    folder.write("unrelated.py", "changed");
    assert_eq!(folder.fingerprint(Some("a")).reasons(&before), Vec::<String>::new());
}

#[test]
fn reason_names_step_file_or_pipeline() {
    let folder = Folder::new();
    let before = folder.fingerprint(Some("a"));
    let reasons = |last_result| folder.fingerprint(last_result).reasons(&before);
    folder.spec("other");
    assert_eq!(reasons(Some("a")), ["the spec changed: step 3 (`dump_to_path`)"]);
    folder.spec("data");
    folder.write("common.py", "words = 2\n");
    assert_eq!(reasons(Some("a")), ["the code changed: `common.py`"]);
    folder.write("common.py", "words = 1\n");
    folder.write("in/a.csv", "id\n2\n");
    assert_eq!(reasons(Some("a")), ["the data changed: `in/a.csv`"]);
    fs::remove_file(folder.0.path().join("in/a.csv")).unwrap();
    assert_eq!(reasons(Some("a")), ["the data changed: `in/a.csv` was removed"]);
    folder.write("in/a.csv", "id\n1\n");
    assert_eq!(reasons(Some("b")), ["`./y` produced other data"]);
}

#[test]
fn module_counts_for_all_forms_of_imports() {
    let folder = Folder::new();
    for path in ["package/__init__.py", "package/deep/__init__.py", "package/one.py", "plain/two.py"] {
        folder.write(path, "");
    }
    folder.write("package/relative.py", "from . import one\nfrom .. import other\nfrom .deep.three import x\n");
    for (processor, file) in [
        ("from package import (\n    none,\n    one,\n)", "package/one.py"),
        ("import package.one", "package/__init__.py"),
        ("from package.deep \\\n import x", "package/deep/__init__.py"),
        ("import package.relative", "package/one.py"),
        ("import package.relative", "package/deep/three.py"),
        ("from package.deep import *", "package/deep/three.py"),
        ("import plain.two as p", "plain/two.py"),
        ("import importlib\nm = importlib.import_module('plain.two')", "plain/two.py"),
        ("from importlib import import_module\nm = import_module('plain.' + name)", "plain/two.py"),
        ("try: import common\nexcept ImportError: pass", "common.py"),
        ("def f():\n\timport common", "common.py"),
    ] {
        assert_eq!(
            folder.reasons_after_change(processor, file),
            [format!("the code changed: `{file}`")],
            "{processor}"
        );
    }
    // A package takes precedence over a file of the same name, as in Python.
    folder.write("both/__init__.py", "");
    assert_eq!(folder.reasons_after_change("import both", "both.py"), Vec::<String>::new());
}

#[test]
fn text_that_resembles_an_import_makes_nothing_dirty() {
    let folder = Folder::new();
    for processor in
        ["x = 'import common'", "\"\"\"\nimport common\n\"\"\"", "# import common", "from package.common import x"]
    {
        assert_eq!(folder.reasons_after_change(processor, "common.py"), Vec::<String>::new(), "{processor}");
    }
}

#[test]
fn processor_in_subfolder_imports_modules_next_to_it() {
    let folder = Folder::new();
    folder.write("sub/clean.py", "import common");
    folder.write("sub/common.py", "x = 1");
    folder.write("pipeline-spec.yaml", "x: {pipeline: [{run: sub.clean}]}");
    let before = folder.fingerprint(None);
    folder.write("common.py", "x = 3");
    assert_eq!(folder.fingerprint(None).reasons(&before), Vec::<String>::new());
    folder.write("sub/common.py", "x = 2");
    assert_eq!(folder.fingerprint(None).reasons(&before), ["the code changed: `sub/common.py`"]);
}

#[test]
fn secrets_are_not_in_visible_digest_but_detected() {
    let folder = Folder::new();
    let with = |parameters: &str, variables: &str| {
        let text =
            format!("x:\n  environment: {variables}\n  pipeline:\n  - run: clean\n    parameters: {parameters}\n");
        folder.write("pipeline-spec.yaml", &text);
        folder.fingerprint(None)
    };
    let before = with("{password: 1234, url: 'https://a:1234@host/'}", "{API_TOKEN: x}");
    for (parameters, variables, reason) in [
        ("{password: 1235, url: 'https://a:1234@host/'}", "{API_TOKEN: x}", "the spec changed: step 1 (`clean`)"),
        ("{password: 1234, url: 'https://a:1235@host/'}", "{API_TOKEN: x}", "the spec changed: step 1 (`clean`)"),
        (
            "{password: 1234, url: 'https://a:1234@host/'}",
            "{API_TOKEN: y}",
            "the spec or a parameter changed: its environment or dependencies",
        ),
    ] {
        let now = with(parameters, variables);
        assert_eq!((now.spec.as_str(), now.reasons(&before)), (before.spec.as_str(), vec![reason.to_owned()]));
    }
    // The visible digest contains everything else.
    assert_ne!(with("{password: 1234, url: 'https://b:1234@host/'}", "{API_TOKEN: x}").spec, before.spec);
}

#[test]
fn non_text_file_names_are_unique() {
    use std::ffi::OsStr;
    let names = Names(Path::new("/project"));
    let name = |bytes: &[u8]| names.of(&Path::new("/project").join(OsStr::from_bytes(bytes)));
    assert_eq!(name(b"a/b.py"), "a/b.py");
    assert_ne!(name(b"a\xff.py"), name(b"a\xfe.py"));
}

#[test]
fn devices_are_no_inputs_and_unreadable_file_is_an_error() {
    let folder = Folder::new();
    let reads = |path: &str| {
        let text = format!("x: {{pipeline: [{{run: load_resource, parameters: {{url: {path}, resource: a}}}}]}}");
        folder.write("pipeline-spec.yaml", &text);
        let specs = spec::read(folder.0.path()).unwrap();
        data::inputs(&specs.root, &specs.pipelines[0], Names(&specs.root))
    };
    assert_eq!(reads("/dev/zero").unwrap()["/dev/zero"], "");
    // No process can read this file from its beginning, including root.
    assert!(reads("/proc/self/mem").unwrap_err().to_string().starts_with("`/proc/self/mem`: "));
}

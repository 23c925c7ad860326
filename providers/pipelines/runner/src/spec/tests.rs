//! Reads specs from temporary folders, and checks the reported problems.

use super::*;
use crate::execution_options::ExecutionOption;

/// Specs of a folder with these files.
pub(crate) fn specs_of(files: &[(&str, &str)]) -> Specs {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    read(folder.path()).unwrap()
}

fn problems_of(files: &[(&str, &str)]) -> Vec<String> {
    let specs = specs_of(files);
    specs.problems.iter().map(|problem| problem.in_one_line(&specs).to_string()).collect()
}

fn problems_in(text: &str) -> Vec<String> {
    problems_of(&[("pipeline-spec.yaml", text)])
}

#[test]
fn pipeline_is_read_with_all_keys() {
    let text = "\
noise:
  title: Noise
  description: 50k integers
  environment: {FOO: bar, NUM: 3, ON: yes}
  params: {SINCE: 2026-01-01}
  hooks: [http://localhost/hook]
  schedule: {crontab: '0  1 * * *'}
  dependencies:
  - pipeline: ./a/b
  - datapackage: data/datapackage.json
  pipeline:
  - run: noise
    code: |
      pass
    cache: true
  - flow: flows.mine
  - run: dump.to_path
    validate: false
    parameters: {out-path: data, day: 2014-01-02}
";
    let other = "b: {pipeline: [{run: load_metadata}]}";
    let files = [("pipeline-spec.yaml", text), ("a/pipeline-spec.yaml", other), ("flows/mine.py", "")];
    let specs = specs_of(&files);
    assert_eq!(specs.problems, []);
    assert_eq!(specs.pipelines.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["./noise", "./a/b"]);
    let pipeline = specs.pipeline("./noise").unwrap();
    assert_eq!(
        pipeline.steps.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
        ["noise", "flows.mine", "dump.to_path"]
    );
    assert_eq!(pipeline.steps[0].kind, StepKind::Code("pass\n".to_owned()));
    assert!(pipeline.steps[0].is_cached);
    assert_eq!(
        serde_json::Value::Object(pipeline.steps[2].parameters.clone()),
        serde_json::json!({"out-path": "data", "day": {"type{date}": "2014-01-02"}})
    );
    assert_eq!(pipeline.params, ["SINCE"]);
    let environment = [("FOO", "bar"), ("NUM", "3"), ("ON", "True"), ("SINCE", "2026-01-01")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(pipeline.environment, environment);
    assert_eq!(pipeline.schedule.as_ref().unwrap().crontab, "0 1 * * *");
    assert_eq!(order::sorted(&specs, &[0, 1]), [1, 0]);
}

#[test]
fn errors_name_file_line_pipeline_step_and_remedy() {
    insta::assert_snapshot!(problems_in("x:\n  pipline:\n  - run: printer\n").join("\n"), @"pipeline-spec.yaml:2:3: ./x: `pipline` means nothing here; did you mean `pipeline`?");
    insta::assert_snapshot!(problems_in("x:\n  pipeline:\n  - parameters: {a: 1}\n").join("\n"), @"pipeline-spec.yaml:3:5: ./x, step 1: a step needs `run` or `flow`; add `run: PROCESSOR`, or `flow: MODULE`");
    insta::assert_snapshot!(problems_in("x:\n  pipeline:\n  - run: load_resorce\n").join("\n"), @"pipeline-spec.yaml:3:5: ./x, step 1 (`load_resorce`): there is no processor `load_resorce`; did you mean `load_resource`?");
    insta::assert_snapshot!(problems_in("x:\n  title: 7\n  pipeline:\n  - run: printer\n    bogus: 1\n  - run: sort\n    paramters: {}\n").join("\n"), @r"
    pipeline-spec.yaml:2:10: ./x: `title` is a number: expected text; put it in quotes
    pipeline-spec.yaml:5:5: ./x, step 1 (`printer`): `bogus` means nothing here; known keys: `run`, `flow`, `parameters`, `cache`, `code`, `runner`, `validate`
    pipeline-spec.yaml:6:5: ./x, step 2 (`sort`): `sort` of datapackage-pipelines 2 fails without `reverse`; add `reverse: false`
    pipeline-spec.yaml:7:5: ./x, step 2 (`sort`): `paramters` means nothing here; did you mean `parameters`?
    ");
    insta::assert_snapshot!(problems_in("x:\n  dependencies:\n  - pipeline: ./none/y\n  - ./x\n  pipeline:\n  - {run: printer, flow: f}\n").join("\n"), @r"
    pipeline-spec.yaml:3:15: ./x: it depends on `./none/y`, which does not exist; available pipelines: `./x`
    pipeline-spec.yaml:4:5: ./x: a dependency is text: expected `pipeline: ID` or `datapackage: PATH`; did you mean `- pipeline: ./x`?
    pipeline-spec.yaml:6:20: ./x, step 1 (`printer`): a step has both `run` and `flow`: expected one of them; remove one of the two, or write two steps
    ");
    insta::assert_snapshot!(problems_in("x:\n  schedule: {crontab: '0 1 * *'}\n  environment: {A: [1]}\n  hooks: [nowhere]\n  pipeline: []\n").join("\n"), @r"
    pipeline-spec.yaml:2:23: ./x: `0 1 * *` has 4 fields: expected five, minute, hour, day of the month, month and day of the week; use the order of cron: `0 1 * * *` is every day at one
    pipeline-spec.yaml:3:20: ./x: `A` is a list: expected one value: text, a number, true or false
    pipeline-spec.yaml:4:11: ./x: a hook is text: expected an address; write an address with `http://` or `https://`
    pipeline-spec.yaml:5:3: ./x: the pipeline has no steps
    ");
}

#[test]
fn wrong_type_error_says_what_to_write() {
    insta::assert_snapshot!(problems_in("- x:\n    pipeline: []\n").join("\n"), @"pipeline-spec.yaml:1:1: `the file` is a list: expected a map from names to pipelines; write `KEY: VALUE` without the `-`");
    insta::assert_snapshot!(problems_in("x:\n  environment: [{A: b}]\n  pipeline: {run: printer}\n").join("\n"), @r"
    pipeline-spec.yaml:2:16: ./x: `environment` is a list: expected a map from names to values; write `KEY: VALUE` without the `-`
    pipeline-spec.yaml:3:13: ./x: `pipeline` is a map: expected a list of steps; begin each item with `- `
    ");
}

#[test]
fn error_for_invalid_utf_8_has_position() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pipeline-spec.yaml"), b"x:\n  title: caf\xe9\n").unwrap();
    let specs = read(folder.path()).unwrap();
    let problems: Vec<String> = specs.problems.iter().map(|it| it.in_one_line(&specs).to_string()).collect();
    assert_eq!(
        problems,
        [
            "pipeline-spec.yaml:2:13: the file is not UTF-8; save the file as UTF-8, as by `iconv -f ISO-8859-1 -t UTF-8`"
        ]
    );
    assert!(specs.has_unreadable_file());
}

#[test]
fn invalid_yaml_does_not_stop_other_files() {
    let good = "y: {pipeline: [{run: load_metadata}]}";
    let bad = "x:\n  pipeline:\n  - run: dump.to_sql\n    parameters:\n      tables:\n        gcs_list_files\n          resource-name: a\n";
    let files = [("a/pipeline-spec.yaml", bad), ("b/pipeline-spec.yaml", good)];
    insta::assert_snapshot!(problems_of(&files).join("\n"), @"a/pipeline-spec.yaml:6:9: a `:` is missing after the key; did you mean `gcs_list_files:`?");
    let specs = specs_of(&files);
    assert_eq!(specs.pipelines.len(), 1);
    assert!(specs.has_unreadable_file());
}

#[test]
fn cycles_differ_from_unknown_dependencies() {
    let step = "pipeline: [{run: load_metadata}]";
    let text = format!(
        "x:\n  dependencies: [{{pipeline: ./y}}]\n  {step}\ny:\n  dependencies: [{{pipeline: ./x}}]\n  {step}\n\
         z:\n  dependencies: [{{pipeline: ./z}}]\n  {step}\nw:\n  dependencies: [{{pipeline: ./none}}]\n  {step}\n\
         v:\n  dependencies: [{{pipeline: ./w}}]\n  {step}\n"
    );
    insta::assert_snapshot!(problems_in(&text).join("\n"), @r"
    pipeline-spec.yaml:2:29: ./x: it depends on itself: ./x → ./y → ./x; remove one of these dependencies
    pipeline-spec.yaml:8:29: ./z: it depends on itself: ./z → ./z; remove one of these dependencies
    pipeline-spec.yaml:11:29: ./w: it depends on `./none`, which does not exist; available pipelines: `./x`, `./y`, `./z`, `./w`, `./v`
    ");
    let specs = specs_of(&[("pipeline-spec.yaml", &text)]);
    assert_eq!(specs.broken(), ["./v", "./w", "./x", "./y", "./z"]);
}

#[test]
fn same_id_in_two_files_is_an_error() {
    let nested = "b/x: {pipeline: [{run: load_metadata}]}";
    let plain = "x: {pipeline: [{run: load_metadata}]}";
    insta::assert_snapshot!(problems_of(&[("pipeline-spec.yaml", nested), ("b/pipeline-spec.yaml", plain)]).join("\n"), @"b/pipeline-spec.yaml:1:1: ./b/x: a pipeline in `pipeline-spec.yaml` has the same id; rename one of the two");
}

#[test]
fn source_specs_are_listed_with_their_keys() {
    let specs = specs_of(&[("c/knesset.source-spec.yaml", "committees:\n  tables: []\nmeetings: {}\n")]);
    assert_eq!(specs.problems, []);
    let source = &specs.sources[0];
    assert_eq!((source.module.as_str(), source.keys.join(" ")), ("knesset", "committees meetings".to_owned()));
}

/// A chain of pipelines: each depends on the previous one, and reads the folder into which all others write.
fn chain(length: usize, first: &str) -> String {
    let mut text = format!("p0:\n  {first}pipeline: [{{run: load, parameters: {{from: data/p1.csv}}}}]\n");
    for number in 1..length {
        let before = number - 1;
        text.push_str(&format!(
            "p{number}:\n  dependencies: [{{pipeline: ./p{before}}}]\n  \
             pipeline: [{{run: load_metadata}}, {{run: dump.to_path, parameters: {{out-path: data}}}}]\n"
        ));
    }
    text
}

#[test]
fn long_chain_is_sorted() {
    const LENGTH: usize = 5_000;
    let specs = specs_of(&[("pipeline-spec.yaml", &chain(LENGTH, ""))]);
    assert_eq!(specs.problems, []);
    let backwards: Vec<usize> = (0..LENGTH).rev().collect();
    assert_eq!(order::sorted(&specs, &backwards), (0..LENGTH).collect::<Vec<_>>());
}

#[test]
fn long_cycle_is_reported_once_and_shortened() {
    let specs = specs_of(&[("pipeline-spec.yaml", &chain(5_000, "dependencies: [{pipeline: ./p4999}]\n  "))]);
    let problems: Vec<String> = specs.problems.iter().map(|it| it.in_one_line(&specs).to_string()).collect();
    insta::assert_snapshot!(problems.join("\n"), @"pipeline-spec.yaml:2:29: ./p0: it depends on itself: ./p0 → ./p4999 → ./p4998 → ./p4997 → ./p4996 → (4991 more) → ./p4 → ./p3 → ./p2 → ./p1 → ./p0; remove one of these dependencies");
    assert_eq!(specs.broken().len(), 5_000);
}

#[test]
fn mutual_reads_without_dependencies_make_no_cycle() {
    let step = |from: &str, to: &str| {
        format!(
            "{{pipeline: [{{run: load, parameters: {{from: {from}/x.csv}}}}, {{run: dump.to_path, parameters: {{out-path: {to}}}}}]}}"
        )
    };
    let specs = specs_of(&[("pipeline-spec.yaml", &format!("a: {}\nb: {}\n", step("two", "one"), step("one", "two")))]);
    let reads_from: Vec<_> = specs.pipelines.iter().map(|it| it.reads_from.join(" ")).collect();
    assert_eq!(reads_from, ["./b", ""]);
    assert_eq!(order::sorted(&specs, &[0, 1]), [1, 0]);
}

#[test]
fn invalid_ignore_list_is_reported_with_its_line() {
    let step = "x: {pipeline: [{run: load_metadata}]}";
    insta::assert_snapshot!(problems_of(&[("pipeline-spec.yaml", step), (".dpp_spec_ignore", "old\n[a-\n")]).join("\n"), @".dpp_spec_ignore:2:1: the line is not a valid pattern: unclosed character class; missing ']'; write a name or a path on each line; `*`, `**`, `?` and `[a-z]` are wildcards");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".dpp_spec_ignore")).unwrap();
    let specs = read(folder.path()).unwrap();
    insta::assert_snapshot!(specs.problems[0].in_one_line(&specs).to_string(), @".dpp_spec_ignore:1:1: the ignore list cannot be read: it is not a file; write a name or a path on each line; `*`, `**`, `?` and `[a-z]` are wildcards");
}

#[test]
fn last_of_two_pipelines_with_same_name_counts() {
    let text = "x: {pipeline: [{run: load_metadata}]}\nx: {pipeline: [{run: sort, parameters: {sort-by: a, reverse: false}}]}\n";
    insta::assert_snapshot!(problems_in(text).join("\n"), @"pipeline-spec.yaml:1:1: ./x: a pipeline with the same name follows below; rename one of the two, or remove it");
    let specs = specs_of(&[("pipeline-spec.yaml", text)]);
    assert_eq!(specs.pipelines.len(), 1);
    assert_eq!(specs.pipelines[0].steps[0].name, "sort");
}

#[test]
fn name_of_pipeline_must_be_one_line() {
    insta::assert_snapshot!(problems_in("\"a\\e[2J\": {pipeline: [{run: load_metadata}]}\n").join("\n"), @r"pipeline-spec.yaml:1:1: ./a\u{1b}[2J: `a\u{1b}[2J` is not allowed as the name of a pipeline; choose a single-line name without commas and `%`; `all` is allowed only in a subfolder");
}

#[test]
fn step_with_broken_runner_does_not_run() {
    let spec = "x: {pipeline: [{run: load_metadata, runner: box}]}\ny: {pipeline: [{run: load_metadata}]}\n";
    for runners in ["[[[", "box: {kind: wraped-python}", "box: {kind: wrapped-python}", "7"] {
        let specs = specs_of(&[("pipeline-spec.yaml", spec), ("dpp-runners.yaml", runners)]);
        assert_eq!(specs.broken(), ["./x"], "{runners}");
    }
}

#[test]
fn pipeline_in_subfolder_may_have_name_all() {
    let text = "all: {pipeline: [{run: load_metadata}]}";
    assert_eq!(problems_of(&[("sub/pipeline-spec.yaml", text)]), Vec::<String>::new());
    let specs = specs_of(&[("sub/pipeline-spec.yaml", text), ("other/pipeline-spec.yaml", text)]);
    let chosen = |word: &str| selection::select(&specs, &[word.to_owned()]).unwrap().len();
    assert_eq!((chosen("./sub/all"), chosen("sub/all"), chosen("all")), (1, 1, 2));
    let root = problems_in(text);
    assert!(root[0].contains("`all` is not allowed as the name of a pipeline") && root.len() == 1, "{root:?}");
}

#[test]
fn wrong_step_does_not_hide_errors_of_other_steps() {
    let text = "x:\n  pipeline:\n  - parameters: {a: 1}\n  - run: load_resorce\n    parameters: 7\n  - 3\n  - {run: printer, runner: none}\n  - run: ..common.clean\n";
    let problems = problems_of(&[("sub/pipeline-spec.yaml", text)]);
    for (step, words) in [
        (1, "a step needs `run` or `flow`"),
        (2, "`parameters` is a number"),
        (2, "did you mean `load_resource`?"),
        (3, "a step is a number"),
        (4, "runner `none`"),
        (5, "there is no processor `..common.clean`; put it into `common/clean.py`"),
    ] {
        let is_reported = |line: &String| line.contains(&format!(", step {step}")) && line.contains(words);
        assert!(problems.iter().any(is_reported), "step {step}, {words}: {problems:#?}");
    }
    let specs = specs_of(&[("sub/pipeline-spec.yaml", text)]);
    assert_eq!(specs.broken(), ["./sub/x"]);
}

#[test]
fn warning_for_weekday_in_third_field_has_order_of_cron() {
    let problems = |crontab: &str| {
        problems_in(&format!("x:\n  schedule: {{crontab: '{crontab}'}}\n  pipeline: [{{run: load_metadata}}]\n"))
            .join("\n")
    };
    assert!(problems("0 1 mon * *").contains("write it in the order of cron: `0 1 * * mon`"));
    assert!(
        problems("0 1 mon 5 *")
            .contains("write it in the order of cron: `0 1 5 * mon`; but cron runs it on either day")
    );
    assert!(problems("0 1 mon 32 *").contains("day of month: `32`"));
    assert_eq!((problems("0 1 2 * *"), problems("0 1 * * mon")), (String::new(), String::new()));
}

#[test]
fn positions_do_not_depend_on_named_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/pipeline-spec.yaml"), "x:\n  pipline: []\n").unwrap();
    let position = |named: &str, display_root: &str| {
        let specs = read(&folder.path().join(named)).unwrap().with_display_root(Path::new(display_root));
        specs.problems[0].in_one_line(&specs).to_string().split(": ").next().unwrap().to_owned()
    };
    assert_eq!(position(".", "."), "sub/pipeline-spec.yaml:2:3");
    assert_eq!(position("sub", "./sub"), position(".", "."));
}

#[test]
fn options_of_the_execution_are_checked() {
    let image = format!("r/i@sha256:{}", "0a".repeat(32));
    let text = format!(
        "x:\n  executor: kubernetes\n  image: {image}\n  cpu: 2\n  memory: 1.5Gi\n  pipeline: [{{run: printer}}]\n"
    );
    let specs = specs_of(&[("pipeline-spec.yaml", &text)]);
    assert_eq!(specs.problems, []);
    let pipeline = specs.pipeline("./x").unwrap();
    let values = ExecutionOption::ALL.map(|option| pipeline.execution.get(option).unwrap_or("none"));
    assert_eq!(values, ["kubernetes", &image, "2", "1.5Gi", "none", "none"]);
    let at = |option| pipeline.execution_places.get(&option).map_or("none", |place| &text[place.clone()]);
    assert_eq!(ExecutionOption::ALL.map(at), values);
    let text = "x:\n  executor: kubernets\n  image: r/i:1\n  cpu: [1]\n  memory: 512MB\n  pipeline: [{run: printer}]\n";
    insta::assert_snapshot!(problems_in(text).join("\n"), @r"
    pipeline-spec.yaml:2:13: ./x: `executor` is `kubernets`: expected `local` or `kubernetes`; did you mean `kubernetes`?
    pipeline-spec.yaml:3:10: ./x: `image` is `r/i:1`, without a digest: a tag may later name another image; write `image: REGISTRY/NAME@sha256:DIGEST`; `skopeo inspect docker://IMAGE` shows the digest
    pipeline-spec.yaml:4:8: ./x: `cpu` is a list: expected text
    pipeline-spec.yaml:5:11: ./x: `memory` is `512MB`: expected a number of bytes with a unit; write `512Mi` or `512M`
    ");
}

//! `terrace fmt`: one layout, the same meaning, every comment.

use terrace_tests::{Project, repository, snapshot};

const CROOKED: &str = r#"# what this is
apiVersion:   terrace.dev/v1
kind: Stack
metadata: { name: demo }   # its name


variables: {size:   {type: int, default: 3}}
resources:
- type: local_file
  name:    a
  config:
      path: 'out/a.txt'
      content: |
            two   blanks
            # no comment
      mode: "0600"   # only for me
"#;

#[test]
fn file_is_formatted_with_the_same_meaning() {
    let project = Project::new();
    project.write("stack.yaml", CROOKED);
    let before = project.run(["plan", "stack.yaml"]).done().stdout;
    assert_eq!(project.run(["fmt"]).done().stdout, "./stack.yaml\n");
    insta::assert_snapshot!(project.read("stack.yaml"), @r#"
    # what this is
    apiVersion: terrace.dev/v1
    kind: Stack
    metadata: {name: demo}   # its name

    variables: {size: {type: int, default: 3}}
    resources:
      - type: local_file
        name: a
        config:
          path: "out/a.txt"
          content: |
            two   blanks
            # no comment
          mode: "0600"   # only for me
    "#);
    assert_eq!(project.run(["plan", "stack.yaml"]).done().stdout, before);
    assert_eq!(project.run(["fmt"]).done().stdout, "", "the layout does not settle");
}

#[test]
fn check_changes_nothing_and_exits_with_2() {
    let project = Project::new();
    project.write("stack.yaml", CROOKED);
    project.write("deep/more.yaml", CROOKED);
    assert_eq!(project.run(["fmt", "--check"]).with_code(2).stdout, "./stack.yaml\n");
    assert_eq!(project.run(["fmt", "--check", "--recursive"]).with_code(2).stdout, "./deep/more.yaml\n./stack.yaml\n");
    assert_eq!((project.read("stack.yaml"), project.read("deep/more.yaml")), (CROOKED.to_owned(), CROOKED.to_owned()));
    project.run(["fmt", "-r"]).done();
    assert_eq!(project.run(["fmt", "--check", "-r"]).done().stdout, "");
}

#[test]
fn foreign_and_broken_files_are_left_alone() {
    let project = Project::with_network_status();
    let descriptor = project.read("data-product.yaml");
    project.write("notes.yaml", "a:    1\n");
    project.write("broken.yaml", "a: [1\n");
    project.run(["fmt"]).done().prints("skipped `./broken.yaml`: it is not YAML");
    assert_eq!(project.read("data-product.yaml"), descriptor);
    assert_eq!(project.read("notes.yaml"), "a:    1\n");
    project.run(["fmt", "data-product.yaml"]).with_code(1).prints("is not one of terrace's own files");
}

#[test]
fn broken_terrace_file_fails_in_a_folder_as_by_name() {
    for text in ["kind: Stack\na: [1\n", "kind: 'Blueprint'\na: [1\n", "apiVersion: \"terrace.dev/v1\"\na: [1\n"] {
        let project = Project::new();
        project.write("broken.yaml", text);
        project.run(["fmt", "--check", "."]).with_code(1).prints("broken.yaml:");
        project.run(["fmt", "--check", "broken.yaml"]).with_code(1).prints("broken.yaml:");
    }
}

#[test]
fn unformattable_file_is_reported_and_left_unchanged() {
    let project = Project::new();
    let head = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\n";
    let broken = format!("{head}resources: [\n");
    project.write("broken.yaml", &broken);
    let deep = format!("{head}outputs:\n{}a: 1\n", " ".repeat(70));
    project.write("deep.yaml", &deep);
    project.write("good.yaml", CROOKED);
    let ran = project.run(["fmt"]).with_code(1);
    ran.prints("broken.yaml:").prints("`./deep.yaml` cannot be formatted: a line is indented by more than 60 columns");
    assert_eq!((project.read("broken.yaml"), project.read("deep.yaml")), (broken, deep));
    assert_ne!(project.read("good.yaml"), CROOKED, "the others are laid out");
    project.run(["fmt", "none.yaml"]).with_code(1).prints("`none.yaml` cannot be read");
}

/// Built-in blueprints, examples and hostile input: the same tree, or left alone.
#[test]
fn every_file_of_the_repository_is_formatted_or_left_alone() {
    let project = Project::new();
    let mut count = 0;
    for folder in ["examples", "providers", "fuzz/corpus/describe"] {
        let mut folders = vec![repository().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("target") {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "yaml") {
                    count += 1;
                    project.copy(&path, &format!("all/{count}.yaml"));
                }
            }
        }
    }
    assert!(count > 60, "{count}");
    let ran = project.run(["fmt", "all"]);
    assert!(!ran.stderr.contains("crashed") && !ran.stderr.contains("panicked"), "{ran}");
    let again = project.run(["fmt", "--check", "all"]);
    assert_eq!(again.stdout, "", "a layout does not settle");
}

#[test]
fn generated_files_are_formatted() {
    let project = Project::new();
    project.run(["init"]).done();
    for origin in ["sqlite_table", "snowflake-storage", "databricks-dlt"] {
        project.run(["blueprints", "new", &format!("my-{}", origin.replace('_', "-")), "--from", origin]).done();
    }
    project.run(["blueprints", "new", "report"]).done();
    snapshot!(project.run(["fmt", "--check", "-r"]), @"exit: 0");
}

#[test]
fn byte_order_mark_is_not_part_of_the_layout() {
    let project = Project::new();
    project.write("stack.yaml", CROOKED);
    project.write("marked.yaml", format!("\u{feff}{CROOKED}"));
    project.run(["fmt"]).done();
    assert_eq!(project.read("marked.yaml"), project.read("stack.yaml"));
    project.write("marked.yaml", format!("\u{feff}{}", project.read("stack.yaml")));
    assert_eq!(project.run(["fmt", "--check", "marked.yaml"]).with_code(2).stdout, "marked.yaml\n");
    project.run(["fmt"]).done();
    assert_eq!(project.read("marked.yaml"), project.read("stack.yaml"));
}

#[test]
fn aligned_comments_stay_aligned() {
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}   # its name\noutputs:\n  \
                one: 1            # the first\n  other: \"a  # b\"   # no comment, and one\n  last: 'x'         # re-quoted\n";
    let project = Project::new();
    project.write("stack.yaml", text);
    project.run(["fmt", "stack.yaml"]).done();
    assert_eq!(project.read("stack.yaml"), text.replace("'x'", "\"x\""));
    assert_eq!(project.run(["fmt"]).done().stdout, "", "the layout does not settle");
}

#[test]
fn examples_are_formatted() {
    let project = Project::new();
    let examples = repository().join("examples");
    assert_eq!(project.run(["fmt", "--check", "-r", examples.to_str().unwrap()]).done().stdout, "");
}

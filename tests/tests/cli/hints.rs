//! Hints that propose a command. Each test runs the proposed commands literally: they solve the problem and lose no
//! object.

mod covered; // every hint in the sources is in a list
mod state_changes; // hints that change the state or objects

use std::collections::BTreeSet;
use terrace_tests::{Project, Ran};

/// Declares one file for each name, by index.
fn files(names: &str) -> String {
    format!(
        "locals: {{names: {names}}}\nresources:\n  - type: local_file\n    name: f\n    forEach: ${{{{ range(size(locals.names)) \
         }}}}\n    config: {{path: '${{{{ locals.names[each.key] }}}}.txt', content: x}}\n"
    )
}

/// Declares one table for each name, by index, in one database.
fn tables(names: &str) -> String {
    format!(
        "locals: {{names: {names}}}\nresources:\n  - {{type: sqlite_database, name: db, config: {{path: d.db}}}}\n  \
         - type: sqlite_table\n    name: t\n    dependsOn: [db]\n    forEach: ${{{{ range(size(locals.names)) }}}}\n    config: \
         {{path: d.db, name: '${{{{ locals.names[each.key] }}}}', columns: [{{name: a, type: TEXT}}]}}\n"
    )
}

/// Returns the commands that the output proposes, in order, without those that have a placeholder.
fn proposed(ran: &Ran) -> Vec<Vec<String>> {
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    // The output breaks lines between words.
    let text = text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    let commands = text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_prefix("terrace "));
    let commands = commands.filter(|command| !command.contains('…'));
    let words = |command: &str| command.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
    let mut seen = BTreeSet::new();
    commands.map(words).filter(|command: &Vec<String>| seen.insert(command.clone())).collect()
}

fn follow(project: &Project, ran: &Ran) {
    for command in proposed(ran) {
        project.run(command.iter().map(String::as_str)).done();
    }
}

#[test]
fn files_shift_when_the_first_of_a_list_is_removed() {
    let project = Project::with_stack(&files("[a, b, c]"));
    project.apply().done();
    project.write_stack(&files("[b, c]"));
    let part = project.run(["apply", "stack.yaml", "--auto-approve", "--target", "local_file.f[0]"]).with_code(1);
    part.prints("demo@local:local_file.f[0] names the object that is recorded as demo@local:local_file.f[1]");
    assert!(project.has("a.txt"), "nothing was deleted");
    project.apply().done();
    assert_eq!((project.has("a.txt"), project.has("b.txt"), project.has("c.txt")), (false, true, true));
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn hint_removes_the_first_table_of_a_list_and_loses_no_table() {
    let project = Project::with_stack(&tables("[a, b, c]"));
    project.apply().done();
    project.write_stack(&tables("[b, c]"));
    let refused = project.run(["plan", "stack.yaml"]).with_code(1);
    let expected = [
        ["state", "mv", "demo@local:sqlite_table.t[0]", "sqlite_table.t[\"aside1\"]"],
        ["state", "mv", "demo@local:sqlite_table.t[1]", "sqlite_table.t[0]"],
        ["state", "mv", "demo@local:sqlite_table.t[2]", "sqlite_table.t[1]"],
    ];
    assert_eq!(proposed(&refused), expected);
    follow(&project, &refused);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done().prints("(1 retained)");
    project.assert_settled("stack.yaml", &[]);
    let listed = project.run(["state", "list"]).done().stdout;
    assert!(listed.contains("sqlite_table.t[\"aside1\"] (retained)"), "{listed}");
}

#[test]
fn hint_swaps_the_names_of_two_tables() {
    let swapped = |a: &str, b: &str| {
        format!(
            "resources:\n  - {{type: sqlite_database, name: db, config: {{path: d.db}}}}\n  - {{type: sqlite_table, name: one, \
             dependsOn: [db], config: {{path: d.db, name: {a}, columns: [{{name: a, type: TEXT}}]}}}}\n  - {{type: sqlite_table, \
             name: two, dependsOn: [db], config: {{path: d.db, name: {b}, columns: [{{name: a, type: TEXT}}]}}}}\n"
        )
    };
    let project = Project::with_stack(&swapped("x", "y"));
    project.apply().done();
    project.write_stack(&swapped("y", "x"));
    follow(&project, &project.run(["plan", "stack.yaml"]).with_code(1));
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn hint_exchanges_the_addresses_of_declared_objects() {
    let named = |names: [&str; 3]| {
        let file = |(name, path): (&str, &str)| {
            format!("  - {{type: local_file, name: {name}, config: {{path: {path}, content: {path}}}}}\n")
        };
        format!("resources:\n{}", names.into_iter().zip(["x", "y", "z"]).map(file).collect::<String>())
    };
    let project = Project::with_stack(&named(["a", "b", "c"]));
    project.apply().done();
    let rotated = named(["b", "c", "a"]);
    let moved = "moved:\n  - {from: local_file.a, to: local_file.b}\n  - {from: local_file.b, to: local_file.c}\n  - {from: local_file.c, to: local_file.a}\n";
    project.write_stack(&format!("{rotated}{moved}"));
    let refused = project.run(["plan", "stack.yaml"]).with_code(1);
    refused.prints("the moves form a circle: local_file.a → local_file.b → local_file.c → local_file.a");
    assert!(!refused.stderr.contains("still declared"), "{refused}");
    follow(&project, &refused);
    project.write_stack(&rotated);
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn hint_exchanges_the_keys_of_two_components() {
    let component = |key: &str, path: &str| {
        format!("  {key}:\n    resources: [{{type: local_file, name: f, config: {{path: {path}, content: {path}}}}}]\n")
    };
    let components =
        |first: &str, second: &str| format!("components:\n{}{}", component(first, "x"), component(second, "y"));
    let project = Project::with_stack(&components("a", "b"));
    project.apply().done();
    let moves = |pairs: &[(&str, &str)]| {
        let moves = pairs.iter().map(|(from, to)| format!("  - {{from: {from}/, to: {to}/}}\n"));
        format!("moved:\n{}", moves.collect::<String>())
    };
    project.write_stack(&format!("{}{}", components("b", "a"), moves(&[("a", "b"), ("b", "a")])));
    project.run(["plan", "stack.yaml"]).with_code(1).prints("first rename `a/` to an unused name");
    for (first, second, from, to) in [("aside", "b", "a", "aside"), ("aside", "a", "b", "a"), ("b", "a", "aside", "b")]
    {
        project.write_stack(&format!("{}{}", components(first, second), moves(&[(from, to)])));
        project.apply().done().prints("0 added, 0 changed, 0 destroyed");
    }
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn hint_for_a_removal_names_the_stack() {
    let project = Project::with_stack("resources:\n  - {type: local_file, name: f, config: {path: f, content: x}}\n");
    project.write_named_stack("other", "resources:\n  - {type: local_file, name: g, config: {path: g, content: x}}\n");
    project.apply().done();
    let planned = project.run(["plan", "--destroy", "--stack", "demo@local"]).with_code(1);
    assert_eq!(proposed(&planned).last().unwrap(), &["plan", "--destroy", "demo@local"]);
    let refused = project.run(["destroy", "--stack=demo@local"]).with_code(1);
    let command = proposed(&refused).pop().unwrap();
    assert_eq!(command, ["destroy", "demo@local"]);
    project.run(command.iter().map(String::as_str).chain(["--auto-approve"])).done().prints("1 destroyed");
    let by_file = project.run(["destroy", "--stack", "stack.yaml"]).with_code(1);
    by_file.prints("hint: `terrace destroy .` takes the descriptors of this folder");
    project.run(["apply", "--stack", "demo@local"]).with_code(1).prints("--stack demo@local`");
}

#[test]
fn hint_moves_an_object_recorded_by_another_resource() {
    let one =
        |name: &str| format!("resources:\n  - {{type: local_file, name: {name}, config: {{path: f, content: x}}}}\n");
    let project = Project::with_stack(&one("a"));
    project.apply().done();
    project.write_stack(&one("b"));
    // A plan with `--target` does not check the other recorded objects. The call does.
    let failed = project.run(["apply", "stack.yaml", "--auto-approve", "--target", "local_file.b"]).with_code(3);
    failed.prints("local_file.a has this object: to continue with it, run `terrace state mv");
    follow(&project, &failed);
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("f"), "x");
}

#[test]
fn file_and_folder_replace_each_other_at_a_path() {
    let file =
        |path: &str| format!("resources:\n  - {{type: local_file, name: f, config: {{path: {path}, content: x}}}}\n");
    let project = Project::with_stack(&file("a"));
    project.apply().done();
    for path in ["a/b", "a", "a/b/c", "a/b", "a"] {
        project.write_stack(&file(path));
        project.apply().done();
        assert_eq!(project.read(path), "x", "{path}");
        project.assert_settled("stack.yaml", &[]);
    }
    // Another resource takes the path, then a resource for the folder.
    project.write_stack("resources:\n  - {type: local_file, name: g, config: {path: a/b, content: x}}\n");
    project.apply().done();
    project.write_stack(&file("a"));
    project.apply().done();
    project.write_stack("resources:\n  - {type: local_directory, name: d, config: {path: a}}\n");
    project.apply().done();
    project.assert_settled("stack.yaml", &[]);
    // A file created outside terrace keeps its folder.
    project.write("a/theirs", "theirs");
    project.write_stack(&file("a"));
    project.run(["plan", "stack.yaml"]).with_code(1).prints("the object of local_directory.d stays");
    assert_eq!(project.read("a/theirs"), "theirs");
}

#[test]
fn database_file_and_folder_replace_each_other_at_a_path() {
    let at = |path: &str| format!("resources:\n  - {{type: sqlite_database, name: d, config: {{path: {path}}}}}\n");
    let project = Project::with_stack(&at("x"));
    project.apply().done();
    for path in ["x/y.db", "x"] {
        project.write_stack(&at(path));
        project.run(["apply", "stack.yaml", "--auto-approve"]).done();
        assert!(project.path(path).is_file(), "{path}");
        project.assert_settled("stack.yaml", &[]);
    }
}

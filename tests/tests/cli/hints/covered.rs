//! The list of hints whose commands change the state or objects. A new hint needs a line with the test that
//! follows it.

use crate::tidy::crates;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use terrace_tests::repository;

/// Source files with the commands of their hints, and the test that runs each command.
const FOLLOWED: &[(&str, &str, &str)] = &[
    ("cli/src/commands/doctor/state.rs", "recover {}", "doctor_names_interrupted_operations_until_recovery"),
    ("cli/src/commands/import.rs", "import --generate {}", "hint_of_import_frees_the_address"),
    ("cli/src/commands/import.rs", "state rm {}", "hint_of_import_frees_the_address"),
    ("cli/src/commands/plan.rs", "apply {file}", "hint_applies_a_saved_plan"),
    ("cli/src/commands/plan.rs", "apply {file} --plan-digest {}", "hint_applies_a_saved_plan"),
    ("cli/src/commands/pr/apply.rs", "recover {}", "step_in_doubt_is_named_with_the_command_that_resolves_it"),
    ("cli/src/commands/pr/planned.rs", "destroy {}", "removed_product_has_the_command_that_removes_its_objects"),
    ("cli/src/commands/recover.rs", "recover --absent {address}", "hints_decide_about_a_step_in_doubt"),
    ("cli/src/commands/recover.rs", "recover --tainted {address}", "hints_decide_about_a_step_in_doubt"),
    ("cli/src/commands/recover.rs", "recover --unchanged {address}", "hints_decide_about_a_step_in_doubt"),
    ("cli/src/commands/run/conclusion.rs", "destroy {shared} --remove-data", "data_without_owners_can_be_removed"),
    ("cli/src/commands/state/edit.rs", "recover --absent {}", "hint_of_import_for_a_lost_create_drops_its_step"),
    ("cli/src/commands/state/import.rs", "state rm {}", "hint_makes_room_for_an_exported_state"),
    (
        "cli/src/commands/state/migrate.rs",
        "recover {stack}",
        "state_in_use_is_refused_with_its_holder_and_moves_after_recovery",
    ),
    ("cli/src/failure.rs", "unlock {}", "hint_revokes_the_lease_of_another_operation"),
    ("cli/src/input.rs", "destroy {stack}", "hint_for_a_stack_in_place_of_a_file_removes_it"),
    ("engine/apply/src/execute/existing.rs", "import {address} {id}", "hint_records_an_existing_object"),
    ("engine/plan/src/import.rs", "state rm '{stack}:{address}'", "hint_of_import_drops_the_other_row"),
    ("engine/language/src/moves.rs", "state mv {} {}", "hint_exchanges_the_addresses_of_declared_objects"),
    ("engine/plan/src/adoption.rs", "import {} {}", "hint_imports_object_without_adoption"),
    ("engine/plan/src/check_adopt_conflict.rs", "state rm {by_name}", "hint_hands_an_object_to_another_stack"),
    ("engine/plan/src/check_renamed_stack.rs", "state rm {dropped}", "hint_renames_a_stack"),
    ("engine/plan/src/destroy_unmanaged.rs", "import {} {}", "hint_imports_before_a_destroy"),
    ("engine/plan/src/resource.rs", "unprotect '{address}'", "protected_object_is_kept_until_unprotected"),
    (
        "engine/plan/src/rollback/diagnostics.rs",
        "state mv {} {}",
        "object_known_to_a_program_only_is_restored_at_its_former_address",
    ),
    ("engine/plan/src/walk/expand.rs", "apply {applied} --allow-deferral", "hints_apply_dependencies_first"),
    ("engine/plan/src/walk/expand.rs", "apply {applied} {first}", "hints_apply_dependencies_first"),
];

/// Commands that no test of the binary runs, with the reason.
const NOT_FOLLOWED: &[(&str, &str, &str)] = &[
    ("cli/src/commands/doctor/state.rs", "recover --env {}", "needs an interrupted step of a shared resource"),
    ("cli/src/commands/recover.rs", "unlock {}", "needs a process without a sign of life"),
    ("cli/src/commands/state/migrate.rs", "recover --env {}", "needs an interrupted step of a shared resource"),
    ("cli/src/commands/state/migrate.rs", "unlock {}", "the lease of a running operation, as in `failure.rs`"),
    (
        "engine/plan/src/check_duplicate_identity.rs",
        "state rm {drop}",
        "needs an edited state: `engine/tests/adopt.rs`",
    ),
    ("engine/plan/src/destroy_unmanaged.rs", "destroy {stack}", "needs a system that does not answer a search"),
    ("engine/plan/src/destroy_unmanaged.rs", "import {address} ID", "the user adds the id"),
    ("engine/plan/src/destroy_unmanaged.rs", "import {stack}:ADDRESS ID", "the user adds address and id"),
    (
        "engine/plan/src/moved.rs",
        "state rm {command}",
        "needs rows of an earlier version: `engine/tests/names_rule.rs`",
    ),
    ("engine/plan/src/rollback/diagnostics.rs", "state rm {quoted}", "needs a pruned history: `engine/tests/rollback`"),
    ("engine/plan/src/rollback/diagnostics.rs", "state rm {}", "needs a replaced object: `engine/tests/rollback`"),
    ("engine/plan/src/walk/deferred_dependencies.rs", "apply … --target '{}'", "the user adds the file"),
    ("engine/plan/src/walk/transitions.rs", "import --generate '{address}' ID", "the user adds the id"),
];

/// Commands that change the state or objects.
const CHANGING: [&str; 13] = [
    "acl",
    "apply",
    "destroy",
    "import",
    "recover",
    "state import",
    "state migrate",
    "state mv",
    "state prune",
    "state rekey",
    "state rm",
    "unlock",
    "unprotect",
];

/// The Rust files below a folder, without tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The commands with a filled-in part in the texts of a file: `` `terrace state rm {address}` `` or a whole literal.
fn commands(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    // A backslash joins the lines of a literal.
    let joined = lines.fold(String::new(), |joined, line| match joined.strip_suffix('\\') {
        Some(begun) => format!("{begun}{line}"),
        None => format!("{joined}\n{line}"),
    });
    let mut found = BTreeSet::new();
    for quote in ['`', '"'] {
        let opening = format!("{quote}terrace ");
        let ends = joined.split(&opening).skip(1).filter_map(|rest| rest.split(quote).next());
        let is_changing = |command: &&str| CHANGING.iter().any(|it| command.starts_with(&format!("{it} ")));
        found.extend(ends.filter(|command| command.contains('{')).filter(is_changing).map(str::to_owned));
    }
    found
}

#[test]
fn every_hint_that_changes_state_or_objects_is_listed() {
    let mut files = Vec::new();
    for part in crates().into_iter().filter(|part| !part.starts_with("tests") && !part.starts_with("examples")) {
        sources(&repository().join(part).join("src"), &mut files);
    }
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    for file in files {
        let name = file.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
        found.extend(
            commands(&std::fs::read_to_string(&file).unwrap()).into_iter().map(|command| (name.clone(), command)),
        );
    }
    let listed =
        FOLLOWED.iter().chain(NOT_FOLLOWED).map(|(file, command, _)| ((*file).to_owned(), (*command).to_owned()));
    let listed: BTreeSet<(String, String)> = listed.collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert_eq!(missing, [] as [&(String, String); 0], "follow these hints in a test, and list them in FOLLOWED");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert_eq!(gone, [] as [&(String, String); 0], "remove these lines: no source has such a hint");
}

#[test]
fn every_listed_test_exists() {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, &mut files);
        }
    }
    let texts: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let missing: BTreeMap<_, _> = FOLLOWED
        .iter()
        .filter(|(_, _, test)| !texts.contains(&format!("#[test]\nfn {test}()")))
        .map(|(file, command, test)| (test, (file, command)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

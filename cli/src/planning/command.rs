//! The command that computes a plan or drift again, as the user would type it. Leaves out options of the output's form.

use crate::args::{DriftArguments, Global, PlanArguments};
use crate::settings::Settings;
use std::collections::BTreeSet;
use terrace_engine::text::shell_word;

/// The command. Contains values only of the variables in `open`, because a comment has many readers.
pub(crate) fn command(
    global: &Global,
    settings: &Settings,
    arguments: &PlanArguments,
    open: &BTreeSet<String>,
) -> String {
    let mut words = begun("plan", global, settings);
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    let planning = &arguments.planning;
    for component in &planning.choice.components {
        option("-c", component);
    }
    for variable in &planning.choice.variables {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        match open.contains(name) {
            true => option("--var", variable),
            false => option("--var", &format!("{name}=…")),
        }
    }
    for file in &planning.choice.variable_files {
        option("--var-file", &file.display().to_string());
    }
    for path in &planning.choice.repositories {
        option("--repo", &path.display().to_string());
    }
    if let Some(reference) = &arguments.against {
        option("--against", reference);
    }
    let flags = [
        ("--destroy", arguments.destroy),
        ("--refresh=false", !planning.refresh),
        ("--refresh-only", planning.refresh_only),
        ("--allow-deferral", planning.allow_deferral),
        ("--remove-data", planning.data.remove_data),
        ("--plaintext-secrets", planning.plaintext_secrets),
    ];
    words.extend(flags.iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| (*flag).to_owned()));
    for (option, addresses) in
        [("--target", &planning.targets), ("--exclude", &planning.excludes), ("--replace", &planning.replace)]
    {
        words.extend(addresses.iter().map(|address| format!("{option}={address}")));
    }
    words.extend(planning.principals.iter().map(|principal| format!("--acl={principal}")));
    words.extend(planning.access_fields.iter().map(|field| format!("--acl-field={field}")));
    words.extend(planning.data.allow_data_loss.iter().map(|address| match address.as_str() {
        "" => "--allow-data-loss".to_owned(),
        address => format!("--allow-data-loss={address}"),
    }));
    words.extend(arguments.files.iter().cloned());
    line(&words)
}

/// The command that detects the same drift.
pub(crate) fn drift_command(global: &Global, settings: &Settings, arguments: &DriftArguments) -> String {
    let mut words = begun("drift", global, settings);
    words.extend(arguments.ignore.iter().map(|path| format!("--ignore={path}")));
    words.extend(arguments.all.then(|| "--all".to_owned()));
    words.extend(arguments.targets.iter().cloned());
    line(&words)
}

/// The beginning of the command, with the options that select state and environment.
fn begun(command: &str, global: &Global, settings: &Settings) -> Vec<String> {
    let mut words = vec!["terrace".to_owned(), command.to_owned()];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    let path = |path: &std::path::PathBuf| path.display().to_string();
    if let Some(folder) = &global.chdir {
        option("--chdir", &path(folder));
    }
    if let Some(file) = &global.config {
        option("--config", &path(file));
    }
    if let Some(state) = &global.state {
        option("--state", state);
    }
    // Includes the environment of a variable: readers of a comment may have a different environment.
    if let Some(environment) = &settings.environment {
        option("--env", environment);
    }
    if let Some(stack) = &settings.stack {
        option("--stack", &stack.to_string());
    }
    words
}

fn line(words: &[String]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Command, CommandLine};
    use crate::ui::Ui;
    use crate::variables::Variables;
    use clap::Parser;

    fn repeated(line: &str) -> String {
        let parsed = CommandLine::try_parse_from(line.split_whitespace()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let settings = {
            let (variables, providers) = (Variables::default(), crate::Providers::built_in());
            Settings::resolve(&parsed.global, &variables, &providers, Some(folder.path()), &Ui::plain()).unwrap()
        };
        match &parsed.command {
            Command::Plan(arguments) => {
                command(&parsed.global, &settings, arguments, &BTreeSet::from(["size".to_owned()]))
            }
            Command::Drift(arguments) => drift_command(&parsed.global, &settings, arguments),
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn command_repeats_options_of_the_plan_but_not_of_its_form() {
        assert_eq!(
            repeated(
                "terrace plan a.yaml b$.yaml --env prod -c api --format markdown --max-chars 9000 --out p --refresh=false"
            ),
            "terrace plan --env prod -c api --refresh=false a.yaml 'b$.yaml'"
        );
        assert_eq!(
            repeated("terrace plan --destroy --allow-data-loss=a.b[\"x\"] --allow-data-loss --detail full demo@local"),
            "terrace plan --destroy '--allow-data-loss=a.b[\"x\"]' --allow-data-loss demo@local"
        );
    }

    #[test]
    fn command_repeats_targets() {
        assert_eq!(
            repeated("terrace plan --target a.b --exclude a.c[0] --replace a.d --refresh=false a.yaml"),
            "terrace plan --refresh=false --target=a.b '--exclude=a.c[0]' --replace=a.d a.yaml"
        );
        assert_eq!(repeated("terrace plan --refresh-only a.yaml"), "terrace plan --refresh-only a.yaml");
    }

    #[test]
    fn drift_command_repeats_its_stacks() {
        assert_eq!(
            repeated("terrace drift --env prod --all --ignore tags --format markdown --max-chars 9000"),
            "terrace drift --env prod --ignore=tags --all"
        );
        assert_eq!(repeated("terrace drift a$.yaml demo@local --json"), "terrace drift 'a$.yaml' demo@local");
    }

    #[test]
    fn hidden_values_are_not_repeated() {
        let command = repeated("terrace plan a.yaml --var size=3 --var password=hunter2 --var-file v.yaml");
        assert_eq!(command, "terrace plan --var size=3 --var password=… --var-file v.yaml a.yaml");
    }
}

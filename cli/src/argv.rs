//! Corrections of habits from other tools, which the parser does not know: `-auto-approve`, `-var a=b`, `--target=…`.

use crate::args::{CommandLine, overview};
use crate::failure::Failure;
use crate::input::{NOT_UTF8_HINT, descriptors_here};
use crate::ui::help_width;
use crate::variables::Variables;
use clap::{CommandFactory, Parser};
use std::collections::BTreeSet;
use std::ffi::OsString;
use terrace_engine::diagnostic::closest;
use terrace_engine::text::shell_word;
use terrace_provider::names::{first_listed, listed};

/// Long options of terraform with another meaning in terrace, or none.
const ELSEWHERE: &[(&str, &str)] = &[
    ("upgrade", "providers are compiled in: there is nothing to upgrade"),
    ("lock", "terrace always takes leases; `--lock-timeout` limits the wait for them"),
    ("var-files", "write `--var-file=…`"),
    ("no-color", "write `--color=never`"),
    ("compact-warnings", "there is no such option here"),
    ("raw", "write `--format=raw`"),
];

/// Commands of terraform and dppctl with another name in terrace, or without a counterpart.
const COMMANDS: &[(&str, &str)] = &[
    ("refresh", "`terrace drift FILE` shows drift, `terrace apply --refresh-only FILE` records it"),
    ("workspace", "use environments: `--env NAME`, or `TERRACE_ENV`; `terrace stacks list` lists stacks"),
    ("force-unlock", "`terrace leases list` lists leases, `terrace unlock LEASE` revokes one"),
    ("pull", "`terrace state export` writes the state"),
    ("push", "`terrace state import FILE` imports a file of `terrace state export`"),
    (
        "replace-provider",
        "`provider` of a resource chooses a configured instance; `terrace plan FILE` shows the effect",
    ),
    ("identities", "`terrace state show ADDRESS --json` has the identity of a resource"),
    ("test", "`terrace blueprints test` tests blueprints; `terrace plan FILE` shows the resources of a descriptor"),
    ("get", "there are no modules to get: `terrace blueprints list` lists the blueprints"),
    ("modules", "use blueprints: `terrace blueprints list`"),
    ("login", "there is nothing to log in to: set credentials in terrace.yaml or in variables"),
    ("logout", "there is nothing to log out of: set credentials in terrace.yaml or in variables"),
    ("metadata", "`terrace providers schema NAME` shows the types of a provider"),
    ("query", "use `terrace drift FILE` to compare the state with remote objects"),
    ("list", "`terrace stacks list` lists stacks, `terrace state list` resources, `terrace pipelines list` pipelines"),
];

const WHOLE_STACKS: &str =
    "drift covers whole stacks; use `terrace plan FILE -c COMPONENT --refresh-only` for a component";
const BIND: &str = "the address of the server is `--bind ADDRESS:PORT`";
const REMOVAL: &str = "it has no effect on a removal: leave it out";
/// The topic of help besides commands.
const TOPIC: &str = "terraform";
/// Options that other commands do not have, or have under another name.
const MISPLACED: &[(&str, &str, &str)] = &[
    ("serve", "--listen", BIND),
    ("serve", "--address", BIND),
    ("serve", "--port", BIND),
    ("destroy", "--replace", REMOVAL),
    ("destroy", "--allow-deferral", REMOVAL),
    ("destroy", "--force", "`--auto-approve` removes without asking"),
    ("apply", "--force", "`--auto-approve` applies without asking"),
    ("destroy", "--refresh-only", "use `terrace apply --refresh-only FILE` to record drift"),
    ("drift", "-c", WHOLE_STACKS),
    ("drift", "--component", WHOLE_STACKS),
    ("drift", "--var", "drift compares the state with remote objects and ignores variables: leave them out"),
    ("drift", "--var-file", "drift compares the state with remote objects and ignores variables: leave them out"),
    (
        "graph",
        "--json",
        "write `--format dot`, `--format mermaid` or `--format svg`; `terrace plan FILE --json` is for programs",
    ),
];

/// Parses a command line. Help is wrapped at the width of the terminal.
pub(crate) fn parsed<P: Parser>(arguments: &[OsString]) -> Result<P, clap::Error> {
    let width = help_width(&Variables::of_process());
    let mut command = P::command().term_width(width);
    if command.get_name() == "terrace" {
        command = command.help_template(overview(width));
    }
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The failure for an option that a command does not have, with an alternative or the commands that have it.
pub(crate) fn misplaced(arguments: &[OsString], option: &str) -> Option<Failure> {
    // A surplus word is not an option.
    if !option.starts_with('-') {
        return None;
    }
    let is_given = |word: &str| arguments.iter().any(|argument| argument == word);
    if let Some((command, _, hint)) = MISPLACED.iter().find(|(command, other, _)| *other == option && is_given(command))
    {
        return Some(Failure::new(format!("`terrace {command}` has no option `{option}`")).hint(*hint));
    }
    let target = Target::of(arguments);
    if target.command.get_arguments().any(|argument| is_called(argument, option)) {
        let message = format!("`{option}` comes before its command");
        return Some(Failure::new(message).hint(format!("write `{} {option}`", target.path)));
    }
    let failure = Failure::new(format!("`{}` has no option `{option}`", target.path));
    let mut commands = Vec::new();
    add_commands_with(&CommandLine::command(), "terrace", option, &mut commands);
    let hint = match commands.as_slice() {
        [] => format!("`{} --help` lists its options", target.path),
        [only] => format!("`{only}` takes it"),
        several => format!("these commands have it: {}", first_listed(several, 5)),
    };
    Some(failure.hint(hint))
}

/// Adds the subcommands that have an option.
fn add_commands_with(command: &clap::Command, path: &str, option: &str, commands: &mut Vec<String>) {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", command.get_name());
        if command.get_arguments().any(|argument| !argument.is_hide_set() && is_called(argument, option)) {
            commands.push(path.clone());
        }
        add_commands_with(command, &path, option, commands);
    }
}

/// True if an option has that name or alias. Long names begin with dashes.
fn is_called(option: &clap::Arg, name: &str) -> bool {
    let long = name.strip_prefix("--");
    let aliases = option.get_all_aliases().unwrap_or_default();
    is_written(option, name) || long.is_some_and(|long| aliases.contains(&long))
}

/// The command of a command line.
struct Target {
    /// As typed: `terrace state list`.
    path: String,
    /// The definition of the command; for `help COMMAND` that of the named command.
    command: clap::Command,
    /// True for `help COMMAND`.
    is_help: bool,
}

impl Target {
    fn of(arguments: &[OsString]) -> Self {
        let mut command = CommandLine::command();
        let globals: Vec<clap::Arg> = command.get_arguments().filter(|it| it.is_global_set()).cloned().collect();
        let mut target = Self { path: "terrace".to_owned(), command: command.clone(), is_help: false };
        let mut words = arguments.iter().skip(1).map(|word| word.to_str().unwrap_or_default());
        while let Some(word) = words.next() {
            if let Some(option) = globals.iter().find(|option| is_written(option, word)) {
                if takes_next(option, word) {
                    words.next();
                }
            } else if word == "help" && target.path == "terrace" && !target.is_help {
                target.is_help = true;
            } else if !word.starts_with('-') {
                let Some(within) = command.find_subcommand(word).cloned() else { break };
                target.path = format!("{} {}", target.path, within.get_name());
                (target.command, command) = (within.clone(), within);
            }
        }
        target
    }
}

/// The failure for an unknown command, with a suggestion or the known commands.
pub(crate) fn unknown(arguments: &[OsString], word: &str) -> Failure {
    let Target { path, command, is_help } = Target::of(arguments);
    let is_first = path == "terrace";
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let mut names: Vec<&str> = shown.map(clap::Command::get_name).collect();
    let failure = Failure::new(match (is_first, is_help) {
        (true, true) => format!("there is no command and no topic `{word}`"),
        (true, false) => format!("there is no command `{word}`"),
        (false, _) => format!("`{path}` has no command `{word}`"),
    });
    let start = if is_help { "terrace help" } else { "terrace" };
    let groups: Vec<String> = groups_with(&command, word).map(|group| format!("`{start} {group} {word}`")).collect();
    if is_first && (1..=3).contains(&groups.len()) {
        return failure.hint(format!("did you mean {}?", groups.join(" or ")));
    }
    if is_first {
        names.push(if is_help { TOPIC } else { "help" });
    }
    if let Some(best) = closest(word, names.iter().copied()) {
        let path = path.replacen("terrace", start, 1);
        return failure.hint(format!("did you mean `{path} {best}`?"));
    }
    match names.as_slice() {
        [] => failure.hint(format!("`{path} --help` shows its arguments")),
        _ if is_first => failure.hint("`terrace help` lists the commands"),
        names => failure.hint(format!("`{path}` has the commands {}", listed(names))),
    }
}

/// The names of the commands with this subcommand.
fn groups_with<'a>(command: &'a clap::Command, word: &str) -> impl Iterator<Item = &'a str> {
    let has_it = move |group: &&clap::Command| group.find_subcommand(word).is_some_and(|found| !found.is_hide_set());
    command.get_subcommands().filter(|group| !group.is_hide_set()).filter(has_it).map(clap::Command::get_name)
}

/// The failure for a command of terraform or dppctl.
pub(crate) fn elsewhere(command: &str) -> Option<Failure> {
    let (_, hint) = COMMANDS.iter().find(|(name, _)| *name == command)?;
    Some(Failure::new(format!("there is no command `{command}`")).hint(*hint))
}

/// Turns `terrace help --help` into `terrace help`, because the parser does not know the former.
pub(crate) fn without_help_of_help(arguments: &[OsString]) -> &[OsString] {
    let is_help = |word: &OsString| word == "--help" || word == "-h";
    match arguments {
        [head @ .., command, last] if head.len() == 1 && command == "help" && is_help(last) => {
            arguments.get(..2).unwrap_or(arguments)
        }
        _ => arguments,
    }
}

/// Moves global options of `terrace help plan --color never` before `help`, because the parser accepts them only there.
pub(crate) fn with_globals_before_help(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let command = CommandLine::command();
    let globals: Vec<&clap::Arg> = command.get_arguments().filter(|argument| argument.is_global_set()).collect();
    let (program, words) = arguments.split_first()?;
    let (help, words) = words.split_first()?;
    if help != "help" {
        return None;
    }
    let (mut before, mut after) = (vec![program.clone()], vec![help.clone()]);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        let option = globals.iter().find(|argument| is_written(argument, text));
        let Some(option) = option else {
            after.push(word.clone());
            continue;
        };
        before.push(word.clone());
        if takes_next(option, text) {
            before.extend(words.next().cloned());
        }
    }
    before.extend(after);
    Some(before)
}

/// True when the word after an option is its value.
fn takes_next(option: &clap::Arg, word: &str) -> bool {
    let is_flag = !option.get_action().takes_values() || option.is_require_equals_set();
    !is_flag && !word.contains('=')
}

/// True when a word is that option, with or without its value.
fn is_written(option: &clap::Arg, word: &str) -> bool {
    let long = word.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
    let is_short = |short: char| {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        letters.is_some_and(|letters| letters.chars().all(|letter| letter == short))
    };
    (long.is_some() && long == option.get_long()) || option.get_short().is_some_and(is_short)
}

/// The failure for a word that is not UTF-8, such as the name of a file.
pub(crate) fn not_utf8(arguments: &[OsString]) -> Option<Failure> {
    let word = arguments.iter().find(|word| word.to_str().is_none())?;
    Some(Failure::new(format!("the name `{}` is not UTF-8", word.display())).hint(NOT_UTF8_HINT))
}

/// The failure for a command without a required argument.
pub(crate) fn incomplete(arguments: &[OsString], missing: &[String]) -> Failure {
    let path = Target::of(arguments).path;
    let missing = missing.iter().map(|argument| argument.replace(['<', '>'], "")).collect::<Vec<_>>().join(" ");
    Failure::new(format!("`{path}` needs {missing}")).hint(format!("`{path} --help` shows its arguments"))
}

/// The failure for a command without a descriptor, with the descriptors in this folder.
pub(crate) fn without_file(arguments: &[OsString], missing: &[String]) -> Option<Failure> {
    let [only] = missing else { return None };
    let placeholder = only.trim_end_matches('.');
    if !placeholder.starts_with("<FILE") {
        return None;
    }
    let all = CommandLine::command();
    let command = arguments.iter().find_map(|word| all.get_subcommands().find(|it| *word == *it.get_name()))?;
    // `terrace state import` expects a file that is not a descriptor.
    if command.has_subcommands() {
        return None;
    }
    let command = command.get_name();
    let stack = value_of(arguments, "--stack");
    let removes = command == "destroy" || arguments.iter().any(|word| word == "--destroy");
    let subject = if removes { "a descriptor or a stack" } else { "a descriptor" };
    let failure = Failure::new(format!("`terrace {command}` needs {subject}"));
    if let Some(stack) = stack.as_deref().filter(|stack| removes && !std::path::Path::new(stack).exists()) {
        let option = if command == "destroy" { "" } else { " --destroy" };
        return Some(failure.hint(format!("name only the stack: `terrace {command}{option} {}`", shell_word(stack))));
    }
    let (descriptors, is_all) = if is_elsewhere(arguments) { Default::default() } else { descriptors_here() };
    let names: Vec<String> = descriptors.iter().map(|name| shell_word(name)).collect();
    let stack = stack.filter(|_| !removes).map(|stack| format!(" --stack {}", shell_word(&stack))).unwrap_or_default();
    let hint = match names.as_slice() {
        [] => {
            let stack = if placeholder.contains("STACK") { ", or a stack such as `orders@local`" } else { "" };
            format!(
                "write `terrace {command} FILE`: a descriptor, or a folder of them{stack}; `terrace init` writes an example"
            )
        }
        [only] => format!("write `terrace {command} {only}{stack}`"),
        _ if is_all => {
            format!("`terrace {command} .{stack}` takes the descriptors of this folder: {}", listed(&names))
        }
        several => format!("write `terrace {command} {}{stack}`", several.join(" ")),
    };
    Some(failure.hint(hint))
}

/// The value of an option on the command line.
fn value_of(arguments: &[OsString], option: &str) -> Option<String> {
    let mut words = arguments.iter().map(|word| word.to_string_lossy());
    words.find_map(|word| Some(word.strip_prefix(option)?.to_owned())).and_then(|rest| match rest.strip_prefix('=') {
        Some(value) => Some(value.to_owned()),
        None => words.next().filter(|_| rest.is_empty()).map(std::borrow::Cow::into_owned),
    })
}

/// True if the command line changes to another folder.
fn is_elsewhere(arguments: &[OsString]) -> bool {
    arguments.iter().filter_map(|word| word.to_str()).any(|word| word.starts_with("--chdir"))
}

/// The failure for a long option with one dash, or an option of terraform.
pub(crate) fn correction(arguments: &[OsString]) -> Option<Failure> {
    let known = long_options();
    let words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    words.take_while(|word| *word != "--").find_map(|word| correct(word, &known, arguments))
}

fn correct(word: &str, known: &BTreeSet<String>, arguments: &[OsString]) -> Option<Failure> {
    let is_long = word.starts_with("--");
    let rest = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|rest| rest.len() > 1)?;
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (rest, None),
    };
    let failure = Failure::new(format!("`{word}` begins with one dash: long options begin with two"));
    if known.contains(name) {
        if is_long {
            return None;
        }
        return Some(failure.hint(match value {
            Some(value) => format!("write `--{name}={value}`"),
            None => format!("write `--{name}`"),
        }));
    }
    let unknown = || Failure::new(format!("there is no option `{word}`"));
    if let Some((_, hint)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        return Some(unknown().hint(*hint));
    }
    // Leaves other words with one dash to the parser.
    let Target { command: target, path, .. } = Target::of(arguments);
    let everywhere = CommandLine::command();
    let globals = everywhere.get_arguments().filter(|option| option.is_global_set());
    let shown = target.get_arguments().chain(globals).filter(|option| !option.is_hide_set());
    let version = (path == "terrace").then_some(VERSION);
    let names = shown.flat_map(names_of).chain([HELP]).chain(version);
    let best = closest(name, names).filter(|_| is_long)?;
    Some(unknown().hint(format!("did you mean `--{best}`?")))
}

/// What every command takes.
const HELP: &str = "help";
/// The option that terrace accepts without a command.
const VERSION: &str = "version";

/// The long names of an option.
fn names_of(option: &clap::Arg) -> impl Iterator<Item = &str> {
    option.get_long().into_iter().chain(option.get_all_aliases().unwrap_or_default())
}

/// All long options.
fn long_options() -> BTreeSet<String> {
    fn collect(command: &clap::Command, names: &mut BTreeSet<String>) {
        names.extend(command.get_arguments().flat_map(names_of).map(str::to_owned));
        command.get_subcommands().for_each(|command| collect(command, names));
    }
    let mut names = BTreeSet::from([HELP, VERSION].map(str::to_owned));
    collect(&CommandLine::command(), &mut names);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_for(line: &str) -> Option<String> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        correction(&arguments)?.hints.first().cloned()
    }

    #[test]
    fn long_option_with_one_dash_is_corrected() {
        assert_eq!(hint_for("terrace apply -auto-approve x.yaml").as_deref(), Some("write `--auto-approve`"));
        assert_eq!(hint_for("terrace plan -out=plan x.yaml").as_deref(), Some("write `--out=plan`"));
        assert_eq!(hint_for("terrace plan -var a=b x.yaml").as_deref(), Some("write `--var`"));
        assert_eq!(hint_for("terrace plan -config=x.yaml").as_deref(), Some("write `--config=x.yaml`"));
        assert_eq!(hint_for("terrace plan -no-color x.yaml").as_deref(), Some("write `--color=never`"));
        assert_eq!(hint_for("terrace plan -target=a.b x.yaml").as_deref(), Some("write `--target=a.b`"));
        assert_eq!(hint_for("terrace plan -replace a.b x.yaml").as_deref(), Some("write `--replace`"));
        assert_eq!(hint_for("terrace plan -refresh-only x.yaml").as_deref(), Some("write `--refresh-only`"));
        assert_eq!(hint_for("terrace plan --target a.b x.yaml"), None);
        assert_eq!(hint_for("terrace -help").as_deref(), Some("write `--help`"));
    }

    #[test]
    fn misspelt_long_option_gets_a_suggestion() {
        assert_eq!(hint_for("terrace plan --evn prod x.yaml").as_deref(), Some("did you mean `--env`?"));
        assert_eq!(hint_for("terrace apply --auto-aprove x.yaml").as_deref(), Some("did you mean `--auto-approve`?"));
        assert_eq!(
            hint_for("terrace plan --detailed-exitcod x.yaml").as_deref(),
            Some("did you mean `--detailed-exitcode`?")
        );
        assert_eq!(hint_for("terrace output -raw x").as_deref(), Some("write `--format=raw`"));
        assert_eq!(hint_for("terrace plan --zyxwv x.yaml"), None);
        assert_eq!(hint_for("terrace plan --foo x.yaml"), None, "options of other commands are not suggested");
        assert_eq!(hint_for("terrace --verson").as_deref(), Some("did you mean `--version`?"));
        assert_ne!(
            hint_for("terrace plan --version1 x.yaml").as_deref(),
            Some("did you mean `--version`?"),
            "only terrace itself has it"
        );
        assert_eq!(hint_for("terrace state list --sate x.yaml").as_deref(), Some("did you mean `--state`?"));
        assert_eq!(hint_for("terrace unlock --force x"), None, "aliases are options too");
    }

    #[test]
    fn terraform_command_gets_its_counterpart() {
        for (command, answer) in
            [("refresh", "terrace drift"), ("force-unlock", "terrace unlock"), ("pull", "state export")]
        {
            let failure = elsewhere(command).unwrap();
            assert!(failure.hints[0].contains(answer), "{command}");
        }
        assert_eq!(elsewhere("aply"), None);
        let known: Vec<String> = CommandLine::command().get_subcommands().map(|it| it.get_name().to_owned()).collect();
        assert!(COMMANDS.iter().all(|(name, _)| !known.iter().any(|known| known == name)));
    }

    #[test]
    fn other_mistakes_are_left_to_the_parser() {
        assert_eq!(hint_for("terrace plan -Z x.yaml"), None);
        assert_eq!(hint_for("terrace plan --detail=nothing x.yaml"), None);
        assert_eq!(hint_for("terrace aply"), None);
        assert_eq!(hint_for("terrace -vv plan -c api x.yaml"), None);
        assert_eq!(hint_for("terrace plan -- -var"), None);
    }
}

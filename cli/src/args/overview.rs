//! The text of `terrace --help`: the commands by purpose. The parser knows no headings of commands.

use textwrap::Options;

/// Lines of at most 80 characters, with tags of the parser.
const TEXT: &str = include_str!("overview.txt");
/// Column of the descriptions.
const COLUMN: usize = 15;

/// The template of `terrace --help` for a width, with headings as in the help of commands.
pub(crate) fn overview(width: usize) -> String {
    let line = |line: &str| match line {
        heading if heading.ends_with(':') => format!("\u{1b}[1m\u{1b}[4m{heading}\u{1b}[0m\n"),
        command if command.starts_with(' ') => {
            let indent = " ".repeat(COLUMN);
            textwrap::fill(command, Options::new(width).subsequent_indent(&indent).break_words(false)) + "\n"
        }
        other => textwrap::fill(other, width) + "\n",
    };
    TEXT.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CommandLine;
    use clap::CommandFactory;

    #[test]
    fn overview_lists_every_command_once_with_its_description() {
        let command = CommandLine::command();
        let visible = command.get_subcommands().filter(|it| !it.is_hide_set());
        let mut expected: Vec<String> = visible
            .map(|it| format!("  {:12} {}", it.get_name(), it.get_about().map(ToString::to_string).unwrap_or_default()))
            .collect();
        let mut listed: Vec<&str> = TEXT.lines().filter(|line| line.starts_with("  ")).collect();
        expected.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, expected);
    }

    #[test]
    fn overview_names_every_option_of_all_commands() {
        let command = CommandLine::command();
        let (_, options) = TEXT.split_once("Options of every command:").unwrap();
        let mut listed: Vec<&str> = options.split(['.', ' ', '\n']).filter_map(|it| it.strip_prefix("--")).collect();
        let global = command.get_arguments().filter(|it| it.is_global_set());
        let mut expected: Vec<&str> = global.filter_map(clap::Arg::get_long).collect();
        expected.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, expected);
    }

    #[test]
    fn overview_fits_a_screen() {
        assert!(TEXT.lines().count() <= 50 && TEXT.lines().all(|line| line.chars().count() <= 80), "{TEXT}");
        let narrow = overview(40);
        assert!(
            narrow.contains("  apply        Create, change and delete\n               objects, or apply a saved\n"),
            "{narrow}"
        );
    }
}

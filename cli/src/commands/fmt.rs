//! `terrace fmt`: gives terrace's own files one layout. Keeps their meaning and comments.
//!
//! The library `pretty_yaml` computes the layout. `fmt` verifies its result and writes a file only under three
//! conditions: the text has the same characters except blanks, quotes and commas; it parses as the same tree; a second
//! run would not change it.

use crate::args::FmtArguments;
use crate::configuration::FILE_NAME;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::report::report;
use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};
use pretty_yaml::format_text;
use std::path::{Path, PathBuf};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::{Budget, Node, parse};

/// The byte order mark that some editors write before UTF-8 text.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Maximum length of a line.
const WIDTH: usize = 120;
/// The kinds of terrace's own files, the configuration aside.
const KINDS: [&str; 3] = ["Stack", "Blueprint", "BlueprintTest"];
/// Limit of indents: the library counts them in the bits of an integer.
const MAX_INDENT: usize = 60;

/// Formats files, or lists those that are not formatted.
///
/// # Errors
/// When a file cannot be read, is not YAML, is not one of terrace's own, or cannot be formatted.
pub(super) fn run(context: &Context<'_>, arguments: &FmtArguments) -> Result<Exit, Failure> {
    let mut named = Vec::new();
    for path in &arguments.paths {
        match path.is_dir() {
            true => collect(path, arguments.recursive, &mut named)?,
            false => named.push(File { path: path.clone(), is_named: true }),
        }
    }
    let (mut sources, mut changed, mut failed) = (Sources::default(), 0, Vec::new());
    for file in named {
        match formatted(&file, &mut sources) {
            Ok(None) => {}
            Ok(Some(text)) => {
                changed += 1;
                context.ui.print(&format!("{}\n", file.path.display()))?;
                if !arguments.check {
                    std::fs::write(&file.path, text).map_err(|error| failure(&file.path, "written", &error))?;
                }
            }
            Err(Refusal::Foreign) => {
                context.ui.print_note(&format!("skipped `{}`: it is not YAML", file.path.display()));
            }
            Err(Refusal::Failed(failure)) => failed.push(failure),
            Err(Refusal::Invalid(diagnostics)) => {
                report(context.ui, &sources, &diagnostics);
                failed.push(Failure::reported(Exit::Error));
            }
        }
    }
    let last = failed.pop();
    failed.iter().for_each(|failure| context.ui.fail(failure));
    match last {
        Some(failure) => Err(failure),
        None if arguments.check && changed > 0 => Ok(Exit::Changes),
        None => Ok(Exit::Done),
    }
}

/// A file, and whether the user named the file itself or its folder.
struct File {
    path: PathBuf,
    is_named: bool,
}

/// Reasons to leave a file unchanged.
enum Refusal {
    /// Not YAML, and no sign of being one of terrace's own files.
    Foreign,
    Failed(Failure),
    Invalid(Vec<Diagnostic>),
}

fn collect(folder: &Path, is_recursive: bool, files: &mut Vec<File>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| failure(folder, "read", &error);
    let mut entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let is_hidden = path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        // Follows no links: they may form a cycle.
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        if is_folder && is_recursive && !is_hidden {
            collect(&path, is_recursive, files)?;
        } else if is_yaml && path.is_file() {
            files.push(File { path, is_named: false });
        }
    }
    Ok(())
}

/// The formatted text. `None` if the file is formatted already, or if it is not terrace's own and was not named.
fn formatted(file: &File, sources: &mut Sources) -> Result<Option<String>, Refusal> {
    let path = &file.path;
    let written =
        files::text(path, files::HANDWRITTEN).map_err(|error| Refusal::Failed(failure(path, "read", &error)))?;
    let id = sources.add(path.display().to_string(), written.as_str());
    // UTF-8 needs no byte order mark.
    let text = written.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&written);
    let node = match parse(id, &written, &Budget::default()) {
        Ok(node) if is_own(path, &node) => node,
        Ok(_) if !file.is_named && !looks_like_own(path, text) => return Ok(None),
        Err(_) if !file.is_named && !looks_like_own(path, text) => return Err(Refusal::Foreign),
        Ok(_) => {
            return Err(Refusal::Failed(
                Failure::new(format!("`{}` is not one of terrace's own files", path.display()))
                    .hint("name terrace.yaml, or files of the kinds Stack, Blueprint and BlueprintTest"),
            ));
        }
        Err(diagnostics) => return Err(Refusal::Invalid(diagnostics)),
    };
    let new = checked(id, text, &node).map_err(|why| {
        Refusal::Failed(
            Failure::new(format!("`{}` cannot be formatted: {why}", path.display()))
                .hint("format it by hand, or simplify it"),
        )
    })?;
    Ok((new != written).then_some(new))
}

/// Formats a text that terrace generated. Returns it unchanged if that is impossible.
pub(super) fn format_generated(text: String) -> String {
    let id = Sources::default().add(String::new(), text.as_str());
    let new = parse(id, &text, &Budget::default()).ok().and_then(|node| checked(id, &text, &node).ok());
    new.unwrap_or(text)
}

/// The formatted text, verified to have the same meaning.
fn checked(id: SourceId, text: &str, node: &Node) -> Result<String, String> {
    if text.lines().any(|line| line.len() - line.trim_start_matches(' ').len() > MAX_INDENT) {
        return Err(format!("a line is indented by more than {MAX_INDENT} columns"));
    }
    let new = reformat(text)?;
    if new == text {
        return Ok(new);
    }
    let reparsed = parse(id, &new, &Budget::default()).ok();
    if reparsed.map(|reparsed| reparsed.to_value()) != Some(node.to_value()) || letters(&new).ne(letters(text)) {
        return Err("the formatted text would have another meaning".to_owned());
    }
    if reformat(&new).ok().as_ref() != Some(&new) {
        return Err("a second run would change it again".to_owned());
    }
    Ok(new)
}

/// Formats a text with the library.
fn reformat(text: &str) -> Result<String, String> {
    format_text(text, &options()).map(|new| keep_comment_columns(text, &new)).map_err(|error| error.to_string())
}

/// Keeps the distance of comments behind values, because users align them.
fn keep_comment_columns(text: &str, new: &str) -> String {
    let mut comments = text.lines().filter_map(aligned_comment).peekable();
    let mut output = String::with_capacity(text.len());
    for line in new.lines() {
        let ends_with_comment =
            |(_, comment): &(usize, &str)| line.strip_suffix(comment).is_some_and(|it| it.ends_with(' '));
        match comments.next_if(ends_with_comment) {
            Some((blanks, comment)) => {
                output.push_str(line.strip_suffix(comment).unwrap_or(line).trim_end_matches(' '));
                output.extend(std::iter::repeat_n(' ', blanks));
                output.push_str(comment);
            }
            None => output.push_str(line),
        }
        output.push('\n');
    }
    output
}

/// The number of blanks before the comment of a line with a value, if there are several; and the comment.
fn aligned_comment(line: &str) -> Option<(usize, &str)> {
    let (before, comment) = line.split_at_checked(line.rfind("  #")? + 2)?;
    let value = before.trim_end_matches(' ');
    (!value.is_empty()).then_some((before.len() - value.len(), comment.trim_end()))
}

fn options() -> FormatOptions {
    FormatOptions {
        layout: LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() },
        language: LanguageOptions { brace_spacing: false, ..LanguageOptions::default() },
    }
}

/// All characters that a layout must not change, comments included.
fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ','))
}

fn is_own(path: &Path, node: &Node) -> bool {
    let kind = node.get("kind").and_then(Node::as_text);
    is_configuration(path) || kind.is_some_and(|kind| KINDS.contains(&kind))
}

/// Recognises terrace's own files in text that is not YAML.
fn looks_like_own(path: &Path, text: &str) -> bool {
    let has_own_kind = |line: &str| {
        let kind = line.strip_prefix("kind:").map(|kind| kind.trim().trim_matches(['"', '\'']));
        kind.is_some_and(|kind| KINDS.contains(&kind))
    };
    is_configuration(path) || text.contains("terrace.dev/") || text.lines().any(has_own_kind)
}

fn is_configuration(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE_NAME)
}

fn failure(path: &Path, action: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("`{}` cannot be {action}: {error}", path.display()))
}

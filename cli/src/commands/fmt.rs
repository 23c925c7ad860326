//! `terrace fmt`: terrace's own files in one layout. What they say stays, comments included.
//!
//! The layout is that of the library `pretty_yaml`. It is not trusted: a file is written only when its text has the same
//! characters as before apart from blanks, quotes and commas, reads as the same tree, and would not be changed again.

use super::Context;
use crate::args::FmtArguments;
use crate::configuration::FILE_NAME;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::report::report;
use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};
use pretty_yaml::format_text;
use std::path::{Path, PathBuf};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::{Budget, Node, parse};

/// What some editors write before a text: it says that UTF-8 follows.
const MARK: char = '\u{feff}';
/// Lines are not made longer than this.
const WIDTH: usize = 120;
/// The kinds of terrace's own files, the configuration aside.
const KINDS: [&str; 3] = ["Stack", "Blueprint", "BlueprintTest"];
/// The library counts indents in the bits of a number: beyond this it cannot.
const DEEPEST: usize = 60;

/// Lays files out, or says which of them are not.
///
/// # Errors
/// When a file cannot be read, is no YAML, is none of terrace's own, or cannot be laid out.
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
        match laid_out(&file, &mut sources) {
            Ok(None) => {}
            Ok(Some(text)) => {
                changed += 1;
                context.ui.print(&format!("{}\n", file.path.display()))?;
                if !arguments.check {
                    std::fs::write(&file.path, text).map_err(|error| failure(&file.path, "written", &error))?;
                }
            }
            Err(Refusal::Foreign) => {
                context.ui.say(&format!("`{}` was left alone: it cannot be read as YAML", file.path.display()));
            }
            Err(Refusal::Told(failure)) => failed.push(failure),
            Err(Refusal::Wrong(diagnostics)) => {
                report(context.ui, &sources, &diagnostics);
                failed.push(Failure::told(Exit::Error));
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

/// A file, and whether a person named it or only its folder.
struct File {
    path: PathBuf,
    is_named: bool,
}

/// Why a file stays as it is.
enum Refusal {
    /// It is no YAML, and nothing says that it is one of terrace's own.
    Foreign,
    Told(Failure),
    Wrong(Vec<Diagnostic>),
}

fn collect(folder: &Path, is_recursive: bool, files: &mut Vec<File>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| failure(folder, "read", &error);
    let mut entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let is_hidden = path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        // A link may lead in a circle.
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        if is_folder && is_recursive && !is_hidden {
            collect(&path, is_recursive, files)?;
        } else if is_yaml && path.is_file() {
            files.push(File { path, is_named: false });
        }
    }
    Ok(())
}

/// The text of a file in the one layout; nothing when it is in it already, or none of terrace's own and not named.
fn laid_out(file: &File, sources: &mut Sources) -> Result<Option<String>, Refusal> {
    let path = &file.path;
    let written =
        files::text(path, files::HANDWRITTEN).map_err(|error| Refusal::Told(failure(path, "read", &error)))?;
    let id = sources.add(path.display().to_string(), written.as_str());
    // UTF-8 needs no byte order mark: it is not part of what a file says.
    let text = written.strip_prefix(MARK).unwrap_or(&written);
    let node = match parse(id, &written, &Budget::default()) {
        Ok(node) if is_own(path, &node) => node,
        Ok(_) if !file.is_named && !looks_own(path, text) => return Ok(None),
        Err(_) if !file.is_named && !looks_own(path, text) => return Err(Refusal::Foreign),
        Ok(_) => {
            return Err(Refusal::Told(
                Failure::new(format!("`{}` is none of terrace's own files", path.display()))
                    .hint("those are terrace.yaml, and files of the kinds Stack, Blueprint and BlueprintTest"),
            ));
        }
        Err(diagnostics) => return Err(Refusal::Wrong(diagnostics)),
    };
    let new = checked(id, text, &node).map_err(|why| {
        Refusal::Told(
            Failure::new(format!("`{}` cannot be laid out: {why}", path.display()))
                .hint("it is left as it is; lay it out by hand, or write it in a simpler way"),
        )
    })?;
    Ok((new != written).then_some(new))
}

/// A text that terrace wrote itself in the one layout; as it is where that cannot be.
pub(super) fn of_generated(text: String) -> String {
    let id = Sources::default().add(String::new(), text.as_str());
    let new = parse(id, &text, &Budget::default()).ok().and_then(|node| checked(id, &text, &node).ok());
    new.unwrap_or(text)
}

/// The text of a tree in the one layout, which says the same.
fn checked(id: SourceId, text: &str, node: &Node) -> Result<String, String> {
    if text.lines().any(|line| line.len() - line.trim_start_matches(' ').len() > DEEPEST) {
        return Err(format!("a line begins more than {DEEPEST} columns in"));
    }
    let new = in_layout(text)?;
    if new == text {
        return Ok(new);
    }
    let again = parse(id, &new, &Budget::default()).ok();
    if again.map(|again| again.to_value()) != Some(node.to_value()) || letters(&new).ne(letters(text)) {
        return Err("it would say something else then".to_owned());
    }
    if in_layout(&new).ok().as_ref() != Some(&new) {
        return Err("its layout would not settle".to_owned());
    }
    Ok(new)
}

/// The text in the one layout.
fn in_layout(text: &str) -> Result<String, String> {
    format_text(text, &options()).map(|new| with_columns(text, &new)).map_err(|error| error.to_string())
}

/// Comments behind values stay as far away from them as they were: people write them below each other.
fn with_columns(text: &str, new: &str) -> String {
    let mut apart = text.lines().filter_map(apart).peekable();
    let mut kept = String::with_capacity(text.len());
    for line in new.lines() {
        let behind = |(_, comment): &(usize, &str)| line.strip_suffix(comment).is_some_and(|it| it.ends_with(' '));
        match apart.next_if(behind) {
            Some((blanks, comment)) => {
                kept.push_str(line.strip_suffix(comment).unwrap_or(line).trim_end_matches(' '));
                kept.extend(std::iter::repeat_n(' ', blanks));
                kept.push_str(comment);
            }
            None => kept.push_str(line),
        }
        kept.push('\n');
    }
    kept
}

/// How many blanks stand before the comment of a line that has a value and more than one; and the comment.
fn apart(line: &str) -> Option<(usize, &str)> {
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

/// The characters that no layout may change, add or drop: comments are among them.
fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ','))
}

fn is_own(path: &Path, node: &Node) -> bool {
    let kind = node.get("kind").and_then(Node::as_text);
    is_configuration(path) || kind.is_some_and(|kind| KINDS.contains(&kind))
}

/// What is no YAML can still be told from what others wrote.
fn looks_own(path: &Path, text: &str) -> bool {
    let says_kind = |line: &str| {
        let kind = line.strip_prefix("kind:").map(|kind| kind.trim().trim_matches(['"', '\'']));
        kind.is_some_and(|kind| KINDS.contains(&kind))
    };
    is_configuration(path) || text.contains("terrace.dev/") || text.lines().any(says_kind)
}

fn is_configuration(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE_NAME)
}

fn failure(path: &Path, doing: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("`{}` cannot be {doing}: {error}", path.display()))
}

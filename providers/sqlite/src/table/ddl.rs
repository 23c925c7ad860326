//! Writes and reads the DDL text of a table.
//!
//! A comment is written as line comments directly after the name that it describes. SQLite's own `ALTER TABLE` keeps
//! comments only there, when a column is added, renamed or dropped. Each line of a comment is one `-- ` line, so every
//! text is read back unchanged.

use super::{Column, Table};
use crate::identifier::{quote, quote_all};
use crate::mark::Mark;
use crate::tokenizer::tokens;
use std::collections::HashMap;
use std::fmt::Write as _;
use terrace_provider::sql_tokens::Token;

/// The parts of a definition that only its text contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comments {
    /// The comment of the object.
    pub(crate) object: Option<String>,
    /// The comments of its columns, by name in lower case.
    pub(crate) columns: HashMap<String, String>,
    /// The call that created the object.
    pub(crate) mark: Option<Mark>,
    /// Parts of the definition that no attribute expresses: a rebuild would lose them.
    pub(crate) unmanaged: Vec<&'static str>,
}

/// Constraints that no attribute expresses, with their descriptions.
const CONSTRAINTS: [(&str, &str); 7] = [
    ("CHECK", "a CHECK constraint"),
    ("COLLATE", "a COLLATE clause"),
    ("REFERENCES", "a foreign key"),
    ("FOREIGN", "a foreign key"),
    ("GENERATED", "a generated column"),
    ("AS", "a generated column"),
    ("AUTOINCREMENT", "AUTOINCREMENT"),
];

/// Table options that no attribute expresses, with their descriptions.
const OPTIONS: [(&str, &str); 2] = [("STRICT", "the STRICT option"), ("WITHOUT", "the WITHOUT ROWID option")];

/// The `CREATE TABLE` statement.
pub(super) fn create(table: &Table, mark: Option<&Mark>) -> String {
    let mut parts: Vec<String> =
        table.columns.iter().map(|column| format!("\n  {}", column_definition(column))).collect();
    if !table.primary_key.is_empty() {
        parts.push(format!("\n  PRIMARY KEY ({})", quote_all(table.primary_key.iter().map(String::as_str))));
    }
    for key in &table.unique {
        parts.push(format!("\n  UNIQUE ({})", quote_all(key.iter().map(String::as_str))));
    }
    format!(
        "CREATE TABLE {}(\n{}\n)",
        heading(&table.name, table.comment.as_deref(), mark),
        parts.join(",").trim_start_matches('\n')
    )
}

/// The name with its mark and comment, followed by the definition in the statement.
pub(crate) fn heading(name: &str, comment: Option<&str>, mark: Option<&Mark>) -> String {
    let mut text = quote(name);
    if let Some(mark) = mark {
        let _ = write!(text, " {}", mark.to_comment());
    }
    text.push_str(&comment_lines(comment, ""));
    text
}

/// The definition of a column in `CREATE TABLE` and `ADD COLUMN`.
pub(super) fn column_definition(column: &Column) -> String {
    let mut text = format!("{}{}{}", quote(&column.name), comment_lines(column.comment.as_deref(), "    "), column.ty);
    if !column.is_nullable {
        text.push_str(" NOT NULL");
    }
    match &column.default {
        Some(default) if column.has_literal_default() => {
            let _ = write!(text, " DEFAULT {default}");
        }
        Some(default) => {
            let _ = write!(text, " DEFAULT ({default})");
        }
        None => {}
    }
    text
}

fn comment_lines(comment: Option<&str>, indent: &str) -> String {
    let Some(comment) = comment else { return " ".to_owned() };
    let lines: String = comment.split('\n').map(|line| format!("\n{indent}-- {line}")).collect();
    format!("{lines}\n{indent}")
}

/// Reads the comments in the definition of a table, view or index.
pub(crate) fn read_comments(sql: &str) -> Comments {
    let tokens = tokens(sql);
    let mut comments = Comments::default();
    let Some(name_at) = tokens.iter().position(is_object_kind).map(|kind| kind + 1) else { return comments };
    let after_name = tokens.get(name_at + 1..).unwrap_or_default();
    comments.object = leading_comment(after_name);
    comments.mark =
        after_name.iter().take_while(|token| token.is_comment()).find_map(|token| Mark::from_comment(token.text));
    let mut depth = 0_i32;
    let mut is_item_start = false;
    for (position, token) in after_name.iter().enumerate() {
        if token.is_comment() {
            continue;
        }
        if std::mem::take(&mut is_item_start) {
            let after = after_name.get(position + 1..).unwrap_or_default();
            if let (Some(name), Some(comment)) = (token.name(), leading_comment(after)) {
                comments.columns.insert(name.to_ascii_lowercase(), comment);
            }
        }
        depth += token.depth();
        is_item_start = depth == 1 && (token.is_symbol("(") || token.is_symbol(","));
        let named = match depth {
            0 => OPTIONS.as_slice(),
            1 => CONSTRAINTS.as_slice(),
            _ => &[],
        };
        comments.unmanaged.extend(named.iter().filter(|(word, _)| token.is_word(word)).map(|(_, what)| *what));
    }
    comments.unmanaged.dedup();
    comments
}

fn is_object_kind(token: &Token<'_>) -> bool {
    ["TABLE", "VIEW", "INDEX"].iter().any(|kind| token.is_word(kind))
}

/// The comment at the start of the tokens; the mark is skipped.
fn leading_comment(tokens: &[Token<'_>]) -> Option<String> {
    let lines: Vec<&str> = tokens
        .iter()
        .take_while(|token| token.is_comment())
        .filter_map(|token| token.text.strip_prefix("--"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |name: &str, comment: &str| Column {
            name: name.to_owned(),
            ty: "NUMERIC(38,0)".to_owned(),
            is_nullable: true,
            comment: Some(comment.to_owned()),
            ..Column::default()
        };
        Table {
            name: "a \"b\"".to_owned(),
            columns: vec![column("it's, (", "one */ -- line"), column("Key", " two\n\nlines; \r")],
            primary_key: vec!["Key".to_owned()],
            unique: vec![vec!["Key".to_owned(), "it's, (".to_owned()]],
            comment: Some("-- of the table\n".to_owned()),
        }
    }

    #[test]
    fn comments_are_read_back_unchanged() {
        let table = table();
        let comments = read_comments(&create(&table, None));
        assert_eq!(comments.object, table.comment);
        for column in &table.columns {
            assert_eq!(comments.columns.get(&column.name.to_ascii_lowercase()), column.comment.as_ref());
        }
        assert_eq!(comments.mark, None);
        assert!(comments.unmanaged.is_empty());
    }

    #[test]
    fn unmanaged_parts_are_found() {
        let sql =
            "CREATE TABLE t (a INT CHECK (a > 0), b INT REFERENCES c, d TEXT DEFAULT ('x' COLLATE NOCASE)) STRICT";
        assert_eq!(read_comments(sql).unmanaged, ["a CHECK constraint", "a foreign key", "the STRICT option"]);
    }
}

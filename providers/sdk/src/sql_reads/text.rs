//! Refusals of query text that two parsers may read differently.

use super::{SqlDialect, SqlRefusal};
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

/// Refuses text that is not a single query, even if it cannot be parsed.
pub(super) fn check_statements(tokens: &[TokenWithSpan]) -> Option<SqlRefusal> {
    let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    let Some(first) = words.find(|token| token.token != Token::SemiColon) else {
        return Some(SqlRefusal::never("the query is empty", 1));
    };
    let line = first.span.start.line.max(1);
    let begins =
        |word: &str| ["SELECT", "WITH", "VALUES", "FROM", "TABLE"].iter().any(|it| it.eq_ignore_ascii_case(word));
    let is_query = match &first.token {
        Token::LParen => true,
        Token::Word(word) => word.quote_style.is_none() && begins(&word.value),
        _ => false,
    };
    if !is_query {
        return Some(SqlRefusal::never(format!("`{}` does not begin a query", first.token), line));
    }
    let mut after = words.skip_while(|token| token.token != Token::SemiColon);
    let second = after.find(|token| token.token != Token::SemiColon)?;
    Some(SqlRefusal::never("a second statement follows", second.span.start.line.max(1)))
}

/// Refuses parts of a text.
pub(super) fn check(dialect: SqlDialect, query: &str, tokens: &[TokenWithSpan]) -> Vec<SqlRefusal> {
    let mut refused: Vec<SqlRefusal> = characters(query).collect();
    for token in tokens {
        refused.extend(of_token(dialect, token));
    }
    refused.truncate(10);
    refused
}

/// Invisible characters, and line ends that only some parsers know.
fn characters(query: &str) -> impl Iterator<Item = SqlRefusal> {
    (1..).zip(query.split('\n')).flat_map(|(line, text)| {
        // Windows ends a line with two characters.
        let text = text.strip_suffix('\r').unwrap_or(text);
        let hidden = text.chars().find(|char| is_hidden(*char));
        hidden.map(|char| {
            SqlRefusal::unclear(
                format!("the query holds the invisible character U+{:04X}", u32::from(char)),
                "write spaces and plain line ends instead; in a text literal, write its escape",
                line,
            )
        })
    })
}

fn is_hidden(char: char) -> bool {
    let is_blank = char.is_whitespace() && !matches!(char, ' ' | '\t');
    let is_control = char.is_control() && char != '\t';
    let is_format = matches!(
        char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    is_blank || is_control || is_format
}

fn of_token(dialect: SqlDialect, token: &TokenWithSpan) -> Option<SqlRefusal> {
    let unclear = |what: String, hint: &str| Some(SqlRefusal::unclear(what, hint, token.span.start.line));
    match &token.token {
        Token::Whitespace(Whitespace::MultiLineComment(text))
            if text.contains("/*") || text.starts_with(['!', '+']) =>
        {
            unclear("a comment holds a second comment, or a hint".to_owned(), "remove the inner one")
        }
        Token::Whitespace(Whitespace::SingleLineComment { prefix, .. }) if prefix == "#" => {
            unclear("a comment begins with `#`".to_owned(), "begin it with `--`")
        }
        Token::DollarQuotedString(text) if dialect == SqlDialect::Snowflake && text.tag.is_some() => {
            unclear("a text in dollars has a name between them".to_owned(), "write it between `$$` and `$$`")
        }
        Token::AtSign if dialect == SqlDialect::Snowflake => {
            unclear("the query reads a stage".to_owned(), "load the files into a table of a storage area")
        }
        Token::Placeholder(name)
            if !name.trim_start_matches('$').bytes().all(|byte| byte.is_ascii_digit()) || name == "?" =>
        {
            unclear(format!("the query holds the variable `{name}`"), "write its value")
        }
        Token::Char(char) if !is_hidden(*char) => unclear(format!("the character `{char}` is not SQL"), "remove it"),
        _ => None,
    }
}

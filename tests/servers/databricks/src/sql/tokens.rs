//! The tokenizer, with Databricks' rules: names in backticks (doubled inside), strings in single quotes with
//! backslashes.

use super::syntax;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Literal(String),
    Sign(char),
}

/// The tokens of a statement, with the reading position.
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// Tokens with their start.
    tokens: Vec<(usize, Token)>,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches(';');
        let mut tokens = Vec::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let token = match c {
                c if c.is_whitespace() => continue,
                '`' | '\'' => {
                    let mut inside = String::new();
                    loop {
                        let Some((_, next)) = chars.next() else { return Err(syntax("end of input")) };
                        if next == '\\' && c == '\'' {
                            let Some((_, escaped)) = chars.next() else { return Err(syntax("\\")) };
                            inside.push(match escaped {
                                'n' => '\n',
                                't' => '\t',
                                'r' => '\r',
                                other => other,
                            });
                        } else if next == c {
                            if c == '`' && chars.peek().is_some_and(|(_, it)| *it == '`') {
                                chars.next();
                                inside.push('`');
                            } else {
                                break;
                            }
                        } else {
                            inside.push(next);
                        }
                    }
                    if c == '`' { Token::Quoted(inside) } else { Token::Literal(inside) }
                }
                c if c.is_ascii_alphanumeric() || c == '_' => {
                    let mut word = c.to_string();
                    while let Some((_, next)) = chars.next_if(|(_, it)| it.is_ascii_alphanumeric() || *it == '_') {
                        word.push(next);
                    }
                    Token::Word(word)
                }
                '.' | ',' | '(' | ')' | '*' | '=' => Token::Sign(c),
                other => return Err(syntax(&other.to_string())),
            };
            tokens.push((at, token));
        }
        Ok(Self { text, tokens, at: 0 })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn wrong(&self) -> String {
        self.peek().map_or_else(|| syntax("end of input"), |token| syntax(&String::from(token)))
    }

    /// The unread text.
    pub(super) fn rest(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |(at, _)| &self.text[*at..])
    }

    /// A word in upper case.
    pub(super) fn word(&mut self) -> Result<String, String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.to_uppercase();
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.wrong()),
        }
    }

    pub(super) fn take_word(&mut self, wanted: &str) -> bool {
        let is_there = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(is_there);
        is_there
    }

    pub(super) fn expect(&mut self, wanted: &str) -> Result<(), String> {
        if self.take_word(wanted) { Ok(()) } else { Err(self.wrong()) }
    }

    pub(super) fn take(&mut self, sign: char) -> bool {
        let is_there = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(is_there);
        is_there
    }

    pub(super) fn expect_sign(&mut self, sign: char) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(self.wrong()) }
    }

    /// An identifier, with or without backticks.
    pub(super) fn identifier(&mut self) -> Result<String, String> {
        match self.peek().cloned() {
            Some(Token::Word(name) | Token::Quoted(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.wrong()),
        }
    }

    /// A name with this number of parts.
    pub(super) fn name(&mut self, parts: usize) -> Result<Vec<String>, String> {
        let mut name = vec![self.identifier()?];
        while self.take('.') {
            name.push(self.identifier()?);
        }
        if name.len() == parts { Ok(name) } else { Err(self.wrong()) }
    }

    pub(super) fn literal(&mut self) -> Result<String, String> {
        let mut text = match self.peek().cloned() {
            Some(Token::Literal(text)) => text,
            _ => return Err(self.wrong()),
        };
        self.at += 1;
        // Adjacent strings are one, as usual in this dialect: '' inside quotes ends one string and begins another.
        while let Some(Token::Literal(more)) = self.peek() {
            text.push_str(more);
            self.at += 1;
        }
        Ok(text)
    }

    pub(super) fn end(&self) -> Result<(), String> {
        if self.at == self.tokens.len() { Ok(()) } else { Err(self.wrong()) }
    }
}

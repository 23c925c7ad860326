//! The words of Python text, as far as imports need them: what stands in strings and comments is none of them.
//!
//! After <https://docs.python.org/3/reference/lexical_analysis.html>. A text that is no Python gives words, too: nobody is
//! told here what is wrong with it.

use std::iter::Peekable;
use std::str::CharIndices;

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, a keyword or a number.
    Word(&'a str),
    /// A text that stands there as it is; nothing for one with escapes or with expressions in it.
    Text(Option<&'a str>),
    /// Any other character: brackets, dots, commas, operators.
    Mark(char),
    /// The end of a logical line.
    End,
}

/// The tokens of a text, one after the other.
pub(super) struct Tokens<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    /// How many brackets are open: lines within them go on.
    open: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, rest: text.char_indices().peekable(), open: 0 }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, character)| *character)
    }

    /// Where the next character stands.
    fn place(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn skip_line(&mut self) {
        while self.rest.next_if(|(_, character)| *character != '\n').is_some() {}
    }

    /// A word that begins here, and the text of which it is the prefix, if it is one.
    fn word(&mut self, start: usize) -> Token<'a> {
        while self.rest.next_if(|(_, character)| is_of_word(*character)).is_some() {}
        let end = self.place();
        let word = self.text.get(start..end).unwrap_or_default();
        match self.peek() {
            Some(quote @ ('"' | '\'')) if is_prefix(word) => {
                self.rest.next();
                let is_formatted = word.contains(['f', 'F', 't', 'T']);
                let value = self.string(quote, is_formatted);
                // Bytes are no name of a module, and what a raw text holds is what stands there.
                Token::Text(value.filter(|_| !is_formatted && !word.contains(['b', 'B'])))
            }
            _ => Token::Word(word),
        }
    }

    /// The rest of a string whose first quote was read.
    fn string(&mut self, quote: char, is_formatted: bool) -> Option<&'a str> {
        let is_quote = |(_, character): &(usize, char)| *character == quote;
        let mut is_long = false;
        if self.rest.next_if(is_quote).is_some() {
            if self.rest.next_if(is_quote).is_none() {
                return Some("");
            }
            is_long = true;
        }
        let start = self.place();
        let mut is_plain = true;
        let mut quotes = 0;
        while let Some((at, character)) = self.rest.next() {
            quotes = if character == quote { quotes + 1 } else { 0 };
            match character {
                '\\' => {
                    is_plain = false;
                    self.rest.next();
                }
                '{' if is_formatted => {
                    is_plain = false;
                    if self.rest.next_if(|(_, next)| *next == '{').is_none() {
                        self.expression();
                    }
                }
                // A string of one line that is not closed ends with it.
                '\n' if !is_long => return None,
                _ if quotes == if is_long { 3 } else { 1 } => {
                    let end = at.saturating_sub(quotes - 1);
                    return self.text.get(start..end).filter(|_| is_plain);
                }
                _ => {}
            }
        }
        None
    }

    /// The rest of an expression in a formatted string: it has brackets and strings of its own, and behind a colon a format,
    /// where a quote is a quote.
    fn expression(&mut self) {
        let mut open = vec![('{', false)];
        while let (Some((_, character)), Some((bracket, is_format))) = (self.rest.next(), open.last_mut()) {
            match character {
                '{' | '[' | '(' => open.push((character, false)),
                '}' | ']' | ')' => {
                    open.pop();
                }
                ':' if *bracket == '{' => *is_format = true,
                '"' | '\'' if !*is_format => {
                    self.string(character, false);
                }
                _ => {}
            }
            if open.is_empty() {
                return;
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let (at, character) = self.rest.next()?;
            match character {
                '#' => self.skip_line(),
                '\\' => {
                    // The line goes on.
                    self.rest.next_if(|(_, next)| *next == '\r');
                    self.rest.next_if(|(_, next)| *next == '\n');
                }
                '\n' if self.open == 0 => return Some(Token::End),
                '"' | '\'' => return Some(Token::Text(self.string(character, false))),
                space if space.is_whitespace() || space == '\u{feff}' => {}
                first if is_of_word(first) => return Some(self.word(at)),
                mark => {
                    match mark {
                        '(' | '[' | '{' => self.open += 1,
                        ')' | ']' | '}' => self.open = self.open.saturating_sub(1),
                        _ => {}
                    }
                    return Some(Token::Mark(mark));
                }
            }
        }
    }
}

fn is_of_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// True for what may stand right before a string.
fn is_prefix(word: &str) -> bool {
    word.len() <= 2 && word.chars().all(|letter| "rRbBuUfFtT".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::Token::{End, Mark, Text, Word};
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        Tokens::new(text).collect()
    }

    #[test]
    fn strings_of_every_kind_are_one_token() {
        assert_eq!(
            tokens("'a' \"b\" '' r'c\\'d' b'e'"),
            [Text(Some("a")), Text(Some("b")), Text(Some("")), Text(None), Text(None)]
        );
        assert_eq!(tokens("'''a\n'b' \"c\" ''d''' x"), [Text(Some("a\n'b' \"c\" ''d")), Word("x")]);
        assert_eq!(tokens("\"\"\"it's\\\"\"\"\"; x"), [Text(None), Mark(';'), Word("x")]);
        assert_eq!(tokens("\"\"\"\"a\"\"\" x"), [Text(Some("\"a")), Word("x")]);
        assert_eq!(tokens("'open\nx"), [Text(None), Word("x")]);
        assert_eq!(tokens("'''open\nx"), [Text(None)]);
    }

    #[test]
    fn what_stands_in_a_formatted_string_is_a_part_of_it() {
        assert_eq!(tokens("f'{x}' y"), [Text(None), Word("y")]);
        assert_eq!(tokens("f'{d['import a']:{w}} {{' y"), [Text(None), Word("y")]);
        assert_eq!(tokens("rf\"{'}'}\" y"), [Text(None), Word("y")]);
        assert_eq!(tokens("f\"{x:'>{w}}\" y"), [Text(None), Word("y")]);
    }

    #[test]
    fn lines_go_on_within_brackets_and_after_a_backslash() {
        assert_eq!(
            tokens("(a,  # b\n c)\nd \\\n e\n"),
            [Mark('('), Word("a"), Mark(','), Word("c"), Mark(')'), End, Word("d"), Word("e"), End]
        );
        assert_eq!(tokens("a\\\r\nb"), [Word("a"), Word("b")]);
    }
}

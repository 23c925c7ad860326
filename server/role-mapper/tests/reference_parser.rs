//! graphql-engine has its own parser. The role mapper must see every root field that graphql-engine would execute.
//! Otherwise a text could get a role for some fields and an answer with other fields.
//!
//! `Hasura` follows the grammar of that parser (<https://github.com/hasura/graphql-parser-hs>), which has no tokens: it
//! accepts keywords at the beginning of longer words (`queryA`), and backtracks when an alternative fails midway.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use terrace_role_mapper::{Allowed, root_fields};

enum Selection {
    Field(String),
    Inline(Vec<Selection>),
    Spread(String),
}

#[derive(Default)]
struct Hasura {
    text: Vec<char>,
    at: usize,
    operations: Vec<(&'static str, Vec<Selection>)>,
    fragments: BTreeMap<String, Vec<Selection>>,
}

fn is_first(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_next(c: char) -> bool {
    is_first(c) || c.is_ascii_digit()
}

impl Hasura {
    /// The kind of operation that it would execute, and the root fields; `None` if it would refuse the text.
    fn executes(text: &str) -> Option<(&'static str, BTreeSet<String>)> {
        let mut reader = Self { text: text.chars().collect(), ..Self::default() };
        reader.blank();
        while reader.at < reader.text.len() {
            reader.definition()?;
        }
        let [(kind, selections)] = &reader.operations[..] else { return None };
        let (mut fields, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut open: Vec<&Selection> = selections.iter().collect();
        while let Some(selection) = open.pop() {
            match selection {
                Selection::Field(name) => drop(fields.insert(name.clone())),
                Selection::Inline(inner) => open.extend(inner),
                Selection::Spread(name) if seen.insert(name) => open.extend(reader.fragments.get(name)?),
                Selection::Spread(_) => {}
            }
        }
        Some((kind, fields))
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) -> usize {
        let begin = self.at;
        while self.peek().is_some_and(&is_skipped) {
            self.at += 1;
        }
        self.at - begin
    }

    fn blank(&mut self) {
        loop {
            self.skip(|c| matches!(c, '\t' | ' ' | '\n' | '\r' | ','));
            if self.peek() != Some('#') {
                return;
            }
            self.skip(|c| c != '\n' && c != '\r');
        }
    }

    /// Tries an alternative, and restores the position if it fails.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let begin = self.at;
        let done = read(self);
        if done.is_none() {
            self.at = begin;
        }
        done
    }

    fn exactly(&mut self, word: &str) -> Option<()> {
        let length = word.chars().count();
        let is_match = self.text.get(self.at..self.at + length)?.iter().copied().eq(word.chars());
        is_match.then(|| self.at += length)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.exactly(word)?;
        self.blank();
        Some(())
    }

    /// A word that ends here.
    fn whole(&mut self, word: &str) -> Option<()> {
        self.attempt(|it| {
            it.exactly(word)?;
            let goes_on = it.peek().is_some_and(is_next);
            (!goes_on).then(|| it.blank())
        })
    }

    fn name(&mut self) -> Option<String> {
        let begin = self.at;
        if self.skip(is_first) == 0 {
            return None;
        }
        self.skip(is_next);
        let name = self.text[begin..self.at].iter().collect();
        self.blank();
        Some(name)
    }

    fn definition(&mut self) -> Option<()> {
        let typed = self.attempt(|it| {
            let kinds = ["query", "mutation", "subscription"];
            let kind = kinds.into_iter().find(|kind| it.word(kind).is_some())?;
            it.attempt(Self::name);
            it.attempt(Self::variables);
            it.directives();
            Some((kind, it.selections()?))
        });
        let operation = typed.or_else(|| self.attempt(|it| Some(("query", it.selections()?))));
        if let Some(operation) = operation {
            self.operations.push(operation);
            return Some(());
        }
        self.word("fragment")?;
        let name = self.name()?;
        self.word("on")?;
        self.name()?;
        self.directives();
        let selections = self.selections()?;
        // Either of two fragments with the same name may be used.
        self.fragments.entry(name).or_default().extend(selections);
        Some(())
    }

    fn selections(&mut self) -> Option<Vec<Selection>> {
        self.word("{")?;
        let mut all = Vec::new();
        while let Some(selection) = self.selection() {
            all.push(selection);
        }
        if all.is_empty() {
            return None;
        }
        self.word("}").map(|()| all)
    }

    fn selection(&mut self) -> Option<Selection> {
        let field = self.attempt(|it| {
            let mut name = it.name()?;
            if it.word(":").is_some() {
                name = it.name()?;
            }
            it.attempt(|it| it.fields("(", ")", true, 1));
            it.directives();
            it.attempt(Self::selections);
            Some(Selection::Field(name))
        });
        let inline = |it: &mut Self| {
            it.word("...")?;
            it.attempt(|it| {
                it.word("on")?;
                it.name()
            });
            it.directives();
            it.selections().map(Selection::Inline)
        };
        let spread = |it: &mut Self| {
            it.word("...")?;
            let name = it.name()?;
            it.directives();
            Some(Selection::Spread(name))
        };
        field.or_else(|| self.attempt(inline)).or_else(|| self.attempt(spread))
    }

    fn directives(&mut self) {
        let one = |it: &mut Self| {
            it.word("@")?;
            it.name()?;
            it.attempt(|it| it.fields("(", ")", true, 1));
            Some(())
        };
        while self.attempt(one).is_some() {}
    }

    fn variables(&mut self) -> Option<()> {
        let one = |it: &mut Self| {
            it.word("$")?;
            it.name()?;
            it.word(":")?;
            it.kind()?;
            it.attempt(|it| {
                it.word("=")?;
                it.value(false)
            });
            Some(())
        };
        self.word("(")?;
        self.attempt(one)?;
        while self.attempt(one).is_some() {}
        self.word(")")
    }

    fn kind(&mut self) -> Option<()> {
        let listed = self.attempt(|it| {
            it.word("[")?;
            it.kind()?;
            it.word("]")
        });
        listed.or_else(|| self.name().map(drop))?;
        let _ = self.word("!");
        Some(())
    }

    fn fields(&mut self, open: &str, close: &str, takes_variables: bool, least: usize) -> Option<()> {
        self.word(open)?;
        let mut names = Vec::new();
        let one = |it: &mut Self| {
            let name = it.name()?;
            it.word(":")?;
            it.value(takes_variables)?;
            Some(name)
        };
        while let Some(name) = self.attempt(one) {
            names.push(name);
        }
        let are_apart = names.iter().collect::<BTreeSet<_>>().len() == names.len();
        if names.len() < least || !are_apart {
            return None;
        }
        self.word(close)
    }

    fn value(&mut self, takes_variables: bool) -> Option<()> {
        let variable = |it: &mut Self| {
            it.word("$")?;
            it.name().map(drop)
        };
        let list = |it: &mut Self| {
            it.word("[")?;
            while it.attempt(|it| it.value(takes_variables)).is_some() {}
            it.word("]")
        };
        let mut found = takes_variables.then(|| self.attempt(variable)).flatten();
        found = found.or_else(|| self.attempt(Self::number));
        for word in ["null", "true", "false"] {
            found = found.or_else(|| self.whole(word));
        }
        found = found.or_else(|| self.attempt(Self::block)).or_else(|| self.attempt(Self::string));
        found = found.or_else(|| self.name().map(drop)).or_else(|| self.attempt(list));
        found = found.or_else(|| self.attempt(|it| it.fields("{", "}", takes_variables, 0)));
        found?;
        self.blank();
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let digit = |c: char| c.is_ascii_digit();
        if matches!(self.peek(), Some('+' | '-')) {
            self.at += 1;
        }
        if self.skip(digit) == 0 {
            return None;
        }
        if self.peek() == Some('.') {
            self.at += 1;
            self.skip(digit);
        }
        self.attempt(|it| {
            let is_exponent = matches!(it.peek(), Some('e' | 'E'));
            it.at += 1;
            if matches!(it.peek(), Some('+' | '-')) {
                it.at += 1;
            }
            (is_exponent && it.skip(digit) > 0).then_some(())
        });
        self.blank();
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        self.exactly("\"")?;
        let (begin, mut is_escaped) = (self.at, false);
        while let Some(c) = self.peek() {
            if c == '"' && !is_escaped {
                break;
            }
            is_escaped = c == '\\' && !is_escaped;
            self.at += 1;
        }
        let text: String = self.text[begin..self.at].iter().collect();
        self.exactly("\"")?;
        // The content has to be a valid JSON string.
        serde_json::from_str::<String>(&format!("\"{text}\"")).ok().map(drop)
    }

    fn block(&mut self) -> Option<()> {
        self.exactly("\"\"\"")?;
        let (mut quotes, mut escaped) = (0, None);
        while let Some(c) = self.peek() {
            self.at += 1;
            if let Some(count) = escaped {
                escaped = (c == '"' && count < 2).then_some(count + 1);
            } else if quotes == 0 && c == '\\' {
                escaped = Some(0);
            } else if c == '"' {
                quotes += 1;
            } else {
                quotes = 0;
            }
            if quotes == 3 {
                return Some(());
            }
        }
        None
    }
}

const TEXTS: [&str; 9] = [
    "{ orders(x: 1) { id } }",
    "query Q($a: [Int!]! = [1, 2]) { a: orders(where: {id: $a, s: \"x\"}) @include(if: $b) { id } items }",
    "{ ...F ...on query_root { b } } fragment F on query_root { c ...G } fragment G on Q { d @skip(if: true) }",
    "{ orders(a: \"} secrets {\", b: \"\\\" } # \\\\\") # secrets }\r items }",
    "{ orders(a: \"\"\" } secrets { \"\" \" \"\"\", b: \"\") { id } items(c: [\"\", \"\"]) }",
    "subscription S { orders } ",
    "mutation M($x: T = {a: \"\"\"b\"\"\"}) { insert(objects: [{a: 1.5e3, b: null, c: ENUM}]) { id } }",
    "{ on query fragment type null true ... @include(if: true) { z } ...onF } fragment onF on on { y }",
    "{ a(x: nullable, y: [true false null 0 -1]) b(z: {o: {p: [[$v]]}}) }",
];

const PARTS: [&str; 58] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "...",
    "..",
    ":",
    "!",
    "$",
    "@",
    "=",
    ",",
    " ",
    "\n",
    "\r",
    "\t",
    "#",
    "\"",
    "\"\"",
    "\"\"\"",
    "\"\"\"\"",
    "\\",
    "\\\"",
    "\\\\",
    "\\\"\"\"",
    "\\u0022",
    "\\u{22}",
    "\\ud83d",
    "query",
    "mutation",
    "subscription",
    "fragment",
    "on",
    "a",
    "F",
    "secrets",
    "x: ",
    "{ secrets }",
    "fragment F on Q { secrets }",
    "1",
    "01",
    "+1",
    "1.",
    "1e",
    "0x",
    "null",
    "true",
    "nullx",
    "...on",
    "...F",
    "@skip(if: true)",
    "\u{feff}",
    "\u{a0}",
    "\u{b}",
    "\u{2028}",
    "\0",
];

fn changed() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..3_usize, prop::sample::select(&PARTS[..]));
    (prop::sample::select(&TEXTS[..]), prop::collection::vec(change, 0..5)).prop_map(|(text, changes)| {
        let mut text: Vec<char> = text.chars().collect();
        for (at, removed, part) in changes {
            let at = at.index(text.len() + 1);
            let until = (at + removed).min(text.len());
            text.splice(at..until, part.chars());
        }
        text.into_iter().collect()
    })
}

/// Compares both parsers on a text; true if both accept it.
fn compare(text: &str) -> bool {
    let Some((kind, executed)) = Hasura::executes(text) else { return false };
    let all = Allowed { introspection: true, mutations: true, subscriptions: true };
    let Ok(mut seen) = root_fields(text, None, all) else { return false };
    // The role mapper checks these separately.
    seen.extend(["__typename", "__schema", "__type"].map(str::to_owned));
    assert!(executed.is_subset(&seen), "{text}: {executed:?} would be executed, but {seen:?} was checked");
    assert!(kind == "query" || root_fields(text, None, Allowed::default()).is_err(), "{text}: a {kind} passes");
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 4_096 } else { 1_000_000 }))]

    #[test]
    fn every_executed_field_was_checked(text in changed()) {
        compare(&text);
    }
}

#[test]
fn both_parsers_accept_valid_texts() {
    for text in TEXTS {
        assert!(compare(text), "{text}");
    }
    // If the parsers differ, the role mapper refuses.
    for text in ["queryA { a }", "{ a(x: 01) }", "{ a(x: 1b: 2) }", "{ a ...onF{ b } }", "{ a(x: \"\"\"\\\"\"\") }"] {
        assert!(!compare(text), "{text}");
    }
    assert_eq!(Hasura::executes("queryA{...onF{b}}").map(|it| it.1), Some(["b".to_owned()].into()));
}

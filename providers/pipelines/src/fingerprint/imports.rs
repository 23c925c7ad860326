//! What Python text imports, by its statements and by calls that name a module.
//!
//! What is imported in a branch that is never taken counts, too: a file too many makes a pipeline run once more, one too few
//! lets it stand on another program.

use super::python::{Token, Tokens};
use std::iter::Peekable;

/// The functions that import what their first argument says: `importlib.import_module`, `__import__`.
const CALLS: [&str; 2] = ["import_module", "__import__"];

/// What one text imports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Imports {
    pub(super) modules: Vec<Import>,
    /// A module is imported whose name only running it tells.
    pub(super) is_open: bool,
}

/// One import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Import {
    /// `from . import` is 1, `from .. import` is 2, what is searched for is 0.
    pub(super) ups: usize,
    /// The module: `a.b` in two parts; none of `from . import x`.
    pub(super) module: Vec<String>,
    /// What is taken from it, which may be modules, too.
    pub(super) names: Vec<String>,
    /// All is taken from it.
    pub(super) is_all: bool,
}

/// Reads a text.
pub(super) fn of(text: &str) -> Imports {
    let mut imports = Imports::default();
    let mut tokens = Tokens::new(text).peekable();
    // Only at the beginning of a statement: `yield from x` and `raise x from y` import nothing.
    let mut is_beginning = true;
    let mut open = 0_usize;
    while let Some(token) = tokens.next() {
        let was_beginning = std::mem::replace(&mut is_beginning, false);
        match token {
            Token::End => is_beginning = true,
            Token::Mark(';' | ':') if open == 0 => is_beginning = true,
            Token::Mark('(' | '[' | '{') => open += 1,
            Token::Mark(')' | ']' | '}') => open = open.saturating_sub(1),
            Token::Word("import") if was_beginning => plain(&mut tokens, &mut imports.modules),
            Token::Word("from") if was_beginning => imports.modules.extend(from(&mut tokens)),
            Token::Word(name) if CALLS.contains(&name) && tokens.next_if_eq(&Token::Mark('(')).is_some() => {
                open += 1;
                call(&mut tokens, &mut imports);
            }
            _ => {}
        }
    }
    imports
}

/// `a.b`; stops at what is none of it.
fn dotted(tokens: &mut Peekable<Tokens<'_>>) -> Vec<String> {
    let mut parts = Vec::new();
    while let Some(Token::Word(part)) = tokens.next_if(|token| matches!(token, Token::Word(word) if *word != "import"))
    {
        parts.push(part.to_owned());
        if tokens.next_if_eq(&Token::Mark('.')).is_none() {
            break;
        }
    }
    parts
}

/// What follows `import`: `a, b.c as d`.
fn plain(tokens: &mut Peekable<Tokens<'_>>, imports: &mut Vec<Import>) {
    loop {
        let module = dotted(tokens);
        if !module.is_empty() {
            imports.push(Import { module, ..Import::default() });
        }
        skip_alias(tokens);
        if tokens.next_if_eq(&Token::Mark(',')).is_none() {
            return;
        }
    }
}

/// What follows `from`: `..a.b import c as d, e`, with or without brackets.
fn from(tokens: &mut Peekable<Tokens<'_>>) -> Option<Import> {
    let mut import = Import::default();
    while tokens.next_if_eq(&Token::Mark('.')).is_some() {
        import.ups += 1;
    }
    import.module = dotted(tokens);
    tokens.next_if_eq(&Token::Word("import"))?;
    tokens.next_if_eq(&Token::Mark('('));
    loop {
        if tokens.next_if_eq(&Token::Mark('*')).is_some() {
            import.is_all = true;
        }
        if let Some(Token::Word(name)) = tokens.next_if(|token| matches!(token, Token::Word(_))) {
            import.names.push(name.to_owned());
        }
        skip_alias(tokens);
        if tokens.next_if_eq(&Token::Mark(',')).is_none() {
            break;
        }
    }
    tokens.next_if_eq(&Token::Mark(')'));
    Some(import)
}

fn skip_alias(tokens: &mut Peekable<Tokens<'_>>) {
    if tokens.next_if_eq(&Token::Word("as")).is_some() {
        tokens.next_if(|token| matches!(token, Token::Word(_)));
    }
}

/// The arguments of a call that imports: a text alone is the module's name.
fn call(tokens: &mut Peekable<Tokens<'_>>, imports: &mut Imports) {
    let name = match tokens.next_if(|token| matches!(token, Token::Text(Some(_)))) {
        Some(Token::Text(name)) => name,
        _ => None,
    };
    let is_alone = matches!(tokens.peek(), Some(Token::Mark(')' | ',')));
    match name.filter(|_| is_alone) {
        // A relative one is of the package that a second argument says; nearly always its own.
        Some(name) => {
            let module = name.trim_start_matches('.');
            imports.modules.push(Import {
                ups: name.len() - module.len(),
                module: module.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
                ..Import::default()
            });
        }
        None => imports.is_open = true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules as people write them.
    fn modules(text: &str) -> Vec<String> {
        let imports = of(text);
        let said = imports.modules.into_iter().map(|import| {
            let module = format!("{}{}", ".".repeat(import.ups), import.module.join("."));
            let all = if import.is_all { vec!["*".to_owned()] } else { Vec::new() };
            match [import.names, all].concat() {
                names if names.is_empty() => module,
                names => format!("{module}:{}", names.join(",")),
            }
        });
        said.chain(imports.is_open.then(|| "?".to_owned())).collect()
    }

    #[test]
    fn what_only_looks_like_an_import_is_none() {
        for text in [
            "x = 'import a'",
            "\"\"\"\nimport a\nfrom b import c\n\"\"\"",
            "# import a",
            "important = 1",
            "def f():\n    yield from a\n",
            "raise a from b",
            "x = \"\\\nimport a\"",
            "f'''\n{x}\nimport a\n'''",
        ] {
            assert_eq!(modules(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn imports_are_found_however_they_are_written() {
        assert_eq!(modules("import os, common.clean as clean  # both"), ["os", "common.clean"]);
        assert_eq!(modules("from a.b import c, d as e"), ["a.b:c,d"]);
        assert_eq!(modules("from a import (  # some\n    b,\n    c as d,\n)\nimport e"), ["a:b,c", "e"]);
        assert_eq!(modules("from a \\\n    import b, \\\n    c"), ["a:b,c"]);
        assert_eq!(modules("from . import a, b"), [".:a,b"]);
        assert_eq!(modules("from ...a.b import *"), ["...a.b:*"]);
        assert_eq!(modules("try: import a\nexcept ImportError: import b; import c"), ["a", "b", "c"]);
        assert_eq!(modules("if x[1:2]:\n\timport a\r\n"), ["a"]);
        assert_eq!(modules("\u{feff}import a"), ["a"]);
        assert_eq!(modules("x = 'it''s'; import a"), ["a"]);
    }

    #[test]
    fn calls_that_import_name_their_module_or_leave_it_open() {
        assert_eq!(modules("importlib.import_module('a.b')"), ["a.b"]);
        assert_eq!(modules("import_module(\n    '.b', __package__)"), [".b"]);
        assert_eq!(modules("m = __import__(\"a\")"), ["a"]);
        assert_eq!(modules("import_module(name)"), ["?"]);
        assert_eq!(modules("import_module('a.' + name)"), ["?"]);
        assert_eq!(modules("import_module(f'a.{name}')"), ["?"]);
        assert_eq!(modules("from importlib import import_module"), ["importlib:import_module"]);
    }

    #[test]
    fn what_is_no_python_ends() {
        for text in ["import", "from", "from .", "from a import (", "import a as", "((((", "f'{", "from import import"]
        {
            of(text);
        }
    }
}

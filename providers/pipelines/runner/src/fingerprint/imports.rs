//! Imports of Python code, by statements and by calls with the name of a module.
//!
//! Imports in branches that never run count too. An extra file only causes one more run, but a missing file would leave
//! a stale result.

use tree_sitter::{Node, Parser, TreeCursor};

/// Functions that import the module of their first argument: `importlib.import_module`, `__import__`.
const CALLS: [&str; 2] = ["import_module", "__import__"];

/// Imports of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Imports {
    pub(super) modules: Vec<Import>,
    /// A module is imported whose name is known only at run time.
    pub(super) is_open: bool,
}

/// An import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Import {
    /// `from . import` is 1, `from .. import` is 2, an absolute import is 0.
    pub(super) ups: usize,
    /// The module: `a.b` has two parts; `from . import x` has none.
    pub(super) module: Vec<String>,
    /// Imported names, which may be modules too.
    pub(super) names: Vec<String>,
    /// A wildcard import.
    pub(super) is_all: bool,
}

/// Parses a text. Imports of invalid Python are found as far as possible; Python itself reports the errors.
pub(super) fn of(text: &str) -> Imports {
    let text = text.trim_start_matches('\u{feff}');
    let mut parser = Parser::new();
    let language = tree_sitter_python::LANGUAGE.into();
    let Some(tree) = parser.set_language(&language).ok().and_then(|()| parser.parse(text, None)) else {
        return Imports { is_open: true, ..Imports::default() };
    };
    let mut imports = Imports::default();
    each(&mut tree.walk(), |node| match node.kind() {
        "import_statement" => {
            imports.modules.extend(names(node, text).map(|module| Import { module, ..Import::default() }))
        }
        "import_from_statement" => imports.modules.extend(from(node, text)),
        "call" if node.child_by_field_name("function").is_some_and(|function| imports_by_call(function, text)) => {
            match imported_module(node, text) {
                Some(module) => imports.modules.push(module),
                None => imports.is_open = true,
            }
        }
        _ => {}
    });
    imports
}

/// Visits all nodes, parents first. It uses no recursion, since a text may nest to any depth.
fn each<'t>(cursor: &mut TreeCursor<'t>, mut visit: impl FnMut(Node<'t>)) {
    loop {
        visit(cursor.node());
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// Text of a node.
fn node_text<'t>(node: Node<'_>, text: &'t str) -> &'t str {
    text.get(node.byte_range()).unwrap_or_default()
}

/// Splits `a.b` into its parts.
fn dotted(node: Node<'_>, text: &str) -> Vec<String> {
    node.named_children(&mut node.walk())
        .filter(|part| part.kind() == "identifier")
        .map(|part| node_text(part, text).to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Names after `import`, without aliases: `a.b as c`.
fn names(node: Node<'_>, text: &str) -> impl Iterator<Item = Vec<String>> {
    let all: Vec<_> = node
        .children_by_field_name("name", &mut node.walk())
        .map(|name| dotted(name.child_by_field_name("name").unwrap_or(name), text))
        .filter(|name| !name.is_empty())
        .collect();
    all.into_iter()
}

/// Parses `from ..a.b import c as d, e`, with or without brackets.
fn from(node: Node<'_>, text: &str) -> Option<Import> {
    let module = node.child_by_field_name("module_name")?;
    let mut import = Import::default();
    if module.kind() == "relative_import" {
        for part in module.named_children(&mut module.walk()) {
            match part.kind() {
                "import_prefix" => import.ups = node_text(part, text).matches('.').count(),
                _ => import.module = dotted(part, text),
            }
        }
    } else {
        import.module = dotted(module, text);
    }
    import.names = names(node, text).map(|name| name.concat()).collect();
    import.is_all = node.named_children(&mut node.walk()).any(|child| child.kind() == "wildcard_import");
    Some(import)
}

/// Returns true for functions that import: `import_module`, also as `importlib.import_module`.
fn imports_by_call(function: Node<'_>, text: &str) -> bool {
    let name = function.child_by_field_name("attribute").unwrap_or(function);
    CALLS.contains(&node_text(name, text))
}

/// Module of a call with a text as first argument. A relative name refers to the package in the second argument, which
/// is nearly always its own.
fn imported_module(call: Node<'_>, text: &str) -> Option<Import> {
    let arguments = call.child_by_field_name("arguments")?;
    let is_argument = |node: &Node<'_>| node.kind() != "comment";
    let first = arguments.named_children(&mut arguments.walk()).find(is_argument)?;
    let name = plain(first, text)?;
    let module = name.trim_start_matches('.');
    Some(Import {
        ups: name.len() - module.len(),
        module: module.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        ..Import::default()
    })
}

/// Content of a string literal; nothing for bytes, and for literals with escapes or expressions.
fn plain<'t>(node: Node<'_>, text: &'t str) -> Option<&'t str> {
    (node.kind() == "string" && !node.has_error()).then_some(())?;
    let mut content = "";
    for part in node.children(&mut node.walk()) {
        match part.kind() {
            "string_start" if node_text(part, text).contains(['b', 'B', 'f', 'F', 't', 'T']) => return None,
            "string_start" | "string_end" => {}
            "string_content" => content = node_text(part, text),
            _ => return None,
        }
    }
    (!content.contains('\\')).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Imports in the form of Python code.
    fn modules(text: &str) -> Vec<String> {
        let imports = of(text);
        let found = imports.modules.into_iter().map(|import| {
            let module = format!("{}{}", ".".repeat(import.ups), import.module.join("."));
            let all = if import.is_all { vec!["*".to_owned()] } else { Vec::new() };
            match [import.names, all].concat() {
                names if names.is_empty() => module,
                names => format!("{module}:{}", names.join(",")),
            }
        });
        found.chain(imports.is_open.then(|| "?".to_owned())).collect()
    }

    #[test]
    fn text_that_resembles_an_import_is_ignored() {
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
    fn all_forms_of_imports_are_found() {
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
    fn importing_calls_name_module_or_are_open() {
        assert_eq!(modules("importlib.import_module('a.b')"), ["a.b"]);
        assert_eq!(modules("import_module(\n    '.b', __package__)"), [".b"]);
        assert_eq!(modules("m = __import__(\"a\")"), ["a"]);
        assert_eq!(modules("import_module(name)"), ["?"]);
        assert_eq!(modules("import_module('a.' + name)"), ["?"]);
        assert_eq!(modules("import_module(f'a.{name}')"), ["?"]);
        assert_eq!(modules("from importlib import import_module"), ["importlib:import_module"]);
    }

    #[test]
    fn invalid_python_does_not_hang() {
        for text in ["import", "from", "from .", "from a import (", "import a as", "((((", "f'{", "from import import"]
        {
            of(text);
        }
    }

    #[test]
    fn syntax_error_elsewhere_hides_no_import() {
        assert_eq!(modules("import a\ndef f(:\n    pass\nimport b\n"), ["a", "b"]);
    }

    #[test]
    fn deeply_nested_text_is_parsed() {
        let deep = |count| format!("import a\nx = {}1{}\nimport b\n", "(".repeat(count), ")".repeat(count));
        assert_eq!(modules(&deep(100_000)), ["a", "b"]);
        of(&"(".repeat(100_000));
    }
}

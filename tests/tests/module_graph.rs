//! Circles of imports between the files of a crate. Files in a circle can only be read and changed together.

use crate::tidy::crates;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, thread};
use syn::visit::{self, Visit};
use terrace_tests::repository;

/// Most files that may import each other.
const MOST: usize = 3;

#[test]
fn files_import_each_other_in_small_circles_only() {
    // One thread a crate: a build without optimisation parses slowly.
    let checks: Vec<_> = crates().into_iter().map(|folder| thread::spawn(move || large_circles(&folder))).collect();
    let found: Vec<String> = checks.into_iter().flat_map(|check| check.join().unwrap()).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Returns a message for each circle of a crate that is larger than [`MOST`], with its edges.
fn large_circles(folder: &str) -> Vec<String> {
    let graph = Graph::of_crate(&repository().join(folder));
    let circles = graph.circles();
    let describe = |circle: &Vec<usize>| {
        let edges = graph.edges_within(circle);
        format!("{folder}: {} files import each other in a circle, at most {MOST} may:\n{edges}", circle.len())
    };
    circles.iter().filter(|circle| circle.len() > MOST).map(describe).collect()
}

#[test]
fn graph_follows_imports_to_the_file_of_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("lib.rs", "mod a; mod b; mod c; pub use {a::inner::Deep, c::f}; fn top() -> Deep { let f = b::made(); f }"),
        (
            "a.rs",
            "pub(crate) mod inner; use crate::b::{made, self}; use crate::c; #[cfg(test)] mod tests { use crate::c::C; }",
        ),
        (
            "a/inner.rs",
            "pub(in crate::c) struct Deep; macro_rules! m { () => {} } fn f() { println!(\"{}\", super::super::c::VALUE) }",
        ),
        ("b.rs", "use super::*; pub fn made() -> Deep { Deep } #[test] fn t() { crate::c::C; }"),
        (
            "c.rs",
            "pub struct C; pub const VALUE: u8 = 1; pub fn f() {} impl C { #[cfg(test)] fn only(_: crate::b::X) {} }",
        ),
    ];
    fs::create_dir_all(folder.path().join("src/a")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join("src").join(name), text).unwrap();
    }
    let graph = Graph::of_crate(folder.path());
    let edge = |(from, to): &(usize, usize)| format!("{} → {}", graph.name(*from), graph.name(*to));
    let edges: BTreeSet<String> = graph.edges.keys().map(edge).collect();
    let expected = ["a.rs → b.rs", "a/inner.rs → c.rs", "b.rs → a/inner.rs", "lib.rs → a/inner.rs", "lib.rs → b.rs"];
    assert_eq!(edges, expected.map(str::to_owned).into());
    assert_eq!(graph.circles(), [] as [Vec<usize>; 0]);
    fs::write(folder.path().join("src/c.rs"), "pub const VALUE: u8 = 1; type T = crate::a::inner::Deep;").unwrap();
    let graph = Graph::of_crate(folder.path());
    let circles = graph.circles();
    assert_eq!(circles.len(), 1, "a/inner.rs and c.rs");
    let edges = graph.edges_within(&circles[0]);
    assert_eq!(edges, "  a/inner.rs → c.rs: VALUE\n  c.rs → a/inner.rs: Deep\n");
}

/// The files of a crate, and the names that they use of each other.
struct Graph {
    folder: PathBuf,
    files: Vec<PathBuf>,
    modules: Vec<Module>,
    /// Paths in the code, with their modules.
    paths: Vec<(usize, Vec<String>)>,
    /// File that uses and file that defines, with the names.
    edges: BTreeMap<(usize, usize), BTreeSet<String>>,
}

struct Module {
    file: usize,
    root: usize,
    parent: usize,
    children: BTreeMap<String, usize>,
    items: BTreeMap<String, Item>,
    /// Paths of `use path::*`.
    globs: Vec<Vec<String>>,
}

enum Item {
    Defined,
    Imported(Vec<String>),
}

/// Meaning of a path.
enum Target {
    Module(usize),
    /// File that defines the item.
    File(usize),
}

impl Graph {
    /// Reads the library and the binary of a crate.
    fn of_crate(folder: &Path) -> Self {
        let folder = folder.join("src");
        let (files, modules, paths, edges) = Default::default();
        let mut graph = Self { folder, files, modules, paths, edges };
        for root in ["lib.rs", "main.rs"].map(|name| graph.folder.join(name)).into_iter().filter(|it| it.exists()) {
            let module = graph.modules.len();
            graph.read_file(root, module, module);
        }
        for (module, path) in std::mem::take(&mut graph.paths) {
            let from = graph.modules[module].file;
            if let Some(Target::File(to)) = graph.target(module, &path, 0)
                && to != from
            {
                graph.edges.entry((from, to)).or_default().extend(path.last().cloned());
            }
        }
        graph
    }

    fn name(&self, file: usize) -> String {
        self.files[file].strip_prefix(&self.folder).unwrap().display().to_string()
    }

    /// Reads the file of a new module, and returns the module.
    fn read_file(&mut self, path: PathBuf, root: usize, parent: usize) -> usize {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_root = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| path.ends_with(name));
        let folder = if is_root { path.parent().unwrap().to_owned() } else { path.with_extension("") };
        self.files.push(path);
        self.read_module(&parsed.items, &folder, self.files.len() - 1, root, parent)
    }

    fn read_module(&mut self, items: &[syn::Item], folder: &Path, file: usize, root: usize, parent: usize) -> usize {
        let module = self.modules.len();
        let (children, items_by_name, globs) = Default::default();
        self.modules.push(Module { file, root, parent, children, items: items_by_name, globs });
        for item in items {
            match item {
                syn::Item::Mod(item) if is_test(&item.attrs) => {}
                syn::Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let child = match &item.content {
                        Some((_, items)) => self.read_module(items, &folder.join(&name), file, root, module),
                        None => {
                            let paths = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
                            let path = paths.into_iter().find(|path| path.exists());
                            self.read_file(path.unwrap_or_else(|| panic!("no file of `mod {name}`")), root, module)
                        }
                    };
                    self.modules[module].children.insert(name, child);
                }
                item => Reader { graph: self, module }.visit_item(item),
            }
            if let Some(name) = defined_name(item) {
                self.modules[module].items.insert(name, Item::Defined);
            }
        }
        module
    }

    /// Finds the module or the file of an item. Returns nothing for items of other crates.
    fn target(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        if depth > 20 {
            return None;
        }
        let mut at = module;
        for (index, name) in path.iter().enumerate() {
            at = match name.as_str() {
                "crate" => self.modules[at].root,
                "self" => at,
                "super" => self.modules[at].parent,
                name => match self.member(at, name, index + 1 == path.len(), depth) {
                    Some(Target::Module(module)) => module,
                    Some(file) => return Some(file),
                    None if index == 0 => return None,
                    // A re-exported item of another crate, or an item that a macro generates.
                    None => return Some(Target::File(self.modules[at].file)),
                },
            };
        }
        Some(Target::Module(at))
    }

    /// Finds a name of a module. `is_item`: the last name of a path, where an item precedes a module of the same name.
    fn member(&self, module: usize, name: &str, is_item: bool, depth: usize) -> Option<Target> {
        let at = &self.modules[module];
        let child = at.children.get(name).map(|child| Target::Module(*child));
        if !is_item && child.is_some() {
            return child;
        }
        match at.items.get(name) {
            Some(Item::Defined) => return Some(Target::File(at.file)),
            Some(Item::Imported(path)) => return self.target(module, path, depth + 1),
            None if child.is_some() => return child,
            None => {}
        }
        at.globs.iter().find_map(|path| match self.target(module, path, depth + 1) {
            Some(Target::Module(other)) if other != module && depth < 20 => {
                self.member(other, name, is_item, depth + 1)
            }
            _ => None,
        })
    }

    /// Returns the groups of files that reach each other.
    fn circles(&self) -> Vec<Vec<usize>> {
        let reachable = |start: usize| {
            let mut seen = BTreeSet::new();
            let mut open = vec![start];
            while let Some(from) = open.pop() {
                let next = self.edges.range((from, 0)..(from + 1, 0)).map(|((_, to), _)| *to);
                open.extend(next.filter(|to| seen.insert(*to)));
            }
            seen
        };
        let reachable: Vec<BTreeSet<usize>> = (0..self.files.len()).map(reachable).collect();
        let circle =
            |file: usize| reachable[file].iter().copied().filter(|to| reachable[*to].contains(&file)).collect();
        let circles: BTreeSet<Vec<usize>> =
            (0..self.files.len()).map(circle).filter(|it: &Vec<_>| it.len() > 1).collect();
        circles.into_iter().collect()
    }

    /// Returns the edges within a circle, one a line.
    fn edges_within(&self, circle: &[usize]) -> String {
        let edges = self.edges.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
        let line = |((from, to), names): (&(usize, usize), &BTreeSet<String>)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("  {} → {}: {}\n", self.name(*from), self.name(*to), names.join(", "))
        };
        edges.map(line).collect()
    }
}

/// Collects the paths of an item.
struct Reader<'a> {
    graph: &'a mut Graph,
    module: usize,
}

impl Reader<'_> {
    /// Reads a tree of imports. Re-exports make no edges: users of the name depend on the file of the definition.
    fn read_use(&mut self, tree: &syn::UseTree, mut path: Vec<String>, is_private: bool) {
        let (name, original) = match tree {
            syn::UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                return self.read_use(&tree.tree, path, is_private);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.read_use(tree, path.clone(), is_private));
            }
            syn::UseTree::Glob(_) => return self.graph.modules[self.module].globs.push(path),
            syn::UseTree::Name(tree) => (tree.ident.to_string(), tree.ident.to_string()),
            syn::UseTree::Rename(tree) => (tree.rename.to_string(), tree.ident.to_string()),
        };
        let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name };
        if original != "self" || path.is_empty() {
            path.push(original);
        }
        if is_private {
            self.graph.paths.push((self.module, path.clone()));
        }
        self.graph.modules[self.module].items.entry(name).or_insert(Item::Imported(path));
    }

    /// Reads the paths in the arguments of a macro.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0; // since the last name
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_path(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.end_path(&mut path);
                    self.read_tokens(group.stream());
                }
                _ => self.end_path(&mut path),
            }
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Vec<String>) {
        // A name alone may be a variable or a field.
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.graph.paths.push((self.module, path));
        }
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item(&mut self, item: &'a syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.read_use(&item.tree, Vec::new(), matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_expr_path(&mut self, expression: &'a syn::ExprPath) {
        // A lowercase name alone is a variable, unless it is called.
        let is_variable = |name: &syn::Ident| name.to_string().starts_with(|first: char| first.is_lowercase());
        if !expression.path.get_ident().is_some_and(is_variable) {
            visit::visit_expr_path(self, expression);
        }
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func {
            self.visit_path(&function.path);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string());
            self.graph.paths.push((self.module, names.collect()));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        visit::visit_macro(self, item);
        self.read_tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.read_tokens(list.tokens.clone());
        }
    }

    fn visit_vis_restricted(&mut self, _: &'a syn::VisRestricted) {}
}

/// Whether the attributes restrict an item to tests.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => {
            let condition = list.tokens.to_string();
            list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all (test ,"))
        }
        syn::Meta::NameValue(_) => false,
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined_name(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

//! Text to something that can be evaluated: the path that it is, or a syntax tree in which each path that it reads
//! was replaced by a variable of its own.
//!
//! So evaluation hands over exactly what an expression reads (never a whole component because of one field), reads it
//! only when CEL gets there (`has(a.b) ? a.b : "none"`), and knows what was read.

use super::functions::{self, Style, environment};
use super::path::{self, is_type_name};
use super::syntax::{self, Fault};
use super::{Expression, Reference, ReferenceStep};
use crate::diagnostic::did_you_mean;
use crate::source::{Place, Span};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators};

/// The function that puts the keys of a map in order before anything walks over them; no person can write its name.
pub(super) const IN_ORDER: &str = "@in_order";

/// How an expression is evaluated.
#[derive(Debug)]
pub(super) enum Program {
    /// It is a path: the value is handed over as it is.
    Path(Reference),
    /// CEL decides.
    Cel(Cel),
}

/// A syntax tree over numbered paths.
#[derive(Debug)]
pub(super) struct Cel {
    /// The tree; a path is the variable that [`Use::variable`] names.
    pub(super) tree: IdedExpr,
    /// The paths.
    pub(super) paths: Vec<Reference>,
    /// The keys of the map literals, in the order written: results are put in that order.
    pub(super) keys: Vec<String>,
}

/// What the tree wants to know of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Its value.
    Value(usize),
    /// Whether it leads anywhere: `has(…)`.
    Presence(usize),
}

impl Use {
    /// The name of the variable; no person can write it.
    fn variable(self) -> String {
        match self {
            Self::Value(number) => format!("@{number}"),
            Self::Presence(number) => format!("?{number}"),
        }
    }

    /// What a variable's name stands for.
    pub(super) fn parse(variable: &str) -> Option<Self> {
        if let Some(number) = variable.strip_prefix('@') {
            return number.parse().ok().map(Self::Value);
        }
        variable.strip_prefix('?')?.parse().ok().map(Self::Presence)
    }
}

impl Expression {
    /// Compiles the text between `${{` and `}}`.
    ///
    /// # Errors
    /// When it is no CEL, or calls a function that there is not.
    pub(super) fn compile(text: &str, span: Span, place: Option<Place>) -> Result<Self, Fault> {
        let (program, references) = compile(text)?;
        Ok(Self { text: text.to_owned(), span, place, references, program, is_saved: false })
    }
}

fn compile(text: &str) -> Result<(Program, Vec<Reference>), Fault> {
    if text.is_empty() {
        return Err(Fault::new(0, "the expression is empty").hint("write `$${{` for a literal `${{`"));
    }
    if let Some(path) = path::parse(text) {
        let mut references = Vec::new();
        note(&mut references, &path);
        return Ok((Program::Path(path), references));
    }
    syntax::check_depth(text)?;
    let parsed = environment().parser().parse_with_source_info(text);
    let (mut tree, source) = parsed.map_err(|errors| syntax::fault_of(text, &errors))?;
    let mut reader = Reader { text, source: &source, bound: Vec::new(), paths: Vec::new(), keys: Vec::new() };
    reader.visit(&mut tree)?;
    let Reader { paths, keys, .. } = reader;
    let mut references = Vec::new();
    paths.iter().for_each(|path| note(&mut references, path));
    Ok((Program::Cel(Cel { tree, paths, keys }), references))
}

/// Adds a path and the paths within it, each once.
fn note(references: &mut Vec<Reference>, path: &Reference) {
    if !references.contains(path) {
        references.push(path.clone());
    }
    for step in &path.steps {
        if let ReferenceStep::Path(inner) = step {
            note(references, inner);
        }
    }
}

/// Reads paths off a tree and puts variables in their place.
struct Reader<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    /// The variables of the comprehensions around.
    bound: Vec<String>,
    paths: Vec<Reference>,
    keys: Vec<String>,
}

impl Reader<'_> {
    fn visit(&mut self, node: &mut IdedExpr) -> Result<(), Fault> {
        if let Some(path) = self.path_of(&node.expr) {
            node.expr = Expr::Ident(Use::Value(self.number(path)).variable());
            return Ok(());
        }
        let at = self.byte_of(node.id);
        match &mut node.expr {
            Expr::Select(select) => {
                if let Some(path) = self.tested_path(select) {
                    node.expr = Expr::Ident(Use::Presence(self.number(path)).variable());
                    return Ok(());
                }
                self.visit(&mut select.operand)
            }
            Expr::Call(call) => self.visit_call(call, at),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    if let Expr::Literal(LiteralValue::String(key)) = &entry.key.expr {
                        self.keys.push(key.inner().to_owned());
                    }
                    self.visit(&mut entry.key)?;
                    self.visit(&mut entry.value)
                }
                EntryExpr::StructField(_) => Err(Fault::new(at, "a map is written `{\"key\": value}`")),
            }),
            Expr::Comprehension(comprehension) => {
                self.visit(&mut comprehension.iter_range)?;
                self.visit(&mut comprehension.accu_init)?;
                if !matches!(comprehension.iter_range.expr, Expr::List(_)) {
                    let range = std::mem::take(&mut comprehension.iter_range);
                    let id = range.id;
                    let call = CallExpr { func_name: IN_ORDER.to_owned(), target: None, args: vec![range] };
                    comprehension.iter_range = IdedExpr { id, expr: Expr::Call(call) };
                }
                let outer = self.bound.len();
                self.bound.extend([comprehension.iter_var.clone(), comprehension.accu_var.clone()]);
                self.bound.extend(comprehension.iter_var2.clone());
                let visited = [&mut comprehension.loop_cond, &mut comprehension.loop_step, &mut comprehension.result]
                    .into_iter()
                    .try_for_each(|part| self.visit(part));
                self.bound.truncate(outer);
                visited
            }
            Expr::Struct(message) => {
                let name = &message.type_name;
                Err(Fault::new(at, format!("`{name}{{…}}` is no value")).hint("a map is written `{\"key\": value}`"))
            }
            Expr::Unspecified => Err(Fault::new(at, "the expression cannot be read")),
            Expr::Ident(_) | Expr::Literal(_) => Ok(()),
        }
    }

    fn visit_call(&mut self, call: &mut CallExpr, at: usize) -> Result<(), Fault> {
        match &mut call.target {
            Some(target) => match namespace(target) {
                Some(namespace) => self.check_name(&format!("{namespace}.{}", call.func_name), Style::Global, at)?,
                None => {
                    self.check_name(&call.func_name, Style::Member, at)?;
                    self.visit(target)?;
                }
            },
            None => self.check_name(&call.func_name, Style::Global, at)?,
        }
        call.args.iter_mut().try_for_each(|argument| self.visit(argument))
    }

    /// Refuses functions that there are not. Operators, and what macros expand to, have names that begin otherwise.
    fn check_name(&self, name: &str, style: Style, at: usize) -> Result<(), Fault> {
        if name.contains('@') || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(());
        }
        let mut named = functions::FUNCTIONS.iter().filter(|function| function.name == name).peekable();
        let Some(first) = named.peek() else {
            let known = functions::FUNCTIONS.iter().map(|function| function.name);
            let fault = Fault::new(at, format!("there is no function `{name}`"));
            return Err(Fault { hint: did_you_mean(name, known), ..fault });
        };
        let signature = first.signature;
        if named.any(|function| function.style == style || function.style == Style::Both) {
            return Ok(());
        }
        Err(Fault::new(at, format!("`{name}` cannot be called like this")).hint(format!("write `{signature}`")))
    }

    /// The path that a tree is; the variables of comprehensions begin none.
    fn path_of(&self, tree: &Expr) -> Option<Reference> {
        match tree {
            Expr::Ident(name) => {
                let root = name.strip_prefix('.').unwrap_or(name);
                let is_variable = !self.bound.contains(name) && !is_type_name(root) && !root.starts_with('@');
                is_variable.then(|| Reference { root: root.to_owned(), steps: Vec::new() })
            }
            Expr::Select(SelectExpr { operand, field, test: false }) => {
                let mut path = self.path_of(&operand.expr)?;
                path.steps.push(ReferenceStep::Key(field.clone()));
                Some(path)
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
                let [base, index] = call.args.as_slice() else { return None };
                let mut path = self.path_of(&base.expr)?;
                path.steps.push(match &index.expr {
                    Expr::Literal(LiteralValue::String(key)) => ReferenceStep::Key(key.inner().to_owned()),
                    Expr::Literal(LiteralValue::Int(index)) => ReferenceStep::Index(*index.inner()),
                    computed => ReferenceStep::Path(Box::new(self.path_of(computed)?)),
                });
                Some(path)
            }
            _ => None,
        }
    }

    /// The path that `has(…)` asks for.
    fn tested_path(&self, select: &SelectExpr) -> Option<Reference> {
        let mut path = self.path_of(&select.operand.expr).filter(|_| select.test)?;
        path.steps.push(ReferenceStep::Key(select.field.clone()));
        Some(path)
    }

    fn number(&mut self, path: Reference) -> usize {
        match self.paths.iter().position(|known| *known == path) {
            Some(number) => number,
            None => {
                self.paths.push(path);
                self.paths.len() - 1
            }
        }
    }

    /// The byte at which a node stands; the parser counts characters.
    fn byte_of(&self, id: u64) -> usize {
        let characters = self.source.offset_for(id).map_or(0, |(start, _)| start as usize);
        self.text.char_indices().nth(characters).map_or(0, |(byte, _)| byte)
    }
}

/// The namespace that a call's target names: `math` in `math.greatest(…)`.
fn namespace(target: &IdedExpr) -> Option<&str> {
    match &target.expr {
        Expr::Ident(name) => functions::NAMESPACES.contains(&name.as_str()).then_some(name),
        _ => None,
    }
}

//! Compilation of an expression's text: into a path, or into a syntax tree whose paths were replaced by numbered
//! variables.
//!
//! So evaluation passes only the values that the expression reads (never a whole component for a single field). It
//! reads a value only when CEL reaches it (`has(a.b) ? a.b : "none"`), and knows which values were read.

pub(super) use super::program::Cel;
pub(super) use super::variable::{IN_ORDER, Use};

use super::budget;
use super::budget_checks::{add_call_check, add_element_checks, literal_size};
use super::call::Call;
use super::functions::{self, Style, environment};
use super::needed;
use super::path::{self, is_type_name};
use super::program::{Compiled, Program};
use super::stack::with_stack;
use super::syntax::{self, Fault};
use super::tree::{is_variable, namespace, wrap};
use super::variable::{AS_TEXT, KEY};
use super::{Expression, Reference, ReferenceStep};
use crate::diagnostic::did_you_mean;
use crate::source::{Place, Span};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, MapExpr, SelectExpr, SourceInfo, operators};
use std::sync::{LazyLock, OnceLock};

/// Functions whose result contains items of their target.
const MAKES_LISTS: [&str; 8] = ["distinct", "flatten", "or", "orValue", "reverse", "slice", "sort", "value"];

/// The stack that evaluation needs for each level of a tree. In release builds a level takes 2.5 kB (`resolve_val` of
/// `cel` 0.15 with its collection of arguments); the value has a factor of three as margin. A deeper tree needs a new
/// thread for each evaluation, which takes longer than most evaluations, so realistic expressions must fit on the
/// current stack.
const LEVEL: usize = if cfg!(debug_assertions) { 64 * 1024 } else { 8 * 1024 };

impl Expression {
    /// Compiles the text between `${{` and `}}`.
    ///
    /// # Errors
    /// When the text is not valid CEL, or calls an unknown function.
    pub(super) fn compile(text: &str, span: Span, place: Option<Place>) -> Result<Self, Fault> {
        let compiled = OnceLock::from(compile(text)?);
        Ok(Self { text: text.to_owned(), span, place, compiled, is_saved: false })
    }

    /// An expression that is compiled at its first use.
    pub(super) fn compile_later(text: &str, span: Span, place: Option<Place>) -> Self {
        Self { text: text.to_owned(), span, place, compiled: OnceLock::new(), is_saved: false }
    }

    /// The paths that it reads, as far as its text shows. Paths within `[…]` are listed separately, too.
    pub fn references(&self) -> &[Reference] {
        &self.compiled().references
    }

    /// How it is evaluated.
    pub(super) fn program(&self) -> &Program {
        &self.compiled().program
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get().unwrap_or_else(|| self.keep(compile(&self.text)))
    }

    /// Keeps the compiled form, or the lasting error of the text. After a temporary failure, the next use compiles again.
    fn keep(&self, result: Result<Compiled, Fault>) -> &Compiled {
        static NO_STACK: LazyLock<Compiled> = LazyLock::new(|| invalid(syntax::no_stack()));
        match result {
            Err(fault) if fault.is_temporary => &NO_STACK,
            result => self.compiled.get_or_init(|| result.unwrap_or_else(invalid)),
        }
    }
}

fn invalid(fault: Fault) -> Compiled {
    Compiled { references: Vec::new(), program: Program::Invalid(fault) }
}

fn compile(text: &str) -> Result<Compiled, Fault> {
    if text.is_empty() {
        return Err(Fault::new(0, "the expression is empty").hint("write `$${{` for a literal `${{`"));
    }
    if let Some(path) = path::parse(text) {
        let mut references = Vec::new();
        note(&mut references, &path);
        references.shrink_to_fit();
        return Ok(Compiled { references, program: Program::Path(path) });
    }
    let stack = syntax::needed_stack(text)?;
    let cel = with_stack(stack, || compile_cel(text)).unwrap_or_else(|| Err(syntax::no_stack()))?;
    let mut references = Vec::new();
    cel.paths.iter().for_each(|path| note(&mut references, path));
    references.shrink_to_fit();
    Ok(Compiled { references, program: Program::Cel(cel) })
}

fn compile_cel(text: &str) -> Result<Cel, Fault> {
    let parsed = environment().parser().parse_with_source_info(text);
    let (mut tree, source) = parsed.map_err(|errors| syntax::fault_of(text, &errors))?;
    let mut reader = Reader {
        text,
        source: &source,
        bound: Vec::new(),
        paths: Vec::new(),
        keys: Vec::new(),
        named_by: Vec::new(),
        depth: 0,
        deepest: 0,
    };
    reader.visit(&mut tree)?;
    let Reader { paths, keys, named_by, deepest, .. } = reader;
    let (needed, call) = (needed::of(&tree, paths.len()), Call::of(&tree));
    Ok(Cel { tree, paths, needed, call, keys, named_by, stack: deepest * LEVEL })
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

/// Replaces the paths in a tree by variables.
struct Reader<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    /// The variables of the surrounding comprehensions.
    bound: Vec<String>,
    paths: Vec<Reference>,
    keys: Vec<String>,
    named_by: Vec<String>,
    /// The current and the maximum depth in the tree.
    depth: usize,
    deepest: usize,
}

impl Reader<'_> {
    fn visit(&mut self, node: &mut IdedExpr) -> Result<(), Fault> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let visited = self.visit_inner(node);
        self.depth -= 1;
        visited
    }

    fn visit_inner(&mut self, node: &mut IdedExpr) -> Result<(), Fault> {
        if let Some(path) = self.path_of(&node.expr) {
            node.expr = Expr::Ident(Use::Value(self.number(path)).variable());
            return Ok(());
        }
        if let Some((path, first)) = self.optional_path(&node.expr) {
            node.expr = Expr::Ident(Use::Optional(self.number(path), first).variable());
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
            Expr::Call(call) => {
                self.visit_call(call, at)?;
                if MAKES_LISTS.contains(&call.func_name.as_str()) {
                    wrap(node, budget::CHARGE_COPY);
                }
                Ok(())
            }
            Expr::List(list) => {
                // The budget check around each element is a further call.
                self.depth += 1;
                list.elements.iter_mut().try_for_each(|element| self.visit(element))?;
                self.depth -= 1;
                add_element_checks(list.elements.iter_mut().collect(), 0);
                Ok(())
            }
            Expr::Map(map) => self.visit_map(map, at),
            Expr::Comprehension(comprehension) => {
                // A comprehension takes several calls of the evaluator: its own, its loop's, and the sorting of its
                // range.
                self.depth += 3;
                self.visit(&mut comprehension.iter_range)?;
                self.visit(&mut comprehension.accu_init)?;
                wrap(&mut comprehension.iter_range, IN_ORDER);
                let outer = self.bound.len();
                self.bound.extend([comprehension.iter_var.clone(), comprehension.accu_var.clone()]);
                self.bound.extend(comprehension.iter_var2.clone());
                let visited = [&mut comprehension.loop_cond, &mut comprehension.loop_step, &mut comprehension.result]
                    .into_iter()
                    .try_for_each(|part| self.visit(part));
                self.bound.truncate(outer);
                self.depth -= 3;
                if !matches!(comprehension.accu_init.expr, Expr::Literal(_) | Expr::List(_)) {
                    wrap(node, budget::CHARGE_COPY);
                }
                visited
            }
            Expr::Struct(message) => {
                let name = &message.type_name;
                Err(Fault::new(at, format!("`{name}{{…}}` is not a value")).hint("write a map as `{\"key\": value}`"))
            }
            Expr::Unspecified => Err(Fault::new(at, "the expression cannot be read")),
            Expr::Ident(_) | Expr::Literal(_) => Ok(()),
        }
    }

    fn visit_map(&mut self, map: &mut MapExpr, at: usize) -> Result<(), Fault> {
        let (mut values, mut keys) = (Vec::with_capacity(map.entries.len()), 0);
        self.depth += 1;
        for entry in &mut map.entries {
            let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                return Err(Fault::new(at, "write a map as `{\"key\": value}`"));
            };
            if let Expr::Literal(LiteralValue::String(key)) = &entry.key.expr {
                self.keys.push(key.inner().to_owned());
            }
            self.visit(&mut entry.key)?;
            self.visit(&mut entry.value)?;
            match literal_size(&entry.key) {
                Some(size) => keys += size,
                None => wrap(&mut entry.key, budget::CHARGE_COPY),
            }
            values.push(&mut entry.value);
        }
        self.depth -= 1;
        add_element_checks(values, keys);
        Ok(())
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
        if let ("identities" | "identity", Some(Expr::Literal(LiteralValue::String(provider)))) =
            (call.func_name.as_str(), call.args.last().map(|argument| &argument.expr))
        {
            self.named_by.push(provider.inner().to_owned());
        }
        call.args.iter_mut().try_for_each(|argument| self.visit(argument))?;
        add_call_check(call);
        if let ("string", None, Some(value)) = (call.func_name.as_str(), &call.target, call.args.first_mut()) {
            wrap(value, AS_TEXT);
        }
        if let (operators::INDEX, [base, index]) = (call.func_name.as_str(), call.args.as_mut_slice())
            && is_variable(&base.expr)
            && !matches!(index.expr, Expr::Literal(_))
        {
            wrap(index, KEY);
            if let Expr::Call(call) = &mut index.expr {
                call.args.insert(0, base.clone());
            }
        }
        // A loop that appends to its result keeps its operator: the cel crate recognises the form and appends without
        // copying.
        if call.func_name == operators::ADD && !call.args.first().is_some_and(|left| is_result(&left.expr)) {
            call.func_name = budget::ADD.to_owned();
        }
        Ok(())
    }

    /// Refuses unknown functions. Names of operators and of macro expansions start differently.
    fn check_name(&self, name: &str, style: Style, at: usize) -> Result<(), Fault> {
        if name.contains('@') || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(());
        }
        // For `math.greatest` the place is that of the last word.
        let length = name.rsplit('.').next().unwrap_or(name).len();
        let mut named = functions::FUNCTIONS.iter().filter(|function| function.name == name).peekable();
        let Some(first) = named.peek() else {
            let known = functions::FUNCTIONS.iter().map(|function| function.name);
            let fault = Fault::new(at, format!("there is no function `{name}`")).long(length);
            return Err(Fault { hint: did_you_mean(name, known), ..fault });
        };
        let signature = first.signature;
        if named.any(|function| function.style == style || function.style == Style::Both) {
            return Ok(());
        }
        Err(Fault::new(at, format!("`{name}` cannot be called like this"))
            .long(length)
            .hint(format!("write `{signature}`")))
    }

    /// The path that a tree consists of. Variables of comprehensions are not paths.
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

    /// The path of `a.b.?c` or `a.b[?0]`, and the number of steps before the first optional one. CEL evaluates those
    /// with a computed step.
    fn optional_path(&self, tree: &Expr) -> Option<(Reference, usize)> {
        let Expr::Call(CallExpr { func_name, target: None, args }) = tree else { return None };
        let [base, step] = args.as_slice() else { return None };
        if func_name != operators::OPT_SELECT && func_name != operators::OPT_INDEX {
            return None;
        }
        let step = match &step.expr {
            Expr::Literal(LiteralValue::String(key)) => ReferenceStep::Key(key.inner().to_owned()),
            Expr::Literal(LiteralValue::Int(index)) => ReferenceStep::Index(*index.inner()),
            _ => return None,
        };
        let before = || {
            let path = self.path_of(&base.expr)?;
            let first = path.steps.len();
            Some((path, first))
        };
        let (mut path, first) = self.optional_path(&base.expr).or_else(before)?;
        if path.steps.iter().any(|step| matches!(step, ReferenceStep::Path(_))) {
            return None;
        }
        path.steps.push(step);
        Some((path, first))
    }

    /// The path within `has(…)`.
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

    /// The byte of a node. For a call it is the byte of its name instead of its bracket, which the parser records.
    fn byte_of(&self, id: u64) -> usize {
        let at = self.source.offset_for(id).map_or(0, |(start, _)| start as usize);
        match self.text.split_at_checked(at) {
            Some((before, after)) if after.starts_with('(') => {
                before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
            }
            _ => at,
        }
    }
}

/// True for the accumulator of a loop. Users cannot write its name.
fn is_result(tree: &Expr) -> bool {
    matches!(tree, Expr::Ident(name) if name.starts_with('@') && Use::parse(name).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_failure_is_not_kept() {
        let later = |text| Expression::compile_later(text, Span::default(), None);
        let expression = later("1 + 1");
        assert!(matches!(expression.keep(Err(syntax::no_stack())).program, Program::Invalid(_)));
        assert!(matches!(expression.program(), Program::Cel(_)));
        let wrong = later("1 +");
        assert!(matches!(wrong.program(), Program::Invalid(_)) && wrong.compiled.get().is_some());
    }
}

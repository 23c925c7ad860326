//! Evaluation of an expression in a scope.

use super::bridge::{self, Touched};
use super::budget::{self, Budgets, with_budget};
use super::failure::{self, Failure};
use super::functions::Functions;
use super::needed::Needed;
use super::program::{Cel, Program};
use super::stack::with_stack;
use super::syntax::Fault;
use super::variable::Use;
use super::{Expression, Missing, Reference, Scope};
use crate::diagnostic::Diagnostic;
use crate::quick::QuickMap;
use cel::common::types::{CelBool, CelOptional};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use terrace_provider::Value;

/// Evaluates with that many bytes of stack. A new thread inherits the budgets of this one.
fn evaluate_with_stack<T: Send>(bytes: usize, evaluate: impl FnOnce() -> T + Send) -> Option<T> {
    let before = Budgets::of_thread();
    let (answer, after) = with_stack(bytes, || {
        before.resume();
        let answer = with_budget(evaluate);
        (answer, Budgets::of_thread())
    })?;
    after.resume();
    Some(answer)
}

impl Expression {
    /// Returns the value.
    ///
    /// # Errors
    /// When it cannot be computed. The diagnostic points at the expression and quotes no sensitive value.
    pub(super) fn evaluate(&self, scope: &dyn Scope, functions: &Functions) -> Result<Value, Diagnostic> {
        let answer = match self.program() {
            Program::Path(path) => match path.read(scope) {
                Ok(read) => budget::charge_result_value(&read.value).map_err(Failure::from).map(|()| {
                    match read.value.into_owned() {
                        value if read.is_key_sensitive => Value::sensitive(value),
                        value => value,
                    }
                }),
                Err(missing) => Err(Failure::from(missing)),
            },
            Program::Cel(program) => {
                match program.call.as_ref().and_then(|call| call.evaluate(program, scope, functions)) {
                    Some(value) => Ok(value),
                    None => evaluate_with_stack(program.stack, || program.evaluate(scope, functions))
                        .unwrap_or_else(|| Err(Failure::new("not enough memory for a computation this deep"))),
                }
            }
            Program::Invalid(fault) => return Err(self.diagnose_fault(fault)),
        };
        answer.map_err(|failure| self.diagnose("expression_failed", failure.message).maybe_hint(failure.hint))
    }

    /// The error of an invalid expression.
    pub(crate) fn fault(&self) -> Option<Diagnostic> {
        match self.program() {
            Program::Invalid(fault) => Some(self.diagnose_fault(fault)),
            Program::Path(_) | Program::Cel(_) => None,
        }
    }

    fn diagnose_fault(&self, fault: &Fault) -> Diagnostic {
        self.diagnose("expression_syntax", &fault.message).maybe_hint(fault.hint.clone())
    }

    /// An error at this expression.
    pub(super) fn diagnose(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        if !self.is_saved {
            return Diagnostic::error(code, message).at(self.span);
        }
        // The source text is not loaded, so the message quotes the expression.
        let diagnostic = Diagnostic::error(code, format!("`{}`: {}", self.text, message.into()));
        match &self.place {
            Some(place) => diagnostic.at_place(place.clone()),
            None => diagnostic,
        }
    }
}

impl Cel {
    fn evaluate(&self, scope: &dyn Scope, functions: &Functions) -> Result<Value, Failure> {
        let touched = Touched::default();
        let variables = Variables {
            program: self,
            scope,
            read: self.paths.iter().map(|_| OnceLock::new()).collect(),
            touched: touched.clone(),
            is_sensitive: AtomicBool::new(false),
        };
        let mut context = functions.root().new_inner_scope();
        context.set_variable_resolver(&variables);
        let answer = cel::Value::resolve_val(&self.tree, &context);
        // Read the flags before the conversion below, which touches the answer.
        let is_unknown = touched.is_set();
        let is_sensitive = variables.is_sensitive.load(Ordering::Relaxed);
        let mut value = if is_unknown {
            Value::Unknown
        } else {
            match answer {
                Ok(answer) => bridge::from_cel(answer.as_ref(), &budget::charge_result)?,
                Err(error) => return Err(failure::describe(&error, |number| variables.missing(number), is_sensitive)),
            }
        };
        self.order(&mut value, scope);
        Ok(if is_sensitive { Value::sensitive(value) } else { value })
    }

    /// Sorts the entries of the resulting maps by the first appearance of their keys: in the expression, then in the
    /// values that it reads. CEL's maps are unordered.
    pub(super) fn order(&self, value: &mut Value, scope: &dyn Scope) {
        if !has_order(value) {
            return;
        }
        let mut ranks = QuickMap::default();
        let rank = |ranks: &mut QuickMap<String, usize>, key: &str| {
            if !ranks.contains_key(key) {
                ranks.insert(key.to_owned(), ranks.len());
            }
        };
        self.keys.iter().for_each(|key| rank(&mut ranks, key));
        for read in self.paths.iter().filter_map(|path| path.read(scope).ok()) {
            each_key(&read.value, &mut |key| rank(&mut ranks, key));
        }
        sort(value, &ranks);
    }
}

/// True when the value contains a map with several entries.
fn has_order(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().any(has_order),
        Value::Map(entries) => entries.len() > 1 || entries.values().any(has_order),
        _ => false,
    }
}

fn each_key(value: &Value, visit: &mut impl FnMut(&str)) {
    match value.exposed() {
        Value::List(items) => items.iter().for_each(|item| each_key(item, visit)),
        Value::Map(entries) => {
            entries.keys().for_each(|key| visit(key));
            entries.values().for_each(|value| each_key(value, visit));
        }
        _ => {}
    }
}

fn sort(value: &mut Value, ranks: &QuickMap<String, usize>) {
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| sort(item, ranks)),
        Value::Map(entries) => {
            entries.values_mut().for_each(|value| sort(value, ranks));
            let rank = |key: &String| ranks.get(key).copied().unwrap_or(usize::MAX);
            entries.sort_by(|a, _, b, _| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        }
        _ => {}
    }
}

/// The paths of an evaluation. Each is read once, when CEL requests it.
struct Variables<'a> {
    program: &'a Cel,
    scope: &'a dyn Scope,
    read: Vec<OnceLock<Result<Box<dyn Val + 'a>, Missing>>>,
    touched: Touched,
    is_sensitive: AtomicBool,
}

impl<'a> Variables<'a> {
    fn value(&self, number: usize) -> Option<&Result<Box<dyn Val + 'a>, Missing>> {
        let path = self.program.paths.get(number)?;
        Some(self.read.get(number)?.get_or_init(|| {
            let read = path.read(self.scope)?;
            if read.is_key_sensitive || read.value.has_sensitive() {
                self.is_sensitive.store(true, Ordering::Relaxed);
            }
            let needed = self.program.needed.get(number).unwrap_or(&Needed::Whole);
            let built = match read.value {
                Cow::Borrowed(value) => bridge::borrowed(value, needed, &self.touched, &budget::charge_read),
                Cow::Owned(value) => bridge::owned(&value, needed, &self.touched, &budget::charge_read),
            };
            built.map_err(|exceeded| Missing::new(exceeded.to_string()).hint(exceeded.hint()))
        }))
    }

    fn presence(&self, number: usize) -> Option<bool> {
        let path = self.program.paths.get(number)?;
        match path.read(self.scope) {
            Ok(read) => {
                if read.value.is_unknown() {
                    self.touched.set();
                }
                if read.is_key_sensitive || read.value.has_sensitive() {
                    self.is_sensitive.store(true, Ordering::Relaxed);
                }
                Some(true)
            }
            Err(missing) => {
                if missing.is_sensitive {
                    self.is_sensitive.store(true, Ordering::Relaxed);
                }
                Some(false)
            }
        }
    }

    /// The value, if it exists; `None` if a step before the first optional one does not exist.
    fn optional(&self, number: usize, first: usize) -> Option<CelOptional<'_>> {
        match self.value(number)? {
            Ok(value) => {
                self.touch_if_open(number);
                Some(CelOptional::of(value.clone_as_boxed()))
            }
            Err(missing) if missing.resolved_steps.is_some_and(|resolved| resolved >= first) => {
                if missing.is_sensitive {
                    self.is_sensitive.store(true, Ordering::Relaxed);
                }
                Some(CelOptional::none())
            }
            Err(_) => None,
        }
    }

    /// Marks the result as unknown if the path's existence depends on an unknown value. An unknown value that exists
    /// counts as existing.
    fn touch_if_open(&self, number: usize) {
        let Some(path) = self.program.paths.get(number) else { return };
        if !path.read(self.scope).is_ok_and(|read| read.value.is_unknown()) {
            return;
        }
        let parent =
            path.steps.split_last().map(|(_, steps)| Reference { root: path.root.clone(), steps: steps.to_vec() });
        // A parent that cannot be read (a saved plan has only the path itself) counts as unknown.
        let exists = parent.is_some_and(|it| it.read(self.scope).is_ok_and(|read| !read.value.is_unknown()));
        if !exists {
            self.touched.set();
        }
    }

    /// The error of the path with that number.
    fn missing(&self, number: usize) -> Option<Missing> {
        self.read.get(number)?.get()?.as_ref().err().cloned()
    }
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match Use::parse(variable)? {
            Use::Value(number) => self.value(number)?.as_ref().ok().map(|value| CowVal::Borrowed(value.as_ref())),
            Use::Presence(number) => Some(CowVal::owned(CelBool::from(self.presence(number)?))),
            Use::Optional(number, first) => Some(CowVal::owned(self.optional(number, first)?)),
        }
    }
}

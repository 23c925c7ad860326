//! `terrace console`: evaluates expressions against a descriptor and its state.
//!
//! Values are those that the next plan would use. The console changes nothing and reads only lookups remotely.

use crate::args::ConsoleArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::files::size;
use crate::planning::{Project, compile, planner};
use crate::report::{harmless, report};
use crate::wiring::store;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::sync::Arc;
use terrace_engine::compile::CompiledComponent;
use terrace_engine::diagnostic::{Diagnostic, Severity};
use terrace_engine::plan::Origin;
use terrace_engine::plan::console::Console;
use terrace_engine::plan::options::Options;
use terrace_provider::Value;
use terrace_provider::names::listed;
use terrace_state::Access;

/// Limit of a line of standard input, in bytes.
const LONGEST: u64 = 1 << 20;

/// Evaluates the given expressions, or those of standard input line by line.
///
/// # Errors
/// When the descriptor is invalid, or an expression is. On a terminal an invalid expression is only reported.
pub(super) async fn run(context: &Context<'_>, arguments: &ConsoleArguments) -> Result<Exit, Failure> {
    let mut project = compile(context, &arguments.input.files, &arguments.input.choice, true).await?;
    let console = console(context, &project, &arguments.input.choice.components).await?;
    let mut is_failed = false;
    if arguments.expressions.is_empty() {
        let is_asked = std::io::stdin().is_terminal() && context.ui.can_ask();
        let lines = Lines { is_asked };
        for line in lines {
            let line = line.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
            match line.trim() {
                "" => {}
                "exit" | "quit" if is_asked => break,
                text => is_failed |= !evaluate(context, &mut project, &console, text)? && !is_asked,
            }
        }
    }
    for text in &arguments.expressions {
        is_failed |= !evaluate(context, &mut project, &console, text)?;
    }
    if is_failed { Err(Failure::reported(Exit::Error)) } else { Ok(Exit::Done) }
}

/// Lines of standard input, with a prompt on a terminal.
struct Lines {
    is_asked: bool,
}

impl Iterator for Lines {
    type Item = std::io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_asked {
            let mut stream = std::io::stderr().lock();
            // Input works without the prompt too.
            let _ = write!(stream, "> ").and_then(|()| stream.flush());
        }
        let mut line = String::new();
        match std::io::stdin().lock().take(LONGEST).read_line(&mut line) {
            Ok(0) => None,
            Ok(read) if read as u64 == LONGEST && !line.ends_with('\n') => {
                Some(Err(std::io::Error::other(format!("a line is longer than {}", size(LONGEST)))))
            }
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// The console with the component that expressions refer to.
struct Target {
    console: Console,
    /// Components to choose from, if none was chosen.
    other_components: Vec<String>,
}

async fn console(context: &Context<'_>, project: &Project, chosen: &[String]) -> Result<Target, Failure> {
    let [selected] = project.stacks.as_slice() else {
        return Err(Failure::new("the console works on one stack")
            .hint("give the descriptors of one stack, or choose it with `--stack`"));
    };
    let compiled = &selected.compiled;
    let component = component(&compiled.components, chosen);
    let store = store(&project.settings, Access::ReadOnly).await?;
    let mut env_context = project.env_context.clone();
    env_context.engine.registry = Arc::new(env_context.engine.registry.lookups_only());
    // Components that were not chosen were not compiled: planning them as empty would drop their outputs.
    let options = Options { refresh: false, components: selected.chosen.clone(), ..Options::default() };
    let planner = planner(&*store, &env_context, &project.sources, &options);
    let computed = planner.plan(std::slice::from_ref(compiled), Origin::default()).await?;
    // Reports failed lookups as warnings: they explain why values are unknown.
    let is_unknown = |diagnostic: &Diagnostic| matches!(diagnostic.code, "lookup_failed" | "lookup_unanswered");
    let failed = computed.diagnostics.into_iter().filter(is_unknown);
    let failed: Vec<Diagnostic> = failed.map(|it| Diagnostic { severity: Severity::Warning, ..it }).collect();
    report(context.ui, &project.sources, &failed);
    let Some(plan) = computed.plan.stacks.first() else { return Err(Failure::new("the descriptor gives no plan")) };
    let console = Console::new(&planner, compiled, component, plan).await?;
    let other_components = match component {
        Some(_) => Vec::new(),
        None => compiled.components.iter().map(|component| component.key.to_string()).collect(),
    };
    Ok(Target { console, other_components })
}

/// The component whose expressions are evaluated: the chosen one, else the stack's own resources, else the only
/// component. `None` for the stack itself, if there are several.
fn component<'a>(components: &'a [CompiledComponent], chosen: &[String]) -> Option<&'a CompiledComponent> {
    let is_meant = |component: &&CompiledComponent| match chosen {
        [key] => component.key == key.as_str() || component.id.as_ref() == Some(key),
        _ => component.key.is_stack(),
    };
    match (components.iter().find(is_meant), components) {
        (Some(found), _) => Some(found),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Prints the value of an expression. Reports its errors and returns false if it is invalid.
fn evaluate(context: &Context<'_>, project: &mut Project, target: &Target, text: &str) -> Result<bool, Failure> {
    match target.console.evaluate(text, &mut project.sources, &project.env_context.engine.functions) {
        Ok(value) => {
            context.ui.print(&format!("{}\n", harmless(&format_value(&value, 0))))?;
            Ok(true)
        }
        Err(mut diagnostics) => {
            if !target.other_components.is_empty() {
                let hint = format!("choose a component with `-c`: {}", listed(&target.other_components));
                for diagnostic in diagnostics.iter_mut().filter(|it| it.code == "expression_failed") {
                    let hint_before = diagnostic.hint.take().map(|hint_before| format!("{hint_before}; "));
                    diagnostic.hint = Some(hint_before.unwrap_or_default() + &hint);
                }
            }
            report(context.ui, &project.sources, &diagnostics);
            Ok(false)
        }
    }
}

/// A value as indented JSON; unknown and sensitive values are words without quotes.
fn format_value(value: &Value, depth: usize) -> String {
    let lines = |[open, close]: [char; 2], entries: Vec<String>| {
        let indent = "  ".repeat(depth);
        let entries: Vec<String> = entries.into_iter().map(|entry| format!("{indent}  {entry}")).collect();
        format!("{open}\n{}\n{indent}{close}", entries.join(",\n"))
    };
    match value {
        Value::Unknown => "(known after apply)".to_owned(),
        Value::Sensitive(_) => "(sensitive value)".to_owned(),
        Value::List(items) if !items.is_empty() => {
            lines(['[', ']'], items.iter().map(|item| format_value(item, depth + 1)).collect())
        }
        Value::Map(entries) if !entries.is_empty() => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()).to_json_text(), format_value(value, depth + 1))
            };
            lines(['{', '}'], entries.iter().map(entry).collect())
        }
        plain => plain.to_json_text(),
    }
}

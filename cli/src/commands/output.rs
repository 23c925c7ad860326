//! `terrace output`: outputs of a stack in the state.

use super::run::format_value;
use crate::args::{OutputArguments, OutputFormat};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::stacks;
use crate::wiring::{EnvironmentContext, store};
use std::fmt::Write;
use terrace_engine::address::ComponentKey;
use terrace_engine::diagnostic::closest;
use terrace_engine::record::open_outputs;
use terrace_engine::seal::{Blind, Place};
use terrace_provider::Value;
use terrace_provider::names::listed;
use terrace_provider::value::wire::Sealing;
use terrace_state::Access;

/// An output in the state.
struct Output {
    component: ComponentKey,
    name: String,
    /// `None` for a sensitive value that could not be stored without a key.
    value: Option<Value>,
    is_sensitive: bool,
}

impl Output {
    /// The name within the stack.
    fn qualified(&self) -> String {
        self.component.qualified(&self.name).to_string()
    }
}

/// Shows outputs.
///
/// # Errors
/// When the output does not exist, or cannot be opened.
pub(super) async fn run(context: &Context<'_>, arguments: &OutputArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    // Values that stay hidden need no key.
    let store = store(&settings, Access::ReadOnly).await?;
    let stack = stacks::current(&settings, store.as_ref()).await?;
    let seal = || EnvironmentContext::seal(&settings, Some(&stack.environment), false, context.ui);
    let seal = arguments.reveal.then(seal).transpose()?;
    if let Some(seal) = &seal {
        seal.bind_to(store.as_ref()).await?;
    }
    let mut outputs = Vec::new();
    for component in store.components(&stack).await? {
        let value_seal = seal.as_ref().map(|seal| seal.at(Place::Outputs { stack: &stack, component: &component.key }));
        let sealing = value_seal.as_ref().map_or(&Blind as &dyn Sealing, |value_seal| value_seal);
        let opened = open_outputs(&component.outputs, sealing)?;
        let output = |name: String, value: Option<Value>| Output {
            component: component.key.clone(),
            name,
            is_sensitive: value.as_ref().is_none_or(Value::has_sensitive),
            value: value.map(|value| if arguments.reveal { value.revealed() } else { value }),
        };
        outputs.extend(opened.values.into_iter().map(|(name, value)| output(name, Some(value))));
        outputs.extend(opened.unstored.into_iter().map(|name| output(name, None)));
    }
    outputs.sort_by(|one, other| (&one.component, &one.name).cmp(&(&other.component, &other.name)));
    let format = if arguments.json { OutputFormat::Json } else { arguments.format };
    let text = match &arguments.name {
        Some(name) => one(find(&outputs, name)?, format)?,
        None => all(&outputs, format)?,
    };
    match format {
        // Machine output stays unchanged.
        OutputFormat::Raw => context.ui.print_raw(&text)?,
        OutputFormat::Human | OutputFormat::Json => context.ui.print_list(&text, "no outputs are recorded")?,
    }
    Ok(Exit::Done)
}

fn find<'a>(outputs: &'a [Output], wanted: &str) -> Result<&'a Output, Failure> {
    let names: Vec<String> = outputs.iter().map(Output::qualified).collect();
    if let Some((output, _)) = outputs.iter().zip(&names).find(|(_, name)| *name == wanted) {
        return Ok(output);
    }
    let of_name: Vec<&Output> = outputs.iter().filter(|output| output.name == wanted).collect();
    match of_name.as_slice() {
        [only] => Ok(only),
        [] => {
            let failure = Failure::new(format!("there is no output `{wanted}`"));
            Err(match closest(wanted, names.iter().map(String::as_str)) {
                Some(best) => failure.hint(format!("did you mean `{best}`?")),
                None if names.is_empty() => failure.hint("the stack has no outputs"),
                None => failure.hint(format!("choose one of: {}", listed(&names))),
            })
        }
        several => Err(Failure::new(format!("several components have an output `{wanted}`")).hint(format!(
            "name one of them: {}",
            listed(&several.iter().map(|output| output.qualified()).collect::<Vec<_>>())
        ))),
    }
}

fn one(output: &Output, format: OutputFormat) -> Result<String, Failure> {
    let Some(value) = &output.value else { return Err(not_stored(&output.name)) };
    let hidden =
        || Failure::new(format!("the output `{}` is sensitive", output.name)).hint("pass `--reveal` to show it");
    match format {
        OutputFormat::Human => Ok(format!("{}\n", format_value(value))),
        OutputFormat::Json if value.has_sensitive() => Err(hidden()),
        OutputFormat::Json => Ok(format!("{}\n", value.to_pretty_json_text())),
        OutputFormat::Raw => match value {
            value if value.has_sensitive() => Err(hidden()),
            Value::String(text) => Ok(text.clone()),
            value @ (Value::Bool(_) | Value::Int(_) | Value::Number(_)) => Ok(value.to_json_text()),
            value => Err(Failure::new(format!("the output `{}` is {}, not one text", output.name, value.kind()))
                .hint("use `--format json`")),
        },
    }
}

fn not_stored(name: &str) -> Failure {
    Failure::new(format!("the output `{name}` is sensitive and was not stored: there was no state key to seal it with"))
        .hint(UNSTORED_HINT)
}

/// The remedy for a sensitive output that was not stored.
pub(super) const UNSTORED_HINT: &str = "create a key with `terrace init --state-key` and apply again; or pass \
                                        `--plaintext-secrets` to `terrace apply`, which stores it in the clear";

fn all(outputs: &[Output], format: OutputFormat) -> Result<String, Failure> {
    match format {
        OutputFormat::Raw => Err(Failure::new("`--format raw` prints one output").hint("name it")),
        OutputFormat::Human => Ok(outputs.iter().fold(String::new(), |mut text, output| {
            let value = output.value.as_ref().map_or_else(|| "(sensitive value, not stored)".to_owned(), format_value);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} = {value}", output.qualified());
            text
        })),
        OutputFormat::Json => {
            let entries = outputs.iter().map(|output| {
                let value = output.value.as_ref().map(Value::to_json);
                let entry = serde_json::json!({
                    "value": value, "sensitive": output.is_sensitive, "stored": output.value.is_some(),
                });
                (output.qualified(), entry)
            });
            Ok(format!("{:#}\n", serde_json::Value::Object(entries.collect())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs() -> Vec<Output> {
        let output = |component: &str, name: &str, value: Value| Output {
            component: component.into(),
            name: name.to_owned(),
            is_sensitive: value.has_sensitive(),
            value: Some(value),
        };
        vec![
            output("", "path", Value::from("out/x")),
            output("api", "url", Value::from("http://x")),
            output("db", "url", Value::sensitive(Value::from("hunter2"))),
        ]
    }

    #[test]
    fn output_is_found_with_and_without_its_component() {
        let outputs = outputs();
        assert_eq!(find(&outputs, "path").unwrap().name, "path");
        assert_eq!(find(&outputs, "api/url").unwrap().component, "api");
        let several = find(&outputs, "url").err().unwrap();
        assert_eq!(several.hints, ["name one of them: `api/url`, `db/url`"]);
        assert_eq!(find(&outputs, "paht").err().unwrap().hints, ["did you mean `path`?"]);
    }

    #[test]
    fn sensitive_output_is_hidden_without_reveal() {
        let outputs = outputs();
        assert_eq!(one(&outputs[2], OutputFormat::Human).unwrap(), "(sensitive value)\n");
        assert!(one(&outputs[2], OutputFormat::Raw).is_err());
        assert!(!all(&outputs, OutputFormat::Json).unwrap().contains("hunter2"));
        assert_eq!(one(&outputs[0], OutputFormat::Raw).unwrap(), "out/x");
    }
}

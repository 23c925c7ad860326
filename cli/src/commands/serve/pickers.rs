//! The pickers of the configuration, checked against the providers.

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::settings::Settings;
use std::collections::BTreeMap;
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_server::environments::Environments;
use terrace_server::pickers::picker::Picker;

/// The pickers by name.
///
/// # Errors
/// When a picker names an unknown environment, lookup, instance or argument, which is reported.
pub(super) fn checked(
    context: &Context<'_>,
    settings: &Settings,
    environments: &Environments,
) -> Result<BTreeMap<String, Picker>, Failure> {
    let configuration = &settings.configuration;
    let names = configuration.environment_names();
    let (mut pickers, mut diagnostics) = (BTreeMap::new(), Vec::new());
    for configured in &configuration.server.pickers {
        let name = &configured.name;
        let environment = match (&configured.environment, names.as_slice()) {
            (Some(environment), _) => environment.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, _) => {
                let error =
                    Diagnostic::error("missing_field", format!("the picker `{}` needs `environment`", name.value));
                diagnostics
                    .push(error.at(name.span).hint("add `environment:` with the one whose providers list the objects"));
                continue;
            }
        };
        let picker = Picker { environment, ..configured.picker.clone() };
        match picker.check(environments) {
            Ok(()) => drop(pickers.insert(name.value.clone(), picker)),
            Err(found) => diagnostics.extend(found.into_iter().map(|diagnostic| {
                let message = format!("the picker `{}`: {}", name.value, diagnostic.message);
                Diagnostic { message, ..diagnostic }.at(name.span)
            })),
        }
    }
    report(context.ui, &configuration.sources, &diagnostics);
    if has_errors(&diagnostics) { Err(Failure::reported(Exit::Error)) } else { Ok(pickers) }
}

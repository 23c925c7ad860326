//! The options of `terrace pipelines init`: a call without a kind needs a known one, and clusters of this machine lack the
//! options of Kubernetes.

use super::super::kinds::{name, vendor};
use crate::args::{ClusterArguments, ClusterKind};
use crate::failure::Failure;
use terrace_engine::text::shell_word;

/// An option of a call.
struct Given {
    name: &'static str,
    /// Its value, unless it is a flag.
    value: Option<String>,
    is_of_kubernetes: bool,
}

/// The options of a call, in the order of the help text.
fn given(arguments: &ClusterArguments) -> Vec<Given> {
    let number = |number: Option<u16>| number.map(|number| number.to_string());
    let authority = arguments.operator_ca.as_ref().map(|file| file.display().to_string());
    let with_value = [
        ("--workers", number(arguments.workers), false),
        ("--databases", number(arguments.databases), false),
        ("--namespace", arguments.namespace.clone(), true),
        ("--operator", arguments.operator.clone(), true),
        ("--operator-ca", authority, true),
    ];
    let flags = [("--no-operator", arguments.no_operator), ("--allow-plain-http", arguments.allow_plain_http)];
    let with_value = with_value
        .into_iter()
        .filter(|(_, value, _)| value.is_some())
        .map(|(name, value, is_of_kubernetes)| Given { name, value, is_of_kubernetes });
    let flags = flags.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| Given {
        name,
        value: None,
        is_of_kubernetes: true,
    });
    with_value.chain(flags).collect()
}

/// The command that starts a cluster of this kind with these options.
fn command(kind: ClusterKind, options: &[Given]) -> String {
    let words = options.iter().map(|option| match &option.value {
        Some(value) => format!(" {} {}", option.name, shell_word(value)),
        None => format!(" {}", option.name),
    });
    format!("terrace pipelines init {}{}", name(kind), words.collect::<String>())
}

/// True if a call has options: it changes the cluster.
pub(super) fn is_any(arguments: &ClusterArguments) -> bool {
    !given(arguments).is_empty()
}

/// Checks that the options of a call fit the kind of its cluster.
///
/// # Errors
/// When the kind is not known, or a cluster of this machine gets an option of Kubernetes.
pub(super) fn check(kind: Option<ClusterKind>, arguments: &ClusterArguments) -> Result<(), Failure> {
    let options = given(arguments);
    let of_kubernetes = options.iter().find(|option| option.is_of_kubernetes);
    match (kind, of_kubernetes, options.first()) {
        (None, of_kubernetes, Some(first)) => {
            let kind = if of_kubernetes.is_some() { ClusterKind::Kubernetes } else { ClusterKind::Local };
            Err(Failure::new(format!("`{}` needs the kind of a cluster: this project has no cluster yet", first.name))
                .hint(format!("name the kind: `{}`", command(kind, &options))))
        }
        (Some(kind), Some(option), _) if vendor(kind).is_none() => {
            let kind = name(kind);
            Err(Failure::new(format!(
                "`{}` is an option of clusters of Kubernetes, and `{kind}` is a cluster of this machine",
                option.name
            ))
            .hint(format!(
                "leave `{}` out, or use a cluster of Kubernetes: `{}`",
                option.name,
                command(ClusterKind::Kubernetes, &options)
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_repeat_the_options_for_a_shell() {
        let arguments = ClusterArguments {
            workers: Some(3),
            operator: Some("https://terrace.terrace:8091".to_owned()),
            operator_ca: Some("my ca.pem".into()),
            no_operator: true,
            ..ClusterArguments::default()
        };
        assert_eq!(
            command(ClusterKind::Kubernetes, &given(&arguments)),
            "terrace pipelines init kubernetes --workers 3 --operator https://terrace.terrace:8091 --operator-ca 'my ca.pem' \
             --no-operator"
        );
    }
}

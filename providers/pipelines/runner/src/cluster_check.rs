//! Checks of a namespace before pipelines use it, and messages about refused requests. All parts of pipelines in a cluster report
//! a missing namespace or missing rights in these words.

pub(crate) mod rights;

use rights::{ROLE, is_of_role};
use terrace_provider::{ErrorKind, Finding, ProviderError, Settings, Severity};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, DeployedRole, Right};

/// The command that creates the role with all rights, or completes it. In an empty folder it starts no workers and creates no
/// databases. In a project it may change the cluster of that project.
pub(crate) fn role_creation(namespace: &str) -> String {
    format!("terrace pipelines init kubernetes --namespace {namespace} --workers 0 --databases 0")
}

/// A client whose hints name the role of `terrace pipelines init`.
///
/// # Errors
/// When settings are invalid.
pub(crate) fn open(settings: &Settings, namespace: &str) -> Result<Client, ProviderError> {
    let role = DeployedRole {
        name: ROLE,
        has: is_of_role,
        creation: role_creation,
        conditions: "in an empty folder outside of every project, with their own kubeconfig",
    };
    Ok(Client::open(settings, namespace)?.with_role(role))
}

/// The missing namespace, or the missing ones of the rights that `users` need, such as `runs`; nothing without a problem. A plan
/// only warns about rights: another identity may apply it later.
///
/// # Errors
/// When the cluster does not answer.
pub(crate) async fn rights_problem(
    client: &Client,
    rights: &[Right],
    users: &str,
) -> Result<Option<Finding>, ClientError> {
    let namespace = client.namespace();
    let (hint, missing) = tokio::try_join!(client.hint_for_missing_namespace(), client.missing_rights(rights))?;
    if let Some(hint) = hint {
        let source = client.namespace_source().map(|source| format!(" ({source})")).unwrap_or_default();
        let message = format!("the namespace `{namespace}`{source} does not exist");
        return Ok(Some(Finding { severity: Severity::Error, path: None, message, hint: Some(hint) }));
    }
    Ok(missing.map(|missing| Finding {
        severity: Severity::Warning,
        path: None,
        message: format!(
            "the identity lacks rights in the namespace `{namespace}` that {users} need: {}",
            missing.words
        ),
        hint: Some(missing.hint),
    }))
}

/// The finding about a failed check.
pub(crate) fn finding_of(error: &ClientError) -> Finding {
    let (severity, message) = match error.is_transient() {
        true => (Severity::Warning, format!("the cluster is not checked: {error}")),
        false => (Severity::Error, error.to_string()),
    };
    Finding { severity, path: None, message, hint: error.hint() }
}

/// The error of a refused request, for a provider.
pub(crate) fn refused(error: ClientError) -> ProviderError {
    match error.kind {
        ClientErrorKind::Unreachable => ProviderError { kind: ErrorKind::Transient, ..error.error },
        _ => error.error,
    }
}

/// A refused request with its hint as one text.
pub(crate) fn in_words(error: &ClientError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

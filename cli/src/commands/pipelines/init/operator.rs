//! The operator of a prepared namespace: helm installs it by its chart, which is part of this program.

use super::super::kinds::found;
use super::operator_rights;
use super::vendors::{failed, run};
use crate::commands::operator::{TOKEN, token};
use crate::context::Context;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::variables::Variables;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};
use terrace_operator::chart::CHART;
use terrace_operator::{ServerSettings, TokenCheck};
use terrace_pipelines::executor::kubernetes::install::{
    OPERATOR_SECRET, OPERATOR_TOKEN, Progress, TokenSecret, ensure_token,
};
use terrace_pipelines::run::Store;
use terrace_provider::http::{self, Base, is_exposed, leads_to_this_machine};
use terrace_provider::{ErrorKind, Settings, Value};

/// Name of the release.
const RELEASE: &str = "terrace-operator";
/// Files below the records of a project: the folder of the chart, and its values.
const FOLDER: &str = "operator-chart";
const VALUES: &str = "operator-values.json";
/// The remedy for a user who needs no operator. A call with the kind would start workers.
const WITHOUT: &str = "without an operator: `terrace pipelines init --no-operator`";
/// The authorities of the certificate of its server.
const AUTHORITY: &str = "operator-ca.pem";

/// Checks the URL of the server.
///
/// # Errors
/// When it is invalid, or a pod cannot reach it, or the token would be sent without encryption.
pub(super) fn check(url: &str, allows_plain_http: bool) -> Result<(), Failure> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::new(format!("`--operator` is `{url}`: expected the URL of a server"))
            .hint("write it with `https://`"));
    }
    let base = Base::parse(url).map_err(|why| Failure::new(format!("`--operator`: the URL of the server is {why}")))?;
    if leads_to_this_machine(base.shown()) {
        return Err(Failure::new(format!("`--operator`: `{}` leads each pod to itself", base.host()))
            .hint("give the address at which pods of the cluster reach `terrace serve`"));
    }
    if is_exposed(base.shown()) && !allows_plain_http {
        return Err(Failure::new(format!(
            "`--operator`: the token of the operator would be sent to `{}` without encryption",
            base.host()
        ))
        .hint("use `https://`, or pass `--allow-plain-http` in a network that you trust"));
    }
    Ok(())
}

/// The authorities in a PEM file.
///
/// # Errors
/// When the file cannot be read, or has no certificate, or a private key.
pub(super) fn authority(file: &Path) -> Result<String, Failure> {
    let wrong = |why: String| {
        Failure::new(format!("`--operator-ca`: `{}` {why}", file.display()))
            .hint("pass the certificate of the authority that signed that of the server, in PEM format")
    };
    let text = fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    // It would be readable for all users of the namespace.
    if text.contains("PRIVATE KEY-----") {
        return Err(wrong("has a private key".to_owned()));
    }
    let used = http::builder(Some(file)).map_err(|why| wrong(format!("has no usable certificate: {why}")));
    used.map(|_| text)
}

/// Asks the server whether it accepts the token, if it can be reached from here with encryption.
async fn check_token(
    context: &Context<'_>,
    (url, ca_file): (&str, Option<PathBuf>),
    token: SecretString,
) -> Result<(), Failure> {
    let settings = ServerSettings { url: url.to_owned(), token: Some(token), ca_file, allow_plain_http: false };
    let checked = match is_exposed(url) {
        true => TokenCheck::Unknown("it would leave this machine without encryption".to_owned()),
        false => settings.check_token().await.map_err(Failure::new)?,
    };
    match checked {
        TokenCheck::Accepted => {}
        TokenCheck::Refused(why) => {
            return Err(Failure::new(format!("the server of the operator refuses the token: {why}"))
                .hint(format!("pass a token of `server.auth` with the scope `apply` in {TOKEN}")));
        }
        TokenCheck::Unknown(why) => context.ui.print_note(&format!(
            "the token is not checked: {why}; the statuses of objects show whether the operator reaches the server"
        )),
    }
    Ok(())
}

/// Checks that the operator has a token, before the namespace is changed. Changes nothing.
///
/// # Errors
/// When this call has no token, and the namespace has none either, or that of another project.
pub(super) async fn check_secret(
    context: &Context<'_>,
    access: &Settings,
    namespace: &str,
    records: &Path,
    signals: &Signals,
) -> Result<(), Failure> {
    if token(context)?.is_some() {
        return Ok(());
    }
    let owner = Store::new(records.to_owned()).folder_identity().unwrap_or_default();
    tokio::select! {
        // A cluster that does not answer, or refuses, does the same in the next step, which reports it.
        found = ensure_token(access, (namespace, &owner), None) => {
            found.map_or(Ok(()), |found| version_of(found, namespace).map(drop))
        }
        () = signals.cancel.cancelled() => Err(super::kubernetes::interrupted()),
    }
}

/// The version of the operator's token.
///
/// # Errors
/// When it is missing, or another project's.
fn version_of(secret: TokenSecret, namespace: &str) -> Result<String, Failure> {
    match secret {
        TokenSecret::Present(version) => Ok(version),
        TokenSecret::Missing => {
            let message = format!(
                "the operator has no token: the Secret `{OPERATOR_SECRET}` of the namespace `{namespace}` does not exist"
            );
            Err(Failure::new(message)
                .hint(format!("pass a token of the server with the scope `apply` in {TOKEN}"))
                .hint(WITHOUT))
        }
        TokenSecret::OfOthers => {
            let message = format!("another project has installed the operator of the namespace `{namespace}`");
            Err(Failure::new(message).hint("use that operator: leave `--operator` out").hint(format!(
                "or remove it: `helm uninstall {RELEASE} --namespace {namespace}`, `kubectl delete secret \
                     {OPERATOR_SECRET} --namespace {namespace}`"
            )))
        }
    }
}

/// Installs the operator, or changes its installation. `access` leads to the cluster, `image` has a digest.
///
/// # Errors
/// When helm is missing or fails, the token is missing or refused, or the cluster refuses its Secret.
pub(super) async fn install(
    context: &Context<'_>,
    access: &Settings,
    progress: &Progress,
    (url, image): (&str, &str),
    records: &Path,
    signals: &Signals,
) -> Result<(), Failure> {
    let (chart, values) = (records.join(FOLDER), records.join(VALUES));
    let token = token(context)?;
    if let Some(token) = token.clone() {
        let ca_file = match &progress.operator_authority {
            Some(authority) => {
                let file = records.join(AUTHORITY);
                fs::write(&file, authority).map_err(unwritable)?;
                Some(file)
            }
            None => None,
        };
        tokio::select! {
            checked = check_token(context, (url, ca_file), token) => checked?,
            () = signals.cancel.cancelled() => return Err(super::kubernetes::interrupted()),
        }
    }
    let owner = Store::new(records.to_owned()).folder_identity().unwrap_or_default();
    let ensured = tokio::select! {
        ensured = ensure_token(access, (&progress.namespace, &owner), token.as_ref()) => ensured,
        () = signals.cancel.cancelled() => return Err(super::kubernetes::interrupted()),
    };
    let ensured = match ensured {
        Err(error) if error.kind == ErrorKind::PermissionDenied => {
            return Err(with_missing_rights(access, progress, error.into()).await);
        }
        ensured => ensured?,
    };
    let namespace = &progress.namespace;
    let version = version_of(ensured, namespace)?;
    write(&chart, &values, &described(progress, (url, image), &version)).map_err(unwritable)?;
    let command = command(context.variables, access, progress, &chart, &values);
    if !found(context.variables, "helm") {
        context.ui.print_note("this command installs the operator:");
        context.ui.print(&format!("{}\n", command.join(" ")))?;
        return Err(Failure::new("terrace cannot install the operator yet: `helm` is not installed")
            .hint("install it (https://helm.sh/docs/intro/install), then continue with `terrace pipelines init`"));
    }
    context.ui.print_note("installing the operator, which takes up to some minutes");
    let Err(log) = run(&command, signals).await? else { return Ok(()) };
    let failure = failed(&command, &log);
    // The words of the API server: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
    if log.contains("is forbidden: ") {
        return Err(with_missing_rights(access, progress, failure).await);
    }
    // https://helm.sh/docs/topics/advanced/: a killed helm leaves its release locked.
    if log.contains("another operation") {
        return Err(failure.hint(format!("unlock the release: `helm uninstall {RELEASE} --namespace {namespace}`")));
    }
    Err(failure.hint("for definitions of another version: `terrace operator crds | kubectl apply --server-side --force-conflicts -f -`"))
}

/// A refusal of the cluster, with the missing rights of the identity and the commands that grant them; the refusal as it is
/// if it has another cause.
async fn with_missing_rights(access: &Settings, progress: &Progress, refusal: Failure) -> Failure {
    let missing = match operator_rights::missing(access, &progress.namespace).await {
        Ok(missing) if !missing.is_empty() => missing,
        _ => return refusal,
    };
    let words: Vec<&str> = missing.iter().map(|rights| rights.words.as_str()).collect();
    let failure = Failure::new(format!(
        "the identity lacks rights that the installation of the operator needs in the namespace `{}`: {}\n{}",
        progress.namespace,
        words.join("; "),
        refusal.message.unwrap_or_default()
    ));
    // A role names only kinds of objects that the cluster knows.
    let failure = failure.hint(
        "have an administrator install the definitions first: `terrace operator crds | kubectl apply --server-side \
         --force-conflicts -f -`",
    );
    let failure = missing.into_iter().fold(failure, |failure, rights| failure.hint(rights.hint));
    failure.hint("then continue with `terrace pipelines init`").hint(WITHOUT)
}

fn unwritable(error: std::io::Error) -> Failure {
    Failure::new(format!("the chart of the operator cannot be written: {error}"))
}

/// The values of the chart.
fn described(progress: &Progress, (url, image): (&str, &str), token: &str) -> Json {
    let (repository, digest) = image.split_once('@').unwrap_or((image, ""));
    json!({
        "image": {"repository": repository, "digest": digest},
        "watchNamespace": progress.namespace,
        "expireDatabases": [progress.namespace],
        // Another token replaces the pod.
        "podAnnotations": {"terrace.dev/token": token},
        "server": {
            "url": url,
            "tokenSecret": {"name": OPERATOR_SECRET, "key": OPERATOR_TOKEN},
            "ca": progress.operator_authority.as_deref().unwrap_or_default(),
            "allowPlainHttp": is_exposed(url),
        },
    })
}

fn write(chart: &Path, values: &Path, described: &Json) -> std::io::Result<()> {
    // Another release of terrace may have written other files.
    match fs::remove_dir_all(chart) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for (path, text) in CHART {
        let file = chart.join(path);
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(file, text)?;
    }
    fs::write(values, described.to_string())
}

/// The command of helm: <https://helm.sh/docs/helm/helm_upgrade/>.
fn command(variables: &Variables, access: &Settings, progress: &Progress, chart: &Path, values: &Path) -> Vec<String> {
    let kubeconfig = access.values.get("kubeconfig").and_then(Value::as_str);
    // helm reads the variable itself, which may list several files.
    let kubeconfig = kubeconfig.filter(|file| !file.is_empty() && variables.get("KUBECONFIG") != Some(file));
    let kubeconfig = kubeconfig.map(|file| access.project_folder.join(file).display().to_string());
    let words = ["helm", "upgrade", "--install", RELEASE].map(str::to_owned).into_iter();
    let words = words.chain([chart.display().to_string(), "--namespace".to_owned(), progress.namespace.clone()]);
    let words = words.chain(["--values".to_owned(), values.display().to_string()]);
    let words = words.chain(kubeconfig.into_iter().flat_map(|file| ["--kubeconfig".to_owned(), file]));
    let context = progress.context.clone();
    let words = words.chain(context.into_iter().flat_map(|context| ["--kube-context".to_owned(), context]));
    words.chain(["--wait", "--timeout", "5m"].map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_has_to_be_reachable_by_pods_and_encrypted() {
        let refusal = |url: &str, allows: bool| check(url, allows).err().and_then(|failure| failure.message);
        assert_eq!(refusal("https://terrace.terrace:8091", false), None);
        assert_eq!(refusal("http://terrace.terrace:8091", true), None);
        assert!(refusal("http://terrace.terrace:8091", false).unwrap().contains("without encryption"));
        for url in ["http://127.0.0.1:8091", "https://localhost:8091", "http://[::1]:8091"] {
            assert!(refusal(url, true).unwrap().contains("leads each pod to itself"), "{url}");
        }
        assert!(refusal("terrace:8091", true).unwrap().contains("expected the URL of a server"));
    }
}

//! Settings of an instance: a kubeconfig file, the service account of a pod, or the URL of a server.

use crate::identity::quoted;
use http::Uri;
use kube::config::{Context, KubeConfigOptions, Kubeconfig, KubeconfigError};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;
use terrace_provider::attributes::{flag, optional_text, texts};
use terrace_provider::http::{check_credentials, is_plain_http_allowed};
use terrace_provider::{ErrorKind, Path, ProviderError, Settings, Value};

/// The remedy for a `caFile` that cannot be used.
const NAME_AUTHORITY: &str = "name the PEM file of the cluster's certificate authority";

/// The way to a cluster.
#[derive(Debug)]
pub(crate) enum Access {
    /// Files that are merged in this order, and a context other than the current one.
    Kubeconfig {
        files: Vec<PathBuf>,
        context: Option<String>,
    },
    /// The service account of the pod.
    InCluster,
    Server {
        url: Uri,
        token: Option<SecretString>,
        ca_file: Option<PathBuf>,
    },
}

/// Settings of an instance.
#[derive(Debug)]
pub(crate) struct Config {
    /// The name of the instance, for messages.
    pub(crate) instance: String,
    /// `None` if no setting names a cluster.
    pub(crate) access: Option<Access>,
    /// The only namespaces that may be used; empty for all.
    pub(crate) namespaces: Vec<String>,
    /// The time limit of a request.
    pub(crate) timeout: Duration,
    /// Another provider with these settings may have none for the time limit.
    pub(crate) has_timeout: bool,
    allows_plain_http: bool,
    /// The name of the environment, for messages.
    environment: String,
    /// The sources of values, for messages.
    sources: BTreeMap<String, String>,
}

impl Config {
    /// Reads the settings. Opens no file.
    ///
    /// # Errors
    /// When settings are invalid or contradict each other.
    pub(crate) fn read(settings: &Settings) -> Result<Self, ProviderError> {
        let values = &settings.values;
        let text = |name: &str| optional_text(values, name).filter(|text| !text.is_empty());
        let (server, token) = (text("server"), text("token").map(SecretString::from));
        let allows_plain_http = is_plain_http_allowed(values);
        if server.is_none()
            && let Some(name) = ["token", "caFile"].into_iter().find(|name| text(name).is_some())
        {
            return Err(ProviderError::invalid(
                Some(Path::attribute(name)),
                format!("`{name}` belongs to `server`, which is not set"),
            )
            .solution("write `server: https://HOST:PORT`, or put it into the kubeconfig file"));
        }
        let access = if flag(values, "inCluster") {
            if server.is_some() {
                return Err(ProviderError::invalid(
                    Some(Path::attribute("inCluster")),
                    "`inCluster` and `server` are both set",
                )
                .solution("remove one of them"));
            }
            Some(Access::InCluster)
        } else if let Some(server) = server {
            let at = Path::attribute("server");
            let url = server
                .parse::<Uri>()
                .ok()
                .filter(|url| matches!(url.scheme_str(), Some("https" | "http")) && url.host().is_some());
            let url = url.ok_or_else(|| {
                ProviderError::invalid(Some(at.clone()), "`server` is not a URL").solution("write `https://HOST:PORT`")
            })?;
            if token.is_some() {
                check_credentials(&server, allows_plain_http, at)?;
            }
            let ca_file = text("caFile").map(|file| settings.project_folder.join(file));
            Some(Access::Server { url, token, ca_file })
        } else {
            text("kubeconfig").map(|files| Access::Kubeconfig {
                files: files
                    .split(':')
                    .filter(|file| !file.is_empty())
                    .map(|file| located(file, &settings.project_folder))
                    .collect(),
                context: text("context"),
            })
        };
        let seconds = values.get("timeout").and_then(Value::as_int).unwrap_or(30);
        let timeout = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let timeout = timeout.ok_or_else(|| {
            ProviderError::invalid(Some(Path::attribute("timeout")), "the timeout is not a valid time")
                .solution("write a number of seconds greater than 0")
        })?;
        Ok(Self {
            instance: settings.instance.clone(),
            access,
            namespaces: texts(values, "namespaces"),
            timeout,
            has_timeout: values.contains_key("timeout"),
            allows_plain_http,
            environment: settings.environment.clone(),
            sources: settings.sources.clone(),
        })
    }

    /// The source of a setting's value, for messages.
    fn source(&self, setting: &str) -> String {
        match self.sources.get(setting) {
            Some(source) => source.clone(),
            // Stored settings do not say whether their value is that of the variable.
            None if setting == "kubeconfig" && has_variable(&self.instance) => {
                "the setting `kubeconfig` (without that setting: the variable KUBECONFIG)".to_owned()
            }
            None => format!("the setting `{setting}`"),
        }
    }

    /// The access to the cluster.
    ///
    /// # Errors
    /// When no setting names one.
    pub(crate) fn access(&self) -> Result<&Access, ProviderError> {
        self.access.as_ref().ok_or_else(|| {
            let variable = if has_variable(&self.instance) { ", or set KUBECONFIG" } else { "" };
            let environment = if self.environment.is_empty() { "ENVIRONMENT" } else { self.environment.as_str() };
            let place = format!("`environments.{environment}.providers.{}`", self.instance);
            ProviderError::unconfigured(format!("no cluster is set for the instance `{}`", self.instance)).solution(
                format!(
                    "write `kubeconfig: ~/.kube/config` under {place} of terrace.yaml, in a pod `inCluster: true`{variable}"
                ),
            )
        })
    }

    /// The place of the server's address, for messages.
    pub(crate) fn address_place(&self) -> String {
        let chosen = |setting: &str| self.sources.get(setting).map(|source| format!("chosen by {source}"));
        let (place, details) = match &self.access {
            Some(Access::Kubeconfig { files, context }) => {
                let present = self.kubeconfig().ok().flatten().map(|(_, context)| format!("context `{context}`"));
                let setting = if context.is_some() { "context" } else { "kubeconfig" };
                (format!("the kubeconfig file `{}`", joined(files)), [present, chosen(setting)])
            }
            Some(Access::InCluster) => (
                "the variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT".to_owned(),
                [chosen("inCluster"), None],
            ),
            Some(Access::Server { .. }) | None => return self.source("server"),
        };
        let details: Vec<String> = details.into_iter().flatten().collect();
        if details.is_empty() { place } else { format!("{place} ({})", details.join(", ")) }
    }

    /// The setting behind a client that cannot be made, and the remedy.
    pub(crate) fn client_hint(&self) -> (&'static str, String) {
        match &self.access {
            Some(Access::Server { .. }) | None => {
                ("caFile", format!("correct {}: {NAME_AUTHORITY}", self.source("caFile")))
            }
            Some(Access::InCluster) => (
                "inCluster",
                "correct `ca.crt` in the ConfigMap `kube-root-ca.crt` of the namespace, then restart the pod"
                    .to_owned(),
            ),
            Some(Access::Kubeconfig { .. }) => {
                ("kubeconfig", format!("correct the cluster and the user of the context in {}", self.address_place()))
            }
        }
    }

    /// The remedy for credentials that do not work.
    pub(crate) fn credentials_hint(&self) -> String {
        match &self.access {
            Some(Access::Kubeconfig { files, .. }) => {
                let (merged, context) = self.kubeconfig().ok().flatten().unwrap_or_default();
                let user = context_of(&merged, &context).and_then(|context| context.user.as_ref());
                let user = user.map(|user| format!(" `{user}`")).unwrap_or_default();
                let (files, context) = (quoted(&joined(files)), quoted(&context));
                format!(
                    "renew the credentials of the user{user} in {}; \
                     `KUBECONFIG={files} kubectl --context {context} get --raw /version` checks them",
                    self.address_place()
                )
            }
            Some(Access::InCluster) => "restart the pod: it gets another token of its service account".to_owned(),
            Some(Access::Server { token: Some(_), .. }) => format!("renew the token: {}", self.source("token")),
            Some(Access::Server { .. }) | None => format!("write `token` beside {}", self.source("server")),
        }
    }

    /// The files of the kubeconfig separated by `:`, its context, and whether the service account of the pod is used.
    ///
    /// # Errors
    /// When a file cannot be read, or lacks the context.
    pub(crate) fn origin(&self) -> Result<(Option<String>, Option<String>, bool), ProviderError> {
        Ok(match self.access()? {
            Access::InCluster => (None, None, true),
            Access::Server { .. } => (None, None, false),
            Access::Kubeconfig { files, .. } => {
                (Some(joined(files)), self.kubeconfig()?.map(|(_, context)| context), false)
            }
        })
    }

    /// Reads files and service accounts, and returns the settings of the client.
    ///
    /// # Errors
    /// When a file cannot be read, or lacks the context.
    pub(crate) async fn client(&self) -> Result<kube::Config, ProviderError> {
        let mut config = match self.access()? {
            Access::InCluster => kube::Config::incluster().map_err(|error| {
                let message = format!("this process has no service account of a pod: {}", in_words(&error));
                let solution = "outside of a pod, write `kubeconfig: ~/.kube/config` in place of";
                ProviderError::unconfigured(message).solution(format!("{solution} {}", self.source("inCluster")))
            })?,
            Access::Kubeconfig { .. } => {
                let (merged, context) = self.kubeconfig()?.unwrap_or_default();
                self.of_kubeconfig(merged, context).await?
            }
            Access::Server { url, token, ca_file } => {
                let mut config = kube::Config::new(url.clone());
                config.auth_info.token = token.as_ref().map(|token| token.expose_secret().to_owned().into());
                if let Some(file) = ca_file
                    && let Err(error) = std::fs::metadata(file)
                {
                    let message = format!("`caFile` {}: {error}", file.display());
                    return Err(ProviderError::new(
                        ErrorKind::InvalidInput { path: Some(Path::attribute("caFile")) },
                        message,
                    )
                    .solution(NAME_AUTHORITY));
                }
                config.root_cert_file.clone_from(ca_file);
                config
            }
        };
        check_credentials(&config.cluster_url.to_string(), self.allows_plain_http, Path::attribute("server"))?;
        config.connect_timeout = Some(self.timeout);
        config.read_timeout = Some(self.timeout);
        config.write_timeout = Some(self.timeout);
        config.reset_reader_on_write = true;
        // The engine retries.
        config.default_retry = false;
        Ok(config)
    }

    async fn of_kubeconfig(&self, merged: Kubeconfig, context: String) -> Result<kube::Config, ProviderError> {
        let cluster = context_of(&merged, &context).map(|context| context.cluster.as_str()).unwrap_or_default();
        let server = merged.clusters.iter().find(|it| it.name == cluster);
        let server = server.and_then(|named| named.cluster.as_ref()?.server.as_deref());
        if let Some(why) = server.and_then(wrong_address) {
            let message = format!("the `server` of the kubeconfig's cluster {why}");
            let solution =
                format!("write `server: https://HOST:PORT` for the cluster `{cluster}` in {}", self.address_place());
            return Err(wrong("kubeconfig", message).solution(solution));
        }
        let options = KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
        kube::Config::from_custom_kubeconfig(merged, &options).await.map_err(|error| {
            let why = match error {
                // They may quote credentials.
                KubeconfigError::Parse(_) | KubeconfigError::ParseClusterUrl(_) | KubeconfigError::ParseProxyUrl(_) => {
                    String::new()
                }
                error => format!(": {}", in_words(&error)),
            };
            wrong("kubeconfig", format!("the kubeconfig file is not valid{why}")).solution(self.client_hint().1)
        })
    }

    /// The merged files, and the name of the context; nothing without files.
    ///
    /// # Errors
    /// When a file cannot be read, or lacks the context.
    fn kubeconfig(&self) -> Result<Option<(Kubeconfig, String)>, ProviderError> {
        let Some(Access::Kubeconfig { files, context }) = &self.access else { return Ok(None) };
        let merged = merged(files).map_err(|unreadable| {
            let source = self.source("kubeconfig");
            let file = unreadable.file.display();
            let solution = match unreadable.is_text {
                // kubectl takes a missing file for an empty one.
                false => format!("correct {source}: name a file that exists, and that this user may read"),
                true => format!("correct the file until `kubectl config view --kubeconfig {}` reads it, or name another file: {source}", quoted(&file.to_string())),
            };
            wrong("kubeconfig", format!("the kubeconfig file {file} cannot be read: {}", unreadable.why)).solution(solution)
        })?;
        let mut names: Vec<&str> = merged.contexts.iter().map(|context| context.name.as_str()).collect();
        names.sort_unstable();
        let (files, listed) = (joined(files), terrace_provider::names::listed(&names));
        let source = self.sources.get("kubeconfig").map(|source| format!(" (chosen by {source})")).unwrap_or_default();
        let known = format!("the contexts of `{files}`{source} are: {listed}");
        let wanted = context.as_ref().or(merged.current_context.as_ref()).filter(|name| !name.is_empty());
        let Some(name) = wanted else {
            let command = format!("KUBECONFIG={} kubectl config use-context NAME", quoted(&files));
            return Err(wrong("context", "the kubeconfig file has no current context".to_owned())
                .solution(format!("set `context` of the instance, or choose one with `{command}`; {known}")));
        };
        if !names.contains(&name.as_str()) {
            let place = match context {
                Some(_) => self.source("context"),
                None => "`current-context` of the file".to_owned(),
            };
            return Err(wrong("context", format!("the kubeconfig file has no context `{name}`"))
                .did_you_mean(name, &names)
                .solution(format!("correct {place}; {known}")));
        }
        let name = name.clone();
        Ok(Some((merged, name)))
    }
}

/// Returns true for an instance whose settings have the variables' values.
fn has_variable(instance: &str) -> bool {
    ["kubernetes", "pipelines"].contains(&instance)
}

/// Files as in the variable.
fn joined(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(":")
}

fn wrong(setting: &str, message: String) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute(setting)), message)
}

/// The reason that the address of a cluster cannot be used. The library panics at an address without a scheme, and its errors may
/// quote a password.
fn wrong_address(server: &str) -> Option<&'static str> {
    let is_known = |scheme: &str| ["https", "http"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let rest = server.split_once("://").filter(|(scheme, _)| is_known(scheme)).map(|(_, rest)| rest);
    match rest {
        None if !server.is_empty() => Some("does not begin with `https://`"),
        None => Some("has no host"),
        Some(rest) if rest.is_empty() || rest.starts_with([':', '/']) => Some("has no host"),
        Some(_) => server.parse::<Uri>().is_err().then_some("is not a URL"),
    }
}

fn context_of<'a>(merged: &'a Kubeconfig, name: &str) -> Option<&'a Context> {
    merged.contexts.iter().find(|context| context.name == name)?.context.as_ref()
}

/// A file that cannot be read.
struct Unreadable<'a> {
    file: &'a FilePath,
    why: String,
    /// It has other text than that of a kubeconfig.
    is_text: bool,
}

/// The content of several files as kubectl merges them: the first file that sets a value wins, and files that do not
/// exist count as empty, as long as one exists.
/// <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files>
fn merged(files: &[PathBuf]) -> Result<Kubeconfig, Unreadable<'_>> {
    let mut merged = Kubeconfig::default();
    let has_some = files.iter().any(|file| file.exists());
    for file in files.iter().filter(|file| !has_some || file.exists()) {
        // The library's reader of other encodings panics at half a character.
        let bytes = std::fs::read(file).map_err(|error| Unreadable { file, why: error.to_string(), is_text: false })?;
        let wrong_text = |why: &str| Unreadable { file, why: why.to_owned(), is_text: true };
        if std::str::from_utf8(&bytes).is_err() {
            return Err(wrong_text("it is not UTF-8"));
        }
        // Errors of the library quote lines, which may hold tokens.
        let read = Kubeconfig::read_from(file).map(|mut read| {
            // `kubectl config unset` leaves an empty name, which is not a value.
            read.current_context = read.current_context.filter(|name| !name.is_empty());
            read
        });
        let read = read.and_then(|read| merged.clone().merge(read));
        merged = read.map_err(|_| wrong_text("it is not the YAML of a kubeconfig"))?;
    }
    Ok(merged)
}

/// An error with its causes.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// A file of the project, or of the home folder.
fn located(file: &str, project_folder: &FilePath) -> PathBuf {
    match (file.strip_prefix("~/"), std::env::home_dir()) {
        (Some(file), Some(home)) => home.join(file),
        _ => project_folder.join(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(values: serde_json::Value) -> Settings {
        let mut settings = terrace_provider::conformance::settings(FilePath::new("/project"));
        settings.values = terrace_provider::conformance::attributes(&values).unwrap();
        settings
    }

    #[track_caller]
    fn refused(values: serde_json::Value, message: &str) {
        let error = Config::read(&settings(values)).unwrap_err();
        assert!(error.message.contains(message) && error.hint().is_some(), "{error:?}");
    }

    #[test]
    fn contradicting_settings_are_refused() {
        refused(json!({"token": "t"}), "`token` belongs to `server`");
        refused(json!({"caFile": "ca.pem"}), "`caFile` belongs to `server`");
        refused(json!({"inCluster": true, "server": "https://h"}), "both set");
        refused(json!({"server": "cluster.example.com"}), "not a URL");
        refused(json!({"server": "http://cluster.example.com", "token": "t"}), "another machine");
        refused(json!({"kubeconfig": "c", "timeout": 0}), "not a valid time");
    }

    #[test]
    fn files_are_relative_to_the_project() {
        let config = Config::read(&settings(json!({"kubeconfig": "a:/etc/b", "context": "c"}))).unwrap();
        let Some(Access::Kubeconfig { files, context, .. }) = config.access else { panic!() };
        assert_eq!(files, [PathBuf::from("/project/a"), PathBuf::from("/etc/b")]);
        assert_eq!(context.as_deref(), Some("c"));
    }

    #[test]
    fn instance_without_a_cluster_is_not_configured() {
        let config = Config::read(&settings(json!({}))).unwrap();
        let error = config.access().unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotConfigured);
        // A key `environments: …` in the hint would be the second one of the file.
        let written = "write `kubeconfig: ~/.kube/config` under `environments.conformance.providers.conformance` of terrace.yaml, \
                       in a pod `inCluster: true`";
        assert_eq!(error.hint().as_deref(), Some(written), "{error:?}");
    }

    #[tokio::test]
    async fn hints_name_the_source_of_the_setting() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, "contexts: [{name: a, context: {cluster: c, user: bob}}]\ncurrent-context: a\n").unwrap();
        let hint = async |values: serde_json::Value, sources: &[(&str, &str)]| {
            let mut settings = settings(values);
            settings.instance = "pipelines".to_owned();
            settings.sources =
                sources.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
            let config = Config::read(&settings).unwrap();
            (config.client().await.unwrap_err().hint().unwrap(), config.credentials_hint())
        };
        let (place, variable) = ("`kubeconfig` at terrace.yaml:5:9", "the variable KUBECONFIG");
        for (sources, source) in [
            (&[("kubeconfig", place)][..], place),
            (&[("kubeconfig", variable)], variable),
            (&[], "the setting `kubeconfig` (without that setting: the variable KUBECONFIG)"),
        ] {
            let (hint, _) = hint(json!({"kubeconfig": "none"}), sources).await;
            assert_eq!(hint, format!("correct {source}: name a file that exists, and that this user may read"));
        }
        let context = ("context", "`context` at terrace.yaml:6:9");
        let (unknown, _) = hint(json!({"kubeconfig": file, "context": "x"}), &[("kubeconfig", place), context]).await;
        let file = file.display();
        assert_eq!(
            unknown,
            format!("correct `context` at terrace.yaml:6:9; the contexts of `{file}` (chosen by {place}) are: `a`")
        );
        let values = json!({"kubeconfig": file.to_string(), "context": "a"});
        let (invalid, credentials) = hint(values, &[("kubeconfig", place), context]).await;
        let place = format!("the kubeconfig file `{file}` (context `a`, chosen by `context` at terrace.yaml:6:9)");
        assert_eq!(invalid, format!("correct the cluster and the user of the context in {place}"));
        assert_eq!(
            credentials,
            format!(
                "renew the credentials of the user `bob` in {place}; `KUBECONFIG={file} kubectl --context a get --raw /version` \
                 checks them"
            )
        );
    }

    #[tokio::test]
    async fn wrong_kubeconfig_files_are_reported_with_their_setting() {
        let folder = tempfile::tempdir().unwrap();
        let check = async |text: Option<&str>, more: serde_json::Value, message: &str, hint: &str| {
            let file = folder.path().join("config");
            let _ = std::fs::remove_file(&file);
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let mut values = json!({"kubeconfig": file});
            values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let error = Config::read(&settings(values)).unwrap().client().await.unwrap_err();
            assert!(error.message.contains(message) && error.hint().unwrap().contains(hint), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        };
        std::fs::write(folder.path().join("utf-16"), b"\xff\xfe\x00").unwrap();
        let half = json!({"kubeconfig": folder.path().join("utf-16")});
        let error = Config::read(&settings(half)).unwrap().client().await.unwrap_err();
        assert!(error.message.contains("it is not UTF-8"), "{error:?}");
        let one = "apiVersion: v1\nkind: Config\ncontexts: [{name: test, context: {cluster: c, user: u}}]\n";
        check(None, json!({}), "cannot be read", "correct the setting `kubeconfig`: name a file that exists").await;
        check(Some("a: [b"), json!({}), "cannot be read", "kubectl config view").await;
        check(Some("kind: [Config\n token: hunter2\n"), json!({}), "cannot be read", "kubectl config view").await;
        check(Some("\u{0}\u{feff}a"), json!({}), "cannot be read", "kubectl config view").await;
        check(Some(one), json!({}), "no current context", "are: `test`").await;
        let wrong = format!("{one}current-context: tests\n");
        check(Some(&wrong), json!({}), "no context `tests`", "correct `current-context` of the file").await;
        check(Some(one), json!({"context": "tests"}), "no context `tests`", "did you mean `test`").await;
        check(Some(one), json!({"context": "test"}), "not valid", "cluster and the user").await;
    }

    #[tokio::test]
    async fn several_kubeconfig_files_are_merged_as_kubectl_does() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let head = "apiVersion: v1\nkind: Config\n";
        write("users", &format!("{head}current-context: ''\nusers: [{{name: u, user: {{token: t}}}}]\n"));
        let context = |server: &str| {
            format!(
                "contexts: [{{name: {server}, context: {{cluster: c, user: u}}}}]\nclusters: [{{name: c, cluster: {{server: 'https://{server}'}}}}]\n"
            )
        };
        write("one", &format!("{head}current-context: one\n{}", context("one")));
        write("two", &format!("{head}current-context: two\n{}", context("two")));
        let config = |files: &str| {
            let files: Vec<String> =
                files.split(':').map(|file| folder.path().join(file).display().to_string()).collect();
            Config::read(&settings(json!({"kubeconfig": files.join(":")}))).unwrap()
        };
        for (files, context, server) in [("missing:users:one:two", "one", "one"), ("users:two:one:none", "two", "two")]
        {
            let config = config(files);
            assert_eq!(config.origin().unwrap().1.as_deref(), Some(context), "{files}");
            assert_eq!(config.client().await.unwrap().cluster_url.host(), Some(server), "{files}");
        }
        let error = config("missing:none").client().await.unwrap_err();
        assert!(error.message.contains("missing cannot be read"), "{error:?}");
        for (address, why) in [
            ("127.0.0.1:1", "does not begin with `https://`"),
            ("localhost", "does not begin with `https://`"),
            ("ftp://localhost", "does not begin with `https://`"),
            ("", "has no host"),
            ("https://", "has no host"),
            ("https://:6443", "has no host"),
            ("https://u:hunter2@a b", "is not a URL"),
        ] {
            write("other", &format!("{head}current-context: a\n{}", context("a").replace("https://a", address)));
            let error = config("other").client().await.unwrap_err();
            assert!(error.message.ends_with(why) && !format!("{error:?}").contains("hunter2"), "{error:?}");
            assert!(error.hint().unwrap().contains("for the cluster `c` in the kubeconfig file"), "{error:?}");
        }
    }
}

//! Client for other crates that use a cluster: plain JSON objects of a namespace, logs, and programs in containers.
//! It has the settings, the limits and the messages of the provider.

use crate::cluster::{Cluster, query};
use crate::config::Config;
use crate::failure::{Conflict, Failure, Purpose, Refusal};
use crate::fields::MANAGER;
use crate::grant::{NeededRight, in_words};
pub use crate::program::{Attached, Program};
use futures_util::AsyncBufReadExt;
use futures_util::io::AsyncBufRead;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, AttachedProcess};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, ProviderError, Settings};
use tokio::io::{AsyncRead, AsyncWrite};

pub use crate::grant::DeployedRole;

/// Longest line of a log in bytes.
const LONGEST_LINE: usize = 4 << 20;
/// Bytes of output that wait for the reader.
const BUFFER: usize = 256 << 10;

/// Client of a cluster and a namespace.
pub struct Client {
    cluster: Cluster,
    namespace: String,
    /// The place of the setting `namespace`, in words.
    namespace_source: Option<String>,
}

/// A kind of objects in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// Group and version: `batch/v1`.
    pub api_version: &'static str,
    /// The name in URLs: `jobs`.
    pub plural: &'static str,
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// The server has no such object.
    NotFound,
    /// The server does not serve the API of the object, such as that of a missing CustomResourceDefinition.
    Unserved,
    /// An object with this name exists.
    Exists,
    /// The server was not reached, did not answer, or was too busy: a later request may succeed.
    Unreachable,
    /// A quota of the namespace is used up.
    QuotaExceeded,
    /// The object has another version than the one in the request.
    Conflict,
    /// Any other reason.
    Refused,
}

/// A failed request.
#[derive(Debug, Clone)]
pub struct ClientError {
    /// Why it failed.
    pub kind: ClientErrorKind,
    /// Message and hint.
    pub error: ProviderError,
}

/// The place to which the settings of a client lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// URL of the API server, without a user.
    pub server: String,
    /// Files of the kubeconfig, separated by `:`; nothing without one.
    pub kubeconfig: Option<String>,
    /// The context of the kubeconfig.
    pub context: Option<String>,
    /// The service account of the pod is used.
    pub is_in_cluster: bool,
}

/// A field of an object that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedField {
    /// Name of the manager: `kubectl-edit`.
    pub manager: String,
    /// Path of the field: `spec.suspend`.
    pub field: String,
}

/// The time at which dependents of a deleted object are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Before the object, which exists until then.
    Foreground,
    /// After the object.
    Background,
}

/// A right to a kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The verb of the API: `create`.
    pub verb: &'static str,
    /// Group of the API, empty for the core group.
    pub group: &'static str,
    /// The name in URLs, for a part of an object as in `pods/log`.
    pub resource: &'static str,
}

/// Rights that an identity lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRights {
    /// Verbs and resources: `create, get jobs.batch; list pods`.
    pub words: String,
    /// The remedy, with the commands.
    pub hint: String,
    /// The commands for an administrator that grant them.
    pub commands: Vec<String>,
}

impl Client {
    /// A client with the settings `kubeconfig`, `context`, `inCluster` or `server`. Sends nothing.
    ///
    /// # Errors
    /// When settings are invalid.
    pub fn open(settings: &Settings, namespace: &str) -> Result<Self, ProviderError> {
        Ok(Self {
            cluster: Cluster::new(Config::read(settings)?),
            namespace: namespace.to_owned(),
            namespace_source: settings.sources.get("namespace").cloned(),
        })
    }

    /// Sets the role that hints about missing rights name.
    #[must_use]
    pub fn with_role(self, role: DeployedRole) -> Self {
        Self { cluster: self.cluster.with_role(role, &self.namespace), ..self }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The place of the setting `namespace`, in words: ``` `namespace` at terrace.yaml:9:9 ```.
    #[must_use]
    pub fn namespace_source(&self) -> Option<&str> {
        self.namespace_source.as_deref()
    }

    /// The place to which the settings lead. Opens files, and sends nothing.
    ///
    /// # Errors
    /// When the settings do not lead to a cluster.
    pub async fn origin(&self) -> Result<Origin, ClientError> {
        let purpose = Purpose { verb: "get", what: "the API server".to_owned(), is_read: true, ..Purpose::default() };
        let failed = |error| self.error(Failure::Settings(Box::new(error)), &purpose);
        let (_, server) = self.cluster.client().await.map_err(|failure| self.error(failure, &purpose))?;
        let (kubeconfig, context, is_in_cluster) = self.cluster.config.origin().map_err(failed)?;
        Ok(Origin { server: server.clone(), kubeconfig, context, is_in_cluster })
    }

    /// The time by the clock of the server, as in the header `Date` (RFC 9110); nothing if a proxy leaves it out.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn date(&self) -> Result<Option<String>, ClientError> {
        let purpose = Purpose { verb: "get", what: "the API server".to_owned(), is_read: true, ..Purpose::default() };
        self.cluster.date().await.map_err(|failure| self.error(failure, &purpose))
    }

    fn path(&self, resource: Resource, name: &str) -> String {
        let base = match resource.api_version {
            "v1" => "/api/v1".to_owned(),
            version => format!("/apis/{version}"),
        };
        let name = if name.is_empty() { String::new() } else { format!("/{}", crate::cluster::part(name)) };
        format!("{base}/namespaces/{}/{}{name}", crate::cluster::part(&self.namespace), resource.plural)
    }

    fn purpose(&self, verb: &'static str, resource: Resource, name: &str) -> Purpose<'static> {
        let group = resource.api_version.split_once('/').map_or("", |(group, _)| group);
        let name = if name.is_empty() { String::new() } else { format!(" `{}/{name}`", self.namespace) };
        Purpose {
            verb,
            what: format!("{}{name}", resource.plural),
            resource: if group.is_empty() {
                resource.plural.to_owned()
            } else {
                format!("{}.{group}", resource.plural)
            },
            namespace: self.namespace.clone(),
            // Names are fixed, so a repeated request does no harm.
            is_read: true,
            ..Purpose::default()
        }
    }

    fn error(&self, failure: Failure, purpose: &Purpose<'_>) -> ClientError {
        let kind = match &failure {
            Failure::NotSent(_) | Failure::Lost(_) | Failure::NotJson(_) => ClientErrorKind::Unreachable,
            Failure::Answered(refusal) if refusal.is_not_found() && !refusal.is_namespace_missing() => {
                ClientErrorKind::NotFound
            }
            Failure::Answered(refusal) if refusal.code == 404 && refusal.reason.is_empty() => ClientErrorKind::Unserved,
            Failure::Answered(refusal) if refusal.reason == "AlreadyExists" => ClientErrorKind::Exists,
            Failure::Answered(refusal) if refusal.is_quota_exceeded() => ClientErrorKind::QuotaExceeded,
            Failure::Answered(refusal) if refusal.code == 409 && refusal.conflicts().is_empty() => {
                ClientErrorKind::Conflict
            }
            Failure::Answered(refusal) if refusal.code == 429 || refusal.code >= 500 => ClientErrorKind::Unreachable,
            _ => ClientErrorKind::Refused,
        };
        ClientError { kind, error: self.cluster.error(failure, purpose) }
    }

    /// The error of a request that the client library sent.
    async fn library_error(&self, failure: Failure, purpose: &Purpose<'_>) -> ClientError {
        if matches!(&failure, Failure::Answered(refusal) if refusal.is_missing_right()) {
            self.cluster.learn_caller().await;
        }
        self.error(failure, purpose)
    }

    /// Creates an object, whose name is in the manifest.
    ///
    /// # Errors
    /// [`ClientErrorKind::Exists`] if an object has the name.
    pub async fn create(&self, resource: Resource, object: &Json) -> Result<Json, ClientError> {
        let name = object.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
        let path = format!("{}?fieldManager=terrace", self.path(resource, ""));
        let answer = self.cluster.request(Method::POST, &path, Some(("application/json", object))).await;
        answer.map(|reply| reply.object).map_err(|failure| self.error(failure, &self.purpose("create", resource, name)))
    }

    /// Has the server check a new object, which it does not store: its namespace, its fields, and the policies of the
    /// cluster.
    ///
    /// # Errors
    /// When the server would refuse the object.
    pub async fn check_new(&self, resource: Resource, object: &Json) -> Result<(), ClientError> {
        let path = format!("{}?fieldManager=terrace&dryRun=All", self.path(resource, ""));
        let answer = self.cluster.request(Method::POST, &path, Some(("application/json", object))).await;
        answer.map(drop).map_err(|failure| self.error(failure, &self.purpose("create", resource, "")))
    }

    /// Number of nodes that have an image, and of all nodes; nothing if the identity may not list nodes. A node lists
    /// its 50 largest images.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn nodes_with_image(&self, image: &str) -> Result<Option<(usize, usize)>, ClientError> {
        let nodes = Resource { api_version: "v1", plural: "nodes" };
        let found = match self.cluster.list_at("/api/v1/nodes", &[]).await {
            Err(Failure::Answered(refusal)) if refusal.code == 403 => return Ok(None),
            found => found.map_err(|failure| self.error(failure, &self.purpose("list", nodes, "")))?,
        };
        let has_image = |node: &&Json| {
            let images = node.pointer("/status/images").and_then(Json::as_array).into_iter().flatten();
            let mut names = images.filter_map(|image| image.get("names")?.as_array()).flatten();
            names.any(|name| name == image)
        };
        Ok(Some((found.iter().filter(has_image).count(), found.len())))
    }

    /// Creates an object, or changes its fields, by server-side apply. Takes over fields that other managers own. The name is
    /// in the manifest.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn apply(&self, resource: Resource, object: &Json) -> Result<Json, ClientError> {
        let answer = self.send_apply(resource, object, "&force=true").await;
        let name = object.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
        answer.map_err(|failure| self.error(failure, &self.purpose("patch", resource, name)))
    }

    /// Has the server check an object for [`Client::apply`], which it does not store. Returns the fields that other managers
    /// own with other values; those of [`Client::create`] belong to terrace, too.
    ///
    /// # Errors
    /// When the server would refuse the object for another reason, or does not answer.
    pub async fn check_apply(&self, resource: Resource, object: &Json) -> Result<Vec<OwnedField>, ClientError> {
        match self.send_apply(resource, object, "&dryRun=All").await {
            Ok(_) => Ok(Vec::new()),
            Err(Failure::Answered(refusal)) if !refusal.conflicts().is_empty() => {
                let of_others = refusal.conflicts().into_iter().filter(|conflict| conflict.manager != MANAGER);
                let owned: Vec<_> =
                    of_others.map(|Conflict { manager, field }| OwnedField { manager, field }).collect();
                if owned.is_empty() {
                    // The server has not checked the rest yet.
                    let checked = self.send_apply(resource, object, "&dryRun=All&force=true").await;
                    checked.map_err(|failure| self.error(failure, &self.purpose("patch", resource, "")))?;
                }
                Ok(owned)
            }
            Err(failure) => Err(self.error(failure, &self.purpose("patch", resource, ""))),
        }
    }

    async fn send_apply(&self, resource: Resource, object: &Json, options: &str) -> Result<Json, Failure> {
        let name = object.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
        let path = format!("{}?fieldManager=terrace{options}", self.path(resource, name));
        let reply = self.cluster.request(Method::PATCH, &path, Some(("application/apply-patch+yaml", object))).await?;
        Ok(reply.object)
    }

    /// Changes fields of an object by a merge patch.
    ///
    /// # Errors
    /// When the object does not exist, or the server refuses.
    pub async fn patch(&self, resource: Resource, name: &str, patch: &Json) -> Result<Json, ClientError> {
        let path = format!("{}?fieldManager=terrace", self.path(resource, name));
        let answer = self.cluster.request(Method::PATCH, &path, Some(("application/merge-patch+json", patch))).await;
        answer.map(|reply| reply.object).map_err(|failure| self.error(failure, &self.purpose("patch", resource, name)))
    }

    /// Reads an object; nothing if it does not exist.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn get(&self, resource: Resource, name: &str) -> Result<Option<Json>, ClientError> {
        let answer = self.cluster.request(Method::GET, &self.path(resource, name), None).await;
        match answer.map_err(|failure| self.error(failure, &self.purpose("get", resource, name))) {
            Ok(reply) => Ok(Some(reply.object)),
            Err(error) if error.kind == ClientErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the namespace of this client; nothing if it does not exist.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn read_namespace(&self) -> Result<Option<Json>, ClientError> {
        let path = format!("/api/v1/namespaces/{}", crate::cluster::part(&self.namespace));
        match self.cluster.request(Method::GET, &path, None).await {
            Ok(reply) => Ok(Some(reply.object)),
            Err(Failure::Answered(refusal)) if refusal.code == 404 => Ok(None),
            Err(failure) => Err(self.error(failure, &self.purpose_of_namespace("get"))),
        }
    }

    /// Creates the namespace of this client with these labels.
    ///
    /// # Errors
    /// [`ClientErrorKind::Exists`] if it exists.
    pub async fn create_namespace(&self, labels: &Json) -> Result<(), ClientError> {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels},
        });
        let path = "/api/v1/namespaces?fieldManager=terrace";
        let answer = self.cluster.request(Method::POST, path, Some(("application/json", &object))).await;
        answer.map(drop).map_err(|failure| self.error(failure, &self.purpose_of_namespace("create")))
    }

    /// The remedy if the server reports that the namespace does not exist; nothing if it exists, or if the identity may not
    /// read it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn hint_for_missing_namespace(&self) -> Result<Option<String>, ClientError> {
        let may_exist = self.cluster.may_have_namespace(&self.namespace).await;
        let may_exist = may_exist.map_err(|failure| self.error(failure, &self.purpose_of_namespace("get")))?;
        Ok((!may_exist).then(|| self.cluster.caller().namespace_hint(&self.namespace)))
    }

    fn purpose_of_namespace(&self, verb: &'static str) -> Purpose<'static> {
        Purpose {
            verb,
            what: format!("the namespace `{}`", self.namespace),
            resource: "namespaces".to_owned(),
            is_read: true,
            ..Purpose::default()
        }
    }

    /// Lists objects by selectors, such as `("labelSelector", "a=b")`.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn list(&self, resource: Resource, selectors: &[(&str, String)]) -> Result<Vec<Json>, ClientError> {
        let found = self.cluster.list_at(&self.path(resource, ""), selectors).await;
        found.map_err(|failure| self.error(failure, &self.purpose("list", resource, "")))
    }

    /// Requests the deletion of an object and its dependents. An object that does not exist is deleted.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn delete(&self, resource: Resource, name: &str, propagation: Propagation) -> Result<(), ClientError> {
        self.send_delete(resource, name, propagation, json!({})).await
    }

    /// Requests the deletion of this object, which was read before, and its dependents. A successor with its name stays.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn delete_read(
        &self,
        resource: Resource,
        object: &Json,
        propagation: Propagation,
    ) -> Result<(), ClientError> {
        let text = |at: &str| object.pointer(at).and_then(Json::as_str).unwrap_or_default();
        let preconditions = json!({"uid": text("/metadata/uid")});
        match self.send_delete(resource, text("/metadata/name"), propagation, preconditions).await {
            // The name is that of a successor.
            Err(error) if error.kind == ClientErrorKind::Conflict => Ok(()),
            deleted => deleted,
        }
    }

    async fn send_delete(
        &self,
        resource: Resource,
        name: &str,
        propagation: Propagation,
        preconditions: Json,
    ) -> Result<(), ClientError> {
        let policy = match propagation {
            Propagation::Foreground => "Foreground",
            Propagation::Background => "Background",
        };
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy, "preconditions": preconditions,
        });
        let path = self.path(resource, name);
        let answer = self.cluster.request(Method::DELETE, &path, Some(("application/json", &options))).await;
        match answer.map_err(|failure| self.error(failure, &self.purpose("delete", resource, name))) {
            Err(error) if error.kind != ClientErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The missing ones of these rights, with a hint; nothing if none is missing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn missing_rights(&self, rights: &[Right]) -> Result<Option<MissingRights>, ClientError> {
        let reviews = rights.iter().map(|right| async move {
            let (resource, part) = right.resource.split_once('/').unwrap_or((right.resource, ""));
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {
                    "verb": right.verb, "group": right.group, "resource": resource, "subresource": part,
                    "namespace": self.namespace,
                }},
            });
            let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let answer = self.cluster.request(Method::POST, path, Some(("application/json", &review))).await;
            let reviews = Resource { api_version: "authorization.k8s.io/v1", plural: "selfsubjectaccessreviews" };
            let answer = answer.map_err(|failure| self.error(failure, &self.purpose("create", reviews, "")))?;
            Ok::<_, ClientError>((
                right,
                answer.object.pointer("/status/allowed").and_then(Json::as_bool) == Some(true),
            ))
        });
        let answers: Vec<_> = futures_util::future::try_join_all(reviews).await?;
        let needed = |right: &Right| NeededRight {
            verb: right.verb.to_owned(),
            group: right.group.to_owned(),
            resource: right.resource.to_owned(),
        };
        let missing = answers.into_iter().filter(|(_, is_allowed)| !is_allowed);
        let missing: Vec<NeededRight> = missing.map(|(right, _)| needed(right)).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        self.cluster.learn_caller().await;
        let (caller, namespace) = (self.cluster.caller(), self.namespace.as_str());
        let (hint, commands) = (caller.hint(&missing, namespace), caller.commands(&missing, namespace));
        Ok(Some(MissingRights { words: in_words(&missing), hint, commands }))
    }

    /// Follows the log of a container, from a time (RFC 3339, by the clock of its node) or from its start.
    ///
    /// # Errors
    /// When the container has no log yet, or the server does not answer.
    pub async fn log(&self, pod: &str, container: &str, since: Option<&str>) -> Result<Log, ClientError> {
        let logs = Resource { api_version: "v1", plural: "pods" };
        let mut parameters = vec![("container", container.to_owned()), ("follow", "true".to_owned())];
        parameters.extend(since.map(|since| ("sinceTime", since.to_owned())));
        let path = format!("{}/log{}", self.path(logs, pod), query(&parameters));
        let purpose = Purpose { resource: "pods/log".to_owned(), ..self.purpose("get", logs, pod) };
        let failed = |failure| self.error(failure, &purpose);
        let request = http::Request::builder().uri(path).body(Vec::new());
        let request = request.map_err(|error| failed(Failure::NotSent(error.to_string())))?;
        let client = self.cluster.client().await.map_err(failed)?;
        let stream = tokio::time::timeout(self.cluster.config.timeout, client.0.request_stream(request)).await;
        match stream.map_err(|_| failed(Failure::Lost("no answer in time".to_owned())))? {
            Ok(stream) => Ok(Log { stream: Box::pin(stream) }),
            Err(error) => Err(self.library_error(Failure::of(&error), &purpose).await),
        }
    }

    /// Opens a connection to a port of a pod.
    ///
    /// # Errors
    /// When the pod does not run, or the server does not answer.
    pub async fn forward(
        &self,
        pod: &str,
        port: u16,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, ClientError> {
        let pods = Resource { api_version: "v1", plural: "pods" };
        let purpose = Purpose { resource: "pods/portforward".to_owned(), ..self.purpose("create", pods, pod) };
        let failed = |failure| self.error(failure, &purpose);
        let client = self.cluster.connecting_client().await.map_err(failed)?;
        let api: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let opened = tokio::time::timeout(self.cluster.config.timeout, api.portforward(pod, &[port])).await;
        let mut forwarder = match opened.map_err(|_| failed(Failure::Lost("no answer in time".to_owned())))? {
            Ok(forwarder) => forwarder,
            Err(error) => return Err(self.library_error(Failure::of(&error), &purpose).await),
        };
        forwarder.take_stream(port).ok_or_else(|| failed(Failure::Lost("the connection ended".to_owned())))
    }

    /// Runs a program in a container, and returns its output.
    ///
    /// # Errors
    /// When the container does not run, or the server does not answer.
    pub async fn execute(&self, pod: &str, container: &str, command: &[&str]) -> Result<Program, ClientError> {
        let how = AttachParams::default().container(container).stdin(false).max_stdout_buf_size(BUFFER);
        self.exec(pod, command, &how).await.map(Program::new)
    }

    /// Starts a program in a container, with its input; with a terminal if the caller has one.
    ///
    /// # Errors
    /// When the container does not run, or the server does not answer.
    pub async fn attach(
        &self,
        pod: &str,
        container: &str,
        command: &[&str],
        has_terminal: bool,
    ) -> Result<Attached, ClientError> {
        let how = AttachParams { stdin: true, stderr: !has_terminal, tty: has_terminal, ..AttachParams::default() };
        self.exec(pod, command, &how.container(container)).await.map(Attached::new)
    }

    async fn exec(&self, pod: &str, command: &[&str], how: &AttachParams) -> Result<AttachedProcess, ClientError> {
        let pods = Resource { api_version: "v1", plural: "pods" };
        let purpose = Purpose { resource: "pods/exec".to_owned(), ..self.purpose("create", pods, pod) };
        let failed = |failure| self.error(failure, &purpose);
        let client = self.cluster.connecting_client().await.map_err(failed)?;
        let api: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let started = tokio::time::timeout(self.cluster.config.timeout, api.exec(pod, command.to_vec(), how)).await;
        match started.map_err(|_| failed(Failure::Lost("no answer in time".to_owned())))? {
            Ok(process) => Ok(process),
            Err(error) => Err(self.library_error(Failure::of(&error), &purpose).await),
        }
    }
}

/// The log of a container while it grows.
pub struct Log {
    stream: std::pin::Pin<Box<dyn AsyncBufRead + Send>>,
}

impl Log {
    /// The next line, cut if it is very long; nothing at the end of the log.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = Vec::new();
        loop {
            // The connection may end between two parts of a line.
            let part = self.stream.fill_buf().await?;
            if part.is_empty() {
                return Ok(None);
            }
            let (taken, is_complete) = match part.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (part.len(), false),
            };
            let room = LONGEST_LINE.saturating_sub(line.len());
            line.extend(part.iter().take(taken.min(room)));
            self.stream.consume_unpin(taken);
            if is_complete {
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
        }
    }
}

impl Failure {
    /// The failure of a request that the client library sent.
    fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let body = json!({
                    "kind": "Status", "reason": status.reason, "message": status.message,
                    "details": {"kind": status.details.as_ref().map(|details| details.kind.clone())},
                });
                Self::Answered(Box::new(Refusal::of(status.code, body.to_string().as_bytes())))
            }
            error => crate::cluster::not_answered(error),
        }
    }
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error.message)?;
        self.error.problems.iter().try_for_each(|problem| write!(f, ": {problem}"))
    }
}

impl ClientError {
    /// The hint of the error.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.error.hint()
    }

    /// True if a later request may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == ClientErrorKind::Unreachable
            || matches!(self.error.kind, ErrorKind::Transient | ErrorKind::Throttled { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::io::{AsyncReadExt as _, BufReader, Cursor};
    use std::io;

    /// A log with this text, after which the connection ends with an error or the log ends.
    fn log(text: &[u8], is_broken: bool) -> Log {
        let rest = futures_util::stream::iter(is_broken.then(|| Err::<Vec<u8>, _>(io::Error::other("reset"))));
        let rest = futures_util::TryStreamExt::into_async_read(rest);
        Log { stream: Box::pin(BufReader::new(Cursor::new(text.to_vec()).chain(rest))) }
    }

    #[test]
    fn refusal_without_a_reason_is_that_of_the_cluster() {
        let refusal = kube::core::Status::failure("admission webhook \"a\" denied the request", "").with_code(403);
        let failure = Failure::of(&kube::Error::Api(Box::new(refusal)));
        let Failure::Answered(refusal) = failure else { panic!("{failure:?}") };
        assert!(!refusal.is_of_another_server(), "{refusal:?}");
    }

    #[tokio::test]
    async fn end_of_a_log_differs_from_a_lost_connection() {
        let mut ended = log(b"one\ntwo", false);
        assert_eq!(ended.line().await.unwrap().as_deref(), Some("one"));
        assert_eq!(ended.line().await.unwrap(), None, "the last line is incomplete");
        let mut broken = log(b"one\ntwo", true);
        assert_eq!(broken.line().await.unwrap().as_deref(), Some("one"));
        assert_eq!(broken.line().await.unwrap_err().to_string(), "reset");
    }

    #[tokio::test]
    async fn long_line_is_cut_and_the_next_one_read() {
        let text = [vec![b'x'; LONGEST_LINE + 10], b"\nnext\n".to_vec()].concat();
        let mut log = log(&text, false);
        assert_eq!(log.line().await.unwrap().map(|line| line.len()), Some(LONGEST_LINE));
        assert_eq!(log.line().await.unwrap().as_deref(), Some("next"));
    }
}

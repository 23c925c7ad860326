//! Requests to an API server, and the kinds that it serves.
//!
//! Objects are plain JSON: the types of the client library would change numbers and drop fields.

use crate::config::{Config, in_words};
use crate::failure::{self, Failure, Purpose, Refusal};
use crate::fields::MANAGER;
use crate::grant::{Caller, DeployedRole};
use crate::identity::{Identity, REVIEW};
use crate::target::Target;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::{AuthError, Body};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::names::{closest, listed};
use terrace_provider::{ErrorKind, Path, ProviderError};
use tokio::sync::OnceCell;

/// Characters that stay as they are in a part of a URL.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Status of a page that the server does not know any more.
const EXPIRED: u16 = 410;
/// Number of tries of a list whose pages are forgotten.
const LIST_TRIES: usize = 3;
/// Number of objects in one page of a list.
const PAGE: usize = 500;
/// Largest answer in bytes: ten times the largest page of etcd's largest objects would not fit into memory.
const LARGEST_ANSWER: usize = 512 * 1024 * 1024;

/// Longest silence of a connection to a pod. To programs, the library sends a ping each minute, which the server answers.
const SILENCE: Duration = Duration::from_secs(150);

/// A cluster with one identity.
pub(crate) struct Cluster {
    pub(crate) config: Config,
    client: OnceCell<(kube::Client, String)>,
    connecting_client: OnceCell<kube::Client>,
    /// The kinds of each group and version.
    kinds: Mutex<HashMap<String, Arc<Vec<Kind>>>>,
    id: OnceCell<Option<String>>,
    /// The role that another program creates for the rights of this cluster's callers, and its namespace.
    role: Option<(DeployedRole, String)>,
    caller: OnceCell<Caller>,
}

/// A kind of objects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kind {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// The name in URLs: `deployments`.
    pub(crate) plural: String,
    pub(crate) is_namespaced: bool,
}

impl Kind {
    /// The name for rights: `deployments.apps`.
    pub(crate) fn resource(&self) -> String {
        match self.api_version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural),
            None => self.plural.clone(),
        }
    }

    /// Checks that a namespace is given exactly if the kind is in namespaces.
    ///
    /// # Errors
    /// With the place of the namespace in the manifest.
    pub(crate) fn check_scope(&self, target: &Target) -> Result<(), ProviderError> {
        let metadata = Path::attribute("manifest").key("metadata");
        match (self.is_namespaced, target.namespace.is_empty()) {
            (true, true) => {
                let message = format!("{target} has no namespace, but objects of its kind are in namespaces");
                Err(ProviderError::invalid(Some(metadata), message).solution("write `metadata: {namespace: …}`"))
            }
            (false, false) => {
                let message = format!("{target} has a namespace, but objects of its kind belong to the whole cluster");
                Err(ProviderError::invalid(Some(metadata.key("namespace")), message).solution("remove the namespace"))
            }
            _ => Ok(()),
        }
    }

    /// The URL of the objects in a namespace; empty for all.
    pub(crate) fn list_path(&self, namespace: &str) -> String {
        let base = base(&self.api_version);
        match (self.is_namespaced, namespace) {
            (true, namespace) if !namespace.is_empty() => {
                format!("{base}/namespaces/{}/{}", part(namespace), self.plural)
            }
            _ => format!("{base}/{}", self.plural),
        }
    }

    fn path(&self, target: &Target) -> String {
        format!("{}/{}", self.list_path(&target.namespace), part(&target.name))
    }
}

/// The URL of a group and version: `/apis/apps/v1`, `/api/v1`.
fn base(api_version: &str) -> String {
    match api_version.split_once('/') {
        Some((group, version)) => format!("/apis/{}/{}", part(group), part(version)),
        None => format!("/api/{}", part(api_version)),
    }
}

/// A text as one part of a URL.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// The rest of a URL: `?a=b&c=d`.
pub(crate) fn query(parameters: &[(&str, String)]) -> String {
    let joined: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", part(value))).collect();
    if joined.is_empty() { String::new() } else { format!("?{}", joined.join("&")) }
}

/// A success answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// True if the request created an object.
    pub(crate) is_created: bool,
    pub(crate) object: Json,
}

/// A way to apply a manifest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Apply {
    /// Plan only: the server checks and completes the object, and stores nothing.
    pub(crate) is_dry_run: bool,
    /// Take over fields of other managers.
    pub(crate) takes_ownership: bool,
}

impl Apply {
    fn parameters(self, is_patch: bool) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("fieldManager", MANAGER.to_owned()), ("fieldValidation", "Strict".to_owned())];
        if is_patch {
            parameters.push(("force", self.takes_ownership.to_string()));
        }
        if self.is_dry_run {
            parameters.push(("dryRun", "All".to_owned()));
        }
        parameters
    }
}

impl Cluster {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            client: OnceCell::new(),
            connecting_client: OnceCell::new(),
            kinds: Mutex::default(),
            id: OnceCell::new(),
            role: None,
            caller: OnceCell::new(),
        }
    }

    /// Sets the role that hints name, and its namespace.
    pub(crate) fn with_role(self, role: DeployedRole, namespace: &str) -> Self {
        Self { role: Some((role, namespace.to_owned())), ..self }
    }

    /// The caller, as far as it is known.
    pub(crate) fn caller(&self) -> Caller {
        let unknown =
            || Caller { identity: Identity::Unknown, role: self.role.as_ref().map(|(role, _)| (*role, None)) };
        self.caller.get().cloned().unwrap_or_else(unknown)
    }

    /// Asks the server once for the identity of the caller and for its role, for hints.
    pub(crate) async fn learn_caller(&self) {
        let read = async |method, path: &str, body: Option<&Json>| {
            let body = body.map(|body| ("application/json", body));
            let (_, body) = self.send(method, path, body).await.ok().filter(|(status, _)| status.is_success())?;
            serde_json::from_slice::<Json>(&body).ok()
        };
        let learn = async || {
            let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
            let review = read(Method::POST, REVIEW, Some(&review)).await;
            let identity = review.as_ref().map(Identity::of_review).unwrap_or_default();
            let role = match &self.role {
                Some((role, namespace)) => {
                    let roles =
                        format!("{}/namespaces/{}/roles", base("rbac.authorization.k8s.io/v1"), part(namespace));
                    let found = read(Method::GET, &format!("{roles}/{}", part(role.name)), None).await;
                    Some((*role, found.and_then(|found| found.get("rules").cloned())))
                }
                None => None,
            };
            Caller { identity, role }
        };
        self.caller.get_or_init(learn).await;
    }

    /// The client and the URL of the server. Opens files and may run a credentials plugin, but sends nothing.
    pub(crate) async fn client(&self) -> Result<&(kube::Client, String), Failure> {
        let opened = self.client.get_or_try_init(async || {
            let config = self.config.client().await.map_err(|error| Failure::Settings(Box::new(error)))?;
            let url = without_user(&config.cluster_url.to_string());
            Ok((self.client_of(config).await?, url))
        });
        opened.await
    }

    /// The client of connections to pods, which may be silent for longer than an answer may take.
    pub(crate) async fn connecting_client(&self) -> Result<&kube::Client, Failure> {
        let opened = self.connecting_client.get_or_try_init(async || {
            let mut config = self.config.client().await.map_err(|error| Failure::Settings(Box::new(error)))?;
            config.read_timeout = Some(self.config.timeout.max(SILENCE));
            // Data from the server show that it answers; own data do not.
            config.reset_reader_on_write = false;
            self.client_of(config).await
        });
        opened.await
    }

    async fn client_of(&self, config: kube::Config) -> Result<kube::Client, Failure> {
        let runtime = tokio::runtime::Handle::current();
        // A plugin blocks the thread until it ends.
        let made = tokio::task::spawn_blocking(move || {
            let _entered = runtime.enter();
            kube::Client::try_from(config)
        });
        match made.await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(kube::Error::Auth(error))) => Err(Failure::Credentials(plugin_problem(&error))),
            Ok(Err(error)) => Err(Failure::Settings(Box::new(self.unusable(&error)))),
            Err(error) => Err(Failure::Settings(Box::new(ProviderError::bug(format!("the client ended: {error}"))))),
        }
    }

    /// The error of a client that cannot be made.
    fn unusable(&self, error: &kube::Error) -> ProviderError {
        let message = format!("no client can be made: {}", in_words(error));
        let (setting, solution) = self.config.client_hint();
        ProviderError::invalid(Some(Path::attribute(setting)), message).solution(solution)
    }

    /// Refuses a namespace that the settings of the instance do not list.
    pub(crate) fn check_allowed(&self, kind: &Kind, namespace: &str) -> Result<(), ProviderError> {
        let allowed = &self.config.namespaces;
        if allowed.is_empty() || !kind.is_namespaced || allowed.iter().any(|it| it == namespace) {
            return Ok(());
        }
        let what =
            if namespace.is_empty() { "all namespaces".to_owned() } else { format!("the namespace `{namespace}`") };
        let message = format!("the instance `{}` may not use {what}", self.config.instance);
        let names = listed(&allowed.iter().map(String::as_str).collect::<Vec<_>>());
        Err(ProviderError::new(ErrorKind::Failed, message)
            .solution(format!("`namespaces` of the instance lists {names}")))
    }

    /// The URL of the server, for messages.
    fn url(&self) -> &str {
        self.client.get().map_or("an unknown address", |(_, url)| url)
    }

    /// The provider error of a failure.
    pub(crate) fn error(&self, failure: Failure, purpose: &Purpose<'_>) -> ProviderError {
        let address =
            || format!("check the address of the cluster in {}, and the network", self.config.address_place());
        let solutions = match &failure {
            Failure::NotSent(_) => vec![address()],
            Failure::Lost(_) if purpose.is_read => {
                let slow = "increase `timeout` of the instance if the server is slow";
                std::iter::once(address()).chain(self.config.has_timeout.then(|| slow.to_owned())).collect()
            }
            Failure::NotJson(_) => vec![self.hint_for_another_server()],
            Failure::Answered(refusal) if refusal.is_of_another_server() => vec![self.hint_for_another_server()],
            Failure::Answered(refusal) if refusal.code == 404 && refusal.reason.is_empty() => {
                let place = self.config.address_place();
                vec![format!("check the address of the cluster in {place}: the server there does not have this API")]
            }
            Failure::Answered(refusal) if refusal.code == 401 => vec![self.config.credentials_hint()],
            Failure::Credentials(_) => vec![self.config.credentials_hint()],
            _ => Vec::new(),
        };
        let error = failure::error(failure, self.url(), purpose, &self.caller());
        solutions.into_iter().fold(error, ProviderError::solution)
    }

    fn hint_for_another_server(&self) -> String {
        let place = self.config.address_place();
        format!(
            "correct the address of the cluster in {place}: another server answers there, such as a proxy or a login page"
        )
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Json)>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let (client, _) = self.client().await?;
        let mut request = http::Request::builder().method(method).uri(path).header("accept", "application/json");
        let mut bytes = Vec::new();
        if let Some((content_type, json)) = body {
            request = request.header("content-type", content_type);
            bytes = serde_json::to_vec(json).map_err(|error| Failure::NotSent(error.to_string()))?;
        }
        let request = request.body(Body::from(bytes)).map_err(|error| Failure::NotSent(error.to_string()))?;
        let answer = async {
            let answer = client.send(request).await.map_err(|error| not_answered(&error))?;
            terrace_provider::wrap::silence::answered();
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::Lost(in_words(&*error)))?;
            terrace_provider::wrap::silence::answered();
            Ok((status, body.to_bytes().to_vec()))
        };
        // Longer than the limits of the client, which know more about the cause.
        let limit = self.config.timeout.saturating_add(Duration::from_secs(1));
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Lost(format!("no answer within {} s", self.config.timeout.as_secs()))),
        }
    }

    /// The header `Date` of an answer.
    pub(crate) async fn date(&self) -> Result<Option<String>, Failure> {
        let (client, _) = self.client().await?;
        let request = http::Request::builder().uri("/version").body(Body::empty());
        let request = request.map_err(|error| Failure::NotSent(error.to_string()))?;
        let answer = tokio::time::timeout(self.config.timeout, client.send(request)).await;
        let answer = answer.map_err(|_| Failure::Lost("no answer in time".to_owned()))?;
        let answer = answer.map_err(|error| not_answered(&error))?;
        Ok(answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned))
    }

    /// Sends a request, and returns the status and the body of its answer; any answer but a success is a failure.
    async fn succeed(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Json)>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let (status, body) = self.send(method, path, body).await?;
        match status.is_success() {
            true => Ok((status, body)),
            false => {
                let refusal = Refusal::of(status.as_u16(), &body);
                if refusal.is_missing_right() {
                    self.learn_caller().await;
                }
                Err(Failure::Answered(Box::new(refusal)))
            }
        }
    }

    /// Sends a request whose answer is an object.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Json)>,
    ) -> Result<Reply, Failure> {
        let (status, body) = self.succeed(method, path, body).await?;
        Ok(Reply { is_created: status == StatusCode::CREATED, object: read_json(&body)? })
    }

    /// Reads JSON; `None` if there is nothing at this path. Not for objects: a proxy in front of the server may answer 404,
    /// too.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Json>, Failure> {
        match self.request(Method::GET, path, None).await {
            Ok(reply) => Ok(Some(reply.object)),
            Err(Failure::Answered(refusal)) if refusal.code == 404 => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// True unless the server reports that the namespace does not exist. The identity may not be allowed to read it.
    pub(crate) async fn may_have_namespace(&self, namespace: &str) -> Result<bool, Failure> {
        let path = format!("{}/namespaces/{}", base("v1"), part(namespace));
        let (status, body) = self.send(Method::GET, &path, None).await?;
        Ok(status != StatusCode::NOT_FOUND || !Refusal::of(status.as_u16(), &body).is_not_found())
    }

    /// Reads a text, such as a log.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Failure> {
        let (_, body) = self.succeed(Method::GET, path, None).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The id of the cluster; `None` if the identity may not read the namespace `kube-system`.
    pub(crate) async fn id(&self) -> Result<Option<String>, Failure> {
        let path = "/api/v1/namespaces/kube-system";
        let id = self.id.get_or_try_init(async || match self.request(Method::GET, path, None).await {
            Ok(reply) => Ok(uid_of(&reply.object)),
            Err(Failure::Answered(refusal)) if refusal.code == 403 => Ok(None),
            // Each cluster has this namespace.
            Err(Failure::Answered(refusal)) if refusal.code == 404 => Err(self.no_cluster()),
            Err(failure) => Err(failure),
        });
        id.await.cloned()
    }

    /// The failure of a server that answers 404 where each cluster has an object.
    fn no_cluster(&self) -> Failure {
        let message = format!("`{}` is not the API of a Kubernetes cluster: it answers 404", self.url());
        let error = ProviderError::new(ErrorKind::Failed, message);
        Failure::Settings(Box::new(error.solution(self.hint_for_another_server())))
    }

    /// The kinds of a group and version; `None` if the server does not serve it.
    async fn kinds(&self, api_version: &str) -> Result<Option<Arc<Vec<Kind>>>, Failure> {
        let locked = || self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kinds) = locked().get(api_version).cloned() {
            return Ok(Some(kinds));
        }
        let Some(list) = self.get(&base(api_version)).await? else { return Ok(None) };
        let kinds = Arc::new(kinds_of(api_version, &list));
        locked().insert(api_version.to_owned(), Arc::clone(&kinds));
        Ok(Some(kinds))
    }

    /// The kind of an object in the version of its manifest.
    ///
    /// # Errors
    /// When the cluster does not serve it.
    pub(crate) async fn kind(&self, target: &Target) -> Result<Kind, Failure> {
        if let Some(kind) = self.find_kind(target).await? {
            return Ok(kind);
        }
        // The group may have changed since it was read, by a definition in the same apply.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).remove(&target.api_version);
        if let Some(kind) = self.find_kind(target).await? {
            return Ok(kind);
        }
        let (known, versions) = (self.kinds(&target.api_version).await?, self.versions(target.group()).await?);
        Err(Failure::NotServed(Box::new(not_served(target, known.as_deref(), &versions))))
    }

    async fn find_kind(&self, target: &Target) -> Result<Option<Kind>, Failure> {
        let kinds = self.kinds(&target.api_version).await?;
        Ok(kinds.and_then(|kinds| kinds.iter().find(|kind| kind.kind == target.kind).cloned()))
    }

    /// The versions of a group that the cluster serves, the preferred one first.
    async fn versions(&self, group: &str) -> Result<Vec<String>, Failure> {
        if group.is_empty() {
            return Ok(vec!["v1".to_owned()]);
        }
        let Some(found) = self.get(&format!("/apis/{}", part(group))).await? else { return Ok(Vec::new()) };
        let preferred = found.pointer("/preferredVersion/version").and_then(Json::as_str);
        let all = found.get("versions").and_then(Json::as_array).into_iter().flatten();
        let all = all.filter_map(|version| version.get("version")?.as_str());
        let others = all.filter(|version| Some(*version) != preferred);
        Ok(preferred.into_iter().chain(others).map(str::to_owned).collect())
    }

    /// The kind of a recorded object in a version that the cluster serves; `None` if it serves none.
    pub(crate) async fn recorded_kind(&self, target: &Target) -> Result<Option<(Kind, Target)>, Failure> {
        if let Some(found) = self.served_kind(target).await? {
            return Ok(Some(found));
        }
        // The lists of kinds may be older than the definition of this one.
        let is_of_group =
            |api_version: &str| api_version.split_once('/').map_or("", |(group, _)| group) == target.group();
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).retain(|api_version, _| !is_of_group(api_version));
        if let Some(found) = self.served_kind(target).await? {
            return Ok(Some(found));
        }
        self.confirm().await.map(|()| None)
    }

    /// Checks that a cluster answers: a proxy that answers 404 to everything must not count as a cluster without the object.
    pub(crate) async fn confirm(&self) -> Result<(), Failure> {
        match self.request(Method::GET, "/api/v1", None).await {
            Ok(_) => Ok(()),
            Err(Failure::Answered(refusal)) if refusal.code == 404 => Err(self.no_cluster()),
            Err(failure) => Err(failure),
        }
    }

    async fn served_kind(&self, target: &Target) -> Result<Option<(Kind, Target)>, Failure> {
        if let Some(kind) = self.find_kind(target).await? {
            return Ok(Some((kind, target.clone())));
        }
        for version in self.versions(target.group()).await? {
            let target = target.in_version(&version);
            if let Some(kind) = self.find_kind(&target).await? {
                return Ok(Some((kind, target)));
            }
        }
        Ok(None)
    }

    /// Reads an object; `None` if the server reports that it does not exist.
    pub(crate) async fn object(&self, kind: &Kind, target: &Target) -> Result<Option<Json>, Failure> {
        match self.request(Method::GET, &kind.path(target), None).await {
            Ok(reply) => Ok(Some(reply.object)),
            Err(Failure::Answered(refusal)) if refusal.is_not_found() => Ok(None),
            // The server itself answers so, too, before it serves the kind of a new definition.
            Err(Failure::Answered(refusal)) if refusal.code == 404 => self.confirm().await.map(|()| None),
            Err(failure) => Err(failure),
        }
    }

    /// Applies a manifest.
    pub(crate) async fn apply(
        &self,
        kind: &Kind,
        target: &Target,
        manifest: &Json,
        how: Apply,
    ) -> Result<Reply, Failure> {
        let path = format!("{}{}", kind.path(target), query(&how.parameters(true)));
        self.request(Method::PATCH, &path, Some(("application/apply-patch+yaml", manifest))).await
    }

    /// Checks by a dry run that a manifest can be created.
    pub(crate) async fn check_create(&self, kind: &Kind, target: &Target, manifest: &Json) -> Result<Reply, Failure> {
        let how = Apply { is_dry_run: true, takes_ownership: false };
        let path = format!("{}{}", kind.list_path(&target.namespace), query(&how.parameters(false)));
        self.request(Method::POST, &path, Some(("application/json", manifest))).await
    }

    /// Requests the deletion of the object with this uid.
    pub(crate) async fn delete(
        &self,
        kind: &Kind,
        target: &Target,
        uid: Option<&str>,
        propagation: &str,
    ) -> Result<(), Failure> {
        let mut options =
            serde_json::json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
        if let (Some(uid), Some(options)) = (uid, options.as_object_mut()) {
            options.insert("preconditions".to_owned(), serde_json::json!({"uid": uid}));
        }
        self.request(Method::DELETE, &kind.path(target), Some(("application/json", &options))).await.map(drop)
    }

    /// The objects of a kind, in pages of 500.
    pub(crate) async fn list(
        &self,
        kind: &Kind,
        namespace: &str,
        selectors: &[(&str, String)],
    ) -> Result<Vec<Json>, Failure> {
        let mut found = self.list_at(&kind.list_path(namespace), selectors).await?;
        // Items of a list do not name their kind.
        for entries in found.iter_mut().filter_map(Json::as_object_mut) {
            entries.insert("apiVersion".to_owned(), kind.api_version.clone().into());
            entries.insert("kind".to_owned(), kind.kind.clone().into());
        }
        Ok(found)
    }

    /// The number of objects below a URL.
    pub(crate) async fn count(&self, path: &str) -> Result<u64, Failure> {
        let reply = self.request(Method::GET, &format!("{path}?limit=1"), None).await?;
        let rest = reply.object.pointer("/metadata/remainingItemCount").and_then(Json::as_u64).unwrap_or(0);
        let first = reply.object.get("items").and_then(Json::as_array).map_or(0, Vec::len);
        Ok(rest.saturating_add(first as u64))
    }

    /// The objects below a URL, in pages of 500. The server forgets the later pages of a list after some minutes: a list whose next
    /// page it does not know any more begins again.
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks>
    pub(crate) async fn list_at(&self, path: &str, selectors: &[(&str, String)]) -> Result<Vec<Json>, Failure> {
        let mut tries = 1;
        loop {
            match self.list_once(path, selectors).await {
                Err(Failure::Answered(refusal)) if refusal.code == EXPIRED && tries < LIST_TRIES => tries += 1,
                listed => return listed,
            }
        }
    }

    /// The objects of a list. Another thread reads the objects of a page while the next page arrives: for 10,000 objects, both
    /// take seconds.
    async fn list_once(&self, path: &str, selectors: &[(&str, String)]) -> Result<Vec<Json>, Failure> {
        let mut found = Vec::new();
        let mut page = self.page(path, selectors, None).await?;
        loop {
            let items = tokio::task::spawn_blocking(move || items_of(&page.body));
            let next = async {
                match page.next {
                    Some(token) => self.page(path, selectors, Some(token)).await.map(Some),
                    None => Ok(None),
                }
            };
            let (items, next) = tokio::join!(items, next);
            found.append(&mut items.map_err(|error| Failure::Lost(error.to_string()))??);
            match next? {
                Some(next) => page = next,
                None => return Ok(found),
            }
        }
    }

    /// The page of a list that begins at a token.
    async fn page(&self, path: &str, selectors: &[(&str, String)], token: Option<String>) -> Result<Page, Failure> {
        let mut parameters = selectors.to_vec();
        parameters.push(("limit", PAGE.to_string()));
        parameters.extend(token.map(|token| ("continue", token)));
        let (_, body) = self.succeed(Method::GET, &format!("{path}{}", query(&parameters)), None).await?;
        let head: ListHead = read_json(&body)?;
        Ok(Page { next: head.metadata.next.filter(|token| !token.is_empty()), body })
    }
}

/// A page of a list.
struct Page {
    /// The list, as JSON.
    body: Vec<u8>,
    /// The token of the next page.
    next: Option<String>,
}

/// The part of a list that is not objects.
#[derive(Deserialize)]
struct ListHead {
    #[serde(default)]
    metadata: ListMetadata,
}

#[derive(Default, Deserialize)]
struct ListMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

fn items_of(list: &[u8]) -> Result<Vec<Json>, Failure> {
    #[derive(Deserialize)]
    struct Items {
        items: Option<Vec<Json>>,
    }
    Ok(read_json::<Items>(list)?.items.unwrap_or_default())
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::NotJson(format!("its answer is not JSON: {error}")))
}

/// The server's id of an object.
pub(crate) fn uid_of(object: &Json) -> Option<String> {
    object.pointer("/metadata/uid").and_then(Json::as_str).map(str::to_owned)
}

fn kinds_of(api_version: &str, list: &Json) -> Vec<Kind> {
    let resources = list.get("resources").and_then(Json::as_array).into_iter().flatten();
    let kind = |resource: &Json| {
        let text = |name: &str| resource.get(name).and_then(Json::as_str).map(str::to_owned);
        // Subresources have a name such as `pods/log`.
        let plural = text("name").filter(|name| !name.contains('/'))?;
        Some(Kind {
            api_version: api_version.to_owned(),
            kind: text("kind")?,
            plural,
            is_namespaced: resource.get("namespaced").and_then(Json::as_bool).unwrap_or(false),
        })
    };
    resources.filter_map(kind).collect()
}

fn not_served(target: &Target, known: Option<&Vec<Kind>>, versions: &[String]) -> ProviderError {
    let Target { api_version, kind, .. } = target;
    let step = if known.is_some() { "kind" } else { "apiVersion" };
    let path = Path::attribute("manifest").key(step);
    let error =
        ProviderError::invalid(Some(path), format!("the cluster does not serve the kind {kind} of `{api_version}`"));
    let kinds: Vec<&str> = known.into_iter().flatten().map(|kind| kind.kind.as_str()).collect();
    let group = target.group();
    match (known, versions) {
        (Some(_), _) => match closest(kind, kinds.iter().copied()) {
            Some(kind) => error.solution(format!("did you mean `{kind}`?")),
            None => {
                error.solution(format!("install its definition; the kinds of `{api_version}` are: {}", listed(&kinds)))
            }
        },
        (None, []) => error.solution(format!(
            "install the definition of the group `{group}` first: declare it in the stack and name it under `dependsOn`"
        )),
        (None, versions) => {
            let versions: Vec<String> = match group {
                "" => versions.to_vec(),
                group => versions.iter().map(|version| format!("{group}/{version}")).collect(),
            };
            error.solution(format!("write a version that the cluster serves: {}", listed(&versions)))
        }
    }
}

/// A URL for messages: its user may have a password.
fn without_user(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        None => url.to_owned(),
    }
}

/// The problem of credentials. The output of a plugin may hold secrets, so it is not shown.
fn plugin_problem(error: &AuthError) -> String {
    match error {
        // The command line may hold secrets as well.
        AuthError::AuthExecRun { out, .. } => {
            format!("the credentials plugin of the kubeconfig file's user failed with {}", out.status)
        }
        AuthError::AuthExecStart(error) => format!("the credentials plugin cannot be started: {error}"),
        AuthError::AuthExecParse(_) => "the credentials plugin does not print the JSON of an ExecCredential".to_owned(),
        // They may quote credentials.
        AuthError::AuthExec(_) | AuthError::AuthExecSerialize(_) | AuthError::ParseTokenKey(_) => {
            "the credentials of the kubeconfig file's user cannot be used".to_owned()
        }
        other => format!("the credentials of the kubeconfig file's user cannot be used: {}", in_words(other)),
    }
}

pub(crate) fn not_answered(error: &kube::Error) -> Failure {
    if let kube::Error::Auth(error) = error {
        return Failure::Credentials(plugin_problem(error));
    }
    let words = in_words(error);
    if words.contains("certificate") {
        return Failure::Certificate(cause_of(&words));
    }
    // The client library of HTTP marks failures before a request in this way.
    let why = cause_of(&words);
    if words.contains("(Connect)") { Failure::NotSent(why) } else { Failure::Lost(why) }
}

/// The words after the names of the layers of the client.
fn cause_of(words: &str) -> String {
    let words = words.strip_prefix("ServiceError: ").unwrap_or(words);
    let cause = words.strip_prefix("client error (").and_then(|rest| Some(rest.split_once("): ")?.1));
    match cause.unwrap_or(words) {
        // The time limit of a connection, with its handshake.
        "deadline has elapsed" => "no answer in time".to_owned(),
        cause => cause.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_in_messages_has_no_password() {
        assert_eq!(without_user("https://bob:hunter2@host:1/"), "https://host:1");
        assert_eq!(without_user("https://host:1/prefix"), "https://host:1/prefix");
    }

    #[test]
    fn cause_of_a_failed_request_has_no_layers() {
        assert_eq!(
            cause_of("ServiceError: client error (Connect): tcp connect error: Connection refused (os error 111)"),
            "tcp connect error: Connection refused (os error 111)"
        );
        assert_eq!(cause_of("deadline has elapsed"), "no answer in time");
    }

    #[test]
    fn urls_follow_group_scope_and_names() {
        let kind = |api_version: &str, plural: &str, is_namespaced| Kind {
            api_version: api_version.to_owned(),
            kind: "K".to_owned(),
            plural: plural.to_owned(),
            is_namespaced,
        };
        let target = |id: &str| Target::of_id(id).unwrap();
        let path = kind("apps/v1", "deployments", true).path(&target("apps/v1/K/shop/web"));
        assert_eq!(path, "/apis/apps/v1/namespaces/shop/deployments/web");
        let roles = kind("rbac.authorization.k8s.io/v1", "clusterroles", false);
        let path = roles.path(&target("rbac.authorization.k8s.io/v1/K//system:a"));
        assert_eq!(path, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa");
        assert_eq!(kind("v1", "pods", true).list_path(""), "/api/v1/pods");
        assert_eq!(
            (kind("v1", "pods", true).resource(), roles.resource()),
            ("pods".to_owned(), "clusterroles.rbac.authorization.k8s.io".to_owned())
        );
        assert_eq!(query(&[("labelSelector", "a=b,c".to_owned())]), "?labelSelector=a%3Db%2Cc");
    }

    #[test]
    fn subresources_do_not_count_as_kinds() {
        let list = json!({"resources": [
            {"name": "deployments", "namespaced": true, "kind": "Deployment"},
            {"name": "deployments/scale", "namespaced": true, "kind": "Scale"},
        ]});
        let names: Vec<String> = kinds_of("apps/v1", &list).into_iter().map(|kind| kind.kind).collect();
        assert_eq!(names, ["Deployment"]);
    }

    #[test]
    fn kind_that_is_not_served_has_a_hint() {
        let target = Target::of_id("apps/v1/Deploymnt/a/b").unwrap();
        let known = kinds_of(
            "apps/v1",
            &json!({"resources": [{"name": "deployments", "namespaced": true, "kind": "Deployment"}]}),
        );
        let hint = |known: Option<&Vec<Kind>>, versions: &[&str]| {
            let versions: Vec<String> = versions.iter().map(|version| (*version).to_owned()).collect();
            not_served(&target, known, &versions).hint().unwrap()
        };
        assert_eq!(hint(Some(&known), &["v1"]), "did you mean `Deployment`?");
        assert!(hint(None, &[]).contains("install the definition of the group `apps`"));
        assert!(hint(None, &["v2"]).contains("apps/v2"));
    }
}

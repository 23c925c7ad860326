//! Sites in a Kubernetes cluster. The cluster stores all about them, starts their servers, and replaces them one after the
//! other; terrace only creates, changes and removes objects.
//!
//! The Deployment comes first and goes last: it owns the other objects. Before one of them is created, the Deployment names it,
//! so that an interrupted change leaves nothing unknown.
//!
//! Reading order: [`manifest`] (the objects), [`content`] (the Secret), this file (the operations), `rollout` (waits).

pub mod chart;
mod content;
mod manifest;
mod rollout;

use super::Plan;
use crate::cluster_check::{finding_of, open, refused, rights, rights_problem};
use crate::execution_options::ExecutionOptions;
use crate::executor::kubernetes::claim_state::{allows_single_pod, reading_problem, sharing_problem};
use crate::executor::kubernetes::fields::has_fields;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use content::{Packed, digest};
use manifest::{Description, Part, PartKind, object_name, owner};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_provider::{ErrorKind, Finding, ProviderError, Settings, Severity};
use terrace_provider_kubernetes::client::{Client, ClientErrorKind, Propagation, Resource, Right};
use tokio_util::sync::CancellationToken;

pub use content::SiteFiles;

const DEPLOYMENTS: Resource = Resource { api_version: "apps/v1", plural: "deployments" };
const SECRETS: Resource = Resource { api_version: "v1", plural: "secrets" };
const SERVICES: Resource = Resource { api_version: "v1", plural: "services" };
const INGRESSES: Resource = Resource { api_version: "networking.k8s.io/v1", plural: "ingresses" };
const ROUTES: Resource = Resource { api_version: "gateway.networking.k8s.io/v1", plural: "httproutes" };
const CLAIMS: Resource = Resource { api_version: "v1", plural: "persistentvolumeclaims" };
const PODS: Resource = Resource { api_version: "v1", plural: "pods" };
const EVENTS: Resource = Resource { api_version: "v1", plural: "events" };

/// Kinds of errors of a server without the API of an object.
const NO_API: [ClientErrorKind; 2] = [ClientErrorKind::NotFound, ClientErrorKind::Unserved];
/// Time for the start of a server.
const START: Duration = Duration::from_secs(300);
/// Time that the cluster has to end a server and remove its objects.
const ENDING: Duration = Duration::from_secs(120);

/// A site of a cluster as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteSpec {
    /// Its name, folders and headers.
    pub plan: Plan,
    /// Image, CPU, memory and disk of its pod, and the claim with the outputs of pipelines.
    pub options: ExecutionOptions,
    /// Name of the host under which other machines reach it.
    pub host: Option<String>,
    /// Class of the Ingress; that of the cluster without it.
    pub ingress_class: Option<String>,
    /// Secret with the certificate for the Ingress.
    pub tls_secret: Option<String>,
    /// Gateway of the Gateway API, as `NAMESPACE/NAME`; without it, an Ingress leads to the site.
    pub gateway: Option<String>,
}

impl Default for SiteSpec {
    fn default() -> Self {
        let options = ExecutionOptions::default();
        Self { plan: Plan::named(""), options, host: None, ingress_class: None, tls_secret: None, gateway: None }
    }
}

impl SiteSpec {
    /// The object that leads a host to the site; nothing without a host.
    fn route_kind(&self) -> Option<PartKind> {
        self.host.as_ref()?;
        Some(if self.gateway.is_some() { PartKind::Route } else { PartKind::Ingress })
    }

    /// Namespace and name of the gateway.
    fn gateway_parts(&self) -> Option<(&str, &str)> {
        self.gateway.as_deref()?.split_once('/')
    }

    /// The rights that the site needs.
    fn rights(&self) -> Vec<Right> {
        let of_route = match self.route_kind() {
            Some(PartKind::Route) => rights::ROUTES.as_slice(),
            Some(_) => rights::INGRESSES.as_slice(),
            None => &[],
        };
        let of_claim = self.options.claim().map(|_| rights::CLAIM);
        rights::SITES.iter().chain(of_route).copied().chain(of_claim).collect()
    }
}

/// Files of a site on the machine that deployed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// Digest of paths and contents.
    pub hash: String,
    /// Number of files.
    pub files: u64,
    /// Sum of sizes.
    pub bytes: u64,
}

/// A site in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSite {
    /// Its declaration.
    pub spec: SiteSpec,
    /// Files of the machine that deployed it; nothing if all are on a claim.
    pub contents: Option<Contents>,
    /// Call that wrote it.
    pub mark: String,
    /// Id of its Deployment, which a successor with its name does not have.
    pub uid: String,
    /// Its pods are ready, and its objects are as terrace created them.
    pub is_running: bool,
}

/// The sites of a namespace.
pub struct ClusterSites {
    client: Client,
    start_time: Duration,
}

fn failed(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::Failed, message)
}

fn text<'a>(object: &'a Json, at: &str) -> &'a str {
    object.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

/// Returns true for the object with this uid, and for every object without one.
fn has_uid(object: &Json, uid: Option<&str>) -> bool {
    uid.is_none_or(|uid| text(object, "/metadata/uid") == uid)
}

fn is_going(object: &Json) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Checks a name for objects of a cluster.
///
/// # Errors
/// When objects cannot have the name: the message and the hint.
pub fn check_name(name: &str) -> Result<(), (String, String)> {
    manifest::check_name(name)
}

impl ClusterSites {
    /// Sites of a namespace, with the settings `kubeconfig`, `context` or `inCluster`. Connects at the first call.
    ///
    /// # Errors
    /// When settings are invalid.
    pub fn open(settings: &Settings, namespace: &str) -> Result<Self, ProviderError> {
        Ok(Self { client: open(settings, namespace)?, start_time: START })
    }

    /// Sets the time for the start of a server. Default: 5 minutes.
    #[must_use]
    pub fn with_start_time(self, start_time: Duration) -> Self {
        Self { start_time, ..self }
    }

    /// Address of a site: that of its host, else that of its Service for pods.
    #[must_use]
    pub fn url(&self, spec: &SiteSpec) -> String {
        match (&spec.host, &spec.tls_secret) {
            (Some(host), Some(_)) => format!("https://{host}/"),
            (Some(host), None) => format!("http://{host}/"),
            (None, _) => format!("http://{}.{}.svc/", object_name(&spec.plan.name), self.client.namespace()),
        }
    }

    async fn get(&self, name: &str) -> Result<Option<Json>, ProviderError> {
        self.client.get(DEPLOYMENTS, &object_name(name)).await.map_err(refused)
    }

    /// Finds a site, with the state of all its objects.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn find(&self, name: &str) -> Result<Option<ClusterSite>, ProviderError> {
        // A name of this machine is not one of the cluster.
        if check_name(name).is_err() {
            return Ok(None);
        }
        let Some(deployment) = self.get(name).await?.filter(|found| !is_going(found)) else { return Ok(None) };
        let Some(description) = Description::read(&deployment) else { return Ok(None) };
        let is_same = |at: &str| match (deployment.pointer(at), description.deployment(None).pointer(at)) {
            (Some(found), Some(wanted)) => has_fields(found, wanted),
            _ => false,
        };
        // Other parts are left of an interrupted change.
        let is_running = description.is_whole
            && description.is_started
            && description.parts == description.wanted_parts()
            && is_same("/metadata")
            && is_same("/spec")
            && self.has_parts(&description, &deployment).await?;
        let Description { spec, contents, mark, .. } = description;
        let uid = text(&deployment, "/metadata/uid").to_owned();
        Ok(Some(ClusterSite { spec, contents, mark, uid, is_running }))
    }

    /// Returns true if the other objects of a site exist as terrace creates them.
    async fn has_parts(&self, description: &Description, deployment: &Json) -> Result<bool, ProviderError> {
        let owner = owner(deployment);
        let secret = self.part(&(PartKind::Secret, description.secret.clone())).await?;
        let has_secret = secret.is_some_and(|secret| Self::is_secret_of(&secret, description, &owner));
        let object = object_name(description.name());
        let service = self.part(&(PartKind::Service, object.clone())).await?;
        let has_service = service.is_some_and(|service| has_fields(&service, &description.service(&owner)));
        let has_route = match description.route(&owner) {
            Some((kind, wanted)) => self.part(&(kind, object)).await?.is_some_and(|found| has_fields(&found, &wanted)),
            None => true,
        };
        Ok(has_secret && has_service && has_route)
    }

    /// Returns true for a Secret whose values are those of a site, and which goes with its Deployment.
    fn is_secret_of(secret: &Json, description: &Description, owner: &Json) -> bool {
        use super::pod::MOUNTED;
        let value = |key: &str| STANDARD.decode(secret.get("data")?.get(key)?.as_str()?).ok();
        let digest = value(MOUNTED.1).zip(value(MOUNTED.2)).map(|(record, archive)| digest(&record, &archive));
        !is_going(secret)
            && manifest::is_of(secret, description.name())
            && digest.is_some_and(|digest| description.secret.ends_with(&digest))
            && text(secret, "/metadata/ownerReferences/0/uid") == text(owner, "/uid")
    }

    async fn part(&self, (kind, name): &Part) -> Result<Option<Json>, ProviderError> {
        match self.client.get(kind.resource(), name).await {
            // Without the Gateway API, no route exists.
            Err(error) if *kind == PartKind::Route && error.kind == ClientErrorKind::Unserved => Ok(None),
            found => found.map_err(refused),
        }
    }

    /// Creates a site, and waits until its server is ready. Goes on with an interrupted creation by the same call.
    ///
    /// # Errors
    /// When it exists, or does not start; then nothing of it remains.
    pub async fn create(
        &self,
        spec: &SiteSpec,
        files: &SiteFiles,
        mark: &str,
        cancel: &CancellationToken,
    ) -> Result<ClusterSite, ProviderError> {
        let name = spec.plan.name.as_str();
        let packed = Packed::of(spec, files)?;
        let wanted = self.description(spec, files, &packed, mark).await?;
        self.check_owners(&wanted).await?;
        let deployment = match self.get(name).await? {
            Some(found) if is_going(&found) => {
                self.wait_until_gone(DEPLOYMENTS, &object_name(name)).await?;
                self.create_first(&wanted).await?
            }
            Some(found) if Description::read(&found).is_some_and(|found| found.mark == mark) => found,
            Some(_) => return Err(exists(name)),
            None => self.create_first(&wanted).await?,
        };
        let failed = match self.put(wanted, &packed, &deployment, cancel).await {
            Ok(site) => return Ok(site),
            Err(failed) => failed,
        };
        match self.remove_deployment(&deployment).await {
            Ok(()) => Err(failed),
            Err(reason) => Err(ProviderError { kind: ErrorKind::Failed, ..failed }
                .problem(format!("its objects remain: {}", reason.message))),
        }
    }

    /// Changes the site whose Deployment has this uid, if there is one, restores its objects, and waits until its new server is
    /// ready. The old one answers until then.
    ///
    /// # Errors
    /// When it does not exist, or its new server does not start. Then the old one goes on.
    pub async fn change(
        &self,
        spec: &SiteSpec,
        files: &SiteFiles,
        mark: &str,
        uid: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<ClusterSite, ProviderError> {
        let name = spec.plan.name.as_str();
        let packed = Packed::of(spec, files)?;
        let wanted = self.description(spec, files, &packed, mark).await?;
        self.check_owners(&wanted).await?;
        let found = self.get(name).await?.filter(|found| !is_going(found));
        let Some(deployment) = found.filter(|found| manifest::is_of(found, name) && has_uid(found, uid)) else {
            return Err(ProviderError::new(ErrorKind::NotFound, format!("the site `{name}` does not exist any more"))
                .solution("plan again"));
        };
        self.put(wanted, &packed, &deployment, cancel).await
    }

    async fn description(
        &self,
        spec: &SiteSpec,
        files: &SiteFiles,
        packed: &Packed,
        mark: &str,
    ) -> Result<Description, ProviderError> {
        let secret = format!("{}-{}", object_name(&spec.plan.name), packed.digest());
        let claim = match spec.options.claim() {
            Some((claim, _)) => match self.client.get(CLAIMS, claim).await {
                Err(error) if error.is_transient() => return Err(refused(error)),
                // Without the right to read it, it counts as one for many pods.
                found => found.ok().flatten(),
            },
            None => None,
        };
        Ok(Description {
            spec: spec.clone(),
            contents: files.contents(),
            mark: mark.to_owned(),
            secret,
            is_claim_of_single_pod: claim.as_ref().is_some_and(allows_single_pod),
            is_started: true,
            ..Description::default()
        })
    }

    /// Creates the Deployment without a pod: the other objects need its uid, and the pod needs them. Only one of several
    /// callers succeeds.
    async fn create_first(&self, wanted: &Description) -> Result<Json, ProviderError> {
        let first = Description { is_started: false, parts: wanted.wanted_parts(), ..wanted.clone() };
        match self.client.create(DEPLOYMENTS, &first.deployment(None)).await {
            Err(error) if error.kind == ClientErrorKind::Exists => {
                let found = self.get(wanted.name()).await?;
                // The answer to the first request was lost, and the client repeated it.
                let is_own = |found: &Json| Description::read(found).is_some_and(|found| found.mark == wanted.mark);
                found.filter(is_own).ok_or_else(|| exists(wanted.name()))
            }
            created => created.map_err(refused),
        }
    }

    /// Refuses objects of other owners in the place of those of a site.
    async fn check_owners(&self, wanted: &Description) -> Result<(), ProviderError> {
        let name = wanted.name();
        let deployment = self.get(name).await?.map(|found| ("Deployment", object_name(name), found));
        let mut found: Vec<(&str, String, Json)> = deployment.into_iter().collect();
        for part in wanted.wanted_parts() {
            let object = self.part(&part).await?;
            found.extend(object.map(|object| (part.0.word(), part.1.clone(), object)));
        }
        match found.iter().find(|(_, _, object)| !manifest::is_of(object, name)) {
            Some((kind, object, _)) => {
                let message = format!("the {kind} `{object}` exists, and is not that of the site `{name}`");
                Err(failed(message).solution("give the site another name, or have the owner of that object remove it"))
            }
            None => Ok(()),
        }
    }

    /// Brings all objects of a site with this Deployment to the cluster, waits until its server is ready, and removes objects
    /// that it does not need any more.
    async fn put(
        &self,
        mut wanted: Description,
        packed: &Packed,
        deployment: &Json,
        cancel: &CancellationToken,
    ) -> Result<ClusterSite, ProviderError> {
        let (owner, uid) = (owner(deployment), Some(text(deployment, "/metadata/uid")));
        let needed = wanted.wanted_parts();
        let before = Description::read(deployment).map(|found| found.parts).unwrap_or_default();
        let surplus = before.iter().filter(|part| !needed.contains(part)).cloned();
        wanted.parts = surplus.chain(needed.iter().cloned()).collect();
        let is_rolling = deployment.pointer("/spec/strategy/rollingUpdate").is_some_and(|rolling| !rolling.is_null());
        if wanted.parts != before || wanted.is_claim_of_single_pod && is_rolling {
            // The server refuses a successor, which has another uid.
            let annotations = Description::parts_annotation(&wanted.parts);
            let mut patch = json!({"metadata": {"uid": uid, "annotations": annotations}});
            if let (true, Some(patch)) = (wanted.is_claim_of_single_pod, patch.as_object_mut()) {
                // An apply would keep `rollingUpdate`, because the creation owns it, too.
                let strategy = json!({"type": "Recreate", "rollingUpdate": null});
                patch.insert("spec".to_owned(), json!({"strategy": strategy}));
            }
            self.client.patch(DEPLOYMENTS, &object_name(wanted.name()), &patch).await.map_err(refused)?;
        }
        self.put_secret(&wanted, packed, &owner).await?;
        self.client.apply(SERVICES, &wanted.service(&owner)).await.map_err(refused)?;
        if let Some((kind, route)) = wanted.route(&owner) {
            self.client.apply(kind.resource(), &route).await.map_err(refused)?;
        }
        self.client.apply(DEPLOYMENTS, &wanted.deployment(uid)).await.map_err(refused)?;
        self.wait_until_ready(&wanted, cancel).await?;
        for part in wanted.parts.iter().filter(|part| !needed.contains(part)) {
            let own = self.part(part).await?.filter(|found| manifest::is_of(found, wanted.name()));
            if let Some(own) = own {
                let deleted = self.client.delete_read(part.0.resource(), &own, Propagation::Background).await;
                deleted.map_err(refused)?;
            }
        }
        wanted.parts = needed;
        wanted.is_whole = true;
        self.client.apply(DEPLOYMENTS, &wanted.deployment(uid)).await.map_err(refused)?;
        let Description { spec, contents, mark, .. } = wanted;
        let uid = text(deployment, "/metadata/uid").to_owned();
        Ok(ClusterSite { spec, contents, mark, uid, is_running: true })
    }

    /// Makes sure that the Secret exists with its values and this owner.
    async fn put_secret(&self, wanted: &Description, packed: &Packed, owner: &Json) -> Result<(), ProviderError> {
        let secret = wanted.secret(packed, owner);
        if let Some(found) = self.part(&(PartKind::Secret, wanted.secret.clone())).await? {
            if Self::is_secret_of(&found, wanted, owner) {
                return Ok(());
            }
            // It cannot be changed: it belongs to a former Deployment, or another program wrote it.
            self.client.delete_read(SECRETS, &found, Propagation::Background).await.map_err(refused)?;
            self.wait_until_gone(SECRETS, &wanted.secret).await?;
        }
        match self.client.create(SECRETS, &secret).await {
            Err(error) if error.kind == ClientErrorKind::Exists => {
                let found = self.part(&(PartKind::Secret, wanted.secret.clone())).await?;
                match found.is_some_and(|found| Self::is_secret_of(&found, wanted, owner)) {
                    true => Ok(()),
                    false => Err(refused(error)),
                }
            }
            created => created.map(drop).map_err(refused),
        }
    }

    /// Removes the site whose Deployment has this uid, if there is one. A missing site is not an error.
    ///
    /// # Errors
    /// When the cluster refuses, or does not end the server in time.
    pub async fn remove(&self, name: &str, uid: Option<&str>) -> Result<(), ProviderError> {
        match self.get(name).await? {
            Some(found) if manifest::is_of(&found, name) && has_uid(&found, uid) => {
                self.remove_deployment(&found).await
            }
            _ => Ok(()),
        }
    }

    /// Removes a Deployment with the objects that it owns, and waits until they are gone.
    async fn remove_deployment(&self, deployment: &Json) -> Result<(), ProviderError> {
        let name = text(deployment, "/metadata/name");
        let present = self.client.get(DEPLOYMENTS, name).await.map_err(refused)?;
        let parts = present.as_ref().and_then(Description::read).map(|found| found.parts).unwrap_or_default();
        self.client.delete_read(DEPLOYMENTS, deployment, Propagation::Foreground).await.map_err(refused)?;
        self.wait_until_gone(DEPLOYMENTS, name).await?;
        for (kind, name) in parts {
            self.wait_until_removed(kind, &name, text(deployment, "/metadata/uid")).await?;
        }
        Ok(())
    }

    /// Problems of the cluster with a site, for a plan that another identity may apply later.
    pub async fn findings(&self, spec: &SiteSpec) -> Vec<Finding> {
        let finding = |severity, message: String, hint| Finding { severity, path: None, message, hint };
        match rights_problem(&self.client, &spec.rights(), "sites").await {
            Err(error) => return vec![finding_of(&error)],
            Ok(Some(problem)) => return vec![problem],
            Ok(None) => {}
        }
        let mut findings = Vec::new();
        if let Some((claim, _)) = spec.options.claim() {
            let found = match self.client.get(CLAIMS, claim).await {
                Err(error) => return vec![finding_of(&error)],
                Ok(found) => found,
            };
            // The plan may create the claim.
            let namespace = self.client.namespace();
            let problem = reading_problem(found.as_ref(), claim, namespace)
                .or_else(|| sharing_problem(found.as_ref(), claim, namespace));
            findings.extend(problem.map(|(message, hint)| finding(Severity::Warning, message, Some(hint))));
        }
        let example = Description {
            spec: spec.clone(),
            secret: object_name(&spec.plan.name),
            is_started: true,
            ..Description::default()
        };
        let no_owner = owner(&json!({"metadata": {"name": object_name(&spec.plan.name), "uid": "check"}}));
        let mut objects = vec![(DEPLOYMENTS, "Deployment", example.deployment(None))];
        objects.extend(example.route(&no_owner).map(|(kind, route)| (kind.resource(), kind.word(), route)));
        for (resource, kind, object) in objects {
            match self.client.check_apply(resource, &object).await {
                Err(error) if resource == ROUTES && NO_API.contains(&error.kind) => {
                    let hint = "install the Gateway API, or leave `gateway` out for an Ingress";
                    let message = "the cluster has no HTTPRoutes of the Gateway API".to_owned();
                    findings.push(finding(Severity::Error, message, Some(hint.to_owned())));
                }
                Err(error) => findings.push(finding_of(&error)),
                Ok(owned) => {
                    findings.extend(owned.into_iter().filter(|owned| owned.manager != "terrace").map(|owned| {
                        let message = format!(
                            "`{}` has changed `{}` of the {kind} `{}`: an apply takes it back",
                            owned.manager,
                            owned.field,
                            object_name(&spec.plan.name)
                        );
                        let hint = format!("have `{}` leave the site alone", owned.manager);
                        finding(Severity::Warning, message, Some(hint))
                    }));
                }
            }
        }
        findings
    }
}

fn exists(name: &str) -> ProviderError {
    let kind = ErrorKind::AlreadyExists { import_id: Some(name.to_owned()) };
    ProviderError::new(kind, format!("the site `{name}` exists already"))
}

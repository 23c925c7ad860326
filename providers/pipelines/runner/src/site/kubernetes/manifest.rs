//! Objects of a site in a cluster: a Deployment, a Service, an immutable Secret with the files of this machine, and an
//! Ingress or an HTTPRoute of the Gateway API for a host. The annotations of the Deployment are the record of the site.

use super::super::pod::{COMMAND, MOUNTED, PORT, TEMPORARY};
use super::content::Packed;
use super::{Contents, DEPLOYMENTS, INGRESSES, ROUTES, Resource, SECRETS, SERVICES, SiteSpec};
use crate::execution_options::ExecutionOption;
use crate::executor::MOUNT;
use crate::executor::kubernetes::manifest::{MANAGED, ROLE, TERRACE, container_security, limits, pod_security};
use crate::executor::kubernetes::object_name;
use crate::hash::hash_of;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Name of the container.
pub(super) const CONTAINER: &str = "site";
/// Label with the name of the site.
pub(super) const SITE: &str = "terrace.dev/site";
/// Prefix of the names of its objects.
const PREFIX: &str = "terrace-site-";
/// Port of the Service.
const SERVICE_PORT: u16 = 80;
/// Seconds for the end of the server: requests arrive for a moment after the signal, and answers have to end.
const GRACE: u32 = 30;

/// Annotation of the Deployment with the site, as JSON.
const RECORD: &str = "terrace.dev/site";
/// Annotation of the Deployment: true after the site was ready.
const READY: &str = "terrace.dev/ready";
/// Annotation of the Deployment that lists its other objects, even if they do not exist yet.
const PARTS: &str = "terrace.dev/parts";
/// Annotation of pods that differs for other pods.
pub(super) const REVISION: &str = "terrace.dev/revision";

/// Name of the objects of a site.
pub(super) fn object_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Refuses a name that its objects cannot have; the message and the hint.
pub(super) fn check_name(name: &str) -> Result<(), (String, String)> {
    object_name::check("Deployment", PREFIX, name)
}

/// An object beside the Deployment of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum PartKind {
    Secret,
    Service,
    Ingress,
    Route,
}

/// Kind and name of an object beside the Deployment.
pub(super) type Part = (PartKind, String);

impl PartKind {
    pub(super) const fn resource(self) -> Resource {
        match self {
            Self::Secret => SECRETS,
            Self::Service => SERVICES,
            Self::Ingress => INGRESSES,
            Self::Route => ROUTES,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::Ingress => "Ingress",
            Self::Route => "HTTPRoute",
        }
    }
}

/// A site as its Deployment records it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    pub(super) spec: SiteSpec,
    /// Files of this machine.
    pub(super) contents: Option<Contents>,
    /// Call that wrote it.
    pub(super) mark: String,
    /// Name of the Secret.
    pub(super) secret: String,
    /// Only one pod can use its claim: the old one has to end before the new one starts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_claim_of_single_pod: bool,
    /// All its pods were ready.
    #[serde(skip)]
    pub(super) is_whole: bool,
    /// Its pods may start.
    #[serde(skip)]
    pub(super) is_started: bool,
    /// Objects that may exist beside the Deployment.
    #[serde(skip)]
    pub(super) parts: Vec<Part>,
}

fn text<'a>(object: &'a Json, at: &str) -> &'a str {
    object.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

/// Returns true if an object is one of this site.
pub(super) fn is_of(object: &Json, name: &str) -> bool {
    let label = |label: &str| object.pointer("/metadata/labels")?.get(label)?.as_str();
    label(SITE) == Some(name) && label(MANAGED.0) == Some(MANAGED.1)
}

/// The reference of a Deployment as owner.
pub(super) fn owner(deployment: &Json) -> Json {
    json!({
        "apiVersion": DEPLOYMENTS.api_version, "kind": "Deployment", "name": text(deployment, "/metadata/name"),
        "uid": text(deployment, "/metadata/uid"),
    })
}

impl Description {
    /// Reads a Deployment; nothing if it is not that of a site.
    pub(super) fn read(object: &Json) -> Option<Self> {
        let annotation = |name: &str| object.pointer("/metadata/annotations")?.get(name)?.as_str();
        let found: Self = serde_json::from_str(annotation(RECORD)?).ok()?;
        is_of(object, &found.spec.plan.name).then(|| Self {
            is_whole: annotation(READY) == Some("true"),
            is_started: object.pointer("/spec/replicas").and_then(Json::as_u64) != Some(0),
            parts: annotation(PARTS).and_then(|parts| serde_json::from_str(parts).ok()).unwrap_or_default(),
            ..found
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.plan.name
    }

    fn object(&self) -> String {
        object_name(self.name())
    }

    fn labels(&self) -> Json {
        json!({MANAGED.0: MANAGED.1, ROLE: "site", SITE: self.name()})
    }

    /// The objects that belong to the site beside its Deployment.
    pub(super) fn wanted_parts(&self) -> Vec<Part> {
        let mut parts = vec![(PartKind::Secret, self.secret.clone()), (PartKind::Service, self.object())];
        parts.extend(self.spec.route_kind().map(|kind| (kind, self.object())));
        parts
    }

    /// Annotation with the objects that may exist beside the Deployment.
    pub(super) fn parts_annotation(parts: &[Part]) -> Json {
        json!({PARTS: serde_json::to_string(parts).unwrap_or_default()})
    }

    /// Text that differs for other pods.
    pub(super) fn revision(&self) -> String {
        hash_of(&self.pod().to_string()).chars().take(16).collect()
    }

    /// The Deployment. With a uid, the server refuses it if that Deployment does not exist any more.
    pub(super) fn deployment(&self, uid: Option<&str>) -> Json {
        let labels = self.labels();
        let record = serde_json::to_string(self).unwrap_or_default();
        let mut annotations = json!({RECORD: record, READY: self.is_whole.to_string()});
        if let (Some(all), Json::Object(parts)) = (annotations.as_object_mut(), Self::parts_annotation(&self.parts)) {
            all.extend(parts);
        }
        let mut metadata = json!({"name": self.object(), "labels": labels, "annotations": annotations});
        if let (Some(uid), Some(metadata)) = (uid, metadata.as_object_mut()) {
            metadata.insert("uid".to_owned(), uid.into());
        }
        let strategy = match self.is_claim_of_single_pod {
            true => json!({"type": "Recreate"}),
            // The old pod answers until the new one is ready.
            false => json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}),
        };
        json!({
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": u32::from(self.is_started),
                "selector": {"matchLabels": {SITE: self.name()}},
                "strategy": strategy,
                "revisionHistoryLimit": 1,
                "template": {
                    "metadata": {"labels": labels, "annotations": {REVISION: self.revision()}},
                    "spec": self.pod(),
                },
            },
        })
    }

    fn pod(&self) -> Json {
        let options = &self.spec.options;
        let command: Vec<&str> = [TERRACE].into_iter().chain(COMMAND).collect();
        let limits = limits(options);
        let mut volumes = vec![
            json!({"name": "site", "secret": {"secretName": self.secret, "defaultMode": 0o440}}),
            json!({"name": "temporary", "emptyDir": {}}),
        ];
        let mut mounts = vec![
            json!({"name": "site", "mountPath": MOUNTED.0, "readOnly": true}),
            json!({"name": "temporary", "mountPath": TEMPORARY}),
        ];
        if let Some((claim, _)) = options.claim() {
            volumes.push(json!({"name": "results", "persistentVolumeClaim": {"claimName": claim}}));
            mounts.push(json!({"name": "results", "mountPath": MOUNT, "readOnly": true}));
        }
        json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": pod_security(options),
            "containers": [{
                "name": CONTAINER,
                "image": options.get(ExecutionOption::Image),
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "workingDir": TEMPORARY,
                "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
                // The server listens when it has its files.
                "readinessProbe": {
                    "tcpSocket": {"port": "http"}, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3,
                },
                "resources": {"requests": limits, "limits": limits},
                "securityContext": container_security(),
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        })
    }

    fn part(&self, resource: Resource, kind: &str, name: &str, owner: &Json) -> Json {
        json!({
            "apiVersion": resource.api_version, "kind": kind,
            "metadata": {"name": name, "labels": self.labels(), "ownerReferences": [owner]},
        })
    }

    /// The Secret with the files of this machine, which goes with its owner.
    pub(super) fn secret(&self, packed: &Packed, owner: &Json) -> Json {
        let mut secret = self.part(SECRETS, "Secret", &self.secret, owner);
        if let Some(secret) = secret.as_object_mut() {
            let data = json!({MOUNTED.1: STANDARD.encode(&packed.record), MOUNTED.2: STANDARD.encode(&packed.archive)});
            secret.insert("immutable".to_owned(), true.into());
            secret.insert("data".to_owned(), data);
        }
        secret
    }

    /// The Service, which goes with its owner.
    pub(super) fn service(&self, owner: &Json) -> Json {
        let mut service = self.part(SERVICES, "Service", &self.object(), owner);
        if let Some(service) = service.as_object_mut() {
            let port = json!({"name": "http", "port": SERVICE_PORT, "targetPort": "http", "protocol": "TCP"});
            service.insert("spec".to_owned(), json!({"selector": {SITE: self.name()}, "ports": [port]}));
        }
        service
    }

    /// The Ingress or the HTTPRoute, which goes with its owner; nothing without a host.
    pub(super) fn route(&self, owner: &Json) -> Option<(PartKind, Json)> {
        let (kind, host) = (self.spec.route_kind()?, self.spec.host.as_deref()?);
        let mut object = self.part(kind.resource(), kind.word(), &self.object(), owner);
        let spec = match self.spec.gateway_parts() {
            Some((namespace, name)) => json!({
                "parentRefs": [{
                    "group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": namespace, "name": name,
                }],
                "hostnames": [host],
                "rules": [{
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [{
                        "group": "", "kind": "Service", "name": self.object(), "port": SERVICE_PORT, "weight": 1,
                    }],
                }],
            }),
            None => {
                let backend = json!({"service": {"name": self.object(), "port": {"name": "http"}}});
                let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
                let mut spec = json!({"rules": [{"host": host, "http": {"paths": [path]}}]});
                if let Some(spec) = spec.as_object_mut() {
                    let class = self.spec.ingress_class.as_deref();
                    spec.extend(class.map(|class| ("ingressClassName".to_owned(), class.into())));
                    let tls = self.spec.tls_secret.as_deref();
                    let tls = tls.map(|secret| json!([{"hosts": [host], "secretName": secret}]));
                    spec.extend(tls.map(|tls| ("tls".to_owned(), tls)));
                }
                spec
            }
        };
        object.as_object_mut()?.insert("spec".to_owned(), spec);
        Some((kind, object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution_options::ExecutionOptions;
    use crate::site::Plan;

    fn description(gateway: Option<&str>) -> Description {
        let mut options = ExecutionOptions::default();
        options.set(ExecutionOption::Image, "registry.example.com/pipelines@sha256:00");
        options.set(ExecutionOption::Cpu, "500m");
        options.set(ExecutionOption::Claim, "results/shop");
        let spec = SiteSpec {
            plan: Plan::named("shop"),
            options,
            host: Some("shop.example.com".to_owned()),
            ingress_class: gateway.is_none().then(|| "nginx".to_owned()),
            tls_secret: gateway.is_none().then(|| "shop-tls".to_owned()),
            gateway: gateway.map(str::to_owned),
        };
        let secret = "terrace-site-shop-0123456789abcdef".to_owned();
        let mut description = Description {
            spec,
            contents: Some(Contents { hash: "ab".to_owned(), files: 2, bytes: 10 }),
            mark: "operation/step".to_owned(),
            secret,
            is_claim_of_single_pod: false,
            is_whole: true,
            is_started: true,
            parts: Vec::new(),
        };
        description.parts = description.wanted_parts();
        description
    }

    #[test]
    fn manifests_of_a_site() {
        let description = description(None);
        let owner = owner(&json!({"metadata": {"name": "terrace-site-shop", "uid": "uid-1"}}));
        let packed = Packed { record: b"{}".to_vec(), archive: b"archive".to_vec() };
        let manifests = [
            description.deployment(Some("uid-1")),
            description.secret(&packed, &owner),
            description.service(&owner),
            description.route(&owner).unwrap().1,
            super::tests::description(Some("infra/public")).route(&owner).unwrap().1,
        ];
        insta::assert_snapshot!(serde_json::to_string_pretty(&manifests).unwrap());
    }

    #[test]
    fn deployment_is_the_record_of_its_site() {
        for gateway in [None, Some("infra/public")] {
            let whole = description(gateway);
            assert_eq!(Description::read(&whole.deployment(None)), Some(whole.clone()));
            let first = Description { is_whole: false, is_started: false, parts: Vec::new(), ..whole };
            assert_eq!(Description::read(&first.deployment(None)), Some(first));
        }
        let mut foreign = description(None).deployment(None);
        foreign["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "helm".into();
        assert_eq!(Description::read(&foreign), None);
    }
}

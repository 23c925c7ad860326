//! Objects of a database in a cluster: a StatefulSet with one pod, a Service, a Secret, and a PersistentVolumeClaim if the
//! data is to outlive the pod. The annotations of the StatefulSet are the record of the database.

use super::super::record::{DataClaim, USER};
use crate::executor::kubernetes::object_name;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

/// Port of the server.
pub(super) const PORT: u16 = 5432;
/// Name of the container.
pub(super) const CONTAINER: &str = "database";
/// Key of the password in the Secret.
pub(super) const PASSWORD: &str = "password";
/// Key of the address for pipelines in the Secret.
pub(super) const ENGINE_URL: &str = "DPP_DB_ENGINE";
/// Label with the name of the database.
pub(super) const DATABASE: &str = "terrace.dev/database";
/// Selector of all StatefulSets of databases.
pub(super) const ALL: &str = "app.kubernetes.io/managed-by=terrace,terrace.dev/role=db";
/// Prefix of the names of its objects.
const PREFIX: &str = "terrace-db-";
/// User and group of the server, as in the official image.
pub(super) const UID: u32 = 999;
/// Seconds for the end of the server.
const GRACE: u32 = 60;
/// Folder of the volume with the data.
const VOLUME: &str = "/var/lib/terrace/database";
/// Folder of the password's file.
const SECRETS: &str = "/run/secrets/terrace";

/// Annotations of the StatefulSet.
const ID: &str = "terrace.dev/id";
const MARK: &str = "terrace.dev/mark";
const OWNER: &str = "terrace.dev/owner";
const TTL: &str = "terrace.dev/ttl";
const EXPIRES_AT: &str = "terrace.dev/expires-at";
const EXPIRED: &str = "terrace.dev/expired";
const READY: &str = "terrace.dev/ready";
const FRESH: &str = "terrace.dev/for-run";
const WEB_UI: &str = "terrace.dev/web-ui";
const SIZE: &str = "terrace.dev/size";
const STORAGE_CLASS: &str = "terrace.dev/storage-class";
/// Annotation of the pod with the uid of the Secret: another password restarts the server.
const SECRET: &str = "terrace.dev/secret";

/// Creates the data once, sets the password after a change of the Secret, and becomes the server. The data appears all at
/// once, so that a pod which is ended in between leaves none.
const SCRIPT: &str = r#"set -eu
umask 077
# The first process of a container ignores signals without a trap, and a trap runs only after the command in the foreground.
trap 'exit 143' TERM
if [ ! -d "$PGDATA" ]; then
  rm -rf "$PGDATA.partial"
  initdb -D "$PGDATA.partial" -U postgres -A scram-sha-256 -E UTF8 --no-locale --pwfile="$PASSWORD_FILE" &
  wait "$!"
  echo 'host all all all scram-sha-256' >>"$PGDATA.partial/pg_hba.conf"
  mv "$PGDATA.partial" "$PGDATA"
  echo "$SECRET" >"$PGDATA.secret"
fi
chmod 700 "$PGDATA"
if [ "$(cat "$PGDATA.secret" 2>/dev/null)" != "$SECRET" ]; then
  # Doubled quotes keep the password one literal: the mode for a single user has no variables. An error ends it, and this script.
  password=$(sed "s/'/''/g;q" "$PASSWORD_FILE")
  printf "ALTER ROLE postgres PASSWORD '%s'\n" "$password" |
    postgres --single -c exit_on_error=on -c log_min_error_statement=panic postgres >/dev/null
  echo "$SECRET" >"$PGDATA.secret"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
"#;

/// Name of the objects of a database.
pub(super) fn object_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Name of the pod of a database.
#[must_use]
pub fn pod_name(name: &str) -> String {
    format!("{PREFIX}{name}-0")
}

/// Refuses a name that its objects cannot have; the message and the hint.
pub(super) fn check_name(name: &str) -> Result<(), (String, String)> {
    object_name::check("StatefulSet", PREFIX, name)
}

/// A database as its StatefulSet records it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Description {
    pub(super) name: String,
    /// Id, which changes when the database is created again.
    pub(super) id: String,
    pub(super) mark: Option<String>,
    /// Mark of its first creation by a plan.
    pub(super) owner: Option<String>,
    pub(super) ttl: Option<String>,
    pub(super) expires_at: Option<Timestamp>,
    /// Its data is gone.
    pub(super) is_expired: bool,
    /// Its creation is complete.
    pub(super) is_whole: bool,
    pub(super) is_fresh: bool,
    pub(super) has_page: bool,
    pub(super) claim: Option<DataClaim>,
    pub(super) image: String,
    pub(super) is_stopped: bool,
    /// Uid of the Secret.
    pub(super) secret: String,
}

fn text<'a>(object: &'a Json, at: &str) -> &'a str {
    object.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

impl Description {
    /// Reads a StatefulSet; nothing if it is not that of a database.
    pub(super) fn read(object: &Json) -> Option<Self> {
        let label = |name: &str| object.pointer("/metadata/labels")?.get(name)?.as_str();
        let name = label(DATABASE).filter(|_| label("app.kubernetes.io/managed-by") == Some("terrace"))?;
        let annotation = |name: &str| Some(object.pointer("/metadata/annotations")?.get(name)?.as_str()?.to_owned());
        let template = |name: &str| object.pointer("/spec/template/metadata/annotations")?.get(name)?.as_str();
        Some(Self {
            name: name.to_owned(),
            id: annotation(ID).unwrap_or_default(),
            mark: annotation(MARK),
            owner: annotation(OWNER),
            ttl: annotation(TTL).filter(|ttl| !ttl.is_empty()),
            expires_at: annotation(EXPIRES_AT).and_then(|at| at.parse().ok()),
            is_expired: annotation(EXPIRED).is_some(),
            is_whole: annotation(READY).is_some(),
            is_fresh: annotation(FRESH).is_some(),
            has_page: annotation(WEB_UI).is_some_and(|word| word == "true"),
            claim: annotation(SIZE).map(|size| DataClaim { size, storage_class: annotation(STORAGE_CLASS) }),
            image: text(object, "/spec/template/spec/containers/0/image").to_owned(),
            is_stopped: object.pointer("/spec/replicas").and_then(Json::as_u64) == Some(0),
            secret: template(SECRET).unwrap_or_default().to_owned(),
        })
    }

    fn object(&self) -> String {
        object_name(&self.name)
    }

    /// Returns false if the database has another owner.
    pub(super) fn is_owned_by(&self, owner: Option<&str>) -> bool {
        owner.zip(self.owner.as_deref()).is_none_or(|(owner, own)| owner == own)
    }

    fn labels(&self) -> Json {
        json!({"app.kubernetes.io/managed-by": "terrace", "terrace.dev/role": "db", DATABASE: self.name})
    }

    fn annotations(&self) -> Map<String, Json> {
        let flag = |is_set: bool| is_set.then(|| "true".to_owned());
        let all = [
            (ID, Some(self.id.clone())),
            (MARK, self.mark.clone()),
            (OWNER, self.owner.clone()),
            // An update may remove these: without them, a value of another kind of request would stay.
            (TTL, Some(self.ttl.clone().unwrap_or_default())),
            (EXPIRES_AT, Some(self.expires_at.map(|at| at.to_string()).unwrap_or_default())),
            (EXPIRED, flag(self.is_expired)),
            (READY, flag(self.is_whole)),
            (FRESH, flag(self.is_fresh)),
            (WEB_UI, Some(self.has_page.to_string())),
            (SIZE, self.claim.as_ref().map(|claim| claim.size.clone())),
            (STORAGE_CLASS, self.claim.as_ref().and_then(|claim| claim.storage_class.clone())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
    }

    /// The StatefulSet. With a version, the server refuses it if another process changed it since.
    pub(super) fn stateful_set(&self, version: Option<&str>) -> Json {
        let (object, labels) = (self.object(), self.labels());
        let mut metadata = json!({"name": object, "labels": labels, "annotations": self.annotations()});
        if let (Some(version), Some(metadata)) = (version, metadata.as_object_mut()) {
            metadata.insert("resourceVersion".to_owned(), version.into());
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata,
            "spec": {
                "replicas": u32::from(!self.is_stopped),
                "serviceName": object,
                "selector": {"matchLabels": {DATABASE: self.name}},
                "template": {
                    "metadata": {"labels": labels, "annotations": {ID: self.id, SECRET: self.secret}},
                    "spec": self.pod(),
                },
            },
        })
    }

    fn pod(&self) -> Json {
        let object = self.object();
        let data = match &self.claim {
            Some(_) => json!({"name": "data", "persistentVolumeClaim": {"claimName": object}}),
            None => json!({"name": "data", "emptyDir": {}}),
        };
        let from_secret = json!({"secretKeyRef": {"name": object, "key": PASSWORD}});
        json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": UID,
                "runAsGroup": UID,
                "fsGroup": UID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": CONTAINER,
                "image": self.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/sh", "-c", SCRIPT],
                "workingDir": "/tmp",
                "env": [
                    {"name": "PGDATA", "value": format!("{VOLUME}/data")},
                    {"name": "PASSWORD_FILE", "value": format!("{SECRETS}/{PASSWORD}")},
                    {"name": "SECRET", "value": self.secret},
                    // For programs that terrace runs in the pod.
                    {"name": "PGHOST", "value": "127.0.0.1"},
                    {"name": "PGUSER", "value": USER},
                    {"name": "PGPASSWORD", "valueFrom": from_secret},
                ],
                "ports": [{"name": "postgresql", "containerPort": PORT, "protocol": "TCP"}],
                "readinessProbe": {
                    "exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1", "-U", USER]},
                    "periodSeconds": 2,
                    "timeoutSeconds": 5,
                    "failureThreshold": 3,
                },
                // The default signal would wait for the clients.
                "lifecycle": {"preStop": {"exec": {"command": ["pg_ctl", "stop", "-m", "fast", "-t", "50"]}}},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": VOLUME},
                    {"name": "secret", "mountPath": SECRETS, "readOnly": true},
                    {"name": "temporary", "mountPath": "/tmp"},
                    {"name": "memory", "mountPath": "/dev/shm"},
                ],
            }],
            "volumes": [
                data,
                {"name": "secret", "secret": {
                    "secretName": object, "defaultMode": 0o440, "items": [{"key": PASSWORD, "path": PASSWORD}],
                }},
                {"name": "temporary", "emptyDir": {}},
                // The server shares memory between processes: the runtime's own folder has 64 MiB.
                {"name": "memory", "emptyDir": {"medium": "Memory"}},
            ],
        })
    }

    fn dependent(&self, kind: &str, owner: Option<&Json>) -> Json {
        let mut object = json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": self.object(), "labels": self.labels()},
        });
        if let (Some(owner), Some(metadata)) = (owner, object.pointer_mut("/metadata").and_then(Json::as_object_mut)) {
            metadata.insert("ownerReferences".to_owned(), json!([owner]));
        }
        object
    }

    /// The Secret with this password, which goes with its owner. It is immutable: the server takes a password only from a new
    /// Secret, so an edited Secret would lock its users out.
    pub(super) fn secret(&self, password: &str, engine_url: &str, owner: &Json) -> Json {
        let mut secret = self.dependent("Secret", Some(owner));
        if let Some(secret) = secret.as_object_mut() {
            secret.insert("type".to_owned(), "Opaque".into());
            let data = json!({PASSWORD: STANDARD.encode(password), ENGINE_URL: STANDARD.encode(engine_url)});
            secret.insert("data".to_owned(), data);
            secret.insert("immutable".to_owned(), true.into());
        }
        secret
    }

    /// The Service, which goes with its owner.
    pub(super) fn service(&self, owner: Option<&Json>) -> Json {
        let mut service = self.dependent("Service", owner);
        if let Some(service) = service.as_object_mut() {
            let port = json!({"name": "postgresql", "port": PORT, "targetPort": "postgresql", "protocol": "TCP"});
            service.insert("spec".to_owned(), json!({"selector": {DATABASE: self.name}, "ports": [port]}));
        }
        service
    }

    /// The claim for the data; nothing if the data ends with the pod. It has no owner, so that it outlives the StatefulSet.
    pub(super) fn data_claim(&self) -> Option<Json> {
        let claim = self.claim.as_ref()?;
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": claim.size}},
        });
        if let (Some(class), Some(spec)) = (&claim.storage_class, spec.as_object_mut()) {
            spec.insert("storageClassName".to_owned(), class.as_str().into());
        }
        let mut object = self.dependent("PersistentVolumeClaim", None);
        if let Some(object) = object.as_object_mut() {
            object.insert("spec".to_owned(), spec);
        }
        Some(object)
    }
}

/// Returns true if an object is one of this database.
pub(super) fn is_of(object: &Json, name: &str) -> bool {
    let label = |label: &str| object.pointer("/metadata/labels")?.get(label)?.as_str();
    label(DATABASE) == Some(name) && label("app.kubernetes.io/managed-by") == Some("terrace")
}

/// Annotations of a database whose data is gone.
pub(super) fn expired() -> Json {
    json!({EXPIRED: "true"})
}

/// Annotations of a database that ends at a time.
pub(super) fn expiring(at: Timestamp) -> Json {
    json!({EXPIRES_AT: at.to_string()})
}

/// Annotations of a database whose creation is complete, and whose lifetime has begun.
pub(super) fn completed(expires_at: Option<Timestamp>) -> Json {
    json!({READY: "true", EXPIRES_AT: expires_at.map(|at| at.to_string()).unwrap_or_default()})
}

/// The reference of a StatefulSet as owner.
pub(super) fn owner(stateful_set: &Json) -> Json {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": text(stateful_set, "/metadata/name"),
        "uid": text(stateful_set, "/metadata/uid"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            name: "orders".to_owned(),
            id: "0123".to_owned(),
            mark: Some("operation/step".to_owned()),
            ttl: Some("8h".to_owned()),
            expires_at: Some("2026-11-29T08:00:00Z".parse().unwrap()),
            is_whole: true,
            claim: Some(DataClaim { size: "1Gi".to_owned(), storage_class: Some("fast".to_owned()) }),
            image: "registry.example.com/postgres@sha256:00".to_owned(),
            secret: "uid-2".to_owned(),
            ..Description::default()
        }
    }

    #[test]
    fn manifests_of_a_database() {
        let description = description();
        let owner = owner(&json!({"metadata": {"name": "terrace-db-orders", "uid": "uid-1"}}));
        let manifests = [
            description.stateful_set(None),
            description.service(Some(&owner)),
            description.secret("PASSWORD", "URL", &owner),
            description.data_claim().unwrap(),
        ];
        insta::assert_snapshot!(serde_json::to_string_pretty(&manifests).unwrap());
    }

    #[test]
    fn stateful_set_is_the_record_of_its_database() {
        let with_claim = description();
        assert_eq!(Description::read(&with_claim.stateful_set(Some("7"))), Some(with_claim.clone()));
        let other = Description {
            claim: None,
            is_stopped: true,
            is_expired: true,
            is_fresh: true,
            has_page: true,
            is_whole: false,
            ttl: None,
            expires_at: None,
            mark: None,
            ..with_claim
        };
        assert_eq!(Description::read(&other.stateful_set(None)), Some(other));
        assert_eq!(Description::read(&json!({"metadata": {"name": "terrace-db-orders"}})), None);
    }

    #[test]
    fn only_names_of_objects_are_accepted() {
        assert_eq!(check_name("orders-2"), Ok(()));
        assert_eq!(check_name(&"a".repeat(41)), Ok(()));
        assert!(check_name(&"a".repeat(42)).unwrap_err().1.contains("at most 41"));
        for name in ["a_b", "a-"] {
            assert!(check_name(name).unwrap_err().0.contains(name), "{name}");
        }
    }
}

//! The calls of a session.

use crate::cluster::{Apply, Cluster, Kind, uid_of};
use crate::config::Config;
use crate::difference::{between, in_words};
use crate::failure::{Failure, Purpose, Refusal};
use crate::private::PrivateData;
use crate::projection::{described, drifted};
use crate::ready::Rule;
use crate::target::{Target, path_of};
use crate::{fields, lookup, manifest, mark, rights, wait};
use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use terrace_provider::attributes::{flag, optional_text, text};
use terrace_provider::plan::from_schema;
use terrace_provider::provider::probe_by_import;
use terrace_provider::{
    Attempt, Attributes, Batch, Call, DataAmount, DryRun, ErrorKind, Finding, Found, MissingRight, Observed, Path,
    Planned, PlannedChange, Probe, ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session,
    Settings, Severity, Value,
};

/// Number of objects of a kind and namespace that a list reads in the time of a few single reads.
pub(crate) const READS_AT_ONCE: usize = 500;
/// Fewer objects are read one by one: a namespace may have many others.
const LISTED_FROM: usize = 10;
/// Single reads at once.
const SINGLE_READS: usize = 16;
/// Values of `deletePropagation`, and those of the API.
const PROPAGATION: [(&str, &str); 3] =
    [("foreground", "Foreground"), ("background", "Background"), ("orphan", "Orphan")];

/// One configured instance.
pub(crate) struct KubernetesSession {
    cluster: Cluster,
    /// Planned new namespaces and kinds: objects that need them cannot be checked yet.
    expected: Mutex<HashSet<String>>,
}

/// A part of a batch with its position.
type Numbered<T> = (usize, T);

/// An object with the kind that the cluster serves.
struct Located {
    kind: Kind,
    target: Target,
}

/// The manifest of attributes, in the form for the server.
fn sent(attributes: &Attributes) -> Json {
    attributes.get("manifest").map(|manifest| manifest::encoded(&manifest.to_revealed_json())).unwrap_or_default()
}

impl KubernetesSession {
    /// Opens an instance. Opens no file and sends nothing.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ProviderError> {
        Ok(Self { cluster: Cluster::new(Config::read(settings)?), expected: Mutex::default() })
    }

    /// Remembers that a plan creates a namespace or the definition of a kind.
    fn expect(&self, planned: &Attributes) {
        let Some(target) = Target::of(planned) else { return };
        let key = match (target.group(), target.kind.as_str()) {
            ("", "Namespace") => namespace_key(&target.name),
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                let manifest = sent(planned);
                let text = |at: &str| manifest.pointer(at).and_then(Json::as_str).unwrap_or_default().to_owned();
                kind_key(&text("/spec/group"), &text("/spec/names/kind"))
            }
            _ => return,
        };
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    fn is_expected(&self, key: &str) -> bool {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// The object of attributes.
    fn target(attributes: &Attributes) -> Result<Target, ProviderError> {
        Target::of(attributes).ok_or_else(|| ProviderError::bug("the object has no known name"))
    }

    /// The object in the version of its manifest.
    async fn locate(&self, target: Target, purpose: &Purpose<'_>) -> Result<Located, ProviderError> {
        let kind = self.cluster.kind(&target).await.map_err(|failure| self.cluster.error(failure, purpose))?;
        kind.check_scope(&target)?;
        self.cluster.check_allowed(&kind, &target.namespace)?;
        Ok(Located { kind, target })
    }

    /// A recorded object in a version that the cluster serves; `None` if it serves none.
    async fn locate_recorded(&self, target: &Target) -> Result<Option<Located>, ProviderError> {
        let found = self.cluster.recorded_kind(target).await;
        let found = found.map_err(|failure| self.cluster.error(failure, &reading(target, None)))?;
        Ok(found.map(|(kind, target)| Located { kind, target }))
    }

    async fn object(&self, at: &Located) -> Result<Option<Json>, ProviderError> {
        let found = self.cluster.object(&at.kind, &at.target).await;
        found.map_err(|failure| self.cluster.error(failure, &reading(&at.target, Some(&at.kind))))
    }

    /// The id of the cluster, for rows.
    async fn cluster_id(&self) -> Result<Option<String>, ProviderError> {
        let purpose = Purpose {
            verb: "get",
            what: "Namespace `kube-system`".to_owned(),
            resource: "namespaces".to_owned(),
            is_read: true,
            ..Purpose::default()
        };
        self.cluster.id().await.map_err(|failure| self.cluster.error(failure, &purpose))
    }

    /// Refuses a recorded object of another cluster: the context of the instance may have changed.
    async fn check_cluster(&self, attributes: &Attributes) -> Result<(), ProviderError> {
        let (recorded, present) = (optional_text(attributes, "cluster"), self.cluster_id().await?);
        match (recorded, present) {
            (Some(recorded), Some(present)) if recorded != present => {
                let what = Target::of(attributes).map_or_else(|| "the object".to_owned(), |target| target.to_string());
                let message = format!(
                    "the instance `{}` now leads to the cluster {present}, but {what} is in the cluster {recorded}",
                    self.cluster.config.instance
                );
                Err(ProviderError::new(ErrorKind::Failed, message)
                    .solution("correct `context` or `kubeconfig` of the instance")
                    .solution("forget the rows of a cluster that is gone: `terrace state rm`"))
            }
            _ => Ok(()),
        }
    }

    /// The object as a call returns it, with this manifest.
    async fn observed(
        &self,
        ty: &ResourceType,
        live: &Json,
        manifest: Value,
        applied: Json,
    ) -> Result<Observed, ProviderError> {
        let mut attributes = Attributes::default();
        attributes.insert("manifest".to_owned(), manifest);
        manifest::put_names(&mut attributes);
        if let Some(uid) = uid_of(live) {
            attributes.insert("uid".to_owned(), uid.into());
        }
        if let Some(cluster) = self.cluster_id().await? {
            attributes.insert("cluster".to_owned(), cluster.into());
        }
        let resource = mark::of_object(live, mark::RESOURCE).map(str::to_owned);
        // The manifest may be secret, and is in the row already.
        let applied = Some(applied).filter(|applied| *applied != sent(&attributes));
        let private = PrivateData { applied, resource }.to_private();
        Ok(Observed { identity: ty.identity_of(&attributes).unwrap_or_default(), attributes, private })
    }

    /// The object after terrace applied the planned manifest.
    async fn applied(&self, ty: &ResourceType, live: &Json, planned: &Attributes) -> Result<Observed, ProviderError> {
        let applied = described(live, &sent(planned), &fields::all(live));
        let manifest = manifest::marked(planned.get("manifest").cloned().unwrap_or_default(), None);
        self.observed(ty, live, manifest, applied).await
    }

    /// A recorded object as it is now: its manifest has the present values of drifted fields.
    async fn present(&self, ty: &ResourceType, live: &Json, prior: &Recorded) -> Result<Observed, ProviderError> {
        let wanted = sent(&prior.attributes);
        let now = described(live, &wanted, &fields::all(live));
        let applied = PrivateData::of(&prior.private).applied.unwrap_or_else(|| wanted.clone());
        let recorded = prior.attributes.get("manifest");
        let shown = match drifted(&wanted, &applied, &now) {
            unchanged if unchanged == wanted => recorded.cloned().unwrap_or_default(),
            changed => manifest::decoded(changed, &recorded.map(Value::to_revealed_json).unwrap_or_default()).into(),
        };
        self.observed(ty, live, manifest::marked(shown, recorded), applied).await
    }

    /// An object that another tool applied: the described fields with their present values, or the fields of its managers.
    async fn foreign(
        &self,
        ty: &ResourceType,
        at: &Located,
        live: &Json,
        planned: Option<&Attributes>,
    ) -> Result<Observed, ProviderError> {
        let planned = planned.filter(|planned| planned.get("manifest").is_some_and(|manifest| !manifest.has_unknown()));
        let Some(planned) = planned else {
            let imported = manifest::imported(live);
            let applied = described(live, &imported, &fields::all(live));
            return self.observed(ty, live, manifest::marked(imported.into(), None), applied).await;
        };
        let wanted = sent(planned);
        let now = described(live, &wanted, &fields::all(live));
        // A dry run shows the form in which the server would store the manifest.
        let how = Apply { is_dry_run: true, takes_ownership: true };
        let normal = match self.cluster.apply(&at.kind, &at.target, &wanted, how).await {
            Ok(reply) => described(&reply.object, &wanted, &fields::all(&reply.object)),
            Err(_) => wanted.clone(),
        };
        let like = planned.get("manifest");
        let shown =
            manifest::decoded(drifted(&wanted, &normal, &now), &like.map(Value::to_revealed_json).unwrap_or_default());
        self.observed(ty, live, manifest::marked(shown.into(), like), now).await
    }

    /// Plans an update with the server: other changes that follow, conflicts, and fields that only a new object can have.
    async fn ask_server(&self, planned: &mut PlannedChange, prior: &Recorded) -> Result<(), ProviderError> {
        let target = Self::target(&planned.planned)?;
        let wanted = sent(&planned.planned);
        let purpose = writing("patch", &target, None, &wanted);
        let kind = match self.cluster.kind(&target).await {
            Ok(kind) => kind,
            Err(failure) => return unchecked(self.cluster.error(failure, &purpose), planned),
        };
        kind.check_scope(&target)?;
        let purpose = writing("patch", &target, Some(&kind), &wanted);
        let body = with_uid(wanted.clone(), &prior.attributes);
        let takes_ownership = flag(&planned.planned, "takeOwnership");
        let how = Apply { is_dry_run: true, takes_ownership: false };
        let mut answer = self.cluster.apply(&kind, &target, &body, how).await;
        if let Err(Failure::Answered(refusal)) = &answer {
            let conflicts = refusal.conflicts();
            if takes_ownership && !conflicts.is_empty() {
                let taken = conflicts.iter().map(|it| format!("it takes `{}` over from `{}`", it.field, it.manager));
                planned.because.extend(taken);
                answer = self.cluster.apply(&kind, &target, &body, Apply { takes_ownership, ..how }).await;
            }
        }
        let mut after = match answer {
            Ok(reply) => reply.object,
            Err(Failure::Answered(refusal)) if refusal.is_immutable() => {
                replace(planned, &refusal, &wanted);
                return Ok(());
            }
            Err(failure) => return unchecked(self.cluster.error(failure, &purpose), planned),
        };
        // The values of a Secret are not for plans.
        if !manifest::is_secret(&wanted)
            && let Ok(Some(mut before)) = self.cluster.object(&kind, &target).await
        {
            // A dry run has no marks.
            mark::remove(&mut before);
            mark::remove(&mut after);
            let recorded = sent(&prior.attributes);
            let mut differences = between(&before, &after);
            differences.retain(|it| !it.is_described_by(&wanted) && !it.is_described_by(&recorded));
            if !differences.is_empty() {
                planned.because.push(format!("the server also changes {}", in_words(&differences)));
            }
        }
        Ok(())
    }

    async fn findings(&self, planned: &Attributes) -> Result<Vec<Finding>, ProviderError> {
        let target = Self::target(planned)?;
        let wanted = sent(planned);
        let purpose = writing("create", &target, None, &wanted);
        let kind = match self.cluster.kind(&target).await {
            Ok(kind) => kind,
            Err(Failure::NotServed(_)) if self.is_expected(&kind_key(target.group(), &target.kind)) => {
                return Ok(Vec::new());
            }
            Err(Failure::NotServed(error)) => return Ok(vec![note(&error, "manifest")]),
            Err(failure) => return Err(self.cluster.error(failure, &purpose)),
        };
        kind.check_scope(&target)?;
        let purpose = writing("create", &target, Some(&kind), &wanted);
        match self.cluster.check_create(&kind, &target, &wanted).await {
            Ok(reply) => Ok(defaults(&wanted, &reply.object).into_iter().collect()),
            Err(Failure::Answered(refusal)) if refusal.reason == "AlreadyExists" => Ok(Vec::new()),
            Err(Failure::Answered(refusal))
                if refusal.is_namespace_missing() && self.is_expected(&namespace_key(&target.namespace)) =>
            {
                Ok(Vec::new())
            }
            Err(Failure::Answered(refusal)) if refusal.is_namespace_missing() => {
                Ok(vec![note(&self.cluster.error(Failure::Answered(refusal), &purpose), "manifest")])
            }
            Err(failure) => Err(self.cluster.error(failure, &purpose)),
        }
    }

    /// Waits until the object is ready, if `wait` is true.
    async fn ready(
        &self,
        at: &Located,
        call: &Call,
        planned: &Attributes,
        live: Json,
        ty: &ResourceType,
    ) -> Result<Json, ProviderError> {
        if !flag(planned, "wait") {
            return Ok(live);
        }
        let rule = Rule::of(planned)?;
        match wait::until_ready(&self.cluster, (&at.kind, &at.target), call, &rule, live.clone()).await {
            Ok(live) => Ok(live),
            Err(error) => Err(error.with_object(self.applied(ty, &live, planned).await?)),
        }
    }

    async fn read_listed(
        &self,
        ty: &ResourceType,
        priors: &[Numbered<&Recorded>],
        at: &Located,
    ) -> Option<Vec<Numbered<Result<Option<Observed>, ProviderError>>>> {
        let listed = match self.cluster.list(&at.kind, &at.target.namespace, &[]).await {
            Ok(listed) => listed,
            // An identity may have the right to read single objects only.
            Err(Failure::Answered(refusal)) if refusal.code == 403 => return None,
            Err(failure) => {
                let error = self.cluster.error(failure, &reading(&at.target, Some(&at.kind)));
                return Some(priors.iter().map(|(index, _)| (*index, Err(error.clone()))).collect());
            }
        };
        let name =
            |object: &Json| object.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default().to_owned();
        let by_name: HashMap<String, &Json> = listed.iter().map(|object| (name(object), object)).collect();
        let mut answers = Vec::with_capacity(priors.len());
        for (index, prior) in priors {
            let answer = match by_name.get(&text(&prior.attributes, "name")) {
                Some(live) => self.present(ty, live, prior).await.map(Some),
                None => Ok(None),
            };
            answers.push((*index, answer));
        }
        Some(answers)
    }
}

fn namespace_key(name: &str) -> String {
    format!("namespace {name}")
}

fn kind_key(group: &str, kind: &str) -> String {
    format!("kind {group}/{kind}")
}

/// The purpose of a read.
fn reading(target: &Target, kind: Option<&Kind>) -> Purpose<'static> {
    Purpose::reading(target, kind.map_or_else(|| target.kind.clone(), Kind::resource))
}

/// The purpose of a write, or of its dry run.
fn writing<'a>(verb: &'static str, target: &Target, kind: Option<&Kind>, manifest: &'a Json) -> Purpose<'a> {
    Purpose { verb, is_read: false, manifest: Some(manifest), id: target.id(), ..reading(target, kind) }
}

/// The manifest for exactly the recorded object: the server refuses it if the object is gone or recreated.
fn with_uid(mut manifest: Json, recorded: &Attributes) -> Json {
    if let (Some(uid), Some(metadata)) =
        (optional_text(recorded, "uid"), manifest.get_mut("metadata").and_then(Json::as_object_mut))
    {
        metadata.insert("uid".to_owned(), uid.into());
    }
    manifest
}

/// Errors about the manifest end the plan; other failures only mean that the server was not asked.
fn unchecked(error: ProviderError, planned: &mut PlannedChange) -> Result<(), ProviderError> {
    match error.kind {
        ErrorKind::InvalidInput { .. } => Err(error),
        _ => {
            planned.because.push(format!("the server has not checked it: {}", error.message));
            Ok(())
        }
    }
}

/// Turns an update into a replacement because of the fields that a refusal names.
fn replace(planned: &mut PlannedChange, refusal: &Refusal, manifest: &Json) {
    for cause in &refusal.causes {
        planned.replace_paths.push(path_of(&cause.field, manifest));
        planned.because.push(format!("`{}` cannot be changed in place", cause.field));
    }
    planned.replace_paths.dedup();
    for name in ["uid", "cluster"] {
        planned.planned.insert(name.to_owned(), Value::Unknown);
    }
}

fn note(error: &ProviderError, path: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        path: Some(Path::attribute(path)),
        message: format!("not checked by the server: {}", error.message),
        hint: error.hint(),
    }
}

/// The fields that the server adds to a new object.
fn defaults(wanted: &Json, after: &Json) -> Option<Finding> {
    if manifest::is_secret(wanted) {
        return None;
    }
    let mut added = between(wanted, after);
    // Every object has metadata, and a spelling such as `1000m` for `1` adds nothing.
    added.retain(|it| it.before.is_none() && it.steps.first().is_none_or(|step| step != "metadata"));
    (!added.is_empty()).then(|| Finding {
        severity: Severity::Note,
        path: Some(Path::attribute("manifest")),
        message: format!("the server adds {}", in_words(&added)),
        hint: None,
    })
}

fn finding(error: &ProviderError) -> Finding {
    let more = error.problems.iter().map(|problem| format!("; {problem}")).collect::<String>();
    let (severity, path, message) = match &error.kind {
        ErrorKind::InvalidInput { path } => (Severity::Error, path.clone(), format!("{}{more}", error.message)),
        ErrorKind::Failed => (Severity::Error, None, error.message.clone()),
        _ => (Severity::Warning, None, format!("not checked by the server: {}", error.message)),
    };
    Finding { severity, path, message, hint: error.hint() }
}

fn check_choices(attributes: &Attributes) -> Result<(), ProviderError> {
    Rule::of(attributes)?;
    let known = PROPAGATION.map(|(word, _)| word);
    match optional_text(attributes, "deletePropagation").filter(|text| !known.contains(&text.as_str())) {
        Some(text) => {
            let message = format!("`{text}` is not a way to delete dependents");
            Err(ProviderError::invalid(Some(Path::attribute("deletePropagation")), message)
                .did_you_mean(&text, &known)
                .solution("write `foreground`, `background` or `orphan`"))
        }
        None => Ok(()),
    }
}

#[async_trait]
impl Session for KubernetesSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.check_cluster(&prior.attributes).await?;
        let Some(at) = self.locate_recorded(&Self::target(&prior.attributes)?).await? else { return Ok(None) };
        match self.object(&at).await? {
            Some(live) => self.present(ty, &live, prior).await.map(Some),
            None => Ok(None),
        }
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        let mut groups: HashMap<[String; 3], Vec<Numbered<&'a Recorded>>> = HashMap::new();
        for (index, prior) in priors.iter().enumerate() {
            let part = |name: &str| text(&prior.attributes, name);
            groups.entry(["apiVersion", "kind", "namespace"].map(part)).or_default().push((index, prior));
        }
        if priors.len() < 2 {
            return None;
        }
        Some(Box::pin(async move {
            let mut answers: Vec<Numbered<Result<Option<Observed>, ProviderError>>> = Vec::with_capacity(priors.len());
            let mut single: Vec<Numbered<&'a Recorded>> = Vec::new();
            for group in groups.into_values() {
                let first = group.first().filter(|_| group.len() >= LISTED_FROM);
                let listed = match first.and_then(|(_, prior)| Target::of(&prior.attributes)) {
                    Some(target) if self.check_cluster_of(&group).await => match self.locate_recorded(&target).await {
                        Ok(Some(at)) => self.read_listed(ty, &group, &at).await,
                        _ => None,
                    },
                    _ => None,
                };
                match listed {
                    Some(listed) => answers.extend(listed),
                    None => single.extend(group),
                }
            }
            let reads: Vec<_> =
                single.into_iter().map(|(index, prior)| async move { (index, self.read(ty, prior).await) }).collect();
            answers.extend(futures_util::stream::iter(reads).buffered(SINGLE_READS).collect::<Vec<_>>().await);
            answers.sort_by_key(|(index, _)| *index);
            answers.into_iter().map(|(_, answer)| answer).collect()
        }))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let mut planned = from_schema(ty, change);
        manifest::check(&planned.planned, &self.cluster.config.namespaces)?;
        check_choices(&planned.planned)?;
        manifest::put_names(&mut planned.planned);
        if let Some(manifest) = planned.planned.get_mut("manifest") {
            *manifest = manifest::marked(std::mem::take(manifest), None);
        }
        let Some(prior) = change.prior else {
            self.expect(&planned.planned);
            return Ok(planned);
        };
        let (wanted, recorded) = (Target::of(&planned.planned), Target::of(&prior.attributes));
        let renamed = match (&wanted, &recorded) {
            (Some(wanted), Some(recorded)) => !wanted.is_same_object(recorded),
            _ => true,
        };
        if renamed || change.must_replace {
            if renamed {
                planned.replace_paths.push(renamed_at(wanted.as_ref(), recorded.as_ref()));
            }
            for name in ["uid", "cluster"] {
                planned.planned.insert(name.to_owned(), Value::Unknown);
            }
            return Ok(planned);
        }
        let is_changed = match (planned.planned.get("manifest"), prior.attributes.get("manifest")) {
            (Some(wanted), Some(recorded)) => !wanted.is_same_as(recorded),
            _ => true,
        };
        let is_known = planned.planned.get("manifest").is_some_and(|manifest| !manifest.has_unknown());
        if is_changed && is_known && self.cluster.config.access.is_some() {
            self.ask_server(&mut planned, prior).await?;
        }
        Ok(planned)
    }

    fn check_configured(&self, _ty: &ResourceType, _attributes: &Attributes) -> Result<(), ProviderError> {
        self.cluster.config.access().map(drop)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let attributes = &planned.attributes;
        let target = Self::target(attributes)?;
        let plain = sent(attributes);
        let mut wanted = plain.clone();
        mark::put(&mut wanted, call);
        let purpose = writing("create", &target, None, &plain);
        let at = self.locate(target, &purpose).await?;
        let purpose = writing("create", &at.target, Some(&at.kind), &plain);
        // Fails here rather than after the create.
        self.cluster_id().await?;
        let exists = || {
            let kind = ErrorKind::AlreadyExists { import_id: Some(at.target.id()) };
            ProviderError::new(kind, format!("{} exists already", at.target))
        };
        let existing = self.object(&at).await?;
        // A repeated call finds its own object.
        let is_own = |live: &Json| mark::of_object(live, mark::CALL) == Some(mark::of_call(call).as_str());
        if existing.as_ref().is_some_and(|live| !is_own(live)) {
            return Err(exists());
        }
        let how = Apply { is_dry_run: false, takes_ownership: flag(attributes, "takeOwnership") };
        let reply = self.cluster.apply(&at.kind, &at.target, &wanted, how).await;
        let reply = reply.map_err(|failure| self.cluster.error(failure, &purpose))?;
        if existing.is_none() && !reply.is_created {
            // Another client created it in the meantime: an apply without fields releases ours.
            let none = json!({"apiVersion": at.target.api_version, "kind": at.target.kind,
                "metadata": metadata_of(&at.target)});
            let released = self.cluster.apply(&at.kind, &at.target, &none, how).await;
            released.map_err(|failure| self.cluster.error(failure, &purpose))?;
            return Err(exists());
        }
        let live = self.ready(&at, call, attributes, reply.object, ty).await?;
        self.applied(ty, &live, attributes).await
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.check_cluster(&prior.attributes).await?;
        let attributes = &planned.attributes;
        let plain = sent(attributes);
        let target = Self::target(attributes)?;
        let mut wanted = with_uid(plain.clone(), &prior.attributes);
        mark::put(&mut wanted, call);
        let purpose = writing("patch", &target, None, &plain);
        let at = self.locate(target, &purpose).await?;
        let purpose = writing("patch", &at.target, Some(&at.kind), &plain);
        let how = Apply { is_dry_run: false, takes_ownership: flag(attributes, "takeOwnership") };
        let reply = self.cluster.apply(&at.kind, &at.target, &wanted, how).await;
        let reply = reply.map_err(|failure| self.cluster.error(failure, &purpose))?;
        let live = self.ready(&at, call, attributes, reply.object, ty).await?;
        self.applied(ty, &live, attributes).await
    }

    async fn delete(&self, _ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        self.check_cluster(&prior.attributes).await?;
        let Some(at) = self.locate_recorded(&Self::target(&prior.attributes)?).await? else { return Ok(()) };
        let word = optional_text(&prior.attributes, "deletePropagation").unwrap_or_default();
        let propagation = PROPAGATION.iter().find(|(known, _)| *known == word).map_or("Foreground", |(_, value)| value);
        let uid = optional_text(&prior.attributes, "uid");
        match self.cluster.delete(&at.kind, &at.target, uid.as_deref(), propagation).await {
            Ok(()) => {}
            Err(Failure::Answered(refusal)) if refusal.is_not_found() => return Ok(()),
            Err(failure) => {
                let purpose = Purpose { verb: "delete", is_read: false, ..reading(&at.target, Some(&at.kind)) };
                return Err(self.cluster.error(failure, &purpose));
            }
        }
        wait::until_gone(&self.cluster, (&at.kind, &at.target), call, uid.as_deref()).await
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let of_prior = || attempt.prior.as_ref().and_then(|prior| Target::of(&prior.attributes));
        let Some(target) = Target::of(&attempt.planned).or_else(of_prior) else { return Ok(Found::Unknown) };
        let is_wrong = manifest::check(&attempt.planned, &self.cluster.config.namespaces).is_err();
        if is_wrong && attempt.prior.is_none() && attempt.lost_call.is_none() {
            // The plan reports the place.
            return Ok(Found::Unknown);
        }
        match &attempt.prior {
            Some(prior) => self.check_cluster(&prior.attributes).await?,
            None => drop(self.cluster_id().await?),
        }
        let Some(at) = self.locate_recorded(&target).await? else { return Ok(Found::Absent) };
        let Some(live) = self.object(&at).await? else { return Ok(Found::Absent) };
        let Some(lost) = &attempt.lost_call else {
            return Ok(Found::Foreign(self.foreign(ty, &at, &live, Some(&attempt.planned)).await?));
        };
        let is_of_call = mark::of_object(&live, mark::CALL) == Some(mark::of_lost(lost).as_str());
        match &attempt.prior {
            None if is_of_call => Ok(Found::Own(self.applied(ty, &live, &attempt.planned).await?)),
            None => Ok(Found::Foreign(self.foreign(ty, &at, &live, Some(&attempt.planned)).await?)),
            Some(prior) => {
                let uid = optional_text(&prior.attributes, "uid");
                if uid.is_some() && uid != uid_of(&live) {
                    // The recorded object is gone, and a new object has its name.
                    return Ok(Found::Foreign(self.foreign(ty, &at, &live, Some(&prior.attributes)).await?));
                }
                let is_delete = attempt.planned.is_empty();
                if is_delete && live.pointer("/metadata/deletionTimestamp").is_some_and(Json::is_string) {
                    return Ok(Found::Pending(format!("{target} is being deleted")));
                }
                match is_of_call && !is_delete {
                    true => Ok(Found::Own(self.applied(ty, &live, &attempt.planned).await?)),
                    false => Ok(Found::Own(self.present(ty, &live, prior).await?)),
                }
            }
        }
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let target = Target::of_id(id)?;
        let purpose = reading(&target, None);
        let at = self.locate(target, &purpose).await?;
        match self.object(&at).await? {
            Some(live) => self.foreign(ty, &at, &live, None).await.map(Some),
            None => Ok(None),
        }
    }

    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let is_known = planned.get("manifest").is_some_and(|manifest| !manifest.has_unknown());
        let is_new = planned.get("uid").is_none_or(Value::is_unknown);
        if !is_known || !is_new || self.cluster.config.access.is_none() {
            // `plan` has asked the server about an update.
            return None;
        }
        Some(Box::pin(async move { self.findings(planned).await.unwrap_or_else(|error| vec![finding(&error)]) }))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        lookup::answer(&self.cluster, name, arguments).await
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        let probe = probe_by_import(self, schema, "kubernetes_object", "v1/Namespace//terrace-doctor")?;
        Some(Box::pin(async move {
            match probe.await {
                // The cluster accepts the caller, who may not read this namespace: `missing_rights` lists such rights.
                Err(error) if error.vendor_code.as_deref() == Some("Forbidden") => Ok(()),
                answer => answer,
            }
        }))
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        rights::missing(&self.cluster).await.map(Some)
    }

    async fn count_data(&self, _ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let target = Self::target(&prior.attributes)?;
        let purpose = reading(&target, None);
        let (path, one, many) = match (target.group(), target.kind.as_str()) {
            ("", "Namespace") => {
                let path = format!("/api/v1/namespaces/{}/persistentvolumeclaims", crate::cluster::part(&target.name));
                (path, "volume claim", "volume claims")
            }
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                let Some(at) = self.locate_recorded(&target).await? else { return Ok(DataAmount::Empty) };
                let Some(live) = self.object(&at).await? else { return Ok(DataAmount::Empty) };
                match definition_path(&live) {
                    Some(path) => (path, "object", "objects"),
                    None => return Ok(DataAmount::Unknown),
                }
            }
            _ => return Ok(DataAmount::Unknown),
        };
        match self.cluster.count(&path).await {
            // A namespace without claims may hold other objects of value.
            Ok(0) if target.kind == "Namespace" => Ok(DataAmount::Unknown),
            Ok(count) => Ok(DataAmount::of(count, one, many)),
            Err(Failure::Answered(refusal)) if refusal.code == 404 => Ok(DataAmount::Empty),
            Err(Failure::Answered(refusal)) if refusal.code == 403 => Ok(DataAmount::Unknown),
            Err(failure) => Err(self.cluster.error(failure, &purpose)),
        }
    }
}

impl KubernetesSession {
    /// True if all rows are of the cluster that the instance leads to. The single reads report the others.
    async fn check_cluster_of(&self, group: &[Numbered<&Recorded>]) -> bool {
        let Ok(present) = self.cluster_id().await else { return false };
        let is_here = |cluster: Option<String>| cluster.is_none() || present.is_none() || cluster == present;
        group.iter().all(|(_, prior)| is_here(optional_text(&prior.attributes, "cluster")))
    }
}

/// `name` and `namespace` of a manifest.
fn metadata_of(target: &Target) -> Json {
    match target.namespace.as_str() {
        "" => json!({"name": target.name}),
        namespace => json!({"name": target.name, "namespace": namespace}),
    }
}

/// The URL of all objects of a definition, in a version that is served.
fn definition_path(definition: &Json) -> Option<String> {
    let text = |at: &str| definition.pointer(at).and_then(Json::as_str);
    let (group, plural) = (text("/spec/group")?, text("/spec/names/plural")?);
    let versions = definition.pointer("/spec/versions")?.as_array()?;
    let served = versions.iter().find(|version| version.get("served").and_then(Json::as_bool) == Some(true))?;
    let kind = Kind {
        api_version: format!("{group}/{}", served.get("name")?.as_str()?),
        kind: String::new(),
        plural: plural.to_owned(),
        is_namespaced: true,
    };
    Some(kind.list_path(""))
}

/// The part of the manifest that names another object.
fn renamed_at(wanted: Option<&Target>, recorded: Option<&Target>) -> Path {
    let manifest = Path::attribute("manifest");
    let (Some(wanted), Some(recorded)) = (wanted, recorded) else { return manifest };
    if wanted.kind != recorded.kind {
        manifest.key("kind")
    } else if wanted.group() != recorded.group() {
        manifest.key("apiVersion")
    } else if wanted.namespace != recorded.namespace {
        manifest.key("metadata").key("namespace")
    } else {
        manifest.key("metadata").key("name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(is_namespaced: bool) -> Kind {
        Kind { api_version: "v1".to_owned(), kind: "K".to_owned(), plural: "ks".to_owned(), is_namespaced }
    }

    #[test]
    fn scope_of_a_kind_is_checked() {
        let check = |is_namespaced, id: &str| kind(is_namespaced).check_scope(&Target::of_id(id).unwrap());
        assert!(check(true, "v1/K/n/a").is_ok() && check(false, "v1/K//a").is_ok());
        assert!(check(true, "v1/K//a").unwrap_err().message.contains("has no namespace"));
        assert!(check(false, "v1/K/n/a").unwrap_err().message.contains("whole cluster"));
    }

    #[test]
    fn wrong_choices_are_refused() {
        let check = |name: &str, value: &str| check_choices(&[(name.to_owned(), value.into())].into_iter().collect());
        assert!(check("waitFor", "Available=True").is_ok() && check("deletePropagation", "orphan").is_ok());
        assert!(check("waitFor", "a b").is_err() && check("readyWhen", "object.status ==").is_err());
        let both = [("waitFor", "Available"), ("readyWhen", "object.ok")];
        let both = both.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
        assert!(check_choices(&both).unwrap_err().message.contains("exclude each other"));
        let error = check("deletePropagation", "orphans").unwrap_err();
        assert!(error.hint().unwrap().contains("`orphan`"), "{error:?}");
    }

    #[test]
    fn renamed_part_is_the_place_of_the_replacement() {
        let at = |one: &str, other: &str| {
            renamed_at(Target::of_id(one).ok().as_ref(), Target::of_id(other).ok().as_ref()).to_string()
        };
        assert_eq!(at("v1/K/n/a", "v1/K/n/b"), "manifest.metadata.name");
        assert_eq!(at("v1/K/n/a", "v1/K/m/a"), "manifest.metadata.namespace");
        assert_eq!(at("v1/K/n/a", "v1/L/n/a"), "manifest.kind");
        assert_eq!(at("g/v1/K/n/a", "v1/K/n/a"), "manifest.apiVersion");
    }

    #[test]
    fn definition_leads_to_its_objects() {
        let definition = json!({"spec": {"group": "example.com", "names": {"plural": "widgets"},
            "versions": [{"name": "v1alpha1", "served": false}, {"name": "v1", "served": true}]}});
        assert_eq!(definition_path(&definition).unwrap(), "/apis/example.com/v1/widgets");
    }

    #[test]
    fn defaults_of_the_server_are_one_note() {
        let (wanted, after) =
            (json!({"spec": {"a": "1000m"}}), json!({"metadata": {"uid": "1"}, "spec": {"a": "1", "b": 2}}));
        assert_eq!(defaults(&wanted, &after).unwrap().message, "the server adds `spec.b: 2`");
        assert_eq!(defaults(&wanted, &wanted), None);
    }
}

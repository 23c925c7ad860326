//! `pipelines_volume_sync`: copies files of the project, or outputs of a pipeline, to another place.
//!
//! The object is the manifest that a sync writes next to the files. Deletion keeps the files, unless `deleteOutputs` is
//! set.

mod planning;

use super::attributes::{Name, blocking, io_error, texts as listed_texts};
use super::folder::Folder;
use crate::resource::storage_error::StorageProblem;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::execution_options::ExecutionOption;
use terrace_pipelines::run::{Record, Runner, State};
use terrace_pipelines::storage::kubernetes::ClusterCopies;
use terrace_pipelines::storage::source::Filter;
use terrace_pipelines::storage::{Manifest, Storage, StorageError, SyncEvent, SyncRequest, Tree, manifest};
use terrace_provider::attributes::{flag, optional_text, text, texts};
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DataAmount, DryRun, ErrorKind, Found, Object, Observed,
    Planned, PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Timeouts, Value,
    object_id,
};

/// The type's name.
pub const NAME: &str = "pipelines_volume_sync";
/// The attributes that identify a sync.
const IDENTITY: [&str; 2] = ["destination", "name"];
/// Timeout of a sync: a terabyte takes long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Timeout for reading many files from a slow server.
const READ_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Reason for the planner: an update changes the results.
const SYNCS: &str = "an update syncs again";

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let list = |name, doc| Attribute::new(name, AttributeType::list(AttributeType::String), doc);
    let flag = |name, doc| Attribute::new(name, AttributeType::Bool, doc).default_value(false);
    let attributes = vec![
        text(
            "destination",
            "Destination: a folder, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, or an address that accepts `PUT`.",
        )
        .required()
        .replaces(),
        text("name", "Path below the destination for all files: `weekly`, `teams/weekly`.").required().replaces(),
        text("id", "Destination and name, for `terrace import`.").stable(),
        text("source", "Folder to copy, relative to the project folder; or use `pipeline`."),
        text(
            "claim",
            "Claim of a cluster that has `source`, or a folder in it: `results/shop`; a pipeline names its own.",
        ),
        text("pipeline", "Id of a pipeline whose `dump_to_path` folders to copy; or use `source`."),
        text("folder", "Folder of the specs with that pipeline, relative to the project folder.").default_value("."),
        list(
            "include",
            "Patterns of files to copy, as `*.csv` or `deep/**`; without patterns, all files except hidden ones.",
        ),
        list("exclude", "Patterns of files to exclude."),
        flag("delete", "Remove files at the destination after they left the source."),
        flag("public", "Make the files public."),
        flag("checksum", "Verify files at the destination by reading them in full, instead of comparing size and tag."),
        text("publicUrl", "Address for readers of the destination, if it differs."),
        flag("deleteOutputs", "Remove the files together with the sync."),
        Attribute::new(
            "triggers",
            AttributeType::map(AttributeType::String),
            "Any values, such as a run's `dataset`: a change syncs again.",
        ),
        text("url", "Address to load: the data package, or else the folder, or the parent of all folders.")
            .computed()
            .volatile(SYNCS),
        list("urls", "Addresses to load, for each folder.").computed().volatile(SYNCS),
        Attribute::new("files", AttributeType::Int, "Number of files at the destination.").computed().volatile(SYNCS),
        Attribute::new("bytes", AttributeType::Int, "Number of bytes at the destination.").computed().volatile(SYNCS),
        text("manifestHash", "Digest of the paths and contents.").computed().volatile(SYNCS),
        list("changes", "Changes of the last sync.").computed().volatile(SYNCS),
        list("damaged", "Files that are missing or altered at the destination.").computed().volatile(SYNCS),
    ];
    let timeouts = Timeouts { create: LONGEST, update: LONGEST, delete: READ_TIMEOUT, read: READ_TIMEOUT };
    ResourceType {
        // No wait: a killed process sends nothing more, and the next sync sends an interrupted file again. A Job of a cluster
        // goes on: it counts as the copy.
        settle: Duration::ZERO,
        timeouts,
        ..ResourceType::new(NAME, "Copies of files at another place.", &IDENTITY, Object(attributes))
    }
}

/// The syncs of a project.
pub(crate) struct Syncs {
    runner: Runner,
    storage: Storage,
    /// Copies from claims of the cluster.
    copies: Result<Arc<ClusterCopies>, ProviderError>,
}

/// Identity of a sync.
struct SyncId {
    destination: String,
    name: String,
}

impl SyncId {
    fn of(attributes: &Attributes) -> Option<Self> {
        Some(Self { destination: optional_text(attributes, "destination")?, name: optional_text(attributes, "name")? })
    }

    fn from_known(attributes: &Attributes) -> Result<Self, ProviderError> {
        Self::of(attributes).ok_or_else(|| ProviderError::bug("a sync without a destination"))
    }

    fn id(&self) -> String {
        object_id::join([&self.destination, &self.name])
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.destination.trim_end_matches('/'), self.name)
    }
}

/// Source of a sync.
struct SyncSource {
    folders: Vec<PathBuf>,
    filter: Filter,
}

impl Syncs {
    pub(crate) const fn new(
        runner: Runner,
        storage: Storage,
        copies: Result<Arc<ClusterCopies>, ProviderError>,
    ) -> Self {
        Self { runner, storage, copies }
    }

    fn copies(&self) -> Result<&ClusterCopies, ProviderError> {
        self.copies.as_deref().map_err(Clone::clone)
    }

    /// The claim that has the source, with a folder; nothing for files of this machine, or while it is unknown.
    async fn claim(&self, attributes: &Attributes) -> Result<Option<String>, ProviderError> {
        let at = Some(terrace_provider::Path::attribute("claim"));
        let pipeline = optional_text(attributes, "pipeline");
        if let Some(claim) = optional_text(attributes, "claim") {
            if pipeline.is_some() {
                return Err(ProviderError::invalid(at, "`claim` belongs to `source`: a pipeline names its own claim")
                    .solution("remove `claim`"));
            }
            let option = ExecutionOption::Claim;
            option.check(&claim).map_err(|wrong| crate::cluster_settings::invalid((option, wrong)))?;
            return Ok(Some(claim));
        }
        let (Some(name), runner) = (pipeline, self.runner.clone()) else { return Ok(None) };
        let name = Name { folder: optional_text(attributes, "folder").unwrap_or_else(|| ".".to_owned()), name };
        blocking(move || {
            let folder = Folder::read(&runner.project, &name)?;
            Ok(runner.claim_of(folder.pipeline(&name)?).map(str::to_owned))
        })
        .await
    }

    /// Folders and files that attributes describe; `None` while one of the attributes is unknown.
    async fn sync_source(&self, attributes: &Attributes) -> Result<Option<SyncSource>, ProviderError> {
        let given = |name: &str| attributes.get(name).filter(|value| !value.is_null());
        let names = ["source", "claim", "pipeline", "folder", "include", "exclude"];
        if names.iter().any(|name| given(name).is_some_and(Value::has_unknown)) {
            return Ok(None);
        }
        let filter = Filter::new(&texts(attributes, "include"), &texts(attributes, "exclude"));
        let filter = filter.map_err(StorageError::while_reading)?;
        let at = |name: &str| Some(terrace_provider::Path::attribute(name));
        let folders = match (optional_text(attributes, "source"), optional_text(attributes, "pipeline")) {
            (Some(source), None) => vec![self.source(&source)?],
            (None, Some(name)) => {
                let folder = optional_text(attributes, "folder").unwrap_or_else(|| ".".to_owned());
                self.outputs(Name { folder, name }).await?
            }
            (None, None) => {
                return Err(ProviderError::invalid(
                    at("source"),
                    "expected one of `source` and `pipeline`, found none",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ProviderError::invalid(
                    at("source"),
                    "expected one of `source` and `pipeline`, found both",
                ));
            }
        };
        Ok(Some(SyncSource { folders, filter }))
    }

    fn source(&self, source: &str) -> Result<PathBuf, ProviderError> {
        let folder = terrace_pipelines::paths::plain(&self.storage.project.join(source));
        let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        match real.starts_with(&self.storage.project) && real != self.storage.project {
            true => Ok(folder),
            false => Err(ProviderError::invalid(
                Some(terrace_provider::Path::attribute("source")),
                format!("`source` is `{source}`: expected a folder below the project folder"),
            )),
        }
    }

    async fn outputs(&self, name: Name) -> Result<Vec<PathBuf>, ProviderError> {
        let project = self.runner.project.clone();
        blocking(move || {
            let folder = Folder::read(&project, &name)?;
            let mut places = terrace_pipelines::spec::output_folders(&folder.specs.root, folder.pipeline(&name)?);
            places.sort();
            places.dedup();
            if places.is_empty() {
                let at = Some(terrace_provider::Path::attribute("pipeline"));
                return Err(ProviderError::invalid(at, format!("`{}` has no step `dump_to_path`", name.name))
                    .solution("name the folder to copy with `source`"));
            }
            Ok(places)
        })
        .await
    }

    async fn tree(&self, source: &SyncSource) -> Result<Option<Tree>, ProviderError> {
        let read = self.storage.tree(source.folders.clone(), source.filter.clone()).await;
        read.map_err(StorageError::while_reading)
    }

    /// Refuses to sync outputs of a run that failed, or whose data is at another place than the source.
    fn check_run(&self, attributes: &Attributes, claim: Option<&str>) -> Result<(), ProviderError> {
        let Some(pipeline) = optional_text(attributes, "pipeline") else { return Ok(()) };
        let folder = optional_text(attributes, "folder").unwrap_or_else(|| ".".to_owned());
        let last = self.runner.store.last(&self.runner.recorded_folder(&folder), &pipeline);
        let last = last.map_err(|error| io_error("the record of a run cannot be read", &error))?;
        match last {
            Some(Record { state: State::Succeeded, fingerprint, .. }) if fingerprint.claim.as_deref() != claim => {
                let place = fingerprint.claim.map_or("on this machine".to_owned(), |it| format!("on the claim `{it}`"));
                let message = format!("the results of `{pipeline}` are {place}: nothing is synced");
                Err(ProviderError::new(ErrorKind::Failed, message).solution("run it with its present settings"))
            }
            None | Some(Record { state: State::Succeeded, .. }) => Ok(()),
            Some(last) => {
                let message = format!("the last run of `{pipeline}` {}: nothing is synced", last.state.predicate());
                Err(ProviderError::new(ErrorKind::Failed, message)
                    .solution(format!("see its messages with `terrace pipelines logs {}`", last.run)))
            }
        }
    }

    /// The call of a Job that copies to the destination; nothing without a claim or a Job.
    async fn call_of_job(&self, named: &SyncId, attributes: &Attributes) -> Result<Option<String>, ProviderError> {
        if !self.may_have_job(attributes).await {
            return Ok(None);
        }
        let found = self.copies()?.call_of_job(&named.destination, &named.name).await;
        found.map_err(StorageError::while_reading)
    }

    /// Returns true if a Job may copy to the destination: the attributes lead to a claim, or to a pipeline that may have had one.
    async fn may_have_job(&self, attributes: &Attributes) -> bool {
        match self.claim(attributes).await {
            Ok(Some(_)) => true,
            // The pipeline may have had a claim before.
            Ok(None) if optional_text(attributes, "pipeline").is_none() => false,
            Ok(None) | Err(_) => self.copies.as_ref().is_ok_and(|copies| copies.is_configured()),
        }
    }

    /// Ends the Job of an interrupted copy to the destination.
    async fn end_job(&self, attributes: &Attributes, named: &SyncId) -> Result<(), ProviderError> {
        match self.may_have_job(attributes).await {
            true => self.copies()?.end(&named.destination, &named.name).await.map_err(StorageError::while_changing),
            false => Ok(()),
        }
    }

    /// Refuses to create a copy where another call created one.
    async fn check_new(&self, named: &SyncId, mark: &str) -> Result<(), ProviderError> {
        let existing = self.storage.manifest(&named.destination, &named.name).await;
        match existing.map_err(StorageError::while_reading)? {
            Some(existing) if existing.mark != mark => {
                let kind = ErrorKind::AlreadyExists { import_id: Some(named.id()) };
                Err(ProviderError::new(kind, format!("a sync to `{}` exists already", named.shown())))
            }
            _ => Ok(()),
        }
    }

    async fn sync(&self, call: &Call, planned: &Attributes, is_new: bool) -> Result<Observed, ProviderError> {
        let named = SyncId::from_known(planned)?;
        let claim = self.claim(planned).await?;
        self.check_run(planned, claim.as_deref())?;
        let source =
            self.sync_source(planned).await?.ok_or_else(|| ProviderError::bug("a sync with unknown attributes"))?;
        let request = SyncRequest {
            removes: flag(planned, "delete"),
            public: flag(planned, "public"),
            checksum: flag(planned, "checksum"),
            public_url: optional_text(planned, "publicUrl"),
            mark: super::run::mark(&call.operation, &call.step),
            ..SyncRequest::new(
                named.destination.clone(),
                named.name.clone(),
                source.folders.clone(),
                source.filter.clone(),
            )
        };
        if let Some(claim) = claim {
            if is_new {
                let report = |event: SyncEvent<'_>| call.progress.message(&event.to_string());
                let former = self.copies()?.finish_former(&self.storage, &claim, &request, &report, &call.cancel).await;
                former.map_err(StorageError::while_changing)?;
                // It may have created a copy.
                self.check_new(&named, &request.mark).await?;
            }
            return self.sync_from_claim(call, planned, (&named, &claim), &request).await;
        }
        let tree = self.tree(&source).await?.ok_or_else(|| {
            let missing = source.folders.iter().find(|folder| !folder.is_dir());
            let missing = missing.map(|folder| folder.display().to_string()).unwrap_or_default();
            ProviderError::new(ErrorKind::Failed, format!("the folder `{missing}` to copy does not exist"))
        })?;
        if planned.get("manifestHash").and_then(Value::as_str).is_some_and(|hash| hash != tree.hash()) {
            return Err(ProviderError::new(ErrorKind::Failed, "the files changed since the plan")
                .solution("plan again; if a run of the same plan writes them, name its `dataset` in `triggers`"));
        }
        let planned_changes = planned.get("changes").filter(|value| !value.has_unknown()).cloned();
        let changes = match planned_changes {
            Some(changes) => changes,
            None => listed_texts(self.planned_changes(&named, planned, &tree).await?),
        };
        let progress = call.progress.as_ref();
        let report = |event: SyncEvent<'_>| progress.message(&event.to_string());
        let synced =
            self.storage.sync(&request, &tree, &report, &call.cancel).await.map_err(StorageError::while_changing)?;
        progress.message(&format!("{} files sent, {} bytes", synced.sent, synced.bytes));
        self.observed(&named, &synced.manifest, planned, Some(changes))
    }

    /// Copies folders of a claim by a Job of the cluster.
    async fn sync_from_claim(
        &self,
        call: &Call,
        planned: &Attributes,
        (named, claim): (&SyncId, &str),
        request: &SyncRequest,
    ) -> Result<Observed, ProviderError> {
        let progress = call.progress.as_ref();
        let report = |event: SyncEvent<'_>| progress.message(&event.to_string());
        let copied = self.copies()?.copy(&self.storage, claim, request, &report, &call.cancel).await;
        let (synced, changes) = copied.map_err(StorageError::while_changing)?;
        progress.message(&format!("{} files sent, {} bytes", synced.sent, synced.bytes));
        let known = planned.get("changes").filter(|value| !value.has_unknown()).cloned();
        self.observed(named, &synced.manifest, planned, Some(known.unwrap_or_else(|| listed_texts(changes))))
    }

    /// Changes that a sync would make, compared with the destination.
    async fn planned_changes(
        &self,
        named: &SyncId,
        attributes: &Attributes,
        tree: &Tree,
    ) -> Result<Vec<String>, ProviderError> {
        let found = self.storage.inspect(&named.destination, &named.name, flag(attributes, "checksum")).await;
        let found = found.map_err(StorageError::while_reading)?;
        let (former, damaged) = found.map(|(former, damaged, _)| (former, damaged)).unzip();
        let are_all_changed =
            former.as_ref().is_some_and(|former: &Manifest| former.public != flag(attributes, "public"));
        let damaged = damaged.unwrap_or_default();
        Ok(tree.changes(former.as_ref(), &damaged, are_all_changed, flag(attributes, "delete")))
    }

    /// Manifest as attributes; configured attributes keep their values.
    fn observed(
        &self,
        named: &SyncId,
        manifest: &Manifest,
        configured: &Attributes,
        changes: Option<Value>,
    ) -> Result<Observed, ProviderError> {
        let public_url = optional_text(configured, "publicUrl");
        let keys: Vec<&str> = manifest.current().map(|(key, _)| key).collect();
        let bytes = manifest.current().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
        let totals = Totals { count: keys.len(), bytes, hash: manifest.hash() };
        let mut attributes = Attributes::default();
        for name in ["source", "pipeline", "claim", "include", "exclude", "publicUrl", "triggers"] {
            attributes.extend(configured.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        let folder = configured.get("folder").filter(|value| !value.is_null()).cloned();
        attributes.insert("folder".to_owned(), folder.unwrap_or_else(|| ".".into()));
        for name in ["delete", "checksum", "deleteOutputs"] {
            attributes.insert(name.to_owned(), flag(configured, name).into());
        }
        attributes.insert("public".to_owned(), manifest.public.into());
        attributes.extend(self.computed(named, configured, public_url.as_deref(), &keys, totals)?);
        let changes = changes.or_else(|| configured.get("changes").cloned()).filter(|value| !value.has_unknown());
        attributes.extend(changes.filter(|value| !value.is_null()).map(|value| ("changes".to_owned(), value)));
        let identity = IDENTITY.map(|name| {
            let text = if name == "name" { &named.name } else { &named.destination };
            (name.to_owned(), Value::from(text.as_str()).derived_from(configured, &[name]))
        });
        attributes.extend(identity.clone());
        Ok(Observed { identity: identity.into_iter().collect(), attributes, private: Private::default() })
    }

    /// Attributes that follow from the files, known before the sync.
    fn computed(
        &self,
        named: &SyncId,
        configured: &Attributes,
        public_url: Option<&str>,
        keys: &[&str],
        totals: Totals,
    ) -> Result<Attributes, ProviderError> {
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let wrong = StorageError::while_reading;
        let urls =
            self.storage.addresses(&named.destination, &named.name, public_url, keys.iter().copied()).map_err(wrong)?;
        let url = match urls.as_slice() {
            [url] => url.clone(),
            _ => self.storage.address(&named.destination, &named.name, public_url).map_err(wrong)?,
        };
        // Values derived from a sensitive destination are sensitive too.
        let derived = |value: Value| value.derived_from(configured, &["destination", "name", "publicUrl"]);
        Ok([
            ("id", derived(named.id().into())),
            ("url", derived(url.into())),
            ("urls", derived(listed_texts(urls))),
            ("files", int(totals.count as u64)),
            ("bytes", int(totals.bytes)),
            ("manifestHash", totals.hash.into()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
    }

    /// State of the destination; nothing if no sync was made.
    async fn read_destination(
        &self,
        named: &SyncId,
        configured: &Attributes,
    ) -> Result<Option<Observed>, ProviderError> {
        let found = self.storage.inspect(&named.destination, &named.name, flag(configured, "checksum")).await;
        let Some((manifest, damaged, hash)) = found.map_err(StorageError::while_reading)? else { return Ok(None) };
        let mut observed = self.observed(named, &manifest, configured, None)?;
        if !damaged.is_empty() {
            observed.attributes.insert("manifestHash".to_owned(), hash.into());
            observed.attributes.insert("damaged".to_owned(), listed_texts(damaged));
        }
        Ok(Some(observed))
    }

    /// State of a destination to which a Job copies, or has copied, without a manifest: an update completes it.
    fn interrupted(&self, named: &SyncId, configured: &Attributes) -> Result<Observed, ProviderError> {
        let nothing = Manifest::empty(flag(configured, "public"));
        let mut observed = self.observed(named, &nothing, configured, None)?;
        observed.attributes.insert("damaged".to_owned(), listed_texts(vec![manifest::NAME.to_owned()]));
        Ok(observed)
    }
}

/// Totals of the files.
struct Totals {
    count: usize,
    bytes: u64,
    hash: String,
}

#[async_trait]
impl Session for Syncs {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let named = SyncId::from_known(&prior.identity)?;
        match self.read_destination(&named, &prior.attributes).await? {
            Some(found) => Ok(Some(found)),
            None if self.call_of_job(&named, &prior.attributes).await?.is_some() => {
                Ok(Some(self.interrupted(&named, &prior.attributes)?))
            }
            None => Ok(None),
        }
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        self.plan_sync(ty, change).await
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let named = SyncId::from_known(&planned.attributes)?;
        self.check_new(&named, &super::run::mark(&call.operation, &call.step)).await?;
        self.sync(call, &planned.attributes, true).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        if self.claim(&planned.attributes).await?.is_none() {
            // The pod of an interrupted copy from a claim would write over this one.
            self.end_job(&prior.attributes, &SyncId::from_known(&prior.identity)?).await?;
        }
        self.sync(call, &planned.attributes, false).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let named = SyncId::from_known(&prior.identity)?;
        let with_files = flag(&prior.attributes, "deleteOutputs");
        // Its pod would write again.
        self.end_job(&prior.attributes, &named).await?;
        self.storage.remove(&named.destination, &named.name, with_files).await.map_err(StorageError::while_changing)
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let named = SyncId::from_known(&attempt.identity)?;
        let configured = match attempt.prior.as_ref().filter(|_| attempt.planned.is_empty()) {
            Some(prior) => &prior.attributes,
            None => &attempt.planned,
        };
        let existing =
            self.storage.manifest(&named.destination, &named.name).await.map_err(StorageError::while_reading)?;
        let (Some(manifest), Some(observed)) = (existing, self.read_destination(&named, configured).await?) else {
            let Some(lost) = &attempt.lost_call else { return Ok(Found::Absent) };
            // `find` may run during a plan: the next call ends the Job.
            let call = self.call_of_job(&named, configured).await?;
            let is_own =
                |call: &String| attempt.prior.is_some() || *call == super::run::mark(&lost.operation, &lost.step);
            return match call.filter(is_own) {
                Some(_) => Ok(Found::Own(self.interrupted(&named, configured)?)),
                None => Ok(Found::Absent),
            };
        };
        Ok(match &attempt.lost_call {
            Some(_) if attempt.prior.is_some() => Found::Own(observed),
            Some(lost) if manifest.mark == super::run::mark(&lost.operation, &lost.step) => Found::Own(observed),
            _ => Found::Foreign(observed),
        })
    }

    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let copies = self.copies().ok()?;
        Some(Box::pin(async move {
            match self.claim(planned).await {
                Ok(Some(claim)) => copies.findings(&claim).await,
                // Other checks report the error.
                _ => Vec::new(),
            }
        }))
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let parts = object_id::split(id, 2).and_then(|parts| <[String; 2]>::try_from(parts).ok());
        let [destination, name] = parts.ok_or_else(|| {
            ProviderError::invalid(None, format!("`{id}` is not the id of a sync"))
                .solution("write destination and name, percent-encoded, as in `s3%3A%2F%2Fbucket%2Fdata/weekly`")
        })?;
        self.read_destination(&SyncId { destination, name }, &Attributes::default()).await
    }

    async fn count_data(&self, _ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let destination = text(&prior.identity, "destination");
        let existing = self.storage.manifest(&destination, &text(&prior.identity, "name")).await;
        let files = existing.map_err(StorageError::while_reading)?.map_or(0, |manifest| manifest.files.len());
        Ok(DataAmount::of(files as u64, "file", "files"))
    }
}

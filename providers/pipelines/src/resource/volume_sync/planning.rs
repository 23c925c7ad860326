//! Plans a sync: compares local files with the destination.

use super::super::attributes::texts as listed_texts;
use super::{SyncId, SyncSource, Syncs, Totals};
use crate::resource::storage_error::StorageProblem;
use terrace_pipelines::storage::{Manifest, StorageError, Tree};
use terrace_provider::attributes::{flag, optional_text};
use terrace_provider::plan::from_schema;
use terrace_provider::{Attributes, DataLoss, PlannedChange, ProposedChange, ProviderError, ResourceType, Value};

/// Attributes that follow from the files.
const COMPUTED: [&str; 5] = ["url", "urls", "files", "bytes", "manifestHash"];
/// Number of removed files that a plan names.
const NAMED: usize = 10;

impl Syncs {
    /// Plans a sync: compares the source with the last manifest.
    pub(super) async fn plan_sync(
        &self,
        ty: &ResourceType,
        change: &ProposedChange<'_>,
    ) -> Result<PlannedChange, ProviderError> {
        let source = self.sync_source(change.config).await?;
        let Some(named) = SyncId::of(change.config) else { return Ok(from_schema(ty, change)) };
        let is_public = flag(change.config, "public");
        if let Some(claim) = self.claim(change.config).await? {
            return self.plan_from_claim(ty, change, &named, &claim);
        }
        self.storage.check(&named.destination, &named.name, is_public).map_err(StorageError::while_reading)?;
        if let Some(source) = &source {
            let disjoint = self.storage.check_disjoint(&named.destination, &named.name, &source.folders);
            disjoint.map_err(StorageError::while_reading)?;
        }
        // If a run before it writes the files, they are unknown until then.
        let is_open = ["triggers", "public", "publicUrl", "delete", "checksum"]
            .iter()
            .any(|name| change.config.get(*name).is_some_and(Value::has_unknown));
        let present = match &source {
            Some(source) => self.tree(source).await?,
            None => None,
        };
        let (tree, now) = if is_open { (None, present) } else { (present, None) };
        let mut config = change.config.clone();
        match &tree {
            Some(tree) => config.extend(self.computed_from_tree(&named, change.config, tree)?),
            None => config.extend(COMPUTED.map(|name| (name.to_owned(), Value::Unknown))),
        }
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        let id = Value::from(named.id()).derived_from(change.config, &["destination", "name"]);
        planned.planned.insert("id".to_owned(), id);
        // A sync leaves nothing damaged.
        planned.planned.shift_remove("damaged");
        let is_new = change.prior.is_none() || change.must_replace || !planned.replace_paths.is_empty();
        match (&tree, is_new) {
            (None, _) => {
                planned.planned.insert("changes".to_owned(), Value::Unknown);
                planned.because = self.explain_unknown(&named, change, source.as_ref(), now.as_ref(), is_new).await?;
            }
            (Some(tree), true) => {
                let changes = listed_texts(tree.changes(None, &[], false, false));
                planned.planned.insert("changes".to_owned(), changes);
            }
            (Some(tree), false) => self.compare(&named, change, tree, &config, &mut planned).await?,
        }
        Ok(planned)
    }

    /// Plans a sync from a claim, whose files this machine does not see.
    fn plan_from_claim(
        &self,
        ty: &ResourceType,
        change: &ProposedChange<'_>,
        named: &SyncId,
        claim: &str,
    ) -> Result<PlannedChange, ProviderError> {
        let is_public = flag(change.config, "public");
        self.copies()?.check(&self.storage, &named.destination, claim).map_err(StorageError::while_reading)?;
        self.storage.check(&named.destination, &named.name, is_public).map_err(StorageError::while_reading)?;
        let mut planned = from_schema(ty, change);
        let id = Value::from(named.id()).derived_from(change.config, &["destination", "name"]);
        planned.planned.insert("id".to_owned(), id);
        planned.planned.shift_remove("damaged");
        let is_new = change.prior.is_none() || change.must_replace || !planned.replace_paths.is_empty();
        if change.prior.is_some_and(|prior| planned.planned == prior.attributes) && !is_new {
            return Ok(planned);
        }
        for name in COMPUTED.iter().chain(&["changes"]) {
            planned.planned.insert((*name).to_owned(), Value::Unknown);
        }
        planned.because = vec![format!("the files to copy are on the claim `{claim}`, and known after apply")];
        // An interrupted copy left no files that it knows.
        let has_files = change.prior.is_some_and(|prior| prior.attributes.get("files") != Some(&Value::Int(0)));
        if flag(change.config, "delete") && !is_new && has_files {
            let reason = format!("files that are gone from the claim `{claim}` are removed");
            planned.data_loss = Some(DataLoss { reasons: vec![reason] });
        }
        Ok(planned)
    }

    fn computed_from_tree(
        &self,
        named: &SyncId,
        configured: &Attributes,
        tree: &Tree,
    ) -> Result<Attributes, ProviderError> {
        let keys: Vec<&str> = tree.files.iter().map(|file| file.key.as_str()).collect();
        let totals = Totals { count: keys.len(), bytes: tree.bytes(), hash: tree.hash() };
        let public_url = optional_text(configured, "publicUrl");
        let mut computed = self.computed(named, configured, public_url.as_deref(), &keys, totals)?;
        // `id` is set afterwards, since it cannot be configured.
        computed.shift_remove("id");
        Ok(computed)
    }

    /// Explains why the files to copy are unknown, with the changes for the present files.
    async fn explain_unknown(
        &self,
        named: &SyncId,
        change: &ProposedChange<'_>,
        source: Option<&SyncSource>,
        now: Option<&Tree>,
        is_new: bool,
    ) -> Result<Vec<String>, ProviderError> {
        let Some(source) = source else { return Ok(Vec::new()) };
        let Some(tree) = now else {
            let missing = source.folders.iter().find(|folder| !folder.is_dir());
            let missing = missing.map(|folder| folder.strip_prefix(&self.storage.project).unwrap_or(folder));
            let missing = missing.map(|folder| folder.display().to_string()).unwrap_or_default();
            return Ok(vec![format!("the files to copy are known after `{missing}` is written")]);
        };
        let lines = match is_new {
            true => tree.changes(None, &[], false, false),
            false => self.planned_changes(named, change.config, tree).await?,
        };
        let (sum, files) = lines.split_first().map(|(sum, files)| (sum.as_str(), files)).unwrap_or_default();
        let files = if files.is_empty() { String::new() } else { format!(": {}", files.join(", ")) };
        let why = "the files to copy are known after apply";
        Ok(vec![format!("{why}; for the present files: {sum}{files}")])
    }

    async fn compare(
        &self,
        named: &SyncId,
        change: &ProposedChange<'_>,
        tree: &Tree,
        config: &Attributes,
        planned: &mut PlannedChange,
    ) -> Result<(), ProviderError> {
        let Some(prior) = change.prior else { return Ok(()) };
        let recorded = |name: &str| prior.attributes.get(name).filter(|value| !value.is_null());
        let is_same = |name: &str| match (recorded(name), config.get(name)) {
            (Some(before), Some(now)) => before.is_same_as(now),
            (before, now) => before.is_none() && now.is_none_or(Value::is_null),
        };
        let is_public = |attributes: &Attributes| flag(attributes, "public");
        let is_due = !is_same("manifestHash")
            || !is_same("triggers")
            || is_public(&prior.attributes) != is_public(config)
            || flag(config, "delete") && !flag(&prior.attributes, "delete");
        if !is_due {
            // Only a description changed: the changes of the last sync stay.
            match recorded("changes") {
                Some(changes) => planned.planned.insert("changes".to_owned(), changes.clone()),
                None => planned.planned.shift_remove("changes"),
            };
            return Ok(());
        }
        let found = self.storage.inspect(&named.destination, &named.name, flag(config, "checksum")).await;
        let found = found.map_err(StorageError::while_reading)?;
        let (former, damaged) = found.map(|(former, damaged, _)| (former, damaged)).unzip();
        let former: Option<Manifest> = former;
        let are_all_changed = former.as_ref().is_some_and(|former| former.public != is_public(config));
        let removes = flag(config, "delete");
        let changes = tree.changes(former.as_ref(), &damaged.unwrap_or_default(), are_all_changed, removes);
        planned.planned.insert("changes".to_owned(), listed_texts(changes));
        if removes {
            planned.data_loss = former.as_ref().and_then(|former| loss(former, tree));
        }
        Ok(())
    }
}

/// Files that a sync with `delete` removes.
fn loss(former: &Manifest, tree: &Tree) -> Option<DataLoss> {
    let gone: Vec<&str> = former.files.keys().map(String::as_str).filter(|key| !tree.has(key)).collect();
    let (named, more) = gone.split_at(gone.len().min(NAMED));
    let mut reasons: Vec<String> = named.iter().map(|key| format!("the file `{key}` is removed")).collect();
    if !more.is_empty() {
        reasons.push(format!("and {} more files", more.len()));
    }
    (!reasons.is_empty()).then_some(DataLoss { reasons })
}

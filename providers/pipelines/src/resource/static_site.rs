//! `pipelines_static_site`: a site of pipeline results, rendered to a folder, shown by `terrace serve`, or shown in a cluster
//! (`cluster`).

mod cluster;

use super::attributes::{blocking, parse_executor};
use crate::resource::storage_error::StorageProblem;
use async_trait::async_trait;
use std::time::Duration;
use terrace_pipelines::site::kubernetes::ClusterSite;
use terrace_pipelines::site::{Plan, Site, SiteStore};
use terrace_pipelines::storage::{StorageError, Tree};
use terrace_provider::attributes::{optional_text, text};
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DryRun, ErrorKind, Found, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value, object_id,
};

pub(crate) use cluster::SiteCluster;

/// The type's name.
pub const NAME: &str = "pipelines_static_site";

/// Reason for the planner: an update changes the counts.
const RENDERS: &str = "an update renders the present files";

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let int = |name, doc| Attribute::new(name, AttributeType::Int, doc).computed().volatile(RENDERS);
    let mut attributes = vec![
        text("name", "Name; on this machine, it is part of the address: `/sites/NAME/`.").required().replaces(),
        text("id", "The name, for `terrace import`.").stable(),
        text("contentDir", "Folder with the outputs of pipelines, relative to the project folder.")
            .default_value("data"),
        text("overlayDir", "Folder with static files, such as `404.html`; they take precedence.")
            .default_value("public"),
        text("errorDocument", "Page for addresses without a file.").default_value("404.html"),
        text("cacheControl", "Value of the header `Cache-Control`.").default_value("no-cache"),
        text(
            "renderTo",
            "Folder of this machine to render to: `current` in it is the site. Without it, `terrace serve` shows the site.",
        )
        .replaces(),
        text(
            "executor",
            "Where its server runs: `local`, on this machine, or `kubernetes`; without it, that of the provider.",
        )
        .or_kept()
        .replaces(),
        Attribute::new(
            "triggers",
            AttributeType::map(AttributeType::String),
            "Any values, such as a run's `dataset`: a change renders again.",
        ),
        text("url", "Its address, or the folder that it is rendered to.").or_computed().follows(&[
            "name", "renderTo", "executor", "host", "tlsSecret",
        ]),
        int("files", "Number of files of this machine."),
        int("bytes", "Number of their bytes."),
        text("contentHash", "Digest of their paths and contents.").computed().volatile(RENDERS),
    ];
    attributes.extend(cluster::attributes());
    ResourceType {
        settle: Duration::ZERO,
        ..ResourceType::new(NAME, "A site of pipeline results.", &["name"], Object(attributes))
    }
}

/// The sites of a project.
pub(crate) struct Sites {
    sites: SiteStore,
    cluster: SiteCluster,
}

/// A site on this machine or in a cluster.
enum FoundSite {
    Here(Box<Site>, String),
    InCluster(Box<ClusterSite>),
}

impl Sites {
    pub(crate) const fn new(sites: SiteStore, cluster: SiteCluster) -> Self {
        Self { sites, cluster }
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SiteStore) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let sites = self.sites.clone();
        blocking(move || work(&sites).map_err(StorageError::while_reading)).await
    }

    /// The site of that name at a place; nothing if it is not shown there.
    async fn current(&self, name: String, in_cluster: bool) -> Result<Option<FoundSite>, ProviderError> {
        if in_cluster {
            let found = self.cluster.sites()?.find(&name).await?;
            return Ok(found.map(|site| FoundSite::InCluster(Box::new(site))));
        }
        self.run_blocking(move |sites| {
            let Some(site) = sites.site(&name)? else { return Ok(None) };
            Ok(sites.current_hash(&site)?.map(|hash| FoundSite::Here(Box::new(site), hash)))
        })
        .await
    }

    /// The site of a row at its place; nothing if a site of that name has another Deployment, which another project created.
    async fn recorded(
        &self,
        name: String,
        in_cluster: bool,
        row: &Private,
    ) -> Result<Option<FoundSite>, ProviderError> {
        let uid = cluster::recorded_uid(row);
        let is_own = |found: &FoundSite| match (found, &uid) {
            (FoundSite::InCluster(site), Some(uid)) => site.uid == *uid,
            _ => true,
        };
        Ok(self.current(name, in_cluster).await?.filter(is_own))
    }

    fn observed_at_place(&self, found: &FoundSite, configured: &Attributes) -> Result<Observed, ProviderError> {
        match found {
            FoundSite::Here(site, hash) => Ok(self.observed(site, hash.clone(), configured)),
            FoundSite::InCluster(site) => self.cluster.observed(site, configured),
        }
    }

    async fn tree(&self, plan: &Plan) -> Result<Option<Tree>, ProviderError> {
        let plan = plan.clone();
        self.run_blocking(move |sites| sites.tree(&plan)).await
    }

    async fn render(&self, call: &Call, planned: &Attributes) -> Result<Observed, ProviderError> {
        let plan = site_plan(planned).ok_or_else(|| ProviderError::bug("a site with unknown attributes"))?;
        let tree = self.tree(&plan).await?.ok_or_else(|| {
            let message = format!("the folder `{}` for the site does not exist", plan.content_dir);
            ProviderError::new(ErrorKind::Failed, message)
        })?;
        if planned.get("contentHash").and_then(Value::as_str).is_some_and(|hash| hash != tree.hash()) {
            return Err(ProviderError::new(ErrorKind::Failed, "the files changed since the plan")
                .solution("plan again; if a run of the same plan writes them, name its `dataset` in `triggers`"));
        }
        call.progress.message("Syncing Static Website to Storage");
        call.progress.message(&format!("{} > {}", self.sites.entry_point(&plan, &tree), self.url(&plan, planned)));
        let mark = super::run::mark(&call.operation, &call.step);
        let sites = self.sites.clone();
        let rendered = blocking(move || sites.render(&plan, &tree, &mark).map_err(StorageError::while_changing)).await;
        let site = rendered?;
        Ok(self.observed(&site, site.hash(), planned))
    }

    fn url(&self, plan: &Plan, configured: &Attributes) -> String {
        optional_text(configured, "url").unwrap_or_else(|| self.sites.url(plan))
    }

    fn observed(&self, site: &Site, hash: String, configured: &Attributes) -> Observed {
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let plan = &site.plan;
        let derived = |value: Value| value.derived_from(configured, &["name", "renderTo"]);
        let given: [(&str, Value); 10] = [
            ("id", derived(object_id::join([&plan.name]).into())),
            ("contentDir", plan.content_dir.as_str().into()),
            ("overlayDir", plan.overlay_dir.as_str().into()),
            ("errorDocument", plan.error_document.as_str().into()),
            ("cacheControl", plan.cache_control.as_str().into()),
            (
                "renderTo",
                plan.render_to.as_deref().map_or(Value::Null, Value::from).derived_from(configured, &["renderTo"]),
            ),
            ("url", derived(self.url(plan, configured).into())),
            ("files", int(site.files.len() as u64)),
            ("bytes", int(site.bytes())),
            ("contentHash", hash.into()),
        ];
        let given = given.into_iter().filter(|(_, value)| !value.is_null());
        let mut attributes: Attributes = given.map(|(name, value)| (name.to_owned(), value)).collect();
        let kept = ["triggers", "executor"].into_iter();
        attributes.extend(kept.filter_map(|name| {
            let value = configured.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value.clone()))
        }));
        let name = Value::from(plan.name.as_str()).derived_from(configured, &["name"]);
        attributes.insert("name".to_owned(), name.clone());
        Observed {
            identity: [("name".to_owned(), name)].into_iter().collect(),
            attributes,
            private: Private::default(),
        }
    }

    /// Plans a site on this machine.
    async fn plan_here(
        &self,
        ty: &ResourceType,
        change: &ProposedChange<'_>,
        names_executor: bool,
    ) -> Result<PlannedChange, ProviderError> {
        let mut config = change.config.clone();
        let plan = site_plan(change.config);
        let is_open = change.config.get("triggers").is_some_and(Value::has_unknown);
        let tree = match plan.as_ref() {
            Some(plan) => self.tree(plan).await?.filter(|_| !is_open),
            None => None,
        };
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        match &tree {
            Some(tree) => {
                config.insert("files".to_owned(), int(tree.files.len() as u64));
                config.insert("bytes".to_owned(), int(tree.bytes()));
                config.insert("contentHash".to_owned(), tree.hash().into());
            }
            // A run before it may still write the files.
            None => config.extend(["files", "bytes", "contentHash"].map(|name| (name.to_owned(), Value::Unknown))),
        }
        if let Some(plan) = &plan
            && config.get("url").is_none_or(Value::is_null)
        {
            let url = Value::from(self.sites.url(plan)).derived_from(change.config, &["name", "renderTo"]);
            config.insert("url".to_owned(), url);
        }
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        if let Some(plan) = &plan {
            let id = Value::from(object_id::join([&plan.name])).derived_from(change.config, &["name"]);
            planned.planned.insert("id".to_owned(), id);
        }
        let names = cluster::NAMES.iter().chain((!names_executor).then_some(&"executor"));
        for name in names {
            planned.planned.shift_remove(*name);
        }
        // A row of this machine need not name it.
        if change.prior.is_some_and(|prior| !cluster::is_in_cluster(&prior.attributes)) {
            planned.replace_paths.retain(|path| *path != Path::attribute("executor"));
        }
        Ok(planned)
    }
}

/// Site that attributes describe; `None` while one of them is unknown.
fn site_plan(attributes: &Attributes) -> Option<Plan> {
    let given = |name: &str| attributes.get(name).filter(|value| !value.is_null());
    let names = ["name", "contentDir", "overlayDir", "errorDocument", "cacheControl", "renderTo"];
    if names.iter().any(|name| given(name).is_some_and(Value::has_unknown)) {
        return None;
    }
    let defaults = Plan::named(&optional_text(attributes, "name")?);
    let or = |name: &str, defaults: String| optional_text(attributes, name).unwrap_or(defaults);
    Some(Plan {
        content_dir: or("contentDir", defaults.content_dir),
        overlay_dir: or("overlayDir", defaults.overlay_dir),
        error_document: or("errorDocument", defaults.error_document),
        cache_control: or("cacheControl", defaults.cache_control),
        render_to: optional_text(attributes, "renderTo"),
        name: defaults.name,
    })
}

#[async_trait]
impl Session for Sites {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let in_cluster = cluster::is_in_cluster(&prior.attributes);
        let current = self.recorded(text(&prior.identity, "name"), in_cluster, &prior.private).await?;
        current.map(|found| self.observed_at_place(&found, &prior.attributes)).transpose()
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let is_new = change.prior.is_none() || change.must_replace;
        let configured = parse_executor(change.config)?;
        let prior_place = change.prior.filter(|_| !is_new).map(|prior| cluster::is_in_cluster(&prior.attributes));
        let has_folder = change.config.get("renderTo").is_some_and(|folder| !folder.is_null());
        let in_cluster = configured.or(prior_place).unwrap_or_else(|| !has_folder && self.cluster.is_preferred());
        cluster::check_place(change.config, in_cluster)?;
        match in_cluster {
            true => self.cluster.plan(&self.sites, ty, change).await,
            false => self.plan_here(ty, change, configured.is_some()).await,
        }
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        if cluster::is_in_cluster(&planned.attributes) {
            return self.cluster.create(&self.sites, call, &planned.attributes).await;
        }
        let name = text(&planned.attributes, "name");
        if self.current(name.clone(), false).await?.is_some() {
            let kind = ErrorKind::AlreadyExists { import_id: Some(object_id::join([&name])) };
            return Err(ProviderError::new(kind, format!("the site `{name}` exists already")));
        }
        self.render(call, &planned.attributes).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        if cluster::is_in_cluster(&planned.attributes) {
            return self.cluster.change(&self.sites, call, &prior.private, &planned.attributes).await;
        }
        self.render(call, &planned.attributes).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = text(&prior.identity, "name");
        if cluster::is_in_cluster(&prior.attributes) {
            return self.cluster.sites()?.remove(&name, cluster::recorded_uid(&prior.private).as_deref()).await;
        }
        let sites = self.sites.clone();
        blocking(move || {
            let Some(site) = sites.site(&name).map_err(StorageError::while_reading)? else { return Ok(()) };
            sites.remove(&site).map_err(StorageError::while_changing)
        })
        .await
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let in_cluster = cluster::is_in_cluster(&attempt.planned)
            || attempt
                .prior
                .as_ref()
                .is_some_and(|prior| attempt.planned.is_empty() && cluster::is_in_cluster(&prior.attributes));
        let name = text(&attempt.identity, "name");
        let current = match &attempt.prior {
            Some(_) => self.recorded(name, in_cluster, &attempt.private).await?,
            None => self.current(name, in_cluster).await?,
        };
        let Some(found) = current else { return Ok(Found::Absent) };
        let configured = match attempt.prior.as_ref().filter(|_| attempt.planned.is_empty()) {
            Some(prior) => &prior.attributes,
            None => &attempt.planned,
        };
        let observed = self.observed_at_place(&found, configured)?;
        let found_mark = match &found {
            FoundSite::Here(site, _) => &site.mark,
            FoundSite::InCluster(site) => &site.mark,
        };
        Ok(match &attempt.lost_call {
            Some(_) if attempt.prior.is_some() => Found::Own(observed),
            Some(lost) if *found_mark == super::run::mark(&lost.operation, &lost.step) => Found::Own(observed),
            _ => Found::Foreign(observed),
        })
    }

    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        self.cluster.validate_remote(planned)
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let name = object_id::decode(id).unwrap_or_else(|| id.to_owned());
        let mut current = self.current(name.clone(), false).await?;
        if current.is_none() && self.cluster.is_configured() {
            current = self.current(name, true).await?;
        }
        current.map(|found| self.observed_at_place(&found, &Attributes::default())).transpose()
    }
}

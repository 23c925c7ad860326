//! `pipelines_static_site`: a site of pipeline results, rendered to a folder or shown by `terrace serve`.

use super::attributes::blocking;
use crate::resource::storage_error::StorageProblem;
use async_trait::async_trait;
use std::time::Duration;
use terrace_pipelines::site::{Plan, Site, SiteStore};
use terrace_pipelines::storage::{StorageError, Tree};
use terrace_provider::attributes::{optional_text, text};
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, ErrorKind, Found, Object, Observed, Planned, PlannedChange,
    Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value, object_id,
};

/// The type's name.
pub const NAME: &str = "pipelines_static_site";

/// Reason for the planner: an update changes the counts.
const RENDERS: &str = "an update renders the present files";

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let int = |name, doc| Attribute::new(name, AttributeType::Int, doc).computed().volatile(RENDERS);
    let attributes = vec![
        text("name", "Name, which is part of the address: `/sites/NAME/`.").required().replaces(),
        text("id", "The name, for `terrace import`.").stable(),
        text("contentDir", "Folder with the outputs of pipelines, relative to the project folder.")
            .default_value("data"),
        text("overlayDir", "Folder with static files, such as `404.html`; they take precedence.")
            .default_value("public"),
        text("errorDocument", "Page for addresses without a file.").default_value("404.html"),
        text("cacheControl", "Value of the header `Cache-Control`.").default_value("no-cache"),
        text(
            "renderTo",
            "Folder to render to: `current` in it is the site. Without it, `terrace serve` shows the site.",
        )
        .replaces(),
        Attribute::new(
            "triggers",
            AttributeType::map(AttributeType::String),
            "Any values, such as a run's `dataset`: a change renders again.",
        ),
        text("url", "Its address, or the folder that it is rendered to.").or_computed().follows(&["name", "renderTo"]),
        int("files", "Number of files."),
        int("bytes", "Number of bytes."),
        text("contentHash", "Digest of the paths and contents.").computed().volatile(RENDERS),
    ];
    ResourceType {
        settle: Duration::ZERO,
        ..ResourceType::new(NAME, "A site of pipeline results.", &["name"], Object(attributes))
    }
}

/// The sites of a project.
pub(crate) struct Sites {
    sites: SiteStore,
}

impl Sites {
    pub(crate) const fn new(sites: SiteStore) -> Self {
        Self { sites }
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SiteStore) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let sites = self.sites.clone();
        blocking(move || work(&sites).map_err(StorageError::while_reading)).await
    }

    /// A site and the digest of its visible files; nothing if it is not shown.
    async fn current(&self, name: String) -> Result<Option<(Site, String)>, ProviderError> {
        self.run_blocking(move |sites| {
            let Some(site) = sites.site(&name)? else { return Ok(None) };
            Ok(sites.current_hash(&site)?.map(|hash| (site, hash)))
        })
        .await
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
        attributes.extend(configured.get("triggers").map(|value| ("triggers".to_owned(), value.clone())));
        let name = Value::from(plan.name.as_str()).derived_from(configured, &["name"]);
        attributes.insert("name".to_owned(), name.clone());
        Observed {
            identity: [("name".to_owned(), name)].into_iter().collect(),
            attributes,
            private: Private::default(),
        }
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
        let current = self.current(text(&prior.identity, "name")).await?;
        Ok(current.map(|(site, hash)| self.observed(&site, hash, &prior.attributes)))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
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
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = text(&planned.attributes, "name");
        if self.current(name.clone()).await?.is_some() {
            let kind = ErrorKind::AlreadyExists { import_id: Some(object_id::join([&name])) };
            return Err(ProviderError::new(kind, format!("the site `{name}` exists already")));
        }
        self.render(call, &planned.attributes).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        _prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.render(call, &planned.attributes).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = text(&prior.identity, "name");
        let sites = self.sites.clone();
        blocking(move || {
            let Some(site) = sites.site(&name).map_err(StorageError::while_reading)? else { return Ok(()) };
            sites.remove(&site).map_err(StorageError::while_changing)
        })
        .await
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let current = self.current(text(&attempt.identity, "name")).await?;
        let Some((site, hash)) = current else { return Ok(Found::Absent) };
        let configured = match attempt.prior.as_ref().filter(|_| attempt.planned.is_empty()) {
            Some(prior) => &prior.attributes,
            None => &attempt.planned,
        };
        let observed = self.observed(&site, hash, configured);
        Ok(match &attempt.lost_call {
            Some(_) if attempt.prior.is_some() => Found::Own(observed),
            Some(lost) if site.mark == super::run::mark(&lost.operation, &lost.step) => Found::Own(observed),
            _ => Found::Foreign(observed),
        })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let name = object_id::decode(id).unwrap_or_else(|| id.to_owned());
        let current = self.current(name).await?;
        Ok(current.map(|(site, hash)| self.observed(&site, hash, &Attributes::default())))
    }
}

//! Sites in a cluster: their attributes, plans and calls.

use super::super::attributes::{IN_CLUSTER, blocking};
use super::{Plan, site_plan};
use crate::cluster_settings::{invalid, options_in};
use crate::resource::storage_error::StorageProblem;
use serde::{Deserialize, Serialize};
use std::path::Path as FilePath;
use std::sync::Arc;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions, ExecutorKind};
use terrace_pipelines::site::SiteStore;
use terrace_pipelines::site::kubernetes::{ClusterSite, ClusterSites, SiteFiles, SiteSpec, check_name};
use terrace_pipelines::storage::StorageError;
use terrace_provider::attributes::optional_text;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attribute, AttributeType, Attributes, Call, DryRun, ErrorKind, Observed, Path, PlannedChange, Private,
    ProposedChange, ProviderError, ResourceType, Value, object_id,
};

pub(super) use super::super::attributes::is_in_cluster;

/// Attributes that lead a host to a site.
const ROUTE: [&str; 4] = ["host", "ingressClass", "tlsSecret", "gateway"];
/// Options of the pod that attributes set.
const OPTIONS: [ExecutionOption; 4] =
    [ExecutionOption::Claim, ExecutionOption::Cpu, ExecutionOption::Memory, ExecutionOption::Disk];
/// Attributes of sites in a cluster only.
pub(super) const NAMES: [&str; 10] =
    ["host", "ingressClass", "tlsSecret", "gateway", "claim", "cpu", "memory", "disk", "image", "status"];
/// Attributes that describe the files of this machine.
const CONTENTS: [&str; 3] = ["files", "bytes", "contentHash"];
/// The status of a site whose pods are ready, and whose objects are as terrace created them.
const RUNNING: &str = "running";
/// The status of any other site.
const CHANGED: &str = "changed";

/// The attributes of sites in a cluster.
pub(super) fn attributes() -> Vec<Attribute> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let option = |name, doc| text(name, doc).or_computed().volatile("the setting may have another value");
    vec![
        text("host", "In a cluster: name of the host that leads to the site, such as `shop.example.com`."),
        text("ingressClass", "Class of the Ingress for the host; without it, that of the cluster."),
        text("tlsSecret", "Secret with the certificate of the host, for the Ingress."),
        text(
            "gateway",
            "Gateway for the host, as `NAMESPACE/NAME`: an HTTPRoute of the Gateway API instead of an Ingress.",
        ),
        option("claim", "Claim that has `contentDir`, or a folder in it: `results/shop`; without it, the setting."),
        option("cpu", "CPU that its pod gets: `100m`; without it, the setting."),
        option("memory", "Memory that its pod gets: `64Mi`; without it, the setting.").example("64Mi"),
        option("disk", "Disk that its pod gets for its files: `100Mi`; without it, the setting.").example("100Mi"),
        text("image", "Image of its server in the cluster: the setting `image`.")
            .computed()
            .volatile("the setting may name another image"),
        text("status", "In a cluster: `running`, or `changed` for a change to repair.")
            .computed()
            .volatile("an update restores its objects"),
    ]
}

fn at(name: &str) -> Option<Path> {
    Some(Path::attribute(name))
}

fn is_set(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name).is_some_and(|value| !value.is_null())
}

/// Refuses attributes that a site in a cluster, or one on this machine, cannot have.
pub(super) fn check_place(config: &Attributes, in_cluster: bool) -> Result<(), ProviderError> {
    let refuse =
        |name: &str, message: String, hint: String| Err(ProviderError::invalid(at(name), message).solution(hint));
    let set = |names: &[&'static str]| names.iter().copied().find(|name| is_set(config, name));
    if !in_cluster {
        return match set(&NAMES) {
            Some(name) => refuse(
                name,
                format!("`{name}` belongs to sites in a cluster, and this one is on this machine"),
                format!("remove `{name}`, or write `executor: kubernetes`"),
            ),
            None => Ok(()),
        };
    }
    if is_set(config, "renderTo") {
        let message = "`renderTo` is a folder of this machine, and this site is in a cluster".to_owned();
        return refuse("renderTo", message, "remove `renderTo`, or write `executor: local`".to_owned());
    }
    if let (false, Some(name)) = (is_set(config, "host"), set(&["ingressClass", "tlsSecret", "gateway"])) {
        return refuse(name, format!("`{name}` needs `host`"), format!("add `host`, or remove `{name}`"));
    }
    if let (true, Some(name)) = (is_set(config, "gateway"), set(&["ingressClass", "tlsSecret"])) {
        let message = format!("`{name}` belongs to an Ingress, and `gateway` leads the host to the site");
        let host = config.get("host").and_then(Value::as_str).unwrap_or("HOST");
        let hint = match name {
            "tlsSecret" => format!(
                "remove `tlsSecret`, since a listener of the gateway has the certificate, and set `url: https://{host}/`"
            ),
            name => format!("remove `{name}`, or `gateway`"),
        };
        return refuse(name, message, hint);
    }
    let texts = |name: &str| config.get(name).and_then(Value::as_str);
    if let Some(host) = texts("host").filter(|host| !is_host(host)) {
        let message = format!("`host` is `{host}`: expected the name of a host");
        return refuse("host", message, "write it as in `shop.example.com`, without a scheme and a port".to_owned());
    }
    let is_gateway = |text: &str| {
        text.split_once('/').is_some_and(|(namespace, name)| is_label(namespace) && name.split('.').all(is_label))
    };
    if let Some(gateway) = texts("gateway").filter(|gateway| !is_gateway(gateway)) {
        let message = format!("`gateway` is `{gateway}`: expected a namespace and a name");
        return refuse("gateway", message, "write it as in `infra/public`".to_owned());
    }
    let names = ["ingressClass", "tlsSecret"].into_iter();
    match names.filter_map(|name| Some((name, texts(name)?))).find(|(_, text)| !text.split('.').all(is_label)) {
        Some((name, text)) => refuse(
            name,
            format!("`{name}` is `{text}`: expected the name of an object of the cluster"),
            "use small letters, digits, `-` and `.`".to_owned(),
        ),
        None => Ok(()),
    }
}

/// Returns true for one part of a name of a host or an object.
fn is_label(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.starts_with(is_plain)
        && text.ends_with(is_plain)
        && text.chars().all(|c| is_plain(c) || c == '-')
}

/// Returns true for a name of a host that an Ingress can have, with a leading `*.` for all its direct subdomains.
fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_address = name.split('.').all(|part| part.chars().all(|c| c.is_ascii_digit()));
    text.len() <= 253 && !is_address && name.split('.').all(is_label)
}

/// The site that attributes describe; `None` while one of them is unknown.
fn site_spec(attributes: &Attributes) -> Option<SiteSpec> {
    let plan = site_plan(attributes)?;
    let names = ROUTE.iter().copied().chain(OPTIONS.map(ExecutionOption::name));
    if names.filter_map(|name| attributes.get(name)).any(Value::has_unknown) {
        return None;
    }
    let mut options = options_in(attributes);
    options.remove(ExecutionOption::Executor);
    Some(SiteSpec {
        plan: Plan { render_to: None, ..plan },
        options,
        host: optional_text(attributes, "host"),
        ingress_class: optional_text(attributes, "ingressClass"),
        tls_secret: optional_text(attributes, "tlsSecret"),
        gateway: optional_text(attributes, "gateway"),
    })
}

/// Sites of the cluster of an instance.
pub(crate) struct SiteCluster {
    sites: Result<Arc<ClusterSites>, ProviderError>,
    /// Options of the settings.
    options: ExecutionOptions,
}

impl SiteCluster {
    pub(crate) const fn new(sites: Result<Arc<ClusterSites>, ProviderError>, options: ExecutionOptions) -> Self {
        Self { sites, options }
    }

    /// Returns true if new sites are in the cluster by default.
    pub(super) fn is_preferred(&self) -> bool {
        self.options.executor() == Some(ExecutorKind::Kubernetes)
    }

    /// Returns true if the settings are made for sites in a cluster.
    pub(super) fn is_configured(&self) -> bool {
        self.is_preferred() || self.options.get(ExecutionOption::Image).is_some()
    }

    pub(super) fn sites(&self) -> Result<&ClusterSites, ProviderError> {
        self.sites.as_deref().map_err(Clone::clone)
    }

    /// Files of a site on this machine; nothing if its outputs do not exist yet.
    async fn files(store: &SiteStore, spec: &SiteSpec) -> Result<Option<SiteFiles>, ProviderError> {
        let (store, spec) = (store.clone(), spec.clone());
        blocking(move || {
            let Some((_, folder)) = spec.options.claim() else {
                let tree = store.tree(&spec.plan).map_err(StorageError::while_reading)?;
                return Ok(tree.map(|tree| SiteFiles { tree, claim_folder: None }));
            };
            let (tree, within) = store.overlay(&spec.plan).map_err(StorageError::while_reading)?;
            Ok(Some(SiteFiles { tree, claim_folder: Some(FilePath::new(folder).join(within)) }))
        })
        .await
    }

    /// Completes the configuration by the settings.
    fn complete(&self, config: &mut Attributes, change: &ProposedChange<'_>) -> Result<(), ProviderError> {
        if !is_set(config, "executor") {
            config.insert("executor".to_owned(), IN_CLUSTER.into());
        }
        for option in OPTIONS {
            let configured = config.get(option.name()).and_then(Value::as_str).filter(|text| !text.is_empty());
            if let Some(text) = configured {
                option.check(text).map_err(|wrong| invalid((option, wrong)))?;
            } else if let (false, Some(setting)) = (is_set(config, option.name()), self.options.get(option)) {
                config.insert(option.name().to_owned(), setting.into());
            }
        }
        let prior = change.prior.and_then(|prior| prior.attributes.get("image")).cloned();
        let image = self.options.get(ExecutionOption::Image).map(Value::from).or(prior);
        config.extend(image.map(|image| ("image".to_owned(), image)));
        config.insert("status".to_owned(), RUNNING.into());
        Ok(())
    }

    /// Plans a site in the cluster.
    pub(super) async fn plan(
        &self,
        store: &SiteStore,
        ty: &ResourceType,
        change: &ProposedChange<'_>,
    ) -> Result<PlannedChange, ProviderError> {
        let sites = self.sites()?;
        if let Some(name) = change.config.get("name").and_then(Value::as_str) {
            check_name(name).map_err(|(message, hint)| ProviderError::invalid(at("name"), message).solution(hint))?;
        }
        let mut config = change.config.clone();
        self.complete(&mut config, change)?;
        let spec = site_spec(&config);
        let is_open = config.get("triggers").is_some_and(Value::has_unknown);
        let files = match &spec {
            Some(spec) if !is_open => Self::files(store, spec).await?,
            _ => None,
        };
        // A run before it may still write the files.
        match files.as_ref().map(SiteFiles::contents) {
            Some(Some(contents)) => config.extend(contents_of(&contents)),
            Some(None) => {}
            None => config.extend(CONTENTS.map(|name| (name.to_owned(), Value::Unknown))),
        }
        if let (Some(spec), false) = (&spec, is_set(&config, "url")) {
            let url = Value::from(sites.url(spec)).derived_from(change.config, &["name"]);
            config.insert("url".to_owned(), url);
        }
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        for name in NAMES.iter().chain(&CONTENTS).filter(|name| !is_set(&config, name)) {
            planned.planned.shift_remove(*name);
        }
        if let Some(name) = optional_text(change.config, "name") {
            let id = Value::from(object_id::join([&name])).derived_from(change.config, &["name"]);
            planned.planned.insert("id".to_owned(), id);
        }
        let prior_value = |name: &str| change.prior.and_then(|prior| prior.attributes.get(name));
        let is_same = change.prior.is_some_and(|prior| planned.planned == prior.attributes) && !change.must_replace;
        if !is_same && self.options.get(ExecutionOption::Image).is_none() {
            return Err(ProviderError::invalid(at("executor"), "sites in a cluster need the setting `image`")
                .solution(
                    "write `image: REGISTRY/NAME@sha256:DIGEST` in the settings of the provider `pipelines`, or \
                 `executor: local` here",
                ));
        }
        if prior_value("status").and_then(Value::as_str) == Some(CHANGED) && planned.replace_paths.is_empty() {
            planned.because.push("its objects in the cluster were changed or removed".to_owned());
        }
        let is_new_content = prior_value("contentHash") != planned.planned.get("contentHash");
        if let (Some(spec), Some(files), true) = (spec, files, is_new_content) {
            let checked = blocking(move || files.check_size(&spec)).await;
            checked
                .map_err(|error| ProviderError { kind: ErrorKind::InvalidInput { path: at("contentDir") }, ..error })?;
        }
        Ok(planned)
    }

    /// The declaration and the files for a call.
    async fn prepare(
        &self,
        store: &SiteStore,
        call: &Call,
        planned: &Attributes,
    ) -> Result<(SiteSpec, SiteFiles), ProviderError> {
        let spec = site_spec(planned).ok_or_else(|| ProviderError::bug("a site with unknown attributes"))?;
        let files = Self::files(store, &spec).await?.ok_or_else(|| {
            let message = format!("the folder `{}` for the site does not exist", spec.plan.content_dir);
            ProviderError::new(ErrorKind::Failed, message)
        })?;
        let hash = files.contents().map(|contents| contents.hash);
        if planned.get("contentHash").and_then(Value::as_str).is_some_and(|planned| Some(planned) != hash.as_deref()) {
            return Err(ProviderError::new(ErrorKind::Failed, "the files changed since the plan")
                .solution("plan again; if a run of the same plan writes them, name its `dataset` in `triggers`"));
        }
        let url = optional_text(planned, "url").map_or_else(|| self.sites().map(|sites| sites.url(&spec)), Ok)?;
        let from = match spec.options.get(ExecutionOption::Claim) {
            Some(claim) => format!("{claim}/{}", spec.plan.content_dir.trim_end_matches('/')),
            None => store.entry_point(&spec.plan, &files.tree),
        };
        call.progress.message(&format!("{from} > {url}"));
        Ok((spec, files))
    }

    pub(super) async fn create(
        &self,
        store: &SiteStore,
        call: &Call,
        planned: &Attributes,
    ) -> Result<Observed, ProviderError> {
        let (spec, files) = self.prepare(store, call, planned).await?;
        let mark = super::super::run::mark(&call.operation, &call.step);
        let site = self.sites()?.create(&spec, &files, &mark, &call.cancel).await?;
        self.observed(&site, planned)
    }

    pub(super) async fn change(
        &self,
        store: &SiteStore,
        call: &Call,
        prior: &Private,
        planned: &Attributes,
    ) -> Result<Observed, ProviderError> {
        let (spec, files) = self.prepare(store, call, planned).await?;
        let mark = super::super::run::mark(&call.operation, &call.step);
        let uid = recorded_uid(prior);
        let site = self.sites()?.change(&spec, &files, &mark, uid.as_deref(), &call.cancel).await?;
        self.observed(&site, planned)
    }

    pub(super) fn validate_remote<'a>(&'a self, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let spec = site_spec(planned).filter(|_| is_in_cluster(planned))?;
        let sites = self.sites().ok()?;
        Some(Box::pin(async move { sites.findings(&spec).await }))
    }

    pub(super) fn observed(&self, site: &ClusterSite, configured: &Attributes) -> Result<Observed, ProviderError> {
        let spec = &site.spec;
        let derived = |value: Value| value.derived_from(configured, &["name"]);
        let url = optional_text(configured, "url").map_or_else(|| self.sites().map(|sites| sites.url(spec)), Ok)?;
        let name = derived(spec.plan.name.as_str().into());
        let route = [&spec.host, &spec.ingress_class, &spec.tls_secret, &spec.gateway];
        let route = ROUTE.iter().zip(route).filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let options = OPTIONS.into_iter().chain([ExecutionOption::Image]);
        let options = options.filter_map(|option| Some((option.name(), spec.options.get(option)?)));
        let texts = [
            ("contentDir", spec.plan.content_dir.as_str()),
            ("overlayDir", spec.plan.overlay_dir.as_str()),
            ("errorDocument", spec.plan.error_document.as_str()),
            ("cacheControl", spec.plan.cache_control.as_str()),
            ("status", if site.is_running { RUNNING } else { CHANGED }),
        ];
        let texts = texts.into_iter().chain(route).chain(options).filter(|(_, text)| !text.is_empty());
        let mut attributes: Attributes = texts.map(|(name, text)| (name.to_owned(), text.into())).collect();
        attributes.extend(site.contents.iter().flat_map(contents_of));
        let kept = ["triggers", "executor"].into_iter();
        attributes.extend(kept.filter_map(|name| {
            let value = configured.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value.clone()))
        }));
        if !attributes.contains_key("executor") {
            attributes.insert("executor".to_owned(), IN_CLUSTER.into());
        }
        attributes.insert("id".to_owned(), derived(object_id::join([&spec.plan.name]).into()));
        attributes.insert("url".to_owned(), derived(url.into()));
        attributes.insert("name".to_owned(), name.clone());
        let identity = [("name".to_owned(), name)].into_iter().collect();
        let private = Private(serde_json::to_vec(&Kept { uid: site.uid.clone() }).unwrap_or_default());
        Ok(Observed { identity, attributes, private })
    }
}

/// The private bytes of a row.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Id of the Deployment.
    uid: String,
}

/// Id of the Deployment of a row; nothing for a row of an older version and a site on this machine.
pub(super) fn recorded_uid(private: &Private) -> Option<String> {
    serde_json::from_slice(&private.0).ok().map(|kept: Kept| kept.uid)
}

fn contents_of(contents: &terrace_pipelines::site::kubernetes::Contents) -> [(String, Value); 3] {
    let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    [
        ("files".to_owned(), int(contents.files)),
        ("bytes".to_owned(), int(contents.bytes)),
        ("contentHash".to_owned(), contents.hash.as_str().into()),
    ]
}

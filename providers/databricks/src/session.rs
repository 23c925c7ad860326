//! The session: dispatches calls to the resource types.

mod planning;
mod prior_content;

use crate::attributes::{optional_text, text_of};
use crate::config::{Config, Variables};
use crate::dry_run;
use crate::external_grants;
use crate::lookup;
use crate::object::{self, Context, Object, Observation, credential};
use crate::private::PrivateData;
use crate::rights;
use crate::workspaces::{CheckTarget, Interface, Workspace, Workspaces};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use planning::respelled;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::http::Within;
use terrace_provider::plan::from_schema;
use terrace_provider::provider::{DryRun, probe_by_import};
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, ErrorKind, Found, Grantee, Map, MissingRight, Observed, Planned,
    PlannedChange, Probe, ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Settings,
    Value, object_id,
};
use tokio::time::{Instant, sleep};

/// Maximum difference of clocks: an object may seem older than the call that created it.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(300);
/// The attribute that names the workspace to send requests to.
const WORKSPACE_URL: &str = "workspaceUrl";
/// How long a change may stay invisible.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(20);

/// An open instance.
pub(crate) struct DatabricksSession {
    workspaces: Workspaces,
}

impl DatabricksSession {
    pub(crate) fn open(settings: &Settings, variables: &Variables) -> Result<Self, ProviderError> {
        let workspaces = Workspaces::open(&settings.instance, Config::read(settings, variables)?)?;
        Ok(Self { workspaces })
    }

    fn context<'a>(&'a self, workspace: &'a Workspace, address: &'a str, within: Within) -> Context<'a> {
        Context { workspace, config: self.workspaces.config(), within, address }
    }

    /// The API of an object: its workspace, or the API of its type.
    fn target(&self, ty: &ResourceType, named: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        match object::azure::interface(ty.name) {
            Some(interface) => self.workspaces.other_api(interface),
            None => match self.workspace(named) {
                // The instance may no longer use the recorded workspace: any other workspace leads to the same
                // metastore.
                Err(error) if is_reached_by_any_workspace(ty) => self.workspaces.default_workspace().map_err(|_| error),
                workspace => workspace,
            },
        }
    }

    /// The workspace of the attributes; defaults to the instance's for objects of Unity Catalog.
    fn workspace(&self, named: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        if named.contains_key("workspaceUrl") { self.workspaces.of(named) } else { self.workspaces.default_workspace() }
    }

    /// Remembers the Azure id of an observed workspace, which later requests to the workspace send as proof of access.
    fn remember_workspace(&self, ty: &ResourceType, observed: Observed) -> Observed {
        if ty.name == "databricks_workspace" {
            self.workspaces.remember_resource(&observed.attributes);
        }
        observed
    }
}

/// Returns true if objects of the type can be reached through any workspace of the metastore.
fn is_reached_by_any_workspace(ty: &ResourceType) -> bool {
    ty.attributes.get(WORKSPACE_URL).is_some_and(|attribute| attribute.access_path)
}

/// All attributes of an object in their written form; the identity alone has names in normal form.
fn named(recorded: &Recorded) -> Attributes {
    let mut named = recorded.identity.clone();
    named.extend(recorded.attributes.clone());
    named
}

/// The identity in normal form.
fn identity_of(ty: &ResourceType, named: &Attributes) -> Attributes {
    let parts = object::id_parts(ty, named).into_iter().map(Value::from);
    ty.identity.iter().map(|name| (*name).to_owned()).zip(parts).collect()
}

fn observed(ty: &ResourceType, named: &Attributes, observation: &Observation, like: &Attributes) -> Observed {
    let mut all = observation.attributes.clone();
    for name in ty.identity {
        if let Some(value) = named.get(*name) {
            all.insert((*name).to_owned(), value.revealed());
        }
    }
    let identity = identity_of(ty, &all);
    all.insert("id".to_owned(), object_id::join(object::id_parts(ty, &all)).into());
    // A value derived from a sensitive value is sensitive too.
    let as_secret = |(name, value): (String, Value)| {
        let is_derived = matches!(name.as_str(), "id" | "fullName" | "url" | "resourceId" | "managedResourceGroup");
        let of = if is_derived { ty.identity } else { &[] };
        let own = value.derived_from(like, &[name.as_str()]);
        (name, own.derived_from(like, of))
    };
    Observed {
        identity,
        attributes: all.into_iter().map(as_secret).collect(),
        private: observation.private.to_private(),
    }
}

/// Returns true if the known planned attributes equal the observed ones.
fn agrees(planned: &Attributes, observation: &Observation) -> bool {
    planned.iter().filter(|(_, value)| !value.has_unknown()).all(|(name, value)| {
        let current = observation.attributes.get(name);
        current.is_none_or(|current| current.is_same_as(value) || (current.is_null() && value.is_null()))
    })
}

/// Reads the object after a create or update, and waits until the change is visible.
async fn wait_until_visible(
    ty: &ResourceType,
    object: &dyn Object,
    context: &Context<'_>,
    named: &Attributes,
    planned: &Attributes,
    private: &PrivateData,
) -> Result<Observed, ProviderError> {
    let deadline = Instant::now() + VISIBILITY_TIMEOUT.min(context.within.left());
    let mut pause = Duration::from_millis(100);
    loop {
        let is_timed_out = Instant::now() + pause >= deadline;
        match object.read(context, named, planned, private).await {
            Ok(Some(mut observation)) if is_timed_out || agrees(planned, &observation) => {
                // Keep the planned spelling of the settings; the next read shows whether the value stays.
                if let Some(settings) = planned.get("settings").filter(|value| !value.has_unknown()) {
                    observation.attributes.insert("settings".to_owned(), settings.clone());
                }
                return Ok(observed(ty, named, &observation, planned));
            }
            Ok(None) if is_timed_out => {
                let id = object_id::join(object::id_parts(ty, named));
                let message = format!("`{id}` is not visible after it was created or changed");
                return Err(ProviderError::new(ErrorKind::Ambiguous, message));
            }
            // The write succeeded: a failed read proves nothing about it.
            Err(error) if is_timed_out || !error.kind.is_temporary() => {
                return Err(ProviderError { kind: ErrorKind::Ambiguous, ..error });
            }
            Ok(_) | Err(_) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// Waits until the deleted object is invisible. The deletion itself succeeded already.
async fn wait_until_invisible(object: &dyn Object, context: &Context<'_>, named: &Attributes) {
    let deadline = Instant::now() + VISIBILITY_TIMEOUT.min(context.within.left());
    let mut pause = Duration::from_millis(100);
    while let Ok(Some(observation)) = object.read(context, named, &Attributes::default(), &PrivateData::default()).await
    {
        if Instant::now() + pause >= deadline || !object.is_deleted_object(named, &observation) {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

#[async_trait]
impl Session for DatabricksSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let (object, named) = (object::of(ty)?, named(prior));
        let workspace = self.target(ty, &named)?;
        let context = self.context(&workspace, &prior.address, Within::reading());
        context.check_metastore(ty, &named).await?;
        let observation = object.read(&context, &named, &prior.attributes, &PrivateData::of(&prior.private)).await?;
        Ok(observation
            .map(|observation| self.remember_workspace(ty, observed(ty, &named, &observation, &prior.attributes))))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let object = object::of(ty)?;
        let prior = change.prior.map(|prior| respelled(ty, prior, change.config));
        let mut planned = from_schema(ty, &ProposedChange { prior: prior.as_ref(), ..change.clone() });
        self.plan_workspace_url(ty, change, &mut planned);
        let url = planned.planned.get("workspaceUrl");
        if url.is_some_and(|url| url.as_str().is_some()) {
            // Checks the URL without a request.
            self.workspaces.of(&planned.planned)?;
        }
        object.check(&planned.planned)?;
        object.plan(change, &mut planned)?;
        if ty.name == "databricks_git_credential" {
            credential::plan_token_rotation(self.workspaces.config(), change, &mut planned)?;
        }
        if let Some(identity) = ty.identity_of(&planned.planned) {
            let id = Value::from(object_id::join(object::id_parts(ty, &identity)));
            planned.planned.insert("id".to_owned(), id.derived_from(&planned.planned, ty.identity));
            if let (Some(("metastoreId", names)), Some(_)) = (
                ty.identity.split_first().map(|(first, rest)| (*first, rest)),
                ty.attributes.get("fullName").filter(|it| it.computed),
            ) {
                let parts = object::id_parts(ty, &identity);
                let full_name = Value::from(parts.get(1..).unwrap_or_default().join("."));
                planned.planned.insert("fullName".to_owned(), full_name.derived_from(&planned.planned, names));
            }
        }
        Ok(planned)
    }

    fn check_configured(&self, ty: &ResourceType, attributes: &Attributes) -> Result<(), ProviderError> {
        self.target(ty, attributes).map(drop)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let (object, attributes) = (object::of(ty)?, &planned.attributes);
        let workspace = self.target(ty, attributes)?;
        let context = self.context(&workspace, &call.address, Within::of_call(call));
        context.check_metastore(ty, attributes).await?;
        let adopts = object.adopts_existing(attributes);
        if let Some(identity) = ty.identity_of(attributes).filter(|_| !adopts) {
            let id = object_id::join(object::id_parts(ty, &identity));
            if object.read(&context, attributes, &Attributes::default(), &PrivateData::default()).await?.is_some() {
                let kind = ErrorKind::AlreadyExists { import_id: Some(id.clone()) };
                return Err(ProviderError::new(kind, format!("a {} `{id}` exists already", ty.name)));
            }
        }
        if object.needs_prior_content() {
            let before = if adopts { object.held(&context, attributes).await? } else { Vec::new() };
            prior_content::journal(call, planned, before).await?;
        }
        let created = object.create(&context, attributes).await.map_err(|error| match error.kind {
            // A required object is missing: nothing was created.
            ErrorKind::NotFound => ProviderError { kind: ErrorKind::InvalidInput { path: None }, ..error },
            // Another process created the object first.
            ErrorKind::AlreadyExists { import_id: None } => {
                let id = ty.identity_of(attributes).map(|identity| object_id::join(object::id_parts(ty, &identity)));
                ProviderError { kind: ErrorKind::AlreadyExists { import_id: id }, ..error }
            }
            _ => error,
        })?;
        let (named, private) = created;
        let named: Attributes = attributes.clone().into_iter().chain(named).collect();
        wait_until_visible(ty, object, &context, &named, attributes, &private).await.map(|created| {
            if ty.name == "databricks_workspace" {
                self.workspaces.remember_created(&created.attributes);
            }
            self.remember_workspace(ty, created)
        })
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let (object, attributes) = (object::of(ty)?, &planned.attributes);
        let mut named = prior.identity.clone();
        named.extend(
            attributes
                .iter()
                .filter(|(_, value)| !value.has_unknown())
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let workspace = self.target(ty, &named)?;
        let context = self.context(&workspace, &call.address, Within::of_call(call));
        context.check_metastore(ty, &named).await?;
        let present = object
            .read(&context, &named, &prior.attributes, &PrivateData::of(&prior.private))
            .await?
            .ok_or_else(|| {
                let id = object_id::join(object::id_parts(ty, &named));
                ProviderError::new(ErrorKind::NotFound, format!("`{id}` no longer exists"))
                    .solution("plan again to recreate it")
            })?;
        let private = object.update(&context, prior, &present, attributes).await?;
        wait_until_visible(ty, object, &context, &named, attributes, &private).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (object, named) = (object::of(ty)?, named(prior));
        let workspace = self.target(ty, &named)?;
        let context = self.context(&workspace, &call.address, Within::of_call(call));
        context.check_metastore(ty, &named).await?;
        let private = PrivateData::of(&prior.private);
        if let [first, ..] = private.preexisting.as_slice() {
            call.progress.message(&format!("{first} existed before terrace adopted it: it is kept"));
        }
        if object::is_recreated(object, &context, &named, &private).await {
            let id = object_id::join(object::id_parts(ty, &named));
            call.progress.message(&format!("`{id}` was recreated outside terrace: it is kept"));
            return Ok(());
        }
        object.delete(&context, &named, &private, call.removes_data).await?;
        // A permission's delete verifies itself; a preexisting access is kept.
        if private.preexisting.is_empty() && ty.name != "databricks_permission" {
            wait_until_invisible(object, &context, &named).await;
        }
        Ok(())
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let object = object::of(ty)?;
        let private = match &attempt.prior {
            Some(prior) => PrivateData::of(&prior.private),
            None => PrivateData::of(&attempt.private),
        };
        let is_lost_create = attempt.lost_call.is_some() && attempt.prior.is_none();
        if is_lost_create && object.needs_prior_content() && !private.is_journalled {
            // The call ended before its first read, and so before its request: an existing object is not ours.
            return Ok(Found::NoEffect);
        }
        let mut known = attempt.planned.clone();
        if let Some(prior) = &attempt.prior {
            known.extend(named(prior));
        }
        let url = known.get("workspaceUrl");
        // Objects of Unity Catalog need no workspace. A workspace that is not created yet cannot be queried.
        let needs_no_workspace = ty.identity.contains(&"metastoreId") && url.is_none_or(Value::is_null);
        let is_elsewhere = object::azure::interface(ty.name).is_some() || needs_no_workspace;
        if url.is_none_or(|url| url.as_str().is_none()) && !is_elsewhere {
            return Ok(Found::Unknown);
        }
        let workspace = self.target(ty, &known)?;
        let within = Within::time(ty.timeouts.read - ty.timeouts.read / 10);
        let context = self.context(&workspace, &attempt.address, within);
        context.check_metastore(ty, &known).await?;
        let identity = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&known));
        let (identity, is_marked) = match identity {
            Some(identity) => (identity, false),
            None => {
                let mut all = object.search(&context, &known).await?;
                if attempt.lost_call.is_some() && all.iter().any(|it| it.is_marked) {
                    all.retain(|it| it.is_marked);
                }
                match (all.pop(), all.pop()) {
                    (None, _) => return Ok(Found::Absent),
                    (Some(one), None) => (one.identity, one.is_marked),
                    // Several candidates: it is unknown which one was created.
                    (Some(_), Some(_)) => return Ok(Found::Unknown),
                }
            }
        };
        let named: Attributes =
            identity.into_iter().chain(known.into_iter().filter(|(_, value)| !value.has_unknown())).collect();
        if attempt.lost_call.is_some() {
            object.settle(&context, &named).await?;
        }
        let Some(observation) = object.read(&context, &named, &attempt.planned, &private).await? else {
            return Ok(Found::Absent);
        };
        let with_private = |private: PrivateData| {
            observed(ty, &named, &Observation { private, ..observation.clone() }, &attempt.planned)
        };
        let report = |private: PrivateData| self.remember_workspace(ty, with_private(private));
        Ok(match (&attempt.lost_call, &attempt.prior) {
            // The caller looks for an object to adopt: its access existed before.
            (None, _) => {
                let (preexisting, mark) = (observation.held.clone(), observation.mark.clone());
                Found::Foreign(report(PrivateData { preexisting, mark, ..observation.private.clone() }))
            }
            // The lost call was an update or delete of our object.
            (Some(_), Some(_)) => Found::Own(report(observation.private.clone())),
            (Some(lost), None) => {
                let private = match is_marked {
                    // The intent has no secrets, but the paths of the secrets.
                    true => PrivateData {
                        secret_paths: private.secret_paths,
                        ..object::settings::private_data(&attempt.planned)
                    },
                    false => observation.private.clone(),
                };
                let window = lost.window(Timestamp::now(), CLOCK_TOLERANCE);
                let adopts = object.adopts_existing(&attempt.planned);
                if is_marked || object.is_from_attempt(&context, &observation, &attempt.planned, &window).await? {
                    Found::Own(report(PrivateData { is_journalled: false, ..private }))
                } else if adopts && object.existed_before(&observation, &attempt.planned) {
                    // A repeated create adopts the object, and records that it existed before.
                    Found::Absent
                } else {
                    Found::Foreign(report(observation.private.clone()))
                }
            }
        })
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let object = object::of(ty)?;
        let Some(parts) = object_id::split(id, ty.identity.len()) else {
            let shape = ty.identity.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join("/");
            return Err(ProviderError::invalid(None, format!("`{id}` is not the id of a {}", ty.name))
                .solution(format!("write {shape}, each part percent-encoded if it contains `/` or `%`")));
        };
        let mut identity: Attributes =
            ty.identity.iter().map(|name| (*name).to_owned()).zip(parts.into_iter().map(Value::from)).collect();
        // A dash stands for the instance's workspace or metastore.
        let is_dash = |identity: &Attributes, name: &str| optional_text(identity, name).as_deref() == Some("-");
        if is_dash(&identity, "workspaceUrl") {
            match self.workspaces.check_target()? {
                CheckTarget::Workspace(workspace) => {
                    identity.insert("workspaceUrl".to_owned(), workspace.url.as_str().into());
                }
                // The sign-in works, but the instance has no workspace yet.
                CheckTarget::Azure(management) => {
                    let context = self.context(&management, "", Within::reading());
                    return dry_run::sign_in(&context).await.map(|()| None);
                }
            }
        }
        let workspace = self.target(ty, &identity)?;
        let context = self.context(&workspace, "", Within::reading());
        if is_dash(&identity, "metastoreId") {
            let id = text_of(workspace.metastore(&context.within).await?, "metastore_id").to_owned();
            identity.insert("metastoreId".to_owned(), id.into());
        }
        let mut named = identity.clone();
        named.entry("workspaceUrl".to_owned()).or_insert_with(|| workspace.url.as_str().into());
        object.check(&named)?;
        context.check_metastore(ty, &named).await?;
        let observation = object.read(&context, &named, &Attributes::default(), &PrivateData::default()).await?;
        Ok(observation.map(|observation| {
            let private = PrivateData { preexisting: observation.held.clone(), ..observation.private.clone() };
            observed(ty, &identity, &Observation { private, ..observation }, &Attributes::default())
        }))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        if !dry_run::is_possible(ty, planned) {
            return None;
        }
        Some(Box::pin(async move {
            match self.target(ty, planned) {
                Ok(workspace) => dry_run::findings(ty, &self.context(&workspace, "", Within::reading()), planned).await,
                Err(error) => vec![dry_run::not_checked(error)],
            }
        }))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        if let Some(answer) = lookup::answer_locally(name, self.workspaces.config(), arguments) {
            return Ok(answer);
        }
        let workspace = match lookup::azure::interface(name) {
            Some(interface) => self.workspaces.other_api(interface)?,
            None => self.workspace(arguments)?,
        };
        let context = self.context(&workspace, "", Within::reading());
        let deadline =
            Instant::now() + if self.workspaces.is_new(&workspace) { VISIBILITY_TIMEOUT } else { Duration::ZERO };
        loop {
            match lookup::answer(name, &context, arguments).await {
                // A new workspace sees the account's principals only after a while.
                Err(error) if error.kind == ErrorKind::NotFound && Instant::now() < deadline => {
                    sleep(Duration::from_secs(1)).await;
                }
                answer => return answer,
            }
        }
    }

    async fn grantees(&self, ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        let metastore_workspaces = external_grants::metastore_workspaces(&self.workspaces.opened()?).await?;
        let mut grantees = Vec::new();
        for access in accesses {
            // No workspace of this metastore is known: the grants cannot be read.
            let Some(reachable) = metastore_workspaces.iter().find(|reachable| reachable.has(access)) else { continue };
            let context = self.context(&reachable.workspace, "", Within::reading());
            let is_single = ty.identity.contains(&"privilege");
            for (principal, privilege, all) in reachable.holders(&context, access, is_single).await? {
                let observation = Observation { attributes: all.clone(), ..Observation::default() };
                let grant = observed(ty, &all, &observation, &Map::default());
                grantees.push(Grantee { principal, privilege, grant });
            }
        }
        Ok(grantees)
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        // A folder of any workspace. An instance without a workspace calls Azure.
        probe_by_import(self, schema, "databricks_directory", "-/%2Fterrace-doctor")
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        let mut all = Vec::new();
        let mut is_certain = true;
        let mut add = |missing: Option<Vec<MissingRight>>| {
            is_certain &= missing.is_some();
            all.extend(missing.unwrap_or_default());
        };
        // Rights in workspaces other than the instance's own are reported when they are used.
        if self.workspaces.config().host.is_some() {
            let workspace = self.workspaces.default_workspace()?;
            add(rights::missing(&self.context(&workspace, "", Within::reading())).await?);
        }
        if let Some(azure) = self.workspaces.config().azure() {
            let management = self.workspaces.other_api(Interface::Management)?;
            add(rights::azure::of_group(&self.context(&management, "", Within::reading()), azure).await?);
            let graph = self.workspaces.other_api(Interface::Graph)?;
            add(rights::azure::of_directory(&self.context(&graph, "", Within::reading()), azure).await?);
        }
        if self.workspaces.config().account.is_some() && self.workspaces.config().host.is_none() {
            let account = self.workspaces.other_api(Interface::Account)?;
            add(rights::azure::of_account(&self.context(&account, "", Within::reading())).await?);
        }
        Ok((is_certain || !all.is_empty()).then_some(all))
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let (object, named) = (object::of(ty)?, named(prior));
        let workspace = self.target(ty, &named)?;
        object.count(&self.context(&workspace, &prior.address, Within::reading()), &named).await
    }
}

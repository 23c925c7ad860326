//! The session: dispatches calls to the resource types.

mod looks;
mod planning;

use crate::attributes::{optional_text, text_of};
use crate::config::{Config, Variables};
use crate::dry_run;
use crate::foreign;
use crate::lookup;
use crate::object::{self, Object, Place, Seen, credential};
use crate::private::Kept;
use crate::rights;
use crate::workspaces::{Interface, ToAsk, Workspace, Workspaces};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use planning::respelled;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::http::Within;
use terrace_provider::plan::from_schema;
use terrace_provider::provider::DryRun;
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, ErrorKind, Found, Grantee, Map, MissingRight, Observed, Planned,
    PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Session, Settings, Value, object_id,
};
use tokio::time::{Instant, sleep};

/// Maximum difference of clocks: an object may seem older than the call that created it.
const SLACK: SignedDuration = SignedDuration::from_secs(300);
/// The attribute that names the workspace to send requests to.
const WAY: &str = "workspaceUrl";
/// How long a change may stay invisible.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open instance.
pub(crate) struct DatabricksSession {
    workspaces: Workspaces,
}

impl DatabricksSession {
    pub(crate) fn open(settings: &Settings, variables: &Variables) -> Result<Self, ProviderError> {
        let workspaces = Workspaces::open(&settings.instance, Config::read(settings, variables)?)?;
        Ok(Self { workspaces })
    }

    fn place<'a>(&'a self, workspace: &'a Workspace, address: &'a str, within: Within) -> Place<'a> {
        Place { workspace, config: self.workspaces.config(), within, address }
    }

    /// The API of an object: its workspace, or the API of its type.
    fn target(&self, ty: &ResourceType, named: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        match object::azure::interface(ty.name) {
            Some(interface) => self.workspaces.beside(interface),
            None => match self.workspace(named) {
                // The instance may no longer use the recorded workspace: any other workspace leads to the same
                // metastore.
                Err(error) if is_by_any_way(ty) => self.workspaces.usual().map_err(|_| error),
                workspace => workspace,
            },
        }
    }

    /// The workspace of the attributes; defaults to the instance's for objects of Unity Catalog.
    fn workspace(&self, named: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        if named.contains_key("workspaceUrl") { self.workspaces.of(named) } else { self.workspaces.usual() }
    }

    /// Remembers the Azure id of an observed workspace, which later requests to the workspace send as proof of access.
    fn learn_from(&self, ty: &ResourceType, observed: Observed) -> Observed {
        if ty.name == "databricks_workspace" {
            self.workspaces.learn(&observed.attributes);
        }
        observed
    }
}

/// Returns true if objects of the type can be reached through any workspace of the metastore.
fn is_by_any_way(ty: &ResourceType) -> bool {
    ty.attributes.get(WAY).is_some_and(|attribute| attribute.way)
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

fn observed(ty: &ResourceType, named: &Attributes, seen: &Seen, like: &Attributes) -> Observed {
    let mut all = seen.attributes.clone();
    for name in ty.identity {
        if let Some(value) = named.get(*name) {
            all.insert((*name).to_owned(), value.revealed());
        }
    }
    let identity = identity_of(ty, &all);
    all.insert("id".to_owned(), object_id::join(object::id_parts(ty, &all)).into());
    // A value derived from a sensitive value is sensitive too.
    let as_secret = |(name, value): (String, Value)| {
        let is_made = matches!(name.as_str(), "id" | "fullName" | "url" | "resourceId" | "managedResourceGroup");
        let of = if is_made { ty.identity } else { &[] };
        let own = value.made_of(like, &[name.as_str()]);
        (name, own.made_of(like, of))
    };
    Observed { identity, attributes: all.into_iter().map(as_secret).collect(), private: seen.kept.to_private() }
}

/// Returns true if the known planned attributes equal the observed ones.
fn agrees(planned: &Attributes, seen: &Seen) -> bool {
    planned.iter().filter(|(_, value)| !value.has_unknown()).all(|(name, value)| {
        let there = seen.attributes.get(name);
        there.is_none_or(|there| there.is_same_as(value) || (there.is_null() && value.is_null()))
    })
}

/// Reads the object after a create or update, and waits until the change is visible.
async fn done(
    ty: &ResourceType,
    object: &dyn Object,
    place: &Place<'_>,
    named: &Attributes,
    planned: &Attributes,
    kept: &Kept,
) -> Result<Observed, ProviderError> {
    let patience = Instant::now() + PATIENCE.min(place.within.left());
    let mut pause = Duration::from_millis(100);
    loop {
        let is_over = Instant::now() + pause >= patience;
        match object.read(place, named, planned, kept).await {
            Ok(Some(mut seen)) if is_over || agrees(planned, &seen) => {
                // Keep the planned spelling of the settings; the next read shows whether the value stays.
                if let Some(settings) = planned.get("settings").filter(|value| !value.has_unknown()) {
                    seen.attributes.insert("settings".to_owned(), settings.clone());
                }
                return Ok(observed(ty, named, &seen, planned));
            }
            Ok(None) if is_over => {
                let id = object_id::join(object::id_parts(ty, named));
                let message = format!("`{id}` is not visible after it was created or changed");
                return Err(ProviderError::new(ErrorKind::Ambiguous, message));
            }
            // The write succeeded: a failed read proves nothing about it.
            Err(error) if is_over || !error.kind.is_temporary() => {
                return Err(ProviderError { kind: ErrorKind::Ambiguous, ..error });
            }
            Ok(_) | Err(_) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// Waits until the deleted object is invisible. The deletion itself succeeded already.
async fn gone(object: &dyn Object, place: &Place<'_>, named: &Attributes) {
    let patience = Instant::now() + PATIENCE.min(place.within.left());
    let mut pause = Duration::from_millis(100);
    while let Ok(Some(seen)) = object.read(place, named, &Attributes::default(), &Kept::default()).await {
        if Instant::now() + pause >= patience || !object.was_to_go(named, &seen) {
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
        let place = self.place(&workspace, &prior.address, Within::reading());
        place.check_metastore(ty, &named).await?;
        let seen = object.read(&place, &named, &prior.attributes, &Kept::of(&prior.private)).await?;
        Ok(seen.map(|seen| self.learn_from(ty, observed(ty, &named, &seen, &prior.attributes))))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let object = object::of(ty)?;
        let prior = change.prior.map(|prior| respelled(ty, prior, change.config));
        let mut planned = from_schema(ty, &ProposedChange { prior: prior.as_ref(), ..change.clone() });
        self.plan_way(ty, change, &mut planned);
        let url = planned.planned.get("workspaceUrl");
        if url.is_some_and(|url| url.as_str().is_some()) {
            // Checks the URL without a request.
            self.workspaces.of(&planned.planned)?;
        }
        object.check(&planned.planned)?;
        object.plan(change, &mut planned)?;
        if ty.name == "databricks_git_credential" {
            credential::notice_rotation(self.workspaces.config(), change, &mut planned)?;
        }
        if let Some(identity) = ty.identity_of(&planned.planned) {
            let id = Value::from(object_id::join(object::id_parts(ty, &identity)));
            planned.planned.insert("id".to_owned(), id.made_of(&planned.planned, ty.identity));
            if let (Some(("metastoreId", names)), Some(_)) = (
                ty.identity.split_first().map(|(first, rest)| (*first, rest)),
                ty.attributes.get("fullName").filter(|it| it.computed),
            ) {
                let parts = object::id_parts(ty, &identity);
                let full_name = Value::from(parts.get(1..).unwrap_or_default().join("."));
                planned.planned.insert("fullName".to_owned(), full_name.made_of(&planned.planned, names));
            }
        }
        Ok(planned)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let (object, attributes) = (object::of(ty)?, &planned.attributes);
        let workspace = self.target(ty, attributes)?;
        let place = self.place(&workspace, &call.address, Within::of_call(call));
        place.check_metastore(ty, attributes).await?;
        let takes = object.takes_what_is_there(attributes);
        if let Some(identity) = ty.identity_of(attributes).filter(|_| !takes) {
            let id = object_id::join(object::id_parts(ty, &identity));
            if object.read(&place, attributes, &Attributes::default(), &Kept::default()).await?.is_some() {
                let kind = ErrorKind::AlreadyExists { import_id: Some(id.clone()) };
                return Err(ProviderError::new(kind, format!("a {} `{id}` exists already", ty.name)));
            }
        }
        if object.is_told_by_what_was_there() {
            let before = if takes { object.held(&place, attributes).await? } else { Vec::new() };
            looks::journal(call, planned, before).await?;
        }
        let made = object.create(&place, attributes).await.map_err(|error| match error.kind {
            // A required object is missing: nothing was created.
            ErrorKind::NotFound => ProviderError { kind: ErrorKind::InvalidInput { path: None }, ..error },
            // Another process created the object first.
            ErrorKind::AlreadyExists { import_id: None } => {
                let id = ty.identity_of(attributes).map(|identity| object_id::join(object::id_parts(ty, &identity)));
                ProviderError { kind: ErrorKind::AlreadyExists { import_id: id }, ..error }
            }
            _ => error,
        })?;
        let (named, kept) = made;
        let named: Attributes = attributes.clone().into_iter().chain(named).collect();
        done(ty, object, &place, &named, attributes, &kept).await.map(|made| {
            if ty.name == "databricks_workspace" {
                self.workspaces.learn_new(&made.attributes);
            }
            self.learn_from(ty, made)
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
        let place = self.place(&workspace, &call.address, Within::of_call(call));
        place.check_metastore(ty, &named).await?;
        let present =
            object.read(&place, &named, &prior.attributes, &Kept::of(&prior.private)).await?.ok_or_else(|| {
                let id = object_id::join(object::id_parts(ty, &named));
                ProviderError::new(ErrorKind::NotFound, format!("`{id}` no longer exists"))
                    .solution("plan again to recreate it")
            })?;
        let kept = object.update(&place, prior, &present, attributes).await?;
        done(ty, object, &place, &named, attributes, &kept).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (object, named) = (object::of(ty)?, named(prior));
        let workspace = self.target(ty, &named)?;
        let place = self.place(&workspace, &call.address, Within::of_call(call));
        place.check_metastore(ty, &named).await?;
        let kept = Kept::of(&prior.private);
        if let [first, ..] = kept.preexisting.as_slice() {
            call.progress.message(&format!("{first} existed before terrace adopted it: it is kept"));
        }
        if object::is_made_anew(object, &place, &named, &kept).await {
            let id = object_id::join(object::id_parts(ty, &named));
            call.progress.message(&format!("`{id}` was recreated outside terrace: it is kept"));
            return Ok(());
        }
        object.delete(&place, &named, &kept, call.removes_data).await?;
        // A permission's delete verifies itself; a preexisting access is kept.
        if kept.preexisting.is_empty() && ty.name != "databricks_permission" {
            gone(object, &place, &named).await;
        }
        Ok(())
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let object = object::of(ty)?;
        let kept = match &attempt.prior {
            Some(prior) => Kept::of(&prior.private),
            None => Kept::of(&attempt.private),
        };
        let is_lost_create = attempt.lost_call.is_some() && attempt.prior.is_none();
        if is_lost_create && object.is_told_by_what_was_there() && !kept.is_looked_for {
            // The call ended before its first read, and so before its request: an existing object is not ours.
            return Ok(Found::CameToNothing);
        }
        let mut known = attempt.planned.clone();
        if let Some(prior) = &attempt.prior {
            known.extend(named(prior));
        }
        let url = known.get("workspaceUrl");
        // Objects of Unity Catalog need no workspace. A workspace that is not created yet cannot be queried.
        let needs_none = ty.identity.contains(&"metastoreId") && url.is_none_or(Value::is_null);
        let is_elsewhere = object::azure::interface(ty.name).is_some() || needs_none;
        if url.is_none_or(|url| url.as_str().is_none()) && !is_elsewhere {
            return Ok(Found::Unknown);
        }
        let workspace = self.target(ty, &known)?;
        let within = Within::time(ty.timeouts.read - ty.timeouts.read / 10);
        let place = self.place(&workspace, &attempt.address, within);
        place.check_metastore(ty, &known).await?;
        let identity = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&known));
        let (identity, is_marked) = match identity {
            Some(identity) => (identity, false),
            None => {
                let mut all = object.search(&place, &known).await?;
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
            object.settle(&place, &named).await?;
        }
        let Some(seen) = object.read(&place, &named, &attempt.planned, &kept).await? else { return Ok(Found::Absent) };
        let with_kept = |kept: Kept| observed(ty, &named, &Seen { kept, ..seen.clone() }, &attempt.planned);
        let report = |kept: Kept| self.learn_from(ty, with_kept(kept));
        Ok(match (&attempt.lost_call, &attempt.prior) {
            // The caller looks for an object to adopt: its access existed before.
            (None, _) => {
                let (preexisting, mark) = (seen.held.clone(), seen.mark.clone());
                Found::Strangers(report(Kept { preexisting, mark, ..seen.kept.clone() }))
            }
            // The lost call was an update or delete of our object.
            (Some(_), Some(_)) => Found::Ours(report(seen.kept.clone())),
            (Some(lost), None) => {
                let kept = match is_marked {
                    // The intent has no secrets, but the paths of the secrets.
                    true => Kept { secret_paths: kept.secret_paths, ..object::settings::kept(&attempt.planned) },
                    false => seen.kept.clone(),
                };
                let window = lost.window(Timestamp::now(), SLACK);
                let takes = object.takes_what_is_there(&attempt.planned);
                if is_marked || object.is_ours(&place, &seen, &attempt.planned, &window).await? {
                    Found::Ours(report(Kept { is_looked_for: false, ..kept }))
                } else if takes && object.was_there_before(&seen, &attempt.planned) {
                    // A repeated create adopts the object, and records that it existed before.
                    Found::Absent
                } else {
                    Found::Strangers(report(seen.kept.clone()))
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
            match self.workspaces.to_ask()? {
                ToAsk::Workspace(workspace) => {
                    identity.insert("workspaceUrl".to_owned(), workspace.url.as_str().into());
                }
                // The sign-in works, but the instance has no workspace yet.
                ToAsk::Azure(management) => {
                    let place = self.place(&management, "", Within::reading());
                    return dry_run::sign_in(&place).await.map(|()| None);
                }
            }
        }
        let workspace = self.target(ty, &identity)?;
        let place = self.place(&workspace, "", Within::reading());
        if is_dash(&identity, "metastoreId") {
            let id = text_of(workspace.metastore(&place.within).await?, "metastore_id").to_owned();
            identity.insert("metastoreId".to_owned(), id.into());
        }
        let mut named = identity.clone();
        named.entry("workspaceUrl".to_owned()).or_insert_with(|| workspace.url.as_str().into());
        object.check(&named)?;
        place.check_metastore(ty, &named).await?;
        let seen = object.read(&place, &named, &Attributes::default(), &Kept::default()).await?;
        Ok(seen.map(|seen| {
            let kept = Kept { preexisting: seen.held.clone(), ..seen.kept.clone() };
            observed(ty, &identity, &Seen { kept, ..seen }, &Attributes::default())
        }))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        if !dry_run::is_possible(ty, planned) {
            return None;
        }
        Some(Box::pin(async move {
            match self.target(ty, planned) {
                Ok(workspace) => dry_run::findings(ty, &self.place(&workspace, "", Within::reading()), planned).await,
                Err(error) => vec![dry_run::not_checked(error)],
            }
        }))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        if let Some(answer) = lookup::unasked(name, self.workspaces.config(), arguments) {
            return Ok(answer);
        }
        let workspace = match lookup::azure::interface(name) {
            Some(interface) => self.workspaces.beside(interface)?,
            None => self.workspace(arguments)?,
        };
        let place = self.place(&workspace, "", Within::reading());
        let patience = Instant::now() + if self.workspaces.is_new(&workspace) { PATIENCE } else { Duration::ZERO };
        loop {
            match lookup::answer(name, &place, arguments).await {
                // A new workspace sees the account's principals only after a while.
                Err(error) if error.kind == ErrorKind::NotFound && Instant::now() < patience => {
                    sleep(Duration::from_secs(1)).await;
                }
                answer => return answer,
            }
        }
    }

    async fn grantees(&self, ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        let homes = foreign::homes(&self.workspaces.opened()?).await?;
        let mut grantees = Vec::new();
        for access in accesses {
            // No workspace of this metastore is known: the grants cannot be read.
            let Some(home) = homes.iter().find(|home| home.has(access)) else { continue };
            let place = self.place(&home.workspace, "", Within::reading());
            let is_single = ty.identity.contains(&"privilege");
            for (principal, privilege, all) in home.holders(&place, access, is_single).await? {
                let seen = Seen { attributes: all.clone(), ..Seen::default() };
                let grant = observed(ty, &all, &seen, &Map::default());
                grantees.push(Grantee { principal, privilege, grant });
            }
        }
        Ok(grantees)
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
            let workspace = self.workspaces.usual()?;
            add(rights::missing(&self.place(&workspace, "", Within::reading())).await?);
        }
        if let Some(azure) = self.workspaces.config().azure() {
            let management = self.workspaces.beside(Interface::Management)?;
            add(rights::azure::of_group(&self.place(&management, "", Within::reading()), azure).await?);
            let graph = self.workspaces.beside(Interface::Graph)?;
            add(rights::azure::of_directory(&self.place(&graph, "", Within::reading()), azure).await?);
        }
        if self.workspaces.config().account.is_some() && self.workspaces.config().host.is_none() {
            let account = self.workspaces.beside(Interface::Account)?;
            add(rights::azure::of_account(&self.place(&account, "", Within::reading())).await?);
        }
        Ok((is_certain || !all.is_empty()).then_some(all))
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let (object, named) = (object::of(ty)?, named(prior));
        let workspace = self.target(ty, &named)?;
        object.count(&self.place(&workspace, &prior.address, Within::reading()), &named).await
    }
}

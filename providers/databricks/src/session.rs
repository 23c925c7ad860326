//! The session: which function answers which call of which type.

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

/// How far clocks may be apart: an object may seem older than the call that made it.
const SLACK: SignedDuration = SignedDuration::from_secs(300);
/// The attribute that says by which workspace one asks.
const WAY: &str = "workspaceUrl";
/// How long what was done is waited for to be seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// One configured instance.
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

    /// Whom one asks about an object: its workspace, or what its type is asked of.
    fn asked(&self, ty: &ResourceType, named: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        match object::azure::interface(ty.name) {
            Some(interface) => self.workspaces.beside(interface),
            None => match self.workspace(named) {
                // The one on record is none of the instance's any more: all lead to the same metastore.
                Err(error) if is_by_any_way(ty) => self.workspaces.usual().map_err(|_| error),
                workspace => workspace,
            },
        }
    }

    /// The workspace of attributes; that of the instance where they are of Unity Catalog and name none.
    fn workspace(&self, named: &Attributes) -> Result<Arc<Workspace>, ProviderError> {
        if named.contains_key("workspaceUrl") { self.workspaces.of(named) } else { self.workspaces.usual() }
    }

    /// What was seen of a workspace of Azure is known from then on: who manages it is let in by what Azure calls it.
    fn learned(&self, ty: &ResourceType, observed: Observed) -> Observed {
        if ty.name == "databricks_workspace" {
            self.workspaces.learn(&observed.attributes);
        }
        observed
    }
}

/// Whether any workspace of the metastore leads to objects of a type.
fn is_by_any_way(ty: &ResourceType) -> bool {
    ty.attributes.get(WAY).is_some_and(|attribute| attribute.way)
}

/// All that is known of an object, as it is written: its identity has names in the one form that they are told apart by.
fn named(recorded: &Recorded) -> Attributes {
    let mut named = recorded.identity.clone();
    named.extend(recorded.attributes.clone());
    named
}

/// The identity in the one form that objects are told apart by.
fn identity_of(ty: &ResourceType, named: &Attributes) -> Attributes {
    let parts = object::id_parts(ty, named).into_iter().map(Value::from);
    ty.identity.iter().map(|name| (*name).to_owned()).zip(parts).collect()
}

fn observed(ty: &ResourceType, named: &Attributes, seen: &Seen, beside: &Attributes) -> Observed {
    let mut all = seen.attributes.clone();
    for name in ty.identity {
        if let Some(value) = named.get(*name) {
            all.insert((*name).to_owned(), value.revealed());
        }
    }
    let identity = identity_of(ty, &all);
    all.insert("id".to_owned(), object_id::join(object::id_parts(ty, &all)).into());
    // What is made of something secret is as secret.
    let as_secret = |(name, value): (String, Value)| {
        let is_made = matches!(name.as_str(), "id" | "fullName" | "url" | "resourceId" | "managedResourceGroup");
        let of = if is_made { ty.identity } else { &[] };
        let own = value.made_of(beside, &[name.as_str()]);
        (name, own.made_of(beside, of))
    };
    Observed { identity, attributes: all.into_iter().map(as_secret).collect(), private: seen.kept.to_private() }
}

/// Whether an object is as it was planned, as far as both say.
fn agrees(planned: &Attributes, seen: &Seen) -> bool {
    planned.iter().filter(|(_, value)| !value.has_unknown()).all(|(name, value)| {
        let there = seen.attributes.get(name);
        there.is_none_or(|there| there.is_same_as(value) || (there.is_null() && value.is_null()))
    })
}

/// The object after a call that made or changed it. What was done may be seen only after a while.
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
                // What the other side writes in another way is as it was asked for; the next look tells whether it stays so.
                if let Some(settings) = planned.get("settings").filter(|value| !value.has_unknown()) {
                    seen.attributes.insert("settings".to_owned(), settings.clone());
                }
                return Ok(observed(ty, named, &seen, planned));
            }
            Ok(None) if is_over => {
                let id = object_id::join(object::id_parts(ty, named));
                let message = format!("`{id}` is not to be seen after it was made or changed");
                return Err(ProviderError::new(ErrorKind::Ambiguous, message));
            }
            // It is done: what fails now is only the look at it, which says nothing against that.
            Err(error) if is_over || !error.kind.is_temporary() => {
                return Err(ProviderError { kind: ErrorKind::Ambiguous, ..error });
            }
            Ok(_) | Err(_) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// Waits until nothing is to be seen any more of what was deleted: it is, whatever this finds.
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
        let workspace = self.asked(ty, &named)?;
        let place = self.place(&workspace, &prior.address, Within::reading());
        place.check_metastore(ty, &named).await?;
        let seen = object.read(&place, &named, &prior.attributes, &Kept::of(&prior.private)).await?;
        Ok(seen.map(|seen| self.learned(ty, observed(ty, &named, &seen, &prior.attributes))))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let object = object::of(ty)?;
        let prior = change.prior.map(|prior| respelled(ty, prior, change.config));
        let mut planned = from_schema(ty, &ProposedChange { prior: prior.as_ref(), ..change.clone() });
        self.plan_way(ty, change, &mut planned);
        let url = planned.planned.get("workspaceUrl");
        if url.is_some_and(|url| url.as_str().is_some()) {
            // Nobody is asked: whether it may be asked at all is told here.
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
        let workspace = self.asked(ty, attributes)?;
        let place = self.place(&workspace, &call.address, Within::of_call(call));
        place.check_metastore(ty, attributes).await?;
        let takes = object.takes_what_is_there(attributes);
        if let Some(identity) = ty.identity_of(attributes).filter(|_| !takes) {
            let id = object_id::join(object::id_parts(ty, &identity));
            if object.read(&place, attributes, &Attributes::default(), &Kept::default()).await?.is_some() {
                let kind = ErrorKind::AlreadyExists { import_id: Some(id.clone()) };
                return Err(ProviderError::new(kind, format!("there is such a {} already: `{id}`", ty.name)));
            }
        }
        if object.is_told_by_what_was_there() {
            let before = if takes { object.held(&place, attributes).await? } else { Vec::new() };
            looks::journal(call, planned, before).await?;
        }
        let made = object.create(&place, attributes).await.map_err(|error| match error.kind {
            // Something that it needs is not there: nothing was made.
            ErrorKind::NotFound => ProviderError { kind: ErrorKind::InvalidInput { path: None }, ..error },
            // Somebody else was faster.
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
            self.learned(ty, made)
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
        let workspace = self.asked(ty, &named)?;
        let place = self.place(&workspace, &call.address, Within::of_call(call));
        place.check_metastore(ty, &named).await?;
        let present =
            object.read(&place, &named, &prior.attributes, &Kept::of(&prior.private)).await?.ok_or_else(|| {
                let id = object_id::join(object::id_parts(ty, &named));
                ProviderError::new(ErrorKind::NotFound, format!("`{id}` is not there any more"))
                    .solution("plan again: it will be created")
            })?;
        let kept = object.update(&place, prior, &present, attributes).await?;
        done(ty, object, &place, &named, attributes, &kept).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (object, named) = (object::of(ty)?, named(prior));
        let workspace = self.asked(ty, &named)?;
        let place = self.place(&workspace, &call.address, Within::of_call(call));
        place.check_metastore(ty, &named).await?;
        let kept = Kept::of(&prior.private);
        if let [first, ..] = kept.preexisting.as_slice() {
            call.progress.message(&format!("{first} was there before terrace took it over, and stays"));
        }
        if object::is_made_anew(object, &place, &named, &kept).await {
            let id = object_id::join(object::id_parts(ty, &named));
            call.progress.message(&format!("`{id}` was deleted and made anew by somebody, and stays"));
            return Ok(());
        }
        object.delete(&place, &named, &kept, call.removes_data).await?;
        // Its entries are looked at again by itself, and what was there before stays.
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
            // It ended before it looked, and so before anything was sent: what is there is somebody else's.
            return Ok(Found::CameToNothing);
        }
        let mut beside = attempt.planned.clone();
        if let Some(prior) = &attempt.prior {
            beside.extend(named(prior));
        }
        let url = beside.get("workspaceUrl");
        // What is of Unity Catalog need not say where it is asked for; in a workspace that will be made nobody can ask.
        let needs_none = ty.identity.contains(&"metastoreId") && url.is_none_or(Value::is_null);
        let is_elsewhere = object::azure::interface(ty.name).is_some() || needs_none;
        if url.is_none_or(|url| url.as_str().is_none()) && !is_elsewhere {
            return Ok(Found::Unknown);
        }
        let workspace = self.asked(ty, &beside)?;
        let within = Within::time(ty.timeouts.read - ty.timeouts.read / 10);
        let place = self.place(&workspace, &attempt.address, within);
        place.check_metastore(ty, &beside).await?;
        let identity = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&beside));
        let (identity, is_marked) = match identity {
            Some(identity) => (identity, false),
            None => {
                let mut all = object.search(&place, &beside).await?;
                if attempt.lost_call.is_some() && all.iter().any(|it| it.is_marked) {
                    all.retain(|it| it.is_marked);
                }
                match (all.pop(), all.pop()) {
                    (None, _) => return Ok(Found::Absent),
                    (Some(one), None) => (one.identity, one.is_marked),
                    // Of several nobody can say which one it is.
                    (Some(_), Some(_)) => return Ok(Found::Unknown),
                }
            }
        };
        let named: Attributes =
            identity.into_iter().chain(beside.into_iter().filter(|(_, value)| !value.has_unknown())).collect();
        if attempt.lost_call.is_some() {
            object.settle(&place, &named).await?;
        }
        let Some(seen) = object.read(&place, &named, &attempt.planned, &kept).await? else { return Ok(Found::Absent) };
        let told = |kept: Kept| observed(ty, &named, &Seen { kept, ..seen.clone() }, &attempt.planned);
        let tell = |kept: Kept| self.learned(ty, told(kept));
        Ok(match (&attempt.lost_call, &attempt.prior) {
            // Somebody asks whether there is something to adopt: what is held was held before.
            (None, _) => {
                let (preexisting, mark) = (seen.held.clone(), seen.mark.clone());
                Found::Strangers(tell(Kept { preexisting, mark, ..seen.kept.clone() }))
            }
            // The lost call was to change or delete what was ours before it.
            (Some(_), Some(_)) => Found::Ours(tell(seen.kept.clone())),
            (Some(lost), None) => {
                let kept = match is_marked {
                    // The intent has no secrets, and where they are was kept with it.
                    true => Kept { secret_paths: kept.secret_paths, ..object::settings::kept(&attempt.planned) },
                    false => seen.kept.clone(),
                };
                let window = lost.window(Timestamp::now(), SLACK);
                let takes = object.takes_what_is_there(&attempt.planned);
                if is_marked || object.is_ours(&place, &seen, &attempt.planned, &window).await? {
                    Found::Ours(tell(Kept { is_looked_for: false, ..kept }))
                } else if takes && object.was_there_before(&seen, &attempt.planned) {
                    // Making it again takes it over, and keeps in mind that it was there.
                    Found::Absent
                } else {
                    Found::Strangers(tell(seen.kept.clone()))
                }
            }
        })
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let object = object::of(ty)?;
        let Some(parts) = object_id::split(id, ty.identity.len()) else {
            let shape = ty.identity.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join("/");
            return Err(ProviderError::invalid(None, format!("`{id}` is no id of a {}", ty.name))
                .solution(format!("write {shape}, each percent-encoded where it holds a `/` or a `%`")));
        };
        let mut identity: Attributes =
            ty.identity.iter().map(|name| (*name).to_owned()).zip(parts.into_iter().map(Value::from)).collect();
        // For the workspace of the instance, and for its metastore, a dash will do.
        let is_dash = |identity: &Attributes, name: &str| optional_text(identity, name).as_deref() == Some("-");
        if is_dash(&identity, "workspaceUrl") {
            match self.workspaces.to_ask()? {
                ToAsk::Workspace(workspace) => {
                    identity.insert("workspaceUrl".to_owned(), workspace.url.as_str().into());
                }
                // It answers, and there is no workspace that anything could be in.
                ToAsk::Azure(management) => {
                    let place = self.place(&management, "", Within::reading());
                    return dry_run::sign_in(&place).await.map(|()| None);
                }
            }
        }
        let workspace = self.asked(ty, &identity)?;
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
            match self.asked(ty, planned) {
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
                // A workspace that has just been made gets to know who may enter it only after a while.
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
            // Of a metastore whose workspaces nobody named there is nobody to ask.
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
        // What may be done in a workspace that the instance is only sent to is told there.
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
        let workspace = self.asked(ty, &named)?;
        object.count(&self.place(&workspace, &prior.address, Within::reading()), &named).await
    }
}

//! The session: dispatches calls to the kinds of objects.

use crate::airbyte::{Airbyte, only, text as of};
use crate::attributes::{given, optional_text, text};
use crate::config::{Config, unconfigured};
use crate::configuration::{SECRET, secret_paths, tidied};
use crate::defaults::{Defaults, Variables};
use crate::discovery::Discovery;
use crate::kind::Kind;
use crate::private::Kept;
use crate::{actor, check, connection, lookup, rights};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use terrace_provider::http::{Purpose, Within};
use terrace_provider::object_id;
use terrace_provider::plan::from_schema;
use terrace_provider::provider::DryRun;
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, DataLoss, ErrorKind, Found, MissingRight, Observed, Path, Planned,
    PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Session, Settings, Value,
};

/// Maximum age of an object before the call that created it: Airbyte's clock has whole seconds.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// An open instance.
pub(crate) struct AirbyteSession {
    instance: String,
    /// Missing if no setting names the URL of Airbyte: calls to such an instance fail.
    config: Option<Config>,
    defaults: Defaults,
    discovery: Discovery,
}

impl AirbyteSession {
    pub(crate) fn open(settings: &Settings, variables: &Variables) -> Result<Self, ProviderError> {
        let defaults = Defaults::of(settings, variables);
        let config = Config::read(settings, &defaults)?;
        Ok(Self { instance: settings.instance.clone(), config, defaults, discovery: Discovery::new() })
    }

    fn config(&self) -> Result<&Config, ProviderError> {
        self.config.as_ref().ok_or_else(|| unconfigured(&self.instance))
    }

    fn reading(&self) -> Result<Airbyte<'_>, ProviderError> {
        Ok(Airbyte::new(&self.config()?.api, Within::reading()))
    }

    fn calling(&self, call: &Call) -> Result<Airbyte<'_>, ProviderError> {
        Ok(Airbyte::new(&self.config()?.api, Within::of_call(call)))
    }
}

/// Converts an object of the API into attributes.
fn observed(kind: Kind, read: &Json, like: Option<&Attributes>, kept: &Kept) -> Observed {
    let (workspace, id) = (of(read, "workspaceId"), of(read, kind.id()));
    let mut identity = Attributes::default();
    identity.insert("workspaceId".to_owned(), workspace.as_str().into());
    identity.insert("name".to_owned(), of(read, "name").into());
    let mut attributes = identity.clone();
    attributes.extend(match kind {
        Kind::Connection => connection::attributes_of(read, like),
        Kind::Source | Kind::Destination => actor::attributes_of(kind, read, like),
    });
    let created_at = read.get("createdAt").and_then(Json::as_i64).map_or(Value::Null, Value::Int);
    attributes.insert("createdAt".to_owned(), created_at);
    let nothing = Attributes::default();
    let whole = Value::from(object_id::join([workspace.as_str(), id.as_str()]));
    attributes.insert("id".to_owned(), whole.made_of(like.unwrap_or(&nothing), &["workspaceId"]));
    attributes.insert(kind.id().to_owned(), id.into());
    Observed { identity, attributes, private: kept.to_private() }
}

/// Converts an object that becomes the recorded one.
fn recorded(kind: Kind, read: &Json, like: Option<&Attributes>, kept: &Kept) -> Observed {
    let kept = Kept { id: Some(of(read, kind.id())), secrets: kept.secrets.clone(), ..Kept::default() };
    observed(kind, read, like, &kept)
}

/// Converts the answer of a create or update.
fn done(kind: Kind, read: &Json, planned: &Planned) -> Result<Observed, ProviderError> {
    let Planned { attributes, private } = planned;
    if of(read, kind.id()).is_empty() {
        let message = format!("Airbyte's answer has no id of the {} `{}`", kind.word(), text(attributes, "name"));
        return Err(ProviderError::new(ErrorKind::Ambiguous, message));
    }
    Ok(recorded(kind, read, Some(attributes), &Kept::of(private)))
}

/// Refuses an invalid plan, as far as its values are known.
fn check_planned(kind: Kind, config: &Attributes) -> Result<(), ProviderError> {
    for name in ["name", "workspaceId"] {
        if config.get(name).and_then(Value::as_str).is_some_and(|text| text.trim().is_empty()) {
            let path = Some(Path::attribute(name));
            return Err(ProviderError::invalid(path, format!("`{name}` is empty")).solution(match name {
                "name" => "write a name: terrace finds the object by it",
                _ => "copy the id from the address of the workspace's page in Airbyte",
            }));
        }
    }
    match kind {
        Kind::Connection => connection::check(config),
        Kind::Source | Kind::Destination => actor::check(kind, config),
    }
}

/// Returns true if the observed object has another id than the recorded one of the same name.
fn is_another(kind: Kind, prior: &Recorded) -> bool {
    Kept::of(&prior.private).id.is_some_and(|id| prior.text(kind.id()).is_some_and(|now| now != id))
}

fn purpose(kind: Kind, doing: &str, name: &str, about: &str) -> Purpose {
    let purpose = Purpose::to(format!("{doing} the {} `{name}`", kind.word()))
        .needs("make the instance's principal an editor of the workspace");
    if about.is_empty() { purpose } else { purpose.at(Path::attribute(about)) }
}

/// The attribute that an error is about by default.
fn about(kind: Kind) -> &'static str {
    if kind == Kind::Connection { "" } else { crate::configuration::PLAIN }
}

#[async_trait]
impl Session for AirbyteSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.reading()?);
        let by_id = match prior.text(kind.id()) {
            Some(id) => airbyte.get(kind, id).await?,
            None => None,
        };
        // An object with the same name and another id was created outside terrace: report it.
        let read = match by_id {
            Some(read) => Some(read),
            None => {
                let (workspace, name) = (text(&prior.identity, "workspaceId"), text(&prior.identity, "name"));
                only(kind, &name, airbyte.named(kind, &workspace, &name).await?)?
            }
        };
        let kept = Kept { sends_secrets: false, secrets_gone: Vec::new(), ..Kept::of(&prior.private) };
        Ok(read.map(|read| observed(kind, &read, Some(&prior.attributes), &kept)))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let kind = Kind::of(ty)?;
        let config = tidied(change.config);
        check_planned(kind, &config)?;
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        let secrets = secret_paths(&config);
        let Some(prior) = change.prior else {
            let connector = given(&planned.planned, "connector").and_then(Value::as_str);
            if let Some(definition) = connector.and_then(|connector| self.defaults.definition(connector)) {
                planned.planned.insert("definitionId".to_owned(), definition.into());
            }
            planned.private = Kept { secrets, ..Kept::default() }.to_private();
            return Ok(planned);
        };
        let is_replaced = change.must_replace || !planned.replace_paths.is_empty();
        if kind == Kind::Connection && is_replaced {
            let reason = "its sync state is lost: the next sync reads all data again".to_owned();
            planned.data_loss = Some(DataLoss { reasons: vec![reason] });
        }
        if is_another(kind, prior) && !is_replaced {
            // The object was recreated outside terrace: plan an update, so that the user sees it.
            planned.planned.insert("createdAt".to_owned(), Value::Unknown);
        }
        // A recreated object never got our secrets.
        let sends_secrets = is_another(kind, prior) || change.changed_write_only.iter().any(|name| name == SECRET);
        let before = Kept::of(&prior.private);
        let secrets_gone = match sends_secrets {
            true => before.secrets.iter().filter(|path| !secrets.contains(path)).cloned().collect(),
            false => Vec::new(),
        };
        planned.private = Kept { id: before.id, sends_secrets, secrets, secrets_gone }.to_private();
        Ok(planned)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.calling(call)?);
        let attributes = &planned.attributes;
        let (workspace, name) = (text(attributes, "workspaceId"), text(attributes, "name"));
        let there = only(kind, &name, airbyte.named(kind, &workspace, &name).await?)?;
        if let Some(there) = there {
            let import_id = Some(object_id::join([workspace, of(&there, kind.id())]));
            let message = format!("the workspace already has a {} `{name}`", kind.word());
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id }, message));
        }
        let purpose = purpose(kind, "create", &name, about(kind));
        let made = match kind {
            Kind::Connection => connection::create(&airbyte, attributes, &purpose).await,
            Kind::Source | Kind::Destination => {
                let made = actor::create(&airbyte, kind, attributes, &purpose).await;
                made.map_err(|error| error.problem(format!("its connector is `{}`", actor::connector(attributes))))
            }
        };
        done(kind, &made?, planned)
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.calling(call)?);
        let (attributes, id) = (&planned.attributes, prior.text(kind.id()).unwrap_or_default());
        let (workspace, name) = (text(attributes, "workspaceId"), text(attributes, "name"));
        let present = airbyte.get(kind, id).await?.ok_or_else(|| {
            let message = format!("the {} `{name}` no longer exists", kind.word());
            ProviderError::new(ErrorKind::NotFound, message).solution("plan again to recreate it")
        })?;
        if is_another(kind, prior) {
            call.progress.message(&format!("the {} `{name}` was recreated outside terrace", kind.word()));
        }
        if of(&present, "name") != name && !airbyte.named(kind, &workspace, &name).await?.is_empty() {
            let message = format!("another {} has the name `{name}` already", kind.word());
            let error = ProviderError::invalid(Some(Path::attribute("name")), message);
            return Err(error.solution("rename one of them: terrace finds the object by its name"));
        }
        let purpose = purpose(kind, "change", &name, about(kind));
        let kept = Kept::of(&planned.private);
        if kept.sends_secrets && given(attributes, SECRET).is_none() && kept.secrets_gone.is_empty() {
            call.progress.message("earlier secrets are kept in Airbyte: their paths are unknown");
        }
        let changed = match kind {
            Kind::Connection => {
                connection::update(&airbyte, present, (&prior.attributes, attributes), &purpose).await?
            }
            Kind::Source | Kind::Destination => {
                let states = (&prior.attributes, attributes);
                actor::update(&airbyte, kind, present, states, &kept, &purpose).await?
            }
        };
        self.discovery.forget(id);
        done(kind, &changed, planned)
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.calling(call)?);
        // Delete the recorded object, not a recreated one with the same name.
        let id = Kept::of(&prior.private).id.or_else(|| prior.text(kind.id()).map(str::to_owned)).unwrap_or_default();
        let (workspace, name) = (text(&prior.identity, "workspaceId"), text(&prior.identity, "name"));
        if kind != Kind::Connection {
            if airbyte.get(kind, &id).await?.is_none() {
                return Ok(());
            }
            actor::check_unused(&airbyte, kind, &workspace, &id, &name).await?;
        }
        airbyte.delete(kind, &id, &purpose(kind, "delete", &name, "")).await
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.reading()?);
        let planned = tidied(&attempt.planned);
        let like = Some(&planned).filter(|planned| !planned.is_empty());
        let kept = Kept::of(&attempt.private);
        // The lost call was an update or delete of our object.
        if let (Some(_), Some(prior)) = (&attempt.lost_call, &attempt.prior) {
            let id = Kept::of(&prior.private).id.or_else(|| prior.text(kind.id()).map(str::to_owned));
            let read = airbyte.get(kind, &id.unwrap_or_default()).await?;
            let like = like.or(Some(&prior.attributes));
            return Ok(read.map_or(Found::Absent, |read| Found::Ours(recorded(kind, &read, like, &kept))));
        }
        let of_attempt =
            |name: &str| optional_text(&attempt.identity, name).or_else(|| optional_text(&attempt.planned, name));
        let (Some(workspace), Some(name)) = (of_attempt("workspaceId"), of_attempt("name")) else {
            return Ok(Found::Unknown);
        };
        let named = airbyte.named(kind, &workspace, &name).await?;
        let Some(read) = only(kind, &name, named)? else { return Ok(Found::Absent) };
        let seen = recorded(kind, &read, like, &kept);
        let Some(lost) = &attempt.lost_call else { return Ok(Found::Strangers(seen)) };
        // Objects carry no mark. The call found no object with the name before, so an object of the right age is its
        // own.
        let window = lost.window(airbyte.now().await?, SLACK);
        let made = read.get("createdAt").and_then(Json::as_i64).and_then(|at| Timestamp::from_second(at).ok());
        Ok(match made {
            Some(made) if window.contains(&made) => Found::Ours(seen),
            Some(_) => Found::Strangers(seen),
            None => Found::Unknown,
        })
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.reading()?);
        let parts = object_id::split(id, 2).filter(|parts| parts.iter().all(|part| !part.is_empty()));
        let Some([workspace, id]) = parts.and_then(|parts| <[String; 2]>::try_from(parts).ok()) else {
            return Err(ProviderError::invalid(None, format!("`{id}` is not the id of a {}", kind.word())).solution(
                format!("write <workspaceId>/<{}>, copied from the address of its page in Airbyte", kind.id()),
            ));
        };
        let read = airbyte.get(kind, &id).await?.filter(|read| of(read, "workspaceId") == workspace);
        Ok(read.map(|read| recorded(kind, &read, None, &Kept::default())))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        if name == lookup::DEFAULTS {
            return Ok(self.defaults.answer());
        }
        lookup::answer(name, self.config()?, &self.discovery, arguments).await
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        rights::missing(&self.reading()?, self.config()?.workspace.as_deref()).await
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        check::dry_run(self.config.as_ref()?, &self.discovery, Kind::of(ty).ok()?, planned)
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        match (Kind::of(ty)?, prior.text(Kind::Connection.id())) {
            (Kind::Connection, Some(id)) => connection::count(&self.reading()?, id).await,
            _ => Ok(DataAmount::Empty),
        }
    }
}

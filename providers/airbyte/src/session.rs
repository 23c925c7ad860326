//! The session: dispatches calls to the kinds of objects.

use crate::airbyte::{Airbyte, only, text as of};
use crate::attributes::{given, optional_text, text};
use crate::config::{Config, unconfigured};
use crate::configuration::{SECRET, secret_paths, without_null_keys};
use crate::defaults::{Defaults, Variables};
use crate::discovery::Discovery;
use crate::kind::Kind;
use crate::private::PrivateData;
use crate::{actor, check, connection, lookup, rights};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use terrace_provider::http::{Purpose, Within};
use terrace_provider::object_id;
use terrace_provider::plan::from_schema;
use terrace_provider::provider::{DryRun, probe_by_import};
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, DataLoss, ErrorKind, Found, MissingRight, Observed, Path, Planned,
    PlannedChange, Probe, ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Settings,
    Value,
};

/// Maximum age of an object before the call that created it: Airbyte's clock has whole seconds.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

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

    fn read_client(&self) -> Result<Airbyte<'_>, ProviderError> {
        Ok(Airbyte::new(&self.config()?.api, Within::reading()))
    }

    fn call_client(&self, call: &Call) -> Result<Airbyte<'_>, ProviderError> {
        Ok(Airbyte::new(&self.config()?.api, Within::of_call(call)))
    }
}

/// Converts an object of the API into attributes.
fn observed(kind: Kind, read: &Json, like: Option<&Attributes>, private_data: &PrivateData) -> Observed {
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
    attributes.insert("id".to_owned(), whole.derived_from(like.unwrap_or(&nothing), &["workspaceId"]));
    attributes.insert(kind.id().to_owned(), id.into());
    Observed { identity, attributes, private: private_data.to_private() }
}

/// Converts an object that becomes the recorded one.
fn recorded(kind: Kind, read: &Json, like: Option<&Attributes>, private_data: &PrivateData) -> Observed {
    let private_data =
        PrivateData { id: Some(of(read, kind.id())), secrets: private_data.secrets.clone(), ..PrivateData::default() };
    observed(kind, read, like, &private_data)
}

/// Converts the answer of a create or update.
fn finish(kind: Kind, read: &Json, planned: &Planned) -> Result<Observed, ProviderError> {
    let Planned { attributes, private } = planned;
    if of(read, kind.id()).is_empty() {
        let message = format!("Airbyte's answer has no id of the {} `{}`", kind.word(), text(attributes, "name"));
        return Err(ProviderError::new(ErrorKind::Ambiguous, message));
    }
    Ok(recorded(kind, read, Some(attributes), &PrivateData::of(private)))
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
fn is_recreated(kind: Kind, prior: &Recorded) -> bool {
    PrivateData::of(&prior.private).id.is_some_and(|id| prior.text(kind.id()).is_some_and(|now| now != id))
}

fn purpose(kind: Kind, action: &str, name: &str, attribute: &str) -> Purpose {
    let purpose = Purpose::to(format!("{action} the {} `{name}`", kind.word()))
        .needs("make the instance's principal an editor of the workspace");
    if attribute.is_empty() { purpose } else { purpose.at(Path::attribute(attribute)) }
}

/// The attribute that an error is about by default.
fn default_error_attribute(kind: Kind) -> &'static str {
    if kind == Kind::Connection { "" } else { crate::configuration::PLAIN }
}

#[async_trait]
impl Session for AirbyteSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.read_client()?);
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
        let private_data =
            PrivateData { sends_secrets: false, secrets_gone: Vec::new(), ..PrivateData::of(&prior.private) };
        Ok(read.map(|read| observed(kind, &read, Some(&prior.attributes), &private_data)))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let kind = Kind::of(ty)?;
        let config = without_null_keys(change.config);
        check_planned(kind, &config)?;
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        let secrets = secret_paths(&config);
        let Some(prior) = change.prior else {
            let connector = given(&planned.planned, "connector").and_then(Value::as_str);
            if let Some(definition) = connector.and_then(|connector| self.defaults.definition(connector)) {
                planned.planned.insert("definitionId".to_owned(), definition.into());
            }
            planned.private = PrivateData { secrets, ..PrivateData::default() }.to_private();
            return Ok(planned);
        };
        let is_replaced = change.must_replace || !planned.replace_paths.is_empty();
        if kind == Kind::Connection && is_replaced {
            let reason = "its sync state is lost: the next sync reads all data again".to_owned();
            planned.data_loss = Some(DataLoss { reasons: vec![reason] });
        }
        if is_recreated(kind, prior) && !is_replaced {
            // The object was recreated outside terrace: plan an update, so that the user sees it.
            planned.planned.insert("createdAt".to_owned(), Value::Unknown);
        }
        // A recreated object never got our secrets.
        let sends_secrets = is_recreated(kind, prior) || change.changed_write_only.iter().any(|name| name == SECRET);
        let before = PrivateData::of(&prior.private);
        let secrets_gone = match sends_secrets {
            true => before.secrets.iter().filter(|path| !secrets.contains(path)).cloned().collect(),
            false => Vec::new(),
        };
        planned.private = PrivateData { id: before.id, sends_secrets, secrets, secrets_gone }.to_private();
        Ok(planned)
    }

    fn check_configured(&self, _ty: &ResourceType, _attributes: &Attributes) -> Result<(), ProviderError> {
        self.config().map(drop)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.call_client(call)?);
        let attributes = &planned.attributes;
        let (workspace, name) = (text(attributes, "workspaceId"), text(attributes, "name"));
        let existing = only(kind, &name, airbyte.named(kind, &workspace, &name).await?)?;
        if let Some(existing) = existing {
            let import_id = Some(object_id::join([workspace, of(&existing, kind.id())]));
            let message = format!("the workspace already has a {} `{name}`", kind.word());
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id }, message));
        }
        let purpose = purpose(kind, "create", &name, default_error_attribute(kind));
        let created = match kind {
            Kind::Connection => connection::create(&airbyte, attributes, &purpose).await,
            Kind::Source | Kind::Destination => {
                let created = actor::create(&airbyte, kind, attributes, &purpose).await;
                created.map_err(|error| error.problem(format!("its connector is `{}`", actor::connector(attributes))))
            }
        };
        finish(kind, &created?, planned)
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.call_client(call)?);
        let (attributes, id) = (&planned.attributes, prior.text(kind.id()).unwrap_or_default());
        let (workspace, name) = (text(attributes, "workspaceId"), text(attributes, "name"));
        let present = airbyte.get(kind, id).await?.ok_or_else(|| {
            let message = format!("the {} `{name}` no longer exists", kind.word());
            ProviderError::new(ErrorKind::NotFound, message).solution("plan again to recreate it")
        })?;
        if is_recreated(kind, prior) {
            call.progress.message(&format!("the {} `{name}` was recreated outside terrace", kind.word()));
        }
        if of(&present, "name") != name && !airbyte.named(kind, &workspace, &name).await?.is_empty() {
            let message = format!("another {} has the name `{name}` already", kind.word());
            let error = ProviderError::invalid(Some(Path::attribute("name")), message);
            return Err(error.solution("rename one of them: terrace finds the object by its name"));
        }
        let purpose = purpose(kind, "change", &name, default_error_attribute(kind));
        let private_data = PrivateData::of(&planned.private);
        if private_data.sends_secrets && given(attributes, SECRET).is_none() && private_data.secrets_gone.is_empty() {
            call.progress.message("earlier secrets are kept in Airbyte: their paths are unknown");
        }
        let changed = match kind {
            Kind::Connection => {
                connection::update(&airbyte, present, (&prior.attributes, attributes), &purpose).await?
            }
            Kind::Source | Kind::Destination => {
                let states = (&prior.attributes, attributes);
                actor::update(&airbyte, kind, present, states, &private_data, &purpose).await?
            }
        };
        self.discovery.forget(id);
        finish(kind, &changed, planned)
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.call_client(call)?);
        // Delete the recorded object, not a recreated one with the same name.
        let id =
            PrivateData::of(&prior.private).id.or_else(|| prior.text(kind.id()).map(str::to_owned)).unwrap_or_default();
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
        let (kind, airbyte) = (Kind::of(ty)?, self.read_client()?);
        let planned = without_null_keys(&attempt.planned);
        let like = Some(&planned).filter(|planned| !planned.is_empty());
        let private_data = PrivateData::of(&attempt.private);
        // The lost call was an update or delete of our object.
        if let (Some(_), Some(prior)) = (&attempt.lost_call, &attempt.prior) {
            let id = PrivateData::of(&prior.private).id.or_else(|| prior.text(kind.id()).map(str::to_owned));
            let read = airbyte.get(kind, &id.unwrap_or_default()).await?;
            let like = like.or(Some(&prior.attributes));
            return Ok(read.map_or(Found::Absent, |read| Found::Own(recorded(kind, &read, like, &private_data))));
        }
        let attempt_text =
            |name: &str| optional_text(&attempt.identity, name).or_else(|| optional_text(&attempt.planned, name));
        let (Some(workspace), Some(name)) = (attempt_text("workspaceId"), attempt_text("name")) else {
            return Ok(Found::Unknown);
        };
        let named = airbyte.named(kind, &workspace, &name).await?;
        let Some(read) = only(kind, &name, named)? else { return Ok(Found::Absent) };
        let object = recorded(kind, &read, like, &private_data);
        let Some(lost) = &attempt.lost_call else { return Ok(Found::Foreign(object)) };
        // Objects carry no mark. The call found no object with the name before, so an object of the right age is its
        // own.
        let window = lost.window(airbyte.now().await?, CLOCK_TOLERANCE);
        let created = read.get("createdAt").and_then(Json::as_i64).and_then(|at| Timestamp::from_second(at).ok());
        Ok(match created {
            Some(created) if window.contains(&created) => Found::Own(object),
            Some(_) => Found::Foreign(object),
            None => Found::Unknown,
        })
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let (kind, airbyte) = (Kind::of(ty)?, self.read_client()?);
        let parts = object_id::split(id, 2).filter(|parts| parts.iter().all(|part| !part.is_empty()));
        let Some([workspace, id]) = parts.and_then(|parts| <[String; 2]>::try_from(parts).ok()) else {
            return Err(ProviderError::invalid(None, format!("`{id}` is not the id of a {}", kind.word())).solution(
                format!("write <workspaceId>/<{}>, copied from the address of its page in Airbyte", kind.id()),
            ));
        };
        let read = airbyte.get(kind, &id).await?.filter(|read| of(read, "workspaceId") == workspace);
        Ok(read.map(|read| recorded(kind, &read, None, &PrivateData::default())))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        if name == lookup::DEFAULTS {
            return Ok(self.defaults.answer());
        }
        lookup::answer(name, self.config()?, &self.discovery, arguments).await
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        probe_by_import(self, schema, "airbyte_source", "terrace-doctor/00000000-0000-4000-8000-000000000000")
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        rights::missing(&self.read_client()?, self.config()?.workspace.as_deref()).await
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        check::dry_run(self.config.as_ref()?, &self.discovery, Kind::of(ty).ok()?, planned)
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        match (Kind::of(ty)?, prior.text(Kind::Connection.id())) {
            (Kind::Connection, Some(id)) => connection::count(&self.read_client()?, id).await,
            _ => Ok(DataAmount::Empty),
        }
    }
}

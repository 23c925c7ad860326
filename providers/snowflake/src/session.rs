//! The session: maps calls of each type to functions.

mod batch;
pub(crate) mod private;

use crate::client::Client;
use crate::config::{Config, Variables, unconfigured};
use crate::object::{
    self, Kind, Observation, check_names, container, grant, role, role_grant, table, tag, tag_assignment, view,
};
use crate::statements::Statements;
use crate::{lookup, rights};
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use private::PrivateData;
use terrace_provider::attributes::text;
use terrace_provider::names::listed;
use terrace_provider::names::scripts::check_role;
use terrace_provider::object_id;
use terrace_provider::plan::from_schema;
use terrace_provider::provider::{Batch, DryRun, READS_AT_ONCE, probe_by_import};
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, ErrorKind, Finding, Found, Grantee, Map, MissingRight, Observed, Planned,
    PlannedChange, Private, Probe, ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session,
    Settings, Severity, Value,
};

/// Tolerance for the age of an object that a call created: clocks have a resolution of seconds.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// One configured instance: an account, a user and a role.
pub(crate) struct SnowflakeSession {
    instance: String,
    /// `None` without an account: the instance opens, but calls fail.
    client: Option<Client>,
    query_tag: String,
}

/// The identity of an object.
struct Target {
    kind: Kind,
    identity: Attributes,
}

impl Target {
    fn of(ty: &ResourceType, attributes: &Attributes) -> Result<Self, ProviderError> {
        let kind = Kind::of(ty)?;
        check_names(kind, attributes)?;
        let part = |name: &&str| ((*name).to_owned(), Value::from(text(attributes, name)));
        Ok(Self { kind, identity: kind.identity().iter().map(part).collect() })
    }

    fn recorded(ty: &ResourceType, prior: &Recorded) -> Result<Self, ProviderError> {
        Self::of(ty, if prior.identity.is_empty() { &prior.attributes } else { &prior.identity })
    }

    fn id(&self) -> String {
        let parts: Vec<String> = self.kind.identity().iter().map(|name| text(&self.identity, name)).collect();
        object_id::join(parts)
    }

    /// The attributes that derive from the identity, with its sensitive marks.
    fn computed(&self, configured: &Attributes) -> Attributes {
        let mut computed = Map::from_iter([("id".to_owned(), Value::from(self.id()))]);
        if self.kind.has_full_name() {
            computed.insert("fullName".to_owned(), object::shown(&self.identity).into());
        }
        let as_secret = |(name, value): (String, Value)| (name, value.derived_from(configured, self.kind.identity()));
        computed.into_iter().map(as_secret).collect()
    }

    async fn observe(
        &self,
        statements: &Statements<'_>,
        like: Option<&Attributes>,
    ) -> Result<Option<Observation>, ProviderError> {
        let identity = &self.identity;
        match self.kind {
            Kind::Database | Kind::Schema => container::observe(statements, self.kind, identity, like).await,
            Kind::Table => table::observe(statements, identity, like).await,
            Kind::View => view::observe(statements, identity, like).await,
            Kind::Role => role::observe(statements, identity, like).await,
            Kind::RoleGrant => role_grant::observe(statements, identity).await,
            Kind::Grant => grant::observe(statements, identity, like).await,
            Kind::Tag => tag::observe(statements, identity, like).await,
            Kind::TagAssignment => tag_assignment::observe(statements, identity).await,
        }
    }

    fn observed(&self, observation: &Observation, configured: &Attributes, private: Private) -> Observed {
        let mut attributes = self.identity.clone();
        attributes.extend(observation.attributes.clone());
        if self.kind == Kind::Grant {
            grant::leave_out(&mut attributes, &PrivateData::of(&private).preexisting, configured);
        }
        if self.kind == Kind::Table {
            let created_on = observation.created_on.map_or(Value::Null, |at| at.to_string().into());
            attributes.insert("createdOn".to_owned(), created_on);
        }
        attributes.extend(self.computed(configured));
        Observed { identity: self.identity.clone(), attributes, private }
    }

    /// The object after a create or an update.
    async fn result(
        &self,
        statements: &Statements<'_>,
        planned: &Attributes,
        private_data: PrivateData,
    ) -> Result<Observed, ProviderError> {
        let observation = self.observe(statements, Some(planned)).await;
        // The change is done: a failed read does not undo it.
        let observation = observation.map_err(|error| ProviderError { kind: ErrorKind::Ambiguous, ..error })?;
        let observation = observation.ok_or_else(|| {
            let message = format!("`{}` is not visible after its creation or change", self.id());
            ProviderError::new(ErrorKind::Ambiguous, message)
                .solution("grant the role of the instance access to its objects")
        })?;
        let private_data =
            PrivateData { created_on: observation.created_on.filter(|_| self.kind == Kind::Table), ..private_data };
        Ok(self.observed(&observation, planned, private_data.to_private()))
    }

    /// Checks that the table with this name is the recorded one, not a recreated one.
    async fn check_same(&self, statements: &Statements<'_>, private_data: &PrivateData) -> Result<(), ProviderError> {
        let Some(recorded) = private_data.created_on else { return Ok(()) };
        let now = table::created_on(statements, &self.identity).await?;
        if now.is_none_or(|now| now == recorded) {
            return Ok(());
        }
        let name = object::shown(&self.identity);
        let kind = ErrorKind::AlreadyExists { import_id: Some(self.id()) };
        Err(ProviderError::new(kind, format!("the table {name} is not the recorded one, so it stays"))
            .problem("the recorded table was dropped and recreated outside terrace")
            .solution("drop it manually if it is obsolete; to forget the recorded one, run `terrace state rm`"))
    }

    /// True if a call of this age created the object: it is not older than the call, and its owner is the instance's
    /// role.
    fn may_be_created_by(
        &self,
        statements: &Statements<'_>,
        observation: &Observation,
        planned: &Attributes,
        age: std::time::Duration,
    ) -> Option<bool> {
        if self.kind == Kind::TagAssignment {
            // Snowflake does not record when a tag was set. The same value counts as set by the call; another value has
            // another origin.
            return Some(text(&observation.attributes, "value") == text(planned, "value"));
        }
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        let began = statements.remote_now().checked_sub(age.saturating_add(SLACK)).unwrap_or(Timestamp::MIN);
        let is_own = match (&observation.owner, statements.role()) {
            (Some(owner), Some(role)) => owner == role,
            _ => true,
        };
        Some(observation.created_on? >= began && is_own)
    }
}

impl SnowflakeSession {
    pub(crate) fn open(settings: &Settings, variables: &Variables) -> Result<Self, ProviderError> {
        let config = Config::read(settings, variables)?;
        let query_tag = config.as_ref().map(|config| config.query_tag.clone()).unwrap_or_default();
        let client = config.map(Client::new).transpose()?;
        Ok(Self { instance: settings.instance.clone(), client, query_tag })
    }

    fn client(&self) -> Result<&Client, ProviderError> {
        self.client.as_ref().ok_or_else(|| unconfigured(&self.instance))
    }

    fn reading(&self, address: &str) -> Result<Statements<'_>, ProviderError> {
        Ok(Statements::reading(self.client()?, &self.query_tag, address))
    }

    fn calling(&self, call: &Call) -> Result<Statements<'_>, ProviderError> {
        Ok(Statements::of_call(self.client()?, &self.query_tag, call))
    }

    /// Finds the table of a lost update under its new name.
    async fn find_renamed(
        &self,
        ty: &ResourceType,
        attempt: &Attempt,
        statements: &Statements<'_>,
    ) -> Result<Option<(Target, Observation)>, ProviderError> {
        let identity = ty.identity_of(&attempt.planned).filter(|_| attempt.prior.is_some());
        let Some(identity) = identity.filter(|identity| *identity != attempt.identity) else { return Ok(None) };
        let renamed = Target::of(ty, &identity)?;
        let observation = renamed.observe(statements, Some(&attempt.planned)).await?;
        Ok(observation.map(|observation| (renamed, observation)))
    }

    /// Checks the source of a view if it exists.
    async fn check_source(&self, planned: &Attributes) -> Result<Vec<Finding>, ProviderError> {
        let Some(source) = view::source_of(planned) else { return Ok(Vec::new()) };
        let statements = self.reading("")?;
        let shown = crate::identifier::full_name(&source);
        let Some(names) = lookup::columns_of(&statements, &source).await? else {
            let message = format!("not checked: {shown} does not exist yet");
            let hint = "create it before this view, in the same apply or with the component that declares it";
            return Ok(vec![Finding { severity: Severity::Warning, path: None, message, hint: Some(hint.to_owned()) }]);
        };
        match view::check_columns(planned, &shown, &names) {
            Ok(()) => Ok(Vec::new()),
            Err(error) => {
                let hint = error.hint();
                let ErrorKind::InvalidInput { path } = error.kind else { return Err(error) };
                let message = format!("{}; {}", error.message, error.problems.join("; "));
                // The same apply may change the table.
                Ok(vec![Finding { severity: Severity::Warning, path, message, hint }])
            }
        }
    }
}

/// The earlier privileges, for grants.
fn preexisting_privileges(kind: Kind, observation: &Observation) -> PrivateData {
    let is_grant = matches!(kind, Kind::Grant | Kind::RoleGrant);
    PrivateData { preexisting: if is_grant { observation.privileges.clone() } else { Vec::new() }, created_on: None }
}

#[async_trait]
impl Session for SnowflakeSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let target = Target::recorded(ty, prior)?;
        let observation = target.observe(&self.reading(&prior.address)?, Some(&prior.attributes)).await?;
        Ok(observation.map(|observation| target.observed(&observation, &prior.attributes, prior.private.clone())))
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        match Kind::of(ty).ok()? {
            Kind::Table if priors.len() >= batch::MIN_BATCH => Some(Box::pin(batch::tables(self, ty, priors))),
            Kind::Grant | Kind::RoleGrant if priors.len() > 1 => Some(Box::pin(batch::grants(self, ty, priors))),
            _ => None,
        }
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let kind = Kind::of(ty)?;
        let renamed = if kind == Kind::Table { table::renamed(change) } else { None };
        let change = &ProposedChange { prior: renamed.as_ref().or(change.prior), ..change.clone() };
        let mut planned = from_schema(ty, change);
        check_names(kind, &planned.planned)?;
        let role_names: &[&str] = match kind {
            Kind::Role => &["name"],
            Kind::RoleGrant => &["role", "grantee"],
            _ => &[],
        };
        for name in role_names {
            check_role(name, &text(&planned.planned, name))?;
        }
        if ty.identity_of(&planned.planned).is_some() {
            let target = Target::of(ty, &planned.planned)?;
            let computed = target.computed(&planned.planned);
            planned.planned.extend(computed);
        }
        match kind {
            Kind::Database | Kind::Schema => container::check(&planned.planned)?,
            Kind::RoleGrant => role_grant::check(&planned.planned)?,
            Kind::Grant => grant::check(&planned.planned)?,
            Kind::Tag => tag::check(&planned.planned)?,
            Kind::TagAssignment => tag_assignment::check(&planned.planned)?,
            Kind::View => {
                let parts = ["source", "columns", "statement"];
                let is_known = |name: &str| planned.planned.get(name).is_none_or(|value| !value.has_unknown());
                if parts.iter().all(|name| is_known(name)) {
                    view::View::from_attributes(&planned.planned)?;
                    let has_warehouse = self.client.as_ref().is_none_or(|client| client.warehouse().is_some());
                    let is_changed = !change.must_replace && planned.replace_paths.is_empty() && !has_warehouse;
                    if let Some(prior) = change.prior.filter(|_| is_changed) {
                        view::check_change(&prior.attributes, &planned.planned)?;
                    }
                }
            }
            Kind::Table => {
                let recreated = change.prior.filter(|prior| PrivateData::of(&prior.private).is_recreated(prior));
                planned = table::plan(change, planned)?;
                if recreated.is_some() && planned.replace_paths.is_empty() {
                    // A recreated table is recorded by an update, so that the plan shows it.
                    planned.planned.insert("createdOn".to_owned(), Value::Unknown);
                }
            }
            Kind::Role => {}
        }
        Ok(planned)
    }

    fn check_configured(&self, _ty: &ResourceType, _attributes: &Attributes) -> Result<(), ProviderError> {
        self.client().map(drop)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let (target, statements) = (Target::of(ty, &planned.attributes)?, self.calling(call)?);
        let (attributes, id) = (&planned.attributes, target.id());
        match target.kind {
            Kind::Database | Kind::Schema => container::create(&statements, target.kind, attributes, &id).await?,
            Kind::Table => table::create(&statements, attributes, &id).await?,
            Kind::View => view::create(&statements, attributes, &id).await?,
            Kind::Role => role::create(&statements, attributes, &id).await?,
            Kind::RoleGrant => role_grant::create(&statements, attributes, &id).await?,
            Kind::Grant => grant::create(&statements, attributes, &id).await?,
            Kind::Tag => tag::create(&statements, attributes, &id).await?,
            Kind::TagAssignment => tag_assignment::create(&statements, attributes, &id).await?,
        }
        target.result(&statements, attributes, PrivateData::default()).await
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let (target, statements) = (Target::recorded(ty, prior)?, self.calling(call)?);
        let attributes = &planned.attributes;
        let private_data = PrivateData::of(&prior.private);
        if target.kind == Kind::Table {
            if private_data.is_recreated(prior) {
                call.progress.message(&format!(
                    "the table {} was dropped and recreated outside terrace: its previous content is gone",
                    object::shown(&target.identity)
                ));
            }
            let mut before = prior.attributes.clone();
            before.extend(target.identity.clone());
            table::update(&statements, &before, attributes).await?;
            // The update may have renamed the table.
            return Target::of(ty, attributes)?.result(&statements, attributes, private_data).await;
        }
        let present = target.observe(&statements, Some(attributes)).await?.ok_or_else(|| {
            ProviderError::new(ErrorKind::NotFound, format!("`{}` no longer exists", target.id()))
                .solution("plan again: the plan will create it")
        })?;
        // With the present comment, even if it is unmanaged.
        let full = target.observe(&statements, None).await?.unwrap_or_else(|| present.clone());
        match target.kind {
            Kind::Database | Kind::Schema => {
                container::update(&statements, target.kind, &full, &prior.attributes, attributes).await?;
            }
            Kind::View => {
                let comment = full.attributes.get("comment").cloned().unwrap_or_default();
                let present = present.with("comment", comment);
                view::update(&statements, &present, &prior.attributes, attributes).await?;
            }
            Kind::Role => role::update(&statements, &full, &prior.attributes, attributes).await?,
            Kind::Grant => grant::update(&statements, &full, attributes, &private_data.preexisting).await?,
            Kind::Tag => tag::update(&statements, &full, &prior.attributes, attributes).await?,
            Kind::TagAssignment => tag_assignment::set(&statements, attributes).await?,
            Kind::Table | Kind::RoleGrant => {
                return Err(ProviderError::bug(format!("a {} cannot be updated", ty.name)));
            }
        }
        let mut result = target.result(&statements, attributes, private_data).await?;
        let is_other = result.attributes.get("retentionDays") != attributes.get("retentionDays");
        if is_other && attributes.get("retentionDays") == prior.attributes.get("retentionDays") {
            // A schema follows its database, which the same apply may change; the next read shows the result.
            result.attributes.shift_remove("retentionDays");
        }
        Ok(result)
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (target, statements) = (Target::recorded(ty, prior)?, self.calling(call)?);
        let private_data = PrivateData::of(&prior.private);
        if target.kind == Kind::Table {
            target.check_same(&statements, &private_data).await?;
        }
        let (identity, preexisting_privileges) = (&target.identity, private_data.preexisting);
        match target.kind {
            Kind::Database | Kind::Schema => {
                container::delete(&statements, target.kind, identity, call.removes_data).await
            }
            Kind::Table => table::delete(&statements, identity).await,
            Kind::View => view::delete(&statements, identity).await,
            Kind::Role => role::delete(&statements, identity).await,
            Kind::RoleGrant if !preexisting_privileges.is_empty() => {
                call.progress.message("it was granted before terrace adopted it, so it stays");
                Ok(())
            }
            Kind::RoleGrant => role_grant::delete(&statements, identity).await,
            Kind::Grant => {
                if !preexisting_privileges.is_empty() {
                    let names = listed(&preexisting_privileges);
                    call.progress.message(&format!("{names} was granted before terrace adopted it, so it stays"));
                }
                grant::delete(&statements, identity, &preexisting_privileges).await
            }
            Kind::Tag => tag::delete(&statements, identity).await,
            Kind::TagAssignment => tag_assignment::delete(&statements, identity).await,
        }
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let identity = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&attempt.planned));
        let Some(identity) = identity else { return Ok(Found::Unknown) };
        let (target, statements) = (Target::of(ty, &identity)?, self.reading(&attempt.address)?);
        let (target, observation) = match target.observe(&statements, Some(&attempt.planned)).await? {
            Some(observation) => (target, observation),
            None => match self.find_renamed(ty, attempt, &statements).await? {
                Some(found) => found,
                None => return Ok(Found::Absent),
            },
        };
        let created_on = observation.created_on.filter(|_| target.kind == Kind::Table);
        Ok(match (&attempt.lost_call, &attempt.prior) {
            // Without a lost call, the object existed before.
            (None, _) => {
                let private_data = PrivateData { created_on, ..preexisting_privileges(target.kind, &observation) };
                Found::Foreign(target.observed(&observation, &attempt.planned, private_data.to_private()))
            }
            // The lost call was to change or delete the recorded object.
            (Some(_), Some(prior))
                if target.kind == Kind::Table
                    && table::is_outcome_invisible(&prior.attributes, &attempt.planned, &observation.attributes) =>
            {
                Found::Unknown
            }
            (Some(_), Some(prior)) => {
                let private_data = PrivateData { created_on, ..PrivateData::of(&prior.private) };
                Found::Own(target.observed(&observation, &attempt.planned, private_data.to_private()))
            }
            (Some(lost), None) => {
                let private_data = PrivateData { created_on, preexisting: Vec::new() };
                let observed = target.observed(&observation, &attempt.planned, private_data.to_private());
                match target.may_be_created_by(&statements, &observation, &attempt.planned, lost.age) {
                    Some(true) => Found::Own(observed),
                    Some(false) => Found::Foreign(observed),
                    None => Found::Unknown,
                }
            }
        })
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let kind = Kind::of(ty)?;
        let Some(parts) = object_id::split(id, kind.identity().len()) else {
            return Err(ProviderError::invalid(None, format!("`{id}` is not an id of a {}", ty.name)).solution(
                format!(
                    "write {}, each percent-encoded where it holds a `/` or a `%`",
                    kind.identity().iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join("/")
                ),
            ));
        };
        let parts = parts.into_iter().map(Value::from);
        let identity: Attributes = kind.identity().iter().map(|name| (*name).to_owned()).zip(parts).collect();
        let (target, statements) = (Target::of(ty, &identity)?, self.reading("")?);
        let observation = target.observe(&statements, None).await?;
        Ok(observation.map(|observation| {
            let created_on = observation.created_on.filter(|_| kind == Kind::Table);
            let private_data = PrivateData { created_on, ..preexisting_privileges(kind, &observation) };
            target.observed(&observation, &Attributes::default(), private_data.to_private())
        }))
    }

    async fn grantees(&self, ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        let statements = &self.reading("")?;
        // The instance's role has the roles that it creates.
        let own = rights::current_role(statements).await?;
        let of_role = |role: String| async move {
            let rows = statements.read_optional(&role_grant::show_statement(&role)).await?;
            Ok::<_, ProviderError>(rows.map(|rows| role_grant::all_of_rows(&rows, &role)).unwrap_or_default())
        };
        let roles: Vec<_> = accesses.iter().map(|access| of_role(text(access, "role"))).collect();
        let roles: Vec<_> = futures_util::stream::iter(roles).buffered(READS_AT_ONCE).try_collect().await?;
        let mut grantees = Vec::new();
        for (identity, observation) in roles.into_iter().flatten() {
            let (kind, name) = (text(&identity, "granteeType"), text(&identity, "grantee"));
            if kind == "role" && own.as_ref() == Some(&name) {
                continue;
            }
            let target = Target::of(ty, &identity)?;
            let grant = target.observed(&observation, &identity, Private::default());
            let (principal, privilege) = (format!("{kind} {name}"), format!("role {}", text(&identity, "role")));
            grantees.push(Grantee { principal, privilege, grant });
        }
        Ok(grantees)
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        lookup::answer(name, &self.reading("")?, arguments).await
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let is_view = ty.name == "snowflake_view" && self.client.is_some();
        let is_known =
            ["source", "columns"].iter().all(|name| planned.get(*name).is_none_or(|value| !value.has_unknown()));
        if !is_view || !is_known {
            return None;
        }
        Some(Box::pin(async move {
            self.check_source(planned).await.unwrap_or_else(|error| {
                let message = format!("not checked: {error}");
                vec![Finding { severity: Severity::Warning, path: None, message, hint: error.hint() }]
            })
        }))
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        probe_by_import(self, schema, "snowflake_database", "TERRACE_DOCTOR")
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        rights::missing(&self.reading("")?).await
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let (target, statements) = (Target::recorded(ty, prior)?, self.reading(&prior.address)?);
        match target.kind {
            Kind::Table => table::count_rows(&statements, &target.identity).await,
            Kind::Database | Kind::Schema => container::count(&statements, target.kind, &target.identity).await,
            _ => Ok(DataAmount::Empty),
        }
    }
}

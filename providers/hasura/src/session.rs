//! The session: maps calls of each type to functions.

use crate::attributes::is_given;
use crate::config::{Config, SnowflakeDefaults, Variables, unconfigured, without_mapper};
use crate::engine::Engine;
use crate::export::Export;
use crate::mapper::{Mapper, MembersAnswer};
use crate::private_data::PrivateData;
use crate::resources::source::Desired;
use crate::resources::{Kind, Target, binding, check_names, permission, role, source, table};
use async_trait::async_trait;
use secrecy::SecretString;
use std::time::Duration;
use terrace_provider::http::{Client, Options};
use terrace_provider::names::scripts::check_role;
use terrace_provider::plan::from_schema;
use terrace_provider::provider::{Batch, DryRun, probe_by_import};
use terrace_provider::{
    Attempt, Attributes, Call, ErrorKind, Finding, Found, MissingRight, Observed, Planned, PlannedChange, Private,
    Probe, ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Settings, Severity, Value,
};

/// One configured instance: a Hasura and its role mapper.
pub(crate) struct HasuraSession {
    instance: String,
    /// `None` without a URL of Hasura: the instance opens, but calls fail.
    engine: Option<Engine>,
    mapper: Option<Mapper>,
    defaults: SnowflakeDefaults,
}

/// An object as Hasura or the role mapper returns it.
struct Observation {
    attributes: Attributes,
    private: Private,
    /// True if it matches the plan.
    is_as_planned: bool,
}

impl HasuraSession {
    pub(crate) fn open(
        settings: &Settings,
        variables: &Variables,
        export_max_age: Duration,
    ) -> Result<Self, ProviderError> {
        let defaults = SnowflakeDefaults::of(settings, variables);
        let instance = settings.instance.clone();
        let Some(config) = Config::read(settings, variables)? else {
            return Ok(Self { instance, engine: None, mapper: None, defaults });
        };
        let (ca_file, allow_plain_http) = (config.ca_file.clone(), config.allow_plain_http);
        let options = Options { ca_file, allow_plain_http, timeout: config.timeout, ..Options::default() };
        let client = Client::new(options)?;
        let secrets: Vec<SecretString> = defaults.get("password").map(SecretString::from).into_iter().collect();
        let engine = Engine::new(&client, &config, export_max_age, secrets);
        let mapper = config.mapper.as_ref().map(|mapper| {
            let (ca_file, allow_plain_http) = (config.ca_file.clone(), config.allow_plain_http);
            let options = Options { ca_file, allow_plain_http, timeout: mapper.timeout, ..Options::default() };
            Ok::<_, ProviderError>(Mapper::new(&Client::new(options)?, mapper, Vec::new()))
        });
        Ok(Self { instance, engine: Some(engine), mapper: mapper.transpose()?, defaults })
    }

    fn engine(&self) -> Result<&Engine, ProviderError> {
        self.engine.as_ref().ok_or_else(|| unconfigured(&self.instance))
    }

    fn mapper(&self) -> Result<&Mapper, ProviderError> {
        self.engine()?;
        self.mapper.as_ref().ok_or_else(|| without_mapper(&self.instance))
    }

    /// The object in the metadata.
    fn observe_in(
        &self,
        export: &Export,
        target: &Target,
        like: Option<&Attributes>,
        private: &Private,
    ) -> Result<Option<Observation>, ProviderError> {
        let planned = like.cloned().unwrap_or_default();
        Ok(match target.kind {
            Kind::Source => match export.source(&target.part("name")) {
                None => None,
                Some(source) => {
                    let desired = Desired::of(&planned, &self.defaults).ok().flatten();
                    let has_secrets = ["password", "privateKey", "secretConfiguration"];
                    let has_secrets = has_secrets.iter().any(|name| is_given(&planned, name));
                    let is_as_planned =
                        desired.as_ref().is_some_and(|desired| source::matches_plan(source, desired, &planned))
                            || !has_secrets && source::matches_visible_plan(source, &planned, &self.defaults);
                    let of_plan = || desired.map_or_else(|| source::secrets_of(source), |desired| desired.secrets);
                    let secrets = PrivateData::of(private).secrets.unwrap_or_else(of_plan);
                    let mut attributes = source::present(source, like, &secrets, &self.defaults);
                    attributes.insert("endpoint".to_owned(), self.engine()?.endpoint().into());
                    // A read has no secrets for a comparison; the plan compares them.
                    attributes.insert("isAsConfigured".to_owned(), true.into());
                    Some(Observation { attributes, private: PrivateData::with(secrets).to_private(), is_as_planned })
                }
            },
            Kind::Table => export.table(&target.part("source"), &target.table()).map(|table| {
                let mut attributes = table::present(table, like);
                let version = planned.get("resourceVersion").filter(|version| !version.is_unknown());
                attributes.insert("resourceVersion".to_owned(), version.cloned().unwrap_or_default());
                Observation {
                    attributes,
                    private: private.clone(),
                    is_as_planned: table::matches_plan(table, &planned),
                }
            }),
            Kind::SelectPermission => {
                let role = target.part("role");
                let table = export.table(&target.part("source"), &target.table());
                let found =
                    table.and_then(|table| table.select_permissions.iter().find(|permission| permission.role == role));
                found.map(|found| Observation {
                    attributes: permission::present(found, like),
                    private: private.clone(),
                    is_as_planned: permission::matches_plan(found, &planned),
                })
            }
            Kind::Role | Kind::RoleBinding => return Err(ProviderError::bug("roles are not metadata")),
        })
    }

    /// The present object; from a recent export unless `is_now`.
    async fn observe(
        &self,
        target: &Target,
        like: Option<&Attributes>,
        private: &Private,
        is_now: bool,
    ) -> Result<Option<Observation>, ProviderError> {
        let planned = like.cloned().unwrap_or_default();
        let observation =
            |attributes, is_as_planned| Observation { attributes, private: private.clone(), is_as_planned };
        match target.kind {
            Kind::Role => {
                let role = self.mapper()?.role(&target.part("roleId")).await?;
                Ok(role.map(|found| observation(role::present(&found, like), role::matches_plan(&found, &planned))))
            }
            Kind::RoleBinding => Ok(match self.mapper()?.members(&target.part("roleId")).await? {
                MembersAnswer::NoRole => None,
                // The members are not readable: the row stays.
                MembersAnswer::Unreadable => Some(observation(Attributes::default(), false)),
                MembersAnswer::Members(members) if members.is_empty() && !binding::matches_plan(&members, &planned) => {
                    None
                }
                MembersAnswer::Members(members) if members.is_empty() && like.is_none() => None,
                MembersAnswer::Members(members) => {
                    Some(observation(binding::present(&members, like), binding::may_result_from(&members, &planned)))
                }
            }),
            _ => {
                let engine = self.engine()?;
                let export = if is_now { engine.export_now().await? } else { engine.export().await? };
                self.observe_in(&export, target, like, private)
            }
        }
    }

    /// True if Hasura has the planned connection, or cannot answer.
    async fn is_as_configured(&self, planned: &Attributes, desired: &Desired) -> bool {
        let Some(engine) = &self.engine else { return true };
        let Ok(export) = engine.export().await else { return true };
        let name = planned.get("name").and_then(Value::as_str).unwrap_or_default();
        export.source(name).is_none_or(|source| source::matches_plan(source, desired, planned))
    }

    /// True if a permission names the role.
    async fn is_in_use(&self, role: &str) -> Result<bool, ProviderError> {
        let export = self.engine()?.export().await?;
        let tables = export.sources().iter().flat_map(|source| &source.tables);
        Ok(tables.flat_map(|table| &table.select_permissions).any(|permission| permission.role == role))
    }

    /// The object after a create or an update.
    fn result(
        &self,
        export: &Export,
        target: &Target,
        planned: &Attributes,
        private: &Private,
    ) -> Result<Observed, ProviderError> {
        let current = self.observe_in(export, target, Some(planned), private)?;
        let current = current.ok_or_else(|| {
            // Another owner removed it after the change.
            ProviderError::new(
                ErrorKind::Ambiguous,
                format!("`{}` is missing after its creation or change", target.id()),
            )
        })?;
        let mut observed = target.observed(current.attributes, planned, current.private);
        if target.kind == Kind::Table {
            observed.attributes.insert("resourceVersion".to_owned(), export.version.into());
        }
        Ok(observed)
    }

    /// A role or its members after a write.
    async fn mapper_result(&self, target: &Target, planned: &Attributes) -> Result<Observed, ProviderError> {
        let current = self.observe(target, Some(planned), &Private::default(), true).await;
        let current = current.map_err(|error| ProviderError { kind: ErrorKind::Ambiguous, ..error })?;
        let attributes = current.map(|current| current.attributes).unwrap_or_default();
        Ok(target.observed(attributes, planned, Private::default()))
    }

    /// Errors and notes about a planned source, table or role binding.
    async fn findings(&self, target: &Target, planned: &Attributes) -> Result<Vec<Finding>, ProviderError> {
        match target.kind {
            Kind::Source => Desired::known(planned, &self.defaults).map(|_| Vec::new()),
            Kind::Table => match table::validate(self.engine()?, target, planned).await? {
                true => Ok(Vec::new()),
                false => {
                    let message = format!("not checked: the source `{}` does not exist yet", target.part("source"));
                    let hint = "create it before this table, for example in the same apply".to_owned();
                    let path = Some(terrace_provider::Path::attribute("source"));
                    Ok(vec![Finding { severity: Severity::Note, path, message, hint: Some(hint) }])
                }
            },
            Kind::RoleBinding => match self.mapper()?.members(&target.part("roleId")).await? {
                MembersAnswer::Unreadable => {
                    let message = "the members of this role are not readable: this role mapper does not return them";
                    let hint = "all other members lose the role; later changes are not detected";
                    Ok(vec![Finding {
                        severity: Severity::Note,
                        path: None,
                        message: message.to_owned(),
                        hint: Some(hint.to_owned()),
                    }])
                }
                _ => Ok(Vec::new()),
            },
            Kind::SelectPermission | Kind::Role => Ok(Vec::new()),
        }
    }
}

/// An error about planned values as a finding; any other error only means that the check failed.
fn finding(error: ProviderError) -> Finding {
    let hint = error.hint();
    let more = error.problems.iter().map(|problem| format!("; {problem}")).collect::<String>();
    match error.kind {
        ErrorKind::InvalidInput { .. } | ErrorKind::NotConfigured => {
            let path = if let ErrorKind::InvalidInput { path } = error.kind { path } else { None };
            Finding { severity: Severity::Error, path, message: format!("{}{more}", error.message), hint }
        }
        _ => Finding {
            severity: Severity::Warning,
            path: None,
            message: format!("not checked: {}", error.message),
            hint,
        },
    }
}

#[async_trait]
impl Session for HasuraSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let target = Target::recorded(ty, prior)?;
        let current = self.observe(&target, Some(&prior.attributes), &prior.private, false).await?;
        Ok(current.map(|current| target.observed(current.attributes, &prior.attributes, current.private)))
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        matches!(Kind::of(ty).ok()?, Kind::Source | Kind::Table | Kind::SelectPermission).then(|| {
            Box::pin(async move {
                let mut answers = Vec::with_capacity(priors.len());
                for prior in priors {
                    // All reads but the first use the same export.
                    answers.push(self.read(ty, prior).await);
                }
                answers
            }) as Batch<'a>
        })
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let kind = Kind::of(ty)?;
        let mut planned = from_schema(ty, change);
        let values = &mut planned.planned;
        check_names(kind, values)?;
        if let Some(role) = values.get("roleId").and_then(Value::as_str) {
            check_role("roleId", role)?;
        }
        match kind {
            Kind::Source => source::check(values, &self.defaults)?,
            Kind::Table => table::check(values)?,
            Kind::SelectPermission => permission::check(values)?,
            Kind::Role => role::check(values)?,
            Kind::RoleBinding => binding::check(values)?,
        }
        if ty.identity_of(values).is_some() {
            let id = Target::of(ty, values)?.id_value(values);
            values.insert("id".to_owned(), id);
        }
        if kind == Kind::Source {
            if let Some(engine) = &self.engine {
                values.insert("endpoint".to_owned(), engine.endpoint().into());
            }
            let is_kept = change.prior.is_some() && !change.must_replace && planned.replace_paths.is_empty();
            if let (true, Some(desired)) = (is_kept, Desired::of(values, &self.defaults)?) {
                let is_as_configured = self.is_as_configured(values, &desired).await;
                values.insert("isAsConfigured".to_owned(), if is_as_configured { true.into() } else { Value::Unknown });
            }
        }
        Ok(planned)
    }

    fn check_configured(&self, ty: &ResourceType, _attributes: &Attributes) -> Result<(), ProviderError> {
        match Kind::of(ty)? {
            Kind::Source | Kind::Table | Kind::SelectPermission => self.engine().map(drop),
            Kind::Role | Kind::RoleBinding => self.mapper().map(drop),
        }
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let (attributes, target) = (&planned.attributes, Target::of(ty, &planned.attributes)?);
        let none = Private::default();
        match target.kind {
            Kind::Source => {
                let desired = Desired::known(attributes, &self.defaults)?;
                let export = source::create(self.engine()?, &target, call, attributes, &desired).await?;
                self.result(&export, &target, attributes, &PrivateData::with(desired.secrets).to_private())
            }
            Kind::Table => {
                let export = table::create(self.engine()?, &target, call, attributes).await?;
                self.result(&export, &target, attributes, &none)
            }
            Kind::SelectPermission => {
                let export = permission::create(self.engine()?, &target, call, attributes).await?;
                self.result(&export, &target, attributes, &none)
            }
            Kind::Role => {
                role::create(self.mapper()?, &target, call, attributes).await?;
                self.mapper_result(&target, attributes).await
            }
            Kind::RoleBinding => {
                binding::create(self.mapper()?, &target, call, attributes).await?;
                self.mapper_result(&target, attributes).await
            }
        }
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let (target, attributes) = (Target::recorded(ty, prior)?, &planned.attributes);
        let before = &prior.attributes;
        match target.kind {
            Kind::Source => {
                let desired = Desired::known(attributes, &self.defaults)?;
                let export = source::update(self.engine()?, &target, call, before, attributes, &desired).await?;
                self.result(&export, &target, attributes, &PrivateData::with(desired.secrets).to_private())
            }
            Kind::Table => {
                let export = table::update(self.engine()?, &target, call, before, attributes).await?;
                self.result(&export, &target, attributes, &prior.private)
            }
            Kind::SelectPermission => {
                let export = permission::update(self.engine()?, &target, call, attributes).await?;
                self.result(&export, &target, attributes, &prior.private)
            }
            Kind::Role => {
                role::update(self.mapper()?, &target, call, attributes).await?;
                self.mapper_result(&target, attributes).await
            }
            Kind::RoleBinding => {
                binding::update(self.mapper()?, &target, call, before, attributes).await?;
                self.mapper_result(&target, attributes).await
            }
        }
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let target = Target::recorded(ty, prior)?;
        match target.kind {
            Kind::Source => source::delete(self.engine()?, &target, call).await,
            Kind::Table => table::delete(self.engine()?, &target, call).await,
            Kind::SelectPermission => permission::delete(self.engine()?, &target, call).await,
            Kind::Role => role::delete(self.mapper()?, &target, call).await,
            Kind::RoleBinding => binding::delete(self.mapper()?, &target, call, &prior.attributes).await,
        }
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let identity = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&attempt.planned));
        let Some(identity) = identity else { return Ok(Found::Unknown) };
        let target = Target::of(ty, &identity)?;
        let private = attempt.prior.as_ref().map(|prior| prior.private.clone()).unwrap_or_default();
        let is_lost = attempt.lost_call.is_some();
        if target.kind == Kind::RoleBinding
            && self.mapper()?.members(&target.part("roleId")).await? == MembersAnswer::Unreadable
        {
            // The members are not readable. Writes replace both lists, so a repeated write is safe.
            return Ok(match &attempt.prior {
                Some(prior) => Found::Own(target.observed(prior.attributes.clone(), &prior.attributes, private)),
                None => Found::Absent,
            });
        }
        // A lost delete has no plan.
        let recorded = attempt.prior.as_ref().filter(|_| attempt.planned.is_empty());
        let like = recorded.map_or(&attempt.planned, |prior| &prior.attributes);
        let current = self.observe(&target, Some(like), &private, is_lost).await?;
        let Some(current) = current else { return Ok(Found::Absent) };
        let mut observed = target.observed(current.attributes, like, current.private);
        if target.kind == Kind::Role && !is_lost && !observed.attributes.contains_key("rootFields") {
            // Its root fields are not readable. A role in permissions is in use, so its creator wrote them. A leftover
            // role has none.
            let fields = attempt.planned.get("rootFields").filter(|_| attempt.prior.is_none());
            if let (Some(fields), true) = (fields, self.is_in_use(&target.part("roleId")).await?) {
                observed.attributes.insert("rootFields".to_owned(), fields.clone());
            }
        }
        Ok(match (is_lost, &attempt.prior) {
            (true, Some(_)) => Found::Own(observed),
            // Objects have no marks. An object that matches the plan counts as created by it.
            (true, None) if current.is_as_planned => Found::Own(observed),
            _ => Found::Foreign(observed),
        })
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let target = Target::of_id(ty, id)?;
        let current = self.observe(&target, None, &Private::default(), true).await?;
        Ok(current.map(|current| target.observed(current.attributes, &Attributes::default(), current.private)))
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        probe_by_import(self, schema, "hasura_source", "terrace-doctor")
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        let engine = self.engine()?;
        if let Some(mapper) = &self.mapper {
            mapper.check().await?;
        }
        let open = MissingRight {
            operation: "refuse anonymous requests".to_owned(),
            statement: "HASURA_GRAPHQL_AUTH_HOOK=<the role mapper>/v1/authenticate".to_owned(),
        };
        Ok(Some(if engine.allows_anonymous().await? { vec![open] } else { Vec::new() }))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let kind = Kind::of(ty).ok()?;
        let is_checkable = self.engine.is_some() && (self.mapper.is_some() || kind != Kind::RoleBinding);
        let is_known = ty.identity_of(planned).is_some()
            && ["connection", "configuration", "rootFields"]
                .iter()
                .all(|it| !planned.get(*it).is_some_and(Value::has_unknown));
        if !is_checkable || !is_known || matches!(kind, Kind::SelectPermission | Kind::Role) {
            return None;
        }
        Some(Box::pin(async move {
            let found = match Target::of(ty, planned) {
                Ok(target) => self.findings(&target, planned).await,
                Err(error) => Err(error),
            };
            found.unwrap_or_else(|error| vec![finding(error)])
        }))
    }
}

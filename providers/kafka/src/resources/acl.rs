//! `kafka_acl`: one entry of an access control list. Every attribute is part of its identity, so entries are never
//! updated.

use super::{Instance, MAX_READ_BATCH};
use crate::admin::{Binding, Filter};
use crate::attributes::text;
use crate::failure::RequestContext;
use crate::object_id;
use crate::polling::until_visible;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use terrace_provider::names::scripts::check_principal;
use terrace_provider::plan::from_schema;
use terrace_provider::schema::Timeouts;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, ErrorKind, Found, Grantee, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Value,
};

/// Name of the resource type.
pub(crate) const NAME: &str = "kafka_acl";

/// The identity of an entry: all attributes.
const IDENTITY: &[&str] =
    &["resourceType", "resourceName", "patternType", "principal", "host", "operation", "permission"];

/// Kafka's constants with their numbers (`org.apache.kafka.common.resource.ResourceType` and so on).
type Constants = &'static [(&'static str, i8)];
const RESOURCE_TYPES: Constants =
    &[("TOPIC", 2), ("GROUP", 3), ("CLUSTER", 4), ("TRANSACTIONAL_ID", 5), ("DELEGATION_TOKEN", 6), ("USER", 7)];
const PATTERN_TYPES: Constants = &[("LITERAL", 3), ("PREFIXED", 4)];
const OPERATIONS: Constants = &[
    ("ALL", 2),
    ("READ", 3),
    ("WRITE", 4),
    ("CREATE", 5),
    ("DELETE", 6),
    ("ALTER", 7),
    ("DESCRIBE", 8),
    ("CLUSTER_ACTION", 9),
    ("DESCRIBE_CONFIGS", 10),
    ("ALTER_CONFIGS", 11),
    ("IDEMPOTENT_WRITE", 12),
    ("CREATE_TOKENS", 13),
    ("DESCRIBE_TOKENS", 14),
    ("TWO_PHASE_COMMIT", 15),
];
const PERMISSIONS: Constants = &[("DENY", 2), ("ALLOW", 3)];
/// The attributes with such constants as values.
const CONSTANT_ATTRIBUTES: [(&str, Constants); 4] = [
    ("resourceType", RESOURCE_TYPES),
    ("patternType", PATTERN_TYPES),
    ("operation", OPERATIONS),
    ("permission", PERMISSIONS),
];
/// The name of the cluster in an entry.
const CLUSTER: &str = "kafka-cluster";

/// Up to this number of resources, each has its own request. Above it, one request reads all entries of the cluster.
const MAX_SINGLE_READS: usize = 8;

/// Private bytes of an entry that existed before terrace: it is kept when its row is removed.
const PREEXISTING: &[u8] = b"preexisting";

/// The resource type.
pub(crate) fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let attributes = Object(vec![
        text("resourceType", "`TOPIC`, `GROUP`, `CLUSTER`, `TRANSACTIONAL_ID`, `DELEGATION_TOKEN` or `USER`.")
            .required()
            .replaces(),
        text("resourceName", "Name or prefix. `*` means any; a cluster is `kafka-cluster`.").required().replaces(),
        text("patternType", "`LITERAL`: full name; `PREFIXED`: prefix.").default_value("LITERAL").replaces(),
        text("principal", "Principal, such as `User:ada`; `User:*` means every user.").required().replaces(),
        text("host", "Client address; `*` means any.").default_value("*").replaces(),
        text("operation", "Operation, such as `READ`, `WRITE`, `DESCRIBE` or `ALL`.").required().replaces(),
        text("permission", "`ALLOW` or `DENY`.").default_value("ALLOW").replaces(),
        text("id", "Id for `terrace import`: all identifying attributes.").stable(),
    ]);
    let wait = Duration::from_secs(60);
    ResourceType {
        updatable: false,
        // A replacement grants access before the old entry is removed, so that principals never lose it in between.
        can_coexist: true,
        reads_at_once: MAX_READ_BATCH,
        grantee: &["principal", "host"],
        is_adopted: |_, private| private.0 == PREEXISTING,
        timeouts: Timeouts { create: wait, update: wait, delete: wait, ..Timeouts::default() },
        ..ResourceType::new(NAME, "An entry of an access control list.", IDENTITY, attributes)
    }
}

/// Plans from the schema.
///
/// # Errors
/// If the configuration is not a valid entry.
pub(crate) fn plan(ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
    let mut planned = from_schema(ty, change);
    check(&planned.planned)?;
    if let Some(parts) = parts(&planned.planned) {
        let id = Value::from(object_id::join(parts)).derived_from(&planned.planned, IDENTITY);
        planned.planned.insert("id".to_owned(), id);
    }
    Ok(planned)
}

fn check(planned: &Attributes) -> Result<(), ProviderError> {
    let given = |name: &str| planned.get(name).and_then(Value::as_str);
    if let Some(principal) = given("principal") {
        check_principal("principal", principal)?;
    }
    let invalid = |name: &str, message: String, hint: String| {
        Err(ProviderError::invalid(Some(Path::attribute(name)), message).solution(hint))
    };
    for (name, words) in CONSTANT_ATTRIBUTES {
        if let Some(word) = given(name).filter(|word| !words.iter().any(|(known, _)| known == word)) {
            let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            return invalid(name, format!("`{word}` is not a valid `{name}`"), format!("write one of {known}"));
        }
    }
    if let Some(principal) = given("principal")
        && !principal.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty())
    {
        let hint = "add the principal type, as in `User:ada`".to_owned();
        return invalid("principal", format!("`{principal}` is not a principal"), hint);
    }
    for name in ["resourceName", "host"] {
        if given(name).is_some_and(str::is_empty) {
            return invalid(name, format!("`{name}` is empty"), "write `*` for any".to_owned());
        }
    }
    if given("resourceType") == Some("CLUSTER") && given("resourceName").is_some_and(|name| name != CLUSTER) {
        return invalid(
            "resourceName",
            "this is not the name of a cluster in an entry".to_owned(),
            format!("write `{CLUSTER}`"),
        );
    }
    Ok(())
}

fn parts(attributes: &Attributes) -> Option<Vec<&str>> {
    IDENTITY.iter().map(|name| attributes.get(*name).and_then(Value::as_str)).collect()
}

/// Converts attributes into an entry.
fn binding(attributes: &Attributes) -> Result<Binding, ProviderError> {
    let word = |name: &str, words: Constants| {
        let word = text(attributes, name)?;
        let number = words.iter().find_map(|(known, number)| (*known == word).then_some(*number));
        number.ok_or_else(|| ProviderError::bug(format!("a call with `{word}` as `{name}`")))
    };
    Ok(Binding {
        resource_type: word("resourceType", RESOURCE_TYPES)?,
        resource_name: text(attributes, "resourceName")?.to_owned(),
        pattern_type: word("patternType", PATTERN_TYPES)?,
        principal: text(attributes, "principal")?.to_owned(),
        host: text(attributes, "host")?.to_owned(),
        operation: word("operation", OPERATIONS)?,
        permission: word("permission", PERMISSIONS)?,
    })
}

fn observed(attributes: &Attributes, private: Private) -> Observed {
    let named = IDENTITY.iter().filter_map(|name| Some(((*name).to_owned(), attributes.get(*name)?.clone())));
    let identity: Attributes = named.collect();
    let mut all = identity.clone();
    if let Some(parts) = parts(&identity) {
        all.insert("id".to_owned(), Value::from(object_id::join(parts)).derived_from(attributes, IDENTITY));
    }
    Observed { identity, attributes: all, private }
}

impl Instance {
    fn access_context(&self, changes: bool, action: &str, binding: &Binding) -> RequestContext<'_> {
        let operation = if changes { "Alter" } else { "Describe" };
        let action = format!("{action} of `{}` to `{}`", binding.principal, binding.resource_name);
        self.request_context(changes, action, format!("--operation {operation} --cluster"))
    }

    async fn has(&self, binding: &Binding) -> Result<bool, ProviderError> {
        let found = self.admin.acls(&Filter::Exactly(binding)).await;
        let found = found.map_err(|failure| self.access_context(false, "look up access", binding).failed(failure))?;
        Ok(found.contains(binding))
    }
}

/// Reads one entry.
pub(crate) async fn read(instance: &Instance, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
    let binding = binding(&prior.attributes)?;
    let exists = instance.has(&binding).await?;
    Ok(exists.then(|| observed(&prior.attributes, prior.private.clone())))
}

/// Reads many entries: one request for all, or one per resource if there are few resources.
pub(crate) async fn read_all(instance: &Instance, priors: &[Recorded]) -> Vec<Result<Option<Observed>, ProviderError>> {
    let known: Vec<Binding> = priors.iter().filter_map(|prior| binding(&prior.attributes).ok()).collect();
    let all = match entries_of_resources(instance, known.iter()).await {
        Ok(all) => all,
        Err(error) => return priors.iter().map(|_| Err(error.clone())).collect(),
    };
    let one = |prior: &Recorded| {
        let exists = all.contains(&binding(&prior.attributes)?);
        Ok(exists.then(|| observed(&prior.attributes, prior.private.clone())))
    };
    priors.iter().map(one).collect()
}

/// Returns all entries about the resources of these entries, and perhaps others.
async fn entries_of_resources(
    instance: &Instance,
    known: impl Iterator<Item = &Binding>,
) -> Result<HashSet<Binding>, ProviderError> {
    let by_resource: HashMap<_, _> =
        known.map(|it| ((it.resource_type, &it.resource_name, it.pattern_type), it)).collect();
    let filters: Vec<Filter<'_>> = match by_resource.len() <= MAX_SINGLE_READS {
        true => by_resource.into_values().map(Filter::About).collect(),
        false => vec![Filter::All],
    };
    let mut all = HashSet::new();
    for filter in filters {
        let right = "--operation Describe --cluster".to_owned();
        let context = instance.request_context(false, "look up access".to_owned(), right);
        all.extend(instance.admin.acls(&filter).await.map_err(|failure| context.failed(failure))?);
    }
    Ok(all)
}

/// Returns the principals that hold the rights of these accesses. Only entries about the same resource count: wider
/// entries (prefixes, `*`) are ignored.
pub(crate) async fn grantees(instance: &Instance, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
    let generalize = |access: &Attributes| {
        let any_grantee = [("principal", "User:*"), ("host", "*")].map(|(name, value)| (name.to_owned(), value.into()));
        binding(&access.clone().into_iter().chain(any_grantee).collect())
    };
    let rights = accesses.iter().map(generalize).collect::<Result<HashSet<Binding>, _>>()?;
    let has_right = |entry: &Binding| {
        let generalized = Binding { principal: "User:*".to_owned(), host: "*".to_owned(), ..entry.clone() };
        rights.contains(&generalized) && Some(&entry.principal) != instance.principal.as_ref()
    };
    let mut grantees: Vec<Grantee> = entries_of_resources(instance, rights.iter())
        .await?
        .iter()
        .filter(|it| has_right(it))
        .filter_map(grantee)
        .collect();
    grantees.sort_by(|one, other| one.principal.cmp(&other.principal));
    Ok(grantees)
}

/// The grantee of an entry; `None` for a `DENY` entry and for constants of a later Kafka.
fn grantee(entry: &Binding) -> Option<Grantee> {
    let word =
        |number: i8, words: Constants| words.iter().find_map(|(word, known)| (*known == number).then_some(*word));
    let operation = word(entry.operation, OPERATIONS)?;
    let permission = word(entry.permission, PERMISSIONS).filter(|word| *word == "ALLOW")?;
    let values = [
        word(entry.resource_type, RESOURCE_TYPES)?,
        &entry.resource_name,
        word(entry.pattern_type, PATTERN_TYPES)?,
        &entry.principal,
        &entry.host,
        operation,
        permission,
    ];
    let named = IDENTITY.iter().zip(values).map(|(name, value)| ((*name).to_owned(), Value::from(value)));
    let principal = match entry.host.as_str() {
        "*" => entry.principal.clone(),
        host => format!("{} from {host}", entry.principal),
    };
    let grant = observed(&named.collect(), Private::default());
    Some(Grantee { principal, privilege: operation.to_owned(), grant })
}

/// Adds an entry, and waits until brokers show it.
pub(crate) async fn create(instance: &Instance, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
    let binding = binding(&planned.attributes)?;
    let observed = observed(&planned.attributes, Private::default());
    let is_retry = instance.marks.earlier_attempt(call).is_some();
    if instance.has(&binding).await? {
        // An earlier attempt took effect although it returned an error.
        if is_retry {
            return Ok(observed);
        }
        let import_id = observed.attributes.get("id").and_then(Value::as_str).map(str::to_owned);
        let message = format!("`{}` has that access to `{}` already", binding.principal, binding.resource_name);
        return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id }, message));
    }
    instance.marks.record_sent(call, None).await?;
    let context = instance.access_context(true, "add access", &binding);
    if let Err(failure) = instance.admin.create_acl(&binding).await {
        if failure.excludes_effect() && !is_retry {
            instance.marks.record_refused(call).await;
        }
        return Err(context.failed(failure));
    }
    wait_until_visible(instance, call, &binding, true).await?;
    Ok(observed)
}

/// Removes an entry unless it existed before terrace, and waits until brokers no longer show it.
pub(crate) async fn delete(instance: &Instance, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
    if prior.private.0 == PREEXISTING {
        call.progress.message("the entry existed before terrace: it is kept");
        return Ok(());
    }
    let binding = binding(&prior.attributes)?;
    let context = instance.access_context(true, "remove access", &binding);
    instance.admin.delete_acl(&binding).await.map_err(|failure| context.failed(failure))?;
    wait_until_visible(instance, call, &binding, false).await
}

async fn wait_until_visible(
    instance: &Instance,
    call: &Call,
    binding: &Binding,
    exists: bool,
) -> Result<(), ProviderError> {
    let timeout_message =
        format!("the access of `{}` was changed, but the brokers do not show the change yet", binding.principal);
    until_visible(call, &timeout_message, || async { Ok((instance.has(binding).await? == exists).then_some(())) }).await
}

/// Finds the object of a lost call, or an object to adopt, which existed before terrace.
pub(crate) async fn find(instance: &Instance, attempt: &Attempt) -> Result<Found, ProviderError> {
    let like = match &attempt.prior {
        Some(prior) if attempt.planned.is_empty() => &prior.attributes,
        _ => &attempt.planned,
    };
    // An adoption lists only configured attributes: the defaults are missing.
    let mut like = like.clone();
    for (name, default) in [("patternType", "LITERAL"), ("host", "*"), ("permission", "ALLOW")] {
        like.entry(name.to_owned()).or_insert_with(|| default.into());
    }
    if IDENTITY.iter().any(|name| like.get(*name).and_then(Value::as_str).is_none()) {
        return Ok(Found::Unknown);
    }
    let exists = match instance.has(&binding(&like)?).await {
        // Unreachable brokers do not matter if no request was ever sent.
        Err(_) if instance.marks.created_nothing(attempt) => false,
        answered => answered?,
    };
    if !exists {
        return Ok(Found::Absent);
    }
    if let Some(prior) = &attempt.prior {
        return Ok(Found::Own(observed(&like, prior.private.clone())));
    }
    let is_ours = attempt.lost_call.as_ref().is_some_and(|lost| instance.marks.may_have_created(attempt, lost));
    Ok(match is_ours {
        true => Found::Own(observed(&like, Private::default())),
        false => Found::Foreign(observed(&like, Private(PREEXISTING.to_vec()))),
    })
}

/// Reads an entry by its import id.
pub(crate) async fn import(instance: &Instance, id: &str) -> Result<Option<Observed>, ProviderError> {
    let wrong = || {
        ProviderError::invalid(None, format!("`{id}` is not the id of an ACL entry"))
            .solution("write all attributes, as in `TOPIC/orders/LITERAL/User:ada/*/READ/ALLOW`")
    };
    let parts = object_id::split::<7>(id).ok_or_else(wrong)?;
    let named = IDENTITY.iter().zip(parts).map(|(name, part)| ((*name).to_owned(), Value::from(part)));
    let attributes: Attributes = named.collect();
    check(&attributes)?;
    let exists = instance.has(&binding(&attributes)?).await?;
    Ok(exists.then(|| observed(&attributes, Private::default())))
}

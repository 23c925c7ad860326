//! A provider with objects in a map, a log of its calls, and scripted faults.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Batch, Call, DataAmount, DerivedIdentity, DryRun, ErrorKind,
    Finding, Found, Grantee, Lookup, Need, Object, Observed, Partial, Planned, PlannedChange, Private, ProposedChange,
    Provider, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Settings, Value,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Fault of the next call whose text begins with a given prefix, such as `create a`.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Fails without effect.
    Before(ErrorKind),
    /// Fails without effect, as does every later call.
    Always(ErrorKind),
    /// Takes effect; the reply is an error.
    After(ErrorKind),
    /// Takes effect; the reply has another value.
    Lie,
    /// Takes effect; the object then has another secret.
    NewSecret,
    /// Takes effect; the error carries an object that differs from the planned one.
    Half(ErrorKind),
    /// Takes effect when the call is cancelled.
    UntilStopped,
    /// Takes effect; the provider panics.
    Panic,
    /// Takes effect and replies after this delay.
    Late(Duration),
    /// Never replies; has no effect.
    HangBefore,
    /// Never replies; takes effect.
    HangAfter,
    /// Replies after another call, such as `create a`.
    Until(&'static str),
}

/// The remote system.
#[derive(Debug, Default)]
pub struct Remote {
    /// Objects by key.
    pub objects: BTreeMap<String, Attributes>,
    /// Calls that change objects, in order.
    pub log: Vec<String>,
    /// Effects in order: the log without the calls that had none.
    pub effects: Vec<String>,
    /// Calls that only read: `find a`, `read a`.
    pub reads: Vec<String>,
    /// The number of connections, with failed ones.
    pub connects: usize,
    /// Planned addresses, one entry for each time.
    pub planned: Vec<String>,
    /// Ages of the lost calls that `find` searched for.
    pub ages: Vec<std::time::Duration>,
    /// Partial result that creates report before they take effect; [`Self::attempts`] has what `find` received of it.
    pub reported: Option<Partial>,
    pub attempts: Vec<(Attributes, Private)>,
    /// Whether `find` reports that a lost call had no effect.
    pub reports_no_effect: bool,
    /// Cancelled when a call hangs.
    pub hung: CancellationToken,
    /// Notified at each call.
    called: Arc<Notify>,
    /// Faults by prefix of the call's text.
    pub faults: BTreeMap<String, Fault>,
    /// Objects that lookups return instead of the real ones, by key.
    pub lookup_results: BTreeMap<String, Attributes>,
    /// Values that the system normalizes: the given and the stored value.
    pub normalized_values: Vec<(Value, Value)>,
    /// Problems that a failed lookup reports.
    pub lookup_problems: Vec<&'static str>,
    /// Version of the provider; default `1.0.0`.
    pub provider_version: Option<&'static str>,
    /// Schema version of things; 0 means 1.
    pub version: u32,
    /// Findings of the remote validation of planned objects, by key.
    pub findings: BTreeMap<String, Finding>,
    /// Side effects on `val` of another object, by the text of the call.
    pub side_effects: BTreeMap<&'static str, (&'static str, Value)>,
    /// Number of running calls, and its maximum so far.
    pub running: (usize, usize),
    next_id: u64,
}

impl Remote {
    fn normalized(&self, mut object: Attributes) -> Attributes {
        for (given, stored) in &self.normalized_values {
            object.values_mut().filter(|value| *value == given).for_each(|value| *value = stored.clone());
        }
        object
    }

    /// Counts a running call.
    fn begin(&mut self) {
        self.running.0 += 1;
        self.running.1 = self.running.1.max(self.running.0);
    }

    /// Takes the fault of a call.
    fn fault_of(&mut self, text: &str) -> Option<Fault> {
        let name = self.faults.keys().find(|begin| text.starts_with(begin.as_str())).cloned()?;
        match self.faults.get(&name) {
            Some(Fault::Always(kind)) => Some(Fault::Always(kind.clone())),
            _ => self.faults.remove(&name),
        }
    }
}

/// `world_thing`: `key` replaces, `val` updates, `id` is computed, `secret` is sensitive, `password` is write-only,
/// `echo` repeats `val`.
///
/// The other types have the same attributes:
/// - `world_data` holds data.
/// - `world_mixed` holds data only if its `val` is `full`.
/// - `world_told` cannot be read, and a deletion spares its data.
/// - `world_fixed` is replaced by every change.
/// - `world_named` is renamed by another `key`.
/// - `world_derived` gets its `key` from the entry `key` of its `val`.
/// - `world_box` and `world_item` may lie in a box and belong to a thing. An item holds data; a box with content
///   cannot be deleted.
pub struct World {
    schema: ProviderSchema,
    remote: Arc<Mutex<Remote>>,
}

impl World {
    pub fn new(remote: Arc<Mutex<Remote>>) -> Self {
        let attributes = || {
            Object(vec![
                Attribute::new("key", AttributeType::String, "Names it.").required().replaces(),
                Attribute::new("val", AttributeType::Any, "A value."),
                Attribute::new("secret", AttributeType::String, "A secret.").sensitive(),
                Attribute::new("password", AttributeType::String, "A write-only value.").write_only(),
                Attribute::new("id", AttributeType::String, "Its id.").stable(),
                Attribute::new("echo", AttributeType::Any, "Repeats `val`.").computed(),
            ])
        };
        let provider_version = remote.lock().unwrap().provider_version.unwrap_or("1.0.0");
        let version = remote.lock().unwrap().version.max(1);
        let thing = ResourceType {
            settle: Duration::ZERO,
            schema_version: version,
            ..ResourceType::new("world_thing", "A thing.", &["key"], attributes())
        };
        let data = ResourceType {
            settle: Duration::ZERO,
            holds_data: true,
            ..ResourceType::new("world_data", "A thing with data.", &["key"], attributes())
        };
        let mixed = ResourceType {
            settle: Duration::ZERO,
            holds_data: true,
            data_holders: Some(|attributes| attributes.get("val").is_some_and(|val| *val == "full".into())),
            ..ResourceType::new("world_mixed", "A thing with data if `val` is `full`.", &["key"], attributes())
        };
        let slow = ResourceType {
            settle: Duration::from_secs(30),
            ..ResourceType::new("world_slow", "A thing whose calls settle late.", &["key"], attributes())
        };
        let listed = ResourceType {
            settle: Duration::ZERO,
            reads_lists: true,
            ..ResourceType::new("world_listed", "A thing that a list reads.", &["key"], attributes())
        };
        let note = ResourceType {
            settle: Duration::ZERO,
            state_only: true,
            ..ResourceType::new("world_note", "A thing that lives in state only.", &[], attributes())
        };
        let borrowed = ResourceType {
            settle: Duration::ZERO,
            is_adopted: |attributes, _| attributes.get("val").is_some_and(|val| *val == Value::Int(7)),
            ..ResourceType::new("world_borrowed", "A thing, borrowed if `val` is 7.", &["key"], attributes())
        };
        let mut of_role = attributes();
        of_role.0.push(Attribute::new("role", AttributeType::String, "The role that it grants.").required().replaces());
        let grant = ResourceType {
            settle: Duration::ZERO,
            can_coexist: true,
            grantee: &["key"],
            ..ResourceType::new("world_grant", "A grant.", &["key", "role"], of_role)
        };
        let mut by_door = attributes();
        by_door.0.push(Attribute::new("door", AttributeType::String, "The door that leads to it.").access_path());
        let room = ResourceType {
            settle: Duration::ZERO,
            ..ResourceType::new("world_room", "A thing with several doors.", &["key"], by_door)
        };
        let output = ResourceType {
            settle: Duration::ZERO,
            readable: false,
            keeps_data_on_delete: true,
            ..ResourceType::new("world_told", "A thing that cannot be read.", &["key"], attributes())
        };
        let fixed = ResourceType {
            settle: Duration::ZERO,
            updatable: false,
            ..ResourceType::new("world_fixed", "A thing that cannot be changed.", &["key"], attributes())
        };
        let mut by_name = attributes();
        by_name.0.iter_mut().filter(|it| it.name == "key").for_each(|key| key.replaces = false);
        let named = ResourceType {
            settle: Duration::ZERO,
            ..ResourceType::new("world_named", "A thing that can be renamed.", &["key"], by_name)
        };
        let mut by_val = attributes();
        by_val.0.iter_mut().filter(|it| it.name == "key").for_each(|key| {
            *key = Attribute::new("key", AttributeType::String, "Names it.").computed().follows(&["val"]);
        });
        let derived = ResourceType {
            settle: Duration::ZERO,
            derived_identity: Some(DerivedIdentity { derive: key_of_val, named_by: &[&["val", "key"]] }),
            ..ResourceType::new("world_derived", "A thing whose value names it.", &["key"], by_val)
        };
        let in_box = || {
            let mut in_box = attributes();
            in_box.0.push(Attribute::new("box", AttributeType::String, "The box that it is in.").replaces());
            in_box.0.push(Attribute::new("owner", AttributeType::String, "The thing that it belongs to."));
            in_box
        };
        let boxes = ResourceType {
            settle: Duration::ZERO,
            needs: NEEDS,
            ..ResourceType::new("world_box", "A thing that holds others.", &["key"], in_box())
        };
        let item = ResourceType {
            settle: Duration::ZERO,
            holds_data: true,
            needs: NEEDS,
            ..ResourceType::new("world_item", "A thing with data in a box.", &["key"], in_box())
        };
        let schema = ProviderSchema {
            name: "world",
            version: provider_version,
            doc: "A world for tests.",
            resources: vec![
                thing, data, mixed, slow, listed, note, output, borrowed, grant, room, fixed, named, derived, boxes,
                item,
            ],
            lookups: vec![Lookup {
                name: "world_thing",
                doc: "Looks at a thing.",
                arguments: Object(vec![
                    Attribute::new("key", AttributeType::String, "Names it.").required(),
                    Attribute::new("password", AttributeType::String, "Opens it.").sensitive(),
                ]),
                result: attributes(),
                objects: &["world_thing", "world_data"],
            }],
            ..ProviderSchema::default()
        };
        Self { schema, remote }
    }
}

#[async_trait]
impl Provider for World {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let session = Connected { remote: Arc::clone(&self.remote) };
        self.remote.lock().unwrap().connects += 1;
        session.apply_fault(&format!("connect {}", settings.instance)).await?;
        Ok(Arc::new(session))
    }
}

const NEEDS: &[Need] = &[
    Need { ty: "world_box", identities: |attributes| Need::named(attributes, &[("key", "box")]) },
    Need { ty: "world_thing", identities: |attributes| Need::named(attributes, &[("key", "owner")]) },
];

struct Connected {
    remote: Arc<Mutex<Remote>>,
}

impl Connected {
    /// Logs a call that only reads, and applies its fault.
    async fn log_read(&self, text: String) -> Result<(), ProviderError> {
        self.remote.lock().unwrap().reads.push(text.clone());
        self.apply_fault(&text).await
    }

    /// Applies the fault of a call that changes nothing.
    async fn apply_fault(&self, text: &str) -> Result<(), ProviderError> {
        let fault = self.remote.lock().unwrap().fault_of(text);
        match fault {
            None => Ok(()),
            Some(Fault::Until(other)) => {
                self.until(other).await;
                Ok(())
            }
            Some(Fault::HangBefore) => {
                self.remote.lock().unwrap().hung.cancel();
                std::future::pending().await
            }
            Some(Fault::Before(kind) | Fault::Always(kind) | Fault::After(kind)) => {
                Err(ProviderError::new(kind, format!("{text}: no")))
            }
            Some(Fault::Panic) => panic!("{text}"),
            Some(_) => std::future::pending().await,
        }
    }

    /// Waits for a call.
    async fn until(&self, other: &str) {
        let called = Arc::clone(&self.remote.lock().unwrap().called);
        loop {
            let next = called.notified();
            if self.remote.lock().unwrap().log.iter().any(|call| call == other) {
                return;
            }
            next.await;
        }
    }

    /// Makes one call and applies its fault.
    async fn change(
        &self,
        call: &Call,
        text: String,
        effect: impl FnOnce(&mut Remote) -> Option<Observed>,
    ) -> Result<Option<Observed>, ProviderError> {
        let effect = |remote: &mut Remote| {
            remote.effects.push(text.clone());
            if let Some((key, val)) = remote.side_effects.get(text.as_str()).cloned()
                && let Some(other) = remote.objects.get_mut(key)
            {
                other.insert("val".to_owned(), val);
            }
            effect(remote)
        };
        let fault = {
            let mut remote = self.remote.lock().unwrap();
            remote.log.push(text.clone());
            remote.called.notify_waiters();
            remote.begin();
            remote.fault_of(&text)
        };
        tokio::task::yield_now().await;
        let result = match fault {
            Some(Fault::Before(kind) | Fault::Always(kind)) => {
                Err(ProviderError::new(kind, format!("{text} was refused")))
            }
            Some(Fault::HangBefore) => {
                self.remote.lock().unwrap().hung.cancel();
                std::future::pending().await
            }
            Some(Fault::HangAfter) => {
                effect(&mut self.remote.lock().unwrap());
                self.remote.lock().unwrap().hung.cancel();
                std::future::pending().await
            }
            Some(Fault::After(kind)) => {
                effect(&mut self.remote.lock().unwrap());
                Err(ProviderError::new(kind, format!("the reply to {text} was lost")))
            }
            Some(Fault::Half(kind)) => {
                let observed = effect(&mut self.remote.lock().unwrap());
                let error = ProviderError::new(kind, format!("{text} came to half of it"));
                Err(observed.map(with_lie).into_iter().fold(error, ProviderError::with_object))
            }
            Some(Fault::UntilStopped) => {
                self.remote.lock().unwrap().hung.cancel();
                call.cancel.cancelled().await;
                Ok(effect(&mut self.remote.lock().unwrap()))
            }
            Some(Fault::Panic) => {
                effect(&mut self.remote.lock().unwrap());
                panic!("{text}");
            }
            Some(Fault::Lie) => {
                let observed = effect(&mut self.remote.lock().unwrap());
                Ok(observed.map(with_lie))
            }
            Some(Fault::NewSecret) => {
                let mut remote = self.remote.lock().unwrap();
                let observed = effect(&mut remote);
                Ok(observed.map(|mut observed| {
                    observed.attributes.insert("secret".to_owned(), "renewed".into());
                    remote.objects.insert(key(&observed.identity), observed.attributes.clone());
                    observed
                }))
            }
            Some(Fault::Until(other)) => {
                self.until(other).await;
                Ok(effect(&mut self.remote.lock().unwrap()))
            }
            Some(Fault::Late(after)) => {
                tokio::time::sleep(after).await;
                Ok(effect(&mut self.remote.lock().unwrap()))
            }
            None => Ok(effect(&mut self.remote.lock().unwrap())),
        };
        self.remote.lock().unwrap().running.0 -= 1;
        result
    }
}

fn key(attributes: &Attributes) -> String {
    attributes.get("key").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Copies the entry `key` of `val`.
fn key_of_val(attributes: &mut Attributes) {
    let val = attributes.get("val").and_then(Value::as_map);
    if let Some(key) = val.and_then(|val| val.get("key")).cloned() {
        attributes.insert("key".to_owned(), key);
    }
}

/// The object with a value that differs from the plan.
fn with_lie(mut observed: Observed) -> Observed {
    observed.attributes.insert("val".to_owned(), "a lie".into());
    observed
}

fn observed(attributes: &Attributes) -> Observed {
    let names = ["key", "role"].into_iter().filter_map(|name| Some((name.to_owned(), attributes.get(name)?.clone())));
    let identity: Attributes = names.collect();
    let mut attributes = attributes.clone();
    attributes.shift_remove("password");
    Observed { identity, attributes, private: Private::default() }
}

fn with_computed_values(planned: &Attributes, id: String) -> Attributes {
    let mut object: Attributes =
        planned.iter().filter(|(_, value)| !value.has_unknown()).map(|(k, v)| (k.clone(), v.revealed())).collect();
    object.insert("id".to_owned(), id.into());
    object.insert("echo".to_owned(), object.get("val").cloned().unwrap_or_default());
    object
}

#[async_trait]
impl Session for Connected {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.log_read(format!("read {}", key(&prior.identity))).await?;
        Ok(self.remote.lock().unwrap().objects.get(&key(&prior.identity)).map(observed))
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        ty.reads_lists.then(|| -> Batch<'a> {
            Box::pin(async move {
                if let Err(error) = self.log_read(format!("list {} objects", priors.len())).await {
                    return priors.iter().map(|_| Err(error.clone())).collect();
                }
                let objects = &self.remote.lock().unwrap().objects;
                priors.iter().map(|prior| Ok(objects.get(&key(&prior.identity)).map(observed))).collect()
            })
        })
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        self.remote.lock().unwrap().planned.push(change.address.to_owned());
        self.apply_fault(&format!("plan {}", key(change.config))).await?;
        let planned = from_schema(ty, change);
        Ok(PlannedChange { planned: ty.with_identity(&planned.planned), ..planned })
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = key(&planned.attributes);
        if ty.state_only {
            return Ok(observed(&with_computed_values(&planned.attributes, format!("note-{name}"))));
        }
        if self.remote.lock().unwrap().objects.contains_key(&name) {
            self.remote.lock().unwrap().log.push(format!("refuse {name}"));
            let kind = ErrorKind::AlreadyExists { import_id: Some(name.clone()) };
            return Err(ProviderError::new(kind, format!("{} {name} exists", ty.name)));
        }
        let reported = self.remote.lock().unwrap().reported.clone();
        if let Some(partial) = reported {
            call.progress.partial(partial).await?;
        }
        let object = self
            .change(call, format!("create {name}"), |remote| {
                remote.next_id += 1;
                let object = with_computed_values(&planned.attributes, format!("id-{}", remote.next_id));
                let object = remote.normalized(object);
                remote.objects.insert(name.clone(), object.clone());
                Some(observed(&object))
            })
            .await?;
        object.ok_or_else(|| ProviderError::bug("nothing was made"))
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        if ty.state_only {
            let name = key(&planned.attributes);
            return Ok(observed(&with_computed_values(&planned.attributes, format!("note-{name}"))));
        }
        let (name, new_name) = (key(&prior.identity), key(&planned.attributes));
        let id = prior.text("id").unwrap_or_default().to_owned();
        if name != new_name && self.remote.lock().unwrap().objects.contains_key(&new_name) {
            return Err(ProviderError::new(ErrorKind::Failed, format!("there is already another {new_name}")));
        }
        let object = self
            .change(call, format!("update {name}"), |remote| {
                let object = remote.normalized(with_computed_values(&planned.attributes, id));
                remote.objects.remove(&name);
                remote.objects.insert(new_name.clone(), object.clone());
                Some(observed(&object))
            })
            .await?;
        object.ok_or_else(|| ProviderError::bug("nothing was made"))
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = key(&prior.identity);
        let refers =
            |object: &Attributes| ["box", "owner"].iter().any(|it| object.get(*it) == Some(&name.as_str().into()));
        if self.remote.lock().unwrap().objects.values().any(refers) {
            self.remote.lock().unwrap().log.push(format!("refuse to delete {name}"));
            return Err(ProviderError::new(ErrorKind::Failed, format!("something needs {name}")));
        }
        let with_data = if ty.keeps_data_on_delete && call.removes_data { " with data" } else { "" };
        self.change(call, format!("delete {name}{with_data}"), |remote| {
            remote.objects.remove(&name);
            None
        })
        .await?;
        Ok(())
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        self.log_read(format!("find {}", key(&attempt.identity))).await?;
        self.remote.lock().unwrap().ages.extend(attempt.lost_call.iter().map(|lost| lost.age));
        self.remote.lock().unwrap().attempts.push((attempt.identity.clone(), attempt.private.clone()));
        if attempt.lost_call.is_some() && self.remote.lock().unwrap().reports_no_effect {
            return Ok(Found::NoEffect);
        }
        let found = self.remote.lock().unwrap().objects.get(&key(&attempt.identity)).map(observed);
        Ok(match (found, &attempt.lost_call) {
            (Some(object), Some(_)) => Found::Own(object),
            (Some(object), None) => Found::Foreign(object),
            (None, _) => Found::Absent,
        })
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        if ty.state_only {
            return Err(ProviderError::invalid(None, format!("a `{}` is no object", ty.name)));
        }
        self.log_read(format!("import {id}")).await?;
        Ok(self.remote.lock().unwrap().objects.get(id).map(observed))
    }

    async fn upgrade(&self, ty: &ResourceType, from: u32, stored: Attributes) -> Result<Attributes, ProviderError> {
        let name = key(&stored);
        self.log_read(format!("upgrade {name} from {from} to {}", ty.schema_version)).await?;
        // Version 2 has strings where version 1 had any value.
        let text = |value: Value| match value {
            Value::Int(number) => number.to_string().into(),
            other => other,
        };
        Ok(stored.into_iter().map(|(name, value)| (name, text(value))).collect())
    }

    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let finding = self.remote.lock().unwrap().findings.get(&key(planned)).cloned()?;
        Some(Box::pin(async move {
            self.remote.lock().unwrap().begin();
            tokio::task::yield_now().await;
            self.remote.lock().unwrap().running.0 -= 1;
            vec![finding]
        }))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        assert_eq!(name, "world_thing");
        let key = key(arguments);
        self.log_read(format!("look at {key}")).await?;
        let remote = self.remote.lock().unwrap();
        let found = remote.lookup_results.get(&key).or_else(|| remote.objects.get(&key)).cloned();
        let problems = remote.lookup_problems.iter().map(|problem| (*problem).to_owned()).collect();
        let missing = ProviderError::new(ErrorKind::NotFound, format!("there is no thing `{key}`"));
        found.ok_or(ProviderError { problems, ..missing })
    }

    async fn grantees(&self, _ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        let roles: Vec<&str> = accesses.iter().filter_map(|access| access.get("role")?.as_str()).collect();
        self.log_read(format!("grantees of {}", roles.join(", "))).await?;
        let remote = self.remote.lock().unwrap();
        let role = |object: &Attributes| object.get("role").and_then(Value::as_str).map(str::to_owned);
        let of_role = remote.objects.values().filter(|it| role(it).is_some_and(|role| roles.contains(&role.as_str())));
        let grantee = |object: &Attributes| Grantee {
            principal: key(object),
            privilege: "READ".to_owned(),
            grant: observed(object),
        };
        Ok(of_role.map(grantee).collect())
    }

    async fn count_data(&self, _ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let remote = self.remote.lock().unwrap();
        let object = remote.objects.get(&key(&prior.identity));
        Ok(match object.and_then(|object| object.get("val")) {
            Some(Value::String(text)) if text == "empty" => DataAmount::Empty,
            Some(Value::String(text)) if text == "uncountable" => DataAmount::Unknown,
            Some(Value::String(text)) if text.ends_with(" rows") => {
                let count = text.rsplit(' ').nth(1).unwrap().parse().unwrap();
                DataAmount::Some { count, text: text.clone() }
            }
            _ => DataAmount::Some { count: 3, text: "3 rows".to_owned() },
        })
    }
}

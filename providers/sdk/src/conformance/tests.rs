//! Tests of the suite: a correct provider passes, and the right behaviour reports each fault.

use super::*;
use crate::{
    Attempt, Attribute, AttributeType, Call, DataAmount, ErrorKind, Found, Object, Observed, Partial, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Value,
    normal::any_case, plan::from_schema,
};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Private bytes that a create journals before it creates anything.
const SENT: &[u8] = b"sent";

/// Faults of the test provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    CreateReturnsAnUnknown,
    CreateReturnsAnotherValue,
    CreateReturnsTheSecret,
    CreateAdoptsExisting,
    ReadReturnsDeleted,
    ReadSeesNoDrift,
    UpdateDoesNothing,
    DeleteFailsOnMissing,
    FindForgets,
    FindClaimsForeign,
    PlanIsNeverDone,
    PlanForgetsReplacements,
    PlanFailsOnUnknowns,
    CountSeesNothing,
    ImportFindsAnything,
    IdRevealsTheName,
    CreateDropsTheEmpty,
    PlanKeepsEverySpelling,
}

type Things = Arc<Mutex<BTreeMap<String, Attributes>>>;

/// Operation and step of each create that succeeded.
type Calls = Arc<Mutex<BTreeSet<(String, String)>>>;

struct Shelf {
    schema: ProviderSchema,
    things: Things,
    calls: Calls,
    fault: Fault,
}

fn shelf(fault: Fault) -> Shelf {
    let attributes = Object(vec![
        Attribute::new("name", AttributeType::String, "Its name.").required().replaces(),
        Attribute::new("size", AttributeType::Int, "Its size.").default_value(1_i64),
        Attribute::new("label", AttributeType::String, "A label."),
        Attribute::new("colour", AttributeType::String, "Its colour.").normal(any_case),
        Attribute::new("secret", AttributeType::String, "A secret.").write_only(),
        Attribute::new("rows", AttributeType::Int, "Its number of rows.")
            .computed()
            .volatile("it grows with the object"),
        Attribute::new("id", AttributeType::String, "Its id.").stable(),
    ]);
    let ty = ResourceType { holds_data: true, ..ResourceType::new("shelf_thing", "A thing.", &["name"], attributes) };
    let schema = ProviderSchema { name: "shelf", resources: vec![ty], ..ProviderSchema::default() };
    Shelf { schema, things: Things::default(), calls: Calls::default(), fault }
}

#[async_trait]
impl Provider for Shelf {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, _settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(ShelfSession { things: self.things.clone(), calls: self.calls.clone(), fault: self.fault }))
    }
}

struct ShelfSession {
    calls: Calls,
    things: Things,
    fault: Fault,
}

fn name_of(attributes: &Attributes) -> String {
    attributes.get("name").and_then(Value::as_str).unwrap().to_owned()
}

impl ShelfSession {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn get(&self, name: &str) -> Option<Observed> {
        let attributes = self.things.lock().unwrap().get(name)?.clone();
        Some(Observed {
            identity: [("name".to_owned(), name.into())].into_iter().collect(),
            attributes,
            private: Private::default(),
        })
    }

    fn put(&self, planned: &Attributes, rows: i64) -> Observed {
        let name = name_of(planned);
        let mut thing = planned.clone();
        if !self.has(Fault::CreateReturnsTheSecret) {
            thing.shift_remove("secret");
        }
        if self.has(Fault::CreateDropsTheEmpty) && thing.get("label") == Some(&"".into()) {
            thing.insert("label".to_owned(), Value::Null);
        }
        if let Some(folded) = thing.get("colour").and_then(Value::as_str).map(str::to_lowercase) {
            thing.insert("colour".to_owned(), folded.into());
        }
        thing.insert("rows".to_owned(), rows.into());
        let id = match self.fault {
            Fault::CreateReturnsAnUnknown => Value::Unknown,
            Fault::IdRevealsTheName => name.as_str().into(),
            _ => Value::from(name.as_str()).derived_from(planned, &["name"]),
        };
        thing.insert("id".to_owned(), id);
        if self.has(Fault::CreateReturnsAnotherValue) {
            thing.insert("size".to_owned(), Value::Int(1000));
        }
        self.things.lock().unwrap().insert(name.clone(), thing);
        self.get(&name).unwrap()
    }
}

#[async_trait]
impl Session for ShelfSession {
    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        if self.has(Fault::PlanFailsOnUnknowns) && change.config.values().any(Value::is_unknown) {
            return Err(ProviderError::bug("cannot plan an unknown value"));
        }
        let mut plan = from_schema(ty, change);
        if self.has(Fault::PlanIsNeverDone) {
            plan.planned.insert("rows".to_owned(), Value::Unknown);
        }
        if let Some(colour) = change.config.get("colour").filter(|_| self.has(Fault::PlanKeepsEverySpelling)) {
            plan.planned.insert("colour".to_owned(), colour.clone());
        }
        if self.has(Fault::PlanForgetsReplacements) {
            plan.replace_paths.clear();
        }
        Ok(plan)
    }

    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let recorded = Observed {
            identity: prior.identity.clone(),
            attributes: prior.attributes.clone(),
            private: Private::default(),
        };
        let found = self.get(&name_of(&prior.attributes));
        Ok(match found {
            Some(_) if self.has(Fault::ReadSeesNoDrift) => Some(recorded),
            None if self.has(Fault::ReadReturnsDeleted) => Some(recorded),
            found => found,
        })
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        call.progress.partial(Partial { identity: None, private: Some(Private(SENT.to_vec())) }).await?;
        let exists = self.get(&name_of(&planned.attributes)).is_some();
        if exists && !self.has(Fault::CreateAdoptsExisting) {
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id: None }, "it exists"));
        }
        // A step of an operation creates one object once: a provider may mark objects with their calls.
        if !self.calls.lock().unwrap().insert((call.operation.clone(), call.step.clone())) {
            return Err(ProviderError::bug("this call has created an object before"));
        }
        Ok(self.put(&planned.attributes, 0))
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        _call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        if self.has(Fault::UpdateDoesNothing) {
            return Ok(self.get(&name_of(&prior.attributes)).unwrap());
        }
        Ok(self.put(&planned.attributes, 0))
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let removed = self.things.lock().unwrap().remove(&name_of(&prior.attributes));
        if removed.is_none() && self.has(Fault::DeleteFailsOnMissing) {
            return Err(ProviderError::new(ErrorKind::NotFound, "it does not exist"));
        }
        Ok(())
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let attributes = if attempt.planned.is_empty() { &attempt.identity } else { &attempt.planned };
        let Some(found) = self.get(&name_of(attributes)) else { return Ok(Found::Absent) };
        let is_sent = attempt.prior.is_some() || attempt.private.0 == SENT;
        let is_own = attempt.lost_call.is_some() && is_sent || self.has(Fault::FindClaimsForeign);
        Ok(match is_own {
            true if self.has(Fault::FindForgets) => Found::Unknown,
            true => Found::Own(found),
            false => Found::Foreign(found),
        })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        if self.has(Fault::ImportFindsAnything) {
            let attributes = [("name".to_owned(), id.into())].into_iter().collect::<Attributes>();
            return Ok(Some(Observed { identity: attributes.clone(), attributes, private: Private::default() }));
        }
        Ok(self.get(id))
    }

    async fn count_data(&self, _ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let rows = self.get(&name_of(&prior.attributes)).and_then(|thing| thing.attributes.get("rows")?.as_int());
        Ok(match rows {
            Some(rows) if rows > 0 && !self.has(Fault::CountSeesNothing) => {
                DataAmount::Some { count: rows.unsigned_abs(), text: format!("{rows} rows") }
            }
            _ => DataAmount::Empty,
        })
    }
}

fn config(name: &str, size: i64) -> Attributes {
    let entries =
        [("name", name.into()), ("size", Value::Int(size)), ("colour", "Red".into()), ("secret", "hunter2".into())];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn run(fault: Fault) -> Report {
    let provider = shelf(fault);
    let (tampered, removed, filled) = (provider.things.clone(), provider.things.clone(), provider.things.clone());
    let set = |things: &Things, recorded: &Recorded, attribute: &str, value: i64| {
        let mut things = things.lock().unwrap();
        things.get_mut(recorded.text("name").unwrap()).unwrap().insert(attribute.to_owned(), value.into());
    };
    let fixture = Fixture::new("shelf_thing", "thing", config("a", 1))
        .update(config("a", 2))
        .spelled("/colour", ["Red", "RED", "red"])
        .replace(config("b", 1))
        .tamper(move |recorded| {
            set(&tampered, &recorded, "size", 17);
            std::future::ready(())
        })
        .fill(move |recorded| {
            set(&filled, &recorded, "rows", 3);
            std::future::ready(())
        })
        .remove(move |recorded| {
            removed.lock().unwrap().remove(recorded.text("name").unwrap());
            std::future::ready(())
        });
    Suite::new(&provider, settings(Path::new("/"))).fixture(fixture).run().await
}

#[tokio::test]
async fn correct_provider_shows_every_behaviour() {
    let report = run(Fault::None).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.to_string().matches("skipped").count(), 0, "{report}");
}

#[tokio::test]
async fn each_fault_is_reported_by_its_behaviour() {
    let cases = [
        (Fault::CreateReturnsAnUnknown, "a created object reads as returned", "an unknown value for `id`"),
        (
            Fault::CreateReturnsAnotherValue,
            "a created object reads as returned",
            "1000 for `size`, which is planned as 1",
        ),
        (Fault::CreateReturnsTheSecret, "a created object reads as returned", "`secret`, which is write-only"),
        (Fault::CreateAdoptsExisting, "another owner's object is not taken", "object succeeded"),
        (Fault::ReadReturnsDeleted, "a removed object cannot be read", "can still be read"),
        (Fault::ReadSeesNoDrift, "drift is found and repaired", "shows no difference"),
        (Fault::UpdateDoesNothing, "an update happens in place", "1 for `size`, which is planned as 2"),
        (Fault::DeleteFailsOnMissing, "a second delete succeeds", "the second time, delete failed (not_found)"),
        (Fault::FindForgets, "a lost create is found", "find returned Unknown"),
        (Fault::FindClaimsForeign, "another owner's object is not taken", "find returned Own"),
        (Fault::PlanIsNeverDone, "a second plan is empty", "`rows` is Some(0) and then Some((known after apply))"),
        (Fault::PlanForgetsReplacements, "a replacement is planned and works", "the plan does not replace"),
        (Fault::PlanFailsOnUnknowns, "unknown values can be planned", "with `name` unknown, plan failed"),
        (Fault::CountSeesNothing, "data is counted", "counts as empty"),
        (
            Fault::IdRevealsTheName,
            "a value derived from a secret is sensitive",
            "create reveals in `id` the object's identity",
        ),
        (Fault::CreateDropsTheEmpty, "every spelling settles", "/label as \"\": create returned null for `label`"),
        (
            Fault::PlanKeepsEverySpelling,
            "other spellings plan no change",
            "planned as \"RED\", a second plan is not empty: `colour`",
        ),
        (Fault::ImportFindsAnything, "an import reads the same object", "found a deleted object"),
    ];
    for (fault, behaviour, words) in cases {
        let report = run(fault).await;
        match report.verdict("thing", behaviour) {
            Some(Verdict::Missed(problem)) => assert!(problem.contains(words), "{fault:?}: {problem}"),
            other => panic!("`{behaviour}` did not report {fault:?}: {other:?}\n{report}"),
        }
        assert!(!report.to_string().contains("hunter2"), "{report}");
    }
}

#[tokio::test]
async fn type_without_a_fixture_is_reported() {
    let provider = shelf(Fault::None);
    let report = Suite::new(&provider, settings(Path::new("/"))).run().await;
    assert_eq!(
        report.failures(),
        ["shelf_thing (schema): every type has a fixture: no fixture was handed over for this type"]
    );
}

#[test]
fn unsound_schema_is_reported() {
    let mut ty = ResourceType::new("shelf_thing", "A thing.", &["label"], Object::default());
    let schema = ProviderSchema { name: "shelf", resources: vec![ty.clone()], ..ProviderSchema::default() };
    assert!(contract::check_type(&schema, &ty).unwrap_err().contains("names `label`"));
    for (attribute, problem) in [
        (Attribute::new("label", AttributeType::String, ""), "has no doc"),
        (Attribute::new("Label_x", AttributeType::String, "x"), "is not camelCase"),
        (Attribute::new("label", AttributeType::Int, "x").default_value("x"), "which should be whole number"),
        (Attribute::new("label", AttributeType::Int, "x").default_value(1_i64).required(), "is required and yet"),
        (Attribute::new("label", AttributeType::Int, "x").default_value(1_i64).computed(), "is computed and yet"),
    ] {
        let name = attribute.name;
        ty.attributes = Object(vec![attribute]);
        ty.identity = &[];
        let found = contract::check_type(&schema, &ty).unwrap_err();
        assert!(found.contains(problem), "{name}: {found}");
    }
}

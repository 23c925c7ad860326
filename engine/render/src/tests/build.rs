//! Builders of plans for tests.

use jiff::Timestamp;
use std::collections::BTreeMap;
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, StackId};
use terrace_language::descriptor::Lifecycle;
use terrace_language::source::Place;
use terrace_plan::{
    After, Basis, Change, ComponentPlan, DataLossNote, How, InDoubt, Mode, Note, Origin, OutputChange, OwnerAction,
    OwnerChange, Part, Plan, StackPlan, Why,
};
use terrace_provider::{Attributes, Private, Severity, Value};
use terrace_store::record::Prior;
use terrace_store::{Ownership, RowStatus};
use uuid::Uuid;

/// A secret, which no form may show.
pub(super) const SECRET: &str = "hunter2-never-shown";

/// Attributes from JSON, in which `"$unknown"` is unknown and `{"$secret": …}` sensitive.
pub(super) fn attributes(json: serde_json::Value) -> Attributes {
    match value(json) {
        Value::Map(entries) => entries,
        other => panic!("expected a map, got {other:?}"),
    }
}

pub(super) fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::String(text) if text == "$unknown" => Value::Unknown,
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(value).collect()),
        serde_json::Value::Object(mut entries) => match entries.remove("$secret") {
            Some(secret) => Value::sensitive(value(secret)),
            None => entries.into_iter().map(|(key, entry)| (key, value(entry))).collect(),
        },
        plain => Value::from(plain),
    }
}

pub(super) fn change(address: &str, action: Action) -> Change {
    Change {
        address: address.parse().unwrap(),
        deposed: None,
        moved_from: None,
        import_id: None,
        action,
        after: None,
        data_loss: None,
        in_doubt: None,
        why: Why::default(),
        basis: Basis::default(),
        how: How { provider: "sqlite".to_owned(), ..How::default() },
    }
}

/// Parts of a change.
pub(super) trait Build: Sized {
    fn before(self, json: serde_json::Value) -> Self;
    fn after(self, json: serde_json::Value) -> Self;
    /// Sets the recorded attributes; [`Build::before`] sets the refreshed ones.
    fn recorded(self, json: serde_json::Value) -> Self;
    fn because(self, reason: Reason) -> Self;
    fn replaces(self, path: &str) -> Self;
    fn loses(self, reason: &str, amount: Option<&str>, is_allowed: bool) -> Self;
    fn moved(self, from: &str) -> Self;
    fn imported(self, id: &str) -> Self;
    fn doubted(self, reason: &str) -> Self;
}

impl Build for Change {
    fn before(mut self, json: serde_json::Value) -> Self {
        self.basis.generation = 3;
        self.basis.prior = Some(Box::new(Prior {
            status: RowStatus::Ready,
            identity: Attributes::default(),
            attributes: attributes(json),
            recorded: None,
            private: Private::default(),
            dependencies: Vec::new(),
            write_only: BTreeMap::new(),
            inconsistent: BTreeMap::new(),
            lifecycle: Lifecycle::default(),
        }));
        self
    }

    fn after(mut self, json: serde_json::Value) -> Self {
        self.after = Some(After {
            attributes: attributes(json),
            private: Private::default(),
            deferred: None,
            write_only: BTreeMap::new(),
            newly_sensitive: Vec::new(),
        });
        self
    }

    fn recorded(mut self, json: serde_json::Value) -> Self {
        let prior = self.basis.prior.as_mut().unwrap();
        let recorded = attributes(json);
        self.why.drift = terrace_store::diff::changed_attributes(&recorded, &prior.attributes);
        prior.recorded = Some(recorded);
        self
    }

    fn because(mut self, reason: Reason) -> Self {
        self.why.reason = Some(reason);
        self
    }

    fn replaces(mut self, path: &str) -> Self {
        self.why.replace_paths.push(path.parse().unwrap());
        self
    }

    fn loses(mut self, reason: &str, amount: Option<&str>, is_allowed: bool) -> Self {
        let amount = amount.map(ToOwned::to_owned);
        let reasons = vec![reason.to_owned()];
        self.data_loss = Some(DataLossNote { reasons, amount, count: None, is_allowed, only_empty: None });
        self
    }

    fn moved(mut self, from: &str) -> Self {
        self.moved_from = Some(from.parse().unwrap());
        self
    }

    fn imported(mut self, id: &str) -> Self {
        self.import_id = Some(id.to_owned());
        self
    }

    fn doubted(mut self, reason: &str) -> Self {
        self.in_doubt = Some(InDoubt::Own(reason.to_owned()));
        self
    }
}

pub(super) fn output(component: &str, name: &str, before: Option<Value>, after: Option<Value>) -> OutputChange {
    OutputChange {
        component: component.into(),
        name: name.to_owned(),
        before,
        after,
        deferred: None,
        is_newly_sensitive: false,
        is_public: true,
        label: None,
    }
}

pub(super) fn owner(address: &str, component: &str, is_added: bool) -> OwnerChange {
    OwnerChange {
        ownership: Ownership {
            address: address.parse::<Address>().unwrap(),
            stack: StackId::new("demo", "local"),
            component: component.into(),
        },
        action: if is_added { OwnerAction::Add } else { OwnerAction::Drop { is_last: false } },
        declaration: None,
    }
}

pub(super) fn note(severity: Severity, message: &str) -> Note {
    Note {
        severity,
        code: "test_note".to_owned(),
        message: message.to_owned(),
        place: Some(Place { file: "stack.yaml".to_owned(), line: 12, column: 5 }),
        hint: Some("look twice".to_owned()),
        address: Some("demo@local:local_file.a".to_owned()),
    }
}

/// A stack with the components that its changes name.
pub(super) fn stack(name: &str, changes: Vec<Change>) -> StackPlan {
    let mut components: Vec<ComponentPlan> = Vec::new();
    for change in changes.iter().filter(|change| !change.address.is_shared()) {
        if !components.iter().any(|component| component.key == change.address.component) {
            components.push(component(&change.address.component));
        }
    }
    StackPlan {
        stack: StackId::new(name, "local"),
        components,
        changes,
        outputs: Vec::new(),
        deferred: Vec::new(),
        checks: Vec::new(),
        lookups: Vec::new(),
        needs: Vec::new(),
        recorded_outputs: Vec::new(),
        output_reads: Vec::new(),
        owners: Vec::new(),
        owned: Vec::new(),
    }
}

pub(super) fn component(key: &str) -> ComponentPlan {
    ComponentPlan {
        key: key.into(),
        id: None,
        ids: None,
        depends_on: Vec::new(),
        depended_on: Vec::new(),
        reads: Vec::new(),
        recorded_reads: Vec::new(),
        shared: Vec::new(),
        blueprint: None,
        place: None,
        part: Part::Planned,
        is_deferred: false,
        recorded_outputs: Attributes::default(),
        access: None,
        recorded_access: None,
        grants: Vec::new(),
    }
}

pub(super) fn plan(stacks: Vec<StackPlan>) -> Plan {
    Plan {
        id: Uuid::from_u128(7),
        timestamp: Timestamp::UNIX_EPOCH,
        terrace_version: "0.1.0".to_owned(),
        state: Uuid::from_u128(1),
        state_url: String::new(),
        environment: "local".to_owned(),
        environment_note: None,
        mode: Mode::Apply,
        is_complete: true,
        is_errored: false,
        origin: Origin::default(),
        stacks,
        reads: Vec::new(),
        notes: Vec::new(),
    }
}

/// A plan of the stack `demo@local`.
pub(super) fn of(changes: Vec<Change>) -> Plan {
    plan(vec![stack("demo", changes)])
}

/// A plan with all kinds of changes.
pub(super) fn everything() -> Plan {
    use serde_json::json;
    let columns = json!([
        {"name": "ID", "type": "NUMBER(38,0)", "nullable": false}, {"name": "Timestamp", "type": "DATE"},
        {"name": "FAX", "type": "VARCHAR"}, {"name": "A", "type": "INT"}, {"name": "B", "type": "INT"},
    ]);
    let narrowed = json!([
        {"name": "ID", "type": "NUMBER(10,0)", "nullable": false}, {"name": "Timestamp", "type": "DATE"},
        {"name": "A", "type": "INT"}, {"name": "B", "type": "INT"}, {"name": "PHONE", "type": "VARCHAR(10)"},
    ]);
    let changes = vec![
        change("shared/sqlite_database[\"NET.RAW\"]", Action::Create).after(json!({"name": "NET.RAW", "id": "$unknown"})),
        change("storage/sqlite_table.table[\"NETWORK_STATUS\"]", Action::Create)
            .after(json!({"name": "NETWORK_STATUS", "columns": columns, "comment": null, "rows": "$unknown"})),
        change("storage/sqlite_table.orders", Action::Update)
            .before(json!({"name": "orders", "columns": columns, "retention": 3, "tags": {"env": "dev", "team": "x"}}))
            .after(json!({"name": "orders", "columns": narrowed, "retention": 4, "tags": {"env": "dev", "team": "y"}}))
            .loses("column `FAX` is dropped", Some("3 rows"), false),
        change("storage/sqlite_table.log", Action::Replace)
            .before(json!({"name": "log", "engine": "row", "id": "17"}))
            .after(json!({"name": "log", "engine": "column", "id": "$unknown"}))
            .because(Reason::CannotUpdate)
            .replaces("engine")
            .loses("the object is deleted and created again", None, false),
        change("storage/sqlite_view.view", Action::ReplaceCreateFirst)
            .before(json!({"name": "A"}))
            .after(json!({"name": "B"}))
            .because(Reason::CannotUpdate)
            .replaces("name"),
        change("storage/sqlite_view.tainted", Action::Replace)
            .before(json!({"name": "t"}))
            .after(json!({"name": "t"}))
            .because(Reason::Tainted),
        change("job/local_file.job", Action::Update)
            .before(json!({"path": "job.json", "content": "{\n  \"name\": \"job\",\n  \"numExecutors\": 3,\n  \"x\": 1\n}\n"}))
            .after(json!({"path": "job.json", "content": "{\n  \"name\": \"job\",\n  \"numExecutors\": 4,\n  \"x\": 1\n}\n"})),
        change("job/local_file.mended", Action::Update)
            .before(json!({"path": "m", "mode": "0600"}))
            .recorded(json!({"path": "m", "mode": "0644"}))
            .after(json!({"path": "m", "mode": "0644"}))
            .because(Reason::Drifted),
        change("job/local_file.noted", Action::NoOp)
            .before(json!({"path": "n", "size": 2}))
            .recorded(json!({"path": "n", "size": 1}))
            .after(json!({"path": "n", "size": 2})),
        change("job/local_file.same", Action::NoOp).before(json!({"path": "s"})).after(json!({"path": "s"})),
        change("job/local_file.gone", Action::Create).after(json!({"path": "g"})).because(Reason::Gone),
        change("job/local_file.old", Action::Delete).before(json!({"path": "o"})).because(Reason::NoConfig),
        change("job/local_file.part[\"b\"]", Action::Delete).before(json!({"path": "b"})).because(Reason::NoKey),
        change("job/local_file.lost", Action::Forget).before(json!({"path": "l"})).because(Reason::Gone),
        change("job/local_file.there", Action::Adopt)
            .before(json!({"path": "t", "mode": "0600", "id": "t"}))
            .after(json!({"path": "t", "mode": "0644", "id": "t"})),
        change("job/local_file.new", Action::Adopt)
            .before(json!({"path": "new", "mode": "0600"}))
            .after(json!({"path": "new", "mode": "0644"}))
            .imported("out/new")
            .because(Reason::Imported),
        change("job/local_file.renamed", Action::NoOp)
            .before(json!({"path": "r"}))
            .after(json!({"path": "r"}))
            .moved("job/local_file.named"),
        change("job/local_file.renamed_too", Action::Update)
            .before(json!({"path": "q", "mode": "0600"}))
            .after(json!({"path": "q", "mode": "0644"}))
            .moved("work/local_file.named"),
        change("job/local_secret.password", Action::Update)
            .before(json!({"name": "p", "password": {"$secret": "old-hunter2-never-shown"}, "token": "hunter2-never-shown"}))
            .after(json!({"name": "q", "password": {"$secret": "hunter2-never-shown"}, "token": {"$secret": "hunter2-never-shown"}})),
        change("job/local_command.cut", Action::NoOp).doubted("the call was cut off and cannot be looked up"),
        change("archive/sqlite_table.kept", Action::Retain).before(json!({"name": "kept"})).because(Reason::NoComponent),
        change("archive/sqlite_lookup.role", Action::Read).after(json!({"role": "$unknown"})),
    ];
    let mut everything = of(changes);
    everything.environment_note = Some("embedded environment: SQLite and files under .terrace/local".to_owned());
    everything.notes = vec![
        note(Severity::Warning, "component `storage` has no owner"),
        note(Severity::Note, "an operation is running"),
    ];
    let stack = everything.stacks.first_mut().unwrap();
    stack.components.push(component("untouched"));
    if let Some(archive) = stack.components.iter_mut().find(|component| component.key == "archive") {
        archive.part = Part::Removed;
    }
    stack.owners = vec![
        owner("shared/sqlite_database[\"NET.RAW\"]", "storage", true),
        owner("shared/sqlite_database[\"OLD\"]", "storage", false),
    ];
    stack.outputs = vec![
        output("", "path", Some("a.txt".into()), Some("b.txt".into())),
        output("storage", "table", None, Some(Value::Unknown)),
        output("storage", "password", Some(Value::sensitive("x".into())), Some(Value::sensitive(SECRET.into()))),
        output("archive", "old", Some("x".into()), None),
        output("job", "same", Some("x".into()), Some("x".into())),
    ];
    everything
}

//! Rows: written, read, moved, removed, and their history.

use super::fixture::{Fixture, addresses, delete, demo, forget, put, rename, row, row_depending_on};
use std::time::Duration;
use terrace_store::address::{MAX_LENGTH, StackId};
use terrace_store::{HistoryEntry, Record, Row, RowStatus, Sealed, Selection, StoreError, Write};
use uuid::Uuid;

/// A row is read as it was written.
pub async fn row_is_read_back_as_written(fixture: Fixture) {
    let operation = Uuid::now_v7();
    let written = Row {
        status: RowStatus::Tainted,
        schema_version: 7,
        lifecycle: r#"{"preventDestroy":true}"#.to_owned(),
        ..row_depending_on("api/local_file.part[\"x\"]", &["local_value.a", "db/local_file.b[0]"])
    };
    fixture.write_as(operation, vec![put(written.clone(), 0)]).await.unwrap();
    let read = fixture.row("api/local_file.part[\"x\"]").await.unwrap();
    assert_eq!(read, Row { generation: 1, operation, updated_at: read.updated_at, ..written });
}

/// Rows of an older terrace have no version of the provider.
pub async fn row_may_lack_the_version_of_its_provider(fixture: Fixture) {
    let older = Row { provider_version: None, ..row("local_value.a") };
    fixture.write(vec![put(older, 0), put(row("local_value.b"), 0)]).await.unwrap();
    assert_eq!(fixture.row("local_value.a").await.unwrap().provider_version, None);
    assert_eq!(fixture.row("local_value.b").await.unwrap().provider_version.as_deref(), Some("1.2.3"));
}

/// Each put makes a new version.
pub async fn update_raises_the_generation(fixture: Fixture) {
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    fixture.write(vec![put(row("local_value.a"), 1), put(row("local_value.a"), 2)]).await.unwrap();
    assert_eq!(fixture.generation("local_value.a").await, 3);
}

/// A row that is written again is not mistaken for its predecessor.
pub async fn generations_continue_after_a_deletion(fixture: Fixture) {
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    fixture.write(vec![delete("local_value.a", 1)]).await.unwrap();
    assert_eq!(fixture.generation("local_value.a").await, 0);
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    assert_eq!(fixture.generation("local_value.a").await, 3);
}

/// A writer with a wrong expectation changes nothing.
pub async fn stale_write_refuses_the_whole_commit(fixture: Fixture) {
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    for stale in [
        put(row("local_value.a"), 0),
        put(row("local_value.a"), 2),
        put(row("local_value.absent"), 1),
        delete("local_value.a", 2),
        delete("local_value.absent", 0),
        rename("local_value.a", "local_value.b", 9),
        rename("local_value.absent", "local_value.b", 1),
    ] {
        let result = fixture.write(vec![put(row("local_value.new"), 0), stale.clone()]).await;
        assert!(matches!(result, Err(StoreError::Stale(_))), "{stale:?}: {result:?}");
    }
    assert_eq!(fixture.names(&Selection::All).await, ["local_value.a"]);
    assert_eq!(fixture.generation("local_value.a").await, 1);
}

/// Databases index addresses, and have a maximum length: the store refuses a longer one before any effect.
pub async fn too_long_address_is_refused(fixture: Fixture) {
    let operation = fixture.begin().await;
    let address = |bytes: usize| format!("local_value.a[\"{}\"]", "k".repeat(bytes - "local_value.a[\"\"]".len()));
    let intent = |bytes: usize| Record::Intent(Box::new(super::fixture::intent(operation, 1, row(&address(bytes)))));
    let error = fixture.store.commit(&[], vec![intent(MAX_LENGTH + 1)]).await.unwrap_err().to_string();
    assert!(error.contains("an address of 1025 bytes cannot be recorded"), "{error}");
    assert!(fixture.write(vec![put(row(&address(MAX_LENGTH + 1)), 0)]).await.is_err());
    assert!(fixture.store.open_intents(&demo(), &Selection::All).await.unwrap().is_empty());
    fixture.write(vec![put(row(&address(MAX_LENGTH)), 0)]).await.unwrap();
}

/// A commit is atomic for rows, steps, logs and plans alike.
pub async fn refused_commit_leaves_no_record(fixture: Fixture) {
    let (operation, plan) = (fixture.begin().await, Uuid::now_v7());
    let records = [
        Record::SpendPlan { plan, reads: Vec::new(), components: Vec::new() },
        Record::Intent(Box::new(super::fixture::intent(operation, 1, row("local_value.a")))),
        Record::Log {
            operation,
            level: "INFO".to_owned(),
            phase: "apply".to_owned(),
            message: "never written".to_owned(),
        },
        Record::Write { operation, write: put(row("local_value.b"), 0) },
        Record::Write { operation, write: delete("local_value.absent", 1) },
    ];
    assert!(fixture.store.commit(&[], records.into()).await.is_err());
    assert!(!fixture.store.is_spent(plan).await.unwrap());
    assert!(fixture.store.open_intents(&demo(), &Selection::All).await.unwrap().is_empty());
    assert!(fixture.store.logs(operation, 0).await.unwrap().is_empty());
    assert!(fixture.store.history(&demo(), &super::fixture::address("local_value.b")).await.unwrap().is_empty());
    let (_, steps) = fixture.store.operation(operation).await.unwrap().unwrap();
    assert!(steps.is_empty());
    // The generation of the refused commit is used again.
    fixture.write(vec![put(row("local_value.b"), 0)]).await.unwrap();
    assert_eq!(fixture.generation("local_value.b").await, 1);
}

/// Only the selected rows are read.
pub async fn selections_pick_components_and_addresses(fixture: Fixture) {
    let names = ["local_value.own", "a/local_value.x", "a/b/local_value.x", "ab/local_value.x"];
    fixture.write(names.iter().map(|name| put(row(name), 0)).collect()).await.unwrap();
    let of = |keys: &[&str]| Selection::Components(keys.iter().map(|key| (*key).into()).collect());
    assert_eq!(fixture.names(&of(&["a"])).await, ["a/local_value.x"]);
    assert_eq!(fixture.names(&of(&["a/b", "", "none"])).await, ["local_value.own", "a/b/local_value.x"]);
    let chosen = addresses(&["ab/local_value.x", "local_value.own", "local_value.absent"]);
    assert_eq!(fixture.names(&chosen).await, ["local_value.own", "ab/local_value.x"]);
    assert!(fixture.names(&addresses(&[])).await.is_empty());
    assert_eq!(fixture.names(&Selection::All).await.len(), names.len());
}

/// The order is that of addresses, not that of their texts.
pub async fn rows_are_sorted_by_address(fixture: Fixture) {
    let sorted = [
        "local_value.a",
        "local_value.a[2]",
        "local_value.a[10]",
        "local_value.a[\"2\"]",
        "local_value.a-b",
        "a/local_value.z",
        "a!/local_value.a",
        "a/b/local_value.a",
    ];
    fixture.write(sorted.iter().rev().map(|name| put(row(name), 0)).collect()).await.unwrap();
    let mut expected: Vec<_> = sorted.iter().map(|name| super::fixture::address(name)).collect();
    expected.sort();
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(fixture.names(&Selection::All).await, expected);
    assert_eq!(fixture.names(&addresses(&sorted)).await, expected);
}

/// A replacement that creates first has two rows with one address, which share a sequence of generations.
pub async fn deposed_row_exists_beside_its_successor(fixture: Fixture) {
    let deposed = |expected| put(Row { deposed: Some("old".to_owned()), ..row("local_value.a") }, expected);
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    fixture.write(vec![deposed(0), put(row("local_value.a"), 1)]).await.unwrap();
    let rows = fixture.store.rows(&demo(), &addresses(&["local_value.a"])).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.deposed.as_deref(), row.generation)).collect();
    assert_eq!(seen, [(None, 3), (Some("old"), 2)]);
    let gone = Write::Delete {
        stack: demo(),
        address: super::fixture::address("local_value.a"),
        deposed: Some("old".to_owned()),
        expected: 2,
    };
    fixture.write(vec![gone]).await.unwrap();
    assert_eq!(fixture.names(&Selection::All).await, ["local_value.a"]);
    let history = fixture.store.history(&demo(), &super::fixture::address("local_value.a")).await.unwrap();
    let generations: Vec<_> = history.iter().map(|entry| entry.generation).collect();
    assert_eq!(generations, [3, 1], "the history is that of the current object");
}

/// A deposed row is the same object: a plan with its generation stays valid, and so does the history.
pub async fn deposing_keeps_generation_and_history(fixture: Fixture) {
    let address = || super::fixture::address("local_value.a");
    let depose = |expected| Write::Depose { stack: demo(), address: address(), key: "1".to_owned(), expected };
    fixture.write(vec![put(row_depending_on("local_value.a", &["local_value.root"]), 0)]).await.unwrap();
    assert!(matches!(fixture.write(vec![depose(2)]).await, Err(StoreError::Stale(_))));
    fixture.write(vec![depose(1), put(row("local_value.a"), 0)]).await.unwrap();
    assert!(matches!(fixture.write(vec![depose(1)]).await, Err(StoreError::Stale(_))));
    let rows = fixture.store.rows(&demo(), &addresses(&["local_value.a"])).await.unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row.deposed.as_deref(), row.generation, row.dependencies.len())).collect();
    assert_eq!(seen, [(None, 2, 0), (Some("1"), 1, 1)]);
    fixture
        .write(vec![put(row("local_value.root"), 0), rename("local_value.root", "local_value.trunk", 1)])
        .await
        .unwrap();
    let rows = fixture.store.rows(&demo(), &addresses(&["local_value.a"])).await.unwrap();
    assert_eq!(rows[1].dependencies, [super::fixture::address("local_value.trunk")]);
    let gone = Write::Delete { stack: demo(), address: address(), deposed: Some("1".to_owned()), expected: 1 };
    fixture.write(vec![gone]).await.unwrap();
    assert_eq!(fixture.generation("local_value.a").await, 2);
    let history = fixture.store.history(&demo(), &address()).await.unwrap();
    let generations: Vec<_> = history.iter().map(|entry| entry.generation).collect();
    assert_eq!(generations, [2, 1], "the history is that of the address");
}

/// Every version can be read.
pub async fn history_has_the_newest_version_first(fixture: Fixture) {
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let sized =
        |size: u32| Row { attributes: Sealed::from_stored(format!(r#"{{"size":{size}}}"#)), ..row("local_value.a") };
    fixture.write_as(first, vec![put(sized(1), 0)]).await.unwrap();
    fixture.clock.advance(Duration::from_secs(5));
    fixture.write_as(second, vec![put(sized(2), 1)]).await.unwrap();
    fixture.write_as(second, vec![delete("local_value.a", 2)]).await.unwrap();
    let history = fixture.store.history(&demo(), &super::fixture::address("local_value.a")).await.unwrap();
    let seen: Vec<_> = history
        .iter()
        .map(|entry: &HistoryEntry| {
            (entry.generation, entry.operation, entry.row.as_ref().map(|row| row.attributes.as_str()))
        })
        .collect();
    assert_eq!(seen, [(3, second, None), (2, second, Some(r#"{"size":2}"#)), (1, first, Some(r#"{"size":1}"#))]);
    assert_eq!(history[1].at.duration_since(history[2].at).as_secs(), 5);
    assert_eq!(history[2].row.as_ref().unwrap().generation, 1);
}

/// Dependencies name the new address, without new generations.
pub async fn dependents_follow_a_moved_row(fixture: Fixture) {
    let rows = [
        row_depending_on("local_value.a", &["local_value.root"]),
        row("local_value.root"),
        row_depending_on("x/local_value.b", &["local_value.root", "local_value.a"]),
        row_depending_on("x/local_value.c", &["local_value.b"]),
    ];
    fixture.write(rows.into_iter().map(|row| put(row, 0)).collect()).await.unwrap();
    fixture.write(vec![rename("local_value.a", "y/local_value.moved", 1)]).await.unwrap();
    assert!(fixture.row("local_value.a").await.is_none());
    let moved = fixture.row("y/local_value.moved").await.unwrap();
    assert_eq!((moved.generation, moved.dependencies), (1, vec![super::fixture::address("local_value.root")]));
    assert_eq!(moved.identity, row("local_value.a").identity);
    let dependent = fixture.row("x/local_value.b").await.unwrap();
    let expected = ["local_value.root", "y/local_value.moved"].map(super::fixture::address);
    assert_eq!((dependent.generation, dependent.dependencies), (1, expected.to_vec()));
    // The second move shows that redirected dependencies are found, too.
    fixture.write(vec![rename("y/local_value.moved", "local_value.a", 1)]).await.unwrap();
    assert_eq!(fixture.generation("local_value.a").await, 3);
    let expected = ["local_value.a", "local_value.root"].map(super::fixture::address);
    assert_eq!(fixture.row("x/local_value.b").await.unwrap().dependencies, expected);
    fixture.write(vec![rename("local_value.root", "local_value.trunk", 1)]).await.unwrap();
    let trunk = [super::fixture::address("local_value.trunk")];
    assert_eq!(fixture.row("local_value.a").await.unwrap().dependencies, trunk);
}

/// A dependency on all instances gains the address of a moved one, and disappears with the last instance.
pub async fn dependents_of_all_instances_follow_moved_ones(fixture: Fixture) {
    let rows = [
        row("local_value.a[\"x\"]"),
        row("local_value.a[\"y\"]"),
        // These sort next to the instances, but are not instances.
        row("local_value.a"),
        row("local_value.a-b[\"x\"]"),
        row_depending_on("local_value.user", &["local_value.a[*]"]),
    ];
    fixture.write(rows.into_iter().map(|row| put(row, 0)).collect()).await.unwrap();
    let follow = |to: &str| Write::Follow {
        stack: demo(),
        block: super::fixture::address("local_value.a[*]"),
        to: super::fixture::address(to),
    };
    let moved = rename("local_value.a[\"x\"]", "x/local_value.b", 1);
    fixture.write(vec![moved, follow("x/local_value.b")]).await.unwrap();
    let user = fixture.row("local_value.user").await.unwrap();
    let expected = ["local_value.a[*]", "x/local_value.b"].map(super::fixture::address);
    assert_eq!((user.generation, user.dependencies), (1, expected.to_vec()));
    let moved = rename("local_value.a[\"y\"]", "local_value.c", 1);
    fixture.write(vec![moved, follow("local_value.c")]).await.unwrap();
    let expected = ["local_value.c", "x/local_value.b"].map(super::fixture::address);
    assert_eq!(fixture.row("local_value.user").await.unwrap().dependencies, expected);
}

/// The order of removal stays the same. A row never depends on itself, and is otherwise unchanged.
pub async fn dependents_inherit_dependencies_of_a_forgotten_row(fixture: Fixture) {
    let rows = [
        row("local_value.root"),
        row_depending_on("local_value.a", &["local_value.root", "x/local_value.b"]),
        row_depending_on("x/local_value.b", &["local_value.a", "local_value.other"]),
    ];
    fixture.write(rows.into_iter().map(|row| put(row, 0)).collect()).await.unwrap();
    fixture.write(vec![forget("local_value.a", 1)]).await.unwrap();
    let dependent = fixture.row("x/local_value.b").await.unwrap();
    let expected = ["local_value.other", "local_value.root"].map(super::fixture::address);
    assert_eq!((dependent.generation, dependent.dependencies), (1, expected.to_vec()));
    assert!(fixture.row("local_value.a").await.is_none());
    // The next removal finds the inherited dependency.
    fixture.write(vec![forget("local_value.root", 1)]).await.unwrap();
    let dependent = fixture.row("x/local_value.b").await.unwrap();
    assert_eq!(dependent.dependencies, [super::fixture::address("local_value.other")]);
    let result = fixture.write(vec![forget("local_value.root", 1)]).await;
    assert!(matches!(result, Err(StoreError::Stale(_))), "{result:?}");
}

/// The dependency stays while a deposed object or an instance exists.
pub async fn dependency_stays_until_the_last_object_is_forgotten(fixture: Fixture) {
    let deposed = Row { deposed: Some("old".to_owned()), ..row("local_value.a") };
    let rows = [
        deposed.clone(),
        row_depending_on("local_value.a", &["local_value.root"]),
        row("local_value.many[\"x\"]"),
        row_depending_on("local_value.many[\"y\"]", &["local_value.root"]),
        row_depending_on("local_value.user", &["local_value.a", "local_value.many[*]"]),
    ];
    fixture.write(rows.into_iter().map(|row| put(row, 0)).collect()).await.unwrap();
    let of_user = async || fixture.row("local_value.user").await.unwrap().dependencies;
    let expected = |names: &[&str]| -> Vec<_> { names.iter().map(|name| super::fixture::address(name)).collect() };
    let gone = Write::Forget { stack: demo(), address: deposed.address, deposed: deposed.deposed, expected: 1 };
    fixture.write(vec![gone, forget("local_value.many[\"x\"]", 1)]).await.unwrap();
    assert_eq!(of_user().await, expected(&["local_value.a", "local_value.many[*]"]));
    fixture.write(vec![forget("local_value.many[\"y\"]", 1)]).await.unwrap();
    assert_eq!(of_user().await, expected(&["local_value.a", "local_value.root"]));
    fixture.write(vec![forget("local_value.a", 2)]).await.unwrap();
    assert_eq!(of_user().await, expected(&["local_value.root"]));
}

/// Rows of any stack may depend on a shared object. They do not inherit dependencies of its owner.
pub async fn forgotten_shared_row_is_no_dependency_in_any_stack(fixture: Fixture) {
    let shared = |stack: StackId| Row { stack, ..row_depending_on("shared/local_value[\"a\"]", &["local_value.own"]) };
    let user = |name: &str, environment: &str| Row {
        stack: StackId::new(name, environment),
        ..row_depending_on("local_value.user", &["shared/local_value[\"a\"]"])
    };
    let (here, elsewhere) = (StackId::shared("local"), StackId::shared("other"));
    let rows =
        [shared(here.clone()), shared(elsewhere), user("one", "local"), user("two", "local"), user("one", "other")];
    fixture.write(rows.into_iter().map(|row| put(row, 0)).collect()).await.unwrap();
    let address = super::fixture::address("shared/local_value[\"a\"]");
    let gone = Write::Forget { stack: here, address: address.clone(), deposed: None, expected: 1 };
    fixture.write(vec![gone]).await.unwrap();
    for (name, environment, expected) in
        [("one", "local", Vec::new()), ("two", "local", Vec::new()), ("one", "other", vec![address])]
    {
        let stack = StackId::new(name, environment);
        let rows = fixture.store.rows(&stack, &Selection::All).await.unwrap();
        assert_eq!(rows[0].dependencies, expected, "{stack}");
    }
}

/// Rows of all stacks in the environment still depend on the moved object.
pub async fn dependents_in_all_stacks_follow_a_moved_shared_row(fixture: Fixture) {
    const FROM: &str = "shared/local_value[\"a\"]";
    const TO: &str = "shared/local_value[\"b\"]";
    let shared = |environment: &str| Row { stack: StackId::shared(environment), ..row(FROM) };
    let user = |name: &str, environment: &str| Row {
        stack: StackId::new(name, environment),
        ..row_depending_on("local_value.user", &["local_value.own", FROM])
    };
    let beside = Row { stack: StackId::shared("local"), ..row_depending_on("shared/local_value[\"c\"]", &[FROM]) };
    let rows =
        [shared("local"), beside, shared("other"), user("one", "local"), user("two", "local"), user("one", "other")];
    fixture.write(rows.into_iter().map(|row| put(row, 0)).collect()).await.unwrap();
    let (from, to) = (super::fixture::address(FROM), super::fixture::address(TO));
    fixture.write(vec![Write::Move { stack: StackId::shared("local"), from, to, expected: 1 }]).await.unwrap();
    for (name, environment, expected) in [("one", "local", TO), ("two", "local", TO), ("one", "other", FROM)] {
        let rows = fixture.store.rows(&StackId::new(name, environment), &Selection::All).await.unwrap();
        let dependencies: Vec<String> = rows[0].dependencies.iter().map(ToString::to_string).collect();
        assert_eq!(dependencies, ["local_value.own", expected], "{name}@{environment}");
        assert_eq!(rows[0].generation, 1, "{name}@{environment}");
    }
    let rows = fixture.store.rows(&StackId::shared("local"), &Selection::All).await.unwrap();
    let of_rows: Vec<_> = rows.iter().map(|row| (row.address.to_string(), row.dependencies.len())).collect();
    assert_eq!(of_rows, [(TO.to_owned(), 0), ("shared/local_value[\"c\"]".to_owned(), 1)]);
    assert_eq!(rows[1].dependencies, [super::fixture::address(TO)]);
}

/// The store finds retained rows by their environment, in all its stacks.
pub async fn retained_rows_are_found_in_all_stacks_of_an_environment(fixture: Fixture) {
    let row_of = |name: &str, environment: &str, status: RowStatus, address: &str| Row {
        stack: StackId::new(name, environment),
        status,
        ..row(address)
    };
    let rows = [
        row_of("two", "local", RowStatus::Retained, "local_value.b"),
        row_of("one", "local", RowStatus::Retained, "local_value.a"),
        row_of("one", "local", RowStatus::Ready, "local_value.c"),
        row_of("one", "local", RowStatus::Tainted, "local_value.d"),
        row_of("one", "other", RowStatus::Retained, "local_value.a"),
    ];
    fixture.write(rows.into_iter().map(|row| put(row, 0)).collect()).await.unwrap();
    let found = fixture.store.retained_rows("local").await.unwrap();
    let names: Vec<String> = found.iter().map(|row| format!("{}:{}", row.stack, row.address)).collect();
    assert_eq!(names, ["one@local:local_value.a", "two@local:local_value.b"]);
    assert!(found.iter().all(|row| row.status == RowStatus::Retained && row.generation == 1));
    assert!(fixture.store.retained_rows("empty").await.unwrap().is_empty());
}

/// An address has several objects.
pub async fn deposed_objects_move_with_their_address(fixture: Fixture) {
    let deposed = Row { deposed: Some("old".to_owned()), ..row("local_value.a") };
    fixture.write(vec![put(deposed, 0), put(row("local_value.a"), 0)]).await.unwrap();
    fixture.write(vec![rename("local_value.a", "local_value.b", 2)]).await.unwrap();
    let rows = fixture.store.rows(&demo(), &Selection::All).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.address.to_string(), row.deposed.as_deref())).collect();
    assert_eq!(seen, [("local_value.b".to_owned(), None), ("local_value.b".to_owned(), Some("old"))]);
}

/// Old and current versions get other texts, and are otherwise unchanged.
pub async fn version_is_resealed(fixture: Fixture) {
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    fixture.write(vec![put(row("local_value.a"), 1)]).await.unwrap();
    let reseal = |generation, attributes: &str| Write::Reseal {
        row: Box::new(Row { generation, attributes: Sealed::from_stored(attributes), ..row("local_value.a") }),
    };
    fixture.write(vec![reseal(1, r#"{"old":1}"#), reseal(2, r#"{"new":1}"#), reseal(9, "{}")]).await.unwrap();
    let current = fixture.row("local_value.a").await.unwrap();
    assert_eq!((current.generation, current.attributes.as_str()), (2, r#"{"new":1}"#));
    let history = fixture.store.history(&demo(), &super::fixture::address("local_value.a")).await.unwrap();
    let texts: Vec<_> = history.iter().map(|entry| entry.row.as_ref().unwrap().attributes.as_str()).collect();
    assert_eq!(texts, [r#"{"new":1}"#, r#"{"old":1}"#]);
}

/// A moved row is resealed for its new address in the transaction of the move, which determines its generation.
pub async fn moved_row_is_resealed(fixture: Fixture) {
    let old = Row { deposed: Some("old".to_owned()), ..row("local_value.a") };
    fixture.write(vec![put(old, 0), put(row("local_value.a"), 0), put(row("local_value.c"), 0)]).await.unwrap();
    let resealed = |address: &str, deposed: Option<&str>, attributes: &str| Write::Reseal {
        row: Box::new(Row {
            generation: 0,
            deposed: deposed.map(str::to_owned),
            attributes: Sealed::from_stored(attributes),
            ..row(address)
        }),
    };
    let rename = rename("local_value.a", "local_value.b", fixture.row("local_value.a").await.unwrap().generation);
    let reseal = [resealed("local_value.b", None, "{\"b\":1}"), resealed("local_value.b", Some("old"), "{\"old\":1}")];
    let none = resealed("local_value.d", None, "{}");
    fixture.write([rename].into_iter().chain(reseal).chain([none]).collect()).await.unwrap();
    let rows = fixture.store.rows(&demo(), &Selection::All).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.address.to_string(), row.attributes.clone())).collect();
    let text = |text: &str| text.to_owned();
    let sealed = |text: &str| Sealed::from_stored(text);
    let other = row("local_value.c").attributes;
    assert_eq!(
        seen,
        [
            (text("local_value.b"), sealed("{\"b\":1}")),
            (text("local_value.b"), sealed("{\"old\":1}")),
            (text("local_value.c"), other),
        ]
    );
}

/// A move never overwrites.
pub async fn move_to_an_occupied_address_is_refused(fixture: Fixture) {
    fixture.write(vec![put(row("local_value.a"), 0), put(row("local_value.b"), 0)]).await.unwrap();
    let result = fixture.write(vec![rename("local_value.a", "local_value.b", 1)]).await;
    assert!(matches!(result, Err(StoreError::Occupied { .. })), "{result:?}");
    assert_eq!(fixture.names(&Selection::All).await, ["local_value.a", "local_value.b"]);
}

/// The store sets time and operation of a version.
pub async fn put_stamps_time_and_operation(fixture: Fixture) {
    let operation = Uuid::now_v7();
    fixture.clock.advance(Duration::from_secs(60));
    fixture.write_as(operation, vec![put(row("local_value.a"), 0)]).await.unwrap();
    let read = fixture.row("local_value.a").await.unwrap();
    assert_eq!(read.updated_at.duration_since(super::fixture::start_of_time()).as_secs(), 60);
    assert_eq!(read.operation, operation);
}

/// Stores treat all texts and bytes alike.
pub async fn odd_texts_and_bytes_survive_a_round_trip(fixture: Fixture) {
    let odd = Row {
        attributes: Sealed::from_stored("{\"q\":\"'; DROP TABLE resource; --\",\"nul\":\"\u{0}\",\"snow\":\"☃\"}"),
        identity: Sealed::default(),
        private: (0..=255).collect(),
        ..row("local_file.part[\"a \\\" ' % _ ☃ ]\"]")
    };
    fixture.write(vec![put(odd.clone(), 0)]).await.unwrap();
    let rows = fixture.store.rows(&demo(), &Selection::All).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0].address, &rows[0].attributes), (&odd.address, &odd.attributes));
    assert_eq!((&rows[0].identity, &rows[0].private), (&odd.identity, &odd.private));
}

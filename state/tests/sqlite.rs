//! The contract with SQLite, in a file and in memory.

mod file {
    use std::sync::Arc;
    use terrace_state::contract::{Fixture, start_of_time};
    use terrace_state::{Access, ManualClock, StoreUrl};

    async fn in_a_file() -> Fixture {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::at(start_of_time()));
        let url = StoreUrl::Sqlite(folder.path().join("state.db"));
        let store = terrace_state::open_with_clock(&url, Access::ReadWrite, clock.clone()).await.unwrap();
        let reopen = Box::new(move |clock: Arc<ManualClock>| {
            let (url, folder) = (url.clone(), Arc::clone(&folder));
            Box::pin(async move {
                let store = terrace_state::open_with_clock(&url, Access::ReadWrite, clock).await.unwrap();
                drop(folder);
                store
            }) as _
        });
        Fixture { store, clock, reopen: Some(reopen) }
    }

    terrace_state::store_contract!(in_a_file);
}

mod memory {
    use std::sync::Arc;
    use terrace_state::contract::{Fixture, start_of_time};
    use terrace_state::{Access, ManualClock, StoreUrl};

    async fn in_memory() -> Fixture {
        let clock = Arc::new(ManualClock::at(start_of_time()));
        let url = StoreUrl::SqliteMemory;
        let store = terrace_state::open_with_clock(&url, Access::ReadWrite, clock.clone()).await.unwrap();
        Fixture { store, clock, reopen: None }
    }

    terrace_state::store_contract!(in_memory);
}

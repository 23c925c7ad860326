//! The contract with the store in memory.

use std::sync::Arc;
use terrace_state::contract::{Fixture, start_of_time};
use terrace_state::{ManualClock, MemoryStore};

async fn memory() -> Fixture {
    let clock = Arc::new(ManualClock::at(start_of_time()));
    Fixture { store: Arc::new(MemoryStore::with_clock(clock.clone())), clock, reopen: None }
}

terrace_state::store_contract!(memory);

//! Fuzzes descriptors and blueprints: reads, checks, compiles, plans and renders them.
#![no_main]

#[path = "../exercise.rs"]
mod exercise;

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use terrace_engine::registry::Registry;
use terrace_provider::Provider;
use terrace_provider_local::LocalProvider;
use terrace_provider_sqlite::SqliteProvider;

static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(|| {
    let providers: Vec<Arc<dyn Provider>> = vec![Arc::new(LocalProvider::new()), Arc::new(SqliteProvider::new())];
    Arc::new(Registry::new(providers, Vec::new()).offline())
});

fuzz_target!(|text: &str| {
    let report = exercise::describe(text, &REGISTRY);
    assert!(report.without_place.is_empty(), "without a place: {:?}", report.without_place);
});

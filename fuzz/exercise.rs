//! Exercises the engine with hostile input, in the fuzzer and in a test over the corpus.
#![allow(dead_code, reason = "each target uses its part")]
#![allow(clippy::expect_used, reason = "a failure here is a finding")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use terrace_engine::blueprint::check::check;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::blueprint::{self, Library, Origin};
use terrace_engine::compile::Compiler;
use terrace_engine::descriptor;
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_engine::engine::Engine;
use terrace_engine::environment::Environment;
use terrace_engine::plan::options::Options;
use terrace_engine::plan::{Plan, file};
use terrace_engine::registry::Registry;
use terrace_engine::render::{human, json, markdown};
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::store::ServerStore;
use terrace_engine::yaml::Budget;
use terrace_state::{SystemClock, in_memory};

/// Separates a descriptor from the blueprint after it.
pub const BOUNDARY: &str = "\n=== blueprint\n";
/// A key, because sensitive values cannot be planned without one.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The diagnostics of an input.
#[derive(Debug, Default)]
pub struct Report {
    /// All diagnostics: `error[code]: message`.
    pub all: Vec<String>,
    /// The errors without a place.
    pub without_place: Vec<String>,
    /// The body of the plan file, if the input was planned.
    pub plan: Option<String>,
}

impl Report {
    fn add(&mut self, diagnostics: &[Diagnostic], sources: &Sources) {
        for diagnostic in diagnostics {
            let line = format!("{:?}[{}]: {}", diagnostic.severity, diagnostic.code, diagnostic.message);
            if diagnostic.is_error() && diagnostic.place(sources).is_none() {
                self.without_place.push(line.clone());
            }
            self.all.push(line);
        }
    }
}

/// A store without rows. No input writes to it.
fn empty_store() -> &'static dyn ServerStore {
    static EMPTY: OnceLock<Arc<dyn ServerStore>> = OnceLock::new();
    &**EMPTY.get_or_init(|| in_memory(Arc::new(SystemClock)).expect("SQLite opens a store in memory"))
}

/// Reads a descriptor, and a blueprint if one follows, as far as possible, and plans the result.
pub fn describe(text: &str, registry: &Arc<Registry>) -> Report {
    let (described, blueprint) = text.split_once(BOUNDARY).map_or((text, None), |(one, other)| (one, Some(other)));
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let engine = Engine {
        registry: Arc::clone(registry),
        functions: Arc::default(),
        seal: Arc::new(Seal::with_key(KEY, &[]).expect("the key is one")),
        environment: Environment { name: "local".to_owned(), ..Environment::default() },
        version: "0.0.0",
    };
    let id = sources.add("descriptor.yaml", described);
    let (descriptors, mut found) = descriptor::read(&mut sources, &[id], &Budget::default());
    let mut blueprints = Vec::new();
    if let Some(text) = blueprint {
        let id = sources.add("blueprint.yaml", text);
        let origin = Origin { file: "blueprint.yaml".to_owned(), is_built_in: false };
        let (blueprint, diagnostics) = blueprint::read(id, &sources, origin, &|_| None, &Budget::default());
        found.extend(diagnostics);
        if let Some(blueprint) = &blueprint {
            report.add(&check(blueprint, registry, &engine.functions), &sources);
        }
        blueprints.extend(blueprint);
    }
    let (library, diagnostics) = Library::new(blueprints, None);
    found.extend(diagnostics);
    report.add(&found, &sources);
    if has_errors(&found) {
        return report;
    }
    let (templates, variables) = (Templates::new(), BTreeMap::new());
    let compiler = Compiler {
        sources: &sources,
        functions: &engine.functions,
        environment: &engine.environment,
        library: &library,
        templates: &templates,
        variables: &variables,
        latest_enriched: None,
    };
    let mut stacks = Vec::new();
    for descriptor in &descriptors {
        let (compiled, diagnostics) = compiler.compile(descriptor, &BTreeSet::new());
        report.add(&diagnostics, &sources);
        stacks.extend(compiled.filter(|_| !has_errors(&diagnostics)));
    }
    let (store, options) = (empty_store(), Options::default());
    let planner = engine.planner(store, &sources, &options, (jiff::Timestamp::UNIX_EPOCH, uuid::Uuid::nil()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let computed = runtime.block_on(planner.plan(&stacks, Default::default())).expect("an empty store can be read");
    report.add(&computed.diagnostics, &sources);
    let written = show(&computed.plan, &engine.seal);
    report.plan =
        written.split_once("\"plan\":").and_then(|(_, rest)| rest.trim_end().strip_suffix('}')).map(str::to_owned);
    report.plan = report.plan.filter(|_| !stacks.is_empty() && !computed.plan.is_errored);
    report
}

/// Reads a plan file with that body, and returns whether it is valid. Renders, writes and reads a valid plan again.
pub fn plan_file(body: &str) -> bool {
    let seal = Seal::with_key(KEY, &[]).expect("the key is one");
    let text = file::enclose(body, &seal).expect("every text can be enclosed");
    // Read the body both as a whole file and enclosed in one.
    let _ = file::read(body, &seal);
    match file::read(&text, &seal) {
        Ok(plan) => {
            show(&plan, &seal);
            true
        }
        Err(_) => false,
    }
}

/// Renders a plan in every form, and returns its file.
fn show(plan: &Plan, seal: &Seal) -> String {
    let digest = file::digest(plan, seal).expect("a plan has a digest");
    for detail in [human::Detail::Summary, human::Detail::Compact, human::Detail::Full] {
        let _ = human::plan(plan, &human::Human { detail, width: 40, ..human::Human::default() });
    }
    let comment = markdown::plan(
        plan,
        &markdown::Markdown {
            max_chars: 0,
            max_bytes: 0,
            digest: &digest,
            command: "terrace show plan.json",
            consent: markdown::Markdown::CONSENT,
        },
    );
    assert!(comment.chars().count() <= markdown::Markdown::LEAST_CHARS, "a comment exceeds its budget");
    let _ = json::plan(plan, &digest);
    let written = file::write(plan, seal).expect("every plan can be written with a key");
    let again = file::read(&written, seal).expect("a written plan can be read");
    assert_eq!(file::digest(&again, seal).expect("a plan has a digest"), digest, "the plan changed");
    written
}

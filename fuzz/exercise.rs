//! What is done with hostile input: by the fuzzer, and by a test of the engine over the corpus.
#![allow(dead_code, reason = "each target uses its part")]
#![allow(clippy::expect_used, reason = "what fails here is a find")]

use std::collections::{BTreeMap, BTreeSet};
use terrace_engine::blueprint::check::check;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::blueprint::{self, Library, Origin};
use terrace_engine::compile::Compiler;
use terrace_engine::descriptor;
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_engine::expression::Functions;
use terrace_engine::plan::compute::{Environment, Options, Planner};
use terrace_engine::plan::{Plan, file};
use terrace_engine::registry::Registry;
use terrace_engine::render::{human, json, markdown};
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::yaml::Budget;
use terrace_state::MemoryStore;

/// Parts a descriptor from the blueprint after it.
pub const BOUNDARY: &str = "\n=== blueprint\n";
/// A key, so that sensitive values can be planned.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What was said of an input.
#[derive(Debug, Default)]
pub struct Told {
    /// All that was said: `error[code]: message`.
    pub all: Vec<String>,
    /// The errors that point at no place.
    pub without_place: Vec<String>,
    /// The body of the plan file, when it was planned.
    pub plan: Option<String>,
}

impl Told {
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

/// Reads a descriptor, and a blueprint when there is one after it, as far as they can be read; plans what can be planned.
pub fn describe(text: &str, registry: &Registry) -> Told {
    let (described, blueprint) = text.split_once(BOUNDARY).map_or((text, None), |(one, other)| (one, Some(other)));
    let (mut sources, mut told) = (Sources::default(), Told::default());
    let functions = Functions::default();
    let id = sources.add("descriptor.yaml", described);
    let (descriptors, mut found) = descriptor::read(&mut sources, &[id], &Budget::default());
    let mut blueprints = Vec::new();
    if let Some(text) = blueprint {
        let id = sources.add("blueprint.yaml", text);
        let origin = Origin { file: "blueprint.yaml".to_owned(), is_built_in: false };
        let (blueprint, diagnostics) = blueprint::read(id, &sources, origin, &|_| None, &Budget::default());
        found.extend(diagnostics);
        if let Some(blueprint) = &blueprint {
            told.add(&check(blueprint, registry, &functions), &sources);
        }
        blueprints.extend(blueprint);
    }
    let (library, diagnostics) = Library::new(blueprints, None);
    found.extend(diagnostics);
    told.add(&found, &sources);
    if has_errors(&found) {
        return told;
    }
    let environment = Environment { name: "local".to_owned(), ..Environment::default() };
    let (templates, variables) = (Templates::new(), BTreeMap::new());
    let compiler = Compiler {
        sources: &sources,
        functions: &functions,
        environment: &environment,
        library: &library,
        templates: &templates,
        variables: &variables,
        latest_enriched: None,
    };
    let mut stacks = Vec::new();
    for descriptor in &descriptors {
        let (compiled, diagnostics) = compiler.compile(descriptor, &BTreeSet::new());
        told.add(&diagnostics, &sources);
        stacks.extend(compiled.filter(|_| !has_errors(&diagnostics)));
    }
    let (store, options) = (MemoryStore::new(), Options::default());
    let seal = Seal::with_key(KEY, &[]).expect("the key is one");
    let planner = Planner {
        store: &store,
        registry,
        functions: &functions,
        seal: &seal,
        sources: &sources,
        environment: &environment,
        options: &options,
        now: jiff::Timestamp::UNIX_EPOCH,
        id: uuid::Uuid::nil(),
        version: "0.0.0",
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let computed = runtime.block_on(planner.plan(&stacks, Default::default())).expect("an empty store can be read");
    told.add(&computed.diagnostics, &sources);
    let written = show(&computed.plan, &seal);
    told.plan =
        written.split_once("\"plan\":").and_then(|(_, rest)| rest.trim_end().strip_suffix('}')).map(str::to_owned);
    told.plan = told.plan.filter(|_| !stacks.is_empty() && !computed.plan.is_errored);
    told
}

/// Reads a plan file with that body; answers whether it is one. What could be read is shown, written and read again.
pub fn plan_file(body: &str) -> bool {
    let seal = Seal::with_key(KEY, &[]).expect("the key is one");
    let text = file::enclose(body, &seal).expect("every text can be enclosed");
    // As it is, and as what it says it is.
    let _ = file::read(body, &seal);
    match file::read(&text, &seal) {
        Ok(plan) => {
            show(&plan, &seal);
            true
        }
        Err(_) => false,
    }
}

/// Shows a plan in every form; answers its file.
fn show(plan: &Plan, seal: &Seal) -> String {
    let digest = file::digest(plan, seal).expect("a plan has a digest");
    for detail in [human::Detail::Summary, human::Detail::Compact, human::Detail::Full] {
        let _ = human::plan(plan, &human::Human { detail, width: 40, ..human::Human::default() });
    }
    let comment = markdown::plan(
        plan,
        &markdown::Markdown { max_chars: 0, max_bytes: 0, digest: &digest, command: "terrace show plan.json" },
    );
    assert!(comment.chars().count() <= markdown::Markdown::LEAST_CHARS, "a comment is longer than its budget");
    let _ = json::plan(plan, &digest);
    let written = file::write(plan, seal).expect("with a key every plan can be written");
    let again = file::read(&written, seal).expect("what was written can be read");
    assert_eq!(file::digest(&again, seal).expect("a plan has a digest"), digest, "it came back as another plan");
    written
}

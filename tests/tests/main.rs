//! End-to-end tests: the built binary in a temporary folder, with real files, real databases and real crashes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access;
mod adopt; // objects created outside terrace are adopted
mod airbyte_provider; // an Airbyte workload from its first plan to its removal
mod audit; // changes and refused calls, in a chain that shows alterations
mod bad_commands; // programs that hang, print too much, or print no JSON
mod bad_declarations; // invalid declarations: place, hint, and nothing changed
mod bad_input; // files that are not descriptors: missing, empty, foreign, hostile
mod bad_state; // damaged, foreign or locked states, plans and folders
mod blueprint_cases; // inputs of a blueprint test case other than its component
mod blueprint_nulls; // null in optional fields of built-in blueprints
mod blueprints; // new blueprints, their checks and their tests
mod checks; // checks of resources and stacks
mod commands; // commands that show state, plans and history
mod concurrency; // parallel runs: the same component waits or is refused, different ones run
mod console; // expressions over descriptors and state
mod crash; // killed before and after an effect, and at any moment: no orphan, no duplicate
mod customer_360; // one product over five technologies
mod data_loss; // data is removed only with a shown plan and consent
mod databases; // databases of pipelines: servers that outlive commands, times to live, pages
mod databricks_azure; // an Azure workspace that a run creates and uses
mod databricks_provider; // a product with every kind of Databricks component
mod deferral; // resources whose plan needs a command's result wait for another apply
mod destroy; // destroys from state alone
mod doctor; // problems, and how to fix them
mod drift; // a scheduled job reports drift
mod environment_keys; // state keys of single environments
mod exit_codes; // one test for each exit code
mod first_run; // the README's first steps
mod fmt; // one layout for terrace's own files
mod for_programs; // with `--json`, failures are objects too
mod graph; // declared resources and their dependencies
mod hasura_provider; // a Hasura port on a server
mod hints; // proposed commands, run literally
mod imports; // import, taint, untaint, unprotect, state mv
mod interrupted; // interrupted resources wait for recovery, whatever changes outside terrace
mod interrupted_meanwhile; // interruptions between recovery and plan
mod known_stacks; // known stacks, and errors for others
mod limits; // endless files are read up to a limit
mod lookups; // lookups of files and tables, during plan or apply
mod lost_key; // outputs sealed with a lost key do not block their stack
mod lost_state; // the state file disappears during a run
mod names; // unknown names are found without a state
mod names_beyond_ascii; // products, components and pipelines in scripts other than Latin
mod nothing_recorded; // empty states: commands report it and create no state
mod operations;
mod other_ids; // two ids that give one name
mod outputs; // sensitive outputs
mod own_files; // descriptors cannot use terrace's own files; files with secrets are private
mod pipelines; // data pipelines: runs, plans with reasons, kills
mod pipelines_described; // pipeline specs and other descriptors in one folder
mod pipelines_environments; // kills, timeouts and signals while an environment is created
mod pipelines_failed_runs; // failed runs and missing databases: what becomes dirty
mod pipelines_invalid_specs; // invalid specs: valid parts are planned and listed
mod pipelines_queue; // local clusters, killed workers, pods
mod pipelines_scheduled; // scheduled pipelines, their history, plugins
mod pipelines_sites; // static sites, served beside the API
mod pipelines_storage; // pipeline results copied to other storage
mod plans_for_people; // nothing is shown twice, nothing important is cut
mod postgres_provider; // a storage area and its port in PostgreSQL
mod postgres_state; // state in PostgreSQL: the same commands, and no password anywhere
mod progress; // terminal output during an apply
mod provider_gone; // servers that stop during an apply
mod provider_limits; // call limits of provider instances
mod provider_mistakes; // PostgreSQL and Snowflake mistakes, reported at their place
mod pruning; // old data is removed, or removal fails or stops
mod pull_requests; // the CI examples for pipelines, from a real repository to a stand-in forge
mod recorded_order; // recorded dependency order
mod regressions; // fixed bugs
mod replacements; // a replaced object is deleted only after its successor can be created
mod role_mapper; // Hasura's role mapper, from the first role to a refused query
mod rollback; // resources restored from history alone
mod saved_plans; // a saved plan is applied once, to the state it was made from
mod schemas; // `--json` output matches cli/schemas
mod secrets; // a sensitive value is in no file, output or log
mod server; // each coordinator request runs once, even if the server crashes
mod server_access; // every path for callers of every scope
mod server_api; // the native API: plans, state, operations, access
mod server_bodies; // unreadable bodies and paths
mod server_connections; // slow callers are closed or refused, and others are served
mod server_corpus; // server and command line give the same verdicts
mod server_field; // real-world descriptors, sent to every call
mod server_left; // a new server continues the requests of a killed one
mod server_limits; // descriptors too large for their server
mod server_listening;
mod server_messages; // status messages about results, errors and repeated requests
mod server_oidc;
mod server_operate; // health, readiness and metrics
mod server_outage; // a database outage while servers work
mod server_prefix; // behind a proxy, under a path prefix
mod server_refused; // messages for refused and failed calls: field and hint
mod server_rekey; // a state is rekeyed while requests wait
mod server_replicas; // several servers on one state
mod server_request; // request fields beside the descriptor
mod server_reverse; // reverse provisioning: a catalog reads existing objects
mod server_siblings; // components that use undeployed siblings are checked against the plan
mod server_telemetry;
mod server_tenancy; // tenant limits: every route and scope
mod server_waiting; // requests that wait for a running command, and refused ones
mod server_webhook;
mod shared; // two products in one database
mod signals; // Ctrl-C once and twice
mod silent_servers; // systems that accept connections and never answer
mod slips; // typing mistakes and habits from other tools
mod snowflake_provider; // the Network Status product in Snowflake, from its first plan to its removal
mod stacks; // variables, forEach, when, components, outputs, several stacks
mod state_migrate; // a whole state moves to another database and back
mod state_surgery; // mv, rm, export, import
mod state_upgrade; // a state of an older format is upgraded
mod targets; // partial and record-only plans
mod tidy; // rules for the sources
mod transitions; // moved, forget, imports
mod unread; // closed standard output
mod unreadable; // missing and unusable files and folders
mod witboost; // real-world descriptors
mod witboost_provider; // an existing provisioner as a provider

/// Checks that this file lists every test file. A file that is not listed never runs.
#[test]
fn no_test_file_is_forgotten() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let module = path.file_stem().unwrap().to_str().unwrap();
        let is_listed = module == "main" || listed.contains(&format!("\nmod {module};"));
        assert!(is_listed, "{} is not listed", path.display());
    }
}

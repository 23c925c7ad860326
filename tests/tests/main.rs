//! The whole thing from outside: the built binary in a folder of its own, real files, real databases, real crashes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access;
mod adopt; // what somebody made before
mod airbyte_provider; // a workload of Airbyte, from its first plan to its end
mod audit; // changes and refused calls, in a chain that shows alterations
mod bad_commands; // programs that hang, that print too much, that print no JSON
mod bad_declarations; // descriptors that declare what cannot be: a place, a hint, and nothing changed
mod bad_input; // files that are no descriptors: missing, empty, foreign, hostile
mod bad_state; // states, plans and folders that are damaged, foreign or held
mod blueprint_cases; // what a case of a blueprint's test says beside its component
mod blueprint_nulls; // null in optional fields of built-in blueprints
mod blueprints; // new blueprints, their checks and their tests
mod checks; // checks of resources and stacks
mod commands; // every command that looks into what was done
mod concurrency; // two at once: the same component waits or is refused, different ones run together
mod console; // expressions against what is described and recorded
mod crash; // killed before and after an effect, and at any moment: no orphan, no double
mod customer_360; // one product over five technologies
mod cut_off; // what is cut off waits for its recovery, whatever people do by hand meanwhile
mod cut_off_meanwhile; // what is cut off between recovery and plan is recorded, too
mod data_loss; // data goes only where the plan showed it and somebody consented
mod databases; // databases of pipelines: servers that outlive commands, times to live, pages
mod databricks_azure; // a workspace of Azure that a run makes, and goes on in
mod databricks_provider; // a product with every kind of component of Databricks
mod deferral; // what cannot be planned before a command ran is left for another apply
mod destroy; // the state is enough
mod doctor; // what is wrong, and how to mend it
mod drift; // what a scheduled job posts of drift
mod environment_keys; // state keys of single environments
mod exit_codes; // one story for each exit code
mod first_run; // what the README promises, for real
mod fmt; // one layout for terrace's own files
mod for_programs; // with `--json` failures are objects, too
mod graph; // what is declared, and what reads what
mod hasura_provider; // a port of Hasura on the server
mod hints; // proposed commands, followed to the letter
mod imports; // import, taint, untaint, unprotect, moves by hand
mod known_stacks; // which stacks there are, and what is said of others
mod limits; // files without end are read up to a limit
mod lookups; // files and tables looked up, now or while applying
mod lost_key; // outputs that nobody can open do not block their stack
mod lost_state; // the state file goes while terrace works
mod names; // what leads nowhere is found without a state
mod names_beyond_ascii; // products, components and pipelines in other scripts than Latin
mod nothing_recorded; // commands say so, and make no state in passing
mod once_wrong; // what was wrong once
mod operations;
mod other_ids; // two ids that make one name
mod outputs; // what is sensitive is said to be
mod own_files; // files of terrace itself are out of reach, files with secrets are private
mod pipelines; // data pipelines: runs, plans that say why, kills
mod pipelines_described; // specs and other descriptors in one folder
mod pipelines_environments; // environments that are being made: kills, times that are over, signals
mod pipelines_kept; // data pipelines that run by themselves, their history, what plugins make
mod pipelines_queue; // clusters of this machine, workers that are killed, pods
mod pipelines_sites; // static sites, shown beside the server
mod pipelines_storage; // what pipelines wrote, brought elsewhere
mod pipelines_unwell; // runs that did not end well, databases that are gone: what is dirty then
mod pipelines_wrong; // specs of which something is wrong: what is sound is planned and listed
mod plans_for_people; // nothing is told twice, nothing that matters is cut
mod postgres_provider; // a storage area and its port in PostgreSQL
mod postgres_state; // a state on a server: the same commands, and no password anywhere
mod progress; // what is seen on a terminal while a plan is applied
mod provider_gone; // servers that go away in the middle of an apply
mod provider_limits; // how much an instance of a provider may be asked at once
mod provider_mistakes; // mistakes about PostgreSQL and Snowflake, each at its place
mod pruning; // what is old is removed, or that fails, or is stopped
mod pull_requests; // what the examples of pipelines do, from a real repository against a stand-in of the forge
mod recorded_order; // what comes after what
mod replacements; // what is replaced goes only when its successor can come
mod role_mapper; // Hasura's role mapper, from the first role to a query that is refused
mod rollback; // resources as they were, from the history alone
mod saved_plans; // a plan in a file is applied once, and only to what it was made from
mod schemas; // what the commands say with `--json` keeps to cli/schemas
mod secrets; // a sensitive value is in no file, no output and no log
mod server; // what a coordinator asks is done once, whatever becomes of the server
mod server_access; // who may call what: every path, for callers of every scope
mod server_api; // the native API: plans, what is recorded, operations, access
mod server_bodies; // bodies and paths that no call can be read from
mod server_connections; // callers who keep it waiting: closed, refused, and others served
mod server_corpus; // the server and the command line judge alike
mod server_field; // descriptors from the field, sent to every call
mod server_left; // requests that a killed server left, until another one goes on with them
mod server_limits; // descriptors that are too large for the server that gets them
mod server_listening;
mod server_oidc;
mod server_operate; // health, readiness and figures
mod server_outage; // a database that goes while servers work
mod server_prefix; // behind a proxy, below a prefix
mod server_refused; // what is said of calls that are refused, and of what fails: by its field, with what to do
mod server_rekey; // a state gets another key while requests wait
mod server_replicas; // several servers on one state
mod server_request; // what a coordinator sends beside the descriptor
mod server_reverse; // reverse provisioning: a catalog learns what is there
mod server_siblings; // what is not there yet is judged by what is planned for it
mod server_telemetry;
mod server_tenancy; // limits of callers: every route, every scope, inside and outside
mod server_told; // what is told of what was made, of what is wrong, and of what was asked before
mod server_waiting; // what is held by a command, and what is refused at once
mod server_webhook;
mod shared; // two products on one database
mod signals; // Ctrl-C once and twice
mod silent_servers; // systems that accept connections and never answer
mod slips; // slips of the fingers and habits from other tools
mod snowflake_provider; // the Network Status product in Snowflake, from its first plan to its end
mod stacks; // variables, forEach, when, components, outputs, several stacks
mod state_migrate; // a whole state moves to another database, and back
mod state_surgery; // mv, rm, export, import
mod state_upgrade; // a state of an older format gets the newest one
mod targets; // plans of a part, and plans that only record
mod tidy; // what holds for the sources themselves
mod transitions; // moved, forget, imports
mod unread; // standard output that nobody reads any more
mod unreadable; // files and folders that are not there, or are something else
mod witboost; // descriptors from the field
mod witboost_provider; // an existing provisioner as a provider

/// A test file that is not listed above would never run.
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

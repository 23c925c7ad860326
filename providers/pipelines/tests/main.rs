//! Integration tests of the provider: specs, runs with a stand-in of dpp, resources.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod bucket_stand_in; // a bucket of S3, with faults on demand
mod chart; // values and objects of the chart of a pipeline
mod cluster; // runs as Jobs of a cluster: outages, replaced pods, interruptions
mod cluster_copies; // copies from a claim of a cluster by Jobs
mod cluster_databases; // databases whose servers run in a cluster
mod cluster_sites; // sites whose servers run in a cluster
mod cluster_stand_in; // an API server with Jobs, pods and faults on demand
mod conformance; // tests of the SDK for every provider, on all types
mod copies; // moved and copied projects, and specs that are found from several folders
mod corpus; // pipelines of other projects, if available
mod cron_jobs; // schedules as CronJobs of a cluster
mod database_script; // the script of database servers in a cluster, with PostgreSQL here
mod databases; // creation, lookup, stop, expiry and queries of databases
mod elsewhere; // runs on other machines
mod failed_runs; // failed runs, and removed databases
mod full_disk; // full disks during runs
mod generating; // pipelines from plugins
mod harness; // a project with specs and the stand-in of dpp
mod hooks; // notifications of a run's progress
mod params; // values of runs in place of those of their specs
mod publishing; // outputs of runs
mod put_server; // a strict server for `PUT`, with faults on demand
mod queued_beside_cron_jobs; // runs of the queue beside runs of CronJobs
mod readme; // tables of the README match the schema
mod result_inputs; // inputs of a result: databases, numbers, folders, planned values
mod retrying; // retries
mod running; // single runs, and several in order
mod scheduling; // runs on a schedule
mod sites; // sites as resources
mod stand_in; // environments that need no network
mod storage; // syncs to other places, and their interruption
mod storage_fixtures; // syncs and sites for the tests of the SDK
mod uploads; // large files that are sent to a bucket
mod workers; // workers of the queue, as tasks
mod wrapping; // runners, and processors in other folders

/// Every file of tests must be listed above, or it would never run.
#[test]
fn all_test_files_are_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || listed.contains(&format!("mod {module};")), "{name} is not listed");
    }
}

//! End-to-end tests: the built binary in a temporary folder, with real files, real databases and real crashes.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod apply;
mod cli;
mod crate_graph; // dependencies between crates
mod module_graph; // circles of imports
mod pipelines;
mod pr;
mod providers;
mod server;
mod state;
mod tidy; // rules for the sources
mod witboost;

/// Checks that each file of tests is listed in the file of its group. A file that is not listed never runs.
#[test]
fn no_test_file_is_forgotten() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    let groups = ["apply", "cli", "pipelines", "pr", "providers", "server", "state", "witboost"];
    let listings = groups.map(|group| (folder.join(group), folder.join(group).with_extension("rs")));
    for (folder, listing) in listings.into_iter().chain([(folder.to_owned(), folder.join("main.rs"))]) {
        let listed = std::fs::read_to_string(listing).unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap();
            if path.extension().is_some_and(|extension| extension == "rs") && module != "main" {
                assert!(listed.contains(&format!("mod {module};")), "{} is not listed", path.display());
            }
        }
    }
}

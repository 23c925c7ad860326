//! Commands: input, output and refusals.

mod bad_declarations; // invalid declarations: place, hint, and nothing changed
mod bad_input; // files that are not descriptors: missing, empty, foreign, hostile
mod blueprint_cases; // inputs of a blueprint test case other than its component
mod blueprint_nulls; // null in optional fields of built-in blueprints
mod blueprints; // new blueprints, their checks and their tests
mod branches; // plans compared with a commit, and for all environments
mod chart; // the chart's schema has the fields of `server`
mod checks; // checks of resources and stacks
mod commands; // commands that show state, plans and history
mod console; // expressions over descriptors and state
mod doctor; // problems, and how to fix them
mod exit_codes; // one test for each exit code
mod first_run; // the README's first steps
mod fmt; // one layout for terrace's own files
mod for_programs; // with `--json`, failures are objects too
mod graph; // declared resources and their dependencies
mod hints; // proposed commands, run literally
mod known_stacks; // known stacks, and errors for others
mod limits; // endless files are read up to a limit
mod lookups; // lookups of files and tables, during plan or apply
mod names; // unknown names are found without a state
mod names_beyond_ascii; // products, components and pipelines in scripts other than Latin
mod operator; // the operator without a usable cluster
mod outputs; // sensitive outputs
mod own_files; // descriptors cannot use terrace's own files; files with secrets are private
mod plans_for_people; // nothing is shown twice, nothing important is cut
mod progress; // terminal output during an apply
mod repositories; // plans of data products from the files in Git
pub(crate) mod schemas; // `--json` output matches cli/schemas
mod secrets; // a sensitive value is in no file, output or log
mod signals; // Ctrl-C once and twice
mod slips; // typing mistakes and habits from other tools
mod stacks; // variables, forEach, when, components, outputs, several stacks
mod targets; // partial and record-only plans
mod tutorial; // commands of pages for newcomers
mod unread; // closed standard output
mod unreadable; // missing and unusable files and folders
pub(crate) mod witboost; // real-world descriptors

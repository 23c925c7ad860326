//! The recorded state: upgrades, moves, damage, keys, history.

mod audit; // changes and refused calls, in a chain that shows alterations
mod bad_state; // damaged, foreign or locked states, plans and folders
mod environment_keys; // state keys of single environments
mod lost_key; // outputs sealed with a lost key do not block their stack
mod lost_state; // the state file disappears during a run
mod migrate; // a whole state moves to another database and back
mod nothing_recorded; // empty states: commands report it and create no state
mod operations;
mod other_ids; // two ids that give one name
mod postgres; // state in PostgreSQL: the same commands, and no password anywhere
mod surgery; // mv, rm, export, import
mod upgrade; // a state of an older format is upgraded

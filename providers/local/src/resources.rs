//! One file per resource type; each has its `NAME`, its `resource_type()` and a session for that type alone.

pub mod command;
pub mod directory;
pub mod file;
pub mod value;

mod age;
mod attributes;
mod mode;

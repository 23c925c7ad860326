//! One file per resource type: its `NAME`, its `resource_type()` and its session.

pub mod command;
pub mod directory;
pub mod file;
pub mod value;

mod age;
mod attributes;
mod mode;

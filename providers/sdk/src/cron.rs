//! Schedules: the fields of cron and Quartz expressions, checks of Quartz, and the conversion between both.

pub mod field;
pub mod quartz;

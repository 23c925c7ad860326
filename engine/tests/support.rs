//! A world to plan and apply in: a scriptable provider, stores that break, and stories told as descriptors.

pub mod journal;
pub mod mortal;
pub mod story;
pub mod world;

pub use story::Story;

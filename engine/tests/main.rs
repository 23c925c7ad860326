//! The engine through its front doors: descriptors in, calls of a scriptable provider and rows of a store out.

mod support;

mod order; // what is called, in which order, and what a second plan says
mod failure; // steps that fail, crash, are stopped
mod data; // what holds data, what is shared, what is retained
mod input; // descriptors with mistakes: what a person is told

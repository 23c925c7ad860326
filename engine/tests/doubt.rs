//! What is not known after a call, and who waits for it.

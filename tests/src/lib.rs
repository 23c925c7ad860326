//! What tests of the binary need: its path, a folder of their own, whole command results.

//! Client side of Kafka's protocol: authenticated connections, requests and answers, and the choice of a broker.
//!
//! The messages are those of the crate `kafka-protocol`, which is generated from Kafka's own definitions
//! (<https://kafka.apache.org/protocol>). This module transports them.

mod access;
mod cluster;
mod connection;
mod count_check;
mod credentials;
mod no_answer;
mod request;
mod sasl;
mod scram;
mod stream;
mod tls;

pub(crate) use access::Access;
pub(crate) use cluster::{Cluster, address_of};
pub(crate) use credentials::{Credentials, Mechanism};
pub(crate) use no_answer::NoAnswer;
pub(crate) use request::Request;
pub(crate) use tls::{Tls, Unusable};

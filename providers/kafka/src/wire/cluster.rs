//! Chooses the broker of a request (any, the controller, or a partition's leader), and reuses connections.

use super::connection::Connection;
use super::{Access, Ask, Unanswered};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Idle time after which a connection is not reused: brokers close idle connections after some minutes.
const STALE: Duration = Duration::from_secs(60);
/// Maximum number of idle connections per broker; at most this many calls run at once.
const MOST_KEPT: usize = 32;

/// The brokers of a instance.
pub(crate) struct Cluster {
    access: Access,
    /// Idle connections by address.
    idle: Mutex<HashMap<String, Vec<Connection>>>,
    /// The address of the controller, if known.
    controller: Mutex<Option<String>>,
}

impl Cluster {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, idle: Mutex::default(), controller: Mutex::default() }
    }

    /// The caller's principal, for messages.
    pub(crate) fn principal(&self) -> Option<String> {
        self.access.credentials.as_ref().map(|credentials| format!("User:{}", credentials.username))
    }

    /// Timeout of a request.
    pub(crate) fn timeout(&self) -> Duration {
        self.access.timeout
    }

    /// Sends a request to any reachable broker.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn ask<R: Ask>(&self, request: &R) -> Result<R::Answer, Unanswered> {
        let mut latest = Unanswered::Unreachable("no broker is configured".to_owned());
        for address in &self.access.bootstrap {
            match self.ask_at(address, request).await {
                // Another broker may be reachable or accept the credentials.
                Err(error @ (Unanswered::Unreachable(_) | Unanswered::NotLetIn(_))) => latest = error,
                answered => return answered,
            }
        }
        Err(latest)
    }

    /// Sends a request to the controller: only the controller can make changes if brokers do not forward them.
    /// `is_elsewhere` recognizes the answer of a former controller; the request is then sent once
    /// to the new controller.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn ask_controller<R: Ask>(
        &self,
        request: &R,
        is_elsewhere: impl Fn(&R::Answer) -> bool,
    ) -> Result<R::Answer, Unanswered> {
        let known = self.controller.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = match known {
            Some(address) => address,
            None => self.find_controller().await?,
        };
        let answered = self.ask_at(&address, request).await;
        let is_gone = matches!(answered, Err(Unanswered::Unreachable(_)));
        if !is_gone && !answered.as_ref().is_ok_and(&is_elsewhere) {
            return answered;
        }
        let again = match self.find_controller().await {
            Ok(address) => self.ask_at(&address, request).await,
            Err(error) => Err(error),
        };
        match (again, answered) {
            // If the second request was not sent, the first answer counts: that broker may have written before it
            // resigned.
            (Err(error), Ok(answer)) if error.is_unsent() => Ok(answer),
            (again, _) => again,
        }
    }

    /// Returns the addresses of all brokers.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn brokers(&self) -> Result<Vec<String>, Unanswered> {
        let nothing = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
        let metadata = self.ask(&nothing).await?;
        Ok(metadata.brokers.iter().filter_map(|broker| address_of(&metadata, *broker.node_id)).collect())
    }

    async fn find_controller(&self) -> Result<String, Unanswered> {
        let nothing = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
        let metadata = self.ask(&nothing).await?;
        let address = address_of(&metadata, *metadata.controller_id)
            .ok_or_else(|| Unanswered::Unreachable("the cluster has no controller".to_owned()))?;
        *self.controller.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.clone());
        Ok(address)
    }

    /// Sends a request to the broker at the address.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn ask_at<R: Ask>(&self, address: &str, request: &R) -> Result<R::Answer, Unanswered> {
        let deadline = Instant::now() + self.access.timeout;
        let mut connection = match self.take_idle(address) {
            Some(connection) => connection,
            None => {
                let opened = timeout_at(deadline, Connection::open(address, &self.access, deadline)).await;
                opened.map_err(|_| Unanswered::Unreachable(format!("`{address}` cannot be reached in time")))??
            }
        };
        let answer = connection.ask(request, deadline).await;
        if matches!(answer, Ok(_) | Err(Unanswered::Unsupported(_))) {
            self.keep(connection);
        }
        answer
    }

    fn take_idle(&self, address: &str) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(address)?;
        while let Some(mut connection) = connections.pop() {
            if connection.used.elapsed() < STALE && connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(connection.address().to_owned()).or_default();
        if connections.len() < MOST_KEPT {
            connections.push(connection);
        }
    }
}

/// Returns the address of a broker.
pub(crate) fn address_of(metadata: &MetadataResponse, id: i32) -> Option<String> {
    let broker = metadata.brokers.iter().find(|broker| *broker.node_id == id)?;
    match broker.host.contains(':') {
        true => Some(format!("[{}]:{}", &*broker.host, broker.port)),
        false => Some(format!("{}:{}", &*broker.host, broker.port)),
    }
}

//! Chooses the broker of a request (any, the controller, or a partition's leader), and reuses connections.

use super::connection::Connection;
use super::{Access, NoAnswer, Request};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Idle time after which a connection is not reused: brokers close idle connections after some minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of idle connections per broker; at most this many calls run at once.
const MAX_IDLE: usize = 32;

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
    pub(crate) async fn send<R: Request>(&self, request: &R) -> Result<R::Answer, NoAnswer> {
        let mut latest = NoAnswer::Unreachable("no broker is configured".to_owned());
        for address in &self.access.bootstrap {
            match self.send_to(address, request).await {
                // Another broker may be reachable or accept the credentials.
                Err(error @ (NoAnswer::Unreachable(_) | NoAnswer::Rejected(_))) => latest = error,
                answered => return answered,
            }
        }
        Err(latest)
    }

    /// Asks all bootstrap brokers at once. Succeeds with the first answer; otherwise returns the failure of each.
    pub(crate) async fn probe(&self, limit: Duration) -> Result<(), Vec<NoAnswer>> {
        let request = no_topics();
        let ask = async |address: &String| {
            let late = |_| Err(NoAnswer::Unreachable(format!("`{address}` does not answer within {limit:?}")));
            timeout(limit, self.send_to(address, &request)).await.unwrap_or_else(late)
        };
        let mut answers: FuturesUnordered<_> = self.access.bootstrap.iter().map(ask).collect();
        let mut failures = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(_) => return Ok(()),
                Err(failure) => failures.push(failure),
            }
        }
        Err(failures)
    }

    /// Sends a request to the controller: only the controller can make changes if brokers do not forward them.
    /// `is_not_controller` recognizes the answer of a former controller; the request is then sent once
    /// to the new controller.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn send_to_controller<R: Request>(
        &self,
        request: &R,
        is_not_controller: impl Fn(&R::Answer) -> bool,
    ) -> Result<R::Answer, NoAnswer> {
        let known = self.controller.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = match known {
            Some(address) => address,
            None => self.find_controller().await?,
        };
        let answered = self.send_to(&address, request).await;
        let is_unreachable = matches!(answered, Err(NoAnswer::Unreachable(_)));
        if !is_unreachable && !answered.as_ref().is_ok_and(&is_not_controller) {
            return answered;
        }
        let again = match self.find_controller().await {
            Ok(address) => self.send_to(&address, request).await,
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
    pub(crate) async fn brokers(&self) -> Result<Vec<String>, NoAnswer> {
        let metadata = self.send(&no_topics()).await?;
        Ok(metadata.brokers.iter().filter_map(|broker| address_of(&metadata, *broker.node_id)).collect())
    }

    async fn find_controller(&self) -> Result<String, NoAnswer> {
        let metadata = self.send(&no_topics()).await?;
        let address = address_of(&metadata, *metadata.controller_id)
            .ok_or_else(|| NoAnswer::Unreachable("the cluster has no controller".to_owned()))?;
        *self.controller.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.clone());
        Ok(address)
    }

    /// Sends a request to the broker at the address.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn send_to<R: Request>(&self, address: &str, request: &R) -> Result<R::Answer, NoAnswer> {
        let deadline = Instant::now() + self.access.timeout;
        let mut connection = match self.take_idle(address) {
            Some(connection) => connection,
            None => {
                let opened = timeout_at(deadline, Connection::open(address, &self.access, deadline)).await;
                opened.map_err(|_| NoAnswer::Unreachable(format!("`{address}` cannot be reached in time")))??
            }
        };
        let answer = connection.send(request, deadline).await;
        if matches!(answer, Ok(_) | Err(NoAnswer::Unsupported(_))) {
            self.return_idle(connection);
        }
        answer
    }

    fn take_idle(&self, address: &str) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(address)?;
        while let Some(mut connection) = connections.pop() {
            if connection.used.elapsed() < IDLE_TIMEOUT && connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn return_idle(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(connection.address().to_owned()).or_default();
        if connections.len() < MAX_IDLE {
            connections.push(connection);
        }
    }
}

/// A request for the brokers alone.
fn no_topics() -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false)
}

/// Returns the address of a broker.
pub(crate) fn address_of(metadata: &MetadataResponse, id: i32) -> Option<String> {
    let broker = metadata.brokers.iter().find(|broker| *broker.node_id == id)?;
    match broker.host.contains(':') {
        true => Some(format!("[{}]:{}", &*broker.host, broker.port)),
        false => Some(format!("{}:{}", &*broker.host, broker.port)),
    }
}

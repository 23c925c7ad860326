//! Notifications of the database about queued requests of any process.

use super::connection::CONNECT_TIMEOUT;
use super::error::Failure;
use std::future::poll_fn;
use std::time::Duration;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The channel of the notifications. Stores in other schemas of the database use it, too: listeners check their own
/// queue.
pub(super) const CHANNEL: &str = "terrace_request";

/// Interval of test statements: otherwise a dead connection that only listens goes unnoticed for hours.
const PULSE: Duration = Duration::from_secs(10);

/// Calls `wake` for requests that other origins queue, until its own connection ends.
pub(super) async fn listen(
    config: &Config,
    connector: MakeRustlsConnect,
    origin: &str,
    wake: &(dyn Fn() + Send + Sync),
) -> Result<(), Failure> {
    let (client, mut connection) = in_time(config.connect(connector)).await?;
    let listening = subscribe(&client, wake);
    let notifications = async {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message? {
                AsyncMessage::Notification(notification) if notification.payload() != origin => wake(),
                _ => {}
            }
        }
        Ok(())
    };
    tokio::select! {
        received = notifications => received,
        failed = listening => failed,
    }
}

/// Subscribes to the channel, and tests the connection at intervals; returns only on failure.
async fn subscribe(client: &Client, wake: &(dyn Fn() + Send + Sync)) -> Result<(), Failure> {
    in_time(client.batch_execute(&format!("LISTEN {CHANNEL}"))).await?;
    // Requests may have been queued before.
    wake();
    loop {
        tokio::time::sleep(PULSE).await;
        in_time(client.batch_execute("")).await?;
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
    Ok(tokio::time::timeout(CONNECT_TIMEOUT, work).await.map_err(|_| Failure::TimedOut(CONNECT_TIMEOUT))??)
}

//! Threads that own connections, so that SQLite's blocking calls never block the caller's executor.
//!
//! The writer is one such group with one connection, the readers are another with a few. A piece of work that was
//! handed over is done to its end even when the caller stops waiting: a commit is never abandoned half-way.

use super::error::Failure;
use rusqlite::Connection;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use terrace_engine::store::StoreError;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A group of threads that share one queue of work.
pub(super) struct Workers {
    queue: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<Connection>>,
}

impl Workers {
    /// Starts one thread for each connection.
    pub(super) fn start(name: &str, connections: Vec<Connection>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::with_capacity(connections.len());
        for mut connection in connections {
            let receiver = Arc::clone(&receiver);
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&receiver) {
                    job(&mut connection);
                }
                connection
            })?;
            threads.push(thread);
        }
        Ok(Self { queue: Some(sender), threads })
    }

    /// Does a piece of work on one of the connections; `doing` is `read` or `written`.
    pub(super) async fn run<T, W>(&self, doing: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let stopped = || StoreError::Unavailable { doing, reason: "its thread has stopped".to_owned() };
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = work(connection);
            // The caller may have stopped waiting: then nobody wants the answer.
            let _ = sender.send(done.map_err(|failure| failure.into_store_error(doing, connection)));
        });
        self.queue.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

impl Drop for Workers {
    /// Waits for the threads and closes their connections one after the other: the last to close folds the log back
    /// into the file, and of two that close at once each takes the other for one that stays.
    fn drop(&mut self) {
        self.queue = None;
        let finished: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        for connection in finished {
            match connection {
                Ok(connection) => drop(connection),
                Err(_) => tracing::error!("a thread of the state store has panicked"),
            }
        }
    }
}

fn next(receiver: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

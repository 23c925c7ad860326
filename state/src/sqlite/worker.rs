//! Threads that own connections, so that SQLite's blocking calls never block the caller's executor.
//!
//! The writer is a group with one connection, the readers are a group with a few. Queued work runs to its end even if
//! its caller stops waiting: a commit is never abandoned midway. Calls of a server, and renewals of leases and claims,
//! have priority; between any two of them, one piece of other work runs.

use super::error::Failure;
use rusqlite::Connection;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use terrace_engine::store::StoreError;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The priority of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all usual work.
    First,
    /// In the order of arrival.
    Usual,
}

/// A group of threads that share one queue of work.
pub(super) struct Workers {
    queue: Option<Entrance>,
    threads: Vec<JoinHandle<Connection>>,
}

/// The sending end of the queue.
struct Entrance {
    first: mpsc::Sender<Job>,
    usual: mpsc::Sender<Job>,
    /// One message for each piece of work, sent after it.
    tickets: mpsc::Sender<()>,
}

/// The receiving end of the queue.
struct Exit {
    first: mpsc::Receiver<Job>,
    usual: mpsc::Receiver<Job>,
    tickets: mpsc::Receiver<()>,
    was_first: bool,
}

fn queue() -> (Entrance, Exit) {
    let (first, to_first) = mpsc::channel();
    let (usual, to_usual) = mpsc::channel();
    let (tickets, to_tickets) = mpsc::channel();
    let exit = Exit { first: to_first, usual: to_usual, tickets: to_tickets, was_first: false };
    (Entrance { first, usual, tickets }, exit)
}

impl Entrance {
    /// Queues a piece of work; `None` if no thread is left.
    fn send(&self, turn: Turn, job: Job) -> Option<()> {
        let line = if turn == Turn::First { &self.first } else { &self.usual };
        line.send(job).ok()?;
        self.tickets.send(()).ok()
    }
}

impl Exit {
    /// Waits for a piece of work; `None` if the queue is closed.
    fn next(&mut self) -> Option<Job> {
        self.tickets.recv().ok()?;
        let usual = self.was_first.then(|| self.usual.try_recv().ok()).flatten();
        let first = usual.is_none().then(|| self.first.try_recv().ok()).flatten();
        self.was_first = first.is_some();
        usual.or(first).or_else(|| self.usual.try_recv().ok())
    }
}

impl Workers {
    /// Starts one thread for each connection.
    pub(super) fn start(name: &str, connections: Vec<Connection>) -> io::Result<Self> {
        let (entrance, exit) = queue();
        let exit = Arc::new(Mutex::new(exit));
        let mut threads = Vec::with_capacity(connections.len());
        for mut connection in connections {
            let exit = Arc::clone(&exit);
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&exit) {
                    job(&mut connection);
                }
                connection
            })?;
            threads.push(thread);
        }
        Ok(Self { queue: Some(entrance), threads })
    }

    /// Runs a piece of work on one of the connections; `doing` is `read` or `written`.
    pub(super) async fn run<T, W>(&self, turn: Turn, doing: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let stopped = || StoreError::Unavailable { doing, reason: "its thread has stopped".to_owned() };
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = work(connection);
            // The caller may have stopped waiting.
            let _ = sender.send(done.map_err(|failure| failure.into_store_error(doing, connection)));
        });
        self.queue.as_ref().and_then(|queue| queue.send(turn, job)).ok_or_else(stopped)?;
        receiver.await.map_err(|_| stopped())?
    }
}

impl Drop for Workers {
    /// Waits for the threads, and closes their connections one after another. The last connection checkpoints the log;
    /// two that close at once would each rely on the other.
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

fn next(exit: &Mutex<Exit>) -> Option<Job> {
    exit.lock().unwrap_or_else(PoisonError::into_inner).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_priority_and_work_continues_between_them() {
        let (entrance, mut exit) = queue();
        let done = Arc::new(Mutex::new(String::new()));
        let send = |turn, name| {
            let done = Arc::clone(&done);
            entrance.send(turn, Box::new(move |_: &mut Connection| done.lock().unwrap().push(name))).unwrap();
        };
        "abcd".chars().for_each(|name| send(Turn::Usual, name));
        "XYZ".chars().for_each(|name| send(Turn::First, name));
        drop(entrance);
        let mut connection = Connection::open_in_memory().unwrap();
        std::iter::from_fn(|| exit.next()).for_each(|job| job(&mut connection));
        assert_eq!(*done.lock().unwrap(), "XaYbZcd");
    }

    #[tokio::test]
    async fn call_to_stopped_threads_fails() {
        let workers = Workers::start("test", vec![Connection::open_in_memory().unwrap()]).unwrap();
        let panics = workers.run(Turn::First, "read", |_| -> Result<(), Failure> { panic!("on purpose") }).await;
        assert!(panics.unwrap_err().to_string().contains("its thread has stopped"));
        while !workers.threads.iter().all(JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        for turn in [Turn::First, Turn::Usual] {
            let after = workers.run(turn, "read", |_| Ok(())).await;
            assert!(after.unwrap_err().to_string().contains("its thread has stopped"));
        }
    }
}

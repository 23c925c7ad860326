//! Threads that own connections, so that SQLite's blocking calls never block the caller's executor.
//!
//! A database in memory needs no thread: it never waits for a disk or another process, so the caller's thread works on
//! it. Each call then ends at its first poll, and tests may stop tokio's clock.
//!
//! The writer is a group with one connection, the readers are a group with a few. Queued work runs to its end even if
//! its caller stops waiting: a commit is never abandoned midway. Calls of a server, and renewals of leases and claims,
//! have priority; between any two of them, one piece of other work runs.

use super::error::Failure;
use rusqlite::Connection;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use terrace_store::StoreError;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The priority of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Before all usual work.
    High,
    /// In the order of arrival.
    Normal,
}

/// The threads that work on connections.
pub(super) enum Workers {
    /// A group of threads that share one queue of work.
    Own(Threads),
    /// The threads of the callers, one at a time.
    Callers(Box<Mutex<Connection>>),
}

/// Threads with one connection each.
pub(super) struct Threads {
    queue: Option<JobSender>,
    handles: Vec<JoinHandle<Connection>>,
}

/// The sending end of the queue.
struct JobSender {
    high: mpsc::Sender<Job>,
    normal: mpsc::Sender<Job>,
    /// One message for each piece of work, sent after it.
    tickets: mpsc::Sender<()>,
}

/// The receiving end of the queue.
struct JobReceiver {
    high: mpsc::Receiver<Job>,
    normal: mpsc::Receiver<Job>,
    tickets: mpsc::Receiver<()>,
    was_high: bool,
}

fn queue() -> (JobSender, JobReceiver) {
    let (high, to_high) = mpsc::channel();
    let (normal, to_normal) = mpsc::channel();
    let (tickets, to_tickets) = mpsc::channel();
    let job_receiver = JobReceiver { high: to_high, normal: to_normal, tickets: to_tickets, was_high: false };
    (JobSender { high, normal, tickets }, job_receiver)
}

impl JobSender {
    /// Queues a piece of work; `None` if no thread is left.
    fn send(&self, priority: Priority, job: Job) -> Option<()> {
        let line = if priority == Priority::High { &self.high } else { &self.normal };
        line.send(job).ok()?;
        self.tickets.send(()).ok()
    }
}

impl JobReceiver {
    /// Waits for a piece of work; `None` if the queue is closed.
    fn next(&mut self) -> Option<Job> {
        self.tickets.recv().ok()?;
        let normal = self.was_high.then(|| self.normal.try_recv().ok()).flatten();
        let high = normal.is_none().then(|| self.high.try_recv().ok()).flatten();
        self.was_high = high.is_some();
        normal.or(high).or_else(|| self.normal.try_recv().ok())
    }
}

impl Workers {
    /// Starts one thread for each connection.
    pub(super) fn start(name: &str, connections: Vec<Connection>) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::Unavailable {
            action: "opened",
            reason: format!("cannot start a thread: {error}"),
        };
        let (job_sender, job_receiver) = queue();
        let job_receiver = Arc::new(Mutex::new(job_receiver));
        let mut handles = Vec::with_capacity(connections.len());
        for mut connection in connections {
            let job_receiver = Arc::clone(&job_receiver);
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&job_receiver) {
                    job(&mut connection);
                }
                connection
            });
            let thread = thread.map_err(failed)?;
            handles.push(thread);
        }
        Ok(Self::Own(Threads { queue: Some(job_sender), handles }))
    }

    /// Leaves the work to the callers' threads. For a database in memory.
    pub(super) fn of_callers(connection: Connection) -> Self {
        Self::Callers(Box::new(Mutex::new(connection)))
    }

    /// Runs a piece of work on one of the connections; `action` is `read` or `written`.
    pub(super) async fn run<T, W>(&self, priority: Priority, action: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let threads = match self {
            Self::Own(threads) => threads,
            Self::Callers(connection) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                return work(&mut connection).map_err(|failure| failure.into_store_error(action, &connection));
            }
        };
        let stopped = || StoreError::Unavailable { action, reason: "its thread has stopped".to_owned() };
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = work(connection);
            // The caller may have stopped waiting.
            let _ = sender.send(done.map_err(|failure| failure.into_store_error(action, connection)));
        });
        threads.queue.as_ref().and_then(|queue| queue.send(priority, job)).ok_or_else(stopped)?;
        receiver.await.map_err(|_| stopped())?
    }
}

impl Drop for Threads {
    /// Waits for the threads, and closes their connections one after another. The last connection checkpoints the log;
    /// two that close at once would each rely on the other.
    fn drop(&mut self) {
        self.queue = None;
        let finished: Vec<_> = self.handles.drain(..).map(JoinHandle::join).collect();
        for connection in finished {
            match connection {
                Ok(connection) => drop(connection),
                Err(_) => tracing::error!("a thread of the state store has panicked"),
            }
        }
    }
}

fn next(job_receiver: &Mutex<JobReceiver>) -> Option<Job> {
    job_receiver.lock().unwrap_or_else(PoisonError::into_inner).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_priority_and_work_continues_between_them() {
        let (job_sender, mut job_receiver) = queue();
        let done = Arc::new(Mutex::new(String::new()));
        let send = |priority, name| {
            let done = Arc::clone(&done);
            job_sender.send(priority, Box::new(move |_: &mut Connection| done.lock().unwrap().push(name))).unwrap();
        };
        "abcd".chars().for_each(|name| send(Priority::Normal, name));
        "XYZ".chars().for_each(|name| send(Priority::High, name));
        drop(job_sender);
        let mut connection = Connection::open_in_memory().unwrap();
        std::iter::from_fn(|| job_receiver.next()).for_each(|job| job(&mut connection));
        assert_eq!(*done.lock().unwrap(), "XaYbZcd");
    }

    #[test]
    fn work_in_memory_ends_with_the_first_poll() {
        let workers = Workers::of_callers(Connection::open_in_memory().unwrap());
        let work = |connection: &mut Connection| Ok(connection.query_row("SELECT 7", [], |row| row.get::<_, i64>(0))?);
        let run = std::pin::pin!(workers.run(Priority::Normal, "read", work));
        let polled = run.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(polled, std::task::Poll::Ready(Ok(7))));
    }

    #[tokio::test]
    async fn call_to_stopped_threads_fails() {
        let workers = Workers::start("test", vec![Connection::open_in_memory().unwrap()]).unwrap();
        let panics = workers.run(Priority::High, "read", |_| -> Result<(), Failure> { panic!("on purpose") }).await;
        assert!(panics.unwrap_err().to_string().contains("its thread has stopped"));
        let Workers::Own(threads) = &workers else { panic!("threads of callers") };
        while !threads.handles.iter().all(JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        for priority in [Priority::High, Priority::Normal] {
            let after = workers.run(priority, "read", |_| Ok(())).await;
            assert!(after.unwrap_err().to_string().contains("its thread has stopped"));
        }
    }
}

//! A TCP proxy in front of a database server. It can silence open connections: they stay open but carry no bytes, as
//! behind a router that dropped them. New connections work.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A proxy that runs until the process ends.
pub struct Proxy {
    port: u16,
    /// Connections of earlier generations are silent.
    generation: Arc<AtomicUsize>,
    /// New connections are silent from their first byte on.
    is_closed: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts a proxy in front of the server with this socket file.
    #[must_use]
    pub fn before(socket: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (generation, is_closed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let proxy = Self { port, generation: Arc::clone(&generation), is_closed: Arc::clone(&is_closed) };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                let opened_in = match is_closed.load(Ordering::Acquire) {
                    true => None,
                    false => Some(generation.load(Ordering::Acquire)),
                };
                let is_open = {
                    let generation = Arc::clone(&generation);
                    move || opened_in == Some(generation.load(Ordering::Acquire))
                };
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let is_still_open = is_open.clone();
                std::thread::spawn(move || pipe(client, server, &is_open));
                std::thread::spawn(move || pipe_back(down, up, &is_still_open));
            }
        });
        proxy
    }

    /// The port on `127.0.0.1`.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Silences the connections that are open now, in both directions.
    pub fn silence(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Silences new connections, too, until [`Self::open`].
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.silence();
    }

    /// Lets new connections through again.
    pub fn open(&self) {
        self.is_closed.store(false, Ordering::Release);
    }
}

fn pipe(mut from: TcpStream, mut to: UnixStream, is_open: &dyn Fn() -> bool) {
    copy(&mut from, &mut to, is_open);
    if is_open() {
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

fn pipe_back(mut from: UnixStream, mut to: TcpStream, is_open: &dyn Fn() -> bool) {
    copy(&mut from, &mut to, is_open);
    if is_open() {
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, is_open: &dyn Fn() -> bool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || is_open() && to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

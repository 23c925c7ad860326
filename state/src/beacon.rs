//! Proof that a process has ended, for other processes.
//!
//! Each process binds an abstract Unix socket with a random name in its network namespace. The kernel frees the name
//! when the process ends, in any way. A suspended process keeps it, and so does a process without network. Processes of
//! the same boot and network namespace can therefore distinguish a dead process from a silent one: on one machine, and
//! in one pod after a container restart. Processes elsewhere cannot.

use std::sync::OnceLock;

/// The socket of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beacon {
    /// The boot of the machine.
    pub(crate) boot: String,
    /// The inode of its network namespace. The kernel reuses the inode only after all processes of the namespace ended.
    pub(crate) network: u64,
    /// The name of the socket.
    pub(crate) name: String,
}

impl Beacon {
    /// The socket of this process, open until the process ends; `None` if the system has no such sockets.
    pub(crate) fn own() -> Option<&'static Self> {
        static OWN: OnceLock<Option<socket::OpenBeacon>> = OnceLock::new();
        OWN.get_or_init(socket::open).as_ref().map(socket::OpenBeacon::beacon)
    }

    /// True only if the process has certainly ended.
    pub(crate) fn is_gone(&self) -> bool {
        let is_comparable = |own: &Self| own.boot == self.boot && own.network == self.network && own.name != self.name;
        Self::own().is_some_and(is_comparable) && socket::is_gone(&self.name)
    }
}

#[cfg(target_os = "linux")]
mod socket {
    use super::Beacon;
    use std::fs;
    use std::io::ErrorKind;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use uuid::Uuid;

    /// A beacon with its socket.
    pub(super) struct OpenBeacon {
        beacon: Beacon,
        // Open until the process ends. Child processes do not inherit it.
        _socket: UnixDatagram,
    }

    impl OpenBeacon {
        pub(super) const fn beacon(&self) -> &Beacon {
            &self.beacon
        }
    }

    pub(super) fn open() -> Option<OpenBeacon> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let link = fs::read_link("/proc/self/ns/net").ok()?;
        let network = link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
        let name = format!("terrace-{}", Uuid::now_v7());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).ok()?).ok()?;
        Some(OpenBeacon { beacon: Beacon { boot, network, name }, _socket: socket })
    }

    /// The kernel refuses a free name. Any other failure proves nothing.
    pub(super) fn is_gone(name: &str) -> bool {
        let refused = || {
            let (address, socket) = (SocketAddr::from_abstract_name(name).ok()?, UnixDatagram::unbound().ok()?);
            socket.connect_addr(&address).err()
        };
        refused().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    }
}

#[cfg(not(target_os = "linux"))]
mod socket {
    use super::Beacon;

    pub(super) enum OpenBeacon {}

    impl OpenBeacon {
        pub(super) const fn beacon(&self) -> &Beacon {
            match *self {}
        }
    }

    pub(super) const fn open() -> Option<OpenBeacon> {
        None
    }

    pub(super) const fn is_gone(_: &str) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    #[test]
    fn beacon_is_out_after_its_socket_is_closed() {
        let own = Beacon::own().unwrap();
        assert!(!own.is_gone(), "this process runs");
        let other = Beacon { name: "terrace-test-of-another-process".to_owned(), ..own.clone() };
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&other.name).unwrap()).unwrap();
        assert!(!other.is_gone());
        drop(socket);
        assert!(other.is_gone());
    }

    #[test]
    fn beacon_of_another_machine_or_network_is_never_out() {
        let gone = Beacon { name: "terrace-test-of-no-process".to_owned(), ..Beacon::own().unwrap().clone() };
        assert!(gone.is_gone());
        assert!(!Beacon { boot: "another".to_owned(), ..gone.clone() }.is_gone());
        assert!(!Beacon { network: 1, ..gone }.is_gone());
    }
}

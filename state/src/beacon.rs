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
        static OWN: OnceLock<Option<lit::Lit>> = OnceLock::new();
        OWN.get_or_init(lit::light).as_ref().map(lit::Lit::beacon)
    }

    /// True only if the process has certainly ended.
    pub(crate) fn is_out(&self) -> bool {
        let is_seen = |own: &Self| own.boot == self.boot && own.network == self.network && own.name != self.name;
        Self::own().is_some_and(is_seen) && lit::is_out(&self.name)
    }
}

#[cfg(target_os = "linux")]
mod lit {
    use super::Beacon;
    use std::fs;
    use std::io::ErrorKind;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use uuid::Uuid;

    /// A beacon with its socket.
    pub(super) struct Lit {
        beacon: Beacon,
        // Open until the process ends. Child processes do not inherit it.
        _socket: UnixDatagram,
    }

    impl Lit {
        pub(super) const fn beacon(&self) -> &Beacon {
            &self.beacon
        }
    }

    pub(super) fn light() -> Option<Lit> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let link = fs::read_link("/proc/self/ns/net").ok()?;
        let network = link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
        let name = format!("terrace-{}", Uuid::now_v7());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).ok()?).ok()?;
        Some(Lit { beacon: Beacon { boot, network, name }, _socket: socket })
    }

    /// The kernel refuses a free name. Any other failure proves nothing.
    pub(super) fn is_out(name: &str) -> bool {
        let refused = || {
            let (address, socket) = (SocketAddr::from_abstract_name(name).ok()?, UnixDatagram::unbound().ok()?);
            socket.connect_addr(&address).err()
        };
        refused().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    }
}

#[cfg(not(target_os = "linux"))]
mod lit {
    use super::Beacon;

    pub(super) enum Lit {}

    impl Lit {
        pub(super) const fn beacon(&self) -> &Beacon {
            match *self {}
        }
    }

    pub(super) const fn light() -> Option<Lit> {
        None
    }

    pub(super) const fn is_out(_: &str) -> bool {
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
        assert!(!own.is_out(), "this process runs");
        let other = Beacon { name: "terrace-test-of-another-process".to_owned(), ..own.clone() };
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&other.name).unwrap()).unwrap();
        assert!(!other.is_out());
        drop(socket);
        assert!(other.is_out());
    }

    #[test]
    fn beacon_of_another_machine_or_network_is_never_out() {
        let gone = Beacon { name: "terrace-test-of-no-process".to_owned(), ..Beacon::own().unwrap().clone() };
        assert!(gone.is_out());
        assert!(!Beacon { boot: "another".to_owned(), ..gone.clone() }.is_out());
        assert!(!Beacon { network: 1, ..gone }.is_out());
    }
}

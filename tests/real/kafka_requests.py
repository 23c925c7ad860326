"""usage: kafka_requests.py HOST:PORT PORT_FILE COUNT_FILE

Passes connections on to a broker, and writes how often it was asked what, one line a kind: what `plan` costs is counted where
a broker hears it. Brokers tell clients their own addresses, so that what goes to the controller, or to the leader of a
partition, does not come by here; what only looks does.
"""

import collections
import socket
import struct
import sys
import threading

NAMES = {2: "ListOffsets", 3: "Metadata", 18: "ApiVersions", 19: "CreateTopics", 29: "DescribeAcls", 32: "DescribeConfigs"}
counts: collections.Counter = collections.Counter()
lock = threading.Lock()


def exactly(stream: socket.socket, count: int) -> bytes:
    """So many bytes, or nothing at the end."""
    read = b""
    while len(read) < count:
        part = stream.recv(count - len(read))
        if not part:
            return b""
        read += part
    return read


def asked(client: socket.socket, broker: socket.socket, count_file: str) -> None:
    """Passes requests on and counts them."""
    while length := exactly(client, 4):
        frame = exactly(client, struct.unpack(">i", length)[0])
        key = struct.unpack(">h", frame[:2])[0]
        with lock:
            counts[NAMES.get(key, str(key))] += 1
            with open(count_file, "w", encoding="utf-8") as out:
                out.writelines(f"{name} {number}\n" for name, number in sorted(counts.items()))
        broker.sendall(length + frame)
    broker.close()


def answered(client: socket.socket, broker: socket.socket) -> None:
    """Passes answers back."""
    try:
        while part := broker.recv(1 << 16):
            client.sendall(part)
    except OSError:
        pass
    client.close()


def main() -> None:
    """Listens until it is ended."""
    address, port_file, count_file = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with open(port_file, "w", encoding="utf-8") as out:
            out.write(str(listener.getsockname()[1]))
        while True:
            client, _ = listener.accept()
            broker = socket.create_connection((host, int(port)))
            threading.Thread(target=asked, args=(client, broker, count_file), daemon=True).start()
            threading.Thread(target=answered, args=(client, broker), daemon=True).start()


main()

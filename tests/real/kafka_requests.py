"""usage: kafka_requests.py HOST:PORT PORT_FILE COUNT_FILE

Forwards connections to a broker, and writes the number of requests by kind, one line each: it counts the cost of `plan` at the
broker. Brokers send clients their own addresses, so requests to the controller or to the leader of a partition bypass this
proxy; reads pass it.
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
    """This many bytes, or none at the end."""
    read = b""
    while len(read) < count:
        part = stream.recv(count - len(read))
        if not part:
            return b""
        read += part
    return read


def asked(client: socket.socket, broker: socket.socket, count_file: str) -> None:
    """Forwards requests and counts them."""
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
    """Forwards answers."""
    try:
        while part := broker.recv(1 << 16):
            client.sendall(part)
    except OSError:
        pass
    client.close()


def main() -> None:
    """Listens until the end of the process."""
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

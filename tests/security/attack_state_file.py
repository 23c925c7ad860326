"""A truncated or changed SQLite state, or one of another version: no panic, no empty state, no change of the file."""
import os
import random
import sqlite3

from harness import attack, check, project, stack, terrace

COMMANDS = (["state", "list"], ["plan", "s.yaml", "--detailed-exitcode"], ["apply", "s.yaml", "--auto-approve"], ["doctor"],
            ["recover"])


def applied(name):
    folder = project(name, environments="local: {overlay: embedded}")
    files = (f'{{type: local_file, name: f{at}, config: {{path: out/f{at}, content: "x{at}"}}}}' for at in range(40))
    (folder / "s.yaml").write_text(stack("damaged", *files))
    check(terrace(folder, "apply", "s.yaml", "--auto-approve").code == 0, "the stack was not applied")
    state = folder / ".terrace" / "state.db"
    return folder, state, state.read_bytes()


def put(state, data):
    for end in ("-wal", "-shm"):
        state.with_name(state.name + end).unlink(missing_ok=True)
    state.write_bytes(data)


def try_all(folder, state, name, data):
    put(state, data)
    for command in COMMANDS:
        ended = terrace(folder, *command)
        # A damaged state either works as before or is refused. It never counts as empty.
        began_anew = command[0] == "plan" and ended.code == 2
        check(not began_anew, f"{name}: the plan creates anew what exists", ended.out[-200:])
    for at in range(40):
        check((folder / "out" / f"f{at}").read_text() == f"x{at}", f"{name}: a file changed", at)


@attack()
def cut_and_replaced():
    """A truncated state, garbage, or zeros."""
    folder, state, good = applied("state-cut")
    for name, data in (("garbage", os.urandom(5_000)), ("text", b"hello"), ("half", good[:len(good) // 2]),
                       ("one page", good[:4_096]), ("one byte", good[:1]), ("zeros", b"\0" * len(good))):
        try_all(folder, state, name, data)


@attack(slow=True)
def flipped_bytes():
    """A state with a few changed bytes."""
    folder, state, good = applied("state-flipped")
    random.seed(3)
    for at in range(25):
        data = bytearray(good)
        for _ in range(random.choice((1, 5, 50))):
            place = random.randrange(100, len(data) - 64)
            size = random.choice((1, 4, 64))
            data[place:place + size] = random.randbytes(size)
        put(state, bytes(data))
        for command in COMMANDS:
            terrace(folder, *command)


@attack()
def other_versions():
    """A state of a future version."""
    folder, state, good = applied("state-version")
    put(state, good)
    with sqlite3.connect(state) as connection:
        version = connection.execute("pragma user_version").fetchone()[0]
        connection.execute(f"pragma user_version = {version + 1}")
    connection.close()
    before = state.read_bytes()
    for command in COMMANDS[:3]:
        ended = terrace(folder, *command)
        check(ended.code != 0, f"`{' '.join(command)}` took a state of a newer version", ended.text[-200:])
    check(state.read_bytes()[:100] == before[:100], "the state of a newer version was written")

"""Descriptors that read or write the files of terrace itself: configuration, state, keys."""
import os

from harness import STATE_KEY, attack, check, project, stack, terrace


def prepared(name):
    folder = project(name, environments="local: {overlay: embedded}")
    (folder / "state.key").write_text(STATE_KEY)
    with (folder / "terrace.yaml").open("a") as file:
        file.write("encryption: {keyFile: state.key}\n")
    os.chmod(folder / "state.key", 0o600)
    (folder / "first.yaml").write_text(stack("first", "{type: local_file, name: f, config: {path: out/f, content: a}}"))
    ended = terrace(folder, "apply", "first.yaml", "--auto-approve", key=False)
    check(ended.code == 0, "the first apply failed", ended.text[-300:])
    os.symlink("state.key", folder / "link")
    return folder


PATHS = ("terrace.yaml", "state.key", "link", ".terrace/state.db", "./out/../state.key")


@attack()
def lookups_of_own_files():
    """A lookup of the configuration, the key or the state."""
    folder = prepared("own-read")
    for path in PATHS:
        (folder / "s.yaml").write_text(stack("reads", more=f"data:\n  - {{type: local_file, name: k, config: {{path: {path}}}}}\n"
                                                            "outputs: {k: '${{ data.k.content }}'}\n"))
        ended = terrace(folder, "plan", "s.yaml", key=False)
        check(ended.code != 0 and STATE_KEY not in ended.text, "a descriptor read a file of terrace", path, ended.text[-200:])


@attack()
def resources_over_own_files():
    """A resource that replaces the configuration, the key or the state."""
    folder = prepared("own-write")
    before = {path: (folder / path).read_bytes() for path in PATHS[:3]}
    for path in PATHS:
        for resource in (f"{{type: local_file, name: k, adopt: ifExists, config: {{path: {path}, content: x}}}}",
                         f"{{type: sqlite_table, name: k, config: {{path: {path}, name: evil, columns: [{{name: a, type: TEXT}}]}}}}"):
            (folder / "s.yaml").write_text(stack("writes", resource))
            ended = terrace(folder, "apply", "s.yaml", "--auto-approve", key=False)
            check(ended.code != 0, "a descriptor wrote a file of terrace", path, ended.text[-200:])
    for path, content in before.items():
        check((folder / path).read_bytes() == content, "a file of terrace changed", path)

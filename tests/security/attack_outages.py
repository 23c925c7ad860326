"""Failures of a machine: a full disk, a jumping clock, killed processes."""
import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

from harness import Breach, Skipped, attack, check, equal, product, project, serve, stack, terrace

FAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1")


def token_of(answer):
    return answer.json if answer.text.startswith('"') else answer.text


@contextlib.contextmanager
def small_disk(folder, size):
    """A disk of that size on a folder. Needs the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        raise Skipped("mounting a small disk needs root")
    try:
        yield lambda new: subprocess.run(["mount", "-o", f"remount,size={new}", folder], check=True)
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


@attack()
def disk_of_the_state_is_full():
    """An apply whose state has no room: it fails, and the next one finds all created objects."""
    folder = project("full", environments="local: {overlay: embedded}")
    text = "x" * 6_000
    (folder / "s.yaml").write_text(stack("full", *(
        f'{{type: local_file, name: f{at}, config: {{path: out/f{at}, content: "{text}{at}"}}}}' for at in range(300))))
    with small_disk(folder / ".terrace", "1500k") as grow:
        full = terrace(folder, "apply", "s.yaml", "--auto-approve", limit=120)
        check(full.code != 0, "an apply without room succeeded")
        grow("60m")
        again = terrace(folder, "apply", "s.yaml", "--auto-approve", limit=120)
        equal(again.code, 0, f"the apply with room: {again.err[-300:]}")
        equal(terrace(folder, "plan", "s.yaml", "--detailed-exitcode").code, 0, "the plan afterwards")
        equal(len([it for it in os.listdir(folder / "out") if not it.startswith(".")]), 300, "files")


@attack(slow=True)
def disk_of_the_server_is_full():
    """A server whose state has no room: it refuses requests, keeps accepted ones, and continues once there is room."""
    folder = project("full-server")
    with small_disk(folder / ".terrace", "1200k") as grow:
        to, accepted = serve(folder), []
        for at in range(150):
            answer = to.provision(product(f"d{at}", topics=6))
            if answer.status != 202:
                check(answer.status in (500, 503, 507), "another refusal", answer.status)
                break
            accepted.append(token_of(answer))
        equal(to.call("GET", "/health", token=None).status, 200, "health without room")
        grow("60m")
        end = time.monotonic() + 60
        while to.call("GET", "/ready", token=None).status != 200 and time.monotonic() < end:
            time.sleep(0.2)
        for token in accepted:
            check(to.outcome(token) in ("COMPLETED", "FAILED"), "an accepted request was lost", token)
        equal(to.outcome(token_of(to.provision(product("after")))), "COMPLETED", "a provision with room")
        to.check_healthy()
        to.end()


@attack(slow=True)
def clock_jumps():
    """The wall clock jumps by days while requests run."""
    library = next((it for it in FAKETIME if pathlib.Path(it).exists()), None)
    if library is None:
        raise Skipped("needs libfaketime (apt-get install faketime)")
    folder = project("clock")
    clock = folder / "clock"
    clock.write_text("+0\n")
    to = serve(folder, env={"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    accepted, stopped = [], threading.Event()

    def load(number):
        at = 0
        while not stopped.is_set():
            name = f"p{number}x{at}"
            answer = to.provision(product(name, topics=4))
            if answer.status == 202:
                accepted.append((name, token_of(answer)))
            at += 1
            time.sleep(0.1)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for jump in ("+1d", "+0", "-1d", "+40s", "-40s", "+3650d", "+0", "+25s", "+0"):
        time.sleep(1.5)
        clock.write_text(f"{jump}\n")
        equal(to.call("GET", "/health", token=None).status, 200, f"health after {jump}")
    stopped.set()
    for thread in threads:
        thread.join()
    # A lease may have expired by such a clock: the request fails then, and the next one finds all its objects.
    failed = [name for name, token in accepted if to.outcome(token) != "COMPLETED"]
    for name in failed:
        equal(to.outcome(token_of(to.provision(product(name, topics=4)))), "COMPLETED", f"{name} again")
    for name, _ in accepted:
        equal(sorted(os.listdir(folder / "notes" / name)), [f"t{topic}.md" for topic in range(4)], f"files of {name}")
    to.check_healthy()


@attack()
def killed_server():
    """kill -9 while requests run: the next server ends each of them."""
    folder = project("killed")
    to = serve(folder)
    tokens = [token_of(to.provision(product(f"k{at}", topics=8))) for at in range(12)]
    to.end(signal.SIGKILL)
    again = serve(folder, port=to.port)
    for at, token in enumerate(tokens):
        equal(again.outcome(token), "COMPLETED", f"request {at}")
        equal(sorted(os.listdir(folder / "notes" / f"k{at}")), [f"t{topic}.md" for topic in range(8)], f"files of {at}")
    again.check_healthy()


@attack()
def stopped_server():
    """SIGTERM while requests run: the server drains and ends by itself."""
    folder = project("stopped")
    to = serve(folder)
    tokens = [token_of(to.provision(product(f"s{at}", topics=8))) for at in range(12)]
    equal(to.end(), 0, "exit code of the server")
    again = serve(folder, port=to.port)
    ends = collections.Counter(again.outcome(token) for token in tokens)
    equal(dict(ends), {"COMPLETED": 12}, "ends of the requests")


@attack()
def several_writers():
    """Commands and a server that change one stack at a time."""
    folder = project("writers", stacks=True)
    to = serve(folder)

    def text(mark):
        return stack("joint", *(f'{{type: local_file, name: f{at}, config: {{path: joint/f{at}, content: "{mark} {at}"}}}}'
                                for at in range(10)))

    problems = []

    def command(name):
        for at in range(3):
            (folder / f"{name}.yaml").write_text(text(f"{name}{at}"))
            try:
                ended = terrace(folder, "apply", f"{name}.yaml", "--env", "production", "--auto-approve", "--lock-timeout", "60s",
                                limit=120)
                # 4: the plan is stale, because another writer was first.
                check(ended.code in (0, 4), "an apply failed", ended.code, ended.err[-300:])
            except Breach as found:
                problems.append(str(found))

    threads = [threading.Thread(target=command, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(problems, [], "problems of the commands")
    writers = {(folder / "joint" / f"f{at}").read_text().split()[0] for at in range(10)}
    equal(len(writers), 1, f"writers of the files {writers}")
    to.check_healthy()


@attack()
def same_request_many_times():
    """One request 32 times at once, and one idempotency key with two bodies."""
    folder = project("same")
    to = serve(folder)

    def at_once(call):
        answers = []
        threads = [threading.Thread(target=lambda at=at: answers.append(call(at))) for at in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    same = at_once(lambda _: to.provision(product("dup", topics=6)))
    for token in {token_of(it) for it in same if it.status == 202}:
        equal(to.outcome(token), "COMPLETED", "the same request")
    keyed = at_once(lambda at: to.provision(product("keyed", topics=2 + at % 2), headers={"Idempotency-Key": "one"}))
    equal(len({token_of(it) for it in keyed if it.status == 202}), 1, "requests by one idempotency key")
    to.check_healthy()

"""The steps of `tests/real/pipelines-queue`. usage: pipelines_queue.py run FOLDER TERRACE STAND_IN | end FOLDER"""
import fcntl
import glob
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

RUNS, WORKERS, KILLS = (int(os.environ.get(name, usual)) for name, usual in (("RUNS", 200), ("WORKERS", 4), ("KILLS", 10)))
PIPELINES = 20
PATIENCE = 1800

# Writes down its start and its end, each by one atomic write.
STEP = """
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
def note(word):
    log = os.open('effects.log', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, ('%s %s\\n' % (word, os.environ['TERRACE_RUN'])).encode())
    os.close(log)
note('begin')
package['resources'].append({'name': 'rows', 'path': 'rows.csv', 'dpp:streaming': True,
    'schema': {'fields': [{'name': 'i', 'type': 'integer'}]}})
spew(package, resources + [({'i': i} for i in range(200))], {})
note('end')
"""


WAIT = """
import os, time
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
open('waiting', 'w').close()
while not os.path.exists('go'):
    time.sleep(0.05)
spew(package, resources, {})
"""


def workers(project):
    """The processes of this project's workers, by their command lines."""
    queue = os.path.join(os.path.realpath(project), ".terrace/pipelines").encode()
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = open(path, "rb").read().split(b"\0")
        except OSError:
            continue
        if len(words) > 4 and words[1:3] == [b"pipelines", b"worker"] and words[3] == queue:
            found.append(int(path.split("/")[2]))
    return found


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def fail(what):
    sys.exit(f"not ok: {what}")


def check(holds, what):
    if not holds:
        fail(what)


class Project:
    def __init__(self, work, terrace, stand_in):
        self.folder, self.caches, self.terrace = os.path.join(work, "project"), os.path.join(work, "caches"), terrace
        os.makedirs(self.folder)
        os.makedirs(self.caches)
        self.write("step.py", STEP)
        spec = "".join(
            f"p{number:02}:\n  pipeline:\n  - run: step\n  - run: dump_to_path\n    parameters: {{out-path: data/p{number:02}}}\n"
            for number in range(PIPELINES))
        self.write("pipeline-spec.yaml", spec)
        plan = json.loads(self.call("plan", ".", "--format", "json").stdout)
        keys = {change["change"]["after"].get("environment") for change in plan["resource_changes"]} - {None}
        for key in keys:
            self.make_environment(key, stand_in)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def make_environment(self, key, stand_in):
        """An environment without packages, with the stand-in, like that of providers/pipelines/tests/stand_in.rs."""
        version = "%d.%d" % sys.version_info[:2]
        folder = os.path.join(self.caches, "terrace/pipelines", key)
        packages = os.path.join(folder, "lib", f"python{version}", "site-packages")
        own = os.path.join(sys.base_prefix, "bin", f"python{version}")
        own = os.path.realpath(own if os.path.exists(own) else sys.executable)
        os.makedirs(os.path.join(folder, "bin"))
        os.symlink(own, os.path.join(folder, "bin/python"))
        with open(os.path.join(folder, "pyvenv.cfg"), "w") as file:
            file.write(f"home = {os.path.dirname(own)}\ninclude-system-site-packages = false\n")
        shutil.copytree(stand_in, packages)
        with open(os.path.join(folder, "terrace-environment.json"), "w") as file:
            json.dump({"format": 1, "release": key.rsplit("-", 1)[0], "python": version, "interpreter": "stand-in"}, file)

    def start(self, *words):
        return subprocess.Popen([self.terrace, *words], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def call(self, *words):
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            fail(f"terrace {' '.join(words)} ended with {process.returncode}: {err}")
        return subprocess.CompletedProcess(words, 0, out, err)

    def ask(self, query, *arguments):
        with sqlite3.connect(os.path.join(self.folder, ".terrace/pipelines/queue.db"), timeout=60) as queue:
            return queue.execute(query, arguments).fetchall()

    def pods(self):
        """The workers; a cluster has databases too."""
        pods = json.loads(self.call("pipelines", "pods", "--json").stdout)
        return [pod for pod in pods if pod["role"] == "worker"]

    def until(self, what, holds):
        begun = time.monotonic()
        while not holds():
            check(time.monotonic() - begun < PATIENCE, f"it did not come true: {what}")
            time.sleep(0.05)


def queue_all(project):
    """Queues the runs: most of them detached, the last round by two followers."""
    ids, rounds = [], RUNS // PIPELINES
    for _ in range(rounds - 2):
        queued = json.loads(project.call("pipelines", "run", "all", "--detach", "--json").stdout)["queued"]
        ids += [run["run_id"] for run in queued]
    followers = [project.start("pipelines", "run", "all", "--force") for _ in range(2)]
    project.until("all are queued", lambda: project.ask("SELECT count(*) FROM run")[0][0] == rounds * PIPELINES)
    return [run for run, in project.ask("SELECT id FROM run ORDER BY number")], followers


def kill_at_random(project, followers):
    """Kills this many times, and prints the victims."""
    counts = {"a worker": 0, "all workers": 0, "a follower": 0}
    for number in range(KILLS):
        ended = project.ask("SELECT count(*) FROM run WHERE state = 'ended'")[0][0]
        goal = min(RUNS - 1, ended + random.randint(1, max(1, RUNS // (KILLS + 2))))
        project.until("some have ended", lambda: project.ask("SELECT count(*) FROM run WHERE state = 'ended'")[0][0] >= goal)
        # At a random moment of the runs, without waiting for a condition.
        time.sleep(random.random() * 0.4)
        alive = workers(project.folder)
        followers = [follower for follower in followers if follower.poll() is None]
        whom = "a follower" if number in (2, 6) and followers else random.choice(["a worker", "all workers"])
        if whom == "a follower":
            kill(followers[0].pid)
            followers[0].wait()
        elif whom == "a worker" and alive:
            kill(random.choice(alive))
        else:
            whom = "all workers"
            while alive:
                for pid in alive:
                    kill(pid)
                alive = workers(project.folder)
            project.pods()
        counts[whom] += 1
    print("killed: " + ", ".join(f"{whom} {count} times" for whom, count in counts.items()))
    return followers


def hang(project):
    """Suspends a worker during a run: it lives, but without a heartbeat."""
    project.write("wait.py", WAIT)
    project.write("pipeline-spec.yaml", "wait: {pipeline: [{run: wait}]}\n")
    run = json.loads(project.call("pipelines", "run", "./wait", "--detach", "--json").stdout)["queued"][0]["run_id"]
    project.until("the step begins", lambda: os.path.exists(os.path.join(project.folder, "waiting")))
    pod = next(pod["name"] for pod in project.pods() if pod["run"] == run)
    for pid in workers(project.folder):
        if pod.encode() in open(f"/proc/{pid}/cmdline", "rb").read():
            os.kill(pid, signal.SIGSTOP)

    def states():
        return [state for state, in project.ask("SELECT state FROM transition WHERE run = ? ORDER BY number", run)]

    project.until("somebody else has it", lambda: states().count("assigned") == 2)
    project.write("go", "")
    project.until("it ends", lambda: states()[-1] == "ended")
    check(states() == ["queued", "assigned", "queued", "assigned", "ended"], f"the run went another way: {states()}")
    check(pod not in [pod["name"] for pod in project.pods()], "the worker that hangs is still there")


def effects(project):
    with open(os.path.join(project.folder, "effects.log")) as file:
        return [line.split() for line in file]


def run(work, terrace, stand_in):
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    random.seed(seed)
    print(f"seed {seed}")
    project, count = Project(work, terrace, stand_in), 0

    def ok(what):
        nonlocal count
        count += 1
        print(f"ok {what}", flush=True)

    project.call("pipelines", "init", "local", "--workers", str(WORKERS))
    check([pod["status"] for pod in project.pods()] == ["available"] * WORKERS, "the workers do not come up")
    ok(f"{WORKERS} workers come up")
    begun = time.monotonic()
    ids, followers = queue_all(project)
    runs = len(ids)
    ok(f"{runs} runs are queued")
    followers = kill_at_random(project, followers)
    ok(f"{KILLS} kills")
    looked = [0.0]

    def all_ended():
        # Without followers, any command restarts the workers.
        if time.monotonic() - looked[0] > 1:
            project.pods()
            looked[0] = time.monotonic()
        return project.ask("SELECT count(*) FROM run WHERE state <> 'ended'")[0][0] == 0

    project.until("all have ended", all_ended)
    print(f"{runs} runs in {time.monotonic() - begun:.0f} s")
    for follower in followers:
        out, err = follower.communicate(timeout=60)
        check(follower.returncode == 0 and out.count("SUCCESS") == PIPELINES, f"a follower ended otherwise: {out}{err}")
    states = project.ask("SELECT state, is_good, count(*) FROM run GROUP BY 1, 2")
    check(states == [("ended", 1, runs)], f"not all ended well: {states}")
    ends = project.ask("SELECT run, sum(state = 'ended'), max(number) = max(CASE state WHEN 'ended' THEN number END) "
                       "FROM transition GROUP BY run")
    check(len(ends) == runs and all(ended == 1 and last for _, ended, last in ends), "a run ended twice, or went on after its end")
    ok("each run ended well and once, and nothing came after")

    final = dict(project.ask("SELECT id, record FROM run"))
    attempts = project.ask("SELECT run, record FROM transition WHERE state = 'assigned' ORDER BY number")
    owner = {record: run for run, record in attempts}
    begins, finishes = {}, {}
    for word, record in effects(project):
        check(record in owner, f"a step ran that nobody took: {record}")
        (begins if word == "begin" else finishes).setdefault(record, []).append(word)
    check(all(len(words) == 1 for words in [*begins.values(), *finishes.values()]), "an attempt was made twice")
    check(all(record in finishes for record in final.values()), "a run ended whose step did not")
    last = {run: record for run, record in attempts}
    check(last == final, "a run was taken again after its end")
    cut = len(attempts) - runs
    again = sum(record in finishes for record in owner if record not in final.values())
    ok(f"no run that ended was begun again: {cut} attempts were cut off, {again} of them after the step's own end")

    succeeded = {}
    for path in glob.glob(os.path.join(project.folder, ".terrace/pipelines/runs/*/run.json")):
        with open(path) as file:
            record = json.load(file)
        check(record["state"] in ("succeeded", "lost"), f"the record {path} is {record['state']}")
        if record["state"] == "succeeded":
            succeeded.setdefault(owner[record["run"]], []).append(record["run"])
    check(succeeded == {run: [record] for run, record in final.items()}, "a run has another record than the one that ended it")
    ok("each run has one record that succeeded")

    packages = glob.glob(os.path.join(project.folder, "data/*/datapackage.json"))
    partial = glob.glob(os.path.join(project.folder, "data/.*"))
    check(len(packages) == PIPELINES and not partial, f"outputs: {len(packages)}, and what is half-made: {partial}")
    ok("outputs are whole, and nothing half-made is left")

    def orphans():
        marks, found = {f"TERRACE_RUN={record}".encode() for record in owner}, []
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                variables = open(path, "rb").read().split(b"\0")
            except OSError:
                continue
            if marks.intersection(variables):
                found.append(path)
        return found

    project.until("no process is left", lambda: not orphans())
    for path in glob.glob(os.path.join(project.folder, ".terrace/pipelines/pipelines/*/lock")):
        with open(path, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    left = glob.glob(os.path.join(project.folder, ".terrace/pipelines/pipelines/*/current"))
    check(not left, f"runs are held: {left}")
    ok("no process and no lock is left")

    def whole():
        return [pod["status"] for pod in project.pods()] == ["available"] * WORKERS

    project.until("the pool is whole", whole)
    check(len(workers(project.folder)) == WORKERS, "there are other workers than those of the pool")
    ok("the pool is whole")
    hang(project)
    ok("a worker that hangs is killed and replaced, and its run ends once")
    project.call("pipelines", "init", "local", "--workers", "0", "--databases", "0")
    project.until("the workers leave", lambda: not workers(project.folder))
    ok("workers leave when none are wanted")
    print(f"ok {count} scenarios")


def end(work):
    """Ends all processes that a failure left."""
    project = os.path.join(work, "project")
    while alive := workers(project):
        for pid in alive:
            kill(pid)


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(*sys.argv[2:])
    else:
        end(*sys.argv[2:])

#!/usr/bin/env python3
"""usage: files.py N [TERRACE]

Creates and removes N files with the durability of `local_file` (temporary file, sync, rename, sync of the folder): by threads
of this program, and by `terrace apply` and `terrace destroy`, in turns, on the disk of the present folder. Prints seconds
and the ratio of terrace's time. The ratio above 1 is the cost of terrace.
RUNS=N takes the median of N turns (default 3). TERRACE is target/release/terrace by default.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

AT_ONCE = 10  # The default parallelism of terrace.

STACK = """\
apiVersion: terrace.dev/v1
kind: Stack
metadata: {{name: files}}
resources:
  - type: local_file
    name: file
    forEach: "${{{{ range({count}) }}}}"
    config: {{path: "out/${{{{ string(each.value) }}}}.txt", content: "file ${{{{ string(each.value) }}}}"}}
"""


def sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)


def make(folder: Path, number: int) -> None:
    beside = folder / f".{number}"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(handle, b"file %d" % number)
    os.fsync(handle)
    os.close(handle)
    beside.rename(folder / f"{number}.txt")
    sync(folder)


def remove(folder: Path, number: int) -> None:
    (folder / f"{number}.txt").unlink()
    sync(folder)


def each(task, folder: Path, count: int) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: task(folder, number), range(count)))


def seconds(task) -> float:
    begin = time.perf_counter()
    task()
    return time.perf_counter() - begin


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    count = int(sys.argv[1])
    terrace = Path(sys.argv[2] if len(sys.argv) == 3 else "target/release/terrace").resolve()
    figures: dict[str, list[float]] = {}
    for _ in range(int(os.environ.get("RUNS", "3"))):
        with tempfile.TemporaryDirectory(dir=".") as work:
            alone = Path(work) / "alone"
            alone.mkdir()
            (Path(work) / "stack.yaml").write_text(STACK.format(count=count))

            def run(*arguments: str) -> None:
                subprocess.run([terrace, *arguments], cwd=work, check=True, capture_output=True)

            steps = {
                "made alone": lambda: each(make, alone, count),
                "apply": lambda: run("apply", "stack.yaml", "--auto-approve"),
                "removed alone": lambda: each(remove, alone, count),
                "destroy": lambda: run("destroy", "stack.yaml", "--auto-approve"),
            }
            for name, task in steps.items():
                figures.setdefault(name, []).append(seconds(task))
    median = {name: statistics.median(taken) for name, taken in figures.items()}
    for name, taken in median.items():
        print(f"{name:14} {taken:7.2f} s")
    print(f"apply is {median['apply'] / median['made alone']:.2f} times as long as making the files alone,")
    print(f"destroy {median['destroy'] / median['removed alone']:.2f} times as long as removing them")


if __name__ == "__main__":
    main()

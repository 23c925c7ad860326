"""Saved plans that are changed, truncated, reused, or moved to another project: apply refuses them and changes nothing."""
import hashlib
import random
import re

from harness import attack, check, equal, project, stack, terrace

COMMAND = "{type: local_command, name: c, config: {create: [sh, -c, 'touch made; echo \"{}\"; # reviewed']}}"


def planned(name, *resources):
    folder = project(name, environments="local: {overlay: embedded}")
    (folder / "s.yaml").write_text(stack("saved", *(resources or (COMMAND,))))
    equal(terrace(folder, "plan", "s.yaml", "--out", "plan.json").code, 0, "the plan")
    return folder, (folder / "plan.json").read_bytes()


def refuse(folder, data, what):
    (folder / "evil.json").write_bytes(data)
    ended = terrace(folder, "apply", "evil.json")
    check(ended.code != 0, f"apply took {what}", ended.text[-200:])
    for trace in ("made", "pwned"):
        check(not (folder / trace).exists(), f"apply of {what} ran a program")


@attack()
def changed_plan():
    """A plan whose program was changed after the review."""
    folder, good = planned("plan-changed")
    check(b"touch made" in good, "the plan does not hold its program")
    refuse(folder, good.replace(b"touch made", b"touch pwned"), "a changed plan")
    refuse(folder, good.replace(b'"checksum"', b'"checksum": "", "checksum"'), "a plan with two checksums")


@attack()
def forged_plan():
    """A changed plan with a matching checksum, and a plan that no key authenticates."""
    folder, good = planned("plan-forged")
    head, _, rest = good.partition(b'"plan":')
    body = rest.rstrip()[:-1].replace(b"touch made", b"touch pwned")
    old = re.search(rb'"checksum": ?"([0-9a-f]{64})"', head)
    check(old, "the plan has no checksum", head)
    refuse(folder, head.replace(old[1], hashlib.sha256(body).hexdigest().encode()) + b'"plan":' + body + b"}\n", "a forged plan")
    terrace(folder, "plan", "s.yaml", "--out", "plan.json", key=False)
    ended = terrace(folder, "apply", "plan.json", key=False)
    check(ended.code != 0 and not (folder / "made").exists(), "apply took a plan that nothing vouches for", ended.text[-200:])


@attack()
def cut_and_mutated_plans():
    """Truncated plans and garbage."""
    folder, good = planned("plan-cut")
    random.seed(5)
    cases = [b"", b"{}", b"[]", b"null", b"\xff" * 100, b"[" * 50_000, good[:len(good) // 2], good + b"x", good + good]
    for _ in range(10):
        at = random.randrange(len(good))
        cases.append(good[:at] + random.randbytes(8) + good[at + 8:])
    for at, data in enumerate(cases):
        refuse(folder, data, f"damaged plan {at}")


@attack()
def plan_used_again():
    """A spent plan and a stale plan."""
    first = '{type: local_file, name: f, config: {path: out/f, content: "one"}}'
    folder, good = planned("plan-again", first)
    equal(terrace(folder, "apply", "plan.json").code, 0, "the first apply")
    check(terrace(folder, "apply", "plan.json").code != 0, "a plan was applied twice")
    (folder / "s.yaml").write_text(stack("saved", first.replace("one", "two")))
    equal(terrace(folder, "plan", "s.yaml", "--out", "plan.json").code, 0, "the second plan")
    (folder / "s.yaml").write_text(stack("saved", first.replace("one", "three")))
    equal(terrace(folder, "apply", "s.yaml", "--auto-approve").code, 0, "an apply between")
    check(terrace(folder, "apply", "plan.json").code != 0, "a stale plan was applied")
    equal((folder / "out" / "f").read_text(), "three", "content")


@attack()
def plan_of_another_project():
    """A plan for the state of another project."""
    first = '{type: local_file, name: f, config: {path: out/f, content: "one"}}'
    folders = [planned(name, first)[0] for name in ("plan-here", "plan-foreign")]
    for folder in folders:
        equal(terrace(folder, "apply", "plan.json").code, 0, "the own plan")
        (folder / "s.yaml").write_text(stack("saved", first.replace("one", folder.name)))
        equal(terrace(folder, "plan", "s.yaml", "--out", "plan.json").code, 0, "the second plan")
    here, foreign = folders
    refuse(here, (foreign / "plan.json").read_bytes(), "a plan of another project")
    equal((here / "out" / "f").read_text(), "one", "content")

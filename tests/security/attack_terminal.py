"""Terminal sequences and markup from descriptors and from programs: output shows them escaped."""
import re

from harness import attack, check, project, terrace

HOSTILE = ("\x1b", "\x07", "\x9b", "\u202e", "\u200b")
SEQUENCE = r"\e[31mRED\e]0;pwn\a\e]8;;http:evil\aX\x9b31m"
MARKUP = ("```\\n</details><!-- terrace:plan:x --> @everyone <img src=x onerror=alert(1)> "
          "[x](javascript:alert(1)) | a `b`\\u202e\\u200b\\u2028")
STACK = f"""apiVersion: terrace.dev/v1
kind: Stack
metadata: {{name: esc}}
variables: {{v: {{type: string, default: "{SEQUENCE}"}}}}
resources:
  - {{type: local_file, name: a, config: {{path: "out/{SEQUENCE}", content: "{SEQUENCE} {MARKUP}"}}}}
  - {{type: local_file, name: b, config: {{path: out/b, content: "{MARKUP}"}}}}
  - type: local_command
    name: c
    config:
      create: [sh, -c, 'printf "\\033[31mERR\\033]0;t\\007\\n" >&2; echo "{{\\"k\\": \\"\\\\u001b[31mX\\"}}"']
  - type: local_command
    name: d
    config:
      create: [sh, -c, 'printf "\\033[31mERR\\r\\nerror: forged\\n" >&2; exit 1']
outputs:
  o: "{SEQUENCE} {MARKUP}"
  c: '${{{{ resources.c.output.k }}}}'
"""


def outside_of_fences(markdown):
    """The lines that Markdown interprets."""
    fence, lines = "", []
    for line in markdown.splitlines():
        ticks = re.match("`{3,}", line.strip())
        if not fence:
            fence = ticks.group() if ticks else ""
            lines.append(line)
        elif ticks and ticks.group() == line.strip() and len(ticks.group()) >= len(fence):
            fence = ""
    return "\n".join(lines)


@attack()
def sequences_in_every_command():
    """Descriptors, states and programs with sequences for terminals."""
    folder = project("terminal", environments="local: {overlay: embedded}")
    (folder / "s.yaml").write_text(STACK)
    commands = (["validate", "s.yaml"], ["plan", "s.yaml"], ["plan", "s.yaml", "--format", "markdown"],
                ["apply", "s.yaml", "--auto-approve"], ["show"], ["output"], ["state", "list"],
                ["state", "show", "local_file.a"], ["state", "history", "local_file.a"], ["operations", "list"],
                ["graph", "s.yaml"], ["graph", "s.yaml", "--format", "mermaid"], ["drift", "s.yaml"],
                ["console", "s.yaml", "-e", "vars.v"])
    for command in commands:
        ended = terrace(folder, *command)
        found = [it for it in HOSTILE if it in ended.text]
        check(not found, f"`{' '.join(command)}` wrote sequences", found)
        if "markdown" in command:
            outside = outside_of_fences(ended.out)
            check("</details><!--" not in outside and "<img src" not in outside, "markup broke out of the plan", outside[-300:])
    operation = terrace(folder, "operations", "list").out.split()[0]
    for command in (["operations", "show", operation], ["operations", "logs", operation]):
        ended = terrace(folder, *command)
        check(not any(it in ended.text for it in HOSTILE), f"`{command[1]}` wrote sequences")
        check(not any(line.startswith("error: forged") for line in ended.text.splitlines()), "a program forged a line")

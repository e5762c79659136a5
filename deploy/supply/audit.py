"""Are weaknesses known of what is installed? `python deploy/supply/audit.py sbom.json` (`make audit`).

Asks the advisory database of PyPI by pip-audit about every package of the bill of materials. pip-audit alone says "No
known vulnerabilities found" and ends with 0 where it could ask about nothing; this says how many were audited, and ends
with 0 only if all were and nothing is known of them, with 1 if something is, with 2 if some could not be asked about.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2
SHOWN = 5
LIMIT_S = 900


class Verdict(NamedTuple):
    """What is said, and the exit code."""

    text: str
    code: int


def main(sbom: Path) -> int:
    """Audit, tell, and return the exit code."""
    wanted = requirements(json.loads(sbom.read_text()))
    verdict = judge(len(wanted), ask(wanted))
    sys.stdout.write(verdict.text + "\n")
    return verdict.code


def requirements(document: dict[str, Any]) -> list[str]:
    """The Python packages of a bill of materials, without the local part of a version (`+cpu`), which PyPI has not."""
    packages = [c for c in document["components"] if c.get("purl", "").startswith("pkg:pypi/")]
    return sorted(f"{c['name']}=={c['version'].split('+')[0]}" for c in packages)


def ask(wanted: Sequence[str]) -> list[dict[str, Any]]:
    """What pip-audit says of each package; nothing where it could reach no advisory database."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(wanted))
        file.flush()
        options = ["--requirement", file.name, "--no-deps", "--disable-pip", "--format", "json"]
        command = [sys.executable, "-m", "pip_audit", *options, "--progress-spinner", "off"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
            return list(json.loads(done.stdout)["dependencies"])
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            return []


def judge(wanted: int, answers: Sequence[dict[str, Any]]) -> Verdict:
    """Count what was audited, what was not, and what is known."""
    audited = [each for each in answers if "skip_reason" not in each]
    known = [(each, weakness) for each in audited for weakness in each["vulns"]]
    skipped = sorted({each["name"] for each in answers} - {each["name"] for each in audited})
    lines = [f"{len(audited)} of {wanted} packages audited, {len(known)} known weaknesses."]
    for each, weakness in known:
        fixed = ", ".join(weakness.get("fix_versions", ())) or "no version"
        lines.append(f"{each['name']} {each['version']}: {weakness['id']}, mended in {fixed}")
    if not audited:
        lines.append(
            "No advisory database could be reached: this says nothing. Run it where there is a network."
        )
    elif len(audited) < wanted:
        named = ", ".join(skipped[:SHOWN]) + (" …" if len(skipped) > SHOWN else "")
        lines.append(f"Not audited: {wanted - len(audited)} ({named}).")
    code = VULNERABLE if known else CLEAN if len(audited) == wanted else UNKNOWN
    return Verdict("\n".join(lines), code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

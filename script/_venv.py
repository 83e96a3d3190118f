"""Makes .venv and installs pinned requirements when they changed. Standard library only; one at a time, under a lock."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"


def main(locks: list[str]) -> int:
    with open(ROOT / ".venv.lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (VENV / "bin" / "python").exists():
            print(f"Making {VENV} with Python {sys.version.split()[0]} …", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        for name in locks:
            wanted = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
            stamp = VENV / f"{name}.installed"
            if stamp.exists() and stamp.read_text() == wanted:
                continue
            print(f"Installing {name} (a minute or so, once) …", flush=True)
            pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            done = subprocess.run([*pip, "--requirement", name], cwd=ROOT)
            if done.returncode != 0:
                print("The installation failed; nothing was started. The lines above say why.", file=sys.stderr)
                return done.returncode
            stamp.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

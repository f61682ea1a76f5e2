"""Where things are."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("POSTBACK_BIN", ROOT / "build/dev/bin")).resolve()
EXAMPLES = ROOT / "examples"
RABBITMQ = ROOT / "script/rabbitmq"
PYTHON = "/usr/bin/python3"

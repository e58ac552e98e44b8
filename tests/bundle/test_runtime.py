import os
import re
import subprocess
import sys
from pathlib import Path


def test_the_runtime_keeps_no_device_id_and_is_told_to_report_nothing(tmp_path: Path) -> None:
    program = (
        "import os, mintage.bundle.graph as g\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
        "g.onnxruntime.SessionOptions()\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={**os.environ, "HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"},
    )
    assert list(tmp_path.rglob("*")) == []


def test_only_one_module_loads_the_runtime() -> None:
    source = Path(__file__).parents[2] / "src"
    loading = [
        path.name
        for path in source.rglob("*.py")
        if re.search(r"^(import|from) onnxruntime", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert loading == ["graph.py"]

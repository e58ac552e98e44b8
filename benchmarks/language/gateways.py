"""How the upstream and the gateways before it are started, and asked."""

from __future__ import annotations

import json
import sys

from benchmarks.common import LITELLM_PYTHON
from benchmarks.language.lab import MODEL, PRODUCT, Lab, Shop
from benchmarks.serving.asking import HOST, Asking
from benchmarks.serving.servers import Start, free_port, there, version_of

_PATH = "/v1/chat/completions"
_MASTER_KEY = "sk-a-key-of-the-benchmark"
_QUIET = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_DOCS": "True",
}


def upstream(lab: Lab) -> Start:
    """The scripted one."""
    command = [sys.executable, "-m", "benchmarks.language.upstream"]
    port = lab.upstream_port
    return Start([*command, f"--port={port}"], port, _asking())


def mintage(__: Lab, shop: Shop) -> Start:
    """``mintage serve`` as it is started by who uses it: everything on, usage on the disk."""
    port = free_port()
    command = [sys.executable, "-m", "mintage", "serve", "--home", str(shop.home)]
    command += ["--port", str(port), "--operator-port", "0"]
    return Start(command, port, _asking(shop.key))


def litellm(lab: Lab, shop: Shop) -> Start:
    """LiteLLM's proxy with one worker, a master key, and no log but of errors.

    Its database is off: the engine of Prisma that it needs is downloaded, and here is no network.
    Idle connections it keeps for as long as ours are kept, not for 5 s: they ask more seldom. Under
    Granian, which it offers too, it bore as many requests for a second of the processor.
    """
    port = free_port()
    python = there(LITELLM_PYTHON)
    path = shop.home.parent / "litellm.yaml"
    path.write_text(json.dumps(_config(lab)), encoding="utf-8")  # JSON is YAML
    command = [str(LITELLM_PYTHON.with_name("litellm")), "--config", str(path)]
    command += ["--host", HOST, "--port", str(port), "--num_workers", "1"]
    command += ["--keepalive_timeout", "75"]
    return Start(command, port, _asking(_MASTER_KEY), _QUIET, version_of(python, "litellm"))


def _config(lab: Lab) -> dict[str, object]:
    behind = {"model": f"openai/{MODEL}", "api_base": lab.upstream_url, "api_key": "none"}
    return {
        "model_list": [{"model_name": PRODUCT, "litellm_params": behind}],
        "litellm_settings": {"set_verbose": False, "telemetry": False},
        "general_settings": {"master_key": _MASTER_KEY},
    }


def _asking(key: str = "") -> Asking:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Asking(_PATH, headers, content_type="application/json")

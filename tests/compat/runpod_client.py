"""RunPod's own client library against a running comfyport: `runpod_client.py URL KEY`."""

import os
import sys

url, key = sys.argv[1], sys.argv[2]
os.environ["RUNPOD_ENDPOINT_BASE_URL"] = f"{url}/v2"

import runpod  # noqa: E402  (it reads the address when it is imported)

runpod.api_key = key
endpoint = runpod.Endpoint("sd15/txt2img")
small = {"prompt": "a lighthouse", "width": 64, "height": 64, "steps": 1}

job = endpoint.run({"input": {**small, "seed": 7}})
output = job.output(timeout=60)
assert job.status() == "COMPLETED", job.status()
assert output["params"]["seed"] == 7, output["params"]
assert output["images"][0]["type"] == "base64" and output["images"][0]["data"].startswith("iVBOR"), output

sync = endpoint.run_sync(small, timeout=60)
assert sync["images"][0]["filename"].endswith(".png"), sync

health = endpoint.health()
assert health["jobs"]["completed"] >= 2 and health["workers"]["ready"] == 1, health

waiting = endpoint.run({"input": {**small, "steps": 1000}, "policy": {"lowPriority": True}})
assert waiting.cancel()["status"] in ("CANCELLED", "COMPLETED")
assert endpoint.purge_queue()["status"] == "completed"
assert list(job.stream()) == []

try:
    runpod.Endpoint("sd15/nothing").run({"input": small})
    raise SystemExit("an endpoint that is not there took a job")
except Exception as error:  # its own HTTP library's error
    assert "404" in str(error), error
try:
    runpod.Endpoint("sd15/txt2img", api_key="wrong").run({"input": small})
    raise SystemExit("a wrong key was taken")
except RuntimeError as error:
    assert "401" in str(error), error
print("runpod: run, run_sync, status, output, stream, cancel, purge_queue and health")

"""Comfy's own client library against a running comfyport: `comfy_v2_client.py URL KEY [openapi.yaml]`.

With the document of the API, every answer is held against its schemas as well.
"""

import os
import re
import struct
import sys
import zlib

import httpx

url, key = sys.argv[1], sys.argv[2]
os.environ["COMFY_BASE_URL"] = url

from comfy_sdk import Comfy  # noqa: E402  (it reads the address when a client is made)
from comfy_sdk.events import OutputReady, Progress, StatusChange  # noqa: E402
from comfy_sdk.exceptions import ComfyError  # noqa: E402

checked = 0


def documented(path):
    """Has every answer that the library is given held against the document first."""
    import yaml
    from openapi_schema_validator import OAS30Validator

    document = yaml.safe_load(open(path, encoding="utf-8"))

    def resolve(value):
        if isinstance(value, list):
            return [resolve(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            target = document
            for step in value["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return resolve(target)
        return {name: resolve(one) for name, one in value.items()}

    def pattern(template):
        return re.compile("^" + re.sub(r"\{[^}]+\}", "[^/]+", template) + "$")

    # What is written out comes before what stands for anything.
    paths = sorted(document["paths"].items(), key=lambda one: one[0].count("{"))
    operations = [(pattern(template), item) for template, item in paths]

    def check(response):
        global checked
        request = response.request
        item = next((item for known, item in operations if known.match(request.url.path)), None)
        assert item and request.method.lower() in item, f"{request.method} {request.url.path} is not in the document"
        responses = resolve(item[request.method.lower()]["responses"])
        said = f"{request.method} {request.url.path}: {response.status_code}"
        assert str(response.status_code) in responses, f"{said} is not in the document"
        schema = responses[str(response.status_code)].get("content", {}).get("application/json", {}).get("schema")
        if schema and request.method != "HEAD":
            response.read()
            # `allOf` beside `nullable` lets null through, which the validator takes literally.
            errors = [
                error
                for error in OAS30Validator(schema).iter_errors(response.json())
                if not (error.instance is None and error.schema.get("nullable"))
                and not (error.instance is None and "allOf" in list(error.absolute_schema_path))
            ]
            assert not errors, f"{said}: {errors[0].json_path}: {errors[0].message}"
        checked += 1

    send = httpx.Client.send

    def checking(client, request, **options):
        response = send(client, request, **options)
        if request.url.path.startswith("/api/v2/"):
            check(response)
        return response

    httpx.Client.send = checking


if len(sys.argv) > 3:
    documented(sys.argv[3])


def picture():
    """A white picture of 3 × 2 pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff" * 9) * 2
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def enlarge(image):
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {
            "class_type": "ImageScale",
            "inputs": {"image": ["1", 0], "upscale_method": "nearest-exact", "width": 32, "height": 24, "crop": "disabled"},
        },
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "out"}},
    }


def size(png):
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


with Comfy(api_key=key) as client:
    asset = client.assets.from_bytes(picture(), filename="photo.png")
    workflow = client.workflows.from_json(enlarge(None))
    workflow.set_input("1", "image", asset)
    job = client.run(workflow)
    output = job.get_outputs("9")[0]
    assert size(output.to_bytes()) == (32, 24), output
    assert output.to_bytes(range=(1, 3)) == b"PNG"
    assert httpx.get(output.get_download_url().url, headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert job.get_workflow().graph["1"]["inputs"]["image"]["__type"] == "core/ASSET"
    assert client.jobs.get(job.id).status == "succeeded"
    assert client.assets.get(asset.id).id == asset.id

    # What one job yielded is what the next one takes; it is watched as it goes.
    workflow.set_input("1", "image", {"__type": "core/ASSET", "info": {"id": output.id}})
    events = list(client.submit(workflow).events())
    assert isinstance(events[-1], StatusChange) and events[-1].status == "succeeded", events
    assert any(isinstance(event, OutputReady) for event in events), events
    assert all(0 <= event.value <= 1 for event in events if isinstance(event, Progress)), events

    waiting = client.submit(workflow)
    assert waiting.cancel().status in ("canceling", "canceled", "succeeded")
    assert waiting.wait(timeout=30).status in ("canceled", "succeeded")

    asset.delete()
    for wrong, code in [
        (enlarge({"__type": "core/ASSET", "info": {"id": "nothing"}}), "missing_asset"),
        ({"1": {"class_type": "NoSuchNode", "inputs": {}}}, "invalid_workflow"),
    ]:
        try:
            client.submit(client.workflows.from_json(wrong))
            raise SystemExit(f"{wrong} was taken")
        except ComfyError as error:
            assert error.code == code, (error.code, code)

try:
    with Comfy(api_key="wrong") as stranger:
        stranger.jobs.get(job.id)
    raise SystemExit("a wrong key was taken")
except ComfyError as error:
    assert error.code == "unauthorized", error.code
held = f"; {checked} answers held against the document" if len(sys.argv) > 3 else ""
print(f"comfy-sdk: assets, run, outputs, events, workflow, cancel{held}")

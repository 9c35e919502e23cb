"""Calls every bundled workflow through the package that `comfyport client python` wrote: `calls.py URL FOLDER`."""

import asyncio
import base64
import hashlib
import json
import sys
import urllib.request
from pathlib import Path
from typing import List, Optional, Set, TypeVar

from comfyport_client import (
    AsyncClient,
    Client,
    ComfyportError,
    Event,
    Progress,
    Queued,
    Request,
    Run,
    RunOptions,
    Started,
)
from comfyport_client.workflows import (
    AudioAceStepRequest,
    ConjureGenerateFluxMeshAdvanced,
    ConjureGenerateFluxMeshRequest,
    FluxFluxDepthRequest,
    FluxTxt2imgRequest,
    ImageResizeRequest,
    MeshHunyuan3dRequest,
    QwenQwenBaseTxt2imgRequest,
    QwenQwenImgEditRequest,
    Scheduler,
    Sd15Img2imgRequest,
    Sd15InpaintRequest,
    Sd15Txt2imgAdvanced,
    Sd15Txt2imgOutputs,
    Sd15Txt2imgParams,
    Sd15Txt2imgRequest,
    SdxlTxt2imgRefinerRequest,
    WanTxt2videoRequest,
)

LARGEST = 2**64 - 1
PROMPT = 'line\nbreaks, "quotes" and ünïcode'

OutputsT = TypeVar("OutputsT")
ParamsT = TypeVar("ParamsT")


class Calls:
    """Runs that must succeed, and the paths of their workflows."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.called: Set[str] = set()

    def run(
        self, request: Request[OutputsT, ParamsT], options: Optional[RunOptions] = None
    ) -> Run[OutputsT, ParamsT]:
        run = self.client.run(request, options)
        assert run.workflow == request._path_
        assert run.simulated
        self.called.add(run.workflow)
        return run

    def problem(
        self, request: Request[OutputsT, ParamsT], options: Optional[RunOptions] = None
    ) -> ComfyportError:
        try:
            self.client.run(request, options)
        except ComfyportError as error:
            return error
        raise AssertionError(f"{request} was not refused")


def call_all(calls: Calls, folder: Path) -> None:
    scheduler: Scheduler = "karras"
    painted = calls.run(
        Sd15Txt2imgRequest(
            prompt=PROMPT, seed=LARGEST, steps=4, advanced=Sd15Txt2imgAdvanced(scheduler=scheduler)
        )
    )
    assert painted.params["prompt"] == PROMPT
    assert painted.params["seed"] == LARGEST
    assert painted.params["advanced"]["scheduler"] == "karras"
    artifact = painted.outputs.image[0]
    picture = calls.client.download(artifact)
    assert hashlib.sha256(picture).hexdigest() == artifact.sha256

    # Files: what was downloaded, a path, an open file, a data URI, an address.
    edited = calls.run(Sd15Img2imgRequest(prompt=PROMPT, image=picture, seed=LARGEST, steps=4))
    assert edited.params["seed"] == LARGEST, "a seed in a form"
    assert edited.params["prompt"] == PROMPT, "text in a form"
    assert edited.params["image"].get("size") == artifact.size
    path = folder / "picture.png"
    path.write_bytes(picture)
    with path.open("rb") as opened:
        calls.run(Sd15InpaintRequest(prompt="a hat", image=path, mask=opened))
    uri = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    resized = calls.run(ImageResizeRequest(image=uri, width=32, height=16), RunOptions(inline=True))
    little = resized.outputs.image[0]
    assert little.data is not None, "`inline` was asked for"
    assert (little.width, little.height) == (32, 16)
    with Client("http://127.0.0.1:1") as nowhere:
        assert len(nowhere.download(little)) == little.size, "without a server"
    # A file that is sent once, and used twice.
    upload = calls.client.upload(path)
    assert (upload.size, upload.content_type) == (len(picture), "image/png")
    assert (upload.sha256, upload.width) == (artifact.sha256, artifact.width)
    with path.open("rb") as opened:
        assert calls.client.upload(opened).id == upload.id, "the same content"
        assert not opened.closed
    for width in (16, 24):
        used = calls.run(ImageResizeRequest(image=upload.reference, width=width))
        assert used.outputs.image[0].width == width
    calls.client.forget(upload)
    assert calls.problem(ImageResizeRequest(image=upload.reference)).code == "invalid_request"
    try:
        calls.client.upload(b"<svg/>")
    except ComfyportError as error:
        assert error.code == "unsupported_media"
    else:
        raise AssertionError("a drawing was taken")
    fetched = calls.problem(ImageResizeRequest(image="http://127.0.0.1:1/a.png"))
    assert fetched.problem.errors[0].param == "image"

    calls.run(FluxTxt2imgRequest(prompt="a fox"))
    calls.run(QwenQwenBaseTxt2imgRequest(prompt="a fox"))
    calls.run(AudioAceStepRequest(tags="jazz, piano", lyrics=""))
    advanced = ConjureGenerateFluxMeshAdvanced(mesh_seed=LARGEST - 1)
    mesh = calls.run(
        ConjureGenerateFluxMeshRequest(prompt="a chair", inputimage=picture, advanced=advanced)
    )
    assert mesh.params["advanced"]["mesh_seed"] == LARGEST - 1, "a seed under `advanced`, in a form"
    calls.run(FluxFluxDepthRequest(prompt="a room", depth_map=picture))
    calls.run(MeshHunyuan3dRequest(image=picture))
    calls.run(QwenQwenImgEditRequest(prompt="make it blue", image=picture))
    calls.run(SdxlTxt2imgRefinerRequest(prompt="a fox"))
    calls.run(WanTxt2videoRequest(prompt="waves"))

    with urllib.request.urlopen(f"{calls.client.url}/workflows") as answer:
        listed = {workflow["path"] for workflow in json.load(answer)["workflows"]}
    assert calls.called == listed, calls.called ^ listed


def check_events(events: List[Event[Sd15Txt2imgOutputs, Sd15Txt2imgParams]]) -> None:
    assert isinstance(events[0], Queued) and isinstance(events[1], Started), events[:2]
    percents = [event.percent for event in events if isinstance(event, Progress)]
    assert len(percents) > 1, "progress is told"
    assert percents == sorted(percents), "progress does not go back"
    last = events[-1]
    assert isinstance(last, Run) and len(last.outputs.image) == 1


def check_refusals(calls: Calls) -> None:
    refused = calls.problem(
        Sd15Txt2imgRequest(
            prompt="a fox",
            steps=0,
            advanced=Sd15Txt2imgAdvanced(sampler_name="eular"),  # type: ignore[arg-type]
        )
    )
    assert refused.code == "invalid_request" and not refused.retryable
    assert refused.problem.status == 422
    pointers = [fault.pointer for fault in refused.problem.errors]
    assert pointers == ["/steps", "/advanced/sampler_name"], pointers
    assert refused.problem.errors[1].did_you_mean == "euler"
    try:
        Sd15Txt2imgRequest()  # type: ignore[call-arg]
    except TypeError:
        pass
    else:
        raise AssertionError("the prompt is required")
    late = calls.problem(Sd15Txt2imgRequest(prompt="a fox"), RunOptions(timeout_s=0.001))
    assert late.code == "timeout" and late.retryable
    verdict = calls.client.check(Sd15Txt2imgRequest(prompt="a fox", seed=LARGEST))
    assert verdict.ready and verdict.params["seed"] == LARGEST


async def call_without_waiting(url: str) -> None:
    async with AsyncClient(url) as client:
        request = Sd15Txt2imgRequest(prompt="a fox", seed=LARGEST)
        one, other = await asyncio.gather(client.run(request), client.run(request))
        assert one.id != other.id and one.params["seed"] == LARGEST
        picture = await client.download(one.outputs.image[0])
        assert len(picture) == one.outputs.image[0].size
        upload = await client.upload(picture)
        used = await client.run(ImageResizeRequest(image=upload.reference, width=16))
        assert used.outputs.image[0].width == 16
        await client.forget(upload)
        # Without a seed of its own the engine would take the result from its cache, and tell no progress.
        drawn = Sd15Txt2imgRequest(prompt="a fox")
        check_events([event async for event in client.events(drawn)])
        try:
            await client.run(ImageResizeRequest(image=b"not a picture"))
        except ComfyportError as error:
            assert error.code == "unsupported_media", error
        else:
            raise AssertionError("text is no picture")


def main(url: str, folder: Path) -> None:
    with Client(url) as client:
        calls = Calls(client)
        call_all(calls, folder)
        request = Sd15Txt2imgRequest(prompt="a fox")
        check_events(list(client.events(request, RunOptions(previews=True))))
        check_refusals(calls)
    asyncio.run(call_without_waiting(url))
    print(f"{len(calls.called)} workflows called from Python")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""What is the same for every server: values, errors, events and the two clients."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import secrets
from contextlib import aclosing, closing, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import (
    IO,
    TYPE_CHECKING,
    Any,
    AsyncGenerator,
    AsyncIterator,
    ClassVar,
    ContextManager,
    Dict,
    Generator,
    Generic,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypedDict,
    TypeVar,
    Union,
    cast,
)

import httpx

if TYPE_CHECKING:
    # Type checkers bring it along; nothing asks for it while running.
    from typing_extensions import NotRequired

Media = Union[bytes, "os.PathLike[str]", IO[bytes], str]
"""A file: bytes, a path, an open binary file, or text.

Text is a data URI, base64, the `reference` of an `Upload`, or an address that the server fetches, if it does such a
thing; a file name is a `pathlib.Path`, never a `str`. Anything but text is sent as it is, in a form.
"""

File = Union[bytes, "os.PathLike[str]", IO[bytes]]
"""A file that is here: bytes, a path, or an open binary file."""


class Lora(TypedDict):
    """A small file that changes a model. A request needs its name or a URL; of both, the name counts."""

    name: NotRequired[str]
    """The file, with `/` between folders."""
    url: NotRequired[str]
    """Instead of the name: an address that ends in the name of a file of the server. Nothing is fetched."""
    strength: NotRequired[float]
    """How strongly it changes the diffusion model; 1, which is the default, is as it was trained."""
    strength_clip: NotRequired[float]
    """How strongly it changes the text encoder, where the workflow does that; as `strength` where left out."""


class MediaSummary(TypedDict):
    """What the server says of a file it was given."""

    size: NotRequired[int]
    url: NotRequired[bool]
    upload: NotRequired[bool]


@dataclass(frozen=True)
class Upload:
    """A file that was sent beforehand. Its `reference` is a file of as many requests as one likes, until it expires."""

    id: str
    reference: str
    """What stands for it in a request."""
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    created_at: str
    expires_at: str
    width: Optional[int] = None
    """Pixels, of pictures and films."""
    height: Optional[int] = None
    """Pixels, of pictures and films."""


@dataclass(frozen=True)
class Artifact:
    """One output file."""

    url: str
    """Where it is served; relative to the server."""
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    filename: str
    """A name to save it under."""
    width: Optional[int] = None
    """Pixels, of pictures and films."""
    height: Optional[int] = None
    """Pixels, of pictures and films."""
    duration_s: Optional[float] = None
    """Seconds, of films and sounds, as their headers say."""
    fps: Optional[float] = None
    """Pictures in a second, of films, as their headers say."""
    data: Optional[str] = None
    """The bytes in base64, where `RunOptions.inline` asked for them."""
    data_omitted: Optional[str] = None
    """Why there is no `data` although `RunOptions.inline` asked for it."""
    thumbnail: Optional[Dict[str, Any]] = None
    """A small picture of it, where `RunOptions.thumbnail` asked for one."""
    left_as_is: Optional[str] = None
    """Why it is not in the form that was asked for."""


@dataclass(frozen=True)
class Timing:
    """Where the time of a run went, in milliseconds."""

    queued_ms: int
    prepare_ms: int
    engine_ms: int
    fetch_ms: int
    total_ms: int


@dataclass(frozen=True)
class RunOptions:
    """How to run, rather than what."""

    inline: Optional[bool] = None
    """Whether results carry their bytes in base64 beside their URL."""
    previews: Optional[bool] = None
    """Whether events carry preview pictures."""
    timeout_s: Optional[float] = None
    """Give up, and cancel the run, after so many seconds."""
    priority: Optional[int] = None
    """0 to 9; higher goes first. 5 if left out."""
    deadline: Optional[str] = None
    """When the run is to have ended, such as `2030-01-31T12:00:00Z`; then it has expired."""
    max_attempts: Optional[int] = None
    """Tries, the first included."""
    tags: Optional[List[str]] = None
    """Words to find the job by."""
    webhook: Union[str, Dict[str, Any], None] = None
    """An address that is told of the end, or `{"url": …, "events": ["job.running", …]}`."""
    metadata: Optional[Dict[str, Any]] = None
    """Anything to have back with the job."""
    cancel_on_disconnect: Optional[bool] = None
    """Whether the run is cancelled when the connection breaks."""
    cache: Optional[bool] = None
    """Whether the result of an identical request will do."""
    convert: Optional[Dict[str, Any]] = None
    """The form that still pictures are given out in, such as `{"format": "webp", "resize": {"width": 512}}`."""
    thumbnail: Optional[Dict[str, Any]] = None
    """A small picture beside each picture, such as `{"width": 256}`."""
    embedded: Optional[str] = None
    """`keep` if pictures keep what the engine wrote into them, such as the whole workflow; `strip` if left out."""


OutputsT = TypeVar("OutputsT")
ParamsT = TypeVar("ParamsT")


class Request(Generic[OutputsT, ParamsT]):
    """What a workflow takes. The requests in `workflows` are dataclasses derived from it."""

    _path_: ClassVar[str]
    _outputs_: ClassVar[Type[Any]]


@dataclass(frozen=True)
class Run(Generic[OutputsT, ParamsT]):
    """A run that succeeded."""

    id: str
    workflow: str
    outputs: OutputsT
    params: ParamsT
    """The values it was made with, defaults and seeds included."""
    engine: str
    timing: Timing
    simulated: bool = False
    """Whether the engine makes its results up."""


@dataclass(frozen=True)
class Queued:
    """The run waits: for an engine, or in its queue."""

    id: str
    engine: Optional[str] = None
    """The engine, once it is given to one."""
    position: Optional[int] = None
    """How many are before it, where that is known."""


@dataclass(frozen=True)
class Started:
    """The engine began with the run."""

    id: str


@dataclass(frozen=True)
class Progress:
    """The run came further."""

    percent: float
    """Of the whole run, from 0 to 100. It never goes back."""
    node: str
    """The node at work."""
    title: Optional[str] = None
    """Its title."""
    value: Optional[float] = None
    """How far this node is."""
    max: Optional[float] = None
    """What `value` will be in the end."""


@dataclass(frozen=True)
class Preview:
    """A picture of the present state."""

    node: str
    """The node at work."""
    content_type: str
    data: bytes


Event = Union[Queued, Started, Progress, Preview, Run[OutputsT, ParamsT]]
"""Something that happened to a run. The last one is the `Run`."""


@dataclass(frozen=True)
class Verdict(Generic[ParamsT]):
    """Whether a request would run."""

    ready: bool
    engine: Optional[str]
    engines: List[Any]
    params: ParamsT


@dataclass(frozen=True)
class ProblemFault:
    """One thing that is wrong with a request."""

    pointer: str
    """A JSON pointer to the value; empty for the whole request."""
    message: str
    param: Optional[str] = None
    allowed: Any = None
    """What would be accepted."""
    did_you_mean: Optional[str] = None
    """The closest thing that would be accepted."""


@dataclass(frozen=True)
class Problem:
    """What the server says is wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    """The HTTP status."""
    detail: str
    code: str
    """One of `workflows.ProblemCode`, or one that a later server knows."""
    request_id: str
    """What the server's log has it under."""
    retryable: bool
    """Whether the same request may succeed later."""
    source: str
    """`request`, `server`, `workflow` or `engine`."""
    errors: Tuple[ProblemFault, ...] = ()
    """Every fault of the request."""
    missing: Any = None
    """Node classes and models the engine lacks."""


class ComfyportError(Exception):
    """A call that the server answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        faults = [f"\n  {fault.pointer}: {fault.message}" for fault in problem.errors]
        listed = "".join(faults) if len(faults) > 1 else ""
        super().__init__(f"{problem.title}: {problem.detail}{listed}")
        self.problem = problem

    @property
    def code(self) -> str:
        """One of `workflows.ProblemCode`, or another of a later server."""
        return self.problem.code

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.problem.retryable


class UnexpectedAnswer(Exception):
    """An answer that is not one of this server, or a stream that ended too early."""


class Client:
    """A comfyport server. Closing it, or leaving its `with` block, closes its connections."""

    def __init__(
        self,
        url: str,
        *,
        headers: Optional[Mapping[str, str]] = None,
        http: Optional[httpx.Client] = None,
    ) -> None:
        """`headers` go to the server and to no other host; `http` is used instead of a client of its own."""
        self.url = url.rstrip("/")
        self._headers = dict(headers or {})
        self._http = http or httpx.Client(timeout=_TIMEOUT)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()

    def run(
        self, request: Request[OutputsT, ParamsT], options: Optional[RunOptions] = None
    ) -> Run[OutputsT, ParamsT]:
        """Runs a workflow and waits for its end.

        It listens to the events of the run, so that a long silence breaks no connection on the way.
        """
        with closing(self.events(request, options)) as events:
            for event in events:
                if isinstance(event, Run):
                    return event
        raise UnexpectedAnswer(_ENDED)

    def events(
        self, request: Request[OutputsT, ParamsT], options: Optional[RunOptions] = None
    ) -> Generator[Event[OutputsT, ParamsT], None, None]:
        """Runs a workflow and tells what happens as it happens. Closing the iterator cancels the run."""
        body, headers = _encode(request, options)
        headers = {**self._headers, **headers, "accept": "text/event-stream"}
        url = f"{self.url}/{request._path_}"
        with self._http.stream("POST", url, content=body, headers=headers) as response:
            if not response.is_success:
                raise _failure(response, response.read())
            messages = _Messages()
            for chunk in response.iter_bytes():
                for event in messages.feed(chunk, request):
                    yield event
                    if isinstance(event, Run):
                        return
        raise UnexpectedAnswer(_ENDED)

    def check(self, request: Request[OutputsT, ParamsT]) -> Verdict[ParamsT]:
        """Asks whether a request would run. Nothing is submitted."""
        body, headers = _encode(request, None)
        url = f"{self.url}/{request._path_}:check"
        response = self._http.post(url, content=body, headers={**self._headers, **headers})
        return _verdict(response)

    def upload(self, file: File) -> Upload:
        """Sends a file, of whatever size the server takes, to be used in requests by its `reference`.

        It is read as it is sent. The same content sent again is the same upload, kept anew.
        """
        headers = {**self._headers, "content-type": "application/octet-stream"}
        with _opened(file) as data:
            response = self._http.post(f"{self.url}/uploads", content=_pieces(data), headers=headers)
        return _upload(response)

    def forget(self, upload: Upload) -> None:
        """Lets go of an upload before it expires. Runs that have it keep it."""
        response = self._http.delete(f"{self.url}/uploads/{upload.id}", headers=self._headers)
        if not response.is_success:
            raise _failure(response, response.content)

    def download(self, artifact: Artifact) -> bytes:
        """The bytes of an output file."""
        if artifact.data is not None:
            return base64.b64decode(artifact.data)
        url, headers = _place(self.url, self._headers, artifact)
        response = self._http.get(url, headers=headers)
        if not response.is_success:
            raise _failure(response, response.content)
        return response.content


class AsyncClient:
    """A comfyport server, for `asyncio`. Closing it, or leaving its `async with` block, closes its connections."""

    def __init__(
        self,
        url: str,
        *,
        headers: Optional[Mapping[str, str]] = None,
        http: Optional[httpx.AsyncClient] = None,
    ) -> None:
        """`headers` go to the server and to no other host; `http` is used instead of a client of its own."""
        self.url = url.rstrip("/")
        self._headers = dict(headers or {})
        self._http = http or httpx.AsyncClient(timeout=_TIMEOUT)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def run(
        self, request: Request[OutputsT, ParamsT], options: Optional[RunOptions] = None
    ) -> Run[OutputsT, ParamsT]:
        """Runs a workflow and waits for its end. Cancelling the task cancels the run."""
        async with aclosing(self.events(request, options)) as events:
            async for event in events:
                if isinstance(event, Run):
                    return event
        raise UnexpectedAnswer(_ENDED)

    async def events(
        self, request: Request[OutputsT, ParamsT], options: Optional[RunOptions] = None
    ) -> AsyncGenerator[Event[OutputsT, ParamsT], None]:
        """Runs a workflow and tells what happens as it happens. Closing the iterator cancels the run.

        Leaving an `async for` early does not close it at once; `contextlib.aclosing` does.
        """
        body, headers = _encode(request, options)
        headers = {**self._headers, **headers, "accept": "text/event-stream"}
        url = f"{self.url}/{request._path_}"
        async with self._http.stream("POST", url, content=body, headers=headers) as response:
            if not response.is_success:
                raise _failure(response, await response.aread())
            messages = _Messages()
            async for chunk in response.aiter_bytes():
                for event in messages.feed(chunk, request):
                    yield event
                    if isinstance(event, Run):
                        return
        raise UnexpectedAnswer(_ENDED)

    async def check(self, request: Request[OutputsT, ParamsT]) -> Verdict[ParamsT]:
        """Asks whether a request would run. Nothing is submitted."""
        body, headers = _encode(request, None)
        url = f"{self.url}/{request._path_}:check"
        response = await self._http.post(url, content=body, headers={**self._headers, **headers})
        return _verdict(response)

    async def upload(self, file: File) -> Upload:
        """Sends a file, of whatever size the server takes, to be used in requests by its `reference`.

        It is read as it is sent. The same content sent again is the same upload, kept anew.
        """
        headers = {**self._headers, "content-type": "application/octet-stream"}
        with _opened(file) as data:
            response = await self._http.post(f"{self.url}/uploads", content=_apieces(data), headers=headers)
        return _upload(response)

    async def forget(self, upload: Upload) -> None:
        """Lets go of an upload before it expires. Runs that have it keep it."""
        response = await self._http.delete(f"{self.url}/uploads/{upload.id}", headers=self._headers)
        if not response.is_success:
            raise _failure(response, response.content)

    async def download(self, artifact: Artifact) -> bytes:
        """The bytes of an output file."""
        if artifact.data is not None:
            return base64.b64decode(artifact.data)
        url, headers = _place(self.url, self._headers, artifact)
        response = await self._http.get(url, headers=headers)
        if not response.is_success:
            raise _failure(response, response.content)
        return response.content


# The server sends a heartbeat every ten seconds, however long a run takes.
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)

# Files are sent in pieces of so many bytes.
_PIECE = 1 << 18

_ENDED = "the stream ended before the run did"


class _Messages:
    """Bytes as they arrive, put together to events.

    Lines end at line feeds and nowhere else: text may hold what Unicode calls a line separator.
    """

    def __init__(self) -> None:
        self.unfinished: List[bytes] = []
        self.name = ""
        self.data: List[str] = []

    def feed(
        self, chunk: bytes, request: Request[OutputsT, ParamsT]
    ) -> Generator[Event[OutputsT, ParamsT], None, None]:
        """Takes bytes; yields the events that they end."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            line = b"".join([*self.unfinished, piece]).decode("utf-8", "replace").rstrip("\r")
            self.unfinished = []
            if line.startswith("event:"):
                self.name = line[6:].strip()
            elif line.startswith("data:"):
                self.data.append(line[6:] if line.startswith("data: ") else line[5:])
            elif not line:
                name, data = self.name, "\n".join(self.data)
                self.name, self.data = "", []
                event = _event(name, json.loads(data), request) if data else None
                if event is not None:
                    yield event
        self.unfinished.append(rest)


def _event(
    name: str, data: Dict[str, Any], request: Request[OutputsT, ParamsT]
) -> Optional[Event[OutputsT, ParamsT]]:
    if name == "queued":
        return _known(Queued, data)
    if name == "started":
        return _known(Started, data)
    if name == "progress":
        return _known(Progress, data)
    if name == "preview":
        return _known(Preview, {**data, "data": base64.b64decode(data["data"])})
    if name == "result":
        outputs = cast(OutputsT, _outputs(request._outputs_, data["outputs"]))
        timing = _known(Timing, data["timing"])
        run: Run[OutputsT, ParamsT] = _known(Run, {**data, "outputs": outputs, "timing": timing})
        return run
    if name == "problem":
        raise ComfyportError(_problem(data))
    # A later server may tell more than this client knows of.
    return None


_T = TypeVar("_T")


def _known(kind: Type[_T], data: Mapping[str, Any]) -> _T:
    """A dataclass of the members it knows; a later server may send more."""
    names = {field.name for field in dataclasses.fields(cast(Any, kind))}
    known = cast(Any, kind)(**{name: value for name, value in data.items() if name in names})
    return cast(_T, known)


def _outputs(kind: Type[Any], outputs: Mapping[str, List[Any]]) -> Any:
    values = {}
    for field in dataclasses.fields(kind):
        items = outputs.get(field.metadata.get("name", field.name), [])
        values[field.name] = [_output(item) for item in items]
    return kind(**values)


def _output(item: Any) -> Any:
    """A file, or text as it is."""
    return _known(Artifact, item) if isinstance(item, dict) and "url" in item else item


def _problem(data: Mapping[str, Any]) -> Problem:
    faults = tuple(_known(ProblemFault, fault) for fault in data.get("errors", ()))
    return _known(Problem, {**data, "errors": faults})


def _failure(response: httpx.Response, body: bytes) -> Exception:
    try:
        return ComfyportError(_problem(json.loads(body)))
    except (ValueError, TypeError, AttributeError):
        # Something between here and the server has answered in its own words.
        said = body[:200].decode("utf-8", "replace")
        return UnexpectedAnswer(f"unexpected answer with status {response.status_code}: {said}")


def _verdict(response: httpx.Response) -> Verdict[Any]:
    if not response.is_success:
        raise _failure(response, response.content)
    data = response.json()
    verdict: Verdict[Any] = _known(Verdict, {"engine": None, **data})
    return verdict


def _upload(response: httpx.Response) -> Upload:
    if not response.is_success:
        raise _failure(response, response.content)
    return _known(Upload, response.json())


def _opened(file: File) -> ContextManager[IO[bytes]]:
    """A file to read from; closed in the end only if it was opened here."""
    if isinstance(file, bytes):
        return io.BytesIO(file)
    if isinstance(file, os.PathLike):
        return open(file, "rb")
    return nullcontext(file)


def _pieces(data: IO[bytes]) -> Iterator[bytes]:
    while piece := data.read(_PIECE):
        yield piece


async def _apieces(data: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := data.read(_PIECE):
        yield piece


def _place(base: str, headers: Dict[str, str], artifact: Artifact) -> Tuple[str, Dict[str, str]]:
    if artifact.url.startswith("/"):
        return base + artifact.url, headers
    url = httpx.URL(base).join(artifact.url)
    own = _origin(url) == _origin(httpx.URL(base))
    return str(url), headers if own else {}


def _origin(url: httpx.URL) -> Tuple[str, str, Optional[int]]:
    return url.scheme, url.host, url.port


def _members(values: Any) -> Dict[str, Any]:
    """What was set, by its name in the interface."""
    members = {}
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if value is not None:
            members[field.metadata.get("name", field.name)] = value
    return members


def _encode(request: Any, options: Optional[RunOptions]) -> Tuple[bytes, Dict[str, str]]:
    """JSON, or a form where there are files."""
    members = _members(request)
    for name, value in members.items():
        if dataclasses.is_dataclass(value):
            members[name] = _members(value)
    if options is not None:
        members["options"] = _members(options)
    if not any(_is_file(value) for value in members.values()):
        text = json.dumps(members, allow_nan=False)
        return text.encode(), {"content-type": "application/json"}
    boundary = f"comfyport-{secrets.token_hex(16)}"
    pieces: List[bytes] = []
    for name, value in members.items():
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="{_quoted(name)}"'
        if _is_file(value):
            filename, data = _file(value)
            head += f'; filename="{_quoted(filename)}"\r\ncontent-type: application/octet-stream'
        else:
            text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
            data = text.encode()
        pieces += [head.encode(), b"\r\n\r\n", data, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), {"content-type": f"multipart/form-data; boundary={boundary}"}


def _is_file(value: Any) -> bool:
    return isinstance(value, (bytes, os.PathLike)) or hasattr(value, "read")


def _file(value: Any) -> Tuple[str, bytes]:
    if isinstance(value, bytes):
        return "file", value
    if isinstance(value, os.PathLike):
        with open(value, "rb") as opened:
            return os.path.basename(os.fspath(cast("os.PathLike[str]", value))), opened.read()
    name = getattr(value, "name", None)
    return os.path.basename(name) if isinstance(name, str) else "file", value.read()


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")

"""LoRA adapters that vLLM loads while it runs: when it does not know a tuned model it is told where that lies."""

import asyncio
from http import HTTPStatus

import aiohttp

from regrade.core.endpoints import Endpoint
from regrade.inference import failures
from regrade.inference.failures import Failure, Kind
from regrade.inference.lane import Lane

_LOADING_S = 120.0
_ALREADY = b"already"


class Adapters:
    """What this event loop has had loaded. vLLM forgets all when it starts again, and is then told anew."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._locks: dict[tuple[Endpoint, str], asyncio.Lock] = {}
        self._loaded_at: dict[tuple[Endpoint, str], float] = {}

    @property
    def loaded(self) -> list[tuple[Endpoint, str]]:
        """Endpoints and the names that they were told."""
        return list(self._loaded_at)

    async def load(self, lane: Lane, secret: str | None, *, unknown_at: float) -> Failure | None:
        """Have the lane's adapter loaded, unless that was done since `unknown_at`; why it cannot be."""
        key = (lane.endpoint, lane.model)
        async with self._locks.setdefault(key, asyncio.Lock()):
            if self._loaded_at.get(key, 0.0) > unknown_at:
                return None
            body = {"lora_name": lane.model, "lora_path": lane.adapter}
            status, answer = await self._post(lane.endpoint, "load_lora_adapter", body, secret)
            if status == HTTPStatus.OK or (status == HTTPStatus.BAD_REQUEST and _ALREADY in answer):
                self._loaded_at[key] = asyncio.get_running_loop().time()
                return None
        failure = failures.of_status(lane.endpoint.name, status, answer, secret, None)
        hint = " vLLM loads adapters only where VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora are set."
        message = f"The adapter of '{lane.model}' could not be loaded. {failure.message}"
        no_route = status == HTTPStatus.NOT_FOUND and "type" not in failures.error_object(answer)
        return Failure(kind=Kind.FINAL, message=message + (hint if no_route else ""), status=400)

    async def unload(self, endpoint: Endpoint, name: str, secret: str | None) -> None:
        """Let the endpoint forget an adapter, if it can be asked."""
        self._loaded_at.pop((endpoint, name), None)
        try:
            await self._post(endpoint, "unload_lora_adapter", {"lora_name": name}, secret)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return  # it has no more of it when it starts again

    async def _post(
        self, endpoint: Endpoint, path: str, body: dict[str, str | None], secret: str | None
    ) -> tuple[int, bytes]:
        async with self._session.post(
            f"{endpoint.admin_url or endpoint.base_url}/{path}",
            json=body,
            headers=endpoint.headers(secret),
            timeout=aiohttp.ClientTimeout(total=_LOADING_S),
            allow_redirects=False,
        ) as reply:
            return reply.status, await reply.read()

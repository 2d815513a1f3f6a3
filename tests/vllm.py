"""A stand-in for `vllm serve BASE --enable-lora`: its chat completions, its list, its admin routes of adapters.

Names, statuses and words are those of vLLM's documentation and source. What it answers is the name of the model.
"""

from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

KEY = "sk-vllm"


class Vllm:
    """What it serves now, and what it was asked."""

    def __init__(self, base: str, *, updating: bool = True) -> None:
        self.base = base
        self.updating = updating
        self.adapters: dict[str, str] = {}
        self.loads = 0
        self.url = ""

    def restart(self) -> None:
        """Adapters that were loaded at run time are forgotten."""
        self.adapters.clear()

    @asynccontextmanager
    async def served(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        if self.updating:  # VLLM_ALLOW_RUNTIME_LORA_UPDATING
            app.router.add_post("/v1/load_lora_adapter", self._load)
            app.router.add_post("/v1/unload_lora_adapter", self._unload)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = site._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _models(self, _):
        cards = [{"id": self.base, "object": "model", "owned_by": "vllm"}]
        cards += [
            {"id": name, "object": "model", "parent": self.base, "root": path}
            for name, path in self.adapters.items()
        ]
        return web.json_response({"object": "list", "data": cards})

    async def _chat(self, request):
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "Unauthorized", "Unauthorized")
        name = (await request.json())["model"]
        if name != self.base and name not in self.adapters:
            return _error(404, "NotFoundError", f"The model `{name}` does not exist.")
        message = {"role": "assistant", "content": f"{name} at {self.adapters.get(name)}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {"id": "chatcmpl-1", "object": "chat.completion", "model": name, "choices": [choice]}
        )

    async def _load(self, request):
        body = await request.json()
        self.loads += 1
        if body["lora_name"] in self.adapters:
            return _error(
                400, "InvalidUserInput", f"The lora adapter '{body['lora_name']}' has already been loaded."
            )
        if not Path(body["lora_path"]).is_dir():
            return _error(404, "NotFoundError", f"Loading lora {body['lora_name']} failed: No adapter found")
        self.adapters[body["lora_name"]] = body["lora_path"]
        return web.Response(text=f"Success: LoRA adapter '{body['lora_name']}' added successfully.")

    async def _unload(self, request):
        name = (await request.json())["lora_name"]
        if self.adapters.pop(name, None) is None:
            return _error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")


def _error(status, kind, message):
    return web.json_response(
        {"error": {"message": message, "type": kind, "param": None, "code": status}}, status=status
    )

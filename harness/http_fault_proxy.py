"""A small HTTP proxy that does harm: a bounded helper between Toxiproxy and a callee.

Run as ``python -m harness.http_fault_proxy TOKEN FOR_S ROUTE FAULT``; the last two are JSON.
The token is the id of an undo entry: whoever holds the entry finds the process by it. When its
time is over the helper puts the route back by itself, so that its end is not an outage.

What the fault does not hit passes as it is: the status, the headers end to end, and each byte
of the body when it comes, in either direction. Trailers and protocol upgrades do not pass, nor
bytes of a header that are not UTF-8.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from harness.errors import FaultError
from harness.http_fault import ANSWER, DELAY, MARK, STALL, TRUNCATE, HttpFault, Route, load
from harness.toxiproxy import Toxiproxy

GRACE_S = 5.0  # to put the route back before the kernel ends a helper that hangs
CONNECT_TIMEOUT_S = 5.0
IDLE_S = 1.0  # shorter than a callee commonly keeps an idle connection open
BACKLOG = 1024
MAX_HEADER = 1 << 16  # larger than callees commonly allow: refusing is their business

#: RFC 9110, section 7.6.1, and what older software sends.
HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate"),
        *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
    )
)
#: What aiohttp adds where the callee or the caller sent none.
ADDED_TO_ANSWERS = ("Content-Type", "Date", "Server")
ADDED_TO_REQUESTS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PASSED: web.ResponseKey[frozenset[str]] = web.ResponseKey("passed", frozenset)


class FaultProxy:
    """Passes requests on, and does harm to those that the fault hits.

    Args:
        token: Id of the undo entry; seeds the draws, so that the n-th request of this helper
            would be drawn the same again.
        upstream: ``host:port`` of the callee.
        fault: What to do.
        session: HTTP client for the callee.
    """

    def __init__(
        self, token: str, upstream: str, fault: HttpFault, session: aiohttp.ClientSession
    ) -> None:
        self._token = token
        self._upstream = upstream
        self._fault = fault
        self._session = session
        self._random = random.Random(token)

    @web.middleware
    async def handle(
        self,
        request: web.Request,
        handler: Handler,  # noqa: ARG002 - given by this name
    ) -> web.StreamResponse:
        """Answer one request; before any routing, so that no path is odd to us."""
        hit = self._fault.covers(request.raw_path) and self._random.random() < self._fault.share
        if hit and self._fault.does == ANSWER:
            return self._made_up()
        try:
            async with self._session.request(
                request.method,
                URL(f"http://{self._upstream}{request.raw_path}", encoded=True),
                headers=end_to_end(request),
                data=request.content if request.body_exists else None,
                allow_redirects=False,
                skip_auto_headers=ADDED_TO_REQUESTS,
            ) as answer:
                return await self._relay(request, answer, hit)
        except (aiohttp.ClientError, OSError):
            # The callee refused, or broke off: its caller meets the same, not an answer of ours.
            return hang_up(request)

    def _made_up(self) -> web.Response:
        headers = {MARK: self._token}
        if self._fault.retry_after_s:
            headers["Retry-After"] = str(self._fault.retry_after_s)
        return web.Response(status=self._fault.status, text=self._fault.body, headers=headers)

    async def _relay(
        self, request: web.Request, answer: aiohttp.ClientResponse, hit: bool
    ) -> web.StreamResponse:
        if hit and self._fault.does == DELAY:
            await asyncio.sleep(self._fault.delay_ms / 1000)
        out = web.StreamResponse(
            status=answer.status, reason=answer.reason, headers=end_to_end(answer)
        )
        out[_PASSED] = frozenset(name.lower() for name in answer.headers)
        await out.prepare(request)
        until = self._fault.after_bytes if hit and self._fault.does in (STALL, TRUNCATE) else None
        async for piece in answer.content.iter_any():
            rest = piece
            if until is not None and len(piece) > until:
                await _write(out, piece[:until])
                if self._fault.does == TRUNCATE:
                    return hang_up(request)
                await self._stall()
                rest, until = piece[until:], None
            elif until is not None:
                until -= len(piece)
            await _write(out, rest)
        await out.write_eof()
        return out

    async def _stall(self) -> None:
        """Wait; for ever means until either side hangs up, which cancels the handler."""
        if self._fault.stall_ms:
            await asyncio.sleep(self._fault.stall_ms / 1000)
        else:
            await asyncio.Event().wait()


def end_to_end(message: web.BaseRequest | aiohttp.ClientResponse) -> CIMultiDict[str]:
    """The headers that are meant for the other end, not for the next hop, as they are spelt."""
    named = {name.strip().lower() for name in message.headers.get("Connection", "").split(",")}
    dropped = HOP_BY_HOP | named
    headers = ((k.decode(), v.decode(errors="replace")) for k, v in message.raw_headers)
    return CIMultiDict((k, v) for k, v in headers if k.lower() not in dropped)


def hang_up(request: web.Request) -> web.Response:
    """Close the connection where it is, without an end that would make the answer whole."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # nothing can be written to it any more


async def _write(out: web.StreamResponse, data: bytes) -> None:
    if data:
        await out.write(data)


async def _without_additions(_: web.BaseRequest, answer: web.StreamResponse) -> None:
    """Take away the headers that the library added to an answer of the callee."""
    if _PASSED in answer:
        for name in ADDED_TO_ANSWERS:
            if name.lower() not in answer[_PASSED]:
                answer.headers.popall(name, None)


async def serve(token: str, for_s: float, route: Route, fault: HttpFault) -> None:
    """Serve for a time; then put the route back."""
    # No limit of connections and no timeouts: the caller's and the callee's are the truth.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
    ) as session:
        proxy = FaultProxy(token, route.callee, fault, session)
        app = web.Application(middlewares=[proxy.handle])
        app.on_response_prepare.append(_without_additions)
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,
            shutdown_timeout=0,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
        )
        await runner.setup()
        host, _, port = route.via.rpartition(":")
        await web.TCPSite(runner, host, int(port), backlog=BACKLOG).start()
        await asyncio.sleep(for_s)
        await asyncio.to_thread(put_back, route)
        await runner.cleanup()


def put_back(route: Route) -> None:
    """Point the proxy at the callee again, if it still points here.

    Raises:
        FaultError: Toxiproxy does not answer, or does otherwise.
    """
    Toxiproxy(route.api).move_upstream(route.proxy, from_=route.via, to=route.upstream)


def main(arguments: list[str]) -> None:
    """Do harm until somebody ends it, or the time is over."""
    token, for_s, route, fault = arguments
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whose default is to end the process
    signal.setitimer(signal.ITIMER_REAL, float(for_s) + GRACE_S)
    with contextlib.suppress(FaultError):  # the undo entry is still open, and tells of it
        asyncio.run(serve(token, float(for_s), load(Route, route), load(HttpFault, fault)))


if __name__ == "__main__":
    main(sys.argv[1:])

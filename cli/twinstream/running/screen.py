"""What `twinstream up` writes to: a terminal with a line at its bottom that changes, or a file."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import Final, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

_PLAIN_EVERY_S: Final = 10.0
_TICK_S: Final = 0.25
# A terminal that was closed, and what Rich makes of a pipe that nobody reads from any more.
_GONE: Final = (OSError, SystemExit)


class Screen(Protocol):
    """Takes lines; neither call ever raises, for a terminal that was closed must not end what it watches."""

    def say(self, what: RenderableType = "") -> None:
        """Print lines that stay."""

    def show(self, line: str) -> None:
        """Replace the line at the bottom."""


@contextmanager
def screen_on(console: Console) -> Generator[Screen]:
    """A screen that suits where `console` writes."""
    if not console.is_terminal:
        yield PlainScreen(console, monotonic)
        return
    live = Live(console=console, auto_refresh=False, transient=True)
    with suppress(*_GONE):
        live.start()
    try:
        yield TerminalScreen(live)
    finally:
        with suppress(*_GONE):
            live.stop()


class TerminalScreen:
    """A terminal."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def say(self, what: RenderableType = "") -> None:
        with suppress(*_GONE):
            self._live.console.print(what)

    def show(self, line: str) -> None:
        with suppress(*_GONE):
            self._live.update(Text(line, style="dim", no_wrap=True, overflow="ellipsis"), refresh=True)


class PlainScreen:
    """A file or a pipe: of the changing line, one every ten seconds."""

    def __init__(self, console: Console, now_s: Callable[[], float]) -> None:
        self._console = console
        self._now_s = now_s
        self._shown_s = now_s()

    def say(self, what: RenderableType = "") -> None:
        with suppress(*_GONE):
            self._console.print(what)
            self._console.file.flush()

    def show(self, line: str) -> None:
        if line and self._now_s() - self._shown_s >= _PLAIN_EVERY_S:
            self._shown_s = self._now_s()
            self.say(Text(line))


@asynccontextmanager
async def ticking(screen: Screen, words: Callable[[], str]) -> AsyncGenerator[None]:
    """Show `words` and for how long already, while the block lasts."""

    async def tick() -> None:
        began_s = monotonic()
        while True:
            screen.show(f"{words()} · {monotonic() - began_s:.0f} s")
            await asyncio.sleep(_TICK_S)

    task = asyncio.create_task(tick(), name="tick")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        screen.show("")

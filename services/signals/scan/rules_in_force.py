"""The rules that records are matched against: followed live in control, compiled off the loop, swapped whole."""

import asyncio
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final

import structlog

from common import metrics
from common.contracts import Stream
from common.errors import TryLater
from common.kafka.control import ControlTable
from matching.matcher import CompileError, Matcher
from matching.rules import Rule, VersionedRule

log = structlog.get_logger()

_LOOK_UP_S: Final = 0.5  # how long a stop may go unnoticed


class RulesInForce:
    """A snapshot of all rules, and why it is not the newest where it is not.

    A set that cannot be compiled changes nothing: the former one stays in force until control says something better.
    """

    def __init__(self, control: ControlTable) -> None:
        self._control = control
        self._matcher: Matcher | None = None
        self._tried: Sequence[VersionedRule] | None = None
        self._names: AbstractSet[str] = frozenset()
        self._as_of = -1
        self._problem: str | None = "no rules have been read yet"

    @property
    def matcher(self) -> Matcher:
        """The snapshot.

        Raises:
            TryLater: there is none yet: a record that went by unmatched would be a signal lost.
        """
        if self._matcher is None:
            raise TryLater(f"no rules are in force: {self._problem}")
        return self._matcher

    @property
    def names(self) -> AbstractSet[str]:
        """The rules that control has."""
        return self._names

    def problem(self) -> str | None:
        """Readiness: why the newest rules are not in force, or None. Any thread may ask."""
        return self._problem

    async def run(self, stop: asyncio.Event) -> None:
        """Follow control until `stop` is set."""
        while not stop.is_set():
            await self.learn()
            await self._control.wait_past(self._as_of, _LOOK_UP_S)

    async def learn(self) -> None:
        """Put in force what control says now, unless it is so already, or was tried in vain."""
        as_of = self._control.next_offset
        if as_of == self._as_of:
            return
        rules = [VersionedRule(rule, version) for rule, version in self._control.of(Rule)]
        rules.sort(key=lambda one: one.version)
        self._forget_others({one.rule.name for one in rules})
        if rules != self._tried:
            await self._put_in_force(rules, as_of)
        self._tried, self._as_of = rules, as_of
        if self._problem is None:
            metrics.RULES_AS_OF.set(as_of)

    def _forget_others(self, names: AbstractSet[str]) -> None:
        """Take the metrics of rules that are gone away: names come and go for years."""
        for rule in self._names - names:
            for stream in Stream:
                with suppress(KeyError):
                    metrics.RULE_HITS.remove(rule, stream)
        self._names = names

    async def _put_in_force(self, rules: Sequence[VersionedRule], as_of: int) -> None:
        started = time.perf_counter()
        try:
            self._matcher = await asyncio.to_thread(compiled, rules)
        except CompileError as error:
            self._problem = f"the rules of control at {as_of} do not compile, the former ones stay in force: {error}"
            metrics.RULES_REFUSED.set(1)
            log.error("rules_refused", as_of=as_of, rule=error.rule, detail=error.detail)
            return
        self._problem = None
        took_s = time.perf_counter() - started
        metrics.RULES_REFUSED.set(0)
        metrics.RULES_IN_FORCE.set(len(self._matcher.rules))
        metrics.RULES_COMPILE_SECONDS.observe(took_s)
        log.info("rules_in_force", as_of=as_of, rules=len(self._matcher.rules), ms=round(took_s * 1000, 1))


def compiled(rules: Sequence[VersionedRule]) -> Matcher:
    """The snapshot of `rules`.

    Raises:
        CompileError: names the first rule that cannot be compiled, unless each of them can be by itself.
    """
    try:
        return Matcher.compile(rules)
    except CompileError as error:
        if error.rule is None:
            _find_fault(rules)
        raise


def _find_fault(rules: Sequence[VersionedRule]) -> None:
    for one in rules:
        try:
            Matcher.compile([one])
        except CompileError as error:
            raise CompileError(one.rule.name, error.detail) from error

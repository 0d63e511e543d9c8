"""The rules: made, changed and deleted, in control."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.contracts import ControlKind
from common.destinations import Destination
from common.errors import Refused
from common.kafka.control import ControlTable, Versioned
from matching.rules import Rule
from matching.rules_checks import InvalidRule, RuleProblem
from matching.rules_trial import admit

MAX_RULES: Final = 10_000

_MAX_TOLD: Final = 100  # of what is wrong with a rule


class RuleBook:
    """All rules that control knows."""

    def __init__(self, control: ControlTable) -> None:
        self._control = control
        self._writing = asyncio.Lock()  # two requests must not both find a name free
        self._trying = asyncio.Lock()  # what one trial measures, another one must not disturb

    def page(self, after: str, limit: int) -> Sequence[Versioned[Rule]]:
        """Up to `limit` rules, by name, from behind `after` on."""
        entries = sorted(self._control.of(Rule), key=_name)
        start = bisect_right(entries, after, key=_name)
        return entries[start : start + limit]

    def find(self, name: str) -> Versioned[Rule] | None:
        """The rule `name` and its version, or None."""
        return self._control.get(ControlKind.RULE, name, Rule)

    def get(self, name: str) -> Versioned[Rule]:
        """The rule `name` and its version.

        Raises:
            Refused: unknown_rule.
        """
        entry = self.find(name)
        if entry is None:
            raise Refused("unknown_rule", f"There is no rule {name[:64]!r}; GET /v1/rules lists them.")
        return entry

    async def make(self, body: object) -> Versioned[Rule]:
        """A new rule.

        Raises:
            Refused: invalid_rule, rule_exists or too_many_rules.
            TryLater: Kafka is away.
        """
        rule = await self._admitted(body)
        async with self._writing:
            if self.find(rule.name) is not None:
                raise Refused("rule_exists", f"There is a rule {rule.name!r} already.")
            if sum(1 for _ in self._control.of(Rule)) >= MAX_RULES:
                raise Refused("too_many_rules", f"There are {MAX_RULES:,} rules, and no more can be.")
            return await self._write(rule)

    async def change(self, name: str, body: object) -> Versioned[Rule]:
        """The rule as it is from now on; a change that changes nothing makes no new version.

        Raises:
            Refused: unknown_rule or invalid_rule.
            TryLater: Kafka is away.
        """
        self.get(name)
        rule = await self.admitted_as(name, body)
        async with self._writing:
            entry = self.get(name)
            return entry if rule == entry.value else await self._write(rule)

    async def delete(self, name: str) -> Versioned[Rule]:
        """Delete the rule; returns what it was.

        Raises:
            Refused: unknown_rule.
            TryLater: Kafka is away.
        """
        async with self._writing:
            entry = self.get(name)
            await self._control.put(ControlKind.RULE, name, None)
            return entry

    async def admitted_as(self, name: str, body: object, at: str = "body") -> Rule:
        """The rule called `name` that `body`, which stood at `at`, is; it need not say its name.

        Raises:
            Refused: invalid_rule, with everything that is wrong.
        """
        return await self._admitted(_named(name, body, at), at)

    async def _admitted(self, body: object, at: str = "body") -> Rule:
        """Checked and timed beside the event loop."""
        destinations = frozenset(entry.value.name for entry in self._control.of(Destination))
        async with self._trying:
            try:
                return await asyncio.to_thread(admit, body, destinations)
            except InvalidRule as error:
                raise refused(error.problems, at) from None

    async def _write(self, rule: Rule) -> Versioned[Rule]:
        return Versioned(rule, await self._control.put(ControlKind.RULE, rule.name, rule))


def refused(problems: Sequence[RuleProblem], at: str = "body") -> Refused:
    """What is answered to a rule with these problems, which stood at `at`."""
    errors = [
        {"at": f"{at}.{one.field}".rstrip("."), "code": one.code, "detail": one.detail, "remedy": one.remedy}
        for one in problems[:_MAX_TOLD]
    ]
    first, more = errors[0], len(problems) - 1
    others = f" There {'is' if more == 1 else 'are'} {more:,} more." if more else ""
    return Refused("invalid_rule", f"{first['at']}: {first['detail']}: {first['remedy']}.{others}", errors=errors)


def _named(name: str, body: object, at: str) -> object:
    """`body` with the name that its address says; another one within it is an error."""
    if not isinstance(body, Mapping):
        return body
    told: Mapping[str, Any] = body
    if told.get("name", name) != name:
        detail = f"the rule at this address is {name!r}"
        raise refused(
            [RuleProblem("name", "invalid_name", detail, "leave it out; make a new rule for another name")], at
        )
    return {**told, "name": name}


def _name(entry: Versioned[Rule]) -> str:
    return entry.value.name

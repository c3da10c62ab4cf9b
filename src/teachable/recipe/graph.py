"""The order of stages: each after everything that it needs, otherwise as the recipe lists them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from teachable.errors import TeachableError


def order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """The stages, each after its needs; among those that are free to run, the first listed goes first.

    Args:
        needs: stage -> the stages that it needs, all of them listed themselves.

    Raises:
        TeachableError: a stage is needed that is not listed, or the needs run in a circle (which is named).
    """
    for stage, wanted in needs.items():
        for one in wanted:
            if one not in needs:
                raise TeachableError(f"stage {stage!r} needs {one!r}, which is no stage of this recipe")
    done: list[str] = []
    waiting = list(needs)
    while waiting:
        free = next((stage for stage in waiting if all(one in done for one in needs[stage])), None)
        if free is None:
            circle = _circle(needs, waiting)
            raise TeachableError(
                f"the stages need each other in a circle: {' -> '.join(circle)}",
                mend="Let one of them need another stage",
            )
        waiting.remove(free)
        done.append(free)
    return done


def _circle(needs: Mapping[str, Collection[str]], waiting: list[str]) -> list[str]:
    """A circle among the waiting stages, its first stage again at its end."""
    # Each waiting stage needs another waiting one, so following the needs must come back to where it has been.
    path = [waiting[0]]
    while True:
        following = next(one for one in needs[path[-1]] if one in waiting)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def ancestors(needs: Mapping[str, Collection[str]], stage: str) -> set[str]:
    """A stage and everything that it needs, directly or through others."""
    return _reach(needs, [stage])


def descendants(needs: Mapping[str, Collection[str]], stage: str) -> set[str]:
    """A stage and everything that needs it, directly or through others."""
    needed_by = {one: [other for other, wanted in needs.items() if one in wanted] for one in needs}
    return _reach(needed_by, [stage])


def _reach(edges: Mapping[str, Collection[str]], start: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        stage = waiting.pop()
        if stage not in seen:
            seen.add(stage)
            waiting.extend(edges.get(stage, ()))
    return seen

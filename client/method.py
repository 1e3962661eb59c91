"""One implementation, three colours of call: blocking, asyncio, Trio.

An operation is written once, as a *plan*: a coroutine function whose first argument after ``self`` is the
transport it runs on. ``@method`` makes of it an attribute that is called plainly, ``d.get(k)``, or through
``.aio``, ``await d.get.aio(k)``. The blocking transport never suspends, so one ``send`` runs a plan to its
end; the asyncio and Trio transports suspend like any coroutine of theirs.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from functools import update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from ..exception import AsyncUsageWarning
from .transport import BLOCKING, Transport, current, running_library

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

SLOWLY = object()
"""What a short cut answers that leads nowhere."""
Plan = Callable[Concatenate[Any, Transport, P], Coroutine[Any, Any, R]]


class Bound(Protocol[P, R_co]):
    """A method of an object: call it, or await its ``aio``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Carry it out, blocking."""
        ...

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R_co]:
        """Carry it out on the running event loop, asyncio's or Trio's."""
        ...


class method(Generic[P, R]):  # noqa: N801 - reads like `property`
    """Makes a method in three colours out of a plan.

    `blocking` may give the blocking form a short cut: a plain function with the plan's arguments but the
    transport, which answers at once or gives `SLOWLY`, and then the plan is carried out. It is for the
    methods that are called a hundred thousand times a second.
    """

    def __init__(self, plan: Plan[P, R], blocking: Callable[Concatenate[Any, P], Any] | None = None) -> None:
        self._plan = plan
        self._blocking = blocking
        self.__doc__ = plan.__doc__
        self.__wrapped__ = plan

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Bound[P, R]: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Bound[P, R]:
        if instance is None:
            return self
        bound = bind(self._plan, self._blocking, instance, self._name)
        instance.__dict__[self._name] = bound  # found there from now on, without coming by here
        return bound


def bind(
    plan: Plan[P, R], blocking: Callable[Concatenate[Any, P], Any] | None, instance: object, name: str
) -> Bound[P, R]:
    """The plan as a function of its own arguments: a plain function, the fastest thing to call."""
    modules = sys.modules

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if "asyncio" in modules or "trio" in modules:
            watch_for_loops(name)
        if blocking is not None:
            answer = blocking(instance, *args, **kwargs)
            if answer is not SLOWLY:
                return cast("R", answer)
        return drive(plan(instance, BLOCKING, *args, **kwargs))

    async def aio(*args: P.args, **kwargs: P.kwargs) -> R:
        return await plan(instance, current(), *args, **kwargs)

    forms: tuple[Any, Any] = (call, aio)
    for form in forms:
        update_wrapper(form, plan)
        form.__name__ = name
        # What `inspect.signature` follows: each bound method drops a parameter, `self` and the transport.
        form.__wrapped__ = MethodType(MethodType(plan, instance), BLOCKING)
    forms[0].aio = aio
    return cast("Bound[P, R]", call)


def drive(plan: Coroutine[Any, Any, R]) -> R:
    """Run a plan that never suspends, as on the blocking transport, to its end."""
    try:
        plan.send(None)
    except StopIteration as end:
        return cast("R", end.value)
    plan.close()
    raise RuntimeError("a plan suspended on the blocking transport")


PACKAGE = __name__.partition(".")[0] + "."
_warned = False


def watch_for_loops(name: str, instead: str = "await ….{name}.aio(…)") -> None:
    """Warn, once in a process, that a blocking form runs inside an event loop and holds it up."""
    global _warned  # noqa: PLW0603 - once in a process
    if _warned or running_library() is None or "IPython" in sys.modules:
        return
    _warned = True
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(PACKAGE):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(
        f"{name}() holds up the running event loop; inside of one use `{instead.format(name=name)}`",
        AsyncUsageWarning,
        stacklevel=depth,
    )

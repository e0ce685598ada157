"""Values that are computed when they are first needed and kept: the only state that a derivative fills."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Cache:
    """Named values of one object, each computed at most once, in whatever thread it is needed first.

    Rows of a Jacobian come from one vjp in a pool of threads. ``lock`` makes them take turns; a thread may enter again,
    from a callback. Everything else that solves share is frozen.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.values: dict[Any, Any] = {}

    def value(self, name: Any, make: Callable[[], T]) -> T:
        """The value of this name, made now if it is not there yet."""
        if name not in self.values:
            with self.lock:
                if name not in self.values:
                    self.values[name] = make()
        found: T = self.values[name]
        return found

    def has(self, name: Any) -> bool:
        """Whether the value has been computed."""
        return name in self.values

    def replace(self, name: Any, value: Any) -> None:
        """Put a value in the place of one that knows less. Only the thread that holds ``lock`` may."""
        self.values[name] = value


class kept(Generic[T]):
    """A property that the object's ``cache`` keeps."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> kept[T]: ...
    @overload
    def __get__(self, instance: Any, owner: type | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type | None = None) -> T | kept[T]:
        if instance is None:
            return self
        cache: Cache = instance.cache
        if self.name in cache.values:  # nearly always
            found: T = cache.values[self.name]
            return found
        return cache.value(self.name, lambda: self.make(instance))

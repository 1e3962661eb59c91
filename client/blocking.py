"""Carries plans out by blocking the thread: plain sockets, one question at a time on each.

Rules of this file:
1. Each thread has its own connections, one a node: no lock, and no answer can reach another thread.
2. A connection whose answer did not come, or whose waiting was interrupted, is closed: an answer that comes
   late finds nobody.
3. A forked child begins without connections.
4. Only one thread of a client lingers at a time: several would keep processors, and the interpreter's lock,
   from those that have something to do.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from typing import Any, TypeVar, cast

from ..exception import Error, InvalidError, ProtocolError, UnavailableError
from ..node.network.frame import HEAD_BYTES, FrameReader, encode_frame
from ..node.network.linger import Linger
from ..node.network.message import Get, Reply, Request
from ..node.network.wire import decode, encode
from .config import CONNECT_TIMEOUT_S, LINGER_S, RECEIVE_BYTES
from .contact import Contact
from .dialling import Dialler, hello, is_same_host, unreachable
from .driver import Driver
from .instruction import Ask, Miss, Outcome, Plan, Together, Wait
from .seeds import split_address
from .session import Session

R = TypeVar("R")
_TIMEVAL = struct.Struct("@ll")
_LINGER_NOT = struct.pack("@ii", 1, 0)


class Vigil:
    """Looks for an answer without going to sleep, for a moment and as long as that pays."""

    __slots__ = ("_linger", "_turn")

    def __init__(self) -> None:
        self._linger = Linger()
        self._turn = threading.Lock()

    def keep(self, sock: socket.socket) -> bytes:
        """What comes within the moment; empty: nothing does, or nobody looked."""
        if not self._turn.acquire(blocking=False):
            return b""
        try:
            if not self._linger.pays():
                return b""
            receive, clock = sock.recv, time.monotonic
            give_up_s = clock() + LINGER_S
            while clock() < give_up_s:
                try:
                    data = receive(RECEIVE_BYTES, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                self._linger.note(found=True)
                return data
            self._linger.note(found=False)
            return b""
        finally:
            self._turn.release()


class BlockingLine:
    """A connection to a node. The timeouts are the socket's own, which cost no system call a question."""

    __slots__ = ("__weakref__", "_patience_s", "_reader", "_vigil", "address", "sock")

    def __init__(self, address: str, sock: socket.socket, vigil: Vigil) -> None:
        self.address = address
        self.sock = sock
        self._vigil = vigil
        self._reader = FrameReader()
        self._patience_s = 0.0
        weakref.finalize(self, sock.close)  # its thread ends, or its client is forgotten

    def set_patience(self, seconds: float) -> None:
        """How long sending and receiving may take, each time that they stall."""
        if seconds != self._patience_s:
            self._patience_s = seconds
            value = _TIMEVAL.pack(int(seconds), max(int(seconds % 1 * 1e6), 1000))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def is_closed(self) -> bool:
        """Whether nothing can be asked over it, as far as is known here: the node closed it, or said
        something unasked."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def ask(self, request: Request) -> Reply:
        """Send a question and wait for its answer. OSError, or what `decode` raises."""
        payload = encode(request)
        self.sock.sendall(len(payload).to_bytes(HEAD_BYTES, "big") + payload)
        data = self._vigil.keep(self.sock) if type(request) is Get else b""
        data = data or self.sock.recv(RECEIVE_BYTES)
        if len(data) - HEAD_BYTES == int.from_bytes(data[:HEAD_BYTES], "big") and data:
            reply = decode(data[HEAD_BYTES:])
        else:
            reply = decode(self.frame(data))
        if not isinstance(reply, Reply) or reply.number != request.number:
            raise ProtocolError("an answer to another question")
        return reply

    def frame(self, data: bytes = b"") -> bytes:
        """The next frame, of which `data` may be the beginning."""
        while True:
            if data:
                frames = self._reader.feed(data)
                if len(frames) > 1:
                    raise ProtocolError("more answers than questions")
                if frames:
                    return frames[0]
            data = self.sock.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError("the node closed the connection")

    def close(self) -> None:
        self.sock.close()

    def abandon(self) -> None:
        """Close it, and have the kernel send nothing more of what is still on its way: a put that was given
        up, and went through another node since, would arrive once the network is whole, and be the later."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.sock.close()


class _Lines(threading.local):
    """The connections of the running thread."""

    def __init__(self) -> None:
        self.lines: dict[Contact, BlockingLine] = {}


class BlockingLines:
    """The connections of one client's threads, and what carries its plans out."""

    def __init__(self, session: Session, dialler: Dialler) -> None:
        self._session = session
        self._dialler = dialler
        self._local = _Lines()
        self._vigil = Vigil()
        #: Every line that is open, of whichever thread.
        self._all: weakref.WeakSet[BlockingLine] = weakref.WeakSet()
        _alive.add(self)

    def run(self, plan: Plan[R]) -> R:
        """Carry a plan out to its end."""
        answer: Any = None
        try:
            while True:
                instruction = plan.send(answer)
                if type(instruction) is Ask:
                    answer = self.ask(instruction)
                elif type(instruction) is Wait:
                    time.sleep(instruction.seconds)
                    answer = None
                elif type(instruction) is Together:
                    answer = SideBySide(self).run(instruction)
        except StopIteration as end:
            result: R = end.value
            return result

    def ask(self, ask: Ask) -> Reply | Miss:
        """One question, over the thread's connection to that node."""
        is_old = ask.contact in self._local.lines
        line = self.line(ask)
        if isinstance(line, Miss):
            return line
        try:
            line.set_patience(ask.timeout_s)
            return line.ask(ask.request)
        except BlockingIOError:
            error: Error = UnavailableError("no answer in time")
        except OSError as broken:
            if is_old and not ask.careful:  # it was closed while nobody looked: that says nothing of the node
                self.drop(ask.contact)
                return self.ask(ask)
            error = unreachable(line.address, broken)
        except ProtocolError as strange:
            error = strange
        except BaseException:  # interrupted in the middle
            self.drop(ask.contact)
            raise
        self.drop(ask.contact)
        return Miss(error, was_sent=True)

    def line(self, ask: Ask) -> BlockingLine | Miss:
        """The thread's connection to a node, made now if there is none."""
        contact = ask.contact
        line = self._local.lines.get(contact)
        if line is not None:
            if not (ask.careful and line.is_closed()):
                return line
            self.drop(contact)
        try:
            line = self.connect(contact, min(ask.timeout_s, CONNECT_TIMEOUT_S))
        except Error as error:
            return Miss(error, was_sent=False)
        self._local.lines[contact] = line
        self._all.add(line)
        return line

    def connect(self, contact: Contact, timeout_s: float) -> BlockingLine:
        """A new connection, hands shaken. UnavailableError, AuthError, ProtocolError."""
        address = contact.address
        ends_s = time.monotonic() + timeout_s
        try:
            sock = socket.create_connection(split_address(address), timeout_s)
        except (OSError, InvalidError) as error:
            raise unreachable(address, error) from None
        line = BlockingLine(address, sock, self._vigil)
        try:
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.set_patience(max(ends_s - time.monotonic(), 0.001))
            caller = self._dialler.caller()
            sock.sendall(hello(caller))
            sock.sendall(encode_frame(caller.feed(line.frame())))
        except BlockingIOError:
            line.close()
            raise UnavailableError(f"{address} does not answer") from None
        except OSError as error:
            line.close()
            raise unreachable(address, error) from None
        except BaseException:
            line.close()
            raise
        if is_same_host(sock):
            self._session.is_near(contact)
        return line

    def drop(self, contact: Contact) -> None:
        """Give up the thread's connection to a node."""
        line = self._local.lines.pop(contact, None)
        if line is not None:
            line.abandon()

    def close(self) -> None:
        """Close the connections of all threads."""
        for line in list(self._all):
            line.close()
        self._local.lines.clear()

    def renew(self) -> None:
        """In a forked child: let go of the parent's connections."""
        for line in list(self._all):
            line.close()
        self._local = _Lines()
        self._vigil = Vigil()
        self._all = weakref.WeakSet()


class SideBySide:
    """Several plans at once in one thread: all that they ask goes out before any answer is waited for."""

    def __init__(self, lines: BlockingLines) -> None:
        self._lines = lines
        self._driver = Driver(time.monotonic, self._send, self._call_after)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        #: By file descriptor, the connections over which something was asked here.
        self._used: dict[int, tuple[Contact, BlockingLine, FrameReader]] = {}
        #: And how many answers are still to come over each, those that nobody waits for any more included.
        self._owed: Counter[int] = Counter()
        self._poll = select.poll()

    def run(self, together: Together) -> list[Outcome]:
        """Carry the plans out to their ends."""
        ended: list[Outcome] = []

        def plan() -> Plan[list[Outcome]]:
            outcomes: list[Outcome] = yield together
            return outcomes

        self._driver.start(plan(), ended.append)
        try:
            while not ended:
                self._turn()
        except BaseException:
            for contact, _, _ in list(self._used.values()):
                self._lines.drop(contact)
            raise
        for descriptor, (contact, line, _) in list(self._used.items()):
            if self._owed[descriptor] or line.is_closed():
                self._lines.drop(contact)
        return cast("list[Outcome]", ended[0].result)

    def _turn(self) -> None:
        now_s = time.monotonic()
        while self._timers and self._timers[0][0] <= now_s:
            heappop(self._timers)[2]()
        wait_s = max(self._timers[0][0] - time.monotonic(), 0.0) if self._timers else 0.0
        for descriptor, _ in self._poll.poll(wait_s * 1000):
            if descriptor in self._used:
                self._receive(descriptor)

    def _receive(self, descriptor: int) -> None:
        contact, line, reader = self._used[descriptor]
        try:
            data = line.sock.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError("the node closed the connection")
            replies = [decode(frame) for frame in reader.feed(data)]
        except (OSError, ProtocolError) as broken:
            error = broken if isinstance(broken, ProtocolError) else unreachable(line.address, broken)
            self._lose(contact, descriptor, error)
            return
        for reply in replies:
            if isinstance(reply, Reply):
                self._owed[descriptor] -= 1
                self._driver.hear(line.address, reply)

    def _send(self, ask: Ask) -> Miss | None:
        line = next((line for contact, line, _ in self._used.values() if contact is ask.contact), None)
        if line is None:
            new = self._lines.line(ask)
            if isinstance(new, Miss):
                return new
            line = new
            self._used[line.sock.fileno()] = ask.contact, line, FrameReader()
            self._poll.register(line.sock.fileno(), select.POLLIN)
        descriptor = line.sock.fileno()
        try:
            line.set_patience(ask.timeout_s)
            self._owed[descriptor] += 1
            line.sock.sendall(encode_frame(encode(ask.request)))
        except OSError as broken:
            error = unreachable(line.address, broken)
            self._call_after(0.0, lambda: self._lose(ask.contact, descriptor, error))
        return None

    def _lose(self, contact: Contact, descriptor: int, error: Error) -> None:
        used = self._used.pop(descriptor, None)
        del self._owed[descriptor]
        if used is not None:
            self._poll.unregister(descriptor)
            self._lines.drop(contact)
            self._driver.lose(contact.address, error)

    def _call_after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._timers, (time.monotonic() + seconds, self._count, callback))


_alive: weakref.WeakSet[BlockingLines] = weakref.WeakSet()


def _renew() -> None:
    for lines in list(_alive):
        lines.renew()


os.register_at_fork(after_in_child=_renew)

"""Carries lines on Linux: one task with an epoll of its own, which Trio waits on.

Whatever is ready is read, parsed and answered in one turn without a checkpoint; then the turn ends, and each
line that has something to send gets one write. After a turn that served it looks again for a moment
(LINGER_S), as long as that pays, then it sleeps in its own epoll for a moment (NAP_S), and only then in
Trio's: Trio's way to sleep and back costs more than a question and its answer.

Rules of this file:
1. No call here blocks but the nap: every socket is non-blocking, every other look at epoll is without a wait.
2. The loop goes back to Trio at least every SERVE_S_MAX and a nap.
3. A socket that has been closed gets no event more in the turn that closed it.
4. Nobody naps while a timer is due within the nap, or while another thread has posted a call: whoever posts
   looks whether it naps after the call was queued, and it looks for calls after it said that it naps.
"""

from __future__ import annotations

import errno
import os
import select
import socket as stdlib_socket
import weakref

import trio

from ..clock import NanosecondClock
from ..config import (
    ACCEPTS_MAX,
    CONNECT_TIMEOUT_S,
    EVENTS_MAX,
    LINGER_S,
    NAP_S,
    PEER_TIMEOUT_S,
    RECEIVE_BYTES,
    SERVE_S_MAX,
)
from ..world import NS_PER_S
from .line import Line
from .linger import Linger
from .sockets import SocketTransport
from .streamcarrier import TOO_MANY
from .switchboard import Switchboard
from .turn import Turns

_BUSY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class EpollCarrier:
    """Carries the lines of one switchboard over the sockets of one transport."""

    def __init__(
        self,
        transport: SocketTransport,
        board: Switchboard,
        turns: Turns,
        clock: NanosecondClock,
    ) -> None:
        self._transport = transport
        self._board = board
        self._turns = turns
        self._end_turn = turns.end_turn
        self._clock = clock
        self._epoll = select.epoll()
        self._rides: dict[int, _Ride] = {}
        self._doors: dict[int, stdlib_socket.socket] = {}
        self._doors_are_closed = False
        self._linger = Linger()
        self._letters = -1
        self._naps = False
        #: Wakes it from a nap. Closed when nobody knows the carrier any more, and not before: another thread
        #: may be about to write to it.
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        weakref.finalize(self, os.close, self._bell)

    # -- the loop ----------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Carry a line for whoever connects, and all that were dialled, for ever."""
        self._doors = {door.fileno(): door for door in self._transport.doors()}
        self._letters = self._transport.datagram_descriptor()
        for number in (*self._doors, self._letters):
            self._epoll.register(number, select.EPOLLIN)
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._serve_some()
        finally:
            for ride in list(self._rides.values()):
                ride.abort()
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()

    def _serve_some(self) -> None:
        """Turns, until nothing is ready and nothing is to be expected at once."""
        clock, turns = self._clock.now_ns, self._turns
        end_ns = clock() + int(SERVE_S_MAX * NS_PER_S)
        events = self._epoll.poll(0, EVENTS_MAX)
        while events:
            self._turn(events)
            if clock() >= end_ns:
                return
            while turns.due_ns() <= 0 and clock() < end_ns:
                self._end_turn()  # which runs what is due
            events = self._more()

    def _more(self) -> list[tuple[int, int]]:
        """What comes within a moment."""
        poll, clock, linger = self._epoll.poll, self._clock.now_ns, self._linger
        if linger.pays():
            give_up_ns = clock() + int(LINGER_S * NS_PER_S)
            events = poll(0, EVENTS_MAX)
            while not events and clock() < give_up_ns:
                events = poll(0, EVENTS_MAX)
            linger.note(found=bool(events))
            if events:
                return events
        if self._turns.due_ns() <= NAP_S * NS_PER_S:
            return poll(0, EVENTS_MAX)
        self._naps = True
        try:
            return poll(0 if self._turns.has_posted() else NAP_S, EVENTS_MAX)
        finally:
            self._naps = False

    def wake(self) -> bool:
        """End a nap, if this is one: what was posted is then called. From any thread."""
        if self._naps:
            os.eventfd_write(self._bell, 1)
            return True
        return False

    def _turn(self, events: list[tuple[int, int]]) -> None:
        rides = self._rides
        for number, mask in events:
            ride = rides.get(number)
            if ride is not None:
                ride.ready(mask)
            elif number in self._doors:
                self._accept(self._doors[number])
            elif number == self._letters:
                self._turns.hear_datagrams()
            elif number == self._bell:
                os.eventfd_read(number)
                self._turns.run_posted()
        self._end_turn()

    # -- connections come and go -------------------------------------------------------------------

    def _accept(self, door: stdlib_socket.socket) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                socket, _address = door.accept()
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._close_doors()
                return
            socket.setblocking(False)
            line = self._board.accept()
            if line is None:
                _say(socket, TOO_MANY)
                socket.close()
            else:
                self._carry(socket, line)

    def _close_doors(self) -> None:
        """Accept nobody until somebody has gone: the operating system has no more file descriptors."""
        self._doors_are_closed = True
        for number in self._doors:
            self._epoll.modify(number, 0)

    def _open_doors(self) -> None:
        self._doors_are_closed = False
        for number in self._doors:
            self._epoll.modify(number, select.EPOLLIN)

    def _carry(self, socket: stdlib_socket.socket, line: Line) -> _Ride:
        ride = _Ride(self, socket, line)
        self._rides[ride.number] = ride
        self._epoll.register(ride.number, select.EPOLLIN)
        return ride

    async def dial(self, line: Line) -> None:
        """Connect a line to its peer, and carry it until it ends.

        Raises:
            OSError: nobody is there, or does not answer in time.
        """
        socket: stdlib_socket.socket | None = None
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            socket = await self._transport.connect_socket(line.source)
        if socket is None:
            raise TimeoutError(f"{line.source} does not answer")
        if self._epoll.closed:
            socket.close()
            raise OSError(errno.ECANCELED, "this node ends")
        if hasattr(stdlib_socket, "TCP_USER_TIMEOUT"):
            limit_ms = int(PEER_TIMEOUT_S * 1000)
            socket.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_USER_TIMEOUT, limit_ms)
        ride = self._carry(socket, line)
        self._board.connected(line)
        self._end_turn()
        try:
            await ride.over.wait()
        finally:
            ride.abort()

    def _forget(self, ride: _Ride) -> None:
        if self._rides.pop(ride.number, None) is not None:
            self._board.ended(ride.line)
            if self._doors_are_closed:
                self._open_doors()


class _Ride:
    """One line on its socket."""

    __slots__ = ("_carrier", "_closed", "_socket", "_watched_for", "line", "number", "over")

    def __init__(self, carrier: EpollCarrier, socket: stdlib_socket.socket, line: Line) -> None:
        self._carrier = carrier
        self._socket = socket
        self._closed = False
        self._watched_for = select.EPOLLIN
        self.line = line
        self.number = socket.fileno()
        self.over = trio.Event()
        line.carrier = self

    def ready(self, mask: int) -> None:
        """Something can be done with the socket."""
        if mask & select.EPOLLERR:
            # The other side has given up all that it asked and has no answer to: nobody is to do it now.
            self.abort()
            return
        if mask & select.EPOLLOUT:
            self.flush()
        if mask & ~select.EPOLLOUT and not self._closed:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            if error.errno not in _BUSY:
                self.abort()
            return
        if not data:
            self.abort()
        elif not self._carrier._board.receive(self.line, data):
            if not self._closed:
                self.flush()  # a refusal in words
            self.abort()
        elif self.line.paused:
            self._watch()

    def flush(self) -> None:
        line = self.line
        while not self._closed and (data := line.take()):
            try:
                count = self._socket.send(data)
            except OSError as error:
                if error.errno not in _BUSY:
                    self.abort()
                    return
                count = 0
            if count < len(data):
                line.put_back(memoryview(data)[count:])
            if count:
                self._carrier._board.sent(line, count)
            if count < len(data) or not line.queued_bytes:
                break
        if not self._closed and (line.queued_bytes or line.paused or self._watched_for != select.EPOLLIN):
            self._watch()

    def resume(self) -> None:
        self._watch()

    def _watch(self) -> None:
        """Have epoll tell of what can be gone on with."""
        line = self.line
        wanted = (0 if line.paused else select.EPOLLIN) | (select.EPOLLOUT if line.has_output else 0)
        if wanted != self._watched_for and not self._closed:
            self._watched_for = wanted
            self._carrier._epoll.modify(self.number, wanted)

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._socket.close()  # which takes it out of the epoll
            self._carrier._forget(self)
            self.over.set()


def _say(socket: stdlib_socket.socket, data: bytes) -> None:
    try:
        socket.send(data)
    except OSError:
        pass  # it has gone already

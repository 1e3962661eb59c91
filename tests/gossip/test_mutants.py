"""Takes the fixes out again, one at a time: a test that does not notice is no test.

A mutant is one method with a piece of its text replaced. If the text is not there any more, the mutant has to
be written anew, and the test says so.
"""

from __future__ import annotations

import inspect
import struct
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from ringdict.gossip import member, membership, selfhood
from ringdict.gossip.broadcast import Broadcasts
from ringdict.gossip.check import Checker
from ringdict.gossip.contact import Contacts
from ringdict.gossip.core import Gossip
from ringdict.gossip.health import Health
from ringdict.gossip.membership import Membership
from ringdict.gossip.probe import Prober
from ringdict.gossip.rumour import Rumours
from ringdict.gossip.selfhood import Selfhood
from ringdict.gossip.suspicion import Suspicion
from ringdict.gossip.sync import Syncer
from ringdict.gossip.table import Table

from . import (
    test_broadcast,
    test_defects,
    test_hostile,
    test_identity,
    test_lateness,
    test_member,
    test_probe,
    test_reconnection,
    test_sync,
)

Mutant = tuple[type | ModuleType, str, str, str, Callable[[], object]]

MUTANTS: dict[str, Mutant] = {
    "stale suspicions are ignored": (
        Selfhood,
        "hear_bad_word",
        "else:\n        self.announce()",
        "else:\n        pass",
        test_defects.test_a_stale_suspicion_is_refuted_again,
    ),
    "suspects are not told": (
        Prober,
        "_begin",
        "*bad_words(desk, target), ",
        "",
        test_defects.test_a_suspicion_is_told_to_the_suspects_face_and_refuted_in_the_answer,
    ),
    "a sync confirms": (
        Membership,
        "_hear_bad_entry",
        "elif member.live:",
        "elif member.suspicion:\n        member.suspicion.confirm(NodeId(bytes(15)))\n    elif member.live:",
        test_defects.test_a_sync_does_not_confirm_a_suspicion,
    ),
    "a suspicion from a sync has a reporter": (
        Checker,
        "_believe",
        "Suspect(record.node_id, *numbers, NOBODY)",
        "Suspect(record.node_id, *numbers, self._desk.node_id)",
        test_defects.test_a_suspicion_that_a_sync_brought_has_all_the_time_and_no_reporter,
    ),
    "nobody's report starts the short timer": (
        Suspicion,
        "__init__",
        "set() if reporter == NOBODY else {reporter}",
        "{reporter}",
        test_defects.test_a_suspicion_that_a_sync_brought_has_all_the_time_and_no_reporter,
    ),
    "hearsay is believed": (
        Checker,
        "claim",
        "self._add(Reason.CLAIM, record)",
        "self.membership.accept(record)",
        lambda: test_defects.test_nobody_is_alive_by_hearsay(by_sync=True),
    ),
    "the dead are revived by hearsay": (
        Checker,
        "claim",
        "self._add(Reason.CLAIM, record)",
        "self.membership.accept(record)",
        test_defects.test_a_dead_node_is_not_revived_by_hearsay,
    ),
    "a higher incarnation keeps the timer": (
        Membership,
        "suspect",
        "if suspicion is None or numbers > (member.generation, member.incarnation):",
        "if suspicion is None:",
        test_defects.test_a_suspicion_of_a_higher_incarnation_has_a_fresh_timer,
    ),
    "any incarnation is believed": (
        member,
        "plausible",
        "and step <= INCARNATION_STEPS_MAX",
        "",
        lambda: test_defects.test_an_incarnation_cannot_be_poisoned(2**62),
    ),
    "the last incarnations are believed": (
        member,
        "plausible",
        "and incarnation < NUMBER_MAX",
        "",
        test_member.test_numbers_end_before_a_message_does,
    ),
    "any generation is believed": (
        member,
        "plausible",
        "generation - known[0] <= GENERATION_STEPS_MAX\n        and",
        "",
        lambda: test_defects.test_a_generation_cannot_be_poisoned(2**60),
    ),
    "others' numbers are not looked at": (
        Membership,
        "_plausible",
        "if plausible(known, (generation, incarnation)):",
        "if True:",
        lambda: test_defects.test_a_generation_cannot_be_poisoned(2**60),
    ),
    "the own numbers are not looked at": (
        Selfhood,
        "_believable",
        "if plausible((desk.me.generation, desk.me.incarnation), (generation, incarnation)):",
        "if True:",
        lambda: test_defects.test_an_incarnation_cannot_be_poisoned(2**64 - 1),
    ),
    "a leave outlives its generation": (
        Membership,
        "hear_left",
        "if word.generation >= member.generation and not already:",
        "if not already:",
        test_defects.test_a_leave_ends_with_its_generation,
    ),
    "who has left never returns": (
        membership,
        "_may_return",
        "return record.generation > member.generation",
        "return False",
        test_defects.test_all_are_back_after_a_simultaneous_restart,
    ),
    "only the living are persisted": (
        Contacts,
        "known",
        "if member.status is not Status.LEFT and",
        "if member.live and",
        test_defects.test_after_a_full_outage_they_find_each_other_again,
    ),
    "accusations are free": (
        Membership,
        "_may_accuse",
        "self._accusations -= 1",
        "pass",
        test_defects.test_an_accuser_has_to_be_proven_right_or_to_slow_down,
    ),
    "the own word waits its turn": (
        Rumours,
        "put_own",
        "self._own, self._own_sent = data, 0",
        "self.put_word(NodeId(bytes(16)), data)",
        test_defects.test_the_own_word_goes_before_all_others,
    ),
    "leavers get rumours": (
        Table,
        "_relist",
        "if member.live:",
        "if member.status is not Status.DEAD:",
        test_defects.test_who_has_left_gets_no_rumours,
    ),
    "another address is a conflict": (
        Membership,
        "hear_alive",
        "if moved and record.generation > member.generation:",
        "if moved:\n            return\n        if moved:",
        test_defects.test_a_node_at_another_address_is_the_same_node,
    ),
    "the dead get nothing": (
        Membership,
        "fresh_dead",
        "return [node_id for _, node_id in self._fresh_dead]",
        "return []",
        test_defects.test_the_dead_get_rumours_for_a_while,
    ),
    "lateness voids nothing": (
        Prober,
        "void",
        "self._round.void = True",
        "pass",
        test_lateness.test_a_round_with_lateness_in_it_is_void,
    ),
    "suspects pay for lateness": (
        Membership,
        "postpone",
        "member.suspicion.began += late_s",
        "pass",
        test_lateness.test_suspects_get_the_time_back_that_was_missed,
    ),
    "lateness is no bad health": (
        Gossip,
        "_was_late",
        "self._desk.health.add(1)",
        "pass",
        test_lateness.test_lateness_counts_as_bad_health,
    ),
    "health changes nothing": (
        Health,
        "factor",
        "self.points + 1",
        "1",
        test_probe.test_a_node_in_bad_health_gives_others_more_time,
    ),
    "missing nacks do not matter": (
        Prober,
        "_judge",
        "len(probe.helpers) - len(probe.nacks) if probe.helpers else 1",
        "0",
        test_probe.test_nacks_that_are_missing_are_bad_health,
    ),
    "one helper's nacks are three": (
        Prober,
        "nack",
        "probe.nacks.add(sender)",
        "probe.nacks.add(NodeId(bytes([len(probe.nacks)])))",
        test_probe.test_nacks_that_are_missing_are_bad_health,
    ),
    "anybody's answer counts": (
        Prober,
        "_answered",
        "sender != probe.target or",
        "",
        test_probe.test_an_answer_from_somebody_else_does_not,
    ),
    "a copy is let in": (
        Checker,
        "_elder_answered",
        "self._close(check)",
        "return",
        test_identity.test_a_copy_of_a_data_folder_is_turned_away,
    ),
    "any word of a duplicate counts": (
        Selfhood,
        "hear_duplicate",
        "word.elder < word.younger == desk.me.generation == desk.boot",
        "word.elder < word.younger",
        test_identity.test_an_old_duplicate_word_stops_nobody,
    ),
    "who was replaced stops its heir": (
        Gossip,
        "_meet_myself",
        "and not self._checker.is_open(desk.node_id)",
        "",
        test_identity.test_a_frozen_node_that_was_replaced_stops_when_it_wakes,
    ),
    "a broadcast is heard again": (
        Broadcasts,
        "hear",
        "-ahead >= BROADCAST_WINDOW_MESSAGES or",
        "",
        test_broadcast.test_a_broadcast_is_heard_once_however_often_it_comes,
    ),
    "a sync kills at once": (
        Checker,
        "word",
        "self._add(Reason.WORD, record)",
        "self._believe(record)",
        test_sync.test_a_death_that_a_sync_tells_of_is_not_believed_of_who_answers,
    ),
    "the dead are not tried": (
        Contacts,
        "_try_one",
        "desk.send(member.profile.address, desk.own_word(), *bad_words(desk, member), ping)",
        "pass",
        test_reconnection.test_the_dead_are_tried_and_told_what_they_are_held_for,
    ),
    "the forgotten are not tried": (
        Contacts,
        "remember",
        "self._former[node_id] = address",
        "return",
        test_reconnection.test_a_cut_longer_than_any_tombstone_heals,
    ),
    "old letters revive": (
        Checker,
        "_end",
        "elif later and check.answered:",
        "elif check.answered:",
        test_hostile.test_who_answers_is_not_revived_by_an_old_word,
    ),
    "old words are taken": (
        Membership,
        "hear_alive",
        "elif (record.generation, record.incarnation) > (member.generation, member.incarnation):",
        "else:",
        lambda: test_hostile.test_old_letters_sent_again_revive_kill_and_move_nobody(forgotten=False),
    ),
    "old suspicions are taken": (
        Membership,
        "hear_suspect",
        "if member is None or numbers < (member.generation, member.incarnation):",
        "if member is None:",
        lambda: test_hostile.test_old_letters_sent_again_revive_kill_and_move_nobody(forgotten=False),
    ),
    "old deaths are taken": (
        Membership,
        "hear_dead",
        "if record.rank()[:4] > member.record().rank()[:4]:",
        "if member.live:",
        lambda: test_hostile.test_old_letters_sent_again_revive_kill_and_move_nobody(forgotten=False),
    ),
    "who did not answer is kept quiet about": (
        Checker,
        "_end",
        "self.membership.deny(record)",
        "pass",
        test_sync.test_who_missed_a_death_is_told_that_nobody_answers,
    ),
    "any number of checks at once": (
        Checker,
        "_add",
        "elif len(self._open) < OPEN_CHECKS_MAX:",
        "elif True:",
        test_hostile.test_invented_members_are_asked_slowly_and_never_believed,
    ),
    "digests are not compared": (
        Syncer,
        "compare",
        "self.ask(address)",
        "pass",
        test_sync.test_a_lost_rumour_is_found_by_the_digest,
    ),
    "a sync does not wait for rumours": (
        Syncer,
        "compare",
        "desk.now - desk.table.changed_at >= SYNC_SETTLE_S",
        "True",
        test_sync.test_while_rumours_are_on_their_way_a_difference_is_given_a_moment,
    ),
}


def mutate(patch: pytest.MonkeyPatch, owner: type | ModuleType, name: str, old: str, new: str) -> None:
    """Replace a piece of the text of a method, or of a module's function wherever it is known."""
    found = inspect.getattr_static(owner, name)
    function: Any = found.fget if isinstance(found, property) else found
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{owner.__name__}.{name} has not once {old!r}: write this mutant anew"
    scope: dict[str, Any] = {}
    exec(compile(source.replace(old, new), "<mutant>", "exec"), dict(function.__globals__), scope)
    patch.setattr(owner, name, scope[name])
    if isinstance(owner, ModuleType):
        for module in (membership, selfhood):
            if getattr(module, name, None) is function:
                patch.setattr(module, name, scope[name])


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, old, new, test = MUTANTS[name]
    test()  # what it shows is true as long as nothing was taken out
    mutate(monkeypatch, owner, method, old, new)
    with pytest.raises((AssertionError, struct.error)):
        test()

"""What may be written behind `ringdict demo` and `ringdict sim`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .parser import between, command

if TYPE_CHECKING:
    from .parser import Commands, Parser, Run

PROCESSES: Final = 5
PROCESSES_MIN: Final = 2
PROCESSES_MAX: Final = 32
SECONDS: Final = 8.0
SECONDS_MIN: Final = 5.0
SECONDS_MAX: Final = 600.0
SEEDS: Final = 100
SEEDS_MAX: Final = 10_000_000
JOBS_MAX: Final = 64
SCENARIO: Final = "ringdict.sim.register:RegisterScenario"


def add_demo(groups: Commands, run: Run) -> None:
    """`ringdict demo`."""
    demo = command(groups, "demo", "watch processes share a Dict, and one of them die")
    demo.set_defaults(run=run)
    count = between(int, PROCESSES_MIN, PROCESSES_MAX)
    span_s = between(float, SECONDS_MIN, SECONDS_MAX)
    demo.add_argument("--processes", metavar="N", type=count, default=PROCESSES, help="how many share it (5)")
    demo.add_argument("--seconds", metavar="S", type=span_s, default=SECONDS, help="how long they go on (8)")
    demo.add_argument("--seed", metavar="N", type=int, help="repeat the random choices of an earlier run")
    demo.add_argument(
        "--three-nodes", action="store_true", help="of a cluster instead, one killed, none lost"
    )
    demo.add_argument("--keep", action="store_true", help="leave the Dict behind, to look at")
    demo.add_argument("--json", action="store_true", help="print the events as JSON, one a line")


def add_sim(groups: Commands, run: Run) -> None:
    """`ringdict sim …`."""
    sim_group = command(groups, "sim", "run the nodes' own code in a made-up, bad world")
    sim_group.set_defaults(run=run)
    commands = sim_group.add_subparsers(metavar="COMMAND", dest="command", required=True, title="commands")

    many = command(commands, "run", "run many seeds and check what came of them")
    many.add_argument(
        "--seeds", metavar="N", type=between(int, 1, SEEDS_MAX), default=SEEDS, help="how many (100)"
    )
    many.add_argument("--first", metavar="N", type=int, default=0, help="the first of them (0)")
    jobs = between(int, 1, JOBS_MAX)
    many.add_argument("--jobs", metavar="N", type=jobs, default=0, help="processes side by side (one a core)")
    many.add_argument("--compare", action="store_true", help="run the first twice, under other hash seeds")
    _which(many)

    replay = command(commands, "replay", "run one seed again, and tell what happens in it")
    _part(replay)
    replay.add_argument("--history", metavar="FILE", help="write the operations as JSON lines")

    shrink = command(commands, "shrink", "find the smallest run that fails as a seed does")
    _part(shrink)
    shrink.add_argument("--save", metavar="FILE", help="keep it as a case, for the tests to replay")

    gossip = command(commands, "gossip", "measure gossip in a made-up network, beside what others reach")
    gossip.add_argument("--table", action="store_true", required=True, help="print the figures as a table")
    gossip.add_argument("--whole", action="store_true", help="as many seeds as a claim needs: hours")
    gossip.add_argument("words", metavar="WORDS", nargs="*", help="only the lines with one of these (n=100)")

    mutants = command(commands, "mutants", "try the wrong versions of a system that a file holds")
    mutants.add_argument("file", metavar="FILE", help="a Python file with MUTANTS (docs/simulation.md)")


def _which(parser: Parser) -> None:
    scenario_help = "module:Name or file.py:Name (a small replicated register)"
    parser.add_argument("--scenario", metavar="PLACE", default=SCENARIO, help=scenario_help)
    profile_help = "how bad things get: calm, default, harsh, bridge, power, restarts"
    parser.add_argument("--profile", metavar="NAME", default="default", help=profile_help)
    mode_help = "safety, live (heal a majority and demand progress), or both by turns (both)"
    parser.add_argument("--mode", choices=("safety", "live", "both"), default="both", help=mode_help)
    parser.add_argument("--shells", action="store_true", help="run the processes under their Trio shells")
    parser.add_argument(
        "--report", metavar="FILE", help="write a page that tells one run (the first to fail)"
    )
    parser.add_argument("--key", metavar="KEY", help="the key that the page follows (the one that failed)")


def _part(parser: Parser) -> None:
    parser.add_argument("--seed", metavar="N", type=int, help="which run")
    parser.add_argument("--case", metavar="FILE", help="a run that was kept, instead of a seed")
    _which(parser)
    parser.add_argument("--keep", metavar="N,N", dest="faults", help="only these of its faults, or none")
    parser.add_argument("--nodes", metavar="N", type=between(int, 1, 10_000), help="only so many nodes")
    parser.add_argument("--clients", metavar="N", type=between(int, 1, 10_000), help="only so many clients")
    parser.add_argument("--seconds", metavar="S", type=float, default=0.0, help="only so much virtual time")
    parser.add_argument("--quiet", action="store_true", help="no message is lost, late or doubled by itself")
    parser.add_argument("--skip", metavar="S", type=float, default=0.0, help="begin so many seconds later")
    parser.add_argument("--luck", metavar="N", type=int, default=0, help="another roll of the dice (0)")

"""MEASURE: ringdict beside what its users use today, each behind the statement that its own user would write.

Rules of this room:
1. What is timed is source code as a user writes it (`peers.py`), inlined in a bare loop (`loop.py`): no
   adapter call lies in between, so nobody pays for an interface that only the bench has.
2. Each contestant lives in a process of its own and one of them runs at a time, in rounds A B C A B C: a
   slow moment of the machine hits all of them, and a ratio is taken inside one round, never across two.
3. A target is judged by the median of such ratios. An absolute figure stands beside the calibration loop.
4. Whoever is not installed is *missing*, with the reason. Whoever raises or answers wrongly has *failed*.
   Neither ends the run.
5. Whatever was started is stopped, and whatever was written is removed, also after Ctrl-C.
"""

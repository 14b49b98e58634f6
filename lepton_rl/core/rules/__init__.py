"""The scheduling rules, as compiled functions over `lepton_rl.core.tables`.

Each rule exists once, here, and the live system and the simulator both call it.

    lepton      load, reservation amount and priority of the seed document
    orders      which pending task comes first
    placement   whether and where a task fits; taking and giving back what it holds
    backfill    EASY: the shadow time of a blocked task, and who may start before it
    dispatch    the next decision of order x placement x backfill
    queueing    entering and leaving the queue and the running set
"""

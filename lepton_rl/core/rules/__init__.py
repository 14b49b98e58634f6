"""The scheduling rules, as compiled functions over `lepton_rl.core.tables`.

Each rule exists once, here, and the live system and the simulator both call it.

    lepton         load, reservation amount and priority of the seed document
    times          how long a task will run, by its estimate; what a checkpoint keeps
    orders         which pending task comes first
    tenants        what tenants hold and have used
    fit            whether and how often a task fits
    allocation     taking and giving back what a replica holds
    node_scores    which of the feasible nodes a replica gets
    fragmentation  free device share that typical tasks cannot use
    placement      placing a gang
    pools          what is free at two times
    shadow         when a blocked task can start
    backfill       EASY: who may start before it
    conservative   who may start without delaying anybody
    preemption     who gives way to a blocked task
    dispatch       the next decision of order x placement x backfill x preemption
    reservation    nodes held for a critical task
    queueing       entering and leaving the queue and the running set
    signals        what the monitor tells of the last hour
    scratch        work space of the rules
"""

"""The processes beside the scheduler: one launcher, and one supervisor for each running task.

The launcher is forked by nobody but itself: it imports only this package and the standard library,
stays small, and forks a supervisor for each task. A supervisor starts the task's processes, keeps
their output, holds their limits and writes down how they ended, whether or not the scheduler lives.
"""

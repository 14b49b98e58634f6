"""Plain data of the system (tasks, nodes, resources, settings) and its compiled rules."""

"""Running the graph: compile it, run it here, show what happens."""

"""The recurrence: cells, the engine that runs them over time, and the language model over it."""

"""The lab: gradients, gates, neurons, single steps and comparisons of cells, as numbers and pictures."""

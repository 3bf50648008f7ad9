"""From a graph to kernels: what is stored, what is fused, in which order, and where in memory."""

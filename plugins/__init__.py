"""How cells, samplers and kernels get in: hooks, registry, conformance kit, scaffold and the gallery."""

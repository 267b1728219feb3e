"""Pictures, described once and drawn in the terminal, as SVG, as HTML or as PNG. Nothing here imports torch."""

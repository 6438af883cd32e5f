"""The simulated corpus: one scene through five acquisition pipelines, so that classes differ in physics and in nothing else.

What it makes is named `simulated_*` throughout. It says nothing about true generators.
"""

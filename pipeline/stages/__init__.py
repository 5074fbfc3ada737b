"""Stages: pure functions from one part's input tables to one part's output table.

Each file of this folder holds one stage: its parameters, its `run`, and its declaration `STAGE`.
A stage knows nothing of paths, of Dask, or of other stages.
"""

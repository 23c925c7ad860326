-- Finds the newest runs of a pipeline, for lists of runs.

CREATE INDEX run_pipeline ON run (pipeline, id);

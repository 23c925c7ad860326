-- Finds the run of a further attempt's record, for lists of runs.

CREATE INDEX transition_record ON transition (record) WHERE record <> run;

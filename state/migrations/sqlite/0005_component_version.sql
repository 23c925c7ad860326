-- The components of other stacks whose outputs a component reads: those go after it.
ALTER TABLE component ADD COLUMN reads TEXT NOT NULL DEFAULT '[]';

-- What was recorded of components before, so that outputs can go back as rows do. `depends_on` and `outputs` are NULL
-- where the version is a deletion. What is recorded when this file runs counts as old as can be.
CREATE TABLE component_version (
    id         INTEGER PRIMARY KEY,
    stack      INTEGER NOT NULL REFERENCES stack (id),
    key        TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    operation  BLOB NOT NULL,
    depends_on TEXT,
    outputs    TEXT,
    blueprint  TEXT,
    reads      TEXT NOT NULL DEFAULT '[]',
    CHECK ((depends_on IS NULL) = (outputs IS NULL))
) STRICT;

CREATE INDEX component_version_by_key ON component_version (stack, key);

INSERT INTO component_version (stack, key, written_at, operation, depends_on, outputs, blueprint)
SELECT stack, key, 0, zeroblob(16), depends_on, outputs, blueprint FROM component;

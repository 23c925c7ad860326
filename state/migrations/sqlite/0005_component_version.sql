-- The components of other stacks whose outputs a component reads: they are removed after it.
ALTER TABLE component ADD COLUMN reads TEXT NOT NULL DEFAULT '[]';

-- Earlier versions of components, so that outputs can be rolled back like rows. `depends_on` and `outputs` are NULL if
-- the version is a deletion. Components from before this migration count as the oldest.
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

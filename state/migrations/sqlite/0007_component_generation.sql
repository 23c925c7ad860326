-- Versions of a component count from 1, so that a component with pruned versions differs from a new one.
ALTER TABLE component_version ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

UPDATE component_version
SET generation = (SELECT count(*) FROM component_version AS older
                  WHERE older.stack = component_version.stack AND older.key = component_version.key
                    AND older.id <= component_version.id);

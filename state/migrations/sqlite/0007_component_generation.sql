-- Versions of a component count from 1, so that one whose older versions were pruned is told from one that is new.
ALTER TABLE component_version ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

UPDATE component_version
SET generation = (SELECT count(*) FROM component_version AS older
                  WHERE older.stack = component_version.stack AND older.key = component_version.key
                    AND older.id <= component_version.id);

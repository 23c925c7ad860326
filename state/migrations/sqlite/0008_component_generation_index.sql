-- The newest version of a component is looked for with every plan that is spent: found at once, however long its history.
DROP INDEX component_version_by_key;
CREATE INDEX component_version_by_key ON component_version (stack, key, generation);

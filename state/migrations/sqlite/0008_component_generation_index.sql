-- Every spent plan looks up the newest version of its components: the index makes this fast for a long history, too.
DROP INDEX component_version_by_key;
CREATE INDEX component_version_by_key ON component_version (stack, key, generation);

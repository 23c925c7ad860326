-- The ids that a component was described by, as a JSON object; NULL where its key is its only name.
ALTER TABLE component ADD COLUMN ids TEXT;
ALTER TABLE component_version ADD COLUMN ids TEXT;

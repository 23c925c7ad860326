-- The ids that a component was described by, as a JSON object; NULL where its key is its only name.
ALTER TABLE component ADD COLUMN ids text;
ALTER TABLE component_version ADD COLUMN ids text;

-- The IDs of a component's descriptor, as a JSON object; NULL if its key is its only name.
ALTER TABLE component ADD COLUMN ids TEXT;
ALTER TABLE component_version ADD COLUMN ids TEXT;

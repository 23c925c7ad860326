-- The principals with access to a component, as a list; NULL if access was never set.
ALTER TABLE component ADD COLUMN principals TEXT;
ALTER TABLE component_version ADD COLUMN principals TEXT;

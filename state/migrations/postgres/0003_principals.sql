-- The principals with access to a component, as a list; NULL if access was never set.
ALTER TABLE component ADD COLUMN principals text;
ALTER TABLE component_version ADD COLUMN principals text;

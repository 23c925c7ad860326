-- Who has access to a component, as a list; NULL where nobody ever said.
ALTER TABLE component ADD COLUMN principals TEXT;
ALTER TABLE component_version ADD COLUMN principals TEXT;

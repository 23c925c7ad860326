-- What was said of who has access beside the principals, as a JSON object; NULL where nothing was.
ALTER TABLE component ADD COLUMN access_fields TEXT;
ALTER TABLE component_version ADD COLUMN access_fields TEXT;

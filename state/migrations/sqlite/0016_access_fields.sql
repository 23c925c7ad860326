-- The access fields beside the principals, as a JSON object; NULL without fields.
ALTER TABLE component ADD COLUMN access_fields TEXT;
ALTER TABLE component_version ADD COLUMN access_fields TEXT;

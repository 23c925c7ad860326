-- The version of the provider that wrote a row; NULL for rows of an older terrace.

ALTER TABLE version ADD COLUMN provider_version TEXT;
ALTER TABLE intent ADD COLUMN provider_version TEXT;

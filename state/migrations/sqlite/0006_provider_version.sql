-- The version of the provider that wrote a row; none where an older terrace did.

ALTER TABLE version ADD COLUMN provider_version TEXT;
ALTER TABLE intent ADD COLUMN provider_version TEXT;

-- Replacements that create first: a step that makes the new object says that the one of `prior_generation` is kept beside
-- it, under a deposed key, until it is deleted.

ALTER TABLE intent ADD COLUMN deposes INTEGER NOT NULL DEFAULT 0;

-- For replacements that create first: the step that creates the new object keeps the object of `prior_generation` under
-- a deposed key until it is deleted.

ALTER TABLE intent ADD COLUMN deposes INTEGER NOT NULL DEFAULT 0;

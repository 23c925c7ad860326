-- What goes after all that cannot wait: looking for drift.
ALTER TABLE request ADD COLUMN can_wait boolean NOT NULL DEFAULT false;

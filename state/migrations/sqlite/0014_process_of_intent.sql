-- The process that opened a step. The operation of a server may belong to another process when recovery checks the
-- step. For steps that are open at this migration, the process of their operation counts.
ALTER TABLE intent ADD COLUMN boot TEXT;
ALTER TABLE intent ADD COLUMN pid_namespace INTEGER;
ALTER TABLE intent ADD COLUMN pid INTEGER;
ALTER TABLE intent ADD COLUMN process_started INTEGER;

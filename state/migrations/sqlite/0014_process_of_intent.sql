-- The process that opened a step. A server's operation may be another process's by the time that somebody asks what became
-- of the step. Steps that are open now are told by their operations.
ALTER TABLE intent ADD COLUMN boot TEXT;
ALTER TABLE intent ADD COLUMN pid_namespace INTEGER;
ALTER TABLE intent ADD COLUMN pid INTEGER;
ALTER TABLE intent ADD COLUMN process_started INTEGER;

-- The process that opened a step: boot, network namespace and socket name, and when a server first found the socket
-- closed. Steps that are open at this migration have none.
ALTER TABLE intent ADD COLUMN boot text;
ALTER TABLE intent ADD COLUMN network_namespace bigint;
ALTER TABLE intent ADD COLUMN beacon text;
ALTER TABLE intent ADD COLUMN gone_at timestamptz;

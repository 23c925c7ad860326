-- The process that opened a step: boot, network namespace and name of its socket, and when a server first saw the socket
-- gone. Steps that are open now have none.
ALTER TABLE intent ADD COLUMN boot text;
ALTER TABLE intent ADD COLUMN network_namespace bigint;
ALTER TABLE intent ADD COLUMN beacon text;
ALTER TABLE intent ADD COLUMN gone_at timestamptz;

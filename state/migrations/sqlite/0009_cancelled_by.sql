-- The user that cancelled the operation. From this format on, the status may also be `superseded`.

ALTER TABLE operation ADD COLUMN cancelled_by TEXT;
UPDATE operation SET cancelled_by = 'somebody' WHERE cancel_requested = 1;
ALTER TABLE operation DROP COLUMN cancel_requested;

-- Who asked the operation to stop. From this format on its status may be `superseded`, too.

ALTER TABLE operation ADD COLUMN cancelled_by TEXT;

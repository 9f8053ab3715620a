-- After a dump was put back, and before the service starts: what was queued when it was made may have been sent since.
-- As though the process had died while sending: the provider is asked whether it has the task, and it is not sent again.
-- Leave this out where the service did not run since the dump, as in a move: then all of it is sent as usual.
BEGIN;
INSERT INTO attempts (task_key, ordinal, started_at)
    SELECT key, attempts + 1, now() FROM tasks WHERE status = 'queued' AND attempt_open_since IS NULL;
UPDATE tasks SET attempts = attempts + 1, attempt_open_since = now()
    WHERE status = 'queued' AND attempt_open_since IS NULL;
COMMIT;

-- The outbox grows again as soon as it is empty. To give its room back takes a lock that a replica's replay waits for as long
-- as somebody reads there.
alter table outbox set (vacuum_truncate = off);

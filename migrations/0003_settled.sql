-- The position of the last turn that was settled: a promoted server that shows it has replayed all that lies below.
alter table epoch add column settled_to bigint not null default 0;

-- Of an epoch that was made before its timeline was noted.
update epoch
set timeline = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
where number > 0 and timeline is null;

-- By which a relay finds what the stream already holds, however much waits.
create index outbox_event on outbox (event_id);

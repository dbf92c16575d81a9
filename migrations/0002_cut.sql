-- Failovers that may have lost writes: what an epoch below `number` wrote past `kept_to` is not in this database, though
-- its token was handed out. A promotion begins another timeline, by which the relay knows it.
create table cut (
    number  bigint primary key,
    kept_to bigint not null
);

-- The timeline that the epoch was made on, and the position of the last turn that was settled: a promoted server that shows
-- it has replayed all that lies below.
alter table epoch
    add column timeline   integer,
    add column settled_to bigint not null default 0;

update epoch
set timeline = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
where number > 0;

-- By which a relay finds what the stream already holds, however much waits.
create index outbox_event on outbox (event_id);

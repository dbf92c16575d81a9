-- Failovers that may have lost writes: what an epoch below `number` wrote past `kept_to` is not in this database, though
-- its token was handed out. A promotion begins another timeline, by which the relay knows it.
create table cut (
    number  bigint primary key,
    kept_to bigint not null
);

alter table epoch add column timeline integer;

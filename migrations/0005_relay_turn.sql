-- What the relay asks between two turns, in one round trip: it settles the last one, unless `settled_epoch` is null, by
-- deleting what the stream now holds and storing how that ends; then come a moment, and what is pending in a later snapshot.
--
-- Each statement of a volatile function takes a snapshot of its own. So whatever was committed before `t`, or below `h`, is
-- among the rows from `from_id` on unless they are more than `rows_max`; and `pending_by`, read after that snapshot, is an upper bound of where
-- any of them was committed. One row without an event if nothing is pending.
create function relay_turn(
    rows_max       bigint,
    from_id        bigint default 0,
    settled_epoch  bigint default null,
    settled_events bigint[] default null,
    settled_by     bigint default null,
    stream_end     bigint default null,
    stream_end_id  uuid default null
)
returns table (
    t                 timestamptz,
    h                 pg_lsn,
    pending_by        pg_lsn,
    number            bigint,
    server_started_at timestamptz,
    mark_sequence     bigint,
    mark_id           uuid,
    id                bigint,
    event_id          uuid,
    product_id        bigint,
    kind              text,
    data              text,
    created_at        timestamptz
)
language plpgsql volatile
as $$
#variable_conflict use_column
begin
    if settled_epoch is not null then
        update epoch
        set mark_sequence = stream_end, mark_id = stream_end_id, settled_to = greatest(settled_to, settled_by)
        where number = settled_epoch;
        if found then
            delete from outbox where id = any(settled_events);
        end if;
    end if;
    t := clock_timestamp();
    h := pg_current_wal_insert_lsn();
    return query
    select t, h, pg_current_wal_insert_lsn(), epoch.number, epoch.server_started_at, epoch.mark_sequence, epoch.mark_id,
        pending.id, pending.event_id, pending.product_id, pending.kind, pending.data, pending.created_at
    from epoch
    left join lateral (
        select * from outbox where outbox.id >= from_id order by outbox.id limit rows_max
    ) as pending on true
    order by pending.id;
end
$$;

-- The id from which on the outbox has to be scanned: below it no row is there, and none will come. Deleted rows stay in the
-- index for as long as a replica may want them, and a scan from the first one passes over all of them.
--
-- Proven by a lock that is granted only while no other transaction has inserted a row and not ended. If it is not granted at
-- once, the answer is what is `known` already. A statement of its own, so that nobody waits for the lock while a relay that
-- is paused does not take its rows.
create function outbox_start(known bigint) returns bigint
language plpgsql volatile
as $$
begin
    lock table outbox in share row exclusive mode nowait;
    return coalesce(
        (select min(id) from outbox where id >= known),
        (select case when is_called then last_value + 1 else last_value end from outbox_id_seq)
    );
exception
    when lock_not_available then return known;
end
$$;

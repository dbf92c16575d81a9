-- What the relay asks between two turns, in one round trip: it settles the last one, unless `settled_epoch` is null, by
-- deleting what the stream now holds and storing how that ends; then come a moment, and what is pending in a later snapshot.
--
-- Each statement of a volatile function takes a snapshot of its own. So whatever was committed before `t`, or below `h`, is
-- among the rows unless they are more than `rows_max`; and `pending_by`, read after that snapshot, is an upper bound of where
-- any of them was committed. One row without an event if nothing is pending.
--
-- Deleted rows stay in the index for as long as a replica may want them, and the scan passes over all of them. So it begins at
-- `from_id`, below which the caller knows of no row that is there or may come. To raise it, `raises_from` asks for a lock that
-- is granted only while no other transaction has inserted a row and not ended; if it is not granted at once, `from_id` stays.
create function relay_turn(
    rows_max       bigint,
    from_id        bigint default 0,
    raises_from    boolean default false,
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
    next_from_id      bigint,
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
    next_from_id := from_id;
    if raises_from then
        begin
            lock table outbox in share row exclusive mode nowait;
            next_from_id := coalesce(
                (select min(outbox.id) from outbox where outbox.id >= from_id),
                (select case when is_called then last_value + 1 else last_value end from outbox_id_seq)
            );
        exception
            when lock_not_available then null;
        end;
    end if;
    t := clock_timestamp();
    h := pg_current_wal_insert_lsn();
    return query
    select t, h, pg_current_wal_insert_lsn(), next_from_id, epoch.number, epoch.server_started_at, epoch.mark_sequence, epoch.mark_id,
        pending.id, pending.event_id, pending.product_id, pending.kind, pending.data, pending.created_at
    from epoch
    left join lateral (select * from outbox where outbox.id >= next_from_id order by outbox.id limit rows_max) as pending on true
    order by pending.id;
end
$$;

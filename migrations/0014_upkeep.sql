-- What the upkeep of the history and of the idempotency keys needs: months that are made and dropped, and indexes by which both are
-- found.

-- The changes of one import or bulk patch in the order in which they are listed.
drop index product_history_bulk;
create index product_history_bulk on product_history (bulk_id, product_id, version) where bulk_id is not null;

-- A BRIN index does not stay narrow: once rows are deleted and their room is used again, a block range still reaches back to the
-- oldest row that it ever held, and each search for old rows reads the whole table. New entries of this one are at its end.
drop index idempotency_created_at;
create index idempotency_created_at on idempotency (created_at);

-- Makes the partition of the month that begins on this day, in UTC, with those of its rows that are in the rest. False, and
-- nothing is done, if these are more than `rows_max`: who changes a product meanwhile would have to wait for too long.
--
-- Nobody sees the history without these rows. Whoever changes a product waits only if its row would go into the rest, which is so
-- only while its month has no partition.
create function make_history_month(month date, rows_max bigint) returns boolean
language plpgsql volatile
as $$
declare
    name   text := 'product_history_' || to_char(month, 'YYYY_MM');
    begins timestamptz := month::timestamp at time zone 'UTC';
    ends   timestamptz := (month + interval '1 month') at time zone 'UTC';
    held   bigint;
begin
    select count(*)
    into held
    from (
        select
        from product_history_rest
        where changed_at >= begins
          and changed_at < ends
        limit rows_max + 1
    ) as counted;
    if held > rows_max then
        return false;
    end if;
    execute format('create table %I (like product_history including all)', name);
    -- In the order in which attaching takes them.
    lock table product_history in share update exclusive mode;
    lock table product_history_rest in access exclusive mode;
    execute format(
        'with moved as (
             delete from product_history_rest
             where changed_at >= $1
               and changed_at < $2
             returning *
         )
         insert into %I
         select * from moved',
        name
    ) using begins, ends;
    execute format('alter table product_history attach partition %I for values from (%L) to (%L)', name, begins, ends);
    return true;
end
$$;

-- Drops the partition of the month that begins on this day, and with it what was kept of that month. Whoever changes a product
-- waits until it is done, which is a moment.
create function drop_history_month(month date) returns void
language plpgsql volatile
as $$
begin
    execute format('drop table %I', 'product_history_' || to_char(month, 'YYYY_MM'));
end
$$;

-- What is kept of each change beside the product and its event, and the one place where all of it is written.

-- Who changed a price or a stock, when, from what to what, and why. One partition a month: `freshet-write` makes them ahead and
-- drops those that are too old.
create table product_history (
    product_id    bigint not null,
    version       bigint not null,
    changed_at    timestamptz not null,
    actor         text not null,
    reason        text,
    -- The import or bulk patch that it was part of.
    bulk_id       uuid,
    -- In minor units of the currency; null before a product was created, and after it was deleted.
    price_from    bigint,
    currency_from text,
    stock_from    integer,
    price_to      bigint,
    currency_to   text,
    stock_to      integer,
    primary key (product_id, version, changed_at)
) partition by range (changed_at);

create index product_history_bulk on product_history (bulk_id) where bulk_id is not null;

-- For what no partition was made for: no change is ever refused for the want of one.
create table product_history_rest partition of product_history default;

-- The first answer to a request that had an idempotency key, written in the same transaction as what it did.
create table idempotency (
    actor      text not null,
    key        text not null,
    -- Of a bulk patch, counted from 1; 0 for any other request.
    line       bigint not null,
    -- SHA-256 of all that decides what the request does.
    request    bytea not null,
    status     smallint not null,
    body       text not null,
    -- The product and its version, if it was accepted.
    product_id bigint,
    version    bigint,
    created_at timestamptz not null,
    primary key (actor, key, line)
);

-- By which the old ones are found; rows come in the order of time, so that it takes next to no room.
create index idempotency_created_at on idempotency using brin (created_at) with (pages_per_range = 16);

alter table outbox add column actor text;

-- What the relay stores with every turn, apart from the epoch, which every reader and writer reads with every statement: while
-- an old snapshot is open somewhere each turn leaves a dead row, and the epoch's readers would pass over all of them.
create table mark (
    -- One row at most.
    only_row   boolean primary key default true constraint mark_is_one_row check (only_row),
    epoch      bigint not null,
    -- The last message of the stream that the relay has vouched for.
    sequence   bigint not null,
    id         uuid,
    -- The position of the last turn that was settled: a promoted server that shows it has replayed all that lies below.
    settled_to bigint not null default 0
);

insert into mark (epoch, sequence, id, settled_to)
select number, mark_sequence, mark_id, settled_to
from epoch;

alter table epoch drop column mark_sequence, drop column mark_id, drop column settled_to;

-- The relay's answer names who made a change.
drop function relay_turn;

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
    created_at        timestamptz,
    actor             text
)
language plpgsql volatile
as $$
#variable_conflict use_column
begin
    if settled_epoch is not null then
        update mark
        set sequence = stream_end, id = stream_end_id, settled_to = greatest(settled_to, settled_by)
        where only_row
          and epoch = settled_epoch;
        if found then
            delete from outbox where id = any(settled_events);
        end if;
    end if;
    t := clock_timestamp();
    h := pg_current_wal_insert_lsn();
    return query
    select t, h, pg_current_wal_insert_lsn(), epoch.number, epoch.server_started_at, mark.sequence, mark.id,
        pending.id, pending.event_id, pending.product_id, pending.kind, pending.data, pending.created_at, pending.actor
    from epoch
    join mark on mark.only_row
    left join lateral (
        select * from outbox where outbox.id >= from_id order by outbox.id limit rows_max
    ) as pending on true
    order by pending.id;
end
$$;

-- A change of products is told to their lists by one statement, however many products it changes.
drop trigger keep_listing_of_updates on products;

create function keep_listing_of_updates() returns trigger
language plpgsql
as $$
begin
    update listing
    set name = now_is.name,
        brand = now_is.brand,
        category = now_is.category,
        currency = now_is.currency,
        price = now_is.price,
        in_stock = now_is.stock > 0
    from now_is
    where listing.id = now_is.id
      and now_is.deleted_at is null
      and (listing.name, listing.brand, listing.category, listing.currency, listing.price, listing.in_stock)
          is distinct from
          (now_is.name, now_is.brand, now_is.category, now_is.currency, now_is.price, now_is.stock > 0);
    delete from listing
    using now_is
    where listing.id = now_is.id
      and now_is.deleted_at is not null;
    return null;
end
$$;

create trigger keep_listing_of_updates
after update on products
referencing new table as now_is
for each statement execute function keep_listing_of_updates();

-- What the column `search` of a product with these texts holds: the expression is that of the column.
create function product_search(name text, sku text, brand text, category text, description text) returns tsvector
language sql immutable parallel safe
return setweight(to_tsvector('simple', search_words(name || ' ' || sku)), 'A')
    || setweight(to_tsvector('simple', search_words(coalesce(brand, '') || ' ' || coalesce(category, ''))), 'B')
    || setweight(to_tsvector('english', search_words(coalesce(description, ''))), 'C')
    || setweight(to_tsvector('english', search_words(name)), 'D');

-- What a product becomes; `version_before` is the one that this was decided from.
create type product_update as (
    id             bigint,
    version_before bigint,
    version        bigint,
    image_url      text,
    price          bigint,
    currency       text,
    stock          integer,
    is_deleted     boolean
);

-- The texts that a product gets, where they change: a statement that names them has them parsed anew.
create type product_texts as (
    id          bigint,
    name        text,
    description text,
    brand       text,
    category    text
);

-- One version of one product: its event, and what is kept of it.
create type product_change as (
    product_id    bigint,
    version       bigint,
    event_id      uuid,
    kind          text,
    data          text,
    actor         text,
    reason        text,
    bulk_id       uuid,
    price_from    bigint,
    currency_from text,
    stock_from    integer,
    price_to      bigint,
    currency_to   text,
    stock_to      integer
);

-- An answer that is kept under an idempotency key. `of_product` is the product that the request was about.
create type kept_answer as (
    of_product bigint,
    actor      text,
    key        text,
    line       bigint,
    request    bytea,
    status     smallint,
    body       text,
    product_id bigint,
    version    bigint
);

-- Writes what was decided at `decided_at`, product by product: all of a product or, if it was changed since, is held by
-- another transaction, or a request about it has a key that is taken, nothing of it. Returns the products passed over.
--
-- Locks are taken in one order everywhere: products by id, then new skus, then keys. Here a product is never waited for, a key
-- only until the other request with it has ended.
create function apply_changes(
    decided_at timestamptz,
    updates    product_update[],
    texts      product_texts[],
    changes    product_change[],
    answers    kept_answer[]
)
returns bigint[]
language plpgsql volatile
as $$
declare
    held        bigint[] := '{}';
    passed_over bigint[] := '{}';
    kept        bigint[];
begin
    if cardinality(updates) > 0 then
        held := array(
            select products.id
            from unnest(updates) as wanted
            join products on products.id = wanted.id
            where products.version = wanted.version_before
              and products.deleted_at is null
            order by products.id
            for no key update of products skip locked
        );
        if cardinality(held) < cardinality(updates) then
            passed_over := array(select id from unnest(updates) where id <> all(held));
        end if;
    end if;

    if cardinality(answers) > 0 then
        with inserted as (
            insert into idempotency (actor, key, line, request, status, body, product_id, version, created_at)
            select actor, key, line, request, status, body, product_id, version, decided_at
            from unnest(answers)
            where of_product <> all(passed_over)
            order by actor, key, line
            on conflict do nothing
            returning actor, key, line
        )
        select array_agg(place)
        into kept
        from unnest(answers) with ordinality as answer
            (of_product, actor, key, line, request, status, body, product_id, version, place)
        join inserted using (actor, key, line);

        passed_over := array(
            select unnest(passed_over)
            union
            select of_product
            from unnest(answers) with ordinality as answer
                (of_product, actor, key, line, request, status, body, product_id, version, place)
            where place <> all(coalesce(kept, '{}'))
        );
        if cardinality(passed_over) > 0 then
            delete from idempotency
            using unnest(answers) with ordinality as answer
                (of_product, actor, key, line, request, status, body, product_id, version, place)
            where place = any(kept)
              and answer.of_product = any(passed_over)
              and idempotency.actor = answer.actor
              and idempotency.key = answer.key
              and idempotency.line = answer.line;
        end if;
    end if;

    insert into outbox (event_id, product_id, kind, data, created_at, actor)
    select event_id, product_id, kind, data, decided_at, actor
    from unnest(changes) with ordinality as change
        (product_id, version, event_id, kind, data, actor, reason, bulk_id,
         price_from, currency_from, stock_from, price_to, currency_to, stock_to, place)
    where product_id <> all(passed_over)
    order by place;

    insert into product_history (product_id, version, changed_at, actor, reason, bulk_id,
        price_from, currency_from, stock_from, price_to, currency_to, stock_to)
    select product_id, version, decided_at, actor, reason, bulk_id,
        price_from, currency_from, stock_from, price_to, currency_to, stock_to
    from unnest(changes)
    where product_id <> all(passed_over)
      and (price_from, currency_from, stock_from) is distinct from (price_to, currency_to, stock_to);

    if cardinality(updates) > 0 then
        update products
        set image_url = after.image_url,
            price = after.price,
            currency = after.currency,
            stock = after.stock,
            version = after.version,
            updated_at = decided_at,
            deleted_at = case when after.is_deleted then decided_at end
        from unnest(updates) as after
        where products.id = after.id
          and products.id <> all(passed_over);
    end if;

    if cardinality(texts) > 0 then
        update products
        set name = after.name, description = after.description, brand = after.brand, category = after.category
        from unnest(texts) as after
        where products.id = after.id
          and products.id <> all(passed_over);
    end if;
    return passed_over;
end
$$;

-- The same, and commits it: then what is read of the log lies behind the commit. `epoch` is 0 while this server has made none
-- or its start was not noted. If it cannot be read, what is committed stays so.
create procedure commit_changes(
    decided_at timestamptz,
    updates    product_update[],
    texts      product_texts[],
    changes    product_change[],
    answers    kept_answer[],
    out passed_over bigint[],
    out epoch       bigint,
    out "position"  bigint
)
language plpgsql
as $$
begin
    passed_over := apply_changes(decided_at, updates, texts, changes, answers);
    commit;
    epoch := 0;
    "position" := 0;
    begin
        select
            case server_started_at
                when current_setting('freshet.server_started_at', true)::timestamptz then number
                else 0
            end,
            (pg_current_wal_insert_lsn() - '0/0')::bigint
        into strict commit_changes.epoch, commit_changes."position"
        from epoch;
    exception
        when others then null;
    end;
end
$$;

-- The catalogue: products, the outbox of their events, and the epoch of this database.

-- What is searched as words: Postgres' parser would keep `lamps/desk` as one file name and `-000001` as a signed number,
-- and take `<...>` for a tag. Documents and queries both go through this.
create function search_words(words text) returns text
language sql immutable strict parallel safe
return translate(words, '/-+<>@&', '       ');

-- The query for words as people type them: every word, as it stands or by its English stem, the last one also as the
-- beginning of a longer word. Words that English text search ignores ("the") are ignored; if nothing is left the query
-- is null, which finds nothing. Each word is parsed as text or quoted, so no input is an operator.
create function search_query(words text) returns tsquery
language sql immutable strict parallel safe
return (
    select string_agg('(' || word_query::text || ')', ' & ')::tsquery
    from (
        select word, place = count(*) over () as is_last
        from regexp_split_to_table(btrim(search_words(words)), '\s+') with ordinality as split (word, place)
    ) as words
    cross join lateral (
        select plainto_tsquery('simple', word) || plainto_tsquery('english', word)
        -- One letter begins too many words to be a useful search.
        where not is_last or length(word) = 1
        union all
        select plainto_tsquery('english', word)
            || to_tsquery('simple', '''' || replace(replace(word, '\', '\\'), '''', '''''') || ''':*')
        where is_last and length(word) > 1
    ) as parsed (word_query)
    -- Asked of a document and not of a query, which would say so in a notice.
    where length(to_tsvector('english', word)) > 0
);

create table products (
    id          bigint generated always as identity primary key,
    sku         text collate "C" not null,
    name        text collate "C" not null,
    description text,
    brand       text collate "C",
    category    text collate "C",
    image_url   text,
    -- In minor units of the currency.
    price       bigint not null constraint products_price_not_negative check (price >= 0),
    currency    text collate "C" not null,
    stock       integer not null constraint products_stock_not_negative check (stock >= 0),
    version     bigint not null constraint products_version_positive check (version >= 1),
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    -- A deleted product stays as a tombstone: its id never returns, its sku is free again.
    deleted_at  timestamptz,
    -- Word order does not matter to the weights: name and sku first, then brand and category, then prose.
    search      tsvector not null generated always as (
        setweight(to_tsvector('simple', search_words(name || ' ' || sku)), 'A')
        || setweight(to_tsvector('simple', search_words(coalesce(brand, '') || ' ' || coalesce(category, ''))), 'B')
        || setweight(to_tsvector('english', search_words(coalesce(description, ''))), 'C')
        || setweight(to_tsvector('english', search_words(name)), 'D')
    ) stored
);

create unique index products_sku on products (sku) where deleted_at is null;
create index products_name on products (name, id) where deleted_at is null;
create index products_price on products (currency, price, id) where deleted_at is null;
create index products_created_at on products (created_at desc, id desc) where deleted_at is null;
create index products_brand on products (brand, id) where deleted_at is null;
create index products_category on products (category, id) where deleted_at is null;
create index products_search on products using gin (search) where deleted_at is null;

-- One row for each committed change that the stream may not hold yet; the relay deletes it after the stream's answer.
create table outbox (
    id          bigint generated always as identity primary key,
    event_id    uuid not null,
    product_id  bigint not null,
    kind        text not null constraint outbox_kind_known check (kind in ('created', 'updated', 'deleted')),
    -- The event's data as the write service serialised it; text, because jsonb would reorder it.
    data        text not null,
    created_at  timestamptz not null
);

-- Which life of this database it is, and the last message of the stream that the relay has vouched for.
create table epoch (
    -- One row at most.
    only_row          boolean primary key default true constraint epoch_is_one_row check (only_row),
    number            bigint not null,
    server_started_at timestamptz,
    mark_sequence     bigint not null,
    mark_id           uuid
);

insert into epoch (number, server_started_at, mark_sequence, mark_id) values (0, null, 0, null);

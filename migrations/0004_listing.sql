-- What lists are filtered and ordered by, apart from the products: a list reads many narrow rows instead of wide ones, and
-- a changed price or stock touches no index that only texts need. A product stands here unless it is deleted.
create table listing (
    id         bigint primary key,
    name       text collate "C" not null,
    brand      text collate "C",
    category   text collate "C",
    currency   text collate "C" not null,
    -- In minor units of the currency.
    price      bigint not null,
    in_stock   boolean not null,
    created_at timestamptz not null
);

insert into listing (id, name, brand, category, currency, price, in_stock, created_at)
select id, name, brand, category, currency, price, stock > 0, created_at
from products
where deleted_at is null
order by id;

create index listing_name on listing (name, id);
create index listing_brand on listing (brand, id);
create index listing_category on listing (category, id);
create index listing_price on listing (currency, price, id);
create index listing_created_at on listing (created_at desc, id desc);

create function keep_listing() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'DELETE' then
        delete from listing where id = old.id;
    elsif new.deleted_at is not null then
        delete from listing where id = new.id;
    else
        insert into listing (id, name, brand, category, currency, price, in_stock, created_at)
        values (new.id, new.name, new.brand, new.category, new.currency, new.price, new.stock > 0, new.created_at)
        on conflict (id) do update
        set name = excluded.name,
            brand = excluded.brand,
            category = excluded.category,
            currency = excluded.currency,
            price = excluded.price,
            in_stock = excluded.in_stock,
            created_at = excluded.created_at;
    end if;
    return null;
end
$$;

create trigger keep_listing
after insert or delete on products
for each row execute function keep_listing();

-- Not for most changes of stock: those end at a version of the same row in the same page, which no index sees.
create trigger keep_listing_of_updates
after update on products
for each row
when (
    (old.name, old.brand, old.category, old.currency, old.price, old.stock > 0, old.created_at, old.deleted_at)
        is distinct from
    (new.name, new.brand, new.category, new.currency, new.price, new.stock > 0, new.created_at, new.deleted_at)
)
execute function keep_listing();

drop index products_name, products_price, products_created_at, products_brand, products_category;

-- Room for the versions that follow in the same page.
alter table products set (fillfactor = 70);

-- no-transaction
-- The same for lists of a brand.
create index concurrently listing_by_brand on listing (brand, currency, price, in_stock, category, id)
include (created_at);

-- no-transaction
-- The same for lists of a brand.
create index concurrently listing_by_brand on listing (brand, id)
include (category, currency, price, in_stock, created_at);

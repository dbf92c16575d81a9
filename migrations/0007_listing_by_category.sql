-- no-transaction
-- Lists of a category are filtered, counted and sorted within this index alone. If the statement is interrupted, drop the
-- invalid index that it leaves and migrate again.
create index concurrently listing_by_category on listing (category, currency, price, in_stock, brand, id)
include (created_at);

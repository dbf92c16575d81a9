-- no-transaction
-- Lists of a brand by name are read in the order of this index alone: names often begin with the brand, so that in the order
-- of all names its products may stand at the end. If the statement is interrupted, drop the invalid index that it leaves and
-- migrate again.
create index concurrently listing_by_brand_name on listing (brand, name, id)
include (currency, price, in_stock);

-- no-transaction
-- `listing_by_brand` holds this too.
drop index concurrently listing_brand;
